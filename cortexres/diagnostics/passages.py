"""What happens at each step of a chain: the state that comes in, what is carried of it, and what is added."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from cortexres.diagnostics.subject import Subject
from cortexres.nn.chain import Chain


class Passage(NamedTuple):
    """One step, (batch, ...) each: ``carried + added``, through an activation where there is one, is what follows."""

    state: Tensor
    carried: Tensor
    added: Tensor
    after: Tensor


def passages(chain: Chain, state: Tensor, drive: Tensor | None) -> Iterator[Passage]:
    """Yield what happens at each step, in order, from the first state and the drive of every step."""
    for step in chain.steps:
        carried, added = step.parts(state, drive)
        after = step.finish(carried + added)
        yield Passage(state, carried, added, after)
        state = after


class Kind(NamedTuple):
    """What a step is, whatever the stimulus: whether the next state has another shape, and whether x gets past F."""

    changes_shape: bool
    carries: bool


def kinds(looked_at: Subject) -> list[Kind]:
    """Return what each step is, seen on a few stimuli."""
    chain = looked_at.chain
    with torch.no_grad():
        return [
            # nothing is carried of a state at rest by any shortcut
            Kind(after.shape != state.shape, bool(carried.any()) or not bool(state.any()))
            for state, carried, _, after in passages(chain, *chain.enter(looked_at.inputs[:8]))
        ]
