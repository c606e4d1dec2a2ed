"""A convolution with its normalisation and activation, in either order: what residual functions of maps are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from cortexres.errors import ArgumentError
from cortexres.nn.initial import Rng, empty_convolution, reset_children
from cortexres.nn.norms import Norm, normalised

Order = Literal["post", "pre"]
Activation = Callable[[Tensor], Tensor]


class Layer(nn.Module):
    """``activation(norm(convolution(x)))`` (post) or ``convolution(activation(norm(x)))`` (pre).

    The convolution keeps the map's size but for its stride.

    Parameters
    ----------
    in_channels, out_channels, kernel_size : int
        Of the convolution; the kernel is odd.
    order : {"post", "pre"}
        Where normalisation and activation stand.
    activation : callable, optional
        Elementwise function of a Tensor.
    norm : Norm, optional
        Of the output (post) or the input (pre).
    stride, dilation, groups : int
        As in `torch.nn.Conv2d`.
    bias : bool
        Whether the convolution has a bias where there is no normalisation; beside one there is none.
    last : bool
        Whether it is the last layer of an F: in post order it has no activation, which follows the sum.

    Raises
    ------
    ArgumentError
        If `order` is neither, or the kernel is even.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        order: Order = "post",
        activation: Activation | None = torch.relu,
        norm: Norm | None = None,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        last: bool = False,
        rng: Rng = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if order not in ("post", "pre"):
            raise ArgumentError(f"got order={order!r}, expected 'post' or 'pre'")
        self.order, self.activation = order, None if last and order == "post" else activation
        self.convolution = empty_convolution(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            dilation=dilation,
            groups=groups,
            bias=bias and norm is None,
            device=device,
            dtype=dtype,
        )
        channels = out_channels if order == "post" else in_channels
        self.norm = None if norm is None else norm.build(channels, device=device, dtype=dtype)
        self.reset_parameters(rng)

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw the weights anew, with standard deviation ``sqrt(2 / fan_in)``; the norm starts where it does."""
        reset_children(self, rng)

    def forward(self, x: Tensor, step: int = 0) -> Tensor:
        """Return the next map, (batch, channel, y, x)."""
        if self.order == "pre":
            ready: Tensor = self.convolution(self._activated(normalised(self.norm, x, step)))
            return ready
        return self._activated(normalised(self.norm, self.convolution(x), step))

    def _activated(self, x: Tensor) -> Tensor:
        return x if self.activation is None else self.activation(x)

    def extra_repr(self) -> str:
        """Return what `print(module)` shows in the brackets."""
        name = "None" if self.activation is None else getattr(self.activation, "__name__", repr(self.activation))
        return f"order={self.order}, activation={name}"


def through(layers: Iterable[nn.Module], x: Tensor, step: int) -> Tensor:
    """Return `x` after all layers."""
    for layer in layers:
        x = layer(x, step)
    return x
