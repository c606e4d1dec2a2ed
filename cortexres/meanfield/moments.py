"""Mean and variance of the input that each unit of a circuit receives, and the rate that follows from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cortexres.meanfield.irregularity import siegert_cv
from cortexres.meanfield.siegert import coloured_noise_shift, siegert_gain_mean, siegert_gain_sigma, siegert_rate

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
    """All projections that share a synapse model, a delay, a sign, and whether they count as feedforward.

    Attributes
    ----------
    tau_ms, delay_ms : float
        Synaptic time constant (0: delta synapses, whose noise is white) and transmission delay.
    excitatory : bool
        Sign of the weights.
    mean : ndarray of shape (target, source)
        Mean depolarisation per rate, in mV / Hz.
    variance : ndarray of shape (target, source)
        Variance per rate, in mV^2 / Hz.
    feedforward : bool
        Counted in x, not in F(x): from Poisson sources, or of a projection that is defined as feedforward.
    """

    tau_ms: float
    delay_ms: float
    excitatory: bool
    mean: Array
    variance: Array
    feedforward: bool = False


@dataclass(frozen=True)
class BackgroundInput:
    """Independent Poisson input of one time constant: what each Hz of it adds to every unit, and how many there are.

    Attributes
    ----------
    tau_ms : float
        Synaptic time constant; 0 for delta synapses.
    mean, variance : ndarray of shape (unit,)
        Mean depolarisation (mV / Hz) and variance (mV^2 / Hz) per rate.
    rate : ndarray of shape (unit,)
        Summed rate of the sources of each cell in Hz.
    driven : bool
        Whether a drive onto the background adds to it.
    """

    tau_ms: float
    mean: Array
    variance: Array
    rate: Array
    driven: bool = False


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
        NaN for Poisson sources, but for their `noise`, which is 0.
    driven : ndarray of int, shape (target, channel)
        The units that the stimulus drives: in each driven population one per channel.
    pathways : tuple of Pathway
        The connectivity.
    given : ndarray of shape (unit,) or None
        Rates in Hz that do not follow from the input: of Poisson sources, and 0 for silenced cells; NaN for all others.
        None where every unit's rate follows from its input.
    backgrounds : tuple of BackgroundInput
        Independent Poisson input.
    onto : str
        What the drive is added to: ``"mean_input"`` (mV), ``"rate"`` (Hz, of given rates) or ``"background"`` (Hz).
    coloured : bool
        Whether synapses shift the bounds of the Siegert integral; otherwise all noise is taken to be white.
    """

    tau_m: Array
    t_ref: Array
    threshold: Array
    reset: Array
    noise: Array
    resting: Array
    driven: NDArray[np.intp]
    pathways: tuple[Pathway, ...]
    given: Array | None = None
    backgrounds: tuple[BackgroundInput, ...] = ()
    onto: str = "mean_input"
    coloured: bool = True

    @property
    def units(self) -> int:
        """Number of units."""
        return len(self.tau_m)

    @property
    def responsive(self) -> NDArray[np.bool_]:
        """True for the units whose rate follows from their input, shape (unit,)."""
        return np.ones(self.units, dtype=np.bool_) if self.given is None else np.isnan(self.given)

    def neurons(self) -> list[NeuronParameters]:
        """Parameters of each unit's neurons."""
        columns = zip(self.tau_m, self.t_ref, self.threshold, self.reset, strict=True)
        return [NeuronParameters(*map(float, row)) for row in columns]

    def drive(self, channels: ArrayLike) -> Array:
        """Drive of every unit, shape (unit,), from that of the driven channels: in mV, or in Hz (see `onto`)."""
        drive = np.zeros(self.units)
        drive[self.driven] = np.asarray(channels, dtype=np.float64)
        return drive

    def with_drive(self, drive: ArrayLike) -> MeanField:
        """The mean field under a constant drive of every unit, shape (unit,), on top of what it already has."""
        added = np.broadcast_to(np.asarray(drive, dtype=np.float64), (self.units,))
        if not np.any(added):
            return self
        if self.onto == "mean_input":
            return replace(self, resting=self.resting + added)
        if self.onto == "rate" and self.given is not None:
            return replace(self, given=self.given + added)
        backgrounds = (replace(b, rate=b.rate + added * (b.mean != 0.0)) if b.driven else b for b in self.backgrounds)
        return replace(self, backgrounds=tuple(backgrounds))

    def moments(self, rates: ArrayLike, drive: ArrayLike = 0.0, *, recurrent: ArrayLike | None = None) -> Moments:
        """Input of every unit, shape (unit,), where the sources fire at stationary `rates` in Hz.

        Parameters
        ----------
        rates : array_like of shape (unit,)
            Of all sources.
        drive : array_like of shape (unit,)
            Additional drive, as `MeanField.drive` makes it.
        recurrent : array_like of shape (unit,), optional
            Rates of the sources of recurrent pathways, where they are held at others than `rates`.
        """
        field = self.with_drive(drive)
        r = np.asarray(rates, dtype=np.float64)
        held = r if recurrent is None else np.asarray(recurrent, dtype=np.float64)
        mu, white = field.resting, field.noise**2
        coloured, weighted = np.zeros(self.units), np.zeros(self.units)
        sources = [r if p.feedforward else held for p in field.pathways]
        parts = [(p.tau_ms, p.mean @ x, p.variance @ x) for p, x in zip(field.pathways, sources, strict=True)]
        parts += [(b.tau_ms, b.mean * b.rate, b.variance * b.rate) for b in field.backgrounds]
        for tau_s, mean, variance in parts:
            mu = mu + mean
            if tau_s > 0.0:
                coloured = coloured + variance
                weighted = weighted + variance * np.sqrt(tau_s)
            else:
                white = white + variance
        variance = np.maximum(white + coloured, SMALLEST_SIGMA**2)
        share = weighted / variance if self.coloured else np.zeros(self.units)
        shift = coloured_noise_shift(share, tau_s_ms=1.0, tau_m_ms=self.tau_m)
        return Moments(mu=mu, sigma=np.sqrt(variance), share=coloured / variance, shift=shift)

    def rate(self, moments: Moments) -> Array:
        """Stationary rate in Hz of every unit for the given input."""
        rates = np.zeros(self.units) if self.given is None else self.given.copy()
        rates[self.responsive] = siegert_rate(**self._arguments(moments))
        return rates

    def cv(self, moments: Moments) -> Array:
        """Coefficient of variation of the intervals of every unit's spikes; 1 for Poisson sources, NaN for silence."""
        found = np.ones(self.units) if self.given is None else np.where(self.given > 0.0, 1.0, np.nan)
        found[self.responsive] = siegert_cv(**self._arguments(moments))
        return found

    def gains(self, moments: Moments) -> tuple[Array, Array]:
        """Derivatives of the rate by mean input and by sigma, in Hz / mV; the shift is held. 0 for given rates."""
        arguments, responsive = self._arguments(moments), self.responsive
        by_mu, by_sigma = np.zeros(self.units), np.zeros(self.units)
        by_mu[responsive] = siegert_gain_mean(**arguments)
        by_sigma[responsive] = siegert_gain_sigma(**arguments)
        return by_mu, by_sigma

    def _arguments(self, moments: Moments) -> dict[str, Any]:
        """What the transfer function takes, for the units that have one."""
        fires = self.responsive
        return {
            "mu": moments.mu[fires],
            "sigma": moments.sigma[fires],
            "tau_m_ms": self.tau_m[fires],
            "t_refractory_ms": self.t_ref[fires],
            "v_threshold_mV": self.threshold[fires],
            "v_reset_mV": self.reset[fires],
            "shift": moments.shift[fires],
        }
