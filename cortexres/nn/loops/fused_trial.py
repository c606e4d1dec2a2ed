"""A trial of a loop for dense leaky networks: short random runs against float64, before the loop is trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from cortexres.nn.loops.leaky_form import LeakyForm, plain_steps
from cortexres.nn.loops.run import Readout
from cortexres.nn.loops.shares import Share

# (form, start, steps, readout) -> (wanted states or None, last state)
Steps = Callable[[LeakyForm, Tensor, int, Readout], tuple[Tensor | None, Tensor]]
_STEPS = 5


def trial_error(steps: Steps, *, units: int, batch: int, dtype: torch.dtype, device: torch.device) -> float:
    """Return the largest error of states and gradients, relative to the largest number of each; NaN where one is NaN.

    Two runs try both functions, both ways to send, both kinds of drive and of gamma, and a read step or all. The
    gradients are those of the drive and of the first state: they hold what the loop brings back through every step,
    and no product that torch takes in TF32 where it is told to.

    Parameters
    ----------
    steps : callable
        What is tried.
    units, batch : int
        Size of the runs.
    dtype : torch.dtype
        Precision of the runs; what they are held against is float64.
    device : torch.device
        Where both are run.
    """
    # a caller may have switched gradients off
    with torch.inference_mode(False), torch.enable_grad():
        return max(_error(steps, form, start, readout) for form, start, readout in _runs(units, batch, dtype, device))


def _runs(units: int, batch: int, dtype: torch.dtype, device: torch.device) -> list[tuple[LeakyForm, Tensor, Readout]]:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device, dtype)

    smooth = LeakyForm(
        weight=draw(units, units) / units**0.5,
        bias=draw(units),
        drive=draw(batch, units),
        function="tanh",
        rectified=False,
        carried=0.75,
        added=0.25,
    )
    # every unit is far on one side of its threshold, where no rounding takes it to the other
    side, gamma = torch.sign(draw(units)), torch.sigmoid(draw(units))
    rates = LeakyForm(
        weight=draw(units, units).abs() / (2 * units),
        bias=None,
        drive=side * (3 + draw(batch, _STEPS, units).abs()),
        function="relu",
        rectified=True,
        carried=1 - gamma,
        added=gamma,
    )
    return [(smooth, draw(batch, units), "all"), (rates, side * (1 + draw(batch, units).abs()), _STEPS - 2)]


def _error(steps: Steps, form: LeakyForm, start: Tensor, readout: Readout) -> float:
    found = _outcome(steps, form, start, readout)
    right = _outcome(_plain, _doubled(form), start.double(), readout)
    worst = [(got - exact).abs().max() / exact.abs().max() for got, exact in zip(found, right, strict=True)]
    return float(torch.stack(worst).max())


def _outcome(steps: Steps, form: LeakyForm, start: Tensor, readout: Readout) -> list[Tensor]:
    """Return states, and gradients of an uneven sum of them, in float64."""
    drive, start = cast("Tensor", form.drive).requires_grad_(), start.requires_grad_()
    outputs = [states for states in steps(form, start, _STEPS, readout) if states is not None]
    uneven = [torch.linspace(-1, 1, states.numel()).to(states).view_as(states) for states in outputs]
    gradients = torch.autograd.grad(outputs, [drive, start], uneven)
    return [tensor.detach().double() for tensor in (*outputs, *gradients)]


def _plain(form: LeakyForm, start: Tensor, steps: int, readout: Readout) -> tuple[Tensor | None, Tensor]:
    return plain_steps(form, [form.weight, form.bias, form.drive, start], steps, readout)


def _doubled(form: LeakyForm) -> LeakyForm:
    def of(share: Share) -> Share:
        return share.double() if isinstance(share, Tensor) else share

    return replace(
        form,
        weight=form.weight.double(),
        bias=None if form.bias is None else form.bias.double(),
        drive=cast("Tensor", form.drive).detach().double(),
        carried=of(cast("Share", form.carried)),
        added=of(form.added),
    )
