"""How irregularly a leaky integrate-and-fire neuron fires: the coefficient of variation of its intervals."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_ndtr

from cortexres.meanfield.siegert import siegert_rate

Array = NDArray[np.float64]

#: What is smaller than the largest value by a factor of exp(-NEGLIGIBLE) is left out of an integral.
NEGLIGIBLE = 45.0


def siegert_cv(
    mu: ArrayLike,
    sigma: ArrayLike,
    *,
    tau_m_ms: ArrayLike,
    t_refractory_ms: ArrayLike,
    v_threshold_mV: ArrayLike,
    v_reset_mV: ArrayLike,
    shift: ArrayLike = 0.0,
    nodes: int = 100,
) -> Array:
    """Coefficient of variation of the interspike intervals, for the neuron and arguments of `siegert_rate`.

    1 far below threshold (a Poisson process), towards 0 above it. The double integral
    ``CV^2 = 2 pi (nu tau)^2 int dx exp(x^2) int_-inf^x dy exp(y^2) (1 + erf y)^2`` is summed over logarithms that are
    never positive, so that nothing overflows.

    Parameters
    ----------
    nodes : int
        Gauss-Legendre nodes of each of the four parts, on the two sides of 0 in x and in y.

    References
    ----------
    Brunel (2000), doi:10.1023/A:1008925309027, appendix A.
    """
    arrays = (mu, sigma, tau_m_ms, t_refractory_ms, v_threshold_mV, v_reset_mV, shift)
    mu_, sigma_, tau, t_ref, v_th, v_r, dy = np.broadcast_arrays(*[np.asarray(a, dtype=np.float64) for a in arrays])
    low, high = (v_r - mu_) / sigma_ + dy, (v_th - mu_) / sigma_ + dy
    rate = siegert_rate(
        mu_, sigma_, tau_m_ms=tau, t_refractory_ms=t_ref, v_threshold_mV=v_th, v_reset_mV=v_r, shift=dy
    )
    found = np.ones(high.shape)
    for at in np.ndindex(high.shape):
        # The rate carries exp(-high^2), of which the integral below is freed twice over.
        growth = max(float(high[at]), 0.0) ** 2
        scaled = 1e-3 * float(rate[at]) * float(tau[at]) * math.exp(min(growth, 700.0))
        # Beyond that the rate itself is below 1e-290 Hz, and the process is Poisson.
        if growth < 600.0:
            found[at] = math.sqrt(2.0 * math.pi * _double_integral(float(low[at]), float(high[at]), nodes)) * scaled
    return found


def _double_integral(low: float, high: float, nodes: int) -> float:
    """The double integral over ``low < x < high``, times exp(-2 high^2) where `high` is positive."""
    scale = 2.0 * max(high, 0.0) ** 2
    total = 0.0
    if low < 0.0:
        x, w = _legendre(low, min(high, 0.0), nodes)
        total += float(w @ _over_negative(x, x, scale, nodes))
    if high > 0.0:
        x, w = _legendre(max(low, math.sqrt(max(0.0, high**2 - 0.5 * NEGLIGIBLE))), high, nodes)
        total += float(w @ (_over_negative(x, np.zeros_like(x), scale, nodes) + _over_positive(x, scale, nodes)))
    return total


def _over_negative(x: Array, stop: Array, scale: float, nodes: int) -> Array:
    """Integral over y from minus infinity to `stop`, which is not positive."""
    # At `stop` minus a length the integrand is smaller by exp(-(2 |stop| + length) length) at least.
    length = np.sqrt(stop**2 + NEGLIGIBLE) - np.abs(stop)
    t, w = _legendre(0.0, 1.0, nodes)
    y = stop[:, None] - length[:, None] * t
    return np.asarray(length * (np.exp(_exponent(x[:, None], y) - scale) @ w))


def _over_positive(x: Array, scale: float, nodes: int) -> Array:
    """Integral over y from 0 (or from where it starts to count) to x, which is positive."""
    start = np.sqrt(np.maximum(0.0, x**2 - NEGLIGIBLE))
    t, w = _legendre(0.0, 1.0, nodes)
    y = start[:, None] + (x - start)[:, None] * t
    return np.asarray((x - start) * (np.exp(_exponent(x[:, None], y) - scale) @ w))


def _exponent(x: Array, y: Array) -> Array:
    """Logarithm of ``exp(x^2) exp(y^2) (1 + erf y)^2``."""
    return np.asarray(x**2 + y**2 + 2.0 * (math.log(2.0) + log_ndtr(math.sqrt(2.0) * y)))


def _legendre(low: float, high: float, nodes: int) -> tuple[Array, Array]:
    x, w = np.polynomial.legendre.leggauss(nodes)
    half = 0.5 * (high - low)
    return low + half * (x + 1.0), half * w
