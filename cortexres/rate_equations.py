"""The equations of rate circuits, for all units at once: what simulations integrate and theory linearises.

Every unit has a state y (a rate, a potential above rest, or a gating variable), sends s(y) and receives::

    u = sum_j W_ij s(y_j) + constant input + drive + noise,        tau dy/dt = flow(y, u)

===================  ==========================  ==============================  =================
model                sends s                     flow                            rate in Hz
===================  ==========================  ==============================  =================
linear               y                           -y + u                          y
threshold_linear     y                           -y + [u]_+                      y
power_law_voltage    gain [y]_+^exponent         -y + u                          gain [y]_+^exponent
power_law_rate       y                           -y + gain [u]_+^exponent        y
wong_wang            y                           -y + (1 - y) gamma tau H(u)     H(u)
===================  ==========================  ==============================  =================

``H(u) = z / (1 - exp(-curvature z))`` with ``z = slope u - offset``. W holds the strengths; onto threshold-linear units
times their gain.

References
----------
Murphy & Miller (2009), doi:10.1016/j.neuron.2009.02.005. Rubin, Van Hooser & Miller (2015),
doi:10.1016/j.neuron.2014.12.026. Wong & Wang (2006), doi:10.1523/JNEUROSCI.3733-05.2006. Joglekar et al. (2018),
doi:10.1016/j.neuron.2018.02.031. Hennequin et al. (2018), doi:10.1016/j.neuron.2018.04.017.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cortexres.definitions import Circuit, Projection, assembly_profile, first_units
from cortexres.definitions.models import NEURONS
from cortexres.errors import DefinitionError

Array = NDArray[np.float64]
Parameters = Mapping[str, Array]


class Components(NamedTuple):
    """Input of every unit, (..., `unit`), in the model's unit: from the stimulus and lower areas, and recurrent."""

    feedforward: Array
    excitatory: Array
    inhibitory: Array


class _Model(NamedTuple):
    """One row of the table above, with the derivatives that its Jacobian needs; p are parameters per unit."""

    sends: Callable[[Parameters, Array], Array]
    sends_slope: Callable[[Parameters, Array], Array]
    flow: Callable[[Parameters, Array, Array], Array]
    flow_by_state: Callable[[Parameters, Array, Array], Array]
    flow_by_input: Callable[[Parameters, Array, Array], Array]
    rate: Callable[[Parameters, Array, Array], Array]


class _Group(NamedTuple):
    """The units of one model and their parameters."""

    model: _Model
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
    _groups: tuple[_Group, ...]

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

    def _each(self, state: Array, function: Callable[[_Group, Array], Array]) -> Array:
        if len(self._groups) == 1:
            return function(self._groups[0], state)
        result = np.empty_like(state)
        for group in self._groups:
            result[..., group.units] = function(group, state[..., group.units])
        return result


def rate_equations(circuit: Circuit) -> RateEquations:
    """The equations of a rate circuit.

    Raises
    ------
    DefinitionError
        If the circuit is one of spiking cells, or mixes models with inputs in different units.
    """
    if not circuit.is_rate:
        raise DefinitionError(f"circuit {circuit.name} has spiking cells, expected rates; simulate its spikes instead")
    units = sorted({NEURONS[p.neuron].unit for p in circuit.populations})
    if len(units) > 1:
        raise DefinitionError(
            f"circuit {circuit.name} mixes rates with inputs in {' and '.join(units)}, expected models of one unit"
        )
    gain = _per_unit(circuit, "gain", 1.0, only="threshold_linear")
    weights = {kind: gain[:, None] * w for kind, w in _weights(circuit).items()}
    total = sum(weights.values(), np.zeros((len(gain), len(gain))))
    rest = _per_unit(circuit, "rest_Hz", 0.0)
    resting = np.where(_is(circuit, "threshold_linear"), rest - total @ rest, 0.0)
    return RateEquations(
        tau_ms=_per_unit(circuit, "tau_ms"),
        constant=_per_unit(circuit, "input") + resting,
        drive_scale=_per_unit(circuit, "drive_weight", 1.0),
        noise=_per_unit(circuit, "noise"),
        noise_tau_ms=_per_unit(circuit, "noise_tau_ms"),
        start=_per_unit(circuit, "start"),
        unit=units[0],
        _groups=_groups(circuit),
        **weights,
    )


def _weights(circuit: Circuit) -> dict[str, Array]:
    first, n = first_units(circuit), sum(p.assemblies for p in circuit.populations)
    weights = {kind: np.zeros((n, n)) for kind in ("feedforward", "excitatory", "inhibitory")}
    for q in circuit.projections:
        n_target, n_source = (circuit.population(name).assemblies for name in (q.target, q.source))
        block = _block(q, n_target, n_source)
        rows = slice(first[q.target], first[q.target] + n_target)
        columns = slice(first[q.source], first[q.source] + n_source)
        if q.pathway == "feedforward":
            weights["feedforward"][rows, columns] += block
        else:  # a matrix may hold both signs
            weights["excitatory"][rows, columns] += np.maximum(block, 0.0)
            weights["inhibitory"][rows, columns] += np.minimum(block, 0.0)
    return weights


def _block(q: Projection, n_target: int, n_source: int) -> Array:
    """The weights of one projection, (target assembly, source assembly)."""
    matrix = np.asarray(q.matrix, dtype=np.float64) if q.matrix else 1.0
    return np.asarray(q.strength * assembly_profile(q.profile, n_target, n_source) * matrix)


def _groups(circuit: Circuit) -> tuple[_Group, ...]:
    groups = []
    for name in sorted({p.neuron for p in circuit.populations}):
        units = np.flatnonzero(_is(circuit, name))
        parameters = {key: _per_unit(circuit, key, 0.0)[units] for key in NEURONS[name].parameters}
        groups.append(_Group(_MODELS[name], units, parameters))
    return tuple(groups)


def _is(circuit: Circuit, neuron: str) -> NDArray[np.bool_]:
    return np.array([p.neuron == neuron for p in circuit.populations for _ in range(p.assemblies)])


def _per_unit(circuit: Circuit, name: str, absent: float = 0.0, *, only: str = "") -> Array:
    """A parameter of every unit; `absent` where its model has none, or is not the `only` one meant."""
    values = [
        p.parameter(name) if name in NEURONS[p.neuron].parameters and only in ("", p.neuron) else absent
        for p in circuit.populations
        for _ in range(p.assemblies)
    ]
    return np.array(values, dtype=np.float64)


def _same(p: Parameters, y: Array) -> Array:
    return y


def _one(p: Parameters, y: Array) -> Array:
    return np.ones_like(y)


def _minus_one(p: Parameters, y: Array, u: Array) -> Array:
    return -np.ones_like(y)


def _state(p: Parameters, y: Array, u: Array) -> Array:
    return y


def _power(p: Parameters, x: Array) -> Array:
    return np.asarray(p["gain"] * np.maximum(x, 0.0) ** p["exponent"])


def _power_slope(p: Parameters, x: Array) -> Array:
    # An exponent below 1 has no finite slope at 0; below threshold it is 0.
    above = np.where(x > 0.0, x, 1.0)
    return np.asarray(np.where(x > 0.0, p["gain"] * p["exponent"] * above ** (p["exponent"] - 1.0), 0.0))


def _wong_wang_rate(p: Parameters, u: Array) -> Array:
    """H(u) in Hz, also where both its numerator and its denominator vanish."""
    z = np.clip(p["curvature"] * (p["slope"] * u - p["offset"]), -700.0, None)
    small = np.abs(z) < 1e-8
    safe = np.where(small, 1.0, z)
    return np.asarray(np.where(small, 1.0 + z / 2.0, safe / -np.expm1(-safe)) / p["curvature"])


def _wong_wang_slope(p: Parameters, u: Array) -> Array:
    """The derivative of H, in Hz / nA."""
    z = np.clip(p["curvature"] * (p["slope"] * u - p["offset"]), -350.0, 350.0)
    small = np.abs(z) < 1e-4
    safe = np.where(small, 1.0, z)
    decay = -np.expm1(-safe)
    return np.asarray(p["slope"] * np.where(small, 0.5 + z / 6.0, 1.0 / decay - safe * np.exp(-safe) / decay**2))


def _opening(p: Parameters, rate_hz: Array) -> Array:
    """Gates opened per time constant."""
    return np.asarray(1e-3 * p["gamma"] * p["tau_ms"] * rate_hz)


_MODELS: dict[str, _Model] = {
    "linear": _Model(
        sends=_same,
        sends_slope=_one,
        flow=lambda p, y, u: u - y,
        flow_by_state=_minus_one,
        flow_by_input=lambda p, y, u: np.ones_like(y),
        rate=_state,
    ),
    "threshold_linear": _Model(
        sends=_same,
        sends_slope=_one,
        flow=lambda p, y, u: np.maximum(u, 0.0) - y,
        flow_by_state=_minus_one,
        flow_by_input=lambda p, y, u: np.asarray(u > 0.0, dtype=np.float64),
        rate=_state,
    ),
    "power_law_voltage": _Model(
        sends=_power,
        sends_slope=_power_slope,
        flow=lambda p, y, u: u - y,
        flow_by_state=_minus_one,
        flow_by_input=lambda p, y, u: np.ones_like(y),
        rate=lambda p, y, u: _power(p, y),
    ),
    "power_law_rate": _Model(
        sends=_same,
        sends_slope=_one,
        flow=lambda p, y, u: _power(p, u) - y,
        flow_by_state=_minus_one,
        flow_by_input=lambda p, y, u: _power_slope(p, u),
        rate=_state,
    ),
    "wong_wang": _Model(
        sends=_same,
        sends_slope=_one,
        flow=lambda p, y, u: (1.0 - y) * _opening(p, _wong_wang_rate(p, u)) - y,
        flow_by_state=lambda p, y, u: -1.0 - _opening(p, _wong_wang_rate(p, u)),
        flow_by_input=lambda p, y, u: (1.0 - y) * _opening(p, _wong_wang_slope(p, u)),
        rate=lambda p, y, u: _wong_wang_rate(p, u),
    ),
}
