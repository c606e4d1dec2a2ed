"""Lower precision for what bears it: torch's autocast, with the reason where it would do nothing."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from cortexres.errors import ArgumentError

PRECISIONS = {"bfloat16": torch.bfloat16, "float16": torch.float16}
# What is entered around each forward pass.
Precision = Callable[[], AbstractContextManager[object]]


def precision_of(network: nn.Module, autocast: str | None, device: torch.device) -> Precision:
    """Return a function that makes the context of a forward pass of `network`; None keeps the network's own type.

    Raises
    ------
    ArgumentError
        If `autocast` is no lower precision, or one that the device or the network cannot use.
    """
    if autocast is None:
        return nullcontext
    if autocast not in PRECISIONS:
        raise ArgumentError(f"got autocast={autocast!r}, expected {' or '.join(PRECISIONS)}, or None")
    if autocast == "float16" and device.type != "cuda":
        raise ArgumentError(f"got autocast='float16' on {device}, expected CUDA: take bfloat16, or None")
    if any(parameter.dtype == torch.float64 for parameter in network.parameters()):
        raise ArgumentError(
            f"got autocast={autocast!r} for a float64 network, which torch leaves in float64: use network.float() first"
        )
    return functools.partial(torch.autocast, device.type, PRECISIONS[autocast])
