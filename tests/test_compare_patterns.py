"""Canonical correlations and shape metrics: published values, axioms, what they may and may not be blind to."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm, subspace_angles
from scipy.spatial import procrustes

from cortexres.compare import linear_cka_biased
from cortexres.compare.measures.cca import canonical_correlations, mean_cca2, pwcca, svcca
from cortexres.compare.measures.measure import Measure
from cortexres.compare.measures.patterns import reduced_patterns
from cortexres.compare.measures.shape_metrics import bures, procrustes_angle, procrustes_distance, shape_metric
from cortexres.errors import ArgumentError

SVCCA = [0.9906262763169051, 0.9791395420911134, 0.9772284388266397, 0.9658106481119071, 0.6124529377424333]
# netrep 0.0.2 (LinearMetric), and the singular values of the first five principal components' product.
GOLDEN = {
    procrustes_angle: 0.43700430232431925,
    procrustes_distance: 63.03389669427071,
    bures: np.cos(0.43700430232431925),
    shape_metric(1.0): 0.43700430232431925,
    shape_metric(0.5): 0.4391732743347241,
    svcca(5): np.mean(SVCCA),
}
METRICS = (procrustes_angle, procrustes_distance, shape_metric(0.0), shape_metric(0.5), shape_metric(0.7))
LINEAR = ("mean_cca2", "shape_angular_0")  # blind to any invertible map of the units
TURNED = (*METRICS, bures, svcca(5), mean_cca2(), mean_cca2(ridge=0.1))  # blind to rotations of the units


def golden_data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(20240517)
    z = rng.standard_normal((40, 6))
    x = z @ rng.standard_normal((6, 60)) + rng.standard_normal((40, 60))
    y = z @ rng.standard_normal((6, 25)) + rng.standard_normal((40, 25))
    return x, y


def activities(n: int = 30, sizes: tuple[int, int] = (6, 8), seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return two activities of n stimuli that share part of their patterns; both with far fewer units than stimuli."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n, 4))
    first, second = (2 * shared @ rng.standard_normal((4, p)) + rng.standard_normal((n, p)) for p in sizes)
    return first + 3.0, second


def rotation(p: int, seed: int = 9) -> np.ndarray:
    turned: np.ndarray = np.linalg.qr(np.random.default_rng(seed).standard_normal((p, p)))[0]
    return turned


@pytest.mark.parametrize("metric", GOLDEN, ids=lambda m: m.name)
def test_published_value(metric: Measure) -> None:
    x, y = golden_data()
    assert metric(x, y) == pytest.approx(GOLDEN[metric], abs=1e-9)
    assert metric(y, x) == pytest.approx(GOLDEN[metric], abs=1e-9)


def test_published_euclidean_distance_of_half_whitened_patterns() -> None:
    """netrep pads the smaller side with units and whitens those too, each to a variance of (1 - alpha)^2."""
    x, y = golden_data()
    metric = shape_metric(0.5, distance="euclidean")
    patterns = [metric.prepared(side[None])[0] for side in (x, y)]
    for k, (side, patterns_of_side) in enumerate(zip((x, y), patterns, strict=True)):
        sizes = np.linalg.svd(side - side.mean(axis=0), compute_uv=False)
        sizes = sizes[sizes > 1e-9]
        variance = np.sum((0.5 * sizes + 0.5) ** 2)
        padded = np.full(60 - len(sizes), np.sqrt(1e-7))
        patterns[k] = patterns_of_side * np.sqrt(variance / (variance + np.sum((0.5 * padded + 0.5) ** 2)))
    assert metric.score(patterns[0][None], patterns[1][None])[0, 0] == pytest.approx(63.22567930820493, abs=1e-6)


def test_correlations_are_those_published_and_the_cosines_of_the_angles_between_subspaces() -> None:
    x, y = golden_data()
    np.testing.assert_allclose(canonical_correlations(x, y, components=5)["correlation"], SVCCA, atol=1e-9)
    x, y = activities()
    angles = subspace_angles(x - x.mean(axis=0), y - y.mean(axis=0))
    report = canonical_correlations(x, y)
    np.testing.assert_allclose(report["correlation"], np.sort(np.cos(angles))[::-1], atol=1e-12)
    assert float(report["mean_cca2"]) == pytest.approx(mean_cca2()(x, y), abs=1e-12)
    assert float(report["mean_cca2"]) == pytest.approx(np.mean(np.cos(angles) ** 2), abs=1e-12)
    assert report.attrs["ranks"] == [6, 8]
    assert float(report["stimuli_per_unit"]) == pytest.approx(30 / 8)


def test_correlations_of_two_shared_directions_are_known() -> None:
    """x = shared direction + own: the correlation is the share of variance, and 0 for the others."""
    basis = rotation(20)
    basis = np.linalg.qr(np.column_stack([np.ones(20), basis[:, :8]]))[0][:, 1:]
    x = np.column_stack([basis[:, 0], basis[:, 1]])
    y = np.column_stack([0.6 * basis[:, 0] + 0.8 * basis[:, 2], 0.28 * basis[:, 1] + 0.96 * basis[:, 3]])
    y = y @ np.array([[2.0, 1.0], [-1.0, 5.0]])
    np.testing.assert_allclose(canonical_correlations(x, y)["correlation"], [0.6, 0.28], atol=1e-12)
    assert mean_cca2()(x, y) == pytest.approx((0.36 + 0.0784) / 2, abs=1e-12)
    assert shape_metric(0.0)(x, y) == pytest.approx(np.arccos(0.44), abs=1e-12)
    assert pwcca(x, y) == pytest.approx(0.44, abs=1e-12)  # both directions carry as much of x
    assert pwcca(x * [3.0, 1.0], y) == pytest.approx(0.75 * 0.6 + 0.25 * 0.28, abs=1e-12)


def test_pwcca_gives_no_weight_to_what_has_no_partner() -> None:
    basis = np.linalg.qr(np.column_stack([np.ones(20), rotation(20)[:, :5]]))[0][:, 1:]
    x = basis[:, :3] * [1.0, 2.0, 50.0]
    y = np.column_stack([0.6 * basis[:, 0] + 0.8 * basis[:, 3], 0.28 * basis[:, 1] + 0.96 * basis[:, 4]])
    y = np.column_stack([y, y.sum(axis=1)])  # three units, two directions
    assert pwcca(x, y) == pytest.approx((0.6 + 2 * 0.28) / 3, abs=1e-12)


def test_pwcca_weighs_by_the_first_side() -> None:
    x, y = activities()
    assert abs(pwcca(x, y) - pwcca(y, x)) > 1e-3
    assert pwcca(x, y @ np.diag(np.geomspace(0.01, 100, 8))) == pytest.approx(pwcca(x, y), abs=1e-10)


def test_bures_is_the_fidelity_of_grams_and_scipy_has_the_same_procrustes() -> None:
    x, y = activities()
    grams = [(side - side.mean(axis=0)) @ (side - side.mean(axis=0)).T for side in (x, y)]
    root = np.real(sqrtm(grams[0] + 1e-12 * np.eye(30)))
    fidelity = np.trace(np.real(sqrtm(root @ grams[1] @ root + 1e-12 * np.eye(30))))
    assert bures(x, y) == pytest.approx(fidelity / np.sqrt(np.trace(grams[0]) * np.trace(grams[1])), abs=1e-5)
    disparity = procrustes(np.pad(x, ((0, 0), (0, 2))), y)[2]
    assert bures(x, y) ** 2 == pytest.approx(1 - disparity, abs=1e-10)
    assert procrustes_angle(x, y) == pytest.approx(np.arccos(bures(x, y)), abs=1e-12)


@pytest.mark.parametrize("metric", TURNED, ids=lambda m: m.name)
def test_rotation_and_translation_do_not_matter_and_a_stretch_or_pairing_does(metric: Measure) -> None:
    x, y = activities()
    assert metric(x @ rotation(6) + 5.0, y) == pytest.approx(metric(x, y), abs=1e-10)
    wide = np.hstack([x, np.zeros((30, 40))]) @ rotation(46)  # more units than stimuli, the same patterns
    assert metric(wide, y) == pytest.approx(metric(x, y), abs=1e-9)
    stretched = x @ (rotation(6) * np.geomspace(0.03, 30.0, 6))
    if metric.name in LINEAR:
        assert metric(stretched, y) == pytest.approx(metric(x, y), abs=1e-9)
    else:
        assert abs(metric(stretched, y) - metric(x, y)) > 1e-3
    assert abs(metric(x[np.random.default_rng(4).permutation(30)], y) - metric(x, y)) > 0.05


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
def test_triangle_inequality(metric: Measure) -> None:
    rng = np.random.default_rng(6)
    stack = rng.standard_normal((12, 9, 4)) + rng.standard_normal((9, 4))
    distance = metric.scores(metric.prepared(stack), metric.prepared(stack))
    detours = distance[:, :, None] + distance[None, :, :]
    assert (distance[:, None, :] <= detours + 1e-9).all()
    assert (distance[~np.eye(12, dtype=bool)] > 0.01).all()
    np.testing.assert_allclose(np.diag(distance), 0.0, atol=1e-9)


def test_with_fewer_stimuli_than_units_any_linear_map_fits_everything() -> None:
    rng = np.random.default_rng(7)
    x, y = rng.standard_normal((10, 40)), rng.standard_normal((10, 5))
    assert np.isnan(mean_cca2()(x, y))
    assert np.isnan(pwcca(x, y))
    assert np.isnan(shape_metric(0.0)(x, y))  # else sqrt(5 / 9), the cosine that any two of these ranks have
    report = canonical_correlations(x, y)
    assert np.isnan(report["correlation"]).all()
    assert "rank 9 of 10 stimuli" in report["mean_cca2"].attrs["undefined"]
    assert 0 < mean_cca2(ridge=0.5)(x, y) < 1
    assert 0 < svcca(3)(x, y) < 1
    assert 0 < procrustes_angle(x, y) < np.pi / 2


def test_chance_of_mean_cca2_is_what_unrelated_activity_scores() -> None:
    rng = np.random.default_rng(8)
    a, b = rng.standard_normal((60, 25, 8)), rng.standard_normal((60, 25, 5))
    metric = mean_cca2()
    values = np.diag(metric.scores(metric.prepared(a), metric.prepared(b)))
    chance = float(canonical_correlations(a[0], b[0])["chance"])
    assert chance == pytest.approx(8 / 24)
    assert abs(values.mean() - chance) < 4 * values.std(ddof=1) / np.sqrt(60)


def test_reduction_keeps_the_gram_matrix() -> None:
    x = np.random.default_rng(2).standard_normal((2, 7, 90)) + 4.0
    small = reduced_patterns(x)
    assert small.shape == (2, 7, 7)
    centred = x - x.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(small @ small.swapaxes(1, 2), centred @ centred.swapaxes(1, 2), atol=1e-10)


def test_ridge_lowers_and_projection_cosine_is_the_limit() -> None:
    x, y = activities()
    values = [mean_cca2(ridge=ridge)(x, y) for ridge in (1e-12, 0.01, 0.1, 1.0)]
    assert values[0] == pytest.approx(mean_cca2()(x, y), abs=1e-9)
    assert (np.diff(values) < 0).all()
    white = [np.linalg.svd(side - side.mean(axis=0), full_matrices=False)[0] for side in (x, y)]
    expected = linear_cka_biased(white[0] * 1.0, white[1] * 1.0) * np.sqrt(6 * 8) / 6
    assert mean_cca2()(x, y) == pytest.approx(expected, abs=1e-12)


def test_options_are_checked() -> None:
    x, y = activities()
    with pytest.raises(ArgumentError, match="got components=0, expected 1 or more"):
        svcca(0)
    with pytest.raises(ArgumentError, match="svcca_5: got 6 stimuli, expected at least 7"):
        svcca(5)(x[:6], y[:6])
    with pytest.raises(ArgumentError, match="got ridge=-1, expected 0 or more"):
        mean_cca2(ridge=-1)
    with pytest.raises(ArgumentError, match=r"got alpha=1\.5, expected 0"):
        shape_metric(1.5)
    with pytest.raises(ArgumentError, match="got distance='cosine'"):
        shape_metric(0.5, distance="cosine")
    with pytest.raises(ArgumentError, match=r"got shapes \(30, 6\) and \(29, 8\)"):
        canonical_correlations(x, y[:-1])
