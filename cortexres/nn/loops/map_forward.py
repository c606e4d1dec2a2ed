"""The steps of convolutional blocks, computed in order into memory that is laid out beforehand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor

from cortexres.nn.loops.map_form import MapForm
from cortexres.nn.loops.map_operations import Activation, Bias, Convolution, Kept, Normalisation, Values
from cortexres.nn.loops.run import Readout
from cortexres.nn.loops.shares import is_one

Stage = Callable[[Tensor, int], Tensor]  # (value or gradient, step) -> the next


@dataclass(frozen=True)
class Span:
    """Which steps, which of their states are read, and how many bytes of them are taken at once backward."""

    steps: int
    first_step: int
    readout: Readout
    stacked_bytes: int


class MapForward:
    """The forward pass: one step at a time, into rows that are kept, or into the same row again."""

    def __init__(
        self, form: MapForm, span: Span, values: Values, drive: Tensor | None, start: Tensor, *, keep: bool
    ) -> None:
        self.form, self.span, self.values, self.drive = form, span, values, drive
        self.partial = form.beside and not is_one(form.added)  # whether a share of the drive enters beside F
        self.frames = drive.unbind(1) if drive is not None and drive.ndim == 5 else None
        self.entering = drive
        if drive is not None and self.frames is None and self.partial:
            self.entering = drive * form.added
        self.keep, self.kept = keep, list[list[Kept]]()
        self.channels_last = is_channels_last(start)
        if form.carried is None:  # nothing of the format of the first state is left after a step
            self.channels_last |= any(is_channels_last(kernel) for kernel in self._kernels())
        self.states: Tensor | None = None
        if keep and (form.finish is not None or isinstance(form.operations[0], Convolution)):
            self.states = self._empty(span.steps + 1, start)
        self.inputs = self._inputs(start, span.steps if keep else 1)
        self.stages = self._stages()

    def _empty(self, count: int, start: Tensor) -> Tensor:
        return empty_rows(count, start, start.shape[1], channels_last=self.channels_last)

    def _kernels(self) -> list[Tensor]:
        found = [op.weight for op in self.form.operations if isinstance(op, Convolution)]
        return [cast("Tensor", self.values[position]) for position in found]

    def _inputs(self, start: Tensor, count: int) -> dict[int, Tensor]:
        """Return space for what goes into each convolution, by its level; the first may take the state itself."""
        made, channels_last = {}, self.channels_last
        for level, operation in enumerate(self.form.operations):
            if isinstance(operation, Convolution):
                kernel = cast("Tensor", self.values[operation.weight])
                if level:
                    made[level] = empty_rows(count, start, kernel.shape[1], channels_last=channels_last)
                channels_last |= is_channels_last(kernel)
        return made

    def _stages(self) -> list[Stage]:
        """Return what is called at each step, x -> next x; which of them may overwrite x is known beforehand."""
        stages, self.own = list[Stage](), False
        for level, operation in enumerate(self.form.operations):
            if isinstance(operation, Activation):
                stages.append(self._activated(operation, level, self.own))
            elif isinstance(operation, Normalisation):
                stages.append(self._normalised(operation))
            elif isinstance(operation, Convolution):
                stages.append(partial(_convolved, operation, self.values))
            elif isinstance(operation, Bias):
                stages.append(_added(operation.of(self.values), self.own))
            else:
                stages.append(self._driven(self.own))
            self.own = not isinstance(operation, Activation)
        return stages

    def _activated(self, operation: Activation, level: int, own: bool) -> Stage:
        if level + 1 in self.inputs:
            rows = self.inputs[level + 1]
            count = len(rows)
            return lambda x, k: operation.into(x, rows[k % count])

        def stage(x: Tensor, k: int) -> Tensor:
            y = operation.into(x, x if own else torch.empty_like(x))
            self.kept[-1].append((y,))
            return y

        return stage

    def _normalised(self, operation: Normalisation) -> Stage:
        def stage(x: Tensor, k: int) -> Tensor:
            y, kept = operation.forward(x, self.values, self.span.first_step + k)
            self.kept[-1].append(kept)
            return y

        return stage

    def _driven(self, own: bool) -> Stage:
        if own:
            return lambda x, k: x.add_(self.drive_at(k))
        return lambda x, k: x + self.drive_at(k)

    def drive_at(self, k: int) -> Tensor:
        """Return the drive of a step, by the share at which it enters."""
        if self.frames is None:
            return cast("Tensor", self.entering)
        return self.frames[k] * self.form.added if self.partial else self.frames[k]

    def run(self, start: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return (wanted states, last state); what the backward pass needs is in `states`, `inputs` and `kept`.

        Once: the stages are let go, since they refer to this object, and would keep it and its memory in a cycle.
        """
        try:
            return self._run(start)
        finally:
            self.stages.clear()

    def _run(self, start: Tensor) -> tuple[list[Tensor], Tensor]:
        state, read = start, []
        if self.states is not None:
            self.states[0] = start
        for k in range(self.span.steps):
            after = self._empty(1, start)[0] if self.states is None else self.states[k + 1]
            self._step(k, state, after)
            state = after
            if self.span.readout in ("all", k + 1):
                read.append(state)
        return read, state

    def _step(self, k: int, state: Tensor, after: Tensor) -> None:
        """Write the state after step `k`."""
        if self.keep or not k:
            self.kept.append([])
        else:
            self.kept[0].clear()
        x = state
        for stage in self.stages:
            x = stage(x, k)
        self._sum(state, x, self.drive_at(k) if self.form.beside else None, after)

    def _sum(self, state: Tensor, update: Tensor, beside: Tensor | None, after: Tensor) -> None:
        """Write what is carried, plus the drive beside F, plus what is added, in the order of the block."""
        carried, added = self.form.carried, self.form.added
        if not is_one(added):
            update = update.mul_(added) if self.own else update * added
        if carried is None:
            after.copy_(update) if beside is None else torch.add(beside, update, out=after)
        elif not is_one(carried):
            torch.mul(state, carried, out=after)
            if beside is not None:
                after.add_(beside)
            after.add_(update)
        elif beside is None:
            torch.add(state, update, out=after)
        else:
            torch.add(state, beside, out=after).add_(update)
        if self.form.finish is not None:
            self.form.finish.into(after, after)


def _convolved(operation: Convolution, values: Values, x: Tensor, k: int) -> Tensor:
    return operation.elementary(x, values)


def _added(more: Tensor, own: bool) -> Stage:
    if own:
        return lambda x, k: x.add_(more)
    return lambda x, k: x + more


def empty_rows(count: int, like: Tensor, channels: int, *, channels_last: bool) -> Tensor:
    """Return space for so many maps of so many channels, (count, batch, channel, y, x)."""
    batch, _, y, x = like.shape
    if channels_last:
        return like.new_empty(count, batch, y, x, channels).permute(0, 1, 4, 2, 3)
    return like.new_empty(count, batch, channels, y, x)


def is_channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
