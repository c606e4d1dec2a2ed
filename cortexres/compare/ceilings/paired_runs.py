"""The ceiling of what a perturbation does, from two recordings whose trials share their random numbers."""

from __future__ import annotations

import numpy as np
import xarray as xr

from cortexres.compare.ceilings.explained import between_stimuli, one_less, warn_none
from cortexres.compare.ceilings.trials import trial_ceiling
from cortexres.compare.measures.cka import linear_cka
from cortexres.compare.measures.measure import Comparison
from cortexres.compare.pairing import float_values, same_axes, same_units
from cortexres.compare.variance import mean_noise
from cortexres.schema import check_brain, same_stimuli


def paired_difference(intact: xr.Dataset, silenced: xr.Dataset) -> xr.Dataset:
    """Return intact minus silenced, trial by trial, as a brain Dataset that every other function here takes.

    Trials of the same number are the same but for the perturbation: they share the seed of their noise. The noise of
    their difference is then less than that of two independent runs, and only the differences themselves tell how
    much less.

    Raises
    ------
    SchemaError
        If a Dataset does not keep the schema, or stimuli or units differ.
    ArgumentError
        If trials or times differ.
    """
    for side in (intact, silenced):
        check_brain(side)
    same_stimuli(intact, silenced)
    same_units(intact, silenced)
    same_axes(intact, silenced, ("trial", "time"), "silenced")
    response = intact["response"].copy(data=float_values(intact["response"]) - float_values(silenced["response"]))
    response.attrs["relative_to"] = "the silenced run of the same trial"
    return xr.Dataset({"response": response}, attrs=dict(intact.attrs))


def paired_ceiling(
    intact: xr.Dataset,
    silenced: xr.Dataset,
    *,
    metric: Comparison = linear_cka,
    splits: int = 20,
    permutations: int = 199,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return the ceiling of the difference of two runs that share random numbers, at each time, over ``time``.

    What `trial_ceiling` gives for the difference, whose halves hold the same trials of both runs, and

    - ``variance_ceiling``: 1 - noise / variance between stimuli, the noise from the differences of paired trials;
    - ``variance_ceiling_independent``: the same with the noise of both runs added up, as if they shared nothing. It is
      here to be seen beside the other; for runs that share random numbers it is wrong, mostly too low;
    - ``noise_correlation``: of the two runs' deviations from their mean over trials, over stimuli, trials and units.

    Parameters
    ----------
    intact, silenced : xarray.Dataset
        Brain Datasets of the same stimuli, trials, times and units.
    metric : Comparison
        Which measure.
    splits, permutations : int
        Number of random halves, and of permutations for the p-values.
    rng : int or numpy.random.Generator, optional
        Draws both.

    Raises
    ------
    SchemaError, ArgumentError
        If the two are not of the same stimuli, trials, times and units, or cannot be split.
    """
    difference = paired_difference(intact, silenced)
    result = trial_ceiling(difference, metric=metric, splits=splits, permutations=permutations, rng=rng)
    first, second, both = (float_values(side["response"]) for side in (intact, silenced, difference))
    total, noise = between_stimuli(both)
    n = len(both)
    independent = (mean_noise(first) + mean_noise(second)).sum(axis=(0, 2)) * (n - 1) / n
    ceiling = one_less(noise, total)
    warn_none("explained variance of the difference", ceiling, result["time"].values >= 0)
    arrays = {
        "variance_ceiling": (ceiling, "1 - noise of the paired difference / variance between stimuli"),
        "variance_ceiling_independent": (one_less(independent, total), "the same as if the runs shared no noise"),
        "noise_correlation": (_noise_correlation(first, second), "correlation of the two runs' trial noise"),
    }
    reason = "one trial has no variance" if both.shape[1] < 2 else "where nothing varies"
    for name, (values, text) in arrays.items():
        attrs = {"units": "1", "long_name": text, "undefined": reason if np.isnan(values).any() else ""}
        result[name] = xr.Variable(("time",), values, attrs)
    return result.assign_attrs(of="difference of paired runs")


def _noise_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the correlation (time,) of deviations from the mean over trials, of (stimulus, trial, time, unit)."""
    a, b = (side - side.mean(axis=1, keepdims=True) for side in (first, second))
    over = (0, 1, 3)
    size = np.sqrt(np.sum(a * a, axis=over) * np.sum(b * b, axis=over))
    correlation: np.ndarray = np.sum(a * b, axis=over) / np.where(size > 0, size, np.nan)
    return correlation
