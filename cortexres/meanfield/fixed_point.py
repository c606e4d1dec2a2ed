"""Stationary rates of a circuit, and the mean input that makes it rest at wanted rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, root

from cortexres.definitions import Circuit, Population
from cortexres.errors import ArgumentError
from cortexres.meanfield.from_circuit import mean_field
from cortexres.meanfield.moments import MeanField, Moments
from cortexres.meanfield.siegert import siegert_rate

Array = NDArray[np.float64]

#: What counts as a fixed point: the largest difference left, relative to the largest rate (or to 1 Hz).
AT_REST = 1e-7
#: How often relaxation is tried again with smaller steps, and by how much they shrink.
REFINEMENTS, FINER = 2, 4.0


@dataclass(frozen=True)
class FixedPoint:
    """Stationary rates in Hz, the input there, and the largest difference left between rate and transfer (Hz)."""

    rates: Array
    moments: Moments
    residual: float


def fixed_point(
    field: MeanField,
    *,
    drive: ArrayLike = 0.0,
    start: ArrayLike = 0.0,
    relaxation: float = 0.1,
    sweeps: int = 400,
    tolerance_hz: float = 1e-9,
) -> FixedPoint:
    """Stationary rates that relaxation from `start` reaches, polished by Newton's method.

    Where strong recurrence makes the steps overshoot, relaxation starts again with smaller ones.

    Parameters
    ----------
    field : MeanField
        The circuit.
    drive : array_like of shape (unit,)
        Additional drive, as `MeanField.drive` makes it.
    start : array_like of shape (unit,)
        Rates in Hz from which to relax: which of several fixed points is found depends on it. Given rates stay.
    relaxation, sweeps : float, int
        Step (of a time constant) and largest number of the damped iterations.
    tolerance_hz : float
        Relaxation ends where every rate is within this of its transfer function.
    """
    driven = field.with_drive(drive)
    first = np.broadcast_to(np.asarray(start, dtype=np.float64), (field.units,))
    if driven.given is not None:
        first = np.where(driven.responsive, first, driven.given)
    found = None
    for refinement in range(REFINEMENTS + 1):
        finer = FINER**refinement
        point = _relaxed(driven, first, relaxation / finer, round(sweeps * finer), tolerance_hz)
        if found is None or point.residual < found.residual:
            found = point
        if found.residual <= AT_REST * max(1.0, float(np.max(found.rates))):
            break
    assert found is not None
    return found


def _relaxed(field: MeanField, start: Array, step: float, sweeps: int, tolerance_hz: float) -> FixedPoint:
    """Where relaxation by one size of step ends."""
    rates = start.copy()

    def excess(r: Array) -> Array:
        return np.asarray(field.rate(field.moments(np.maximum(r, 0.0))) - r, dtype=np.float64)

    for _ in range(sweeps):
        change = excess(rates)
        rates = rates + step * change
        if np.max(np.abs(change)) < tolerance_hz:
            break
    polished = root(excess, rates, method="hybr", options={"xtol": 1e-13})
    # Newton may jump to another branch: it is only believed near to where relaxation came to rest.
    near = np.max(np.abs(polished.x - rates)) <= max(1.0, 10 * float(np.max(np.abs(excess(rates)))))
    if near and np.max(np.abs(excess(polished.x))) < np.max(np.abs(excess(rates))):
        rates = np.maximum(polished.x, 0.0)
    residual = float(np.max(np.abs(excess(rates))))
    return FixedPoint(rates=rates, moments=field.moments(rates), residual=residual)


def baseline_inputs(circuit: Circuit, rates_hz: Mapping[str, float]) -> dict[str, float]:
    """The ``mean_input_mV`` of each population with which the mean field rests at the wanted rates.

    Parameters
    ----------
    circuit : Circuit
        Its own mean inputs are not used. Poisson sources and silenced cells have their rates already.
    rates_hz : mapping of population name to float
        Wanted rate of every other population in Hz, above 0 and below 1 / t_refractory.

    Raises
    ------
    ArgumentError
        If a population has no rate, or one that its neurons cannot have.
    ValidityError
        If the circuit has no mean field.
    """
    field = mean_field(circuit)
    owner = [p for p in circuit.populations for _ in range(p.assemblies)]
    wanted = {p.name: _wanted_rate(p, rates_hz) for p in circuit.populations if _responds(p)}
    rates = np.array([wanted.get(p.name, 0.0) for p in owner])
    if field.given is not None:
        rates = np.where(field.responsive, rates, field.given)
    inputs = field.moments(rates)
    result = {}
    for p in circuit.populations:
        if p.name not in wanted:
            continue
        unit = owner.index(p)
        total = _mean_for_rate(field, inputs, unit, wanted[p.name])
        result[p.name] = float(total - (inputs.mu[unit] - field.resting[unit]) - p.parameters["v_rest_mV"])
    return result


def _responds(population: Population) -> bool:
    return population.neuron != "poisson" and not population.silenced


def _wanted_rate(population: Population, rates_hz: Mapping[str, float]) -> float:
    refractory = population.parameters["t_refractory_ms"]
    limit = 1e3 / refractory if refractory else np.inf
    rate = rates_hz.get(population.name, np.nan)
    if not 0 < rate < limit:
        raise ArgumentError(
            f"got rate {rates_hz.get(population.name)} Hz for population {population.name!r}, expected a value between "
            f"0 and {limit:g} Hz (1 / refractory period); give one for every population of the circuit"
        )
    return rate


def _mean_for_rate(field: MeanField, inputs: Moments, unit: int, rate_hz: float) -> float:
    """The total mean input in mV at which a unit fires at `rate_hz`, its noise being given."""

    def excess(mu: float) -> float:
        rate = siegert_rate(
            mu,
            inputs.sigma[unit],
            tau_m_ms=field.tau_m[unit],
            t_refractory_ms=field.t_ref[unit],
            v_threshold_mV=field.threshold[unit],
            v_reset_mV=field.reset[unit],
            shift=inputs.shift[unit],
        )
        return float(rate) - rate_hz

    low, high = float(field.reset[unit] - 8 * inputs.sigma[unit]), float(field.threshold[unit])
    while excess(high) < 0:
        high = field.threshold[unit] + 2 * (high - field.reset[unit])
    while excess(low) > 0:
        low -= 8 * float(inputs.sigma[unit])
    return float(brentq(excess, low, high, xtol=1e-12))
