"""A linear read-out from the network to the brain, so that networks with other units can be scored too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from cortexres.compare.binning import uniform_time
from cortexres.compare.choices import seeded
from cortexres.compare.encoding.ridge import PENALTIES, check_ridge, decomposed, left_out_errors, predicted_deviations
from cortexres.compare.pairing import float_values, paired
from cortexres.compare.variance import mean_noise
from cortexres.provenance import provenance
from cortexres.schema import check_brain, check_network


def linear_map_r2(
    brain: xr.Dataset,
    network: xr.Dataset,
    *,
    folds: int = 5,
    penalties: Sequence[float] = PENALTIES,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return the cross-validated explained variance of a ridge map from the network to the brain's rates.

    At each of the brain's bins since onset, the features are the network's units at the same time
    (`at_bins`); a network without a time step has its blocks spread evenly over the recording
    (`uniform_time`). Stimuli are left out in folds, the same in every bin. Within the others the penalty is
    chosen by leave-one-out error, one penalty per fold for all bins and units, so no left-out stimulus has a
    part in the choice. One decomposition per bin and fold serves all penalties and units.

    The variance explained is that *between stimuli*: at every time and unit the mean over stimuli is taken
    off. With it, the intercept alone would score high, as the average time course and the differences between
    units are most of the pooled variance and need no network. Without it, an intercept scores a little below
    0.

    Parameters
    ----------
    brain, network : xarray.Dataset
        Same stimuli; units may differ.
    folds : int
        Number of parts the stimuli are left out in.
    penalties : sequence of float
        Tried penalties, in units of the mean eigenvalue of the features' Gram matrix.
    rng : int or numpy.random.Generator, optional
        Deals the stimuli into folds.

    Returns
    -------
    xarray.Dataset
        ``linear_map_r2``, ``linear_map_ceiling``, ``linear_map_denoised`` pooled over stimulus, time and
        unit, and
        ``linear_map_r2_time``, ``linear_map_ceiling_time`` (time). Ceiling: 1 - trial sampling variance /
        variance between stimuli, NaN with one trial; where it is not above zero, denoised is NaN. An R2 is
        NaN where the brain does not differ between stimuli.

    Raises
    ------
    SchemaError
        If stimuli differ.
    ArgumentError
        If there are too few stimuli for the folds, or no positive penalties.
    """
    check_brain(brain)
    check_network(network)
    n = brain.sizes["stimulus"]
    check_ridge(n, folds, penalties)
    timed = network if "t_ms" in network.coords else uniform_time(network, brain)
    brain_bins, network_bins = paired(brain, timed, units=False)
    trials = float_values(brain_bins["response"])
    target = trials.mean(axis=1).swapaxes(0, 1)
    features = float_values(network_bins["response"]).swapaxes(0, 1)
    seed, rng = seeded(rng)
    parts = np.array_split(rng.permutation(n), folds)
    predicted = np.empty_like(target)
    for test in parts:
        train = np.setdiff1d(np.arange(n), test)
        predicted[:, test] = _predict(features[:, train], target[:, train], features[:, test], penalties)
    total = np.sum((target - target.mean(axis=1, keepdims=True)) ** 2, axis=(1, 2))
    residual = np.sum((target - predicted) ** 2, axis=(1, 2))
    # The mean over stimuli takes 1/n of the noise with it.
    noise = mean_noise(trials).sum(axis=(0, 2)) * (n - 1) / n
    attrs = {
        "model": str(network.attrs.get("model", "")),
        "orientation": "similarity",
        "n_stimuli": n,
        "n_trials": brain.sizes["trial"],
        "folds": folds,
        "cortexres_provenance": provenance(folds=folds, penalties=list(penalties), seed=seed),
    }
    return xr.Dataset(_variables(total, residual, noise), coords={"time": brain_bins["time"].variable}, attrs=attrs)


def _predict(x: np.ndarray, y: np.ndarray, new: np.ndarray, penalties: Sequence[float]) -> np.ndarray:
    """Return predictions (time, new, unit) of ridge maps from x (time, n, feature) to y (time, n, unit)."""
    parts = decomposed(x)
    errors = [float(np.sum(left_out_errors(parts, y, penalty) ** 2)) for penalty in penalties]
    penalty = penalties[int(np.argmin(errors))]
    predicted: np.ndarray = y.mean(axis=1, keepdims=True) + predicted_deviations(parts, y, new, penalty)
    return predicted


def _variables(total: np.ndarray, residual: np.ndarray, noise: np.ndarray) -> dict[str, xr.Variable]:
    signal = total.sum() - noise.sum()
    scale = np.where(total > 0, total, np.nan)
    pooled = total.sum() if total.sum() > 0 else np.nan
    values = {
        "linear_map_r2": (
            (),
            1 - residual.sum() / pooled,
            "cross-validated variance explained between stimuli",
        ),
        "linear_map_ceiling": (
            (),
            1 - noise.sum() / pooled,
            "1 - trial sampling variance / variance between stimuli",
        ),
        "linear_map_denoised": (
            (),
            1 - (residual.sum() - noise.sum()) / signal if signal > 0 else np.nan,
            "the same with the trial sampling variance taken from residual and total",
        ),
        "linear_map_r2_time": (
            ("time",),
            1 - residual / scale,
            "variance explained between stimuli in each bin",
        ),
        "linear_map_ceiling_time": (("time",), 1 - noise / scale, "its ceiling in each bin"),
    }
    return {
        name: xr.Variable(dims, value, {"units": "1", "long_name": text})
        for name, (dims, value, text) in values.items()
    }
