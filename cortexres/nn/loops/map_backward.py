"""The steps of convolutional blocks in reverse, with one gradient of each kernel for a chunk of steps."""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from torch import Tensor

from cortexres.nn.loops.map_form import MapForm
from cortexres.nn.loops.map_forward import Span, Stage, empty_rows, is_channels_last
from cortexres.nn.loops.map_operations import Activation, Bias, Convolution, Entering, Kept, Normalisation, Values
from cortexres.nn.loops.shares import is_one


class MapBackward:
    """The reverse pass: one gradient of the state is brought back through the steps."""

    def __init__(
        self,
        form: MapForm,
        span: Span,
        values: Values,
        drive: Tensor | None,
        states: Tensor | None,
        inputs: dict[int, Tensor],
        kept: list[list[Kept]],
        needed: tuple[bool, ...],
    ) -> None:
        self.form, self.span, self.values = form, span, values
        self.states, self.inputs, self.kept = states, inputs if states is None else {0: states, **inputs}, kept
        self.like = next(iter(self.inputs.values()))[0]  # of the shape and format of a state
        self.needs_start, self.needed = needed[1], needed[2:]
        self.found: list[Tensor | None] = [None] * len(values)
        self.d_drive = torch.zeros_like(drive) if drive is not None and needed[0] else None
        widest = max(rows[0].numel() for rows in self.inputs.values()) * self.like.element_size()
        self.chunk = max(1, min(span.steps, span.stacked_bytes // widest))
        self.rows = self._rows()
        self.taken: dict[int, Tensor] = {}  # gradients of what convolutions gave, where each step is one chunk
        lowest = self._lowest()
        self.stages = self._stages(-1)
        self.stages_of_first = self.stages if self.needs_start else self._stages(lowest)

    def _rows(self) -> dict[int, Tensor]:
        """Return space for the gradients of what each convolution gives, in the steps of a chunk, by level."""
        made, like = {}, self.like
        for level, operation in enumerate(self.form.operations):
            if self.chunk > 1 and isinstance(operation, Convolution) and self._wants(level):
                kernel = cast("Tensor", self.values[operation.weight])
                channels_last = is_channels_last(like) or is_channels_last(kernel)
                made[level] = empty_rows(self.chunk, like, len(kernel), channels_last=channels_last)
        return made

    def _wants(self, level: int) -> bool:
        """Return whether an operation has something for which a gradient is wanted."""
        operation = self.form.operations[level]
        if isinstance(operation, Entering):
            return self.d_drive is not None
        return any(position is not None and self.needed[position] for position in operation.positions())

    def _lowest(self) -> int:
        """Return the lowest level at which a gradient is wanted, beside that of the state; one beyond if none is."""
        count = len(self.form.operations)
        return next((level for level in range(count) if self._wants(level)), count)

    def _stages(self, lowest: int) -> list[Stage]:
        """Return what is called at each step from the sum down to level `lowest`, or to the state, -1."""
        stages = list[Stage]()
        self.where = "elsewhere"  # of the gradient: in its row of a convolution, its own place, or where others are
        level = len(self.form.operations) - 1
        if not is_one(self.form.added):
            stages.append(self._scaled(level))
        while level >= max(lowest, 0):
            operation, wants = self.form.operations[level], self._wants(level)
            if isinstance(operation, Entering) and wants:
                stages.append(self._to_drive)
            elif isinstance(operation, Bias) and wants:
                stages.append(partial(self._to_bias, operation.value))
            elif isinstance(operation, Activation):
                stages.append(self._activated(operation, level))
            elif isinstance(operation, Normalisation):
                stages.append(partial(self._normalised, operation, level, level > lowest))
                self.where = "own"
            elif isinstance(operation, Convolution):
                stages.extend(self._convolved(operation, level, wants, level > lowest))
                self.where = "own"
            level -= 1
        return stages

    def _scaled(self, level: int) -> Stage:
        added, rows = self.form.added, self._target(level)
        if rows is None:
            self.where = "own"
            return lambda g, k: g * added
        self.where = "row"
        return lambda g, k: torch.mul(g, added, out=rows[k % self.chunk])

    def _activated(self, operation: Activation, level: int) -> Stage:
        rows, own = self._target(level - 1), self.where == "own"
        values = self.inputs.get(level + 1)  # what a convolution took, or kept for itself
        position = self._position(level)
        self.where = "own" if rows is None else "row"

        def stage(g: Tensor, k: int) -> Tensor:
            y = values[k] if values is not None else cast("Tensor", self.kept[k][position][0])
            out = rows[k % self.chunk] if rows is not None else g if own else torch.empty_like(y)
            return operation.backward(g, y, out)

        return stage

    def _position(self, level: int) -> int:
        """Return which of what a step has kept is that of an operation."""
        return sum(self._keeps(below) for below in range(level))

    def _keeps(self, level: int) -> bool:
        operation = self.form.operations[level]
        return isinstance(operation, Normalisation) or (
            isinstance(operation, Activation) and level + 1 not in self.inputs
        )

    def _target(self, level: int) -> Tensor | None:
        """Return the rows of the convolution that a gradient reaches unchanged from `level` down, if there is one."""
        while level >= 0 and isinstance(self.form.operations[level], Entering | Bias):
            level -= 1
        return self.rows.get(level)

    def _normalised(self, operation: Normalisation, level: int, below: bool, g: Tensor, k: int) -> Tensor:
        wanted = [position is not None and self.needed[position] for position in operation.positions()]
        step, kept = self.span.first_step + k, self.kept[k][self._position(level)]
        x, *parts = operation.backward(g, kept, self.values, step, (below, wanted[0], wanted[1]))
        for position, part, wants in zip(operation.positions(), parts, wanted, strict=True):
            if wants:
                self._add_row(cast("int", position), step, cast("Tensor", part))
        return cast("Tensor", x)

    def _convolved(self, operation: Convolution, level: int, wants: bool, below: bool) -> list[Stage]:
        stages = list[Stage]()
        if wants and level not in self.rows:
            stages.append(partial(self._take, level))
        elif wants and self.where != "row":
            rows = self.rows[level]
            stages.append(lambda g, k: rows[k % self.chunk].copy_(g))
        if below:
            inputs = self.inputs[level]
            stages.append(lambda g, k: operation.gradient_of_input(g, inputs[k], self.values))
        return stages

    def _take(self, level: int, g: Tensor, k: int) -> Tensor:
        self.taken[level] = g[None]
        return g

    def run(self, to_output: Tensor | None, to_last: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the gradients of (drive, start, *parameters).

        Once: the stages are let go, since they refer to this object, and would keep it and its memory in a cycle.
        """
        try:
            return self._run(to_output, to_last)
        finally:
            self.stages.clear()
            self.stages_of_first.clear()

    def _run(self, to_output: Tensor | None, to_last: Tensor | None) -> tuple[Tensor | None, ...]:
        read = self.span.readout
        at = {} if to_output is None or read == "all" else {cast("int", read) - 1: to_output}
        if to_output is not None and read == "all":
            at = dict(enumerate(to_output.unbind(1)))
        until = self.span.steps if to_last is not None else max(at) + 1  # no gradient comes from later steps
        gradient = to_last
        for chunk in reversed(range(0, until, self.chunk)):
            steps = range(chunk, min(chunk + self.chunk, until))
            for k in reversed(steps):
                if k in at:
                    gradient = at[k] if gradient is None else gradient + at[k]
                gradient = self._step(k, cast("Tensor", gradient))
            self._collect(steps)
        if self.d_drive is not None and self.form.beside and not is_one(self.form.added):
            self.d_drive.mul_(self.form.added)
        return self.d_drive, gradient if self.needs_start else None, *self.found

    def _step(self, k: int, gradient: Tensor) -> Tensor:
        """Return the gradient of the state before step `k`; that before the first is wrong where nobody needs it."""
        form = self.form
        if form.finish is not None:
            after = cast("Tensor", self.states)[k + 1]
            gradient = form.finish.backward(gradient, after, torch.empty_like(after))
        if form.beside and self.d_drive is not None:
            self._to_drive(gradient, k)
        g = gradient
        for stage in self.stages if k else self.stages_of_first:
            g = stage(g, k)
        if form.carried is None or not (k or self.needs_start):
            return g
        if isinstance(form.carried, Tensor):
            return g.addcmul_(gradient, form.carried)
        return g.add_(gradient, alpha=form.carried)

    def _collect(self, steps: range) -> None:
        """Add what a chunk of steps gives to the kernels that they share, and to their biases."""
        for level, operation in enumerate(self.form.operations):
            if isinstance(operation, Convolution) and self._wants(level):
                rows = self.rows[level][: len(steps)] if level in self.rows else self.taken[level]
                gradient = rows.flatten(0, 1)
                if self.needed[operation.weight]:
                    x = self.inputs[level][steps.start : steps.stop].flatten(0, 1)
                    self._add(operation.weight, operation.gradient_of_weight(gradient, x, self.values))
                if operation.bias is not None and self.needed[operation.bias]:
                    self._add(operation.bias, gradient.sum((0, 2, 3)))

    def _to_drive(self, g: Tensor, k: int) -> Tensor:
        to = cast("Tensor", self.d_drive)
        if to.ndim == 5:
            to[:, k] = g
        else:
            to += g
        return g

    def _to_bias(self, position: int, g: Tensor, k: int) -> Tensor:
        self._add(position, g.sum((0, 2, 3)))
        return g

    def _add(self, position: int, gradient: Tensor) -> None:
        found = self.found[position]
        self.found[position] = gradient if found is None else found.add_(gradient)

    def _add_row(self, position: int, step: int, gradient: Tensor) -> None:
        value = cast("Tensor", self.values[position])
        if self.found[position] is None:
            self.found[position] = torch.zeros_like(value)
        cast("Tensor", self.found[position])[min(step, len(value) - 1)] += gradient
