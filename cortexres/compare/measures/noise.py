"""The covariance that trials have about their mean, shrunk so that it can be inverted, and what whitens it."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from scipy.linalg import helmert

from cortexres.compare.measures.measure import as_float
from cortexres.compare.measures.relations import ROUNDING_OF_ACTIVITY
from cortexres.errors import ArgumentError

# Products of units held at a time (64 MiB).
CHUNK = 2**23


def trial_noise(trials: Any) -> Any:
    """Return noise (n * (trials - 1), time, p) of trials (n, trial, time, p): what they have besides their mean.

    Orthonormal contrasts of the trials of each stimulus, which are independent where the trials are; the residuals
    about the mean are not, and two trials would count as two samples of what is one.

    Raises
    ------
    ArgumentError
        If there is one trial.
    """
    xp = array_namespace(trials)
    trials = as_float(trials)
    n, repeats, times, units = trials.shape
    if repeats < 2:
        raise ArgumentError(
            f"got {repeats} trial, expected at least 2 to see the noise; use squared Euclidean dissimilarities"
        )
    contrasts = xp.asarray(helmert(repeats), dtype=trials.dtype, device=device(trials))
    noise = xp.matmul(contrasts, xp.reshape(trials, (n, repeats, times * units)))
    noise = xp.reshape(noise, (n * (repeats - 1), times, units))
    # A unit whose trials are all the same has no noise, and not that of rounding.
    size, scale = (xp.max(xp.abs(values), axis=(0, 1)) for values in (noise, xp.reshape(trials, (n, -1, units))))
    silent = size <= ROUNDING_OF_ACTIVITY * xp.finfo(trials.dtype).eps * scale
    return xp.where(silent, xp.zeros_like(noise), noise)


def shrunk_covariance(noise: Any) -> tuple[Any, float]:
    """Return the covariance (p, p) of noise (sample, time, p) pooled over time, and how much it was shrunk.

    The correlations, not the variances, are multiplied by 1 - shrinkage, which is what minimises the expected
    squared error of the correlations. Samples (trials) count as independent, times within one do not.

    Raises
    ------
    ArgumentError
        If there are fewer than two samples.

    References
    ----------
    Schäfer, J., Strimmer, K. (2005). A shrinkage approach to large-scale covariance matrix estimation. Statistical
    Applications in Genetics and Molecular Biology 4:32. doi:10.2202/1544-6115.1175
    """
    xp = array_namespace(noise)
    deviations, correlations, shrinkage = _shrunk(noise)
    return correlations * deviations[:, None] * xp.reshape(deviations, (1, -1)), shrinkage


def whitening(noise: Any) -> tuple[Any, float]:
    """Return a symmetric W (p, p) with W W' the inverse of `shrunk_covariance`, and the shrinkage.

    Units, and combinations of units, that have no noise get weight 0 instead of an infinite one.

    Raises
    ------
    ArgumentError
        If there are fewer than two samples.
    """
    xp = array_namespace(noise)
    deviations, correlations, shrinkage = _shrunk(noise)
    values, vectors = xp.linalg.eigh(correlations)
    tiny = values.shape[0] * xp.finfo(values.dtype).eps * xp.max(xp.abs(values))
    roots = xp.where(values > tiny, xp.where(values > tiny, values, xp.ones_like(values)) ** -0.5, 0.0 * values)
    half = xp.matmul(vectors * roots, xp.matrix_transpose(vectors))
    inverse = xp.where(deviations > 0, 1 / xp.where(deviations > 0, deviations, 1.0 + 0 * deviations), 0 * deviations)
    return inverse[:, None] * half, shrinkage


def _shrunk(noise: Any) -> tuple[Any, Any, float]:
    """Return standard deviations (p,), shrunk correlations (p, p), and the shrinkage."""
    xp = array_namespace(noise)
    samples, _, units = noise.shape
    if samples < 2:
        raise ArgumentError(f"got {samples} sample of the noise, expected at least 2; use more stimuli or trials")
    deviations = xp.sqrt(xp.mean(noise * noise, axis=(0, 1)))
    scaled = noise / xp.where(deviations > 0, deviations, xp.ones_like(deviations))
    products, squares = _product_sums(scaled)
    correlations = products / samples
    apart = 1 - xp.eye(units, dtype=noise.dtype, device=device(noise))
    variance = (squares - samples * correlations**2) / (samples * (samples - 1))
    whole = float(xp.sum(apart * correlations**2))
    shrinkage = float(np.clip(float(xp.sum(apart * variance)) / whole, 0.0, 1.0)) if whole > 0 else 1.0
    return deviations, correlations * (1 - shrinkage * apart), shrinkage


def _product_sums(noise: Any) -> tuple[Any, Any]:
    """Return the sums over samples of w and of w^2, (p, p) each, where w = z' z / time is a sample's covariance."""
    xp = array_namespace(noise)
    samples, times, units = noise.shape
    if times == 1:
        z = noise[:, 0, :]
        return xp.matmul(xp.matrix_transpose(z), z), xp.matmul(xp.matrix_transpose(z**2), z**2)
    total = xp.zeros((units, units), dtype=noise.dtype, device=device(noise))
    squares = xp.zeros_like(total)
    size = max(1, CHUNK // (units * units))
    for start in range(0, samples, size):
        z = noise[start : start + size, :, :]
        products = xp.matmul(xp.matrix_transpose(z), z) / times
        total = total + xp.sum(products, axis=0)
        squares = squares + xp.sum(products**2, axis=0)
    return total, squares
