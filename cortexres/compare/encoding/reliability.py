"""How well a unit's response to the stimuli repeats: what any encoding model can reach at most."""

from __future__ import annotations

import numpy as np

from cortexres.compare.ceilings.split_half import halves

# Deviations below this many units in the last place of the largest value are rounding, not activity.
ROUNDING = 64


def reliability(trials: np.ndarray, *, splits: int, rng: np.random.Generator) -> np.ndarray:
    """Return the reliability over stimuli of each unit's mean over trials, (stimulus, trial, ...) -> (...).

    The correlation over stimuli of the means of two random halves, averaged over splits, and stepped up to all trials
    by Spearman-Brown, 2 r / (1 + r). The correlation of the mean with the noise-free response is its square root.
    It may be negative by chance, and is not clipped. NaN with one trial, and where halves do not differ between
    stimuli.

    Parameters
    ----------
    trials : numpy.ndarray
        (stimulus, trial, ...).
    splits : int
        Number of random splits.
    rng : numpy.random.Generator
        Draws them.

    References
    ----------
    Spearman, C. (1910). Correlation calculated from faulty data. British Journal of Psychology 3, 271-295.
    Brown, W. (1910). Some experimental results in the correlation of mental abilities. Same volume, 296-322.
    """
    if trials.shape[1] < 2:
        return np.full(trials.shape[2:], np.nan)
    half = np.mean([correlation(a, b) for a, b in halves(trials, splits=splits, rng=rng)], axis=0)
    with np.errstate(divide="ignore"):
        stepped: np.ndarray = 2 * half / (1 + half)
    return np.where(np.isfinite(stepped), stepped, np.nan)


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the Pearson correlation over the first axis of a and b (n, ...); NaN where either is constant."""
    a, b = _deviations(a), _deviations(b)
    power = np.sum(a * a, axis=0) * np.sum(b * b, axis=0)
    result: np.ndarray = np.sum(a * b, axis=0) / np.sqrt(np.where(power > 0, power, np.nan))
    return result


def same_for_all(activity: np.ndarray) -> np.ndarray:
    """Return whether activity (k, stimulus, unit) is the same for all stimuli, but for rounding, (k,)."""
    return np.asarray(np.all(_deviations(activity.swapaxes(0, 1)) == 0, axis=(0, 2)))


def _deviations(values: np.ndarray) -> np.ndarray:
    """Return values (n, ...) minus their mean, exactly 0 where that is only rounding."""
    centred = values - values.mean(axis=0)
    rounding = ROUNDING * np.finfo(float).eps * np.abs(values).max(axis=0)
    kept: np.ndarray = np.where(np.abs(centred).max(axis=0) > rounding, centred, 0.0)
    return kept
