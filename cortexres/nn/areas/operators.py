"""What connections between areas compute: convolutions to coarser maps, and back to finer ones."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from cortexres.errors import ArgumentError
from cortexres.nn.areas.adjacency import Area
from cortexres.nn.initial import Rng, linear, normal_, reset_children, zero_
from cortexres.nn.norms import Norm, normalised
from cortexres.nn.sizes import check_sizes
from cortexres.nn.transforms.layer import Activation, Layer
from cortexres.nn.transforms.transform import resting

Down = Literal["stride", "max", "average"]
Up = Literal["nearest", "bilinear", "transposed"]


class Downsampling(nn.Module):
    """``pool(activation(norm(W * h)))``, a map of ``ceil(size / factor)`` positions; a factor of 1 keeps the size.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels before and after.
    factor : int
        How many positions become one, on each axis.
    kernel_size : int
        Odd.
    by : {"stride", "max", "average"}
        Stride of the convolution, or pooling after the activation.
    norm : Norm, optional
        Normalisation after the convolution.
    activation : callable, optional
        Elementwise function.
    bias : bool
        Whether the convolution has a bias where there is no normalisation; beside one there is none.
    rng : int or numpy Generator, optional
        Where the weights come from (normal, standard deviation ``sqrt(2 / fan_in)``; bias 0).

    Raises
    ------
    ArgumentError
        If `by` is none of these, a size is below 1, or the kernel is even.
    """

    state_dims = 3
    takes_drive = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        factor: int = 2,
        kernel_size: int = 3,
        by: Down = "stride",
        norm: Norm | None = None,
        activation: Activation | None = None,
        bias: bool = True,
        rng: Rng = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(in_channels=in_channels, out_channels=out_channels, factor=factor, kernel_size=kernel_size)
        _check_way(by, get_args(Down))
        self.in_channels, self.out_channels, self.stride, self.by = in_channels, out_channels, factor, by
        self.layer = Layer(
            in_channels,
            out_channels,
            kernel_size,
            stride=factor if by == "stride" else 1,
            norm=norm,
            activation=activation,
            bias=bias,
            rng=rng,
            device=device,
            dtype=dtype,
        )

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw the weights anew; the norm starts where it does."""
        reset_children(self, rng)

    def initial_state(self, drive: Tensor) -> Tensor:
        """Return the state at rest, zeros (batch, channel, y, x), for a drive (batch, its channels, y, x)."""
        return resting(drive, self.in_channels)

    def forward(self, state: Tensor, drive: Tensor | None = None, step: int = 0) -> Tensor:
        """Return the coarser map, (batch, out channel, y, x); a block adds drives."""
        x: Tensor = self.layer(state, step)
        if self.by == "max":
            return functional.max_pool2d(x, self.stride, ceil_mode=True)
        if self.by == "average":
            return functional.avg_pool2d(x, self.stride, ceil_mode=True)
        return x

    def extra_repr(self) -> str:
        """Return what `print(module)` shows in the brackets."""
        return f"{self.in_channels}, {self.out_channels}, factor={self.stride}, by={self.by!r}"


class Upsampling(nn.Module):
    """``upsample(activation(norm(W * h)))``, a map of `factor` times as many positions on each axis, cut to `size`.

    The convolution is computed on the coarse map. A transposed one makes each position a patch of ``factor x factor``.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels before and after.
    factor : int
        How many positions one becomes, on each axis.
    size : (int, int), optional
        Positions (y, x) to cut to, where the finer map is no multiple of the coarser.
    kernel_size : int
        Of the convolution, odd; a transposed one has `factor` instead.
    by : {"nearest", "bilinear", "transposed"}
        Interpolation after the activation, or a transposed convolution.
    norm, activation, rng
        As in `Downsampling`.

    Raises
    ------
    ArgumentError
        As in `Downsampling`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        factor: int = 2,
        size: tuple[int, int] | None = None,
        kernel_size: int = 3,
        by: Up = "nearest",
        norm: Norm | None = None,
        activation: Activation | None = None,
        rng: Rng = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(in_channels=in_channels, out_channels=out_channels, factor=factor, kernel_size=kernel_size)
        _check_way(by, get_args(Up))
        self.in_channels, self.out_channels, self.factor, self.by = in_channels, out_channels, factor, by
        self.size = None if size is None else tuple(size)
        made = TransposedLayer if by == "transposed" else Layer
        self.layer = made(
            in_channels,
            out_channels,
            factor if by == "transposed" else kernel_size,
            norm=norm,
            activation=activation,
            rng=rng,
            device=device,
            dtype=dtype,
        )

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw the weights anew; the norm starts where it does."""
        reset_children(self, rng)

    def forward(self, state: Tensor, step: int = 0) -> Tensor:
        """Return the finer map, (batch, out channel, y, x)."""
        x: Tensor = self.layer(state, step)
        if self.by != "transposed":
            size = [self.factor * n for n in x.shape[2:]]
            x = functional.interpolate(x, size, mode=self.by, align_corners=False if self.by == "bilinear" else None)
        return x if self.size is None else x[:, :, : self.size[0], : self.size[1]]

    def extra_repr(self) -> str:
        """Return what `print(module)` shows in the brackets."""
        return f"{self.in_channels}, {self.out_channels}, factor={self.factor}, size={self.size}, by={self.by!r}"


class TransposedLayer(nn.Module):
    """``activation(norm(W^T * h))``, the transposed convolution of stride `factor` whose patches do not overlap.

    Parameters as in `Upsampling`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        factor: int,
        *,
        norm: Norm | None = None,
        activation: Activation | None = None,
        rng: Rng = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.convolution = nn.utils.skip_init(  # type: ignore[no-untyped-call]
            nn.ConvTranspose2d,
            in_channels,
            out_channels,
            factor,
            stride=factor,
            bias=norm is None,
            device=device or "cpu",
            dtype=dtype,
        )
        self.norm = None if norm is None else norm.build(out_channels, device=device, dtype=dtype)
        self.reset_parameters(rng)

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw the weights anew, with standard deviation ``sqrt(2 / in_channels)``: patches do not overlap."""
        normal_(self.convolution.weight, (2 / self.convolution.in_channels) ** 0.5, rng)
        zero_(self.convolution.bias)
        if self.norm is not None:
            self.norm.reset_parameters()

    def forward(self, x: Tensor, step: int = 0) -> Tensor:
        """Return the finer map, (batch, out channel, y, x)."""
        x = normalised(self.norm, self.convolution(x), step)
        return x if self.activation is None else self.activation(x)


def operator_between(
    source: Area,
    target: Area,
    *,
    kernel_size: int = 3,
    down: Down = "stride",
    up: Up = "nearest",
    norm: Norm | None = None,
    activation: Activation | None = None,
    rng: Rng = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> nn.Module:
    """Return an operator that takes states of `source` to the shape of `target`.

    Between maps, a `Downsampling` or `Upsampling` by the factor of their sizes; between dense states, a linear layer,
    which knows neither `norm` nor `activation`.

    Parameters
    ----------
    source, target : Area
        Where it comes from and where it goes.
    kernel_size, norm, activation, rng
        As in `Downsampling`.
    down : {"stride", "max", "average"}
        How it gets to a coarser map.
    up : {"nearest", "bilinear", "transposed"}
        How it gets to a finer map.

    Raises
    ------
    ArgumentError
        If one area is dense and the other a map, or neither size is the other divided by a whole number, rounded up.
    """
    between = f"between {source.name} {source.shape} and {target.name} {target.shape}"
    if len(source.shape) != len(target.shape):
        raise ArgumentError(f"got a map and a dense state {between}, expected two of a kind or an operator of your own")
    if len(source.shape) == 1:
        return linear(*source.shape, *target.shape, rng=rng, device=device, dtype=dtype)
    fine, coarse = sorted((source.shape[1:], target.shape[1:]), reverse=True)
    factor = next((f for f in range(1, max(fine) + 1) if tuple(-(-n // f) for n in fine) == coarse), None)
    if factor is None:
        raise ArgumentError(
            f"got sizes {between}, expected the finer to be the coarser times a whole number; change the size of one, "
            "or give an operator of your own"
        )
    channels = source.channels, target.channels
    if fine == source.shape[1:]:
        return Downsampling(
            *channels, factor=factor, kernel_size=kernel_size, by=down, norm=norm, activation=activation, rng=rng,
            device=device, dtype=dtype,
        )  # fmt: skip
    return Upsampling(
        *channels, factor=factor, size=(fine[0], fine[1]), kernel_size=kernel_size, by=up, norm=norm,
        activation=activation, rng=rng, device=device, dtype=dtype,
    )  # fmt: skip


def _check_way(by: str, ways: tuple[str, ...]) -> None:
    if by not in ways:
        raise ArgumentError(f"got by={by!r}, expected one of {', '.join(ways)}")
