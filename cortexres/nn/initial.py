"""Initial weights: from torch's global generator as everywhere in torch, or from a seed that leaves it alone."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from cortexres.errors import ArgumentError

Rng = int | np.random.Generator | None
L = TypeVar("L", bound=nn.Module)


def generator_from(rng: Rng) -> torch.Generator | None:
    """Return a torch generator seeded by one draw from `rng`; None, torch's global one, where `rng` is None."""
    if rng is None:
        return None
    return torch.Generator().manual_seed(int(np.random.default_rng(rng).integers(2**63 - 1)))


def stream(rng: Rng) -> Rng:
    """Return `rng` as something several layers can draw from in turn: a seed becomes one Generator."""
    return None if rng is None else np.random.default_rng(rng)


@torch.no_grad()
def normal_(tensor: Tensor, std: float, rng: Rng = None) -> Tensor:
    """Fill `tensor` in place from a normal distribution of mean 0, and return it.

    A seed draws on the CPU whatever the device, so that weights do not depend on where they are made. On the
    meta device there is nothing to fill.
    """
    if tensor.is_meta:
        return tensor
    generator = generator_from(rng)
    if generator is None:
        return tensor.normal_(0.0, std)
    drawn = torch.empty(tensor.shape, dtype=tensor.dtype).normal_(0.0, std, generator=generator)
    return tensor.copy_(drawn)


def kaiming_(tensor: Tensor, rng: Rng = None, *, gain: float = math.sqrt(2.0)) -> Tensor:
    """Fill a weight in place with standard deviation ``gain / sqrt(fan_in)``, and return it.

    References
    ----------
    He, Zhang, Ren & Sun (2015), Delving deep into rectifiers, arXiv:1502.01852
    """
    fan_in = tensor[0].numel()
    return normal_(tensor, gain / math.sqrt(fan_in), rng)


def zero_(parameter: Tensor | None) -> None:
    """Set a parameter to 0 in place; None, a missing bias, is left alone."""
    if parameter is not None:
        nn.init.zeros_(parameter)


def fill_(layer: nn.Linear | nn.Conv2d, rng: Rng = None, *, gain: float = math.sqrt(2.0)) -> None:
    """Draw the weights of a layer anew, with standard deviation ``gain / sqrt(fan_in)``, and set its bias to 0.

    Raises
    ------
    ArgumentError
        If the weight is computed from others, so that filling it would change nothing.
    """
    if parametrize.is_parametrized(layer, "weight"):
        raise ArgumentError("got a layer with a parametrized weight, expected a plain one: assign layer.weight instead")
    kaiming_(layer.weight, rng, gain=gain)
    zero_(layer.bias)


def empty_linear(
    n_inputs: int,
    n_outputs: int,
    *,
    bias: bool = True,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> nn.Linear:
    """Return a linear layer with weights yet to be filled: torch's constructor would draw from the global state."""
    return _unfilled(nn.Linear, n_inputs, n_outputs, bias=bias, device=device or "cpu", dtype=dtype)


def empty_convolution(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> nn.Conv2d:
    """Return a convolution that keeps the map's size but for its stride, whose weights are yet to be filled.

    Raises
    ------
    ArgumentError
        If the kernel is even.
    """
    if kernel_size % 2 == 0:
        raise ArgumentError(f"got kernel_size={kernel_size}, expected an odd number: the map keeps its size")
    return _unfilled(
        nn.Conv2d,
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        padding=dilation * (kernel_size // 2),
        dilation=dilation,
        groups=groups,
        bias=bias,
        device=device or "cpu",
        dtype=dtype,
    )


def _unfilled(kind: Callable[..., L], *sizes: int, **options: Any) -> L:
    """Return a layer made by torch without its initialisation."""
    made: L = nn.utils.skip_init(kind, *sizes, **options)  # type: ignore[no-untyped-call]
    return made


def linear(
    n_inputs: int,
    n_outputs: int,
    *,
    scale: float | None = None,
    bias: bool = True,
    rng: Rng = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> nn.Linear:
    """Return a linear layer: bias 0, weights normal with standard deviation `scale` (``1 / sqrt(n_inputs)``)."""
    layer = empty_linear(n_inputs, n_outputs, bias=bias, device=device, dtype=dtype)
    normal_(layer.weight, n_inputs**-0.5 if scale is None else scale, rng)
    zero_(layer.bias)
    return layer


@runtime_checkable
class Resettable(Protocol):
    """A module that draws its own parameters anew."""

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw them."""
        ...


def reset_children(module: nn.Module, rng: Rng = None, *, gain: float = math.sqrt(2.0)) -> None:
    """Reset what `module` contains, in order, from one stream: linear layers and convolutions by `fill_`, others as
    they say, those of torch from its global generator, seeded by the stream and then left as it was.
    """
    draw = stream(rng)
    for child in module.children():
        if isinstance(child, nn.Linear | nn.Conv2d):
            fill_(child, draw, gain=gain)
        elif not isinstance(child, Resettable):
            reset_children(child, draw, gain=gain)
        elif "rng" in inspect.signature(child.reset_parameters).parameters:
            child.reset_parameters(draw)
        else:
            _reset_as_torch(child, draw)


def _reset_as_torch(layer: nn.Module, rng: Rng) -> None:
    """Reset a layer whose `reset_parameters` takes no generator."""
    reset = cast("Callable[[], None]", layer.reset_parameters)
    if rng is None:
        return reset()
    devices = {parameter.device.index for parameter in layer.parameters() if parameter.is_cuda}
    with torch.random.fork_rng(devices):
        torch.manual_seed(int(np.random.default_rng(rng).integers(2**63 - 1)))
        reset()
