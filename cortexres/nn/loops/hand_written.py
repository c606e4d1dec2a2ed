"""The dense leaky step with a backward pass written by hand: fewer calls, and one product for the weight's gradient.

Autograd keeps a node per operation and step, and adds up T gradients of W, each a product of small matrices. Here the
forward pass keeps the states h and the rates r = f(W g(h) + b + u), and the backward pass needs, at each step,

    d_t = g_t f'(r_t),    g_{t-1} = c g_t + g'(h_{t-1}) W^T a d_t,

and for W one product over all steps and the whole batch, the sum over t of a d_t g(h_{t-1})^T. The forward pass rounds
as the plain loop does, operation by operation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from cortexres.nn.loops.leaky_form import LeakyForm, Share, leaky_form, plain_steps, why_not_leaky
from cortexres.nn.loops.run import Output, Readout, Run
from cortexres.nn.loops.second_order import found_by_torch, must_be_found_by_torch

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
    state, rate, scratch = run.start, torch.empty_like(run.start), torch.empty_like(run.start)
    spare = [torch.empty_like(run.start) for _ in range(0 if run.readout == "all" else 2)]
    kept = _rows(run.steps if run.readout == "all" else 0, run.start)
    step, picked = _Step(form, scratch), None
    for k in range(run.steps):
        after = kept[k] if run.readout == "all" else spare[k % 2]
        step(k, state, rate, after)
        state = after
        if run.readout == k + 1:
            picked = after.clone()
    if run.readout == "all":
        return kept.transpose(0, 1).contiguous(), state.clone()
    return (state, state) if picked is None else (picked, state)


def _rows(count: int, like: Tensor) -> Tensor:
    """Return space for so many tensors, each of which begins where one of its own would, (count, ...)."""
    unit = _ALIGNED // like.element_size()
    width = -(-like.numel() // unit) * unit
    return like.new_empty(count, width)[:, : like.numel()].view(count, *like.shape)


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
        """Write the rates of step `k` and the state after it."""
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
        _sum(form, state, rate, after, scratch)


def _sum(form: LeakyForm, state: Tensor, rate: Tensor, after: Tensor, scratch: Tensor) -> None:
    """Write c h + a r: two roundings of products, one of the sum, as two tensors are added."""
    update = rate if _is_one(form.added) else torch.mul(rate, form.added, out=scratch)
    if form.carried is None:
        after.copy_(update)
    elif _is_one(form.carried):
        torch.add(state, update, out=after)
    else:
        torch.mul(state, form.carried, out=after)
        after.add_(update)


def _is_one(share: Share) -> bool:
    return isinstance(share, float) and share == 1.0


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
        states, rates = _rows(steps + 1, start), _rows(steps, start)
        states[0] = start
        step, before, each_rate = _Step(form, torch.empty_like(start)), states.unbind(0), rates.unbind(0)
        for k in range(steps):
            step(k, before[k], each_rate[k], before[k + 1])
        ctx.save_for_backward(weight, bias, drive, start, states, rates)
        ctx.form, ctx.steps, ctx.readout = form, steps, readout
        ctx.set_materialize_grads(False)
        output = None
        if readout == "all":
            output = states[1:].transpose(0, 1).contiguous()
        elif readout != "last":
            output = states[readout].clone()
        return output, states[-1].clone()

    @staticmethod
    def backward(ctx: Any, to_output: Tensor | None, to_last: Tensor | None) -> tuple[Any, ...]:
        weight, bias, drive, start, states, rates = ctx.saved_tensors
        given = [gradient for gradient in (to_output, to_last) if gradient is not None]
        if not given:
            return (None,) * 7
        if must_be_found_by_torch(given):
            found = found_by_torch(
                lambda inputs: plain_steps(ctx.form, inputs, ctx.steps, ctx.readout),
                (weight, bias, drive, start),
                ctx.needs_input_grad[:4],
                (to_output, to_last),
            )
        else:
            found = _Backward(ctx.form, weight, states, rates, ctx.needs_input_grad[:4]).run(
                to_output, to_last, ctx.readout
            )
        return (*found, None, None, None)


class _Backward:
    """The reverse pass: one gradient of the state is brought back through the steps."""

    def __init__(
        self, form: LeakyForm, weight: Tensor, states: Tensor, rates: Tensor, needed: tuple[bool, ...]
    ) -> None:
        self.form, self.states, self.rates = form, states, rates
        self.steps, self.needed = len(rates), needed
        added = form.added
        # scaling the weight once is cheaper than scaling every step
        self.back = weight if _is_one(added) else weight * (added if isinstance(added, float) else added[:, None])
        self.d_weight = torch.zeros_like(weight, memory_format=torch.contiguous_format) if needed[0] else None
        self.d_bias = states.new_zeros(states.shape[-1]) if needed[1] else None
        shape = None if form.drive is None or not needed[2] else form.drive.shape
        self.d_drive = None if shape is None else states.new_zeros(shape)

    def run(
        self, to_output: Tensor | None, to_last: Tensor | None, readout: Readout
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of (weight, bias, drive, start)."""
        at = {} if to_output is None or readout == "all" else {cast("int", readout) - 1: to_output}
        if to_output is not None and readout == "all":
            at = dict(enumerate(to_output.unbind(1)))
        spare = [torch.zeros_like(self.states[0], memory_format=torch.contiguous_format) for _ in range(2)]
        gradient = spare[0] if to_last is None else spare[0].copy_(to_last)
        for first in reversed(range(0, self.steps, _CHUNK)):
            count = min(_CHUNK, self.steps - first)
            rows = self.rates.new_empty(count, *self.rates.shape[1:])
            for k in reversed(range(count)):
                if first + k in at:
                    gradient.add_(at[first + k])
                gradient = self._step(first + k, gradient, rows[k], spare)
            self._collect(first, rows)
        return self._scaled(), self._scaled_bias(), self.d_drive, gradient if self.needed[3] else None

    def _step(self, k: int, gradient: Tensor, row: Tensor, spare: list[Tensor]) -> Tensor:
        """Write d of step `k`, return the gradient of the state before it."""
        form, rate = self.form, self.rates[k]
        if form.function == "tanh":
            torch.ops.aten.tanh_backward.grad_input(gradient, rate, grad_input=row)
        elif form.function == "relu":
            torch.ops.aten.threshold_backward.grad_input(gradient, rate, 0, grad_input=row)
        else:
            row.copy_(gradient)
        into = spare[0] if gradient is not spare[0] else spare[1]
        if form.rectified:
            torch.mm(row, self.back, out=into)
            torch.ops.aten.threshold_backward.grad_input(into, self.states[k], 0, grad_input=into)
            return into if form.carried is None else into.add_(gradient * form.carried)
        if form.carried is None:
            return torch.mm(row, self.back, out=into)
        if isinstance(form.carried, Tensor):
            return torch.addmm(gradient * form.carried, row, self.back, out=into)
        return torch.addmm(gradient, row, self.back, beta=form.carried, out=into)

    def _collect(self, first: int, rows: Tensor) -> None:
        """Add what the steps from `first` on give to the gradients that they share."""
        count, units = len(rows), rows.shape[-1]
        if self.d_weight is not None:
            sent = self.states[first : first + count]
            sent = torch.relu(sent) if self.form.rectified else sent
            self.d_weight.addmm_(rows.view(-1, units).t(), sent.reshape(-1, units))
        if self.d_bias is not None:
            self.d_bias += rows.sum(dim=(0, 1))
        if self.d_drive is not None:
            if self.d_drive.ndim == 3:
                torch.mul(rows.transpose(0, 1), self.form.added, out=self.d_drive[:, first : first + count])
            else:
                self.d_drive += rows.sum(dim=0) * self.form.added

    def _scaled(self) -> Tensor | None:
        if self.d_weight is None or _is_one(self.form.added):
            return self.d_weight
        added = self.form.added
        return self.d_weight.mul_(added if isinstance(added, float) else added[:, None])

    def _scaled_bias(self) -> Tensor | None:
        return None if self.d_bias is None else self.d_bias.mul_(self.form.added)
