"""The residual block: what one step of ``dt_ms`` adds to the state of the circuit's mean field."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cortexres.bridge.transfer import ResponseTime, Transfer
from cortexres.meanfield import MeanField, Pathway
from cortexres.meanfield.moments import SMALLEST_SIGMA
from cortexres.meanfield.siegert import COLOURED_NOISE_SHIFT

#: Longest substep (ms): half of what the fastest rates need.
LONGEST_SUBSTEP_MS = 0.5
#: Substep where a projection has (almost) no delay (ms).
SHORTEST_SUBSTEP_MS = 0.1


class Currents(NamedTuple):
    """Input of every unit from others, as mean depolarisation in mV: recurrent by sign, and by feedforward pathways."""

    excitatory: Tensor
    inhibitory: Tensor
    feedforward: Tensor


@dataclass(frozen=True)
class _Route:
    """Where a pathway finds its synaptic variable in the state."""

    pathway: Pathway
    first_channel: int
    delay_in_substeps: float


class ResidualBlock(nn.Module):
    """The update that one block adds to a state: ``next = state + block(state, drive)``.

    The state is a tensor of shape (batch, channel, unit). Channel 0 holds the rates in Hz; then come, for each synaptic
    time constant, the synaptic variable (Hz) now and at every substep back to the longest delay: a shift register.

    Parameters
    ----------
    field : MeanField
        The circuit: weights, neurons, constant inputs.
    response_time : ResponseTime
        Time constants of the rates.
    dt_ms : float
        Length of the block. It is divided into equal substeps no longer than the shortest delay and 0.5 ms.
    """

    resting: nn.Parameter
    noise: Tensor

    def __init__(self, field: MeanField, response_time: ResponseTime, *, dt_ms: float) -> None:
        super().__init__()
        self.dt_ms = dt_ms
        self.substeps = _substeps(field, dt_ms)
        self.substep_ms = dt_ms / self.substeps
        self.transfer = Transfer(field.neurons())
        self.response_time = response_time
        self.routes, self.registers, self.channels = _layout(field, self.substep_ms)
        # Nothing is fitted: the parameters are frozen until a user asks for gradients with `requires_grad_()`.
        self.resting = nn.Parameter(torch.from_numpy(field.resting.copy()), requires_grad=False)
        self.weights = nn.ParameterList(
            nn.Parameter(torch.from_numpy(r.pathway.mean.copy()), requires_grad=False) for r in self.routes
        )
        self.register_buffer("noise", torch.from_numpy(field.noise.copy()))
        for k, route in enumerate(self.routes):
            self.register_buffer(f"variance_{k}", torch.from_numpy(route.pathway.variance.copy()))

    def forward(self, state: Tensor, drive: Tensor) -> Tensor:
        """The update of the state, of its shape (batch, channel, unit), under a drive in mV of shape (batch, unit)."""
        update = torch.zeros_like(state)
        for _ in range(self.substeps):
            update = update + self._substep(state + update, drive)
        return update

    def rest(self, rates: Tensor) -> Tensor:
        """The state in which every unit has always fired at `rates` (Hz), shape (channel, unit)."""
        return rates.expand(self.channels, -1).clone()

    def currents(self, state: Tensor) -> Currents:
        """Input from other units that arrives now, in mV of mean depolarisation, shape (batch, unit) each."""
        total = {kind: torch.zeros_like(state[:, 0]) for kind in Currents._fields}
        for route, weight in zip(self.routes, self.weights, strict=True):
            path = route.pathway
            kind = "feedforward" if path.feedforward else "excitatory" if path.excitatory else "inhibitory"
            total[kind] = total[kind] + _at_lag(state, route.first_channel, route.delay_in_substeps) @ weight.T
        return Currents(**total)

    def _substep(self, state: Tensor, drive: Tensor) -> Tensor:
        """Update of one substep: exponential steps of rates and synapses, at the input of its middle."""
        mu, sigma, shift = self._input(state, drive)
        target = self.transfer(mu, sigma, shift)
        # The coloured shift of the bounds is a lower mean input.
        tau = self.response_time(mu - shift * sigma, sigma)
        rate = state[:, 0]
        step = -torch.expm1(-self.substep_ms / tau) * (target - rate)
        parts = [step[:, None]]
        for tau_s, first, length in self.registers:
            register = state[:, first : first + length]
            a, b_now, b_next = _synaptic_step(self.substep_ms / tau_s)
            head = a * register[:, 0] + b_now * rate + b_next * (rate + step)
            parts.append(torch.cat([head[:, None], register[:, :-1]], dim=1) - register)
        return torch.cat(parts, dim=1)

    def _input(self, state: Tensor, drive: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean, noise amplitude and shift of the bounds, halfway through the substep that starts at `state`."""
        mu = self.resting + drive
        variance = (self.noise**2).expand_as(mu)
        coloured = torch.zeros_like(mu)
        for k, (route, weight) in enumerate(zip(self.routes, self.weights, strict=True)):
            past = _at_lag(state, route.first_channel, max(route.delay_in_substeps - 0.5, 0.0))
            part = past @ self.get_buffer(f"variance_{k}").T
            mu = mu + past @ weight.T
            variance = variance + part
            coloured = coloured + math.sqrt(route.pathway.tau_ms) * part
        variance = variance.clamp(min=SMALLEST_SIGMA**2)
        shift = COLOURED_NOISE_SHIFT * coloured / (variance * self.transfer.tau_m.sqrt())
        return mu, variance.sqrt(), shift


def _substeps(field: MeanField, dt_ms: float) -> int:
    delays = [path.delay_ms for path in field.pathways]
    longest = min([LONGEST_SUBSTEP_MS, *(max(d, SHORTEST_SUBSTEP_MS) for d in delays)])
    return max(1, math.ceil(dt_ms / longest - 1e-9))


def _layout(field: MeanField, substep_ms: float) -> tuple[list[_Route], list[tuple[float, int, int]], int]:
    """Routes of the pathways, the registers (time constant, first channel, length), and the number of channels."""
    routes, registers, at = [], [], 1
    for tau in sorted({path.tau_ms for path in field.pathways}):
        members = [path for path in field.pathways if path.tau_ms == tau]
        lags = [path.delay_ms / substep_ms for path in members]
        length = max(2, math.ceil(max(lags) - 1e-9) + 1)
        routes += [_Route(p, at, lag) for p, lag in zip(members, lags, strict=True)]
        registers.append((tau, at, length))
        at += length
    return routes, registers, at


def _at_lag(state: Tensor, first: int, lag: float) -> Tensor:
    """A register `lag` substeps ago, linear between its entries."""
    below = math.floor(lag + 1e-9)
    part = max(lag - below, 0.0)
    recent = state[:, first + below]
    if part < 1e-9:
        return recent
    return (1.0 - part) * recent + part * state[:, first + below + 1]


def _synaptic_step(z: float) -> tuple[float, float, float]:
    """Factors of the variable and of the rate at both ends of a step of `z` time constants, exact for a linear rate."""
    decay = math.exp(-z)
    mean = -math.expm1(-z) / z
    return decay, mean - decay, 1.0 - mean
