"""How alike two halves of the trials are: what the data say about themselves."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cortexres.compare.measures.relations import Similarity
from cortexres.compare.nulls import exceedance, permute_stimuli

# Orders tried when asking whether the halves share anything at all: enough for p <= .05, cheap beside the
# map.
RELIABILITY_DRAWS = 99


def halves(trials: np.ndarray, *, splits: int, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the means (stimulus, ...) of two random halves of trials (stimulus, trial, ...).

    One split serves all stimuli, times and units. With an odd number of trials the second half is one larger.
    """
    n = trials.shape[1]
    for _ in range(splits):
        order = rng.permutation(n)
        yield trials[:, order[: n // 2]].mean(axis=1), trials[:, order[n // 2 :]].mean(axis=1)


def split_half(
    metric: Similarity, trials: np.ndarray, after_onset: np.ndarray, *, splits: int, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Return the split-half ceiling (time,), and the p-value of the halves being unrelated after onset.

    The ceiling is the similarity of the mean responses of two random halves of the trials at the same time,
    averaged over splits. It is the reliability of *half* the data. No Spearman-Brown or other correction is
    applied, so a right model scored against all trials can exceed it. The p-value compares the mean of one
    split over the times after onset with the same when the stimuli of one half are permuted.

    Parameters
    ----------
    metric : Similarity
        Which similarity.
    trials : numpy.ndarray
        (stimulus, trial, time, unit) with at least two trials.
    after_onset : numpy.ndarray
        Mask over time.
    splits : int
        Number of random splits.
    rng : numpy.random.Generator
        Draws the splits and the permutations.
    """
    values = []
    p = np.nan
    for first, second in halves(trials, splits=splits, rng=rng):
        a, b = (metric.relations(half.swapaxes(0, 1)) for half in (first, second))
        values.append(np.sum(a * b, axis=-1))
        if np.isnan(p):
            p = _unrelated(a[after_onset], b[after_onset], first.shape[0], rng)
    return np.mean(values, axis=0), p


def _unrelated(a: np.ndarray, b: np.ndarray, n: int, rng: np.random.Generator) -> float:
    defined = ~np.isnan(a[:, 0] + b[:, 0])
    if not defined.any():
        return np.nan
    a, b = a[defined], b[defined].reshape(-1, n, n)
    orders = permute_stimuli.orders(n, draws=RELIABILITY_DRAWS, rng=rng)
    null = [np.vdot(a, b[:, order[:, None], order]) for order in orders]
    return float(exceedance(np.vdot(a, b), np.asarray(null)))
