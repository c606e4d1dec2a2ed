"""Correlations of the ranks of pairs, ranked anew in every bootstrap sample of the stimuli."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device


def rank_correlations(a: Any, b: Any, weights: np.ndarray) -> Any:
    """Return (draw, k, l) rank correlations of relations (k, n * n) and (l, n * n) over pairs i < j, w_i w_j times.

    The pairs are sorted once; the rank of a pair in a sample is then a running sum of weights. NaN where the pairs
    of a sample are all the same.

    Parameters
    ----------
    a, b : array
        Anything that has the order of the relations, such as their ranks.
    weights : numpy.ndarray
        (draw, n) whole numbers: how often each stimulus is in the sample.
    """
    xp = array_namespace(a, b)
    where = device(a)
    n = weights.shape[1]
    rows, columns = np.triu_indices(n, 1)
    index = xp.asarray(rows * n + columns, device=where)
    x, y = (xp.take(side, index, axis=-1) for side in (a, b))
    places = [_places(side) for side in (x, y)]
    result = []
    for counts in weights:
        weight = xp.asarray(counts[rows] * counts[columns], dtype=a.dtype, device=where)
        ranks = [_centred(side, place, weight) for side, place in zip((x, y), places, strict=True)]
        result.append(xp.matmul(ranks[0] * weight, xp.matrix_transpose(ranks[1])))
    return xp.stack(result)


def _places(values: Any) -> tuple[Any, ...]:
    """Return, of values (k, m): which is the first, second, ..., and for each how many are less, and are not more.

    They are indices into (k * m) and (k * (m + 1)) values in a row, which one gather reads for all k.
    """
    xp = array_namespace(values)
    where = device(values)
    k, m = values.shape
    order = xp.argsort(values, axis=-1)
    less, upto = [], []
    for row in range(k):
        ordered = xp.take(values[row, :], order[row, :])
        less.append(xp.searchsorted(ordered, values[row, :], side="left"))
        upto.append(xp.searchsorted(ordered, values[row, :], side="right"))
    start = xp.arange(k, device=where)[:, None] * (m + 1)
    counted = (xp.reshape(xp.stack(side) + start, (-1,)) for side in (less, upto))
    return (xp.reshape(order, (-1,)), *counted)


def _centred(values: Any, places: tuple[Any, ...], weight: Any) -> Any:
    """Return unit ranks (k, m) about their weighted mean: average ranks where each pair stands for `weight` of them."""
    xp = array_namespace(values)
    order, less, upto = places
    k, m = values.shape
    running = xp.cumulative_sum(xp.reshape(xp.take(weight, order), (k, m)), axis=-1, include_initial=True)
    flat = xp.reshape(running, (-1,))
    ranks = xp.reshape(xp.take(flat, less) + xp.take(flat, upto), (k, m))
    ranks = ranks - xp.matmul(ranks, weight)[:, None] / xp.clip(xp.sum(weight), 1, None)
    norms = xp.sqrt(xp.matmul(ranks * ranks, weight))[:, None]
    # NaN stays NaN, and so does what has no spread; the ranks are whole numbers, so that rounding is far below 1.
    return ranks / xp.where(norms > 1e-6, norms, xp.full_like(norms, float("nan"))) + 0 * values
