"""How far apart the patterns of two stimuli are: dissimilarity matrices of activities."""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from cortexres.compare.measures.relations import ROUNDING_OF_ACTIVITY, centre_stimuli, drop_rounding, off_diagonal


def squared_euclidean(activity: Any) -> Any:
    """Return squared Euclidean dissimilarities (..., n, n) of activity (..., n, p), zero on the diagonals."""
    xp = array_namespace(activity)
    x = centre_stimuli(activity)
    return squared_from_gram(xp.matmul(x, xp.matrix_transpose(x)))


def squared_from_gram(gram: Any) -> Any:
    """Return g_ii + g_jj - 2 g_ij of Gram matrices (..., n, n): the squared distances that they imply."""
    xp = array_namespace(gram)
    squares = xp.linalg.diagonal(gram)
    distances = -2 * gram
    distances += squares[..., :, None]  # in place: new memory for each sum would take as long as the product
    distances += squares[..., None, :]
    return off_diagonal(distances)


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
