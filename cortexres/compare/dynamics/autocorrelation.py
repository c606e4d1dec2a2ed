"""Intrinsic time scale: how long what a trial has beyond the mean of its stimulus goes on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.linalg import helmert
from scipy.optimize import minimize_scalar

from cortexres.compare.choices import seeded
from cortexres.compare.dynamics.trajectories import trajectories
from cortexres.compare.windows import Window
from cortexres.errors import ArgumentError
from cortexres.provenance import provenance

# Tried time scales, in logarithmic steps of about 1 %.
GRID = 700
LEVELS = (0.025, 0.975)
# Deviations below this share of the largest rate are rounding.
ROUNDING = 1e-12


class Decay(NamedTuple):
    """``amplitude exp(-lag / tau) + offset``."""

    tau: float
    """NaN where the correlations do not fall, or tau is not within the tried range."""
    amplitude: float
    offset: float


def intrinsic_timescale(
    brain: xr.Dataset,
    *,
    window: Window = (-np.inf, np.inf),
    first_lag: int = 1,
    bootstraps: int = 200,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return the autocorrelation of the trials' deviations over lags, and the time scale of its decay.

    A deviation is a trial minus the mean over the trials of its stimulus in that bin, so that responses to the
    stimulus are no part of it. Its correlation with itself some bins later, over stimuli, trials and bins, is
    averaged over units; those that never vary are left out. ``A exp(-lag / tau) + B`` is fitted, each lag weighed
    by its number of pairs of bins. Lag 0 is left out, as the noise of counting is in it alone; B takes what goes on
    through the whole trial, such as drift between trials.

    Deviations from the mean over *trials* keep their autocorrelation: the factor 1 - 1 / trials is in numerator and
    denominator. Deviations from the mean over *time* of one trial do not, and make tau too short when trials are
    not much longer than tau. So one trial is refused; cut a long recording into trials.

    Parameters
    ----------
    brain : xarray.Dataset
        Brain Dataset with 2 trials or more and bins at equal steps; select the units of one area or population.
    window : tuple of float
        Bins that are taken, in ms; before onset, as (-inf, 0), for the time scale at rest.
    first_lag : int
        First lag that is fitted, in bins; later than 1 where a refractory period lowers the first.
    bootstraps : int
        Number of resamplings of the trials for the interval.
    rng : int or numpy.random.Generator, optional
        Draws the trials.

    Returns
    -------
    xarray.Dataset
        ``autocorrelation`` (NaN at lags whose bins never vary), ``fitted`` (lag), with ``lag_ms``; ``tau_ms``,
        ``tau_ms_low``, ``tau_ms_high`` (95 % interval), ``amplitude``, ``offset``. Tau is NaN where the correlations
        do not fall, or the best lies beyond a fifth of a bin or three times the window. The interval is NaN where
        more than 1 in 20 resamplings have no tau.

    Raises
    ------
    SchemaError
        If the Dataset does not keep the schema.
    ArgumentError
        If there is one trial, no unit varies, there are fewer than 4 lags to fit, or steps are not equal.

    References
    ----------
    Murray, J. D. et al. (2014). A hierarchy of intrinsic timescales across primate cortex. Nature Neuroscience 17,
    1661-1663. doi:10.1038/nn.3862
    Zeraati, R., Engel, T. A., Levina, A. (2022). A flexible Bayesian framework for unbiased estimation of timescales.
    Nature Computational Science 2, 193-204. doi:10.1038/s43588-022-00214-3
    """
    found = trajectories(brain, window=window)
    if found.axis != "time" or found.states.shape[1] < 2:
        raise ArgumentError(
            f"got {found.states.shape[1]} trial of {found.axis}, expected a brain with 2 or more: deviations are from"
            " the mean over trials; cut a long recording into trials"
        )
    bins = found.states.shape[2]
    if first_lag < 1 or bins - first_lag < 4:
        raise ArgumentError(f"got first_lag={first_lag} and {bins} bins, expected 1 or more that leave 4 lags to fit")
    if bootstraps < 1:
        raise ArgumentError(f"got bootstraps={bootstraps}, expected at least 1 resampling of the trials")
    seed, rng = seeded(rng)
    shares, units = _shares(found.states)
    correlations = shares.sum(axis=0)
    lags = found.step_ms * np.arange(bins)
    known = ~np.isnan(correlations) & (np.arange(bins) >= first_lag)
    weights = np.where(known, bins - np.arange(bins), 0).astype(float)
    taus = np.geomspace(found.step_ms / 5, 3 * found.step_ms * bins, GRID)
    best = fit_decay(lags, np.nan_to_num(correlations), weights, taus)
    low, high = _interval(np.nan_to_num(shares), lags, weights, taus, bootstraps, rng)
    undefined = "" if np.isfinite(best.tau) else "no decay within the window: longer, shorter or none"
    facts = {
        "n_stimuli": found.states.shape[0],
        "n_trials": found.states.shape[1],
        "n_units": units,
        "first_lag": first_lag,
        "bootstraps": bootstraps,
        "step_ms": found.step_ms,
    }
    fitted = best.amplitude * np.exp(-lags / best.tau) + best.offset
    return xr.Dataset(
        {
            "autocorrelation": _variable("lag", correlations, "1", "autocorrelation of trials' deviations"),
            "fitted": _variable("lag", fitted, "1", "exponential decay with an offset", undefined),
            "tau_ms": _variable((), best.tau, "ms", "time scale of the decay", undefined),
            "tau_ms_low": _variable((), low, "ms", "lower end of its 95 % interval over trials", undefined),
            "tau_ms_high": _variable((), high, "ms", "upper end of its 95 % interval over trials", undefined),
            "amplitude": _variable((), best.amplitude, "1", "amplitude of the decay", undefined),
            "offset": _variable((), best.offset, "1", "what does not decay within a trial", undefined),
        },
        coords={"lag": np.arange(bins), "lag_ms": ("lag", lags, {"units": "ms"})},
        attrs={
            "model": str(brain.attrs.get("model", "")),
            **facts,
            "cortexres_provenance": provenance(measure="intrinsic_timescale", seed=seed, **facts),
        },
    )


def fit_decay(lags: np.ndarray, correlations: np.ndarray, weights: np.ndarray, taus: np.ndarray) -> Decay:
    """Return the decay whose weighted squared error is least.

    For each tau the amplitude and the offset are linear; what is left is a search in one dimension, that no start
    value can lead astray.

    Parameters
    ----------
    lags, correlations, weights : numpy.ndarray
        (lag,), the weights 0 where a lag is left out.
    taus : numpy.ndarray
        Tried time scales, increasing; the best is refined between its neighbours, and NaN at either end.
    """
    best, place = _on_grid(lags, correlations[None], weights, taus)
    if np.isnan(best[0]):
        return Decay(np.nan, np.nan, np.nan)

    def loss(log_tau: float) -> float:
        tried = np.array([np.exp(log_tau)])
        return float(_losses(lags, correlations[None], weights, tried)[0][0, 0])

    bounds = (np.log(taus[place[0] - 1]), np.log(taus[place[0] + 1]))
    tau = float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-10}).x))
    _, amplitude, offset = _losses(lags, correlations[None], weights, np.array([tau]))
    return Decay(tau, float(amplitude[0, 0]), float(offset[0, 0]))


def _shares(states: np.ndarray) -> tuple[np.ndarray, int]:
    """Return what each contrast of trials adds to the autocorrelation, (contrast, lag), and how many units vary.

    Orthonormal contrasts of the trials of a stimulus have the same sum of products as the deviations from their mean,
    but are independent where trials are, so that they can be resampled: of two trials, both deviations are one.
    """
    stimuli, trials, bins, units = states.shape
    off = states - states.mean(axis=1, keepdims=True)  # which leaves exactly 0 where trials are all the same
    off = np.einsum("ck,sktu->sctu", helmert(trials), off).reshape(stimuli * (trials - 1), bins, units)
    size = np.sqrt(np.mean(off**2, axis=(0, 1)))
    # Each unit counts as much, whatever its rate; rounding of rates that never vary is no variance.
    varies = size > ROUNDING * np.abs(states).max(axis=(0, 1, 2))
    if not varies.any():
        raise ArgumentError("got no unit whose trials differ, expected at least one that does")
    off = off[:, :, varies] / size[varies]
    variance = np.mean(off**2, axis=(0, 2))
    shares = np.full((len(off), bins), np.nan)
    for lag in range(bins):
        norm = np.sqrt(variance[: bins - lag].mean() * variance[lag:].mean())
        if norm > 0:
            products = np.einsum("rtu,rtu->r", off[:, : bins - lag], off[:, lag:])
            shares[:, lag] = products / ((bins - lag) * off.shape[2] * norm)
    return shares / len(off), off.shape[2]


def _interval(
    shares: np.ndarray,
    lags: np.ndarray,
    weights: np.ndarray,
    taus: np.ndarray,
    bootstraps: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Return the quantiles of tau over resampled contrasts of trials."""
    count = len(shares)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=bootstraps) @ shares
    found, _ = _on_grid(lags, drawn, weights, taus)
    if np.mean(np.isnan(found)) > 0.05:
        return np.nan, np.nan
    low, high = np.nanquantile(found, LEVELS)
    return float(low), float(high)


def _on_grid(
    lags: np.ndarray, correlations: np.ndarray, weights: np.ndarray, taus: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best tried tau (k,) of correlations (k, lag) and its place; NaN at an end or with no decay."""
    losses, amplitudes, _ = _losses(lags, correlations, weights, taus)
    place = np.argmin(losses, axis=1)
    falling = np.take_along_axis(amplitudes, place[:, None], axis=1)[:, 0] > 0
    inside = (place > 0) & (place < len(taus) - 1)
    return np.where(falling & inside, taus[place], np.nan), place


def _losses(
    lags: np.ndarray, correlations: np.ndarray, weights: np.ndarray, taus: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return weighted squared errors, amplitudes and offsets (k, tau) of correlations (k, lag)."""
    share = weights / weights.sum()
    shapes = np.exp(-lags / taus[:, None])
    shape_mean, mean = shapes @ share, correlations @ share
    shapes = shapes - shape_mean[:, None]
    centred = correlations - mean[:, None]
    spread = (shapes**2) @ share
    amplitudes = (centred * share) @ shapes.T / spread
    losses = (centred**2 @ share)[:, None] - amplitudes**2 * spread
    return losses, amplitudes, mean[:, None] - amplitudes * shape_mean


def _variable(
    dims: str | tuple[()], values: object, units: str, meaning: str, undefined: str = ""
) -> xr.Variable:
    return xr.Variable(dims, values, {"units": units, "long_name": meaning, "undefined": undefined})
