"""The dense leaky step with a backward pass written by hand: fewer calls, and one product for the weight's gradient.

Autograd keeps a node per operation and step, and adds up T gradients of W, each a product of small matrices. Here the
forward pass keeps the states h and the rates r = f(W g(h) + b + u), and the backward pass needs, at each step,

    d_t = g_t f'(r_t),    g_{t-1} = c g_t + g'(h_{t-1}) W^T a d_t,

and for W one product over many steps and the whole batch, the sum over t of a d_t g(h_{t-1})^T. The forward pass rounds
as the plain loop does, operation by operation; but a movie goes through the weights of the input in one product, not
frame by frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from cortexres.nn.loops.leaky_form import LeakyForm, leaky_form, plain_steps, why_not_leaky
from cortexres.nn.loops.refilled import Refilled
from cortexres.nn.loops.run import Output, Readout, Run
from cortexres.nn.loops.second_order import found_by_torch, must_be_found_by_torch
from cortexres.nn.loops.shares import is_one

_ALIGNED = 64  # bytes; products round by where their result begins, and torch begins every tensor at such an address
_CHUNK = 32  # steps whose product for W is taken at once: fewer are slower products, more leave the cache


@dataclass(frozen=True)
class HandWritten:
    """A dense leaky network with tanh, ReLU or no activation; gradients of gradients go through the plain steps."""

    def refusal(self, run: Run) -> str | None:
        """Return what of a run it cannot do; None where it can do all."""
        return why_not_leaky(run)

    def __call__(self, run: Run) -> Output:
        """Return (output, last state)."""
        run.check_reached()
        form = leaky_form(run)
        if torch.is_grad_enabled() and any(
            tensor is not None and tensor.requires_grad for tensor in (form.weight, form.bias, form.drive, run.start)
        ):
            output, last = _Steps.apply(  # type: ignore[no-untyped-call]
                form.weight, form.bias, form.drive, run.start, form, run.steps, run.readout
            )
            return (last, last) if run.readout == "last" else (output, last)
        return _without_gradient(form, run)


def _without_gradient(form: LeakyForm, run: Run) -> Output:
    """Return (output, last state) and keep nothing but the wanted states."""
    every = run.readout == "all"
    states = _States(run.steps, run.start, kept=every)
    last, picked = _forward(form, states, _Rates(run.steps, run.start, kept=False), run.steps, run.readout)
    if every:
        return states.after_all(), last.clone()
    return (last if picked is None else picked), last


def _rows(count: int, like: Tensor) -> Tensor:
    """Return space for so many tensors, each of which begins where one of its own would, (count, ...)."""
    unit = _ALIGNED // like.element_size()
    width = -(-like.numel() // unit) * unit
    return like.new_empty(count, width)[:, : like.numel()].view(count, *like.shape)


class _States:
    """The states of a run: a row for each, or two rows in turns."""

    def __init__(self, steps: int, start: Tensor, *, kept: bool) -> None:
        self.rows = _rows(steps + 1 if kept else 2, start)
        self.rows[0] = start
        self._each = self.rows.unbind(0)

    def before(self, k: int) -> Tensor:
        """Return the row of the state before step `k`."""
        return self._each[k % len(self._each)]

    def after_all(self) -> Tensor:
        """Return the states after all steps, (batch, time, unit), apart from the rows."""
        return self.rows[1:].transpose(0, 1).clone(memory_format=torch.contiguous_format)


class _Rates:
    """The rates of a run: a row for each step, the same row for all, or, where they are the states, those rows."""

    def __init__(self, steps: int, start: Tensor, *, kept: bool, same: _States | None = None) -> None:
        self.rows = same.rows[1:] if same is not None else _rows(steps if kept else 1, start)
        self._same, self._each = same, self.rows.unbind(0)

    def of(self, k: int) -> Tensor:
        """Return the row of step `k`."""
        return self._each[k % len(self._each)] if self._same is None else self._same.before(k + 1)


def _forward(
    form: LeakyForm, states: _States, rates: _Rates, steps: int, readout: Readout
) -> tuple[Tensor, Tensor | None]:
    """Write states and rates; return (row of the last state, copy of the one that is read, if it is one)."""
    step, picked = _Step(form, torch.empty_like(states.before(0))), None
    for k in range(steps):
        step(k, states.before(k), rates.of(k), states.before(k + 1))
        if readout == k + 1:
            picked = states.before(k + 1).clone()
    return states.before(steps), picked


class _Step:
    """One step into buffers, with the roundings of `Block`."""

    def __init__(self, form: LeakyForm, scratch: Tensor) -> None:
        self.form, self.scratch = form, scratch
        self.weight = form.weight.detach().t()
        self.bias = None if form.bias is None else form.bias.detach()
        drive = None if form.drive is None else form.drive.detach()
        self.drive = drive
        self.frames = drive.unbind(1) if drive is not None and drive.ndim == 3 else None

    def __call__(self, k: int, state: Tensor, rate: Tensor, after: Tensor) -> None:
        """Write the rates of step `k` and the state after it, which may be one row."""
        form, scratch = self.form, self.scratch
        sent = torch.clamp_min(state, 0, out=scratch) if form.rectified else state
        if self.bias is None or form.rectified:
            torch.mm(sent, self.weight, out=rate)
        else:
            torch.addmm(self.bias, sent, self.weight, out=rate)
        if self.drive is not None:
            rate.add_(self.drive if self.frames is None else self.frames[k])
        if form.rectified and self.bias is not None:
            rate.add_(self.bias)  # after the drive, as the transform adds it
        if form.function == "tanh":
            rate.tanh_()
        elif form.function == "relu":
            rate.relu_()
        if rate is not after:
            _sum(form, state, rate, after, scratch)


def _sum(form: LeakyForm, state: Tensor, rate: Tensor, after: Tensor, scratch: Tensor) -> None:
    """Write c h + a r: two roundings of products, one of the sum, as two tensors are added."""
    update = rate if is_one(form.added) else torch.mul(rate, form.added, out=scratch)
    if form.carried is None:
        after.copy_(update)
    elif is_one(form.carried):
        torch.add(state, update, out=after)
    else:
        torch.mul(state, form.carried, out=after)
        after.add_(update)


class _Steps(torch.autograd.Function):
    """(weight, bias, drive, start) -> (wanted states, last state)."""

    @staticmethod
    def forward(
        ctx: Any,
        weight: Tensor,
        bias: Tensor | None,
        drive: Tensor | None,
        start: Tensor,
        form: LeakyForm,
        steps: int,
        readout: Readout,
    ) -> tuple[Tensor | None, Tensor]:
        bends, to_weight = form.function != "identity", ctx.needs_input_grad[0] or form.rectified
        same = form.carried is None and is_one(form.added)
        states = _States(steps, start, kept=to_weight or readout == "all" or (same and bends))
        rates = _Rates(steps, start, kept=bends, same=states if same and len(states.rows) > 2 else None)
        last, picked = _forward(form, states, rates, steps, readout)
        ctx.refilled = Refilled.of(drive)
        ctx.save_for_backward(
            weight,
            bias,
            drive if ctx.refilled is None else None,
            start,
            states.rows if to_weight else None,
            rates.rows if bends else None,
        )
        ctx.form, ctx.steps, ctx.readout = form.bare(), steps, readout
        ctx.drive_shape = None if drive is None else drive.shape
        ctx.set_materialize_grads(False)
        return (states.after_all() if readout == "all" else picked), last.clone()

    @staticmethod
    def backward(ctx: Any, to_output: Tensor | None, to_last: Tensor | None) -> tuple[Any, ...]:
        weight, bias, drive, start, states, rates = ctx.saved_tensors
        given = [gradient for gradient in (to_output, to_last) if gradient is not None]
        if not given:
            return (None,) * 7
        needed = ctx.needs_input_grad[:4]
        found: tuple[Tensor | None, ...]
        if must_be_found_by_torch(given):
            inputs = (weight, bias, drive if ctx.refilled is None else ctx.refilled.as_it_was(), start)
            found = found_by_torch(
                lambda own: plain_steps(ctx.form, own, ctx.steps, ctx.readout), inputs, needed, (to_output, to_last)
            )
        else:
            until = ctx.steps if to_last is not None or ctx.readout == "all" else ctx.readout
            back = _Backward(ctx.form, weight, states, rates, ctx.drive_shape, needed)
            found = back.run(to_output, to_last, ctx.readout, until)
        return (*found, None, None, None)


class _Backward:
    """The reverse pass: one gradient of the state is brought back through the steps."""

    def __init__(
        self,
        form: LeakyForm,
        weight: Tensor,
        states: Tensor | None,
        rates: Tensor | None,
        drive_shape: torch.Size | None,
        needed: tuple[bool, ...],
    ) -> None:
        self.form, self.states, self.rates, self.needed = form, states, rates, needed
        added = form.added
        # scaling the weight once is cheaper than scaling every step
        self.back = weight if is_one(added) else weight * (added if isinstance(added, float) else added[:, None])
        self.d_weight = torch.zeros_like(weight, memory_format=torch.contiguous_format) if needed[0] else None
        self.d_bias = weight.new_zeros(len(weight)) if needed[1] else None
        self.d_drive = weight.new_zeros(drive_shape) if needed[2] and drive_shape is not None else None

    def run(
        self, to_output: Tensor | None, to_last: Tensor | None, readout: Readout, until: int
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of (weight, bias, drive, start); no step from `until` on has one."""
        at = {} if to_output is None or readout == "all" else {cast("int", readout) - 1: to_output}
        if to_output is not None and readout == "all":
            at = dict(enumerate(to_output.unbind(1)))
        like = cast("Tensor", to_last if to_output is None else next(iter(at.values())))
        spare = [like.new_zeros(like.shape) for _ in range(2)]
        gradient = spare[0] if to_last is None else spare[0].copy_(to_last)
        most = _CHUNK if self.needed[0] else _CHUNK // 8  # sums, unlike products, are no faster for many steps
        rows = like.new_empty(min(most, until), *like.shape)
        for first in reversed(range(0, until, most)):
            count = min(most, until - first)
            for k in reversed(range(count)):
                if first + k in at:
                    gradient.add_(at[first + k])
                gradient = self._step(first + k, gradient, rows[k], spare)
            self._collect(first, rows[:count])
        return self.d_weight, self.d_bias, self.d_drive, gradient if self.needed[3] else None

    def _step(self, k: int, gradient: Tensor, row: Tensor, spare: list[Tensor]) -> Tensor:
        """Write d of step `k`, return the gradient of the state before it."""
        form = self.form
        if form.function == "identity":
            row.copy_(gradient)
        elif form.function == "tanh":
            torch.ops.aten.tanh_backward.grad_input(gradient, cast("Tensor", self.rates)[k], grad_input=row)
        else:
            torch.ops.aten.threshold_backward.grad_input(gradient, cast("Tensor", self.rates)[k], 0, grad_input=row)
        into = spare[1] if gradient is spare[0] else spare[0]
        if form.rectified:
            torch.mm(row, self.back, out=into)
            torch.ops.aten.threshold_backward.grad_input(into, cast("Tensor", self.states)[k], 0, grad_input=into)
            return into if form.carried is None else into.add_(gradient * form.carried)
        if form.carried is None:
            return torch.mm(row, self.back, out=into)
        if isinstance(form.carried, Tensor):
            return torch.addmm(gradient * form.carried, row, self.back, out=into)
        return torch.addmm(gradient, row, self.back, beta=form.carried, out=into)

    def _collect(self, first: int, rows: Tensor) -> None:
        """Add what the steps from `first` on give to the gradients that they share; `rows` are overwritten."""
        count, units = len(rows), rows.shape[-1]
        if not is_one(self.form.added):
            rows.mul_(self.form.added)  # before they are summed: a sum of many may overflow where its share does not
        if self.d_weight is not None:
            sent = cast("Tensor", self.states)[first : first + count]
            sent = torch.relu(sent) if self.form.rectified else sent
            self.d_weight.addmm_(rows.view(-1, units).t(), sent.reshape(-1, units))
        if self.d_bias is not None:
            self.d_bias += rows.sum(dim=(0, 1))
        if self.d_drive is not None and self.d_drive.ndim == 3:
            self.d_drive[:, first : first + count] = rows.transpose(0, 1)
        elif self.d_drive is not None:
            self.d_drive += rows.sum(dim=0)
