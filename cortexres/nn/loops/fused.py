"""The whole run of a dense leaky network of up to 256 units in one GPU kernel, and its backward pass in another.

A step of a small network takes a GPU less time than starting the kernels of the plain loop takes the CPU. Here one
Triton kernel, `fused_kernels`, takes the steps, and another brings the gradients back; the gradient of the weight is
one product over all steps and the whole batch, outside. In bfloat16 and float16 products are summed, and states
carried from step to step, in float32; what is sent, saved and returned is rounded, so that a run that is cut in two
and goes on from the returned state may differ from an uncut one by that rounding.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from cortexres.nn.loops import fused_launch
from cortexres.nn.loops.fused_trial import trial_error
from cortexres.nn.loops.leaky_form import LeakyForm, leaky_form, plain_steps, why_not_leaky
from cortexres.nn.loops.refilled import Refilled
from cortexres.nn.loops.run import Output, Readout, Run
from cortexres.nn.loops.second_order import found_by_torch, must_be_found_by_torch

LARGEST = 256  # units whose weights one multiprocessor can hold or stream at every step
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class Fused:
    """A dense leaky network of up to 256 units on a GPU, with tanh, ReLU or no activation; needs Triton.

    Before a device, precision and size are used for the first time, short random runs are held against float64, see
    `trial_error`; where they fail, a warning says so, and such runs are refused from then on. Gradients of gradients
    go through the plain steps. On a CPU it runs in Triton's interpreter only, where the environment variable
    TRITON_INTERPRET=1 was set before Triton was imported.
    """

    def refusal(self, run: Run) -> str | None:
        """Return what of a run it cannot do; None where it can do all."""
        start = run.start
        if start.device.type != "cuda" and not _wants_interpreter():
            return f"on a device of type {start.device.type!r}, without Triton's interpreter"
        why = why_not_leaky(run)
        if why is not None:
            return why
        if start.dtype not in _DTYPES:
            return f"numbers of {start.dtype}"
        if not len(start):
            return "an empty batch"
        if start.shape[1] > LARGEST:
            return f"{start.shape[1]} units, more than {LARGEST}"
        if fused_launch.kernels() is None:
            return "anything where Triton is not installed"
        if start.device.type != "cuda":
            return None if fused_launch.kernels().INTERPRETED else "anything on a CPU: Triton was imported to compile"
        try:
            return _why_not_right(start.device, start.dtype, start.shape[1], fused_launch.tile_of(start).samples)
        except _NotNow as error:  # which is not remembered
            return str(error)

    def __call__(self, run: Run) -> Output:
        """Return (output, last state)."""
        run.check_reached()
        form = leaky_form(run)
        output, last = run_fused(form, run.start, run.steps, run.readout)
        return last if output is None else output, last


def run_fused(form: LeakyForm, start: Tensor, steps: int, readout: Readout) -> tuple[Tensor | None, Tensor]:
    """Return (wanted states, last state); None for the first where only the last is wanted."""
    inputs = (form.weight, form.bias, form.drive, start)
    if torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in inputs):
        found: tuple[Tensor | None, Tensor]
        found = _Steps.apply(*inputs, form, steps, readout)  # type: ignore[no-untyped-call]
        return found
    kept = fused_launch.forward(form, start, steps, readout, for_backward=False)
    return kept.wanted(readout), kept.last


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
        kept = fused_launch.forward(form, start, steps, readout, for_backward=True)
        ctx.refilled = Refilled.of(drive)
        fixed = drive if ctx.refilled is None else None
        ctx.save_for_backward(weight, bias, fixed, start, kept.states, kept.rates)
        # what is on ctx itself stays after the backward pass, and hooks on saved tensors do not see it
        ctx.form, ctx.steps, ctx.readout = form.bare(), steps, readout
        ctx.drive_shape = None if drive is None else drive.shape
        ctx.set_materialize_grads(False)
        return kept.wanted(readout), kept.last

    @staticmethod
    def backward(ctx: Any, to_output: Tensor | None, to_last: Tensor | None) -> tuple[Any, ...]:
        weight, bias, drive, start, states, rates = ctx.saved_tensors
        gradients = (to_output, to_last)
        if to_output is None and to_last is None:
            return (None,) * 7
        needed = ctx.needs_input_grad[:4]
        if must_be_found_by_torch(gradients):
            inputs = (weight, bias, drive if ctx.refilled is None else ctx.refilled.as_it_was(), start)
            found = found_by_torch(
                lambda own: plain_steps(ctx.form, own, ctx.steps, ctx.readout), inputs, needed, gradients
            )
        else:
            form = replace(ctx.form, weight=weight)
            found = fused_launch.backward(form, states, rates, gradients, ctx.readout, needed, ctx.drive_shape)
        return (*found, None, None, None)


class _NotNow(Exception):
    """Whether kernels are right cannot be found out at this moment."""


def _wants_interpreter() -> bool:
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "y", "yes", "t", "true", "on")


@cache
def _why_not_right(device: torch.device, dtype: torch.dtype, units: int, samples: int) -> str | None:
    """Return why kernels of a kind are not to be used on a device; found out once, by a trial.

    Raises
    ------
    _NotNow
        If it cannot be found out now.
    """
    if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
        raise _NotNow("a kind of run that was not tried before a CUDA graph was begun")
    allowed = (8 if dtype.itemsize == 2 else 64) * torch.finfo(dtype).eps
    # the largest batch that is cut in this way, less some, so that the last program has empty places
    batch = samples * fused_launch.multiprocessors(device) - 1
    try:
        off = trial_error(run_fused, units=units, batch=batch, dtype=dtype, device=device)
        why = None if off <= allowed else f"a relative error of {off:.2g}, above {allowed:.2g}"
    except torch.OutOfMemoryError as error:
        raise _NotNow(f"a kind of run that has not been tried, since there was no memory to: {error}") from error
    except Exception as error:  # whatever a compiler, a driver or a card can raise
        why = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    if why is None:
        return None
    refused = f"{units} units of {dtype} on {device}, where its trial failed: {why}"
    warnings.warn(f"the loop Fused is not used for {refused}", RuntimeWarning, stacklevel=4)
    return refused
