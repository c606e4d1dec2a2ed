"""Kendall's tau of dissimilarities: which of two pairs of stimuli is the more alike, counted over all of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from array_api_compat import array_namespace, device

from cortexres.compare.measures.dissimilarities import squared_euclidean
from cortexres.compare.measures.measure import Measure, as_double
from cortexres.compare.measures.pair_ranks import pairs_of, rank_pairs

# Signs held at a time for both sides (4 MiB in single precision, in which sums of so few are exact): near the chip.
CHUNK = 2**20


def tau_a(a: Any, b: Any) -> Any:
    """Return Kendall's tau-a (k, l) of dissimilarity matrices (k, n, n) and (l, n, n): ties count 0.

    A matrix with ties is below 1 even with itself. Breaking ties at random gives the same on average, so that a model
    gains nothing by predicting them (Nili et al. 2014). NaN where all values of one are the same.

    References
    ----------
    Nili, H. et al. (2014). A toolbox for representational similarity analysis. PLoS Computational Biology 10,
    e1003553. doi:10.1371/journal.pcbi.1003553
    """
    return kendall_a(rank_pairs(a), rank_pairs(b))


def tau_b(a: Any, b: Any) -> Any:
    """Return Kendall's tau-b (k, l) of dissimilarity matrices (k, n, n) and (l, n, n): tied values do not count."""
    return kendall_b(rank_pairs(a), rank_pairs(b))


def kendall_a(a: Any, b: Any) -> Any:
    """Return tau-a (k, l) of ranks (k, n, n) and (l, n, n) as `rank_pairs` gives them."""
    m = a.shape[-1] * (a.shape[-1] - 1) // 2
    return _agreement(a, b) / (m * (m - 1)) + _undefined(a)[:, None] + _undefined(b)[None, :]


def kendall_b(a: Any, b: Any) -> Any:
    """Return tau-b (k, l) of ranks (k, n, n) and (l, n, n) as `rank_pairs` gives them."""
    xp = array_namespace(a, b)
    sizes = [xp.sqrt(_untied(side)) + _undefined(side) for side in (a, b)]
    return _agreement(a, b) / (sizes[0][:, None] * sizes[1][None, :])


def kendall_similarity(
    name: str, *, dissimilarity: Callable[[Any], Any] = squared_euclidean, ties: Callable[[Any, Any], Any] = kendall_a
) -> Measure:
    """Return the measure that is Kendall's tau of dissimilarities; `rsa_rho_a` says nearly the same, and is faster.

    Parameters
    ----------
    name : str
        Names the variables in the scores Dataset.
    dissimilarity : callable
        Maps activity (..., n, p) to dissimilarities (..., n, n).
    ties : callable
        `kendall_a` or `kendall_b`.
    """
    return Measure(name, partial(_ranked, dissimilarity=dissimilarity), ties, keeps="relations")


def _ranked(activity: Any, *, dissimilarity: Callable[[Any], Any]) -> Any:
    return rank_pairs(dissimilarity(as_double(activity)))


def _agreement(a: Any, b: Any) -> Any:
    """Return sum_pq sign(a_p - a_q) sign(b_p - b_q) (k, l) over pairs p, q, of their ranks: sums of matrix products."""
    xp = array_namespace(a, b)
    # Ranks are whole or half, so that twice their differences, clipped, are signs.
    x, y = (xp.astype(2 * pairs_of(side), xp.float32) for side in (a, b))
    m = x.shape[-1]
    rows = max(1, CHUNK // ((x.shape[0] + y.shape[0]) * m))
    total = xp.zeros((x.shape[0], y.shape[0]), dtype=xp.float64, device=device(a))
    for start in range(0, m, rows):
        # Each pair of pairs once, then doubled; those within a part stand there in both orders already.
        part, rest = slice(start, start + rows), slice(start, m)
        total = total + 2 * _products(x, y, part, rest) - _products(x, y, part, part)
    return xp.astype(total, a.dtype)


def _products(x: Any, y: Any, part: slice, others: slice) -> Any:
    """Return sums over p in one part and q in the other of sign(x_p - x_q) sign(y_p - y_q), (k, l)."""
    xp = array_namespace(x, y)
    signs = [xp.clip(side[:, part, None] - side[:, None, others], -1.0, 1.0) for side in (x, y)]
    flat = [xp.reshape(side, (side.shape[0], -1)) for side in signs]
    return xp.astype(xp.matmul(flat[0], xp.matrix_transpose(flat[1])), xp.float64)


def _untied(ranks: Any) -> Any:
    """Return the number of ordered pairs of values (k,) that differ, of ranks (k, n, n)."""
    xp = array_namespace(ranks)
    pairs = pairs_of(ranks)
    counts = []
    for k in range(pairs.shape[0]):
        ordered = xp.sort(pairs[k, :])
        same = xp.searchsorted(ordered, ordered, side="right") - xp.searchsorted(ordered, ordered, side="left")
        counts.append(xp.astype(ordered.shape[0] ** 2 - xp.sum(same), ranks.dtype))
    return xp.stack(counts)


def _undefined(ranks: Any) -> Any:
    """Return NaN for ranks (k, n, n) that are all the same, or NaN; 0 for others."""
    xp = array_namespace(ranks)
    pairs = pairs_of(ranks)
    spread = xp.max(pairs, axis=-1) - xp.min(pairs, axis=-1)
    return xp.where(spread > 0, xp.zeros_like(spread), xp.full_like(spread, float("nan")))


rsa_tau_a = kendall_similarity("rsa_tau_a")
"""Kendall's tau-a, over pairs of stimuli, of squared Euclidean distances."""

rsa_tau_b = kendall_similarity("rsa_tau_b", ties=kendall_b)
"""Kendall's tau-b, over pairs of stimuli, of squared Euclidean distances."""
