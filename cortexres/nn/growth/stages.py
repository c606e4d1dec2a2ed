"""The recurrent networks inside whole networks: which of them a change is for, and the network with them changed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeVar, cast

from cortexres.errors import ArgumentError
from cortexres.nn.growth.whole_numbers import whole
from cortexres.nn.networks.staged import Stage, StagedNetwork
from cortexres.nn.recurrent import Recurrent

Growable = TypeVar("Growable", bound=Recurrent | Stage | StagedNetwork)


def with_changed(network: Growable, change: Callable[[Recurrent], Recurrent], *, stage: int | None) -> Growable:
    """Return a copy of a network in which the recurrent network of a stage, or that of each, is what `change` makes.

    Parameters
    ----------
    network : Recurrent, Stage or StagedNetwork
        Not changed itself.
    change : callable
        Recurrent -> Recurrent, with modules of its own.
    stage : int or None
        Which stage of a staged network, from 0; None for all that have a recurrent network. Others have stage 0 alone.

    Raises
    ------
    ArgumentError
        If the network is none of these, or there is no such stage, or nothing recurs in it.
    """
    if isinstance(network, Recurrent | Stage) and stage not in (None, 0):
        raise ArgumentError(
            f"got stage={stage!r} of a {type(network).__name__}, expected 0: only a StagedNetwork has several"
        )
    if isinstance(network, Recurrent):
        return cast("Growable", change(network))
    if isinstance(network, Stage):
        made = Stage(copy.deepcopy(network.transition), change(recurrent_of(network)))
        return cast("Growable", made.train(network.training))
    if not isinstance(network, StagedNetwork):
        raise ArgumentError(
            f"got a {type(network).__name__}, expected a Recurrent, a Stage or a StagedNetwork: only their blocks can "
            "be grown"
        )
    every = [k for k, steps in enumerate(network.steps) if steps]
    changed = {k: change(recurrent_of(stage_at(network, k))) for k in (every if stage is None else [stage])}
    grown = copy.deepcopy(network)
    for k, recurrent in changed.items():
        stage_at(grown, k).recurrent = recurrent
    return cast("Growable", grown)


def stage_at(network: StagedNetwork, stage: int) -> Stage:
    """Return a stage of a network, counted from 0.

    Raises
    ------
    ArgumentError
        If it is no whole number or there is no such stage.
    """
    number = whole("stage", stage)
    if not 0 <= number < len(network.stages):
        raise ArgumentError(f"got stage={stage}, expected 0 to {len(network.stages) - 1}")
    return cast("Stage", network.stages[number])


def recurrent_of(stage: Stage) -> Recurrent:
    """Return the recurrent network of a stage.

    Raises
    ------
    ArgumentError
        If its transition is all there is.
    """
    if stage.recurrent is None:
        raise ArgumentError("got a stage without a recurrent network, expected one with blocks after its transition")
    return stage.recurrent
