"""Shapes with their trial noise: clouds of trials, one per stimulus, up to one rotation of the units."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from array_api_compat import array_namespace, device

from cortexres.compare.choices import check_splits, seeded
from cortexres.compare.pairing import float_values
from cortexres.errors import ArgumentError
from cortexres.provenance import provenance
from cortexres.schema import check_brain, same_stimuli

STEPS = 300
TOLERANCE = 1e-6


class Clouds(NamedTuple):
    """Means and covariances of trials, one per stimulus, the covariances as products of their roots."""

    means: Any
    """(n, p)"""
    roots: Any
    """(n, m, p): the covariances are S' S, whatever the number m of rows; m trials need no more than m."""


def stochastic_shape(
    brain: xr.Dataset,
    other: xr.Dataset,
    *,
    alpha: float = 1.0,
    starts: int = 4,
    splits: int = 4,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return the stochastic shape distance of two brain Datasets in each time bin, noise and its shape included.

    At each time the trials of a stimulus are taken as a Gaussian. The squared distance is the mean over stimuli of
    the squared Wasserstein distance, after the one rotation of the units, and the shift, that make it least. The
    side with fewer units is given silent ones.

    Two samples of the same activity are not at distance 0. ``stochastic_shape_floor`` is the distance of two halves
    of the trials of `brain`, averaged over splits: it has half the trials, so it lies above what the same activity
    would score with all of them. Each step of a descent decomposes a matrix of units x units: with hundreds of units
    and many bins, select fewer of either.

    Parameters
    ----------
    brain, other : xarray.Dataset
        Brain Datasets with the same stimuli and bins, and 2 or more trials (4 or more of the first for the floor).
        Units may differ in number, but not in kind: sizes count.
    alpha : float
        0 to 2: weighs the squared distance of the means by alpha and that of the covariances by 2 - alpha. 1 is
        Wasserstein's distance, 2 the means alone, 0 the noise alone.
    starts : int
        The best of so many descents counts: the first from the rotation that suits the means, the others from
        random ones.
    splits : int
        Number of random splits for the floor.
    rng : int or numpy.random.Generator, optional
        Draws the starts and the splits.

    Returns
    -------
    xarray.Dataset
        ``stochastic_shape``, ``stochastic_shape_floor`` (time), in the unit of the responses. The floor is NaN
        where there are fewer than 4 trials.

    Raises
    ------
    SchemaError
        If a Dataset does not keep the schema, or the stimuli differ.
    ArgumentError
        If the bins differ, there are too few trials, or an option is out of range.

    References
    ----------
    Duong, L. R. et al. (2023). Representational dissimilarity metric spaces for stochastic neural networks. ICLR.
    arXiv:2211.11665
    """
    check_brain(brain)
    check_brain(other)
    same_stimuli(brain, other)
    _check_trials(brain, other)
    _check_options(alpha, starts)
    check_splits(splits)
    seed, rng = seeded(rng)
    a, b = float_values(brain["response"]), float_values(other["response"])
    values = _over_time(a, b, alpha, starts, rng)
    floor = np.full(len(values), np.nan)
    if a.shape[1] >= 4:
        floors = [_over_time(*pair, alpha, starts, rng) for pair in _halved(a, splits, rng)]
        floor = np.mean(floors, axis=0)
    units = {"units": str(brain["response"].attrs["units"])}
    few = "" if a.shape[1] >= 4 else "everywhere: two halves need 4 or more trials"
    facts = {"alpha": alpha, "starts": starts, "splits": splits}
    return xr.Dataset(
        {
            "stochastic_shape": ("time", values, units | {"long_name": "distance of clouds of trials"}),
            "stochastic_shape_floor": (
                "time",
                floor,
                units | {"long_name": "distance of two halves of the brain's trials", "undefined": few},
            ),
        },
        coords={"time": brain["time"].variable},
        attrs={
            "measure": "stochastic_shape",
            "orientation": "distance",
            "n_stimuli": a.shape[0],
            "n_trials": a.shape[1],
            **facts,
            "cortexres_provenance": provenance(seed=seed, **facts),
        },
    )


def gaussian_shape_distance(
    a: tuple[Any, Any],
    b: tuple[Any, Any],
    *,
    alpha: float = 1.0,
    starts: int = 4,
    rng: int | np.random.Generator | None = None,
) -> float:
    """Return the distance of two sets of Gaussians after the one rotation that makes it least.

    The rotation Q and one rotation R per stimulus are found in turn, each the best given the other, which never
    raises ``alpha |m - m' Q|^2 + (2 - alpha) |S - R S' Q|^2`` summed over stimuli, S the roots of the covariances.
    Its least value over the R is Bures' squared distance of the covariances. There are local minima,
    and descents end early: what is found is an upper bound, and more starts may lower it by some per mille.

    Parameters
    ----------
    a, b : tuple of array
        Means (n, p) and covariances (n, p, p); of n stimuli and p units, as many on both sides.
    alpha, starts, rng
        As in `stochastic_shape`. The means are taken as they are, not centred.

    Raises
    ------
    ArgumentError
        If shapes do not match or an option is out of range.
    """
    _check_options(alpha, starts)
    shapes = [tuple(array.shape) for side in (a, b) for array in side]
    n, p = shapes[0] if len(shapes[0]) == 2 else (0, 0)
    if shapes != [(n, p), (n, p, p)] * 2:
        raise ArgumentError(
            f"got shapes {shapes[:2]} and {shapes[2:]}, expected means (n, p) and covariances (n, p, p), the same on"
            " both sides; add silent units to the smaller side"
        )
    return _least(Clouds(a[0], _roots(a[1])), Clouds(b[0], _roots(b[1])), alpha, starts, rng)


def _least(a: Clouds, b: Clouds, alpha: float, starts: int, rng: int | np.random.Generator | None) -> float:
    """Return the distance of clouds of as many units and rows: the best of the descents from `starts` rotations."""
    left, right = (Clouds(alpha**0.5 * side.means, (2 - alpha) ** 0.5 * side.roots) for side in (a, b))
    xp, where = array_namespace(left.means), device(left.means)
    n, p = left.means.shape
    generator = np.random.default_rng(rng)
    identity = xp.eye(p, dtype=left.means.dtype, device=where)
    best = _descend(left, right, _rotation(right.means, left.means) if alpha > 0 else identity)
    for _ in range(starts - 1):
        turn = np.linalg.qr(generator.standard_normal((p, p)))[0]
        best = min(best, _descend(left, right, xp.asarray(turn, dtype=left.means.dtype, device=where)))
    return float((best / n) ** 0.5)


def _check_options(alpha: float, starts: int) -> None:
    if not 0 <= alpha <= 2 or starts < 1:
        raise ArgumentError(f"got alpha={alpha} and starts={starts}, expected alpha in 0..2 and at least 1 start")


def _check_trials(brain: xr.Dataset, other: xr.Dataset) -> None:
    if not np.array_equal(brain["time"].values, other["time"].values):
        raise ArgumentError(
            f"got {brain.sizes['time']} and {other.sizes['time']} time bins that are not the same, expected the same"
            " centres; select the common ones"
        )
    fewest = min(brain.sizes["trial"], other.sizes["trial"])
    if fewest < 2:
        raise ArgumentError(f"got {fewest} trial, expected 2 or more on both sides: one trial has no noise to compare")


def _halved(trials: np.ndarray, splits: int, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return pairs of random halves of trials (stimulus, trial, time, unit)."""
    count = trials.shape[1] // 2
    orders = [rng.permutation(trials.shape[1]) for _ in range(splits)]
    return [(trials[:, order[:count]], trials[:, order[count : 2 * count]]) for order in orders]


def _over_time(a: np.ndarray, b: np.ndarray, alpha: float, starts: int, rng: np.random.Generator) -> np.ndarray:
    """Return distances (time,) of trials (stimulus, trial, time, unit)."""
    pairs = [_same_size(_clouds(a[:, :, t]), _clouds(b[:, :, t])) for t in range(a.shape[2])]
    return np.array([_least(*pair, alpha, starts, rng) for pair in pairs])


def _clouds(trials: np.ndarray) -> Clouds:
    """Return the clouds of trials (n, trial, p), means centred over stimuli, in the directions that they span."""
    n, count, p = trials.shape
    flat = (trials - trials.mean(axis=(0, 1))).reshape(n * count, p)
    if p > n * count:
        flat = np.linalg.qr(flat.T)[1].T
    points = flat.reshape(n, count, -1)
    means = points.mean(axis=1)
    off = (points - means[:, None]) / (count - 1) ** 0.5
    return Clouds(means, np.linalg.qr(off)[1] if count > off.shape[2] else off)


def _same_size(a: Clouds, b: Clouds) -> tuple[Clouds, Clouds]:
    """Return both with silent units, and empty rows of roots, added to the side that has fewer."""
    units = max(a.means.shape[1], b.means.shape[1])
    rows = max(a.roots.shape[1], b.roots.shape[1])
    first, second = (
        Clouds(
            np.pad(side.means, ((0, 0), (0, units - side.means.shape[1]))),
            np.pad(side.roots, ((0, 0), (0, rows - side.roots.shape[1]), (0, units - side.means.shape[1]))),
        )
        for side in (a, b)
    )
    return first, second


def _roots(covariances: Any) -> Any:
    """Return symmetric roots (n, p, p); eigenvalues below 0 are rounding of covariances and count as 0."""
    xp = array_namespace(covariances)
    values, vectors = xp.linalg.eigh(covariances)
    sizes = xp.sqrt(xp.where(values > 0, values, xp.zeros_like(values)))
    return xp.matmul(vectors * sizes[:, None, :], xp.matrix_transpose(vectors))


def _rotation(source: Any, target: Any) -> Any:
    """Return the orthogonal matrices Q (..., p, p) for which source Q comes nearest to target, (..., n, p)."""
    xp = array_namespace(source, target)
    left, _, right = xp.linalg.svd(xp.matmul(xp.matrix_transpose(source), target), full_matrices=False)
    return xp.matmul(left, right)


def _descend(a: Clouds, b: Clouds, rotation: Any) -> float:
    """Return the least squared distance, summed over stimuli, that is reached from a rotation."""
    xp = array_namespace(a.means, b.means)
    p = a.means.shape[1]
    target = xp.concat([a.means, xp.reshape(a.roots, (-1, p))])
    loss = float("inf")
    scale = float(xp.sum(target * target))
    for _ in range(STEPS):
        turned = xp.matmul(b.roots, rotation)
        # A root times any rotation from the left is a root of the same covariance: take the one that fits best.
        own = _rotation(xp.matrix_transpose(turned), xp.matrix_transpose(a.roots))
        fitted = xp.matmul(xp.matrix_transpose(own), b.roots)
        source = xp.concat([b.means, xp.reshape(fitted, (-1, p))])
        rotation = _rotation(source, target)
        residual = target - xp.matmul(source, rotation)
        before, loss = loss, float(xp.sum(residual * residual))
        if before - loss <= TOLERANCE * max(loss, TOLERANCE * scale):
            break
    return loss
