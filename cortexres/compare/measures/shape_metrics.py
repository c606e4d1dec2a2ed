"""Distances between shapes: of patterns up to rotation (Procrustes), up to any linear map (CCA), or in between."""

from __future__ import annotations

from typing import Any, Literal

from array_api_compat import array_namespace

from cortexres.compare.measures.measure import Measure
from cortexres.compare.measures.patterns import nuclear_norms, of_pairs, principal_components, reduced_patterns
from cortexres.compare.measures.relations import ROUNDING_OF_RELATIONS
from cortexres.errors import ArgumentError


def shape_metric(alpha: float, *, distance: Literal["angular", "euclidean"] = "angular") -> Measure:
    """Return the shape metric that whitens the units by 1 - `alpha` before it rotates one pattern onto the other.

    The patterns X with singular values s are taken as those with alpha s + 1 - alpha, scaled back to the variance
    of X. Alpha = 1 leaves them (Procrustes); alpha = 0 whitens them, and the cosine of the angle is the sum of the
    canonical correlations over the root of the product of the ranks. In between, s stands beside 1 and so in the
    units of the activity: the angle depends on them.

    Each is a metric: 0 for the same shape, symmetric, and with the triangle inequality. With alpha = 0 it is NaN where
    a side's rank is n - 1, as for canonical correlations: whatever the activity, the angle tells the ranks only.

    Parameters
    ----------
    alpha : float
        0 to 1.
    distance : {"angular", "euclidean"}
        In radians, 0 to pi / 2, whatever the sizes of both sides (at alpha 0 and 1); or in the units of the
        activity, times the root of the number of stimuli, sizes included.

    Raises
    ------
    ArgumentError
        If alpha is not in 0..1, or the distance is neither.

    References
    ----------
    Williams, A. H., Kunz, E., Kornblith, S., Linderman, S. W. (2021). Generalized shape metrics on neural
    representations. NeurIPS. arXiv:2110.14739
    """
    if not 0 <= alpha <= 1:
        raise ArgumentError(f"got alpha={alpha}, expected 0 (any linear map) to 1 (rotations only)")
    if distance not in _SCORES:
        raise ArgumentError(f"got distance={distance!r}, expected 'angular' or 'euclidean'")
    return _metric(f"shape_{distance}_{alpha:g}", alpha, distance)


def _metric(name: str, alpha: float, distance: str) -> Measure:
    def prepare(activity: Any) -> Any:
        patterns = reduced_patterns(activity) if alpha == 1 else _partly_white(activity, alpha)
        return _of_norm_one(patterns) if distance == "angular" else patterns

    return Measure(name, prepare, _SCORES[distance], orientation="distance", minimum_stimuli=2, chance_is_zero=False)


def _partly_white(activity: Any, alpha: float) -> Any:
    """Return patterns (k, n, r) with singular values alpha s + 1 - alpha, at the variance of the activity."""
    xp = array_namespace(activity)
    vectors, sizes = principal_components(activity)
    zero = xp.zeros_like(sizes)
    mixed = xp.where(sizes > 0, alpha * sizes + (1 - alpha), zero)
    if alpha == 0:
        # White patterns that fill all n - 1 directions are the same for every activity.
        rank = xp.sum(xp.astype(sizes > 0, sizes.dtype), axis=-1, keepdims=True)
        mixed = xp.where(rank < activity.shape[-2] - 1, mixed, zero)
    ones = xp.ones_like(sizes[:, :1])
    total = xp.sum(mixed * mixed, axis=-1, keepdims=True)
    scale = xp.sum(sizes * sizes, axis=-1, keepdims=True) / xp.where(total > 0, total, ones)
    return vectors * (mixed * xp.sqrt(scale))[:, None, :]


def _of_norm_one(patterns: Any) -> Any:
    """Return patterns divided by their size; those of no size stay 0."""
    xp = array_namespace(patterns)
    norms = _norms(patterns)[..., None, None]
    return patterns / xp.where(norms > 0, norms, xp.ones_like(norms))


def _norms(patterns: Any) -> Any:
    xp = array_namespace(patterns)
    return xp.sqrt(xp.sum(patterns * patterns, axis=(-2, -1)))


def _cosines(a: Any, b: Any) -> Any:
    """Return (k, l) cosines of patterns of norm 1 after the best rotation; NaN where either has no size."""
    xp = array_namespace(a, b)
    defined = (_norms(a)[:, None] > 0) & (_norms(b)[None, :] > 0)
    values = of_pairs(a, b, nuclear_norms)
    # What differs from 1 by rounding is 1: its arc cosine would be 1e-8 and not 0, or NaN.
    values = xp.where(1 - values > ROUNDING_OF_RELATIONS * xp.finfo(values.dtype).eps, values, xp.ones_like(values))
    return xp.where(defined, values, xp.full_like(values, float("nan")))


def _angles(a: Any, b: Any) -> Any:
    xp = array_namespace(a, b)
    return xp.acos(_cosines(a, b))


def _distances(a: Any, b: Any) -> Any:
    """Return (k, l) Euclidean distances of patterns after the best rotation; NaN where either has no size."""
    xp = array_namespace(a, b)
    left, right = _norms(a)[:, None], _norms(b)[None, :]
    total = left * left + right * right
    squares = total - 2 * of_pairs(a, b, nuclear_norms)
    kept = squares > ROUNDING_OF_RELATIONS * xp.finfo(squares.dtype).eps * total
    values = xp.sqrt(xp.where(kept, squares, xp.zeros_like(squares)))
    return xp.where((left > 0) & (right > 0), values, xp.full_like(values, float("nan")))


_SCORES = {"angular": _angles, "euclidean": _distances}


def _unit_patterns(activity: Any) -> Any:
    return _of_norm_one(reduced_patterns(activity))


procrustes_angle = _metric("procrustes_angle", 1.0, "angular")
"""Angle, in radians, between centred patterns after the best rotation and whatever their sizes: arccos of `bures`."""

procrustes_distance = _metric("procrustes_distance", 1.0, "euclidean")
"""Euclidean distance between centred patterns after the best rotation, sizes included: both sides in one unit."""

bures = Measure("bures", _unit_patterns, _cosines, minimum_stimuli=2, chance_is_zero=False)
"""Cosine between centred patterns after the best rotation, 0 to 1: the fidelity of their Gram matrices.

It is nuc(X' Y) / (|X| |Y|), and above 0 for unrelated activity, the more so the more units there are.

References
----------
Harvey, S. E., Larsen, B. W., Williams, A. H. (2024). Duality of Bures and shape distances with implications for
comparing neural representations. UniReps. arXiv:2311.11436
"""
