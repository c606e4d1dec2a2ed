"""The ceiling of explained variance, time by time: how much of it trial noise leaves to be explained."""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr

from cortexres.compare.ceilings.quantity import Of, quantity
from cortexres.compare.variance import mean_noise
from cortexres.schema import check_brain


def variance_ceiling(brain: xr.Dataset, *, of: Of = "state", lag: int = 1) -> xr.Dataset:
    """Return the share of the variance between stimuli that is no trial noise, at each time, over ``time``.

    ``ceiling`` is 1 - noise / total: the R2 that the true mean response would have for the mean over trials, where the
    mean over stimuli of each unit is taken off. It is negative where the stimuli differ less than their noise lets
    expect, and it is not clipped. ``total`` and ``noise`` are the sums of squares over stimuli and units. NaN with one
    trial, and where the stimuli do not differ.

    Parameters
    ----------
    brain : xarray.Dataset
        Brain Dataset; trials are taken as independent given the stimulus (see `paired_ceiling` for runs that share
        random numbers).
    of : {"state", "velocity"}
        What the ceiling is of.
    lag : int
        Bins between the two that a velocity is the difference of.

    Raises
    ------
    SchemaError
        If the Dataset does not keep the schema.
    ArgumentError
        If `of` is neither, or the lag is longer than the recording.
    """
    check_brain(brain)
    data = quantity(brain, of, lag)
    total, noise = between_stimuli(data.trials)
    attrs = {
        "measure": "explained_variance",
        "orientation": "similarity",
        "of": of,
        "lag_ms": data.lag_ms,
        "n_stimuli": brain.sizes["stimulus"],
        "n_trials": brain.sizes["trial"],
        "n_units": brain.sizes["unit"],
    }
    ceiling = one_less(noise, total)
    warn_none(f"explained variance of the {of}", ceiling, data.after_onset)
    unit = str(brain["response"].attrs["units"]) + (" ms-1" if of == "velocity" else "")
    reason = "one trial has no variance" if brain.sizes["trial"] < 2 else "where all stimuli are the same"
    described = {
        "ceiling": (ceiling, "1", "1 - noise / total: what the true mean response would explain"),
        "total": (total, f"({unit})2", "variance between stimuli, summed over stimuli and units"),
        "noise": (noise, f"({unit})2", "the share of trial noise in it"),
    }
    variables = {
        name: xr.Variable(
            ("time",), a, {"units": u, "long_name": text, "undefined": reason if np.isnan(a).any() else ""}
        )
        for name, (a, u, text) in described.items()
    }
    return xr.Dataset(variables, coords={"time": data.time}, attrs=attrs)


def between_stimuli(trials: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the variance between stimuli of the mean of trials (stimulus, trial, time, unit), and the noise in it.

    Both are sums of squares over stimuli and units, (time,). The mean over stimuli takes 1/n of the noise with it.
    """
    mean = trials.mean(axis=1)
    total = np.sum((mean - mean.mean(axis=0)) ** 2, axis=(0, 2))
    n = len(trials)
    return total, mean_noise(trials).sum(axis=(0, 2)) * (n - 1) / n


def one_less(noise: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return 1 - noise / total, NaN where the total is 0."""
    ceiling: np.ndarray = 1 - noise / np.where(total > 0, total, np.nan)
    return ceiling


def warn_none(what: str, ceiling: np.ndarray, after_onset: np.ndarray) -> None:
    """Warn where the ceiling is known after onset, and above zero at none of these times."""
    known = ceiling[after_onset & ~np.isnan(ceiling)]
    if known.size and not (known > 0).any():
        warnings.warn(
            f"{what}: ceiling not above zero at any time after onset (at most {known.max():.2g}): the trial noise is as"
            " large as what the stimuli differ by; use more trials, stimuli or contrast",
            stacklevel=3,
        )
