"""What a loop is asked for: so many steps of a network from a state, and which states are wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from cortexres.errors import ArgumentError
from cortexres.nn.block import Block

Readout = Literal["all", "last"] | int
Output = tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a network, its arguments checked.

    Parameters
    ----------
    at : callable
        Step of the network -> (block, index that the block is told).
    shared : Block or None
        The block of all steps, where they share one.
    start : Tensor of shape (batch, ...)
        State before the first step.
    drive : Tensor of shape (batch, ...) or (batch, time, ...), optional
        What enters at every step: the same, or one frame per step (`movie`); None where nothing does.
    movie : bool
        Whether the drive is one frame per step.
    steps, first_step : int
        How many steps, and how many of the network went before.
    readout : {"all", "last"} or int
        Which states are wanted: all after a step, the last, or that after step k of this run.
    noise : float
        Standard deviation of what each step adds to the state.
    """

    at: Callable[[int], tuple[Block, int]]
    shared: Block | None
    start: Tensor
    drive: Tensor | None
    movie: bool
    steps: int
    first_step: int
    readout: Readout
    noise: float

    def blocks(self) -> list[Block]:
        """Return the blocks of the steps, each once."""
        if self.shared is not None:
            return [self.shared]
        return [self.at(self.first_step + step)[0] for step in range(self.steps)]

    def drive_at(self, step: int) -> Tensor | None:
        """Return what enters at a step of this run, counted from 0."""
        if self.drive is None or not self.movie:
            return self.drive
        return self.drive[:, step]

    def after(self, state: Tensor, step: int) -> Tensor:
        """Return the state after a step of this run, counted from 0, noise included."""
        block, index = self.at(self.first_step + step)
        return self.noisy(block(state, self.drive_at(step), index))

    def noisy(self, state: Tensor) -> Tensor:
        """Return a state with the noise of a step."""
        return state + self.noise * torch.randn_like(state) if self.noise else state

    def wanted(self, step: int) -> bool:
        """Return whether the state after the step, counted from 0, is to be returned beside the last one."""
        return self.readout == "all" or self.readout == step + 1

    def part(self, start: Tensor, first: int, count: int) -> Run:
        """Return the run of `count` steps of this one from its step `first` on, counted from 0, read in all states."""
        drive = self.drive
        if drive is not None and self.movie:
            drive = drive[:, first : first + count]
        return replace(
            self, start=start, drive=drive, steps=count, first_step=self.first_step + first, readout="all"
        )

    def check_reached(self) -> None:
        """Check that the run gets to the step at which it is read.

        Raises
        ------
        ArgumentError
            If it ends before.
        """
        if isinstance(self.readout, int) and 0 < self.steps < self.readout:
            raise ArgumentError(
                f"got steps={self.steps}, expected {self.readout} or more: the network is read at that step"
            )

    def output(self, read: Sequence[Tensor], last: Tensor) -> Output:
        """Return (output, last state) from the wanted states, in order."""
        if self.readout == "last":
            return last, last
        if self.readout == "all":
            return torch.stack(list(read), dim=1) if read else last.new_empty(len(last), 0, *last.shape[1:]), last
        return read[0] if read else last, last


class Loop(Protocol):
    """A way to run the steps. All give what `Plain` gives, to rounding, or refuse the run."""

    def refusal(self, run: Run) -> str | None:
        """Return what of a run this loop cannot do, to be read after "it cannot run"; None where it can do all."""
        ...

    def __call__(self, run: Run) -> Output:
        """Return (output, last state) of a run that it does not refuse; see `Recurrent.forward`."""
        ...


def check_loop(loop: Loop | None) -> None:
    """Check that something is a loop, or None.

    Raises
    ------
    ArgumentError
        If it is not.
    """
    if loop is not None and (isinstance(loop, type) or not (callable(loop) and hasattr(loop, "refusal"))):
        raise ArgumentError(
            f"got loop={loop!r}, expected a loop of cortexres.nn.loops, such as HandWritten(), or None"
        )
