"""One block applied T steps: a recurrent network where the steps share it, a deep residual one where not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from cortexres.errors import ArgumentError
from cortexres.nn.block import Block
from cortexres.nn.chain import Chain, Step
from cortexres.nn.constrained import computed_once
from cortexres.nn.initial import Rng, reset_children
from cortexres.nn.loops.choice import choose
from cortexres.nn.loops.run import Loop, Readout, Run, check_loop
from cortexres.nn.norms import has_torch_statistics
from cortexres.nn.transforms.transform import driven
from cortexres.nn.untie import alone, together

Injection = Literal["every", "first"]
Mode = Literal["check", "mean", "first"]


class Trajectory(NamedTuple):
    """Every state of a run, (batch, steps + 1, ...): row 0 is the state before any block, where F has added nothing.

    ``carried + update`` is the sum that becomes ``response``, through an activation where the block has one, and with
    the noise of the step where there is some.
    """

    response: Tensor
    carried: Tensor
    update: Tensor


class Recurrent(nn.Module):
    """A residual network that is a recurrent one: T steps of one block, or of T blocks.

    States are returned, not hooked: a hook on a shared block cannot say which step it is. A shared block is stored
    once, so a checkpoint holds its weights once. Nothing is kept between calls.

    Parameters
    ----------
    block : Block or sequence of Blocks
        One block is shared by all steps (tied). A sequence has one block per step (untied).
    steps : int, optional
        Number of steps T of a tied network; it can be run for others.
    injection : {"every", "first"}
        ``"every"``: the input enters at each step, as a stimulus that stays on does. ``"first"``: it is added to the
        first state and does not enter again, as in a feedforward network.
    readout : {"all", "last"} or int
        What the output is: all states after a step, (batch, steps, ...), the last, or that after step k.
    noise : float
        Standard deviation of the Gaussian noise that each step adds to the state, in training and in evaluation, from
        torch's global generator; 0 draws nothing.
    loop : Loop, optional
        How the steps of `forward` are computed, one of `cortexres.nn.loops`; where it is left out, the fastest that
        gives the same to rounding, see `cortexres.nn.loops.choose`. `trajectory` always calls the block.

    Raises
    ------
    ArgumentError
        If an option is out of range, `steps` is missing for a tied network or contradicts an untied one, or steps share
        the batch statistics of a layer of torch.

    References
    ----------
    Liao & Poggio (2016), Bridging the gaps between residual learning, recurrent neural networks and visual
    cortex, arXiv:1604.03640
    """

    def __init__(
        self,
        block: Block | Sequence[Block],
        *,
        steps: int | None = None,
        injection: Injection = "every",
        readout: Readout = "all",
        noise: float = 0.0,
        loop: Loop | None = None,
    ) -> None:
        super().__init__()
        self.tied = isinstance(block, nn.Module)
        self.steps = _steps_of(block, steps)
        if injection not in ("every", "first"):
            raise ArgumentError(f"got injection={injection!r}, expected 'every' or 'first'")
        if readout not in ("all", "last") and not (isinstance(readout, int) and 1 <= readout <= self.steps):
            raise ArgumentError(f"got readout={readout!r}, expected 'all', 'last' or a step from 1 to {self.steps}")
        if not noise >= 0:
            raise ArgumentError(f"got noise={noise}, expected a standard deviation of 0 or more")
        check_loop(loop)
        self.injection, self.readout, self.noise, self.loop = injection, readout, noise, loop
        if isinstance(block, nn.Module):
            if self.steps > 1 and has_torch_statistics(block):
                raise ArgumentError(
                    f"got a block with torch's batch normalisation for {self.steps} steps, expected "
                    f"Norm('batch', steps={self.steps}): in evaluation, statistics that all steps share describe none"
                )
            self.block = block
        else:
            self.blocks = nn.ModuleList(block)

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw the weights of all blocks anew; norms start where they do."""
        reset_children(self, rng)

    def at(self, step: int) -> tuple[Block, int]:
        """Return the block of a step, and the step that it is told."""
        if self.tied:
            return self.block, step
        block: Block = self.blocks[step]  # type: ignore[assignment]
        return block, 0

    def forward(
        self, x: Tensor, h_0: Tensor | None = None, *, steps: int | None = None, first_step: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Return (output, last state) of a run.

        Parameters
        ----------
        x : Tensor of shape (batch, ...) or (batch, time, ...)
            Input that stays the same, or one frame per step.
        h_0 : Tensor of shape (batch, ...), optional
            State to start from; zeros where it is left out.
        steps : int, optional
            Number of steps; the network's own, or one per frame, where it is left out.
        first_step : int
            How many steps went before: untied blocks, and what normalisation keeps per step, are taken from there on,
            and an input that enters at the first step does not enter again. The readout's steps are of this run.

        Returns
        -------
        output : Tensor
            (batch, steps, ...) where `readout` is ``"all"``, otherwise one state, (batch, ...).
        h_n : Tensor of shape (batch, ...)
            The state after the last step; a run that starts from it, told as `first_step` how many went before, goes
            on exactly where this one ended.

        Raises
        ------
        ArgumentError
            If `x` or `h_0` has another shape, `steps` or `first_step` is out of range, or the readout step is not
            reached.
        """
        run = self.run_of(x, h_0, steps=steps, first_step=first_step)
        if self.loop is None:
            return choose(run)(run)
        why = self.loop.refusal(run)
        if why is not None:
            raise ArgumentError(
                f"got loop={self.loop!r}, which cannot run {why}, expected a loop that can; loop=None takes one"
            )
        return self.loop(run)

    def run_of(self, x: Tensor, h_0: Tensor | None = None, *, steps: int | None = None, first_step: int = 0) -> Run:
        """Return what a loop is asked for by `forward`; arguments and errors as there."""
        count = self._count(x, steps, first_step)
        return Run(
            at=self.at,
            shared=self.block if self.tied else None,
            start=self._start(x, h_0, first_step),
            drive=x if self.injection == "every" else None,
            movie=self._is_movie(x),
            steps=count,
            first_step=first_step,
            readout=self.readout,
            noise=self.noise,
        )

    def trajectory(
        self, x: Tensor, h_0: Tensor | None = None, *, steps: int | None = None, first_step: int = 0
    ) -> Trajectory:
        """Return every state of a run, with what each step carried and added; arguments and errors as in `forward`."""
        run = self.run_of(x, h_0, steps=steps, first_step=first_step)
        state = run.start
        rows = [(state, state, torch.zeros_like(state))]
        with computed_once(self.tied, self):
            for step in range(run.steps):
                block, index = self.at(first_step + step)
                carried, update = block.parts(state, run.drive_at(step), index)
                state = run.noisy(block.finish(carried + update))
                rows.append((state, carried, update))
        return Trajectory(*(torch.stack(column, dim=1) for column in zip(*rows, strict=True)))

    def entered(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return (state before the first step, drive of every step or None) for an input that stays the same."""
        run = self.run_of(x, steps=0)
        return run.start, run.drive_at(0)

    def chain(self) -> Chain:
        """Return the network as a chain that is read as its last state; noise is left out."""
        return Chain(enter=self.entered, steps=self.chain_steps(stage=0, name="recurrent"), read=nn.Identity())

    def chain_steps(self, *, stage: int, name: str) -> tuple[Step, ...]:
        """Return the steps of the network as those of a chain, in which it is the stage `stage` called `name`."""
        own = [self.at(step) for step in range(self.steps)]
        return tuple(Step(block, index, stage, f"{name}.{k}") for k, (block, index) in enumerate(own))

    def to_untied(self, steps: int | None = None) -> Recurrent:
        """Return an untied network that computes the same: each step gets its own copy of the shared block.

        What normalisation keeps per step goes to the block of its step. `from_untied` is the inverse, without loss.

        Raises
        ------
        ArgumentError
            If the network is untied already, or `steps` is below 1.
        """
        if not self.tied:
            raise ArgumentError("got an untied network, expected a tied one: its blocks are separate already")
        count = self.steps if steps is None else steps
        if count < 1:
            raise ArgumentError(f"got steps={count}, expected 1 or more")
        return self._like([alone(self.block, step) for step in range(count)])

    @staticmethod
    def from_untied(untied: Recurrent, *, mode: Mode = "check") -> Recurrent:
        """Return a tied network made of the blocks of an untied one.

        Parameters
        ----------
        untied : Recurrent
            With blocks of one shape.
        mode : {"check", "mean", "first"}
            Where the shared weights come from: they must be equal in all blocks (nothing is lost), their mean, or
            those of the first block. What normalisation keeps per step is kept per step.

        Raises
        ------
        ArgumentError
            If the network is tied already, its blocks differ in shape, or in weights where they must be equal.
        """
        if untied.tied:
            raise ArgumentError("got a tied network, expected an untied one: its steps share a block already")
        return untied._like(together(list(untied.blocks), mode=mode), steps=untied.steps)

    def _like(self, block: nn.Module | list[nn.Module], steps: int | None = None) -> Recurrent:
        made = Recurrent(
            block,  # type: ignore[arg-type]
            steps=steps,
            injection=self.injection,
            readout="all" if isinstance(self.readout, int) else self.readout,
            noise=self.noise,
            loop=self.loop,
        )
        made.readout = self.readout
        return made.train(self.training)

    def _count(self, x: Tensor, steps: int | None, first_step: int) -> int:
        """Return the number of steps of a run on `x`."""
        movie = self._is_movie(x)
        own = x.shape[1] if movie else self.steps
        if not own:
            raise ArgumentError("got a movie of 0 frames, expected 1 or more")
        count = own if steps is None else steps
        if count < 0:
            raise ArgumentError(f"got steps={count}, expected 0 or more")
        if movie and count > own:
            raise ArgumentError(f"got steps={count}, expected at most {own}: the movie has no more frames")
        if first_step < 0:
            raise ArgumentError(f"got first_step={first_step}, expected 0 or more")
        if not self.tied and first_step + count > self.steps:
            raise ArgumentError(
                f"got steps={count} after first_step={first_step}, expected at most {self.steps} in all: an untied "
                "network ends there; tie it"
            )
        return count

    def _is_movie(self, x: Tensor) -> bool:
        dims = self.at(0)[0].state_dims
        if x.ndim not in (dims + 1, dims + 2):
            raise ArgumentError(
                f"got an input of {x.ndim} dims, expected {dims + 1}, (batch, ...), or {dims + 2}, (batch, time, ...)"
            )
        movie = x.ndim == dims + 2
        if movie and self.injection == "first":
            raise ArgumentError("got a movie with injection='first', expected injection='every': a frame enters a step")
        return movie

    def _start(self, x: Tensor, h_0: Tensor | None, first_step: int) -> Tensor:
        """Return the state before the first step."""
        first = x[:, 0] if self._is_movie(x) else x
        enters = self.injection == "first" and not first_step
        if h_0 is None:
            return first if enters else self.at(0)[0].initial_state(first)
        if h_0.ndim != first.ndim or h_0.shape[0] != first.shape[0]:
            raise ArgumentError(
                f"got h_0 of shape {tuple(h_0.shape)}, expected {first.ndim} dims, (batch, ...), for a batch of "
                f"{first.shape[0]}"
            )
        return driven(h_0, first) if enters else h_0

    def extra_repr(self) -> str:
        """Return what `print(module)` shows in the brackets."""
        parts = f"steps={self.steps}, tied={self.tied}, injection={self.injection!r}, readout={self.readout!r}"
        parts += f", noise={self.noise:g}" if self.noise else ""
        return parts if self.loop is None else f"{parts}, loop={self.loop!r}"


def _steps_of(block: Block | Sequence[Block], steps: int | None) -> int:
    """Return the number of steps, from the argument or from the blocks."""
    if isinstance(block, nn.Module):
        if steps is None or steps < 1:
            raise ArgumentError(f"got steps={steps}, expected 1 or more: give the number of steps")
        return steps
    if not block or steps not in (None, len(block)):
        raise ArgumentError(f"got {len(block)} blocks and steps={steps}, expected one block per step")
    return len(block)
