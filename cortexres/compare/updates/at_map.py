"""Scores of block k against the brain at the time of block k, with ceiling and null, for any measure."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import numpy as np
import xarray as xr

from cortexres.compare.ceilings.split_half import RELIABILITY_DRAWS, half_orders
from cortexres.compare.defined import largest_of_defined, mean_of_defined, quantile_of_defined
from cortexres.compare.measures.measure import Comparison
from cortexres.compare.nulls import exceedance, permute_stimuli

Permuted = Callable[[Comparison], Iterator[np.ndarray]]


def score_blocks(metric: Comparison, trials: np.ndarray, network: np.ndarray) -> np.ndarray:
    """Return the scores (block,) of trials (stimulus, trial, block, unit) and network (block, stimulus, unit).

    NaN where either holds NaN (a block that the map leaves out) or the measure is undefined.
    """
    known = _known(trials) & np.isfinite(network).all(axis=(1, 2))
    values = np.full(len(network), np.nan)
    if known.any():
        measured = metric.prepared_trials(trials[:, :, known])
        values[known] = metric.matched_scores(measured, metric.prepared(network[known]))
    return values


def wanted_trials(metric: Comparison, trials: np.ndarray) -> np.ndarray:
    """Return trials (stimulus, trial, ...) where the measure looks at them, else their mean as the only one."""
    if metric.takes_trials:
        return trials
    mean: np.ndarray = trials.mean(axis=1, keepdims=True)
    return mean


def score_halves(metric: Comparison, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the scores (block,) of two sets of trials (stimulus, trial, block, unit); NaN where they hold NaN."""
    known = _known(first) & _known(second)
    values = np.full(first.shape[2], np.nan)
    if known.any():
        values[known] = metric.matched_scores(*(metric.prepared_trials(half[:, :, known]) for half in (first, second)))
    return values


def permuted_blocks(
    metric: Comparison, trials: np.ndarray, network: np.ndarray, orders: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield the scores (block,) of the same under each order of the network's stimuli, with the map held."""
    known = _known(trials) & np.isfinite(network).all(axis=(1, 2))
    if not known.any():
        yield from np.full((len(orders), len(network)), np.nan)
        return
    a, b = metric.prepared_trials(trials[:, :, known]), metric.prepared(network[known])
    yield from _reordered(metric, a, b, orders, known)


def _reordered(
    metric: Comparison, a: np.ndarray, b: np.ndarray, orders: np.ndarray, known: np.ndarray
) -> Iterator[np.ndarray]:
    for order in orders:
        values = np.full(known.size, np.nan)
        values[known] = metric.matched_scores(a, metric.reordered(b, order))
        yield values


def score_at_map(
    metric: Comparison,
    trials: np.ndarray,
    network: np.ndarray,
    permuted: Permuted,
    *,
    what: str,
    undefined: str,
    splits: int,
    rng: np.random.Generator,
) -> dict[str, xr.Variable]:
    """Return a measure's scores over blocks and their mean, with ceiling, ratio, null and p-value.

    Parameters
    ----------
    metric : Comparison
        Names the variables.
    trials : numpy.ndarray
        (stimulus, trial, block, unit): the brain at the time of each block, NaN where the map has none.
    network : numpy.ndarray
        (block, stimulus, unit).
    permuted : callable
        Gives for a measure the scores (block,) under each permutation.
    what : str
        What is compared, for long names and the warning.
    undefined : str
        Why blocks are left out, "" where none is.
    splits : int
        Random splits of the trials for the ceiling.
    rng : numpy.random.Generator
        Draws the splits.
    """
    name, sign = metric.name, 1.0 if metric.orientation == "similarity" else -1.0
    values = score_blocks(metric, trials, network)
    null = np.stack(list(permuted(metric)))
    ceiling, p_ceiling = _ceiling(metric, trials, splits, rng)
    if p_ceiling > 0.05:
        warnings.warn(
            f"{name}: ceiling of {what} not above zero (p = {p_ceiling:.2g}): two halves of the trials share"
            " nothing between stimuli, so a score near 0 says nothing about the network; use more trials or wider bins",
            stacklevel=4,
        )
    scored = np.isfinite(values)
    mean, top = mean_of_defined(values[scored]), mean_of_defined(ceiling[scored])
    null_mean = mean_of_defined(null[:, scored], axis=1)
    peaks = largest_of_defined(sign * null[:, scored], axis=1)
    level = 0.95 if sign > 0 else 0.05
    quantile = f"{level:.0%} quantile with permuted stimuli"
    reason = "" if scored.all() else undefined or "activity is the same for all stimuli"
    nowhere = "" if scored.any() else reason
    no_halves = "one trial has no halves" if trials.shape[1] < 2 else reason
    over_blocks = {
        name: (f"{name} of {what}", values, reason),
        f"{name}_ceiling": (f"{name} of {what} in two random halves of the trials, uncorrected", ceiling, no_halves),
        f"{name}_null": (quantile, quantile_of_defined(null, level), reason),
        f"{name}_p": ("p-value, corrected for all blocks by the largest", exceedance(sign * values, peaks), reason),
    }
    ratio = mean / top if top > 0 else np.nan
    scalars = {
        f"{name}_mean": (f"mean over blocks of {name} of {what}", mean, nowhere),
        f"{name}_mean_ceiling": ("mean over blocks of the ceiling", top, no_halves),
        f"{name}_mean_ratio": ("mean over its ceiling, not clipped", ratio, "" if top > 0 else "no ceiling above 0"),
        f"{name}_mean_null": (quantile, quantile_of_defined(null_mean, level), nowhere),
        f"{name}_mean_null_mean": ("mean with permuted stimuli", mean_of_defined(null_mean), nowhere),
        f"{name}_mean_p": (
            "p-value against permuted stimuli",
            float(exceedance(np.asarray(sign * mean), sign * null_mean)),
            nowhere,
        ),
    }
    made = {key: _variable(("block",), *item, metric) for key, item in over_blocks.items()}
    made |= {key: _variable((), *item, metric) for key, item in scalars.items()}
    made[f"{name}_ceiling"].attrs["p"] = p_ceiling
    return made


def _variable(dims: tuple[str, ...], text: str, values: object, undefined: str, metric: Comparison) -> xr.Variable:
    attrs = {"units": "1", "long_name": text, "undefined": undefined, "orientation": metric.orientation}
    return xr.Variable(dims, values, attrs)


def _ceiling(
    metric: Comparison, trials: np.ndarray, splits: int, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Return the split-half scores (block,), and the p-value of their mean when one half's stimuli are permuted."""
    n_trials, blocks = trials.shape[1:3]
    if n_trials < 2:
        return np.full(blocks, np.nan), np.nan
    values, p = [], np.nan
    sign = 1.0 if metric.orientation == "similarity" else -1.0
    for one, other in half_orders(np.arange(n_trials), splits=splits, rng=rng):
        first, second = trials[:, one], trials[:, other]
        values.append(score_halves(metric, first, second))
        if np.isnan(p) and np.isfinite(values[-1]).any():
            orders = permute_stimuli.orders(len(trials), draws=RELIABILITY_DRAWS, rng=rng)
            known = _known(trials)
            a, b = (metric.prepared_trials(half[:, :, known]) for half in (first, second))
            null = np.array([mean_of_defined(row) for row in _reordered(metric, a, b, orders, known)])
            p = float(exceedance(np.asarray(sign * mean_of_defined(values[-1])), sign * null))
    return np.mean(values, axis=0), p


def _known(trials: np.ndarray) -> np.ndarray:
    known: np.ndarray = np.isfinite(trials).all(axis=(0, 1, 3))
    return known
