"""How alike two halves of the trials are: what the data say about themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cortexres.compare.measures.measure import Comparison
from cortexres.compare.nulls.exceedance import exceedance, p_value
from cortexres.compare.nulls.stimuli import permute_stimuli

# Orders tried when asking whether the halves share anything at all: enough for p <= .05, cheap beside the
# map.
RELIABILITY_DRAWS = 99


@dataclass(frozen=True)
class SplitHalf:
    """How alike two halves of the trials are at the same time.

    Parameters
    ----------
    values : numpy.ndarray
        (time,), the mean over splits.
    p : float
        p-value of the halves being unrelated over the times after onset together.
    p_time : numpy.ndarray
        (time,), the same time by time, corrected for the times after onset.
    """

    values: np.ndarray
    p: float
    p_time: np.ndarray


def half_orders(
    labels: np.ndarray, *, splits: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the trials of two random halves; trials with the same label (a session) stay in the same half.

    Without sessions every trial has a label of its own. With an odd number of labels the second half is one
    larger.
    """
    names, which = np.unique(labels, return_inverse=True)
    for _ in range(splits):
        order = rng.permutation(names.size)
        first = np.isin(which, order[: names.size // 2])
        yield np.flatnonzero(first), np.flatnonzero(~first)


def halves(trials: np.ndarray, *, splits: int, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the means (stimulus, ...) of two random halves of trials (stimulus, trial, ...).

    One split serves all stimuli, times and units. With an odd number of trials the second half is one larger.
    """
    for first, second in half_orders(np.arange(trials.shape[1]), splits=splits, rng=rng):
        yield trials[:, first].mean(axis=1), trials[:, second].mean(axis=1)


def agreement(
    metric: Comparison,
    trials: np.ndarray,
    after_onset: np.ndarray,
    labels: np.ndarray,
    *,
    splits: int,
    draws: int,
    rng: np.random.Generator,
) -> SplitHalf:
    """Return how alike two random halves of the trials are at the same time, averaged over splits.

    It is the reliability of *half* the data. No Spearman-Brown or other correction is applied, so a right model
    scored against all trials can exceed it. The p-values compare one split, its mean over the times after onset and
    its single times, with the same when the stimuli of one half are permuted. One split and not their mean, because
    a trial of the first half of one split is in the second half of another, so that their mean varies more than what
    permuting makes of it.

    Parameters
    ----------
    metric : Comparison
        Which measure.
    trials : numpy.ndarray
        (stimulus, trial, time, unit) with at least two trials.
    after_onset : numpy.ndarray
        Mask over time.
    labels : numpy.ndarray
        (trial,); trials with the same label stay in the same half.
    splits, draws : int
        Number of random splits, and of permutations.
    rng : numpy.random.Generator
        Draws the splits and the permutations.
    """
    values: list[np.ndarray] = []
    p, p_time = np.nan, np.full(after_onset.shape, np.nan)
    for first, second in half_orders(labels, splits=splits, rng=rng):
        a, b = (metric.prepared_trials(trials[:, half]) for half in (first, second))
        values.append(metric.matched_scores(a, b))
        if len(values) == 1:
            p, p_time = _p_values(metric, a, b, values[0], after_onset, draws=draws, n=len(trials), rng=rng)
    return SplitHalf(np.mean(values, axis=0), p, p_time)


def _p_values(
    metric: Comparison,
    a: np.ndarray,
    b: np.ndarray,
    values: np.ndarray,
    after_onset: np.ndarray,
    *,
    draws: int,
    n: int,
    rng: np.random.Generator,
) -> tuple[float, np.ndarray]:
    """Return the p-values of one split, over all times after onset and time by time."""
    used = after_onset & ~np.isnan(values)
    if not used.any():
        return np.nan, np.full(values.shape, np.nan)
    orders = permute_stimuli.orders(n, draws=draws, rng=rng)
    null = np.stack([metric.matched_scores(a[used], np.asarray(metric.reordered(b[used], order))) for order in orders])
    sign = 1.0 if metric.orientation == "similarity" else -1.0
    p = float(exceedance(sign * values[used].mean(), sign * null.mean(axis=1)))
    return p, p_value(values, null, metric.orientation)
