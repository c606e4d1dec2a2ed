"""Whole networks of several stages: within one, one block recurs, or one block follows another."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from cortexres.errors import ArgumentError
from cortexres.nn.block import Block
from cortexres.nn.chain import Chain, Step
from cortexres.nn.constrained import computed_once
from cortexres.nn.initial import Rng, reset_children
from cortexres.nn.recurrent import Mode, Recurrent
from cortexres.nn.transforms.transform import Transform


class Stage(nn.Module):
    """States of one shape: a block that brings them there, and a recurrent network that goes on with them.

    Parameters
    ----------
    transition : Block, optional
        Changes channels and positions; none where the state has the shape already.
    recurrent : Recurrent, optional
        With ``injection="first"`` and ``readout="last"``; none where the transition is all there is.

    Raises
    ------
    ArgumentError
        If there is neither, or the recurrent network is driven at every step or read elsewhere than at its end.
    """

    def __init__(self, transition: Block | None = None, recurrent: Recurrent | None = None) -> None:
        super().__init__()
        if transition is None and recurrent is None:
            raise ArgumentError("got a stage without blocks, expected a transition or a recurrent network")
        if recurrent is not None and (recurrent.injection, recurrent.readout) != ("first", "last"):
            raise ArgumentError(
                f"got a recurrent network with injection={recurrent.injection!r} and readout={recurrent.readout!r}, "
                "expected 'first' and 'last': a stage goes from one state to the next"
            )
        self.transition, self.recurrent = transition, recurrent

    @property
    def steps(self) -> int:
        """Return the number of steps of the recurrent network."""
        return 0 if self.recurrent is None else self.recurrent.steps

    def forward(self, state: Tensor, *, steps: int | None = None) -> Tensor:
        """Return the last state, for the state of the stage before.

        Parameters
        ----------
        state : Tensor of shape (batch, ...)
            From the stage before, or the stem.
        steps : int, optional
            Of the recurrent network; its own where it is left out.
        """
        if self.transition is not None:
            state = self.transition(state)
        if self.recurrent is not None:
            state, _ = self.recurrent(state, steps=steps)
        return state

    def states(self, state: Tensor) -> list[Tensor]:
        """Return the state after each block."""
        states = []
        with computed_once(self.recurrent is not None and self.recurrent.tied, self):
            for block, index in self.blocks():
                state = block(state, None, index)
                states.append(state)
        return states

    def blocks(self) -> list[tuple[Block, int]]:
        """Return the blocks in order, each with the step that it is told."""
        first = [] if self.transition is None else [(self.transition, 0)]
        return first if self.recurrent is None else first + [self.recurrent.at(k) for k in range(self.steps)]


class StagedNetwork(nn.Module):
    """A residual classifier: stem, stages of blocks, readout.

    Parameters
    ----------
    stem : Module
        Inputs -> first state, see `cortexres.nn.networks.stems`.
    stages : sequence of Stage
        In order.
    head : Module
        Last state -> logits, see `cortexres.nn.networks.heads`.
    name : str
        For tables and titles.

    Raises
    ------
    ArgumentError
        If there are no stages.

    References
    ----------
    He, Zhang, Ren & Sun (2016), Deep residual learning for image recognition, doi:10.1109/CVPR.2016.90
    Liao & Poggio (2016), arXiv:1604.03640, for stages whose blocks share their weights
    """

    def __init__(
        self, stem: nn.Module, stages: Sequence[Stage], head: nn.Module, *, name: str = "staged network"
    ) -> None:
        super().__init__()
        if not stages:
            raise ArgumentError("got no stages, expected one or more")
        self.stem, self.stages, self.head = stem, nn.ModuleList(stages), head
        self.name = name

    @property
    def tied(self) -> bool:
        """Return whether the blocks of every stage share their weights."""
        recurrent = self._recurrent()
        return bool(recurrent) and all(network.tied for network in recurrent)

    @property
    def steps(self) -> tuple[int, ...]:
        """Return the number of steps of each stage after its transition."""
        return tuple(stage.steps for stage in self._stages())

    @property
    def widths(self) -> tuple[int, ...]:
        """Return the number of channels, or units, of each stage."""
        return tuple(cast("Transform", stage.blocks()[0][0].transform).out_channels for stage in self._stages())

    @property
    def facts(self) -> dict[str, object]:
        """Return what `record` keeps of the network: whether it is tied, and its sizes."""
        blocks = [len(stage.blocks()) for stage in self._stages()]
        return {"tied": self.tied, "widths": list(self.widths), "blocks": blocks}

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw all weights anew; norms start where they do."""
        reset_children(self, rng)

    def forward(self, inputs: Tensor, *, steps: Sequence[int | None] | None = None) -> Tensor:
        """Return the logits, (batch, class).

        Parameters
        ----------
        inputs : Tensor of shape (batch, channel, y, x) or (batch, input)
            What the stem takes.
        steps : sequence of int, optional
            Number of steps of each stage after its transition, where it shall not be the network's own.

        Raises
        ------
        ArgumentError
            If there is not one number of steps per stage, or a stage cannot run that long.
        """
        if steps is not None and len(steps) != len(self.stages):
            raise ArgumentError(f"got {len(steps)} numbers of steps, expected {len(self.stages)}: one for each stage")
        state = self.stem(inputs)
        for k, stage in enumerate(self.stages):
            state = stage(state, steps=None if steps is None else steps[k])
        logits: Tensor = self.head(state)
        return logits

    def states(self, inputs: Tensor) -> list[Tensor]:
        """Return the state after the stem and after each block, (batch, channel, ...)."""
        states = [self.stem(inputs)]
        for stage in self._stages():
            states += stage.states(states[-1])
        return states

    def chain(self) -> Chain:
        """Return the network as a chain of its blocks; a block that changes the shape is a stage by itself."""
        steps: list[Step] = []
        for k, stage in enumerate(self._stages()):
            for place, (block, index) in enumerate(stage.blocks()):
                changes = block is stage.transition
                steps.append(Step(block, index, 2 * k + (not changes), f"stages.{k}.{place}"))
        return Chain(enter=lambda inputs: (self.stem(inputs), None), steps=tuple(steps), read=self.head)

    def to_untied(self) -> StagedNetwork:
        """Return an untied network that computes the same: each step gets its own copy of its stage's block.

        Raises
        ------
        ArgumentError
            If the network is untied already.
        """
        if not self.tied:
            raise ArgumentError("got an untied network, expected a tied one: its blocks are separate already")
        return self._with([network.to_untied() for network in self._recurrent()])

    def to_tied(self, *, mode: Mode = "check") -> StagedNetwork:
        """Return a tied network made of the blocks of an untied one, stage by stage.

        Parameters
        ----------
        mode : {"check", "mean", "first"}
            As in `Recurrent.from_untied`.

        Raises
        ------
        ArgumentError
            If the network is tied already, or blocks differ in weights where they must be equal.
        """
        if self.tied:
            raise ArgumentError("got a tied network, expected an untied one: the steps of its stages share a block")
        return self._with([Recurrent.from_untied(network, mode=mode) for network in self._recurrent()])

    def _with(self, recurrent: Sequence[Recurrent]) -> StagedNetwork:
        """Return a copy of the network with other recurrent networks in its stages."""
        made, remaining = copy.deepcopy(self), iter(recurrent)
        for stage in made._stages():
            if stage.recurrent is not None:
                stage.recurrent = next(remaining)
        return made

    def _stages(self) -> list[Stage]:
        return [cast("Stage", stage) for stage in self.stages]

    def _recurrent(self) -> list[Recurrent]:
        return [stage.recurrent for stage in self._stages() if stage.recurrent is not None]

    def extra_repr(self) -> str:
        """Return what `print(module)` shows in the brackets."""
        return f"{self.name!r}, tied={self.tied}"
