"""Does a fixed point of the delayed rate dynamics hold, and what oscillation is nearest?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cortexres.meanfield.fixed_point import FixedPoint
from cortexres.meanfield.linear_response import response_time
from cortexres.meanfield.moments import MeanField

Array = NDArray[np.float64]

#: Shortest response time of the linearised rates: those of fast neurons are about 0, or negative (ms).
SHORTEST_RESPONSE_MS = 0.1


@dataclass(frozen=True)
class Stability:
    """Eigenvalues (1/ms, largest real part first) of the linearised dynamics at a fixed point.

    Attributes
    ----------
    eigenvalues : ndarray of complex
        Growth rates and angular frequencies.
    gain_radius : float
        Spectral radius of the static effective connectivity.
    """

    eigenvalues: NDArray[np.complex128]
    gain_radius: float

    @property
    def growth_per_ms(self) -> float:
        """Growth rate of the least stable mode."""
        return float(self.eigenvalues[0].real)

    @property
    def frequency_hz(self) -> float:
        """Frequency of the least stable mode."""
        return float(abs(self.eigenvalues[0].imag) / (2e-3 * np.pi))

    def least_damped_oscillation(self, band_hz: tuple[float, float] = (5.0, 300.0)) -> tuple[float, float]:
        """Damping ratio and frequency in Hz of the oscillation that decays least in its own period.

        The damping ratio is ``-Re / |eigenvalue|``: 1 is no oscillation, 0 a sustained one, below 0 a growing one.
        Above the band lie modes of the delay line itself, which no network of spiking neurons sustains.
        """
        frequency = np.abs(self.eigenvalues.imag) / (2e-3 * np.pi)
        fast = self.eigenvalues[(frequency > band_hz[0]) & (frequency < band_hz[1])]
        if not len(fast):
            return 1.0, 0.0
        ratio = -fast.real / np.abs(fast)
        worst = int(np.argmin(ratio))
        return float(ratio[worst]), float(abs(fast[worst].imag) / (2e-3 * np.pi))


def response_times(field: MeanField, point: FixedPoint) -> Array:
    """Response time in ms of every unit at a fixed point, shape (unit,)."""
    times = np.zeros(field.units)
    neurons = field.neurons()
    responsive = field.responsive
    # The coloured shift acts as a lower mean input.
    mu = point.moments.mu - point.moments.shift * point.moments.sigma
    for neuron in {n for n, follows in zip(neurons, responsive, strict=True) if follows}:
        members = [k for k, other in enumerate(neurons) if other == neuron and responsive[k]]
        # Further than 6 sigma below threshold the rate is nil and its phase is rounding.
        lowest = neuron.v_threshold_mV - 6.0 * point.moments.sigma[members]
        times[members] = response_time(
            np.maximum(mu[members], lowest), point.moments.sigma[members], **neuron._asdict()
        )
    return np.maximum(times, SHORTEST_RESPONSE_MS)


def effective_connectivity(field: MeanField, point: FixedPoint) -> list[Array]:
    """Change of rate per change of rate, (target, source), for each pathway: by mean and by variance."""
    by_mu, by_sigma = field.gains(point.moments)
    half = by_sigma / (2.0 * point.moments.sigma)
    return [by_mu[:, None] * path.mean + half[:, None] * path.variance for path in field.pathways]


def stability(field: MeanField, point: FixedPoint, *, nodes: int = 6) -> Stability:
    """Eigenvalues of the rates, synapses and delays, linearised at a fixed point.

    Each delayed synaptic variable is a polynomial over its delay on `nodes` + 1 Chebyshev points, whose transport is
    the derivative there: the eigenvalues of the matrix converge spectrally to those of the delay equation.

    References
    ----------
    Breda, Maset & Vermiglio (2005), doi:10.1137/030601600.
    """
    effective = effective_connectivity(field, point)
    n = field.units
    rate_time = response_times(field, point)
    generator = np.zeros((n, n))
    generator[np.diag_indices(n)] = -1.0 / rate_time
    blocks, feedback = [], []
    for path, weights in zip(field.pathways, effective, strict=True):
        if path.tau_ms <= 0.0 and path.delay_ms <= 0.0:
            generator += weights / rate_time[:, None]
            continue
        sources = np.flatnonzero(np.any(weights != 0.0, axis=0))
        blocks.append(_delayed_synapse(path.tau_ms, path.delay_ms, nodes))
        feedback.append((sources, weights[:, sources] / rate_time[:, None]))
    total = _assemble(generator, blocks, feedback)
    eigenvalues = np.linalg.eigvals(total)
    order = np.argsort(-eigenvalues.real)
    static = np.linalg.eigvals(sum(effective, np.zeros((n, n))))
    return Stability(eigenvalues=eigenvalues[order].astype(np.complex128), gain_radius=float(np.max(np.abs(static))))


def _delayed_synapse(tau: float, delay: float, nodes: int) -> tuple[Array, Array]:
    """Generator of one synaptic variable and its past, the last row `delay` ago, and how its source drives it."""
    if delay <= 0.0:
        return np.array([[-1.0 / tau]]), np.array([1.0 / tau])
    theta = np.cos(np.pi * np.arange(nodes + 1) / nodes)
    c = np.ones(nodes + 1)
    c[[0, -1]] = 2.0
    c *= (-1.0) ** np.arange(nodes + 1)
    gaps = theta[:, None] - theta[None, :] + np.eye(nodes + 1)
    derivative = (c[:, None] / c[None, :]) / gaps
    derivative -= np.diag(derivative.sum(axis=1))
    generator = np.asarray(derivative * (2.0 / delay), dtype=np.float64)
    if tau <= 0.0:
        # Row 0, the variable now, is the rate of the source itself.
        return generator[1:, 1:], generator[1:, 0]
    generator[0] = 0.0
    generator[0, 0] = -1.0 / tau
    source = np.zeros(nodes + 1)
    source[0] = 1.0 / tau
    return generator, source


def _assemble(
    rates: Array, synapses: list[tuple[Array, Array]], feedback: list[tuple[NDArray[np.intp], Array]]
) -> Array:
    """One matrix of the rates and of all synaptic variables with their past, source by source."""
    n = len(rates)
    size = n + sum(len(b) * len(sources) for (b, _), (sources, _) in zip(synapses, feedback, strict=True))
    total = np.zeros((size, size))
    total[:n, :n] = rates
    at = n
    for (block, from_source), (sources, weights) in zip(synapses, feedback, strict=True):
        m = len(block)
        for k, source in enumerate(sources):
            here = slice(at, at + m)
            total[here, here] = block
            # The synapse is driven by its source at unit gain, and is felt after its delay.
            total[here, source] = from_source
            total[:n, at + m - 1] += weights[:, k]
            at += m
    return total
