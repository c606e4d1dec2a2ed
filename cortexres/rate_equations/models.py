"""The models of rate units: what they send and how their state flows, one row of the package's table each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Parameters = Mapping[str, Array]


class Model(NamedTuple):
    """One row of that table, with the derivatives that its Jacobian needs; p are parameters per unit."""

    sends: Callable[[Parameters, Array], Array]
    sends_slope: Callable[[Parameters, Array], Array]
    flow: Callable[[Parameters, Array, Array], Array]
    flow_by_state: Callable[[Parameters, Array, Array], Array]
    flow_by_input: Callable[[Parameters, Array, Array], Array]
    rate: Callable[[Parameters, Array, Array], Array]


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


MODELS: dict[str, Model] = {
    "linear": Model(
        sends=_same,
        sends_slope=_one,
        flow=lambda p, y, u: u - y,
        flow_by_state=_minus_one,
        flow_by_input=lambda p, y, u: np.ones_like(y),
        rate=_state,
    ),
    "threshold_linear": Model(
        sends=_same,
        sends_slope=_one,
        flow=lambda p, y, u: np.maximum(u, 0.0) - y,
        flow_by_state=_minus_one,
        flow_by_input=lambda p, y, u: np.asarray(u > 0.0, dtype=np.float64),
        rate=_state,
    ),
    "power_law_voltage": Model(
        sends=_power,
        sends_slope=_power_slope,
        flow=lambda p, y, u: u - y,
        flow_by_state=_minus_one,
        flow_by_input=lambda p, y, u: np.ones_like(y),
        rate=lambda p, y, u: _power(p, y),
    ),
    "power_law_rate": Model(
        sends=_same,
        sends_slope=_one,
        flow=lambda p, y, u: _power(p, u) - y,
        flow_by_state=_minus_one,
        flow_by_input=lambda p, y, u: _power_slope(p, u),
        rate=_state,
    ),
    "wong_wang": Model(
        sends=_same,
        sends_slope=_one,
        flow=lambda p, y, u: (1.0 - y) * _opening(p, _wong_wang_rate(p, u)) - y,
        flow_by_state=lambda p, y, u: -1.0 - _opening(p, _wong_wang_rate(p, u)),
        flow_by_input=lambda p, y, u: (1.0 - y) * _opening(p, _wong_wang_slope(p, u)),
        rate=lambda p, y, u: _wong_wang_rate(p, u),
    ),
}
