"""A run cut into segments: the backward pass keeps the states between them, and computes what lies within again.

A run of T steps keeps some tensors of every step. Cut into S segments, it keeps S states and, during the backward
pass, the steps of one segment, T / S: least where both are about the square root of T. The price is one more forward
pass and torch's bookkeeping of every kept tensor, which for small layers costs as much again with the plain loop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cortexres.errors import ArgumentError
from cortexres.nn.loops.choice import choose
from cortexres.nn.loops.graphed import Graphed
from cortexres.nn.loops.held_weights import Held, held_weights, lent_weights
from cortexres.nn.loops.plain import Plain
from cortexres.nn.loops.repeatable import why_not_again
from cortexres.nn.loops.run import Loop, Output, Readout, Run


@dataclass(frozen=True)
class Checkpointed:
    """Segments of steps whose inside is computed again in the backward pass: the memory of sqrt(T) steps, not of T.

    Exact: noise is drawn again from the same random state, and constrained weights are computed once. States that are
    returned, as by ``readout="all"``, are kept all the same.

    Parameters
    ----------
    segments : int, optional
        In how many the steps are cut; about the square root of their number where it is left out.
    inner : Loop, optional
        What runs a segment: it must keep what its backward pass needs through autograd. Chosen as for any run where
        it is left out.

    Raises
    ------
    ArgumentError
        If `segments` is below 1, or `inner` is recorded in CUDA graphs; in a run, if a block changes a buffer when it
        is called; in the backward pass, if a parameter or buffer is not as it was in the forward pass.

    References
    ----------
    Chen, Xu, Zhang & Guestrin (2016), Training deep nets with sublinear memory cost, arXiv:1604.06174
    """

    segments: int | None = None
    inner: Loop | None = None

    def __post_init__(self) -> None:
        if self.segments is not None and self.segments < 1:
            raise ArgumentError(f"got segments={self.segments}, expected 1 or more, or None for sqrt(steps)")
        if isinstance(self.inner, Graphed):
            raise ArgumentError(
                f"got inner={self.inner!r}, expected a loop that can run again before its backward pass; leave it out"
            )

    def refusal(self, run: Run) -> str | None:
        """Return what of a run it cannot do; None where it can do all."""
        if torch.is_grad_enabled():
            why = why_not_again(run)
            if why is not None:
                return why
        return None if self.inner is None else self.inner.refusal(run)

    def __call__(self, run: Run) -> Output:
        """Return (output, last state)."""
        run.check_reached()
        if not torch.is_grad_enabled() or not run.steps:
            return self._loop(run)(run)
        length = -(-run.steps // (self.segments or max(1, round(math.sqrt(run.steps)))))
        weights, buffers = held_weights(run), _versions(run.blocks())
        state, read, loop = run.start, [], self._loop(run.part(run.start, 0, min(length, run.steps)))
        for first in range(0, run.steps, length):
            part = _part(run, first, min(length, run.steps - first))
            output, state = _again(loop, part, state, weights)
            if part.readout != "last":
                read.append(output)
            if not first:
                _check_buffers(run.blocks(), buffers)
        if run.readout == "all":
            return torch.cat(read, dim=1), state
        return (read[0] if read else state), state

    def _loop(self, run: Run) -> Loop:
        """Return what runs a segment, found once: both passes must go the same way."""
        if self.inner is not None:
            return self.inner
        chosen = choose(run)
        return Plain() if isinstance(chosen, Graphed) else chosen


def _part(run: Run, first: int, count: int) -> Run:
    """Return the run of a segment, its readout counted from there; the state that it starts from is given later."""
    readout: Readout = run.readout
    if isinstance(readout, int):
        readout = readout - first if first < readout <= first + count else "last"
    return replace(run.part(run.start, first, count), readout=readout)


def _again(loop: Loop, part: Run, state: Tensor, weights: Held) -> Output:
    """Return what a loop gives for a segment; the backward pass calls it again."""
    # start and drive are arguments, so that torch frees them; what a closure holds lives as long as the graph
    bare = replace(part, drive=None)
    blocks = part.blocks()
    known = [(tensor, tensor._version) for _, tensor in _tensors(blocks)]

    def segment(start: Tensor, drive: Tensor | None) -> Output:
        _check_as_before(blocks, known)
        with lent_weights(weights):
            return loop(replace(bare, start=start, drive=drive))

    return cast("Output", checkpoint(segment, state, part.drive, use_reentrant=False, preserve_rng_state=True))


def _tensors(blocks: Sequence[nn.Module]) -> list[tuple[str, Tensor]]:
    return [pair for block in blocks for pair in (*block.named_parameters(), *block.named_buffers())]


def _check_as_before(blocks: Sequence[nn.Module], known: list[tuple[Tensor, int]]) -> None:
    """Check that parameters and buffers are those of the first pass: torch checks no more than shapes.

    Raises
    ------
    ArgumentError
        If one was changed in place or replaced.
    """
    for (name, tensor), (before, version) in zip(_tensors(blocks), known, strict=True):
        if tensor is not before or tensor._version != version:
            raise ArgumentError(
                f"got {name} changed between the forward pass and the backward pass, which computes the steps again, "
                "expected it as it was: change it after the backward pass, or give another loop"
            )


def _versions(blocks: Sequence[nn.Module]) -> list[int]:
    return [buffer._version for block in blocks for buffer in block.buffers()]


def _check_buffers(blocks: Sequence[nn.Module], before: list[int]) -> None:
    """Check that a pass has changed no buffer: the second pass would change it again, and find another one.

    Raises
    ------
    ArgumentError
        If one was changed.
    """
    if _versions(blocks) != before:
        names = [name for block in blocks for name, _ in block.named_buffers()]
        moved = [name for name, old, new in zip(names, before, _versions(blocks), strict=True) if old != new]
        raise ArgumentError(
            f"got a block that changes its buffer {moved[0]} when it is called, expected one that can be called again: "
            "the backward pass does so; give another loop"
        )
