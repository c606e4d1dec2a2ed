"""A tied network that is untied in part: one block for the first steps, and one for the others."""

from __future__ import annotations

import copy
from typing import cast

from torch import nn

from cortexres.errors import ArgumentError
from cortexres.nn.block import Block
from cortexres.nn.growth.stages import recurrent_of, stage_at
from cortexres.nn.growth.whole_numbers import whole
from cortexres.nn.networks.staged import Stage, StagedNetwork
from cortexres.nn.recurrent import Recurrent
from cortexres.nn.untie import alone, together


def split(network: Recurrent, at: int) -> tuple[Recurrent, Recurrent]:
    """Return two networks that compute in turn what one did: its first `at` steps, and the others.

    Both have the block of a tied network, each its own copy, and what normalisation keeps for their steps: so a tied
    network is untied in part, and its halves can learn apart. An untied network is cut.

    ``first, second = split(network, at)``: with ``injection="first"``, ``second(first(x)[1])`` ends where
    ``network(x)`` does, bit for bit, and with ``"every"``, ``second(x, first(x)[1])``.

    Parameters
    ----------
    network : Recurrent
        Tied or not; not changed itself.
    at : int
        Steps of the first, from 1 to one less than there are.

    Raises
    ------
    ArgumentError
        If `at` is no whole number or a part would have no step, the network is read at a step of its own, or a norm
        shares batch statistics that are refused in evaluation.
    """
    place = whole("at", at)
    if not 1 <= place < network.steps:
        raise ArgumentError(f"got at={at}, expected 1 to {network.steps - 1}: both parts have steps")
    if isinstance(network.readout, int):
        raise ArgumentError(f"got readout={network.readout}, expected 'all' or 'last': one of the parts would lack it")
    return _part(network, range(place)), _part(network, range(place, network.steps))


def split_stage(network: StagedNetwork, at: int, *, stage: int = 0) -> StagedNetwork:
    """Return a network that computes the same, bit for bit, with a stage more: `split` of one of its stages.

    Parameters
    ----------
    network : StagedNetwork
        Not changed itself.
    at : int
        Steps that stay with the stage, its transition not counted; the others become the next stage.
    stage : int
        Which stage, from 0.

    Raises
    ------
    ArgumentError
        If there is no such stage, or as in `split`.
    """
    first, second = split(recurrent_of(stage_at(network, stage)), at)
    made = copy.deepcopy(network)
    stages = [cast("Stage", own) for own in made.stages]
    stages[stage].recurrent = first
    stages.insert(stage + 1, Stage(None, second).train(network.training))
    made.stages = nn.ModuleList(stages)
    return made


def _part(network: Recurrent, steps: range) -> Recurrent:
    """Return the network of some of the steps."""
    blocks: list[Block] = [alone(*network.at(step)) for step in steps]
    made = Recurrent(
        together(blocks, mode="check") if network.tied else blocks,
        steps=len(steps),
        injection=network.injection,
        readout=network.readout,
        noise=network.noise,
        loop=network.loop,
    )
    return made.train(network.training)
