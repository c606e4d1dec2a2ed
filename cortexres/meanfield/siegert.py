"""The stationary rate of a leaky integrate-and-fire neuron driven by white (or weakly coloured) noise."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import dawsn, erfcx

Array = NDArray[np.float64]

#: alpha / 2 of Fourcaud & Brunel (2002), with alpha = sqrt(2) |zeta(1/2)|: the shift of threshold and reset, in units
#: of sigma, per square root of tau_s / tau_m.
COLOURED_NOISE_SHIFT = 1.0326265761156085

#: -zeta(1/2) / sqrt(2 pi) (Chernoff 1965): how far beyond a barrier a random walk is when it is first seen there,
#: in standard deviations of one step.
DISCRETE_TIME_SHIFT = 0.5825971579390107


def siegert_rate(
    mu: ArrayLike,
    sigma: ArrayLike,
    *,
    tau_m_ms: ArrayLike,
    t_refractory_ms: ArrayLike,
    v_threshold_mV: ArrayLike,
    v_reset_mV: ArrayLike,
    shift: ArrayLike = 0.0,
    nodes: int = 200,
) -> Array:
    """Stationary rate in Hz of ``tau dV = mu - V + sigma sqrt(tau) xi``, in the numerically stable form.

    Parameters
    ----------
    mu, sigma : array_like
        Mean input and noise amplitude in mV; broadcast against each other and against the parameters.
    tau_m_ms, t_refractory_ms, v_threshold_mV, v_reset_mV : array_like
        Parameters of the neuron; voltages from the same zero as `mu`.
    shift : array_like
        Added to both scaled bounds of the integral; see `coloured_noise_shift`.
    nodes : int
        Gauss-Legendre nodes of the integral.

    References
    ----------
    Layer et al. (2022), doi:10.3389/fninf.2022.835657. Brunel (2000), doi:10.1023/A:1008925309027.
    """
    arrays = (mu, sigma, tau_m_ms, t_refractory_ms, v_threshold_mV, v_reset_mV, shift)
    mu_, sigma_, tau, t_ref, v_th, v_r, dy = np.broadcast_arrays(*[np.asarray(a, dtype=np.float64) for a in arrays])
    y_th = (v_th - mu_) / sigma_ + dy
    y_r = (v_r - mu_) / sigma_ + dy
    integral, scale = _scaled_integral(np.atleast_1d(y_th), np.atleast_1d(y_r), nodes)
    rate = 1e3 * scale / (t_ref * scale + tau * math.sqrt(math.pi) * integral)
    return np.asarray(rate.reshape(y_th.shape), dtype=np.float64)


def siegert_gain_mean(
    mu: ArrayLike,
    sigma: ArrayLike,
    *,
    tau_m_ms: ArrayLike,
    t_refractory_ms: ArrayLike,
    v_threshold_mV: ArrayLike,
    v_reset_mV: ArrayLike,
    shift: ArrayLike = 0.0,
) -> Array:
    """Derivative of `siegert_rate` with respect to the mean input, in Hz / mV, in closed form."""
    neuron: dict[str, Any] = {"tau_m_ms": tau_m_ms, "t_refractory_ms": t_refractory_ms}
    rate = siegert_rate(mu, sigma, v_threshold_mV=v_threshold_mV, v_reset_mV=v_reset_mV, shift=shift, **neuron)
    return _rate_slope(rate, mu, sigma, tau_m_ms, v_threshold_mV, v_reset_mV, shift)[0]


def siegert_gain_sigma(
    mu: ArrayLike,
    sigma: ArrayLike,
    *,
    tau_m_ms: ArrayLike,
    t_refractory_ms: ArrayLike,
    v_threshold_mV: ArrayLike,
    v_reset_mV: ArrayLike,
    shift: ArrayLike = 0.0,
) -> Array:
    """Derivative of `siegert_rate` with respect to sigma at a constant `shift`, in Hz / mV, in closed form."""
    neuron: dict[str, Any] = {"tau_m_ms": tau_m_ms, "t_refractory_ms": t_refractory_ms}
    rate = siegert_rate(mu, sigma, v_threshold_mV=v_threshold_mV, v_reset_mV=v_reset_mV, shift=shift, **neuron)
    return _rate_slope(rate, mu, sigma, tau_m_ms, v_threshold_mV, v_reset_mV, shift)[1]


def coloured_noise_shift(share: ArrayLike, *, tau_s_ms: ArrayLike, tau_m_ms: ArrayLike) -> Array:
    """Shift of the scaled bounds for noise of time constant `tau_s_ms` that has a `share` of the variance.

    Theory gives the shift for a share of 1, to first order in sqrt(tau_s / tau_m). In between it is taken to be linear
    in the share, which is too much: a neuron 1 sigma below threshold, with tau_s / tau_m = 0.25, fires 9 % more than
    that says at a share of 0.25, and 15 % more at 0.5.

    References
    ----------
    Fourcaud & Brunel (2002), doi:10.1162/089976602320264015.
    """
    ratio = np.asarray(tau_s_ms, dtype=np.float64) / np.asarray(tau_m_ms, dtype=np.float64)
    return np.asarray(COLOURED_NOISE_SHIFT * np.sqrt(ratio) * np.asarray(share), dtype=np.float64)


def discrete_time_threshold(
    v_threshold_mV: ArrayLike, *, noise_mV: ArrayLike, dt_ms: ArrayLike, tau_m_ms: ArrayLike
) -> Array:
    """Threshold in mV that a continuous neuron needs to fire like one whose threshold is only looked at every `dt_ms`.

    References
    ----------
    Chernoff (1965), doi:10.1214/aoms/1177700304; Broadie, Glasserman & Kou (1997), doi:10.1111/1467-9965.00035.
    """
    step = np.asarray(noise_mV) * np.sqrt(np.asarray(dt_ms) / np.asarray(tau_m_ms))
    return np.asarray(np.asarray(v_threshold_mV) + DISCRETE_TIME_SHIFT * step, dtype=np.float64)


def _scaled_integral(y_th: Array, y_r: Array, nodes: int) -> tuple[Array, Array]:
    """Integral of erfcx(-u) from y_r to y_th times `scale`, and `scale` (exp(-y_th^2) for y_th > 0, else 1).

    Each sign of the bounds has a form in which nothing overflows and nothing cancels.
    """
    positive = np.maximum(y_th, 0.0)
    scale = np.exp(-(positive**2))
    all_negative = y_th <= 0.0
    all_positive = y_r > 0.0
    below = np.where(all_positive, y_r, np.abs(y_r))
    start = np.abs(y_th)
    # One integral of erfcx over positive arguments serves the three cases, with its sign.
    smooth = _erfcx_integral(np.where(all_positive, below, start), np.where(all_positive, start, below), nodes)
    mixed = 2.0 * dawsn(positive) + scale * smooth
    reset = np.where(all_positive, y_r, 0.0)
    from_reset = np.exp(reset**2 - np.maximum(positive, reset) ** 2) * dawsn(reset)
    above = 2.0 * (dawsn(positive) - from_reset) - scale * smooth
    return np.where(all_negative, smooth, np.where(all_positive, above, mixed)), scale


@cache
def _legendre(nodes: int) -> tuple[Array, Array]:
    x, w = np.polynomial.legendre.leggauss(nodes)
    return x, w


def _erfcx_integral(start: Array, stop: Array, nodes: int) -> Array:
    """Integral of erfcx from `start` to `stop` (both >= 0), by Gauss-Legendre quadrature."""
    x, w = _legendre(nodes)
    half = 0.5 * (stop - start)
    points = start[..., None] + half[..., None] * (x + 1.0)
    return np.asarray(half * (erfcx(points) @ w), dtype=np.float64)


def _rate_slope(
    rate: Array,
    mu: ArrayLike,
    sigma: ArrayLike,
    tau_m_ms: ArrayLike,
    v_threshold_mV: ArrayLike,
    v_reset_mV: ArrayLike,
    shift: ArrayLike,
) -> tuple[Array, Array]:
    """Derivatives of the rate by mu and by sigma."""
    sigma_ = np.asarray(sigma, dtype=np.float64)
    distance_th = (np.asarray(v_threshold_mV) - np.asarray(mu)) / sigma_
    distance_r = (np.asarray(v_reset_mV) - np.asarray(mu)) / sigma_
    # Beyond 25 the rate is below 1e-270 Hz: the clip only keeps 0 * inf away.
    at_th = erfcx(-np.minimum(distance_th + shift, 25.0))
    at_r = erfcx(-np.minimum(distance_r + shift, 25.0))
    common = 1e-3 * math.sqrt(math.pi) * np.asarray(tau_m_ms) * rate / sigma_
    by_mu = (rate * at_th - rate * at_r) * common
    by_sigma = (rate * at_th * distance_th - rate * at_r * distance_r) * common
    return np.asarray(by_mu, dtype=np.float64), np.asarray(by_sigma, dtype=np.float64)
