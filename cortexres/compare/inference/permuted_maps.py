"""The whole map under every order of the stimuli: one gather and one matrix product per group of orders."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from cortexres.compare.measures.measure import Comparison
from cortexres.compare.measures.relations import Similarity
from cortexres.errors import ArgumentError

# Permuted relations held at a time, as a number of values (8 MiB): few enough to stay near the processor.
CHUNK = 2**20


def permuted(measure: Comparison, a: Any, b: Any, orders: np.ndarray) -> Any:
    """Return the map under each order of the stimuli of `b`, (draw, k, l), in the array type of `a` and `b`.

    One order serves the whole map, so that what neighbouring times and blocks share is in every draw.

    Parameters
    ----------
    measure : Comparison
        Which measure. For a `Similarity` the permuted maps are matrix products; for others `scores` is called
        once per order.
    a, b : array
        What ``measure.prepared`` gives for k and l activities, numpy or torch, on one device.
    orders : numpy.ndarray
        (draw, n) orders of the stimuli, each a permutation of 0..n-1.

    Raises
    ------
    ArgumentError
        If the orders are no permutations, or not of as many stimuli as a `Similarity` has relations of.
    """
    orders = np.asarray(orders)
    n = orders.shape[-1]
    if orders.ndim != 2 or not np.array_equal(np.sort(orders, axis=1), np.broadcast_to(np.arange(n), orders.shape)):
        raise ArgumentError(
            f"got orders of shape {orders.shape}, expected (draw, n) with every row a permutation of 0..n-1;"
            " permute_stimuli.orders(n, draws=, rng=) makes them"
        )
    if not isinstance(measure, Similarity):
        return _one_by_one(measure, a, b, orders)
    if a.shape[-1] != n * n or b.shape[-1] != n * n:
        raise ArgumentError(
            f"{measure.name}: got relations of {a.shape[-1]} and {b.shape[-1]} pairs, expected {n} x {n} as in the"
            " orders; prepare both sides with the stimuli that the orders are of"
        )
    xp = array_namespace(a, b)
    # Permuting one side is permuting the other backwards, so the side with fewer maps is the one to gather.
    if b.shape[0] <= a.shape[0]:
        return _products(a, b, orders)
    return xp.permute_dims(_products(b, a, np.argsort(orders, axis=1)), (0, 2, 1))


def _one_by_one(measure: Comparison, a: Any, b: Any, orders: np.ndarray) -> Any:
    xp = array_namespace(a, b)
    where = device(b)
    return xp.stack([measure.scores(a, measure.reordered(b, xp.asarray(order, device=where))) for order in orders])


def _products(kept: Any, moved: Any, orders: np.ndarray) -> Any:
    """Return (draw, kept, moved) cosines of unit relations (., n * n), those of `moved` in each order.

    The relation matrices are symmetric, so their upper triangles, with the pairs counted twice, are enough.
    """
    xp = array_namespace(kept, moved)
    where = device(kept)
    n = orders.shape[1]
    hollow = not (_has_diagonal(kept, n) and _has_diagonal(moved, n))
    rows, columns = np.triu_indices(n, 1 if hollow else 0)
    pairs = xp.take(kept, xp.asarray(rows * n + columns, device=where), axis=-1)
    twice = xp.asarray(np.where(rows == columns, 1.0, 2.0), dtype=kept.dtype, device=where)
    weighted = pairs * twice
    maps = moved.shape[0]
    size = max(1, CHUNK // (maps * rows.size))
    parts = []
    for start in range(0, len(orders), size):
        part = orders[start : start + size]
        index = xp.asarray((part[:, rows] * n + part[:, columns]).ravel(), device=where)
        gathered = xp.reshape(xp.take(moved, index, axis=-1), (maps * len(part), rows.size))
        product = xp.matmul(weighted, xp.matrix_transpose(gathered))
        parts.append(xp.permute_dims(xp.reshape(product, (kept.shape[0], maps, len(part))), (2, 0, 1)))
    return xp.concat(parts, axis=0)


def _has_diagonal(relations: Any, n: int) -> bool:
    """Return whether any stimulus has a relation with itself, as in a biased Gram matrix."""
    xp = array_namespace(relations)
    return bool(xp.any(relations[:, :: n + 1] != 0))
