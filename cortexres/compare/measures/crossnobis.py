"""Distances of trials: Mahalanobis, and crossnobis, which trial noise does not bias."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace, device

from cortexres.compare.measures.dissimilarities import squared_euclidean, squared_from_gram
from cortexres.compare.measures.measure import as_float
from cortexres.compare.measures.noise import trial_noise, whitening
from cortexres.errors import ArgumentError

Noise = Literal["white", "each_time", "all_times"]
NOISES: tuple[Noise, ...] = ("white", "each_time", "all_times")


def crossnobis(trials: Any, *, folds: int | Sequence[int] | None = None, noise: Noise = "all_times") -> Any:
    """Return cross-validated squared Mahalanobis distances (time, n, n) of trials (n, trial, time, p), per unit.

    The mean over all ordered pairs of folds f != g of (x_f - y_f)' S^-1 (x_g - y_g) / p, with S the covariance of
    the noise: 0 on average, and often below, where two stimuli have the same mean. That is exact for a given S, as with
    ``noise="white"``. An S estimated from the same trials has seen their noise, and leaves a part of it in all
    distances alike: of 100 units, 8 stimuli and 10 trials with strongly correlated noise .11 where plain distances have
    2 / 10 (``each_time``, or one time), and .01 where 20 times go into S. Correlations with other distances do not see
    it; whether a distance is above 0 is for ``"white"`` to say, or for permuted stimuli. With the Gram matrix
    G = (sum_f X_f sum_f X_f' - sum_f X_f X_f') / (F (F - 1)) it is g_ii + g_jj - 2 g_ij: two products per time
    instead of F (F - 1).

    Parameters
    ----------
    trials : array
        (stimulus, trial, time, unit), numpy or torch.
    folds : int or sequence of int, optional
        Into how many runs of neighbouring trials to part them, or the fold of each trial (trials of one recording
        session share noise and belong in one fold). Each trial by default.
    noise : {"all_times", "each_time", "white"}
        One covariance for the whole recording, one for each time, or none: units are taken as they are.

    Raises
    ------
    ArgumentError
        If there are fewer than two folds, more than trials, labels of another number, or an unknown `noise`.

    References
    ----------
    Walther, A. et al. (2016). Reliability of dissimilarity measures for multi-voxel pattern analysis. NeuroImage
    137, 188-200. doi:10.1016/j.neuroimage.2015.12.012
    """
    xp = array_namespace(trials)
    trials = as_float(trials)
    averages = _averages(trials, folds)
    weights = whiteners(trials, noise)
    # One mean for all folds, which the distances do not see, so that its square does not cost digits.
    mean = xp.mean(trials, axis=(0, 1))
    grams = [_gram(trials[:, :, t, :] - mean[t, :], averages, _at(weights, t)) for t in range(trials.shape[2])]
    return squared_from_gram(xp.stack(grams))


def mahalanobis(trials: Any, *, noise: Noise = "all_times") -> Any:
    """Return squared Mahalanobis distances (time, n, n) of the means of trials (n, trial, time, p), per unit.

    Trial noise adds to them; `crossnobis` is free of that.

    Raises
    ------
    ArgumentError
        If there is one trial, or an unknown `noise`.
    """
    xp = array_namespace(trials)
    trials = as_float(trials)
    weights = whiteners(trials, noise)
    mean = xp.mean(trials, axis=1)
    maps = [squared_euclidean(_weighted(mean[:, t, :], _at(weights, t))) for t in range(trials.shape[2])]
    return xp.stack(maps) / trials.shape[-1]


def whiteners(trials: Any, noise: Noise) -> list[Any]:
    """Return what units are multiplied by so that their noise is white: none, one (p, p), or one for each time.

    Raises
    ------
    ArgumentError
        If there is one trial, or `noise` is not known.
    """
    if noise not in NOISES:
        raise ArgumentError(f"got noise={noise!r}, expected one of {', '.join(map(repr, NOISES))}")
    if noise == "white":
        return []
    deviations = trial_noise(trials)
    if noise == "all_times":
        return [whitening(deviations)[0]]
    return [whitening(deviations[:, t : t + 1, :])[0] for t in range(trials.shape[2])]


def _at(weights: list[Any], time: int) -> Any | None:
    if not weights:
        return None
    return weights[0] if len(weights) == 1 else weights[time]


def _weighted(values: Any, weights: Any | None) -> Any:
    return values if weights is None else array_namespace(values).matmul(values, weights)


def _gram(trials: Any, averages: Any | None, weights: Any | None) -> Any:
    """Return the Gram matrix (n, n), between different folds, of trials (n, trial, p) at one time, per unit."""
    xp = array_namespace(trials)
    folds = _weighted(trials if averages is None else xp.matmul(averages, trials), weights)
    n, count, units = folds.shape
    # A product, as sums over an axis in the middle take longer.
    total = xp.matmul(xp.ones((1, count), dtype=folds.dtype, device=device(folds)), folds)[:, 0, :]
    apart = xp.reshape(folds, (n, count * units))
    gram = xp.matmul(total, xp.matrix_transpose(total)) - xp.matmul(apart, xp.matrix_transpose(apart))
    return gram / (count * (count - 1) * units)


def _averages(trials: Any, folds: int | Sequence[int] | None) -> Any | None:
    """Return what averages the trials of each fold, (fold, trial); None where each trial is one."""
    repeats = trials.shape[1]
    if folds is None:
        folds = repeats
    if not isinstance(folds, (int, np.integer)):
        labels = np.asarray(folds)
        if labels.shape != (repeats,) or np.unique(labels).size < 2:
            raise ArgumentError(
                f"got fold labels of shape {labels.shape} with {np.unique(labels).size} different, expected one for"
                f" each of {repeats} trials and at least 2 different"
            )
    elif 2 <= folds <= repeats:
        labels = np.arange(repeats) * folds // repeats
    else:
        raise ArgumentError(
            f"got {folds} folds of {repeats} trials, expected 2 to as many as there are trials; record more trials,"
            " or use squared Euclidean dissimilarities"
        )
    members = (np.unique(labels)[:, None] == labels).astype(float)
    if len(members) == repeats:
        return None
    xp = array_namespace(trials)
    means = members / members.sum(axis=1, keepdims=True)
    return xp.asarray(means, dtype=trials.dtype, device=device(trials))
