"""Mean and variance of the input that each unit of a circuit receives, from its expected connectivity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cortexres.definitions import Circuit, Population, Projection, assembly_profile, driven_units
from cortexres.meanfield.siegert import (
    coloured_noise_shift,
    discrete_time_threshold,
    siegert_gain_mean,
    siegert_gain_sigma,
    siegert_rate,
)

Array = NDArray[np.float64]

#: Noise amplitude below which a unit is treated as having this much, so that noiseless circuits give numbers (mV).
SMALLEST_SIGMA = 1e-2


class NeuronParameters(NamedTuple):
    """Parameters of identical neurons; the threshold is that of the circuit's time step."""

    tau_m_ms: float
    t_refractory_ms: float
    v_threshold_mV: float
    v_reset_mV: float


@dataclass(frozen=True)
class Pathway:
    """All projections that share a synapse model, a delay and a sign.

    Attributes
    ----------
    tau_ms, delay_ms : float
        Synaptic time constant and transmission delay.
    excitatory : bool
        Sign of the weights.
    mean : ndarray of shape (target, source)
        Mean depolarisation per rate, in mV / Hz.
    variance : ndarray of shape (target, source)
        Variance per rate, in mV^2 / Hz.
    """

    tau_ms: float
    delay_ms: float
    excitatory: bool
    mean: Array
    variance: Array


class Moments(NamedTuple):
    """Input of every unit: mean and noise in mV, coloured share of the variance, shift of the scaled bounds."""

    mu: Array
    sigma: Array
    share: Array
    shift: Array


@dataclass(frozen=True)
class MeanField:
    """Everything that the mean field of a circuit needs, per unit and per pathway.

    Attributes
    ----------
    tau_m, t_ref, threshold, reset, noise, resting : ndarray of shape (unit,)
        Neuron parameters (ms, mV); `threshold` includes the discrete-time correction, `resting` is v_rest + mean input.
    driven : ndarray of int, shape (target, channel)
        The units that the stimulus drives: in each driven population one per channel.
    pathways : tuple of Pathway
        The recurrent connectivity.
    """

    tau_m: Array
    t_ref: Array
    threshold: Array
    reset: Array
    noise: Array
    resting: Array
    driven: NDArray[np.intp]
    pathways: tuple[Pathway, ...]

    @property
    def units(self) -> int:
        """Number of units."""
        return len(self.tau_m)

    def neurons(self) -> list[NeuronParameters]:
        """Parameters of each unit's neurons."""
        columns = zip(self.tau_m, self.t_ref, self.threshold, self.reset, strict=True)
        return [NeuronParameters(*map(float, row)) for row in columns]

    def drive(self, channels: ArrayLike) -> Array:
        """Drive of every unit in mV, shape (unit,), from that of the driven channels."""
        drive = np.zeros(self.units)
        drive[self.driven] = np.asarray(channels, dtype=np.float64)
        return drive

    def moments(self, rates: ArrayLike, drive: ArrayLike = 0.0) -> Moments:
        """Input of every unit, shape (unit,), where the sources fire at stationary `rates` in Hz."""
        r = np.asarray(rates, dtype=np.float64)
        mu = self.resting + np.asarray(drive, dtype=np.float64)
        variance = self.noise**2
        weighted = np.zeros(self.units)
        for path in self.pathways:
            part = path.variance @ r
            mu = mu + path.mean @ r
            variance = variance + part
            weighted = weighted + part * np.sqrt(path.tau_ms)
        variance = np.maximum(variance, SMALLEST_SIGMA**2)
        shift = coloured_noise_shift(weighted / variance, tau_s_ms=1.0, tau_m_ms=self.tau_m)
        return Moments(mu=mu, sigma=np.sqrt(variance), share=1.0 - self.noise**2 / variance, shift=shift)

    def rate(self, moments: Moments) -> Array:
        """Stationary rate in Hz of every unit for the given input."""
        return siegert_rate(
            moments.mu,
            moments.sigma,
            tau_m_ms=self.tau_m,
            t_refractory_ms=self.t_ref,
            v_threshold_mV=self.threshold,
            v_reset_mV=self.reset,
            shift=moments.shift,
        )

    def gains(self, moments: Moments) -> tuple[Array, Array]:
        """Derivatives of the rate by mean input and by sigma, in Hz / mV; the shift is held."""
        at = (moments.mu, moments.sigma)
        by_mu = siegert_gain_mean(
            *at,
            tau_m_ms=self.tau_m,
            t_refractory_ms=self.t_ref,
            v_threshold_mV=self.threshold,
            v_reset_mV=self.reset,
            shift=moments.shift,
        )
        by_sigma = siegert_gain_sigma(
            *at,
            tau_m_ms=self.tau_m,
            t_refractory_ms=self.t_ref,
            v_threshold_mV=self.threshold,
            v_reset_mV=self.reset,
            shift=moments.shift,
        )
        return by_mu, by_sigma


def mean_field(circuit: Circuit, *, discrete_time: bool = True) -> MeanField:
    """The mean field of a circuit of leaky integrate-and-fire neurons, from its definition alone.

    Parameters
    ----------
    circuit : Circuit
        The definition.
    discrete_time : bool
        Correct the threshold for the circuit's time step.
    """
    populations = circuit.populations
    per_unit = [p for p in populations for _ in range(p.assemblies)]
    start = _first_units(populations)
    tau_m = _column(per_unit, "tau_m_ms")
    noise = np.array([p.noise_mV for p in per_unit])
    threshold = _column(per_unit, "v_threshold_mV")
    if discrete_time:
        threshold = discrete_time_threshold(threshold, noise_mV=noise, dt_ms=circuit.dt_ms, tau_m_ms=tau_m)
    return MeanField(
        tau_m=tau_m,
        t_ref=_column(per_unit, "t_refractory_ms"),
        threshold=threshold,
        reset=_column(per_unit, "v_reset_mV"),
        noise=noise,
        resting=_column(per_unit, "v_rest_mV") + np.array([p.mean_input_mV for p in per_unit]),
        driven=driven_units(circuit),
        pathways=_pathways(circuit, start, len(per_unit)),
    )


def _column(populations: list[Population], name: str) -> Array:
    return np.array([p.parameters[name] for p in populations], dtype=np.float64)


def _first_units(populations: tuple[Population, ...]) -> Mapping[str, int]:
    starts = np.cumsum([0] + [p.assemblies for p in populations])
    return {p.name: int(k) for p, k in zip(populations, starts, strict=False)}


def _pathways(circuit: Circuit, start: Mapping[str, int], units: int) -> tuple[Pathway, ...]:
    """The projections, added up over those that act through the same synapse, delay and sign."""
    tau = {s.name: s.tau_ms for s in circuit.synapses}
    groups: dict[tuple[float, float, bool], list[Projection]] = {}
    for projection in circuit.projections:
        if projection.in_degree and projection.weight_mV:
            key = (tau[projection.synapse], projection.delay_ms, projection.weight_mV > 0)
            groups.setdefault(key, []).append(projection)
    paths = []
    for (tau_s, delay, excitatory), members in groups.items():
        mean, variance = np.zeros((units, units)), np.zeros((units, units))
        for projection in members:
            _add(projection, circuit, start, mean, variance)
        paths.append(Pathway(tau_ms=tau_s, delay_ms=delay, excitatory=excitatory, mean=mean, variance=variance))
    return tuple(paths)


def _add(projection: Projection, circuit: Circuit, start: Mapping[str, int], mean: Array, variance: Array) -> None:
    """Add the expected connectivity of one projection in place."""
    by_name = {p.name: p for p in circuit.populations}
    target, source = by_name[projection.target], by_name[projection.source]
    spread = assembly_profile(projection.profile, target.assemblies, source.assemblies)
    # Times 1e-3: rates are in Hz, time constants in ms.
    inputs = 1e-3 * target.parameters["tau_m_ms"] * projection.in_degree * spread
    rows = slice(start[target.name], start[target.name] + target.assemblies)
    columns = slice(start[source.name], start[source.name] + source.assemblies)
    mean[rows, columns] += inputs * projection.weight_mV
    variance[rows, columns] += inputs * projection.weight_mV**2
