"""How large a network is."""

from __future__ import annotations

from torch import nn


def parameter_count(network: nn.Module) -> int:
    """Return the number of parameters, those that steps share counted once; buffers are none."""
    return sum(parameter.numel() for parameter in network.parameters())
