"""Products of two quantities of the same trials, free of trial noise: averages over pairs of different trials."""

from __future__ import annotations

import numpy as np


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the mean over pairs of different trials of a * b, (stimulus, trial, ...) -> (stimulus, ...).

    Noise of different trials is independent, so that its expectation is that of the noise-free a * b, also where a and
    b share the noise of a trial. One trial is taken as free of noise, as a network's state is.
    """
    n = a.shape[1]
    if n == 1:
        only: np.ndarray = a[:, 0] * b[:, 0]
        return only
    crossed: np.ndarray = (a.sum(axis=1) * b.sum(axis=1) - (a * b).sum(axis=1)) / (n * (n - 1))
    return crossed


def root(squares: np.ndarray) -> np.ndarray:
    """Return square roots; NaN where noise left a square negative."""
    result: np.ndarray = np.sqrt(np.where(squares >= 0, squares, np.nan))
    return result
