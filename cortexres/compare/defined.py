"""Means, largest values and quantiles of what is defined: NaN is left out, and returned only where all is NaN."""

from __future__ import annotations

from typing import Any

import numpy as np


def mean_of_defined(values: np.ndarray, axis: int = 0) -> Any:
    """Return the mean along an axis of the values that are not NaN; NaN where all are."""
    defined = ~np.isnan(values)
    count = defined.sum(axis=axis)
    total = np.where(defined, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)[()]


def largest_of_defined(values: np.ndarray, axis: int | None = 0) -> Any:
    """Return the largest along an axis (None: of all) of the values that are not NaN; NaN where all are."""
    largest = np.where(np.isnan(values), -np.inf, values).max(axis=axis, initial=-np.inf)
    return np.where(np.isneginf(largest), np.nan, largest)[()]


def quantile_of_defined(values: np.ndarray, level: float | tuple[float, ...]) -> Any:
    """Return quantiles (level, ...) along the first axis of the values that are not NaN; NaN where all are."""
    flat = values.reshape(len(values), int(np.prod(values.shape[1:])))
    some = ~np.isnan(flat).all(axis=0)
    found = np.full((*np.shape(level), flat.shape[1]), np.nan)
    if some.any():
        found[..., some] = np.nanquantile(flat[:, some], level, axis=0)
    return found.reshape((*np.shape(level), *values.shape[1:]))[()]
