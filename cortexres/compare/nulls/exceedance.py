"""The p-value of an observed score among those under a null."""

from __future__ import annotations

import numpy as np

from cortexres.compare.measures.measure import Orientation


def exceedance(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Return (1 + number of null values that reach the observed) / (1 + draws), NaN where that is NaN.

    The 1 counts the true order as one of the permutations; without it a p-value of 0 would be possible, and
    the test would reject too often (Phipson & Smyth 2010, doi:10.2202/1544-6115.1585). The tolerance keeps an
    order that repeats the observed value (the identity) from falling below it by rounding.

    Parameters
    ----------
    observed : numpy.ndarray
        Any shape.
    null : numpy.ndarray
        (draws,).
    """
    ordered = np.sort(null)
    reach = null.size - np.searchsorted(ordered, np.asarray(observed) - 1e-12, side="left")
    return np.where(np.isnan(observed), np.nan, (1.0 + reach) / (1.0 + null.size))


def p_value(observed: np.ndarray, drawn: np.ndarray, orientation: Orientation) -> np.ndarray:
    """Return p-values (...) of an observed score (...) among drawn ones, corrected for all cells.

    The largest defined value of a draw (the smallest of a distance) stands for the draw; a draw that is nowhere
    defined counts as reaching every value.

    Parameters
    ----------
    observed : numpy.ndarray
        Any shape.
    drawn : numpy.ndarray
        (draw, ...).
    orientation : {"similarity", "distance"}
        Whether alike means high or low.
    """
    sign = 1.0 if orientation == "similarity" else -1.0
    flat = sign * drawn.reshape(len(drawn), -1)
    empty = np.isnan(flat)
    peaks = np.where(empty, -np.inf, flat).max(axis=1)
    return exceedance(sign * observed, np.where(empty.all(axis=1), np.inf, peaks))
