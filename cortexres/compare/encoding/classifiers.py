"""Linear classifiers of many times or blocks at once, for numpy and torch arrays: one product decides for all tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from array_api_compat import array_namespace, device

# Keeps a covariance invertible where Ledoit and Wolf's formula finds no reason to shrink it.
LEAST_SHRINKAGE = 1e-6
# Deviations below this many units in the last place of the largest value are rounding, not activity.
ROUNDING = 64


@dataclass(frozen=True)
class Learned:
    """Linear scores of groups: the group of the largest `weights` x + `bias` is decided for.

    Parameters
    ----------
    weights : array
        (k, group, unit).
    bias : array
        (k, group).
    """

    weights: Any
    bias: Any


@dataclass(frozen=True)
class Classifier:
    """A way to learn groups of activities from examples; the same for each of k times or blocks.

    Parameters
    ----------
    name : str
        Goes into the attributes of the scores.
    learn : callable
        ``learn(activity, groups, number)`` of (k, n, unit) and (n,) integers below `number` returns `Learned`.
    groups : {"class", "stimulus"}
        What it learns to tell apart: classes, or stimuli, where any stimulus of the right class is right.
    """

    name: str
    learn: Callable[[Any, Any, int], Learned]
    groups: Literal["class", "stimulus"]


def decided(learned: Learned, activity: Any) -> Any:
    """Return the groups (k, l, m) that each of k classifiers decides for in activity (l, m, unit).

    Every classifier is tested on every time or block, its own included, which is what makes a generalisation matrix.
    """
    xp = array_namespace(activity)
    tests, n, units = activity.shape
    flat = xp.matrix_transpose(xp.reshape(activity, (tests * n, units)))
    decisions = []
    for k in range(learned.weights.shape[0]):  # one at a time: all scores at once would be k times the memory
        scores = xp.matmul(learned.weights[k], flat) + learned.bias[k][:, None]
        decisions.append(xp.reshape(xp.argmax(scores, axis=0), (tests, n)))
    return xp.stack(decisions)


def group_means(activity: Any, groups: Any, number: int) -> Any:
    """Return the means (k, group, unit) of activity (k, n, unit) over each of `number` groups (n,)."""
    xp = array_namespace(activity)
    ids = xp.arange(number, dtype=groups.dtype, device=device(groups))
    member = xp.astype(ids[:, None] == groups[None, :], activity.dtype)
    return xp.matmul(member / xp.sum(member, axis=-1, keepdims=True), activity)


def _correlate(activity: Any, groups: Any, number: int) -> Learned:
    """Return templates: the correlation over units with a test has the order of their product with it."""
    xp = array_namespace(activity)
    mean, inverse = _scales(activity)
    templates = group_means((activity - mean) * inverse, groups, number)
    templates = templates - xp.mean(templates, axis=-1, keepdims=True)
    norms = xp.linalg.vector_norm(templates, axis=-1, keepdims=True)
    return _unscaled(templates / xp.where(norms > 0, norms, xp.ones_like(norms)), 0.0, mean, inverse)


def _discriminate(activity: Any, groups: Any, number: int) -> Learned:
    """Return linear discriminants with equal priors and one covariance, the mean of the classes' shrunken ones."""
    xp = array_namespace(activity)
    mean, inverse = _scales(activity)
    x = (activity - mean) * inverse
    means = group_means(x, groups, number)
    rows, diagonal = [], xp.zeros_like(means[..., 0, :])
    for k in range(number):
        (own,) = xp.nonzero(groups == k)
        deviations, target = shrunken_parts(_deviations(xp.take(x, own, axis=-2)))
        rows.append(deviations / number**0.5)
        diagonal = diagonal + target / number
    weights = _solved(xp.concat(rows, axis=-2), xp.where(diagonal > 0, diagonal, xp.ones_like(diagonal)), means)
    return _unscaled(weights, -xp.sum(weights * means, axis=-1) / 2, mean, inverse)


def shrunken_parts(deviations: Any) -> tuple[Any, Any]:
    """Return A (k, n, p) and d (k, p) of the shrunken covariances A'A + diag(d) of deviations (k, n, p) from a mean.

    Correlations are shrunken, variances kept; by how much is Ledoit and Wolf's closed form on the standardised
    deviations. For wide layers no covariance of units by units is ever made.

    References
    ----------
    Ledoit, O., Wolf, M. (2004). A well-conditioned estimator for large-dimensional covariance matrices. Journal of
    Multivariate Analysis 88, 365-411. doi:10.1016/S0047-259X(03)00096-4
    """
    xp = array_namespace(deviations)
    n, p = deviations.shape[-2:]
    scale = xp.sqrt(xp.mean(deviations**2, axis=-2, keepdims=True))
    scale = xp.where(scale > 0, scale, xp.ones_like(scale))
    x = deviations / scale
    transposed = xp.matrix_transpose(x)
    gram = xp.matmul(x, transposed) if n <= p else xp.matmul(transposed, x)
    powers = xp.sum(x**2, axis=-1)
    level = xp.mean(powers, axis=-1) / p
    square = xp.sum(gram**2, axis=(-2, -1)) / n**2
    spread = square / p - level**2
    noise = (xp.mean(powers**2, axis=-1) - square) / (n * p)
    positive = xp.where(spread > 0, spread, xp.ones_like(spread))
    share = xp.where(spread > 0, noise / positive, xp.ones_like(spread))
    share = xp.clip(share, LEAST_SHRINKAGE, 1.0)
    rows = deviations * xp.sqrt((1 - share) / n)[..., None, None]
    return rows, (share * level)[..., None] * scale[..., 0, :] ** 2


def _solved(rows: Any, diagonal: Any, means: Any) -> Any:
    """Return the means (k, group, p) times the inverse of A'A + diag(d), of A (k, n, p) and d (k, p) above 0."""
    xp = array_namespace(rows)
    n, p = rows.shape[-2:]
    if p <= n:
        eye = xp.eye(p, dtype=rows.dtype, device=device(rows))
        covariance = xp.matmul(xp.matrix_transpose(rows), rows) + eye * diagonal[..., None, :]
        return xp.matrix_transpose(xp.linalg.solve(covariance, xp.matrix_transpose(means)))
    # Woodbury's identity: n by n instead of p by p
    light = means / diagonal[..., None, :]
    eye = xp.eye(n, dtype=rows.dtype, device=device(rows))
    narrow = rows / diagonal[..., None, :]
    inner = eye + xp.matmul(narrow, xp.matrix_transpose(rows))
    part = xp.linalg.solve(inner, xp.matmul(narrow, xp.matrix_transpose(means)))
    return light - xp.matmul(xp.matrix_transpose(part), narrow)


def _scales(activity: Any) -> tuple[Any, Any]:
    """Return mean and inverse standard deviation (k, 1, unit) over the examples; 0 for units that do not vary."""
    xp = array_namespace(activity)
    sd = xp.sqrt(xp.mean(_deviations(activity) ** 2, axis=-2, keepdims=True))
    inverse = xp.where(sd > 0, 1 / xp.where(sd > 0, sd, xp.ones_like(sd)), xp.zeros_like(sd))
    return xp.mean(activity, axis=-2, keepdims=True), inverse


def _deviations(activity: Any) -> Any:
    """Return activity (k, n, unit) minus its mean over n, exactly 0 in units where the rest is only rounding."""
    xp = array_namespace(activity)
    centred = activity - xp.mean(activity, axis=-2, keepdims=True)
    rounding = ROUNDING * xp.finfo(activity.dtype).eps * xp.max(xp.abs(activity), axis=-2, keepdims=True)
    varies = xp.max(xp.abs(centred), axis=-2, keepdims=True) > rounding
    return xp.where(varies, centred, xp.zeros_like(centred))


def _unscaled(weights: Any, bias: Any, mean: Any, inverse: Any) -> Learned:
    """Return scores of activity as it is, from weights that are of standardised units."""
    xp = array_namespace(weights)
    weights = weights * inverse
    return Learned(weights, bias - xp.sum(weights * mean, axis=-1))


max_correlation = Classifier("max_correlation", _correlate, "stimulus")
"""The stimulus whose mean response (template) correlates best over units; units standardised over the examples.

References
----------
Meyers, E. M. (2013). The neural decoding toolbox. Frontiers in Neuroinformatics 7:8. doi:10.3389/fninf.2013.00008
"""

shrinkage_lda = Classifier("shrinkage_lda", _discriminate, "class")
"""Linear discriminant analysis of standardised units, each class's covariance shrunken by Ledoit and Wolf.

What scikit-learn's `LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")` does behind a `StandardScaler`, with
equal priors.

References
----------
Blankertz, B. et al. (2011). Single-trial analysis and classification of ERP components. NeuroImage 56, 814-825.
doi:10.1016/j.neuroimage.2010.06.048
"""
