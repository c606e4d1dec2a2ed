"""Canonical correlations of two activities: what any linear map of the units can make alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from array_api_compat import array_namespace

from cortexres.compare.measures.measure import Measure, as_float, check_pair
from cortexres.compare.measures.patterns import centred_patterns, nuclear_norms, of_pairs, principal_components
from cortexres.errors import ArgumentError
from cortexres.provenance import provenance


def svcca(components: int) -> Measure:
    """Return SVCCA: the mean canonical correlation of the first principal components of both sides.

    Parameters
    ----------
    components : int
        Number of principal components that are kept of each side, or as many as it has.

    Returns
    -------
    Measure
        NaN where one side's components fill all dimensions that n stimuli leave, n - 1, for then every score is 1.
        For unrelated activity it is above 0, the more so the nearer the number of components comes to n.

    Raises
    ------
    ArgumentError
        If components is below 1.

    References
    ----------
    Raghu, M. et al. (2017). SVCCA: singular vector canonical correlation analysis. NeurIPS. arXiv:1706.05806
    """
    if components < 1:
        raise ArgumentError(f"got components={components}, expected 1 or more principal components")

    def prepare(activity: Any) -> Any:
        return principal_components(activity).vectors[:, :, :components]

    least = components + 2
    return Measure(f"svcca_{components}", prepare, _mean_correlations, minimum_stimuli=least, chance_is_zero=False)


def mean_cca2(*, ridge: float = 0.0) -> Measure:
    """Return the mean squared canonical correlation, over as many as the side with fewer directions has.

    Unrelated activity of ranks r >= s scores r / (n - 1) on average over n stimuli, and with r = n - 1 every
    activity scores 1: there it is NaN unless there is a ridge. `canonical_correlations` gives these numbers beside
    the score.

    Parameters
    ----------
    ridge : float
        Added to each squared singular value, in units of their mean. With it an activity scores below 1 with itself.

    Raises
    ------
    ArgumentError
        If the ridge is negative.

    References
    ----------
    Kornblith, S. et al. (2019). Similarity of neural network representations revisited. ICML. arXiv:1905.00414
    """
    _check_ridge(ridge)

    def prepare(activity: Any) -> Any:
        return _shrunk(activity, ridge)

    def score(a: Any, b: Any) -> Any:
        xp = array_namespace(a, b)
        squares = of_pairs(a, b, _squared_products)
        return xp.where(_defined(a, b, full=ridge > 0), squares / _fewest(a, b), xp.full_like(squares, float("nan")))

    name = f"mean_cca2_ridge_{ridge:g}" if ridge else "mean_cca2"
    return Measure(name, prepare, score, chance_is_zero=False)


def canonical_correlations(x: Any, y: Any, *, components: int | None = None, ridge: float = 0.0) -> xr.Dataset:
    """Return the canonical correlations of activities (n, p) and (n, q), beside what says how far to trust them.

    Parameters
    ----------
    x, y : array
        Over the same n stimuli.
    components : int, optional
        Number of principal components kept of each side; all by default.
    ridge : float
        As in `mean_cca2`.

    Returns
    -------
    xarray.Dataset
        ``correlation`` (component), falling; ``mean_cca2``, the mean of their squares; ``chance``, what that is on
        average for unrelated activity of the same ranks, r / (n - 1) without a ridge (NaN with one);
        ``stimuli_per_unit``, n over the larger rank. All NaN where a side's rank is n - 1 and there is no ridge.

    Raises
    ------
    ArgumentError
        If the shapes do not match, there are too few stimuli, or an option is out of range.
    """
    _check_ridge(ridge)
    measure = mean_cca2(ridge=ridge) if components is None else svcca(components)
    check_pair(measure, x, y)
    kept = slice(components)
    xp = array_namespace(x, y)
    a, b = (_shrunk(as_float(side[None]), ridge)[:, :, kept] for side in (x, y))
    ranks = [int(_ranks(side)[0]) for side in (a, b)]
    n, largest, count = x.shape[0], max(ranks), min(ranks)
    full = largest >= n - 1 and not ridge
    found = xp.linalg.svdvals(xp.matmul(xp.matrix_transpose(a[0, ...]), b[0, ...]))[:count]
    values = np.asarray([float(value) for value in found])
    if full:
        values = np.full(count, np.nan)
    reason = f"rank {largest} of {n} stimuli: all correlations are 1 whatever the activity" if full else ""
    if not count:
        reason = "the activity of one side is the same for all stimuli, or not finite"
    numbers = {
        "mean_cca2": (float(np.mean(values**2)) if count else np.nan, "mean squared canonical correlation"),
        "chance": (np.nan if ridge or full or not count else largest / (n - 1), "its mean for unrelated activity"),
        "stimuli_per_unit": (n / largest if largest else np.nan, "number of stimuli over the larger rank"),
    }
    variables = {
        name: xr.Variable((), value, {"units": "1", "long_name": text, "undefined": reason})
        for name, (value, text) in numbers.items()
    }
    attrs = {"units": "1", "long_name": "canonical correlation", "undefined": reason}
    variables["correlation"] = xr.Variable(("component",), values, attrs)
    facts = {"n_stimuli": n, "n_units": [x.shape[1], y.shape[1]], "ranks": ranks, "ridge": ridge}
    return xr.Dataset(
        variables,
        coords={"component": np.arange(count)},
        attrs={**facts, "orientation": "similarity", "cortexres_provenance": provenance(measure="cca", **facts)},
    )


def _check_ridge(ridge: float) -> None:
    if ridge < 0:
        raise ArgumentError(f"got ridge={ridge}, expected 0 or more, in units of the mean squared singular value")


def _shrunk(activity: Any, ridge: float) -> Any:
    """Return the orthonormal components (k, n, r), each times s / sqrt(s^2 + ridge * mean s^2)."""
    xp = array_namespace(activity)
    vectors, sizes = principal_components(activity)
    if not ridge:
        return vectors
    squares = sizes * sizes
    rank = xp.sum(xp.astype(sizes > 0, sizes.dtype), axis=-1, keepdims=True)
    mean = xp.sum(squares, axis=-1, keepdims=True) / xp.where(rank > 0, rank, xp.ones_like(rank))
    total = squares + ridge * mean
    return vectors * xp.sqrt(squares / xp.where(total > 0, total, xp.ones_like(total)))[:, None, :]


def _ranks(basis: Any) -> Any:
    """Return the number (k,) of directions of bases (k, n, r), those of 0 left out."""
    xp = array_namespace(basis)
    return xp.sum(xp.astype(xp.any(basis != 0, axis=-2), basis.dtype), axis=-1)


def _fewest(a: Any, b: Any) -> Any:
    """Return the smaller rank (k, l) of each pair, at least 1."""
    xp = array_namespace(a, b)
    left, right = _ranks(a)[:, None], _ranks(b)[None, :]
    smaller = xp.where(left < right, left, right)
    return xp.where(smaller > 0, smaller, xp.ones_like(smaller))


def _defined(a: Any, b: Any, *, full: bool = False) -> Any:
    """Return whether (k, l) both sides have a direction and, unless `full`, neither has all that n stimuli leave."""
    left, right = _ranks(a)[:, None], _ranks(b)[None, :]
    some = (left > 0) & (right > 0)
    most = a.shape[-2] - 1
    return some if full else some & (left < most) & (right < most)


def _mean_correlations(a: Any, b: Any) -> Any:
    xp = array_namespace(a, b)
    values = of_pairs(a, b, nuclear_norms) / _fewest(a, b)
    return xp.where(_defined(a, b), values, xp.full_like(values, float("nan")))


def _squared_products(basis: Any, others: Any) -> Any:
    """Return the sums (m,) of the squared entries of X' Y of bases X (n, r) and Y (m, n, s)."""
    xp = array_namespace(basis, others)
    products = xp.matmul(xp.matrix_transpose(basis), others)
    return xp.sum(products * products, axis=(-2, -1))


def _weighted_correlations(a: Any, b: Any) -> Any:
    xp = array_namespace(a, b)
    bases = principal_components(a).vectors, principal_components(b).vectors
    rows = [_weighted_row(a[i, ...], bases[0][i, ...], bases[1]) for i in range(a.shape[0])]
    values = xp.stack(rows)
    return xp.where(_defined(*bases), values, xp.full_like(values, float("nan")))


def _weighted_row(patterns: Any, basis: Any, others: Any) -> Any:
    """Return the weighted mean correlations (m,) of patterns (n, p) with bases (m, n, s)."""
    xp = array_namespace(patterns, others)
    turn, correlations, _ = xp.linalg.svd(xp.matmul(xp.matrix_transpose(basis), others), full_matrices=False)
    weights = xp.sum(xp.abs(xp.matmul(xp.matrix_transpose(xp.matmul(basis, turn)), patterns)), axis=-1)
    # Beyond the smaller rank there is nothing to be correlated with, and no weight.
    order = xp.cumulative_sum(xp.ones_like(weights), axis=-1)
    weights = xp.where(order <= _fewest(basis[None, ...], others)[0, :, None], weights, xp.zeros_like(weights))
    total = xp.sum(weights, axis=-1)
    return xp.sum(weights * correlations, axis=-1) / xp.where(total > 0, total, xp.ones_like(total))


pwcca = Measure("pwcca", centred_patterns, _weighted_correlations, chance_is_zero=False)
"""Mean canonical correlation, weighted by how much of the first side's activity each canonical variate carries.

The weights make it asymmetric, and dependent on the axes of the first side. NaN where a side's rank is n - 1.

References
----------
Morcos, A. S., Raghu, M., Bengio, S. (2018). Insights on representational similarity in neural networks with
canonical correlation. NeurIPS. arXiv:1806.05759
"""
