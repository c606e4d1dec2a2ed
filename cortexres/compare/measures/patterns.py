"""Patterns up to a rotation of the units, and bases of what they span: what shapes and canonical correlations need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from array_api_compat import array_namespace

from cortexres.compare.measures.relations import ROUNDING_OF_ACTIVITY, centre_stimuli

# Products of patterns held at a time, as a number of values (64 MiB in double precision).
CHUNK = 2**23


class Components(NamedTuple):
    """Principal components of activity (k, n, p) over n stimuli, in number r = min(n, p)."""

    vectors: Any
    """(k, n, r), orthonormal; 0 beyond the rank."""
    sizes: Any
    """(k, r) singular values; 0 beyond the rank."""


def centred_patterns(activity: Any) -> Any:
    """Return activity (k, n, p) minus its mean over stimuli; 0 throughout where a value is not finite.

    Patterns of 0 have no size and no directions, so that every measure of them is NaN, as it has to be, and no
    decomposition meets a NaN.
    """
    xp = array_namespace(activity)
    finite = xp.all(xp.isfinite(activity), axis=(-2, -1), keepdims=True)
    return centre_stimuli(xp.where(finite, activity, xp.zeros_like(activity)))


def reduced_patterns(activity: Any) -> Any:
    """Return centred patterns (k, n, min(n, p)) that differ from the activity's (k, n, p) by a rotation only.

    With fewer stimuli than units the patterns span no more directions than there are stimuli, so that what follows
    is a problem of n x n instead of n x p.
    """
    xp = array_namespace(activity)
    patterns = centred_patterns(activity)
    n, p = patterns.shape[-2:]
    if p <= n:
        return patterns
    triangle = xp.linalg.qr(xp.matrix_transpose(patterns), mode="reduced")[1]
    return xp.matrix_transpose(triangle)


def principal_components(activity: Any) -> Components:
    """Return the principal components of activity (k, n, p); those that are rounding only are 0.

    Rounding is what numpy's rank counts as none, or what is left of the largest value once the mean is taken off.
    """
    xp = array_namespace(activity)
    patterns = reduced_patterns(activity)
    vectors, sizes, _ = xp.linalg.svd(patterns, full_matrices=False)
    n, p = activity.shape[-2:]
    eps = xp.finfo(patterns.dtype).eps
    largest = xp.max(sizes, axis=-1, keepdims=True)
    values = xp.where(xp.isfinite(activity), xp.abs(activity), xp.zeros_like(activity))
    scale = n**0.5 * xp.max(values, axis=(-2, -1))[:, None]
    real = (sizes > max(n, p) * eps * largest) & (sizes > ROUNDING_OF_ACTIVITY * eps * scale)
    zero = xp.zeros_like(sizes)
    return Components(xp.where(real[:, None, :], vectors, xp.zeros_like(vectors)), xp.where(real, sizes, zero))


def of_pairs(a: Any, b: Any, score: Callable[[Any, Any], Any]) -> Any:
    """Return scores (k, l) of each of k patterns with each of l others.

    Parameters
    ----------
    a, b : array
        (k, n, r) and (l, n, s).
    score : callable
        Maps patterns (n, r) and (m, n, s) to scores (m,).
    """
    xp = array_namespace(a, b)
    step = max(CHUNK // max(a.shape[-1] * b.shape[-1], 1), 1)
    rows = [
        xp.concat([score(a[i, ...], b[j : j + step, ...]) for j in range(0, b.shape[0], step)])
        for i in range(a.shape[0])
    ]
    return xp.stack(rows)


def nuclear_norms(pattern: Any, others: Any) -> Any:
    """Return the sums (m,) of the singular values of X' Y of patterns X (n, r) and Y (m, n, s)."""
    xp = array_namespace(pattern, others)
    return xp.sum(xp.linalg.svdvals(xp.matmul(xp.matrix_transpose(pattern), others)), axis=-1)
