"""Representational similarity analysis as cosines of centred dissimilarity matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from cortexres.compare.measures.relations import (
    ROUNDING_OF_ACTIVITY,
    ROUNDING_OF_RELATIONS,
    Similarity,
    centre_stimuli,
    drop_rounding,
    off_diagonal,
)


def squared_euclidean(activity: Any) -> Any:
    """Return squared Euclidean dissimilarities (..., n, n) of activity (..., n, p), zero on the diagonals."""
    xp = array_namespace(activity)
    x = centre_stimuli(activity)
    squares = xp.sum(x * x, axis=-1, keepdims=True)
    return off_diagonal(squares + xp.matrix_transpose(squares) - 2 * xp.matmul(x, xp.matrix_transpose(x)))


def one_minus_correlation(activity: Any) -> Any:
    """Return 1 - Pearson correlation over units, (..., n, n); NaN where a pattern is flat over units."""
    xp = array_namespace(activity)
    x = activity - xp.mean(activity, axis=-1, keepdims=True)
    # One pattern at a time: a flat pattern among others has no correlation, whatever theirs are.
    scale = xp.max(xp.abs(activity), axis=-1, keepdims=True)
    x = drop_rounding(x[..., None, :], scale[..., None], ROUNDING_OF_ACTIVITY)[..., 0, :]
    norms = xp.sqrt(xp.sum(x * x, axis=-1, keepdims=True))
    x = x / xp.where(norms > 0, norms, xp.full_like(norms, float("nan")))
    distances = off_diagonal(1 - xp.matmul(x, xp.matrix_transpose(x)))
    # 1 - r cancels where patterns are the same, so what is rounding is measured against 1.
    return drop_rounding(distances, 1.0)


def centre_pairs(dissimilarities: Any) -> Any:
    """Return (..., n, n) minus the mean over pairs, zero on the diagonals: cosines become correlations."""
    xp = array_namespace(dissimilarities)
    n = dissimilarities.shape[-1]
    mean = xp.sum(dissimilarities, axis=(-2, -1), keepdims=True) / (n * (n - 1))
    scale = xp.max(xp.abs(dissimilarities), axis=(-2, -1), keepdims=True)
    return drop_rounding(off_diagonal(dissimilarities - mean), scale)


def rank_pairs(dissimilarities: Any) -> Any:
    """Return the ranks of the pairs, 1 for the least, ties averaged, in place of the values (..., n, n)."""
    xp = array_namespace(dissimilarities)
    n = dissimilarities.shape[-1]
    rows, columns = np.triu_indices(n, 1)
    number = np.zeros((n, n), dtype=np.int64)
    number[rows, columns] = number[columns, rows] = np.arange(rows.size)
    where = device(dissimilarities)
    flat = xp.reshape(dissimilarities, (-1, n * n))
    pairs = xp.take(flat, xp.asarray(rows * n + columns, device=where), axis=-1)
    ranks = xp.stack([_ranks(pairs[k, :]) for k in range(pairs.shape[0])])
    square = xp.take(ranks, xp.asarray(number.ravel(), device=where), axis=-1)
    return off_diagonal(xp.reshape(square, dissimilarities.shape))


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


def _rsa(activity: Any) -> Any:
    return centre_pairs(squared_euclidean(activity))


def _rsa_spearman(activity: Any) -> Any:
    return centre_pairs(rank_pairs(squared_euclidean(activity)))


def _rsa_correlation(activity: Any) -> Any:
    return centre_pairs(one_minus_correlation(activity))


rsa = Similarity("rsa", _rsa)
"""Pearson correlation, over pairs of stimuli, of squared Euclidean distances (Kriegeskorte et al. 2008).

Trial noise adds about the same to every squared distance, so the correlation is little biased by it; and a
linear relation of the distances is what one linear read-out expects.

References
----------
Kriegeskorte, N., Mur, M., Bandettini, P. (2008). Representational similarity analysis. Frontiers in Systems
Neuroscience 2:4. doi:10.3389/neuro.06.004.2008
"""

rsa_spearman = Similarity("rsa_spearman", _rsa_spearman)
"""Spearman correlation, over pairs of stimuli, of squared Euclidean distances."""

rsa_correlation = Similarity("rsa_correlation", _rsa_correlation)
"""Pearson correlation, over pairs of stimuli, of 1 - r between patterns: blind to the size of a response."""
