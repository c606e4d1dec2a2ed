"""A network seen as what it adds up: a first state, residual steps, a readout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from cortexres.errors import ArgumentError
from cortexres.nn.block import Block
from cortexres.nn.constrained import computed_once


@dataclass(frozen=True)
class Step:
    """One application of a block.

    Parameters
    ----------
    block : Block
        The same object in all steps that share it.
    index : int
        The step that the block is told, for what normalisation keeps per step.
    stage : int
        Stage of the network: within one, states have the same shape, and steps can be exchanged.
    name : str
        Where the block is in the network.
    """

    block: Block
    index: int
    stage: int
    name: str

    def parts(self, state: Tensor, drive: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return (x, F(x)), the two terms of the sum."""
        return self.block.parts(state, drive, self.index)

    def finish(self, total: Tensor) -> Tensor:
        """Return the next state from the sum."""
        return self.block.finish(total)

    def __call__(self, state: Tensor, drive: Tensor | None = None) -> Tensor:
        """Return the next state."""
        after: Tensor = self.block(state, drive, self.index)
        return after


@dataclass(frozen=True)
class Chain:
    """A whole network as a chain of residual steps; running it is running the network without noise, to the last bit.

    Parameters
    ----------
    enter : callable
        Inputs -> (first state, drive of every step or None).
    steps : tuple of Step
        In order.
    read : callable
        Last state -> logits.
    """

    enter: Callable[[Tensor], tuple[Tensor, Tensor | None]]
    steps: tuple[Step, ...]
    read: Callable[[Tensor], Tensor]

    @property
    def tied(self) -> bool:
        """Return whether steps share a block."""
        return len(self.blocks) < len(self.steps)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Return every block once, in the order of its first step."""
        return tuple({id(step.block): step.block for step in self.steps}.values())

    def states(self, inputs: Tensor) -> list[Tensor]:
        """Return the state before the first step and after each; their shapes may differ between stages."""
        state, drive = self.enter(inputs)
        states = [state]
        with computed_once(self.tied, *self.blocks):
            for step in self.steps:
                states.append(step(states[-1], drive))
        return states

    def run(self, inputs: Tensor) -> Tensor:
        """Return the logits, (batch, class)."""
        state, drive = self.enter(inputs)
        with computed_once(self.tied, *self.blocks):
            for step in self.steps:
                state = step(state, drive)
        return self.read(state)


@runtime_checkable
class Chained(Protocol):
    """A network that can be seen as a chain; all whole networks of `cortexres.nn` are, but the multi-state ones."""

    def chain(self) -> Chain:
        """Return the chain, with the network's own modules: what changes in one changes in the other."""
        ...


def chain_of(network: Chained | Chain) -> Chain:
    """Return the chain of a network, or the chain itself.

    Raises
    ------
    ArgumentError
        If the network is no chain.
    """
    if isinstance(network, Chain):
        return network
    if not isinstance(network, Chained):
        raise ArgumentError(
            f"got a {type(network).__name__}, which is no chain of residual steps, expected a network with chain(), or "
            "a Chain of its parts; the states of other networks can be had from nn.record"
        )
    return network.chain()
