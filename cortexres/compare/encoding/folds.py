"""Who is left out together: stimuli or trials dealt into folds, so that every one is tested on once."""

from __future__ import annotations

import numpy as np

from cortexres.errors import ArgumentError


def dealt(n: int, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Return the fold (n,) of each of n, dealt at random into parts of equal size, or one apart."""
    fold: np.ndarray = np.empty(n, dtype=int)
    fold[rng.permutation(n)] = np.arange(n) * folds // n
    return fold


def dealt_by_class(classes: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Return the fold (n,) of each of n, every class dealt over as many folds as it can reach.

    Parameters
    ----------
    classes : numpy.ndarray
        (n,) integers.
    folds : int
        At least 2: then a class of two or more is never in one fold only, and is learned whatever is left out.
    rng : numpy.random.Generator
        Deals.
    """
    order = rng.permutation(classes.size)
    order = order[np.argsort(classes[order], kind="stable")]
    fold: np.ndarray = np.empty(classes.size, dtype=int)
    # One round for all, so that the folds are of equal size also where the classes are small.
    fold[order] = np.arange(classes.size) % folds
    return fold


def given(fold: np.ndarray, n: int, what: str) -> np.ndarray:
    """Return the fold (n,) of each of n as a caller gives it.

    Raises
    ------
    ArgumentError
        If it is not one integer for each, or names fewer than two folds.
    """
    fold = np.asarray(fold)
    if fold.shape != (n,) or fold.dtype.kind not in "iu" or np.unique(fold).size < 2:
        raise ArgumentError(
            f"got folds of shape {fold.shape} and dtype {fold.dtype} with {np.unique(fold).size} different,"
            f" expected a number, or one integer for each of the {n} {what}, at least two different"
        )
    return fold
