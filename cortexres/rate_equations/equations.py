"""The equations of all units together, as arrays: inputs, derivatives, rates and the Jacobian of any state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cortexres.rate_equations.models import Model

Array = NDArray[np.float64]


class Components(NamedTuple):
    """Input of every unit, (..., `unit`), in the model's unit: from the stimulus and lower areas, and recurrent."""

    feedforward: Array
    excitatory: Array
    inhibitory: Array


class Group(NamedTuple):
    """The units of one model and their parameters."""

    model: Model
    units: NDArray[np.intp]
    parameters: dict[str, Array]


@dataclass(frozen=True)
class RateEquations:
    """A rate circuit as arrays over its units.

    Attributes
    ----------
    tau_ms, constant, drive_scale, noise, noise_tau_ms, start : array (`unit`,)
        Time constants, constant input, input per unit of drive, stationary standard deviation and time constant of
        the noise, and first state.
    feedforward, excitatory, inhibitory : array (target, source)
        Weights of the projections of that pathway and, among the others, of that sign.
    unit : str
        Of inputs.
    """

    tau_ms: Array
    constant: Array
    drive_scale: Array
    noise: Array
    noise_tau_ms: Array
    start: Array
    feedforward: Array
    excitatory: Array
    inhibitory: Array
    unit: str
    _groups: tuple[Group, ...]

    @property
    def weights(self) -> Array:
        """All weights, (target, source)."""
        return self.feedforward + self.excitatory + self.inhibitory

    def sent(self, state: Array) -> Array:
        """What every unit sends, of the shape of `state`, (..., `unit`)."""
        return self._each(state, lambda g, y: g.model.sends(g.parameters, y))

    def total_input(self, state: Array, external: Array, weights: Array | None = None) -> Array:
        """The input u of every unit; `external` is drive (in units of input) and noise, `weights` all of them."""
        w = self.weights if weights is None else weights
        return np.asarray(self.sent(state) @ w.T + self.constant + external)

    def derivative(self, state: Array, external: Array, weights: Array | None = None) -> Array:
        """The change of the state per ms; arguments as in `total_input`."""
        u = self.total_input(state, external, weights)
        return self._each(state, lambda g, y: g.model.flow(g.parameters, y, u[..., g.units])) / self.tau_ms

    def rates(self, state: Array, external: Array) -> Array:
        """The rate of every unit in Hz."""
        u = self.total_input(state, external)
        return self._each(state, lambda g, y: g.model.rate(g.parameters, y, u[..., g.units]))

    def components(self, state: Array, drive: Array) -> Components:
        """The input components; `drive` is in units of input."""
        sent = self.sent(state)
        return Components(sent @ self.feedforward.T + drive, sent @ self.excitatory.T, sent @ self.inhibitory.T)

    def jacobian(self, state: Array, external: Array) -> Array:
        """The derivative of `derivative` by the state at one state (`unit`,), as (target, source) in 1/ms."""
        u = self.total_input(state, external)
        by_state = self._each(state, lambda g, y: g.model.flow_by_state(g.parameters, y, u[g.units]))
        by_input = self._each(state, lambda g, y: g.model.flow_by_input(g.parameters, y, u[g.units]))
        slope = self._each(state, lambda g, y: g.model.sends_slope(g.parameters, y))
        matrix = np.diag(by_state) + by_input[:, None] * self.weights * slope[None, :]
        return np.asarray(matrix / self.tau_ms[:, None])

    def _each(self, state: Array, function: Callable[[Group, Array], Array]) -> Array:
        if len(self._groups) == 1:
            return function(self._groups[0], state)
        result = np.empty_like(state)
        for group in self._groups:
            result[..., group.units] = function(group, state[..., group.units])
        return result
