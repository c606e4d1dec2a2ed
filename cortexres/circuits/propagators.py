"""Exact integration of a leaky membrane with linear currents over one step, as numbers.

With ``tau_m v' = -v + I`` and ``tau I' = -I`` (``tau I' = h - I``, ``tau h' = -h`` for an alpha function) the state
after a step is a linear function of the one before. Definitions refuse tau = tau_m, where Brian2's own exact
integration gives NaN; the limit is needed all the same, since 1 / tau and 1 / tau_m can be one number where tau and
tau_m are two.

References
----------
Rotter & Diesmann 1999, doi:10.1007/s004220050570.
"""

from __future__ import annotations

import math

from cortexres.circuits.structure import Cells
from cortexres.definitions import Circuit, Population


def propagators(cells: Cells, population: Population, circuit: Circuit) -> dict[str, float]:
    """The coefficients of `neurons.exact_step` for the cells of one population, by name."""
    dt, tau_m = circuit.dt_ms, population.parameter("tau_m_ms")
    values = {"keep_v": math.exp(-dt / tau_m)}
    for k, receptor in enumerate(cells.receptors):
        if receptor.model == "delta":
            continue
        tau = circuit.synapses[receptor.synapse].tau_ms
        faster = 1.0 / tau - 1.0 / tau_m
        values[f"keep_{k}"] = math.exp(-dt / tau)
        values[f"into_v_{k}"] = values["keep_v"] / tau_m * _first(faster, dt)
        if receptor.model == "alpha_current":
            values[f"h_into_{k}"] = dt / tau * values[f"keep_{k}"]
            values[f"h_into_v_{k}"] = values["keep_v"] / (tau_m * tau) * _second(faster, dt)
    return values


def _first(a: float, t: float) -> float:
    """The integral of exp(-a u) from 0 to t."""
    return -math.expm1(-a * t) / a if abs(a * t) > 1e-12 else t


def _second(a: float, t: float) -> float:
    """The integral of u exp(-a u) from 0 to t."""
    x = a * t
    if abs(x) < 1e-3:  # the closed form loses its digits
        return t * t * (0.5 - x / 3.0 + x * x / 8.0 - x**3 / 30.0)
    return (-math.expm1(-x) - x * math.exp(-x)) / (a * a)
