"""Encoding scores of each block and of the one chosen without the left-out stimuli, for any orders of the stimuli."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cortexres.compare.defined import largest_of_defined, mean_of_defined
from cortexres.compare.encoding.left_out import left_out_predictions
from cortexres.compare.encoding.reliability import correlation

# Targets held at a time, as a number of values (64 MiB).
CHUNK = 2**23


@dataclass(frozen=True)
class Fit:
    """Scores of one or more orders of the stimuli: the statistic and its null by the same lines of code.

    Parameters
    ----------
    r : numpy.ndarray
        (draw, block, time, unit), correlation of response and prediction, mean over folds.
    squares : numpy.ndarray
        (block, time, unit), sum of squared errors, of the first draw.
    best_r : numpy.ndarray
        (draw, time, unit), as `r`, of the block chosen in each fold and at each time.
    best_block : numpy.ndarray
        (fold, time), that block, of the first draw.
    """

    r: np.ndarray
    squares: np.ndarray
    best_r: np.ndarray
    best_block: np.ndarray


def fitted(blocks: Sequence[np.ndarray], response: np.ndarray, fold: np.ndarray, penalties: Sequence[float]) -> Fit:
    """Return the scores of responses (draw, stimulus, time, unit), each draw as if it were the data.

    Parameters
    ----------
    blocks : sequence of numpy.ndarray
        Features (stimulus, p) of each block.
    response : numpy.ndarray
        (draw, stimulus, time, unit).
    fold : numpy.ndarray
        (stimulus,) integers.
    penalties : sequence of float
        To choose from.
    """
    targets = response.swapaxes(0, 1)
    n, draws, times, units = targets.shape
    flat = targets.reshape(n, -1)
    tests = [fold == k for k in np.unique(fold)]
    least = np.full((len(tests), draws, times), np.inf)
    chosen = np.zeros((len(tests), draws, times), dtype=int)
    best_r = np.full((len(tests), flat.shape[1]), np.nan)
    r, squares = [], []
    for k, features in enumerate(blocks):
        fold_r, fold_squares = np.empty_like(best_r), np.zeros(times * units)
        for j, part in enumerate(left_out_predictions(features, flat, fold, penalties)):
            fold_r[j] = correlation(flat[part.test], part.deviations)
            fold_squares += np.sum((flat[part.test] - part.mean - part.deviations) ** 2, axis=0)[: times * units]
            error = _relative_error(part.error, flat[~tests[j]]).reshape(draws, times, units).mean(axis=-1)
            better = error < least[j]
            least[j], chosen[j] = np.where(better, error, least[j]), np.where(better, k, chosen[j])
            best_r[j] = np.where(np.repeat(better.ravel(), units), fold_r[j], best_r[j])
        r.append(mean_of_defined(fold_r).reshape(draws, times, units))
        squares.append(fold_squares.reshape(times, units))
    return Fit(
        r=np.stack(r, axis=1),
        squares=np.stack(squares),
        best_r=mean_of_defined(best_r).reshape(draws, times, units),
        best_block=chosen[:, 0],
    )


def _relative_error(error: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return errors over the variance of the targets, so that strong units do not choose alone; 1 where it is 0."""
    total = np.sum((seen - seen.mean(axis=0)) ** 2, axis=0)
    relative: np.ndarray = np.divide(error, total, out=np.ones_like(error), where=total > 0)
    return relative


def null_peaks(
    blocks: Sequence[np.ndarray],
    response: np.ndarray,
    orders: np.ndarray,
    fold: np.ndarray,
    penalties: Sequence[float],
) -> dict[str, np.ndarray]:
    """Return the largest value of the map and of the chosen block's scores under each order, (draw,), NaN where none.

    Parameters
    ----------
    blocks, fold, penalties
        As in `fitted`.
    response : numpy.ndarray
        (stimulus, time, unit).
    orders : numpy.ndarray
        (draw, stimulus) orders of the response's stimuli.
    """
    chunk = max(1, CHUNK // response.size)
    peaks: dict[str, list[float]] = {"encoding_r": [], "encoding_r_best": []}
    for start in range(0, len(orders), chunk):
        fit = fitted(blocks, response[orders[start : start + chunk]], fold, penalties)
        for name, values in (("encoding_r", fit.r), ("encoding_r_best", fit.best_r)):
            peaks[name] += [largest_of_defined(median(draw), axis=None) for draw in values]
    return {name: np.asarray(values) for name, values in peaks.items()}


def median(values: np.ndarray) -> np.ndarray:
    """Return the median (...) over those units of (..., unit) that have a value; NaN where none has."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        result: np.ndarray = np.nanmedian(values, axis=-1)
    return result
