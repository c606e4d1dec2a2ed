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

from cortexres.nn.loops.map_backward import MapBackward
from cortexres.nn.loops.map_form import MapForm, map_form, why_not_maps
from cortexres.nn.loops.map_forward import MapForward, Span
from cortexres.nn.loops.refilled import Refilled
from cortexres.nn.loops.run import Output, Run
from cortexres.nn.loops.second_order import found_by_torch, must_be_found_by_torch
from cortexres.nn.norms import StepNorm
from cortexres.nn.transforms.excitatory_inhibitory import ExcitatoryInhibitory

_MANY = 16  # steps
_SMALL = 2**17  # bytes of the states of a batch


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

    def pays(self, run: Run) -> bool:
        """Return whether a run, if not refused, is of those that were faster in training on a CPU than the plain loop.

        Many steps pay for what a run costs beside them. Excitatory-inhibitory maps gain in all sizes, others while a
        state is small; normalisation takes most of the time where there is some, and float64 has other convolutions.
        """
        start = run.start
        if run.shared is None or run.steps < _MANY or start.ndim != 4:
            return False
        if start.device.type != "cpu" or not torch.is_grad_enabled():
            return False
        transform = run.shared.transform
        normalises = any(isinstance(part, StepNorm) for part in transform.modules())
        if normalises or start.dtype not in (torch.float32, torch.bfloat16):
            return False
        return isinstance(transform, ExcitatoryInhibitory) or start.numel() * start.element_size() <= _SMALL

    def __call__(self, run: Run) -> Output:
        """Return (output, last state)."""
        run.check_reached()
        form, values, drive = map_form(run)
        span = Span(run.steps, run.first_step, run.readout, self.stacked_bytes)
        inputs = (drive, run.start, *values)
        if torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in inputs):
            output, last = _Steps.apply(form, span, *inputs)  # type: ignore[no-untyped-call]
            return (last, last) if run.readout == "last" else (output, last)
        forward = MapForward(form, span, values, drive, run.start, keep=False)
        return run.output(*forward.run(run.start))


class _Steps(torch.autograd.Function):
    """(form, span, drive, start, *parameters) -> (wanted states, last state)."""

    @staticmethod
    def forward(
        ctx: Any, form: MapForm, span: Span, drive: Tensor | None, start: Tensor, *values: Tensor | None
    ) -> tuple[Tensor | None, Tensor]:
        forward = MapForward(form, span, values, drive, start, keep=True)
        read, last = forward.run(start)
        flat = [tensor for saved in forward.kept for each in saved for tensor in each]
        ctx.refilled = Refilled.of(drive)
        fixed = drive if ctx.refilled is None else None
        ctx.save_for_backward(fixed, start, *values, forward.states, *forward.inputs.values(), *flat)
        ctx.form, ctx.span, ctx.count, ctx.levels = form, span, len(values), tuple(forward.inputs)
        ctx.lengths = [[len(each) for each in saved] for saved in forward.kept]
        ctx.set_materialize_grads(False)
        output = torch.stack(read, dim=1) if span.readout == "all" else read[0].clone() if read else None
        return output, last.clone()

    @staticmethod
    def backward(ctx: Any, to_output: Tensor | None, to_last: Tensor | None) -> tuple[Any, ...]:
        drive, start, *rest = ctx.saved_tensors
        values, rest = rest[: ctx.count], rest[ctx.count :]
        form, span, gradients = ctx.form, ctx.span, (to_output, to_last)
        needed = ctx.needs_input_grad[2:]
        if all(gradient is None for gradient in gradients):
            return (None,) * len(ctx.needs_input_grad)
        if must_be_found_by_torch(gradients):
            drive = drive if ctx.refilled is None else ctx.refilled.as_it_was()
            return None, None, *found_by_torch(
                lambda inputs: _elementary(form, span, inputs), (drive, start, *values), needed, gradients
            )
        states, inputs = rest[0], dict(zip(ctx.levels, rest[1 : 1 + len(ctx.levels)], strict=True))
        saved = iter(rest[1 + len(ctx.levels) :])
        kept = [[tuple(next(saved) for _ in range(n)) for n in lengths] for lengths in ctx.lengths]
        return None, None, *MapBackward(form, span, values, drive, states, inputs, kept, needed).run(to_output, to_last)


def _elementary(form: MapForm, span: Span, inputs: list[Tensor | None]) -> tuple[Tensor | None, Tensor]:
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
