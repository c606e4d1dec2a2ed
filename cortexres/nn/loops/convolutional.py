"""Blocks of convolutions with a backward pass written by hand: one weight gradient for several steps.

Autograd computes T gradients of each kernel and adds them up. Small maps leave most of such a call to its start, so
here the inputs of a convolution and the gradients of its outputs are kept of several steps, as one larger batch, and
its kernel gets one gradient for them. How many steps is a matter of the cache: the gradient of a batch that has left
it costs more than was saved. The forward pass rounds as the plain loop does, operation by operation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from cortexres.nn.loops.map_form import MapForm, map_form, why_not_maps
from cortexres.nn.loops.map_operations import Activation, Bias, Convolution, Entering, Kept, Normalisation, Values
from cortexres.nn.loops.run import Output, Readout, Run
from cortexres.nn.loops.second_order import found_by_torch, must_be_found_by_torch


@dataclass(frozen=True)
class HandWrittenMaps:
    """Blocks of one or two convolutions; gradients of gradients go through the plain steps.

    Parameters
    ----------
    stacked_bytes : int
        How large the batch of several steps may be of which a kernel gets its gradient at once; one step at least.
    """

    stacked_bytes: int = 2**20

    def refusal(self, run: Run) -> str | None:
        """Return what of a run it cannot do; None where it can do all."""
        return why_not_maps(run)

    def __call__(self, run: Run) -> Output:
        """Return (output, last state)."""
        run.check_reached()
        form, values, drive = map_form(run)
        span = _Span(run.steps, run.first_step, run.readout, self.stacked_bytes)
        inputs = (drive, run.start, *values)
        if torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in inputs):
            output, last = _Steps.apply(form, span, *inputs)  # type: ignore[no-untyped-call]
            return (last, last) if run.readout == "last" else (output, last)
        return _without_gradient(form, span, values, drive, run)


@dataclass(frozen=True)
class _Span:
    """Which steps, which of their states are read, and how many bytes of them are taken at once backward."""

    steps: int
    first_step: int
    readout: Readout
    stacked_bytes: int


def _without_gradient(form: MapForm, span: _Span, values: Values, drive: Tensor | None, run: Run) -> Output:
    """Return (output, last state) and keep nothing but the wanted states."""
    forward = _Forward(form, span, values, drive, run.start, keep=False)
    state, read = run.start, []
    for k in range(span.steps):
        after = torch.empty_like(forward.states[0])
        forward.step(k, 0, state, after)
        state = after
        if run.wanted(k):
            read.append(state)
    return run.output(read, state)


def _rows(count: int, like: Tensor, channels: int, *, channels_last: bool) -> Tensor:
    """Return space for so many maps of so many channels, (count, batch, channel, y, x)."""
    batch, _, y, x = like.shape
    if channels_last:
        return like.new_empty(count, batch, y, x, channels).permute(0, 1, 4, 2, 3)
    return like.new_empty(count, batch, channels, y, x)


def _is_channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


class _Forward:
    """The forward pass: one step at a time, into rows that are kept."""

    def __init__(
        self, form: MapForm, span: _Span, values: Values, drive: Tensor | None, start: Tensor, *, keep: bool
    ) -> None:
        self.form, self.first_step, self.values = form, span.first_step, values
        self.drive = drive
        self.frames = drive.unbind(1) if drive is not None and drive.ndim == 5 else None
        own_share = form.beside and not _is_one(form.added)
        self.shared = None if drive is None or self.frames else drive * form.added if own_share else drive
        self.states = self._states(start, span.steps + 1 if keep else 1)
        self.inputs = self._inputs(start, span.steps if keep else 1)

    def _states(self, start: Tensor, count: int) -> Tensor:
        channels_last = _is_channels_last(start)
        if self.form.carried is None:  # nothing of the state's format is left after a step
            channels_last |= any(_is_channels_last(value) for value in self._kernels())
        return _rows(count, start, start.shape[1], channels_last=channels_last)

    def _kernels(self) -> list[Tensor]:
        found = [op.weight for op in self.form.operations if isinstance(op, Convolution)]
        return [cast("Tensor", self.values[position]) for position in found]

    def _inputs(self, start: Tensor, rows: int) -> dict[int, Tensor]:
        """Return space for what goes into each convolution, by its level; the first may take the state itself."""
        made, channels_last = {}, _is_channels_last(self.states[0])
        for level, operation in enumerate(self.form.operations):
            if isinstance(operation, Convolution):
                kernel = cast("Tensor", self.values[operation.weight])
                if level:
                    made[level] = _rows(rows, start, kernel.shape[1], channels_last=channels_last)
                channels_last |= _is_channels_last(kernel)
        return made

    def drive_at(self, k: int) -> Tensor | None:
        """Return the drive of a step, by the share at which it enters."""
        if self.frames is None:
            return self.shared
        frame = self.frames[k]
        return frame * self.form.added if self.form.beside and not _is_one(self.form.added) else frame

    def step(self, k: int, row: int, state: Tensor, after: Tensor) -> list[Kept]:
        """Write the state after step `k`, and what its convolutions take to `row`; return what else is needed."""
        x, own, kept = state, False, list[Kept]()  # own: nobody else needs x
        drive, index = self.drive_at(k), self.first_step + k
        for level, operation in enumerate(self.form.operations):
            saved: Kept = ()
            if isinstance(operation, Activation):
                wanted = self.inputs.get(level + 1)
                out = wanted[row] if wanted is not None else x if own else torch.empty_like(x)
                x, own = operation.into(x, out), False
                saved = () if wanted is not None else (x,)
            elif isinstance(operation, Normalisation):
                (x, saved), own = operation.forward(x, self.values, index), True
            elif isinstance(operation, Convolution):
                x, own = operation.elementary(x, self.values), True
            else:
                more = operation.of(self.values) if isinstance(operation, Bias) else cast("Tensor", drive)
                x = x.add_(more) if own else x + more
                own = True
            kept.append(saved)
        self._sum(state, x, own, drive if self.form.beside else None, after)
        return kept

    def _sum(self, state: Tensor, update: Tensor, own: bool, beside: Tensor | None, after: Tensor) -> None:
        """Write what is carried, plus the drive beside F, plus what is added, in the order of the block."""
        carried, added = self.form.carried, self.form.added
        if not _is_one(added):
            update = update.mul_(added) if own else update * added
        if carried is None:
            after.copy_(update) if beside is None else torch.add(beside, update, out=after)
        elif _is_one(carried):
            if beside is None:
                torch.add(state, update, out=after)
            else:
                torch.add(state, beside, out=after).add_(update)
        else:
            torch.mul(state, carried, out=after)
            if beside is not None:
                after.add_(beside)
            after.add_(update)
        if self.form.finish is not None:
            self.form.finish.into(after, after)


def _is_one(share: float | Tensor) -> bool:
    return isinstance(share, float) and share == 1.0


class _Steps(torch.autograd.Function):
    """(form, span, drive, start, *parameters) -> (wanted states, last state)."""

    @staticmethod
    def forward(
        ctx: Any, form: MapForm, span: _Span, drive: Tensor | None, start: Tensor, *values: Tensor | None
    ) -> tuple[Tensor | None, Tensor]:
        forward = _Forward(form, span, values, drive, start, keep=True)
        states, kept = forward.states, []
        states[0] = start
        each = states.unbind(0)
        for k in range(span.steps):
            kept.append(forward.step(k, k, each[k], each[k + 1]))
        flat = [tensor for saved in kept for level in saved for tensor in level]
        ctx.save_for_backward(drive, start, *values, states, *forward.inputs.values(), *flat)
        ctx.form, ctx.span, ctx.count, ctx.levels = form, span, len(values), tuple(forward.inputs)
        ctx.lengths = [[len(level) for level in saved] for saved in kept]
        ctx.set_materialize_grads(False)
        output = None
        if span.readout == "all":
            output = states[1:].transpose(0, 1).contiguous()
        elif span.readout != "last":
            output = states[span.readout].clone()
        return output, states[-1].clone()

    @staticmethod
    def backward(ctx: Any, to_output: Tensor | None, to_last: Tensor | None) -> tuple[Any, ...]:
        drive, start, *rest = ctx.saved_tensors
        values, rest = rest[: ctx.count], rest[ctx.count :]
        form, span, gradients = ctx.form, ctx.span, (to_output, to_last)
        needed = ctx.needs_input_grad[2:]
        if all(gradient is None for gradient in gradients):
            return (None,) * len(ctx.needs_input_grad)
        if must_be_found_by_torch(gradients):
            return None, None, *found_by_torch(
                lambda inputs: _elementary(form, span, inputs), (drive, start, *values), needed, gradients
            )
        states, inputs = rest[0], dict(zip(ctx.levels, rest[1 : 1 + len(ctx.levels)], strict=True))
        saved = iter(rest[1 + len(ctx.levels) :])
        kept = [[tuple(next(saved) for _ in range(n)) for n in lengths] for lengths in ctx.lengths]
        return None, None, *_Backward(form, span, values, drive, states, inputs, kept, needed).run(to_output, to_last)


class _Backward:
    """The reverse pass: one gradient of the state is brought back through the steps."""

    def __init__(
        self,
        form: MapForm,
        span: _Span,
        values: Values,
        drive: Tensor | None,
        states: Tensor,
        inputs: dict[int, Tensor],
        kept: list[list[Kept]],
        needed: tuple[bool, ...],
    ) -> None:
        self.form, self.span, self.values, self.states, self.inputs = form, span, values, states, inputs
        self.kept, self.needs_start, self.needed = kept, needed[1], needed[2:]
        self.found: list[Tensor | None] = [None] * len(values)
        self.d_drive = torch.zeros_like(drive) if drive is not None and needed[0] else None
        self.lowest = self._lowest()
        widest = max([states[0].numel(), *(rows[0].numel() for rows in inputs.values())]) * states.element_size()
        self.chunk = max(1, min(span.steps, span.stacked_bytes // widest))
        self.rows: dict[int, Tensor] = {}
        if self.chunk > 1:
            self.rows = {
                level: self._space(operation.weight)
                for level, operation in enumerate(form.operations)
                if isinstance(operation, Convolution) and self._wants(operation)
            }

    def _space(self, weight: int) -> Tensor:
        kernel, like = cast("Tensor", self.values[weight]), self.states[0]
        channels_last = _is_channels_last(like) or _is_channels_last(kernel)
        return _rows(self.chunk, like, len(kernel), channels_last=channels_last)

    def _lowest(self) -> int:
        """Return the lowest level at which a gradient is wanted, beside that of the first state."""
        for level, operation in enumerate(self.form.operations):
            if isinstance(operation, Entering) and self.d_drive is not None:
                return level
            if any(position is not None and self.needed[position] for position in operation.positions()):
                return level
        return len(self.form.operations)

    def _wants(self, operation: Convolution) -> bool:
        return any(position is not None and self.needed[position] for position in operation.positions())

    def run(self, to_output: Tensor | None, to_last: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the gradients of (drive, start, *parameters)."""
        read = self.span.readout
        at = {} if to_output is None or read == "all" else {cast("int", read) - 1: to_output}
        if to_output is not None and read == "all":
            at = dict(enumerate(to_output.unbind(1)))
        until = self.span.steps if to_last is not None else max(at) + 1  # no gradient comes from later steps
        gradient = to_last
        for first in reversed(range(0, until, self.chunk)):
            count, taken = min(self.chunk, until - first), dict[int, Tensor]()
            for k in reversed(range(first, first + count)):
                gradient = at[k] if gradient is None else gradient + at[k] if k in at else gradient
                gradient = self._step(k, k - first, gradient, taken)
            self._collect(first, count, taken)
        if self.d_drive is not None and self.form.beside and not _is_one(self.form.added):
            self.d_drive.mul_(self.form.added)
        return self.d_drive, gradient if self.needs_start else None, *self.found

    def _step(self, k: int, row: int, gradient: Tensor, taken: dict[int, Tensor]) -> Tensor | None:
        """Return the gradient of the state before step `k`; keep those of what its convolutions give in `taken`."""
        form = self.form
        if form.finish is not None:
            gradient = form.finish.backward(gradient, self.states[k + 1], torch.empty_like(self.states[0]))
        if form.beside:
            self._to_drive(k, gradient)
        level = len(form.operations) - 1
        g, own = gradient, False
        if not _is_one(form.added):
            out = self._target(level, row)
            g, own = (gradient * form.added if out is None else torch.mul(gradient, form.added, out=out)), out is None
        last = k == 0 and not self.needs_start
        for level in reversed(range(len(form.operations))):
            if last and level < self.lowest:
                return None
            below = not last or level > self.lowest
            g, own = self._through(level, k, row, g, own, below, taken)
        return None if last else self._carried(gradient, g, own)

    def _carried(self, gradient: Tensor, g: Tensor, own: bool) -> Tensor:
        """Return what came through F, plus what came past it."""
        carried = self.form.carried
        if carried is None:
            return g
        if not own:
            return g + gradient * carried
        if isinstance(carried, Tensor):
            return g.addcmul_(gradient, carried)
        return g.add_(gradient, alpha=carried)

    def _through(
        self, level: int, k: int, row: int, g: Tensor, own: bool, below: bool, taken: dict[int, Tensor]
    ) -> tuple[Tensor, bool]:
        """Return the gradient of the input of an operation, and whether nobody else needs it."""
        operation, index = self.form.operations[level], self.span.first_step + k
        if isinstance(operation, Entering):
            self._to_drive(k, g)
        elif isinstance(operation, Bias):
            if self.needed[operation.value]:
                self._add(operation.value, g.sum((0, 2, 3)))
        elif isinstance(operation, Activation):
            out = self._target(level - 1, row)
            y = self._value(level, k)
            g = operation.backward(g, y, out if out is not None else g if own else torch.empty_like(y))
            own = out is None
        elif isinstance(operation, Normalisation):
            wanted = [position is not None and self.needed[position] for position in operation.positions()]
            x, *parts = operation.backward(
                g, self.kept[k][level], self.values, index, (below, wanted[0], wanted[1])
            )
            for position, part in zip(operation.positions(), parts, strict=True):
                if position is not None and self.needed[position]:
                    self._add_row(position, index, cast("Tensor", part))
            g, own = cast("Tensor", x), True
        elif isinstance(operation, Convolution):
            if level in self.rows:
                into = self.rows[level][row]
                if g.data_ptr() != into.data_ptr():
                    into.copy_(g)
                taken[level] = self.rows[level]
            elif self._wants(operation):
                taken[level] = g[None]
            x_k = self.states[k] if level == 0 else self.inputs[level][k]
            if below:
                g, own = operation.gradient_of_input(g, x_k, self.values), True
        return g, own

    def _target(self, level: int, row: int) -> Tensor | None:
        """Return where a gradient is to be written that reaches a convolution unchanged from `level` down."""
        while level >= 0 and isinstance(self.form.operations[level], Entering | Bias):
            level -= 1
        return self.rows[level][row] if level in self.rows else None

    def _value(self, level: int, k: int) -> Tensor:
        """Return what an activation gave, which may be what the convolution after it took."""
        rows = self.inputs.get(level + 1)
        return cast("Tensor", self.kept[k][level][0]) if rows is None else rows[k]

    def _collect(self, first: int, count: int, taken: dict[int, Tensor]) -> None:
        """Add what the steps from `first` on give to the kernels that they share."""
        for level, rows in taken.items():
            operation = cast("Convolution", self.form.operations[level])
            inputs = self.states if level == 0 else self.inputs[level]
            gradient = rows[:count].flatten(0, 1)
            if self.needed[operation.weight]:
                x = inputs[first : first + count].flatten(0, 1)
                self._add(operation.weight, operation.gradient_of_weight(gradient, x, self.values))
            if operation.bias is not None and self.needed[operation.bias]:
                self._add(operation.bias, gradient.sum((0, 2, 3)))

    def _to_drive(self, k: int, gradient: Tensor) -> None:
        if self.d_drive is not None:
            if self.d_drive.ndim == 5:
                self.d_drive[:, k] = gradient
            else:
                self.d_drive += gradient

    def _add(self, position: int, gradient: Tensor) -> None:
        found = self.found[position]
        self.found[position] = gradient if found is None else found.add_(gradient)

    def _add_row(self, position: int, step: int, gradient: Tensor) -> None:
        value = cast("Tensor", self.values[position])
        if self.found[position] is None:
            self.found[position] = torch.zeros_like(value)
        cast("Tensor", self.found[position])[min(step, len(value) - 1)] += gradient


def _elementary(form: MapForm, span: _Span, inputs: list[Tensor | None]) -> tuple[Tensor | None, Tensor]:
    """Return (wanted states, last state) by operations that autograd knows."""
    drive, start, *values = inputs
    state, states = cast("Tensor", start), []
    for k in range(span.steps):
        frame = drive[:, k] if drive is not None and drive.ndim == 5 else drive
        update = state
        for operation in form.operations:
            update = operation.elementary(update, values, frame, span.first_step + k)
        total = form.added * (update if not form.beside else update + cast("Tensor", frame))
        total = total if form.carried is None else form.carried * state + total
        state = total if form.finish is None else form.finish.elementary(total, values)
        states.append(state)
    if span.readout == "all":
        return torch.stack(states, dim=1), state
    return (None if span.readout == "last" else states[span.readout - 1]), state
