"""The ranks of dissimilarities among all pairs of stimuli."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from cortexres.compare.measures.relations import ROUNDING_OF_RELATIONS, off_diagonal


def pairs_of(matrices: Any) -> Any:
    """Return the values of the pairs i < j, (..., m), of symmetric matrices (..., n, n); m = n (n - 1) / 2."""
    xp = array_namespace(matrices)
    n = matrices.shape[-1]
    rows, columns = np.triu_indices(n, 1)
    flat = xp.reshape(matrices, (*matrices.shape[:-2], n * n))
    return xp.take(flat, xp.asarray(rows * n + columns, device=device(matrices)), axis=-1)


def matrices_of(pairs: Any, n: int) -> Any:
    """Return symmetric matrices (..., n, n), zero on the diagonals, of the values of pairs (..., m)."""
    xp = array_namespace(pairs)
    rows, columns = np.triu_indices(n, 1)
    number = np.zeros((n, n), dtype=np.int64)
    number[rows, columns] = number[columns, rows] = np.arange(rows.size)
    square = xp.take(pairs, xp.asarray(number.ravel(), device=device(pairs)), axis=-1)
    return off_diagonal(xp.reshape(square, (*pairs.shape[:-1], n, n)))


def rank_pairs(dissimilarities: Any) -> Any:
    """Return the ranks of the pairs, 1 for the least, ties averaged, in place of the values (..., n, n)."""
    xp = array_namespace(dissimilarities)
    pairs = pairs_of(dissimilarities)
    flat = xp.reshape(pairs, (-1, pairs.shape[-1]))
    ranks = xp.stack([_ranks(flat[k, :]) for k in range(flat.shape[0])])
    return matrices_of(xp.reshape(ranks, pairs.shape), dissimilarities.shape[-1])


def _ranks(values: Any) -> Any:
    """Return average ranks of values (m,); those that differ by rounding only are ties.

    Without that, distances that are equal in exact arithmetic (few units, whole numbers, one-hot patterns)
    would be ranked by their rounding errors, and numpy and torch would rank them differently.
    """
    xp = array_namespace(values)
    where = device(values)
    ordered = xp.sort(values)
    tie = ROUNDING_OF_RELATIONS * xp.finfo(values.dtype).eps * xp.max(xp.abs(values))
    first = xp.concat([xp.ones(1, dtype=xp.bool, device=where), ordered[1:] - ordered[:-1] > tie])
    starts = xp.nonzero(first)[0]
    ends = xp.concat([starts[1:], xp.asarray([values.shape[0]], dtype=starts.dtype, device=where)])
    group = xp.searchsorted(ordered[first], values, side="right") - 1
    ranks = xp.astype(xp.take(starts, group) + xp.take(ends, group) + 1, values.dtype) / 2
    return ranks + 0 * values  # NaN stays NaN
