"""Two chains of dilated convolutions that exchange channels on the way: a mixed tensor decomposition."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from cortexres.errors import ArgumentError
from cortexres.nn.initial import Rng, reset_children, stream
from cortexres.nn.norms import Norm
from cortexres.nn.sizes import check_sizes
from cortexres.nn.transforms.layer import Activation, Layer, Order
from cortexres.nn.transforms.transform import resting


class Dilated(nn.Module):
    """Two chains of dilated 3 x 3 convolutions in different order, mixed where both have seen the same positions.

    Each chain combines positions in a tree of its own. After the layers of `exchange`, the chains swap half of their
    channels, which costs nothing; one such exchange already lets the network represent functions for which either
    tree would need almost the square of its width. A last 1 x 1 convolution reads both chains.

    Parameters
    ----------
    channels : int
        Channels of the state.
    out_channels : int, optional
        Channels of the update; those of the state where it is left out.
    width : int, optional
        Channels of each chain; half of `out_channels` where it is left out, at least 2.
    dilations, other_dilations : sequence of int
        Of the layers of the two chains.
    exchange : sequence of int, optional
        Numbers of layers, from 1, after which channels are swapped; where it is left out, all after which both chains
        have had the same dilations, but the last. Empty: chains that meet at the end only.
    stride : int
        Of the last convolution.
    order, norm, activation, rng
        As in `Convolutional`.

    Raises
    ------
    ArgumentError
        If a size is below 1, the chains differ in length, or an exchange is not between two layers.

    References
    ----------
    Cohen, Tamari & Shashua (2018), Boosting dilated convolutional networks with mixed tensor decompositions,
    arXiv:1703.06846
    """

    state_dims = 3
    takes_drive = False

    def __init__(
        self,
        channels: int,
        out_channels: int | None = None,
        *,
        width: int | None = None,
        dilations: Sequence[int] = (1, 2, 4),
        other_dilations: Sequence[int] = (2, 1, 4),
        exchange: Sequence[int] | None = None,
        stride: int = 1,
        order: Order = "post",
        norm: Norm | None = None,
        activation: Activation = torch.relu,
        rng: Rng = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        out = channels if out_channels is None else out_channels
        inner = max(out // 2, 2) if width is None else width
        check_sizes(channels=channels, out_channels=out, width=inner, stride=stride)
        check_sizes(smallest_dilation=min([*dilations, *other_dilations], default=0))
        if len(dilations) != len(other_dilations):
            raise ArgumentError(
                f"got {len(dilations)} dilations and {len(other_dilations)} others, expected chains of one length"
            )
        self.exchange = _meetings(dilations, other_dilations) if exchange is None else tuple(exchange)
        if not all(1 <= place < len(dilations) for place in self.exchange):
            raise ArgumentError(
                f"got exchange={self.exchange}, expected layers from 1 to {len(dilations) - 1}: between two layers"
            )
        self.in_channels, self.out_channels, self.stride = channels, out, stride
        layer = partial(
            Layer, order=order, norm=norm, activation=activation, rng=stream(rng), device=device, dtype=dtype
        )
        sources = (channels, *(inner for _ in dilations[1:]))
        self.chain, self.other = (
            nn.ModuleList(
                layer(source, inner, 3, dilation=dilation)
                for source, dilation in zip(sources, chain, strict=True)
            )
            for chain in (dilations, other_dilations)
        )
        self.last = layer(2 * inner, out, 1, stride=stride, last=True)

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw the weights anew; norms start where they do."""
        reset_children(self, rng)

    def initial_state(self, drive: Tensor) -> Tensor:
        """Return the state at rest, zeros (batch, channel, y, x), for a drive (batch, its channels, y, x)."""
        return resting(drive, self.in_channels)

    def forward(self, state: Tensor, drive: Tensor | None = None, step: int = 0) -> Tensor:
        """Return the update, (batch, out channel, y, x), for a state (batch, channel, y, x); the block adds drives."""
        one = other = state
        for place, (layer, other_layer) in enumerate(zip(self.chain, self.other, strict=True), start=1):
            one, other = layer(one, step), other_layer(other, step)
            if place in self.exchange:
                one, other = _swapped(one, other)
        update: Tensor = self.last(torch.cat([one, other], dim=1), step)
        return update

    def extra_repr(self) -> str:
        """Return what `print(module)` shows in the brackets."""
        return f"exchange={self.exchange}"


def _meetings(dilations: Sequence[int], others: Sequence[int]) -> tuple[int, ...]:
    """Return the numbers of layers, but the last, after which both chains have had the same dilations."""
    return tuple(k for k in range(1, len(dilations)) if sorted(dilations[:k]) == sorted(others[:k]))


def _swapped(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Return both with the second half of their channels exchanged."""
    half = one.shape[1] // 2
    return torch.cat([one[:, :half], other[:, half:]], dim=1), torch.cat([other[:, :half], one[:, half:]], dim=1)
