"""New blocks in a trained network: at first each is the identity, so that nothing changes until it learns."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Literal, cast, get_args

import torch

from cortexres.errors import ArgumentError
from cortexres.nn.block import Block
from cortexres.nn.growth.rebuilt import rebuilt
from cortexres.nn.growth.silence import silence_
from cortexres.nn.growth.stages import Growable, with_changed
from cortexres.nn.growth.whole_numbers import whole
from cortexres.nn.initial import Rng, stream
from cortexres.nn.recurrent import Recurrent
from cortexres.nn.shortcuts import Identity, LearnedScale, Linear, Scaled
from cortexres.nn.transforms.layer import Activation
from cortexres.nn.transforms.transform import Transform

By = Literal["zero", "scale"]


def insert(
    network: Growable, at: int | Iterable[int], *, stage: int = 0, by: By = "zero", rng: Rng = None
) -> Growable:
    """Return an untied network with blocks more that change nothing: the same last state, bit for bit.

    The new blocks are like the one before them, with weights drawn anew, and then learn like all others. Parameters and
    batch statistics of the old blocks are kept, and get the gradients that they got.

    Parameters
    ----------
    network : Recurrent, Stage or StagedNetwork
        Untied; a tied one is split or untied first. Not changed itself.
    at : int or iterable of int
        After how many of the old blocks each new one comes, 0 for first; a number given twice gives two blocks.
    stage : int
        Of a staged network, from 0: where; blocks are counted without the transition. Others have stage 0 alone.
    by : {"zero", "scale"}
        What makes a new block the identity. ``"zero"``: the last layer of its F is zero, see `silence_`. ``"scale"``:
        its shortcut is `LearnedScale`, for any F, and any shortcut of its neighbours.
    rng : int or numpy Generator, optional
        Where the weights of the new blocks come from.

    Raises
    ------
    ArgumentError
        If the network is tied, noisy or has no such place or stage; if it takes its input in at every step, unless F
        does and ``by="scale"``; if F cannot be silenced; if the neighbour's shortcut carries less than the state and
        ``by="zero"``; or if blocks end in an activation that changes states which have been through it (tanh), or
        may not have (``at=0``).

    References
    ----------
    Chen, Goodfellow & Shlens (2016), Net2Net, arXiv:1511.05641; Wei et al. (2016), Network morphism, arXiv:1603.01670
    Bachlechner et al. (2021), ReZero is all you need, arXiv:2003.04887
    """
    if by not in get_args(By):
        raise ArgumentError(f"got by={by!r}, expected 'zero' or 'scale'")
    places = sorted(whole("at", place) for place in (at if isinstance(at, Iterable) else [at]))
    draw = stream(rng)
    return with_changed(network, lambda own: _inserted(own, places, by, draw), stage=stage)


def _inserted(own: Recurrent, places: Sequence[int], by: By, rng: Rng) -> Recurrent:
    _check_network(own, places)
    blocks: list[Block] = []
    for k in range(own.steps + 1):
        blocks += [_new(own, place, by, rng) for place in places if place == k]
        blocks += [copy.deepcopy(own.at(k)[0])] if k < own.steps else []
    return rebuilt(own, blocks, moved=lambda read: read + sum(place < read for place in places))


def _new(own: Recurrent, place: int, by: By, rng: Rng) -> Block:
    """Return a block that is the identity where it stands."""
    neighbour = own.at(max(place - 1, 0))[0]
    _check_block(own, neighbour, place, by)
    block = copy.deepcopy(neighbour)
    if by == "scale":
        values = next(chain(block.parameters(), own.parameters()), torch.empty(0))  # F may have none
        block.shortcut = LearnedScale(
            cast("Transform", block.transform).out_channels, device=values.device, dtype=values.dtype
        )
    block.reset_parameters(rng)
    if not isinstance(block.shortcut, LearnedScale):  # that starts at 0: zeros on both sides would stay
        silence_(block.transform)
    return block


def _check_network(own: Recurrent, places: Sequence[int]) -> None:
    if own.tied:
        raise ArgumentError(
            "got a tied network, expected an untied one: a block more would share the weights of all; take the ties "
            "apart with split or to_untied"
        )
    if own.noise:
        raise ArgumentError(f"got noise={own.noise:g}, expected 0: a step more would add noise once more")
    if not places or not 0 <= places[0] <= places[-1] <= own.steps:
        raise ArgumentError(f"got at={list(places)}, expected numbers of blocks from 0 to {own.steps}")


def _check_block(own: Recurrent, neighbour: Block, place: int, by: By) -> None:
    """Raise where a block like `neighbour` cannot be the identity."""
    shortcut, kept = neighbour.shortcut, (Identity, Scaled, Linear, LearnedScale)
    if by == "zero" and not isinstance(shortcut, kept):
        raise ArgumentError(
            f"got blocks with the shortcut {type(shortcut).__name__}, expected one that carries the state unchanged "
            f"({', '.join(kind.__name__ for kind in kept)}): insert with by='scale'"
        )
    inside = cast("Transform", neighbour.transform).takes_drive and by == "scale"
    if own.injection == "every" and not inside:
        raise ArgumentError(
            "got injection='every', expected 'first', or residual functions that take the drive and by='scale': a "
            "block more would take the input in once more"
        )
    before = own.at(place - 1)[0].activation if place else None
    if neighbour.activation is not None and not _leaves_alone(neighbour.activation, before):
        raise ArgumentError(
            f"got at={place} in a network whose blocks end in an activation, expected a place after a block with the "
            "same one, and one that leaves alone what has been through it, such as relu: otherwise it changes the state"
        )


def _leaves_alone(activation: Activation, before: Activation | None) -> bool:
    """Return whether an activation changes nothing that has been through the one before."""
    values = torch.linspace(-4.0, 4.0, 81, dtype=torch.float64)
    seen = values if before is None else before(values)
    return bool(torch.equal(activation(seen), seen))
