"""States of a network of ours, taken step by step along its chain."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from cortexres.errors import ArgumentError
from cortexres.nn.chain import Chain, Chained, Step
from cortexres.nn.constrained import computed_once
from cortexres.nn.recording.states.state import Keep, Place, Stage, facts_of, in_evaluation


class ChainStates:
    """States of a network of ours, taken step by step along its chain.

    Parameters
    ----------
    network : Chained
        Run in evaluation.
    example : Tensor
        A batch, to see the shapes of the states.
    steps : int, optional
        Number of steps, where the network has one recurrence.
    """

    def __init__(self, network: Chained, example: Tensor, steps: int | None = None) -> None:
        self._network, self._chain = network, _with_steps(network.chain(), steps)
        with torch.no_grad(), in_evaluation(network):
            states = self._chain.states(example[:1])
        # Blocks that change the shape begin a stage here, as their sums have its shape; in a chain they stand alone.
        self._stages: list[list[Step]] = [[]]
        for step, (before, after) in zip(self._chain.steps, pairwise(states), strict=True):
            if self._stages[-1] and before.shape != after.shape:
                self._stages.append([])
            self._stages[-1].append(step)
        layout = ("channel", "y", "x") if states[0].ndim == 4 else ()
        self.stages = [
            Stage(tuple(step.name for step in stage), tuple(map(_kind, stage)), layout) for stage in self._stages
        ]
        self.facts = facts_of(network)

    def run(self, inputs: Tensor, keep: Keep) -> None:
        """Run the chain on a batch and hand over each state as soon as it is there."""
        with torch.no_grad(), in_evaluation(self._network), computed_once(self._chain.tied, *self._chain.blocks):
            state, drive = self._chain.enter(inputs)
            if not self._chain.steps:
                Place(0, 0, 1, has_sum=False).start(keep, state)
            for k, stage in enumerate(self._stages):
                has_sum = any(step.block.activation is not None for step in stage)
                for b, step in enumerate(stage, 1):
                    place = Place(k, b, len(stage) + 1, has_sum)
                    carried, update = step.parts(state, drive)
                    if b == 1:
                        place.start(keep, state if state.shape == carried.shape else carried)
                    place.keep(keep, "carried", carried)
                    place.keep(keep, "update", update)
                    total = carried + update
                    if has_sum:
                        place.keep(keep, "sum", total)
                    state = step.finish(total)
                    place.keep(keep, "response", state)


def _with_steps(chain: Chain, steps: int | None) -> Chain:
    """Return a chain with that many steps: its first, and where all share one block, more of that one."""
    count = len(chain.steps) if steps is None else steps
    if count < 0:
        raise ArgumentError(f"got steps={count}, expected 0 or more blocks to record")
    if steps is not None and len({step.stage for step in chain.steps}) != 1:
        raise ArgumentError(f"got steps={steps} for a network of several stages, expected none: its depth is its own")
    more = range(len(chain.steps), count)
    if more and len({id(step.block) for step in chain.steps}) > 1:
        raise ArgumentError(
            f"got steps={count}, expected at most {len(chain.steps)}: an untied network ends there; tie it"
        )
    first = chain.steps[0]
    name = re.sub(r"\d+$", "", first.name)
    return replace(
        chain, steps=(*chain.steps[:count], *(replace(first, index=k, name=f"{name}{k}") for k in more))
    )


def _kind(step: Step) -> str:
    """Return what is carried past a block: the name of its shortcut, as in ``"zero_padding"``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(step.block.shortcut).__name__).lower()
