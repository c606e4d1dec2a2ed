"""Explained variance, what trial noise lets any prediction reach, and what is left without the noise."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Explained:
    """Explained variance of a prediction, beside its ceiling.

    Parameters
    ----------
    r2 : float
        1 - residual / total, both sums of squares over all entries, the total about the one grand mean.
    ceiling : float
        1 - noise / total: what the true mean response would score, on average. NaN with fewer than two
        trials.
    denoised : float
        1 - (residual - noise) / (total - noise): an estimate of r2 against the noise-free response. It may
        exceed 1 by chance and is not clipped. NaN where the ceiling is not above 0 or unknown.
    """

    r2: float
    ceiling: float
    denoised: float


def mean_noise(trials: np.ndarray) -> np.ndarray:
    """Return the sampling variance of the mean over trials, (stimulus, trial, ...) -> (stimulus, ...).

    Trials are taken as independent given the stimulus. NaN with fewer than two.
    """
    n = trials.shape[1]
    if n < 2:
        return np.full((trials.shape[0], *trials.shape[2:]), np.nan)
    noise: np.ndarray = trials.var(axis=1, ddof=1) / n
    return noise


def explained(mean: np.ndarray, prediction: np.ndarray, noise: float, *, what: str) -> Explained:
    """Return the explained variance of `prediction` for `mean` (same shape), pooled over all entries.

    Parameters
    ----------
    mean, prediction : numpy.ndarray
        Trial-averaged response and what is predicted for it.
    noise : float
        Sum over all entries of the sampling variance of `mean`; NaN where unknown.
    what : str
        Named in the warning given where the ceiling is not above zero.
    """
    total = float(np.sum((mean - mean.mean()) ** 2))
    if total <= 1e-24 * float(np.sum(mean**2)):
        return Explained(np.nan, np.nan, np.nan)
    residual = float(np.sum((mean - prediction) ** 2))
    signal = total - noise
    if signal <= 0:
        warnings.warn(
            f"{what}: ceiling not above zero ({1 - noise / total:.3g}): the trial noise is as large as the"
            " response;"
            " use more trials or stronger stimuli",
            stacklevel=3,
        )
    denoised = 1 - (residual - noise) / signal if signal > 0 else np.nan
    return Explained(1 - residual / total, 1 - noise / total, denoised)
