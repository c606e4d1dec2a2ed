"""The variables of an encoding map: raw values, ceilings and their ratios, kept apart and never clipped."""

from __future__ import annotations

import numpy as np
import xarray as xr

from cortexres.compare.defined import quantile_of_defined
from cortexres.compare.encoding.fitted_blocks import Fit, median
from cortexres.compare.nulls import exceedance
from cortexres.compare.variance import mean_noise

TIME, MAP, UNIT, UNIT_MAP = ("time",), ("time", "block"), ("time", "unit"), ("time", "block", "unit")


def correlation_scores(fit: Fit, repeats: np.ndarray) -> dict[str, xr.Variable]:
    """Return the variables of the correlation.

    Parameters
    ----------
    fit : Fit
        Its first draw is the data.
    repeats : numpy.ndarray
        (time, unit), the reliability.
    """
    r = fit.r[0].swapaxes(0, 1)
    ceiling, unit_ceiling = _root(median(repeats)), _root(repeats)
    r_map, r_best = median(r), median(fit.best_r[0])
    return {
        "encoding_r": _variable(MAP, r_map, "median over units of the correlation of response and prediction"),
        "encoding_r_ceiling": _variable(TIME, ceiling, "square root of the median reliability over units"),
        "encoding_r_ratio": _variable(MAP, r_map / ceiling[:, None], "median correlation over its ceiling"),
        "encoding_r_unit": _variable(UNIT_MAP, r, "correlation of response and prediction"),
        "encoding_r_unit_ceiling": _variable(UNIT, unit_ceiling, "square root of the reliability"),
        "encoding_r_unit_ratio": _variable(UNIT_MAP, r / unit_ceiling[:, None], "correlation over its ceiling"),
        "encoding_r_best": _variable(TIME, r_best, "median correlation of the block chosen in each fold"),
        "encoding_r_best_ratio": _variable(TIME, r_best / ceiling, "the same over its ceiling"),
        "encoding_best_block": xr.Variable(
            ("time", "fold"),
            fit.best_block.T,
            {"units": "1", "long_name": "block chosen by its leave-one-out error without the left-out stimuli"},
        ),
        "reliability": _variable(UNIT, repeats, "split-half reliability over stimuli, stepped up by Spearman-Brown"),
    }


def variance_scores(fit: Fit, trials: np.ndarray) -> dict[str, xr.Variable]:
    """Return the variables of the explained variance.

    Parameters
    ----------
    fit : Fit
        Its first draw is the data.
    trials : numpy.ndarray
        (stimulus, trial, time, unit).
    """
    mean = trials.mean(axis=1)
    total = np.sum((mean - mean.mean(axis=0)) ** 2, axis=0)
    # The mean over stimuli takes 1/n of the noise with it.
    noise = mean_noise(trials).sum(axis=0) * (1 - 1 / len(trials))
    squares = fit.squares.swapaxes(0, 1)
    pooled = _positive(total.sum(axis=-1))
    r2, ceiling = 1 - squares.sum(axis=-1) / pooled[:, None], 1 - noise.sum(axis=-1) / pooled
    unit = 1 - squares / _positive(total)[:, None]
    ratio = r2 / _positive(ceiling)[:, None]
    return {
        "encoding_r2": _variable(MAP, r2, "variance explained between stimuli, summed over units"),
        "encoding_r2_ceiling": _variable(TIME, ceiling, "1 - trial sampling variance / variance between stimuli"),
        "encoding_r2_ratio": _variable(MAP, ratio, "variance explained over its ceiling"),
        "encoding_r2_unit": _variable(UNIT_MAP, unit, "variance explained between stimuli"),
    }


def p_values(variables: dict[str, xr.Variable], peaks: dict[str, np.ndarray]) -> dict[str, xr.Variable]:
    """Return the p-values of the map and of the chosen block, each corrected by the largest value of a permutation.

    Parameters
    ----------
    variables : dict
        With the observed values.
    peaks : dict
        (draw,) for each of their names; one that is NaN, nowhere defined, counts as reaching any value.
    """
    result = {}
    for name, values in peaks.items():
        observed = variables[name]
        attrs = {"units": "1", "undefined": observed.attrs["undefined"]}
        text = "p-value, corrected for all times and blocks by their largest value"
        p = exceedance(observed.values, values)
        result[f"{name}_p"] = xr.Variable(observed.dims, p, attrs | {"long_name": text})
        level = quantile_of_defined(values, 0.95)
        text = "95th percentile of the largest permuted value"
        result[f"{name}_null_max"] = xr.Variable((), level, {"units": "1", "long_name": text})
    return result


def _variable(dims: tuple[str, ...], values: np.ndarray, text: str) -> xr.Variable:
    return xr.Variable(dims, values, {"units": "1", "long_name": text, "undefined": ""})


def _positive(values: np.ndarray) -> np.ndarray:
    """Return values, NaN where they are not above 0 and nothing can be divided by them."""
    return np.where(values > 0, values, np.nan)


def _root(values: np.ndarray) -> np.ndarray:
    """Return square roots, NaN where there is none above 0."""
    root: np.ndarray = np.sqrt(_positive(values))
    return root
