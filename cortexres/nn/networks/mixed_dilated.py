"""Networks of dilated convolutions over a sequence, one alone or two that exchange channels on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from cortexres.errors import ArgumentError
from cortexres.nn.initial import Rng, normal_, stream
from cortexres.nn.sizes import check_sizes

Combine = Literal["product", "rectified"]


class MixedDilated(nn.Module):
    """A sum of two networks of dilated convolutions with windows of two, interconnected: a mixed tensor decomposition.

    A layer of dilation d has ``h'_c(t) = g(a_c . h(t - d), b_c . h(t))`` for each channel c. The dilations of a network
    say in what tree it combines the times of its window (`cortexres.diagnostics.mode_trees`). Where both networks have
    had the same dilations, in whatever order, they can swap half of their channels; that costs nothing, and with g a
    product one such place lets the sum of both represent functions for which either alone would need almost the square
    of its width. `Dilated` is the residual function of maps that is made in this way.

    Parameters
    ----------
    width : int
        Channels of the input and of all layers of each network.
    dilations : sequence of int
        Of the layers, the first first.
    other_dilations : sequence of int, optional
        Of the second network; where they are left out there is none.
    exchange : sequence of int
        Numbers of layers, from 1, after which the networks swap the first half of their channels (width // 2). After
        the last layer that leaves the sum alone, and only the states of `streams` change.
    combine : {"product", "rectified"}
        g: the product, an arithmetic circuit, which is linear in the input of each time; or ``relu(x + y)``, a usual
        convolution.
    rng : int or numpy Generator, optional
        Where the weights come from (normal, standard deviation ``1 / sqrt(width)``).
    device : torch.device or str, optional
        Where the weights are.
    dtype : torch.dtype, optional
        Their precision.

    Attributes
    ----------
    weights : ParameterList
        For each network (layer, 2, channel, input channel): the a_c of all channels, then the b_c.

    Raises
    ------
    ArgumentError
        If a size is below 1; if the networks differ in depth or window; if they exchange channels after a layer that
        does not exist or up to which their dilations differ, so that they have not seen the same times, or have a
        single channel, of which there is no half.

    References
    ----------
    Cohen, Tamari & Shashua (2018), Boosting dilated convolutional networks with mixed tensor decompositions,
    arXiv:1703.06846
    """

    def __init__(
        self,
        width: int,
        dilations: Sequence[int],
        other_dilations: Sequence[int] | None = None,
        *,
        exchange: Sequence[int] = (),
        combine: Combine = "product",
        rng: Rng = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        chains = [tuple(dilations)] if other_dilations is None else [tuple(dilations), tuple(other_dilations)]
        check_sizes(width=width)
        _check_chains(chains)
        _check_exchange(chains, exchange, width)
        if combine not in ("product", "rectified"):
            raise ArgumentError(f"got combine={combine!r}, expected 'product' or 'rectified'")
        self.width, self.chains, self.exchange, self.combine = width, chains, tuple(exchange), combine
        self.weights = nn.ParameterList(
            torch.empty(len(chain), 2, width, width, device=device, dtype=dtype) for chain in chains
        )
        self.reset_parameters(rng)

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw all weights anew."""
        draw = stream(rng)
        for weight in self.weights:
            normal_(weight.data, self.width**-0.5, draw)

    @property
    def window(self) -> int:
        """Return how many times back, with the last, an output depends on."""
        return 1 + sum(self.chains[0])

    def streams(self, inputs: Tensor) -> list[Tensor]:
        """Return the last states of the networks, (batch, channel, time), after their last exchange.

        Raises
        ------
        ArgumentError
            If the inputs are not (batch, width, time) with as many times as the window has, or more.
        """
        if inputs.ndim != 3 or inputs.shape[1] != self.width or inputs.shape[2] < self.window:
            raise ArgumentError(
                f"got inputs of shape {tuple(inputs.shape)}, expected (batch, {self.width}, time) of {self.window} "
                "times or more"
            )
        states = [inputs] * len(self.chains)
        for layer in range(len(self.chains[0])):
            states = [self._layer(number, layer, state) for number, state in enumerate(states)]
            if layer + 1 in self.exchange:
                states = _swapped(*states)
        return states

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the output, (batch, channel, time - window + 1), for inputs (batch, channel, time)."""
        return torch.stack(self.streams(inputs)).sum(dim=0)

    def _layer(self, network: int, layer: int, state: Tensor) -> Tensor:
        dilation = self.chains[network][layer]
        earlier, later = (
            torch.einsum("oc,bct->bot", weight, state) for weight in self.weights[network][layer]
        )
        earlier, later = earlier[..., :-dilation], later[..., dilation:]
        return earlier * later if self.combine == "product" else torch.relu(earlier + later)

    def extra_repr(self) -> str:
        """Return what `print(module)` shows in the brackets."""
        dilations = " and ".join(str(list(chain)) for chain in self.chains)
        return f"{self.width}, dilations={dilations}, exchange={list(self.exchange)}, combine={self.combine}"


def _swapped(one: Tensor, other: Tensor) -> list[Tensor]:
    """Return both with the first half of their channels exchanged."""
    half = one.shape[1] // 2
    return [torch.cat([other[:, :half], one[:, half:]], dim=1), torch.cat([one[:, :half], other[:, half:]], dim=1)]


def _check_chains(chains: Sequence[Sequence[int]]) -> None:
    """Raise where a network has no layers, or two are not of one depth and window."""
    for name, chain in zip(("dilations", "other_dilations"), chains, strict=False):
        if not chain or min(chain) < 1:
            raise ArgumentError(f"got {name}={list(chain)}, expected one or more, each of 1 or more")
    if len(chains[0]) != len(chains[-1]) or sum(chains[0]) != sum(chains[-1]):
        raise ArgumentError(
            f"got dilations {list(chains[0])} and {list(chains[-1])}, expected networks of one depth and one window"
        )


def _check_exchange(chains: Sequence[Sequence[int]], exchange: Sequence[int], width: int) -> None:
    """Raise where networks cannot swap half of their channels."""
    if exchange and len(chains) == 1:
        raise ArgumentError(f"got exchange={list(exchange)} and one network, expected other_dilations, for a second")
    if exchange and width < 2:
        raise ArgumentError(
            f"got exchange={list(exchange)} and width={width}, expected a width of 2 or more: one channel has no half"
        )
    for place in exchange:
        if not 1 <= place <= len(chains[0]) or sorted(chains[0][:place]) != sorted(chains[1][:place]):
            raise ArgumentError(
                f"got an exchange after layer {place}, expected one up to which dilations {list(chains[0])} and "
                f"{list(chains[1])} are the same but for their order"
            )
