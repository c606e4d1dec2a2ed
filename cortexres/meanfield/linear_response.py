"""How fast the rate of a leaky integrate-and-fire population follows its mean input, by threshold integration.

The Fokker-Planck equation of ``tau dV = mu - V + sigma sqrt(tau) xi`` is integrated from the threshold down to a
voltage that no neuron reaches, once for the stationary density and once for its first-order change at a frequency.

References
----------
Richardson (2007), doi:10.1103/PhysRevE.76.021919.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

#: Angular frequency (1/ms) at which the slope of the phase is taken: small against 1/tau_r, large against rounding.
LOW_FREQUENCY = 2e-4


@dataclass(frozen=True)
class LinearResponse:
    """Stationary rate (Hz) and the rate's response (Hz / mV, complex) to a modulated mean input."""

    rate: Array
    response: ComplexArray


@dataclass(frozen=True)
class ResponseTimeTable:
    """Response times in ms on a regular grid over the distance of the threshold and sigma.

    Attributes
    ----------
    v_threshold_mV : float
        The threshold from which the distance is counted.
    distance : ndarray
        ``(threshold - mu) / sigma``, evenly spaced: the response time depends smoothly on it over orders of rate.
    sigma : ndarray
        Noise amplitude in mV, evenly spaced.
    tau_ms : ndarray of shape (distance, sigma)
        Response time at each point.
    """

    v_threshold_mV: float
    distance: Array
    sigma: Array
    tau_ms: Array

    def __call__(self, mu: ArrayLike, sigma: ArrayLike) -> Array:
        """Response time in ms by bilinear interpolation; outside the grid, that of its edge."""
        distance = (self.v_threshold_mV - np.asarray(mu, dtype=np.float64)) / np.asarray(sigma, dtype=np.float64)
        i, a = _position(self.distance, distance)
        j, b = _position(self.sigma, np.asarray(sigma, dtype=np.float64))
        t = self.tau_ms
        low = (1.0 - b) * t[i, j] + b * t[i, j + 1]
        high = (1.0 - b) * t[i + 1, j] + b * t[i + 1, j + 1]
        return np.asarray((1.0 - a) * low + a * high, dtype=np.float64)


def linear_response(
    mu: ArrayLike,
    sigma: ArrayLike,
    *,
    omega_per_ms: float,
    tau_m_ms: float,
    t_refractory_ms: float,
    v_threshold_mV: float,
    v_reset_mV: float,
    steps: int = 800,
) -> LinearResponse:
    """Stationary rate and linear response to ``mu + epsilon exp(i omega t)``, of the broadcast shape of mu and sigma.

    Parameters
    ----------
    mu, sigma : array_like
        Mean input and noise amplitude in mV.
    omega_per_ms : float
        Angular frequency, above 0 (2 pi f / 1000 for f in Hz).
    steps : int
        Steps of each of the two parts, threshold to reset and reset to the lowest voltage; of second order.
    """
    mu_, sigma_ = np.broadcast_arrays(np.asarray(mu, dtype=np.float64), np.asarray(sigma, dtype=np.float64))
    shape = mu_.shape
    m, s = mu_.ravel(), sigma_.ravel()
    sweep = _Sweep(m, s, tau_m_ms, omega_per_ms)
    lowest = np.minimum(v_reset_mV, m) - 6.0 * s
    sweep.down(np.full_like(m, v_threshold_mV), np.full_like(m, v_reset_mV), steps)
    sweep.reinject(np.exp(-1j * omega_per_ms * t_refractory_ms))
    sweep.down(np.full_like(m, v_reset_mV), lowest, steps)
    rate = 1.0 / (t_refractory_ms + sweep.mass)
    # No flux leaves at the lowest voltage: rate * forced + r1 * free = 0.
    response = -rate * sweep.flux_forced / sweep.flux_free
    return LinearResponse(rate=1e3 * rate.reshape(shape), response=1e3 * response.reshape(shape))


def response_time(
    mu: ArrayLike,
    sigma: ArrayLike,
    *,
    tau_m_ms: float,
    t_refractory_ms: float,
    v_threshold_mV: float,
    v_reset_mV: float,
    steps: int = 400,
) -> Array:
    """Time in ms by which the rate lags behind a slow change of the mean input, ``-d arg r1 / d omega``."""
    low = linear_response(
        mu,
        sigma,
        omega_per_ms=LOW_FREQUENCY,
        tau_m_ms=tau_m_ms,
        t_refractory_ms=t_refractory_ms,
        v_threshold_mV=v_threshold_mV,
        v_reset_mV=v_reset_mV,
        steps=steps,
    )
    return np.asarray(-np.angle(low.response) / LOW_FREQUENCY, dtype=np.float64)


def response_time_table(
    *,
    tau_m_ms: float,
    t_refractory_ms: float,
    v_threshold_mV: float,
    v_reset_mV: float,
    sigma_range_mV: tuple[float, float],
    distance_range: tuple[float, float] = (-6.0, 6.0),
    shape: tuple[int, int] = (97, 13),
    steps: int = 300,
) -> ResponseTimeTable:
    """Table of `response_time` over the distance of the threshold (in sigmas) and sigma, for one kind of neuron."""
    distance = np.linspace(*distance_range, shape[0])
    sigma = np.linspace(*sigma_range_mV, shape[1])
    tau = response_time(
        v_threshold_mV - distance[:, None] * sigma[None, :],
        sigma[None, :],
        tau_m_ms=tau_m_ms,
        t_refractory_ms=t_refractory_ms,
        v_threshold_mV=v_threshold_mV,
        v_reset_mV=v_reset_mV,
        steps=steps,
    )
    return ResponseTimeTable(v_threshold_mV=v_threshold_mV, distance=distance, sigma=sigma, tau_ms=tau)


class _Sweep:
    """Densities and fluxes per unit of rate, while the voltage is lowered.

    `density` is the stationary density; `free` is the change of density with a unit change of the rate, `forced` with a
    unit change of the mean input while the rate is kept.
    """

    def __init__(self, mu: Array, sigma: Array, tau: float, omega: float) -> None:
        self.mu, self.tau, self.omega = mu, tau, omega
        self.stiffness = 2.0 / sigma**2
        self.density = np.zeros_like(mu)
        self.mass = np.zeros_like(mu)
        self.flux = 1.0
        self.free: ComplexArray = np.zeros(mu.shape, dtype=np.complex128)
        self.forced: ComplexArray = np.zeros(mu.shape, dtype=np.complex128)
        self.flux_free: ComplexArray = np.ones(mu.shape, dtype=np.complex128)
        self.flux_forced: ComplexArray = np.zeros(mu.shape, dtype=np.complex128)

    def reinject(self, phase: complex) -> None:
        """Take out of the flux what the refractory neurons bring back at the reset."""
        self.flux = 0.0
        self.flux_free = self.flux_free - phase

    def down(self, start: Array, stop: Array, steps: int) -> None:
        """Integrate from `start` to the lower `stop`: half a step of flux, a step of density, half a step of flux."""
        h = (start - stop) / steps
        half = 0.5j * self.omega * h
        for k in range(steps):
            exponent = self.stiffness * (start - (k + 0.5) * h - self.mu) * h
            growth = np.exp(exponent)
            weight = np.where(np.abs(exponent) < 1e-9, 1.0, np.expm1(exponent) / np.where(exponent == 0, 1, exponent))
            weight = weight * self.stiffness * h
            self.flux_free = self.flux_free + half * self.free
            self.flux_forced = self.flux_forced + half * self.forced
            before = self.density
            self.density = before * growth + weight * self.tau * self.flux
            # On the exponential's own scale, so that the forcing is as exact as the density itself.
            push = 0.5 * (before + self.density)
            self.free = self.free * growth + weight * self.tau * self.flux_free
            self.forced = self.forced * growth + weight * (self.tau * self.flux_forced - push)
            self.mass = self.mass + 0.5 * h * (before + self.density)
            self.flux_free = self.flux_free + half * self.free
            self.flux_forced = self.flux_forced + half * self.forced


def _position(grid: Array, value: Array) -> tuple[NDArray[np.intp], Array]:
    """Index of the grid cell that holds each value, and how far into the cell it is (0 to 1)."""
    place = np.clip((value - grid[0]) / (grid[1] - grid[0]), 0.0, len(grid) - 1.0)
    index = np.minimum(place.astype(np.intp), len(grid) - 2)
    return index, np.asarray(place - index, dtype=np.float64)
