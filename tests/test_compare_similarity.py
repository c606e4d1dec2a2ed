"""Similarity kernels: published values, invariances, what they must not be invariant to, numpy == torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from cortexres.compare import (
    METRICS,
    Similarity,
    linear_cka,
    linear_cka_biased,
    rsa,
    rsa_correlation,
    rsa_spearman,
)
from cortexres.compare.measures.cka import u_centred_gram
from cortexres.errors import ArgumentError

EUCLIDEAN = tuple(metric for metric in METRICS if metric is not rsa_correlation)

# rsatoolbox 0.3.2 (euclidean and correlation dissimilarities) and Song et al. 2012, for `golden_data`.
GOLDEN = {
    linear_cka: 0.7870678406938957,
    linear_cka_biased: 0.8167371443512601,
    rsa: 0.7834170359314963,
    rsa_spearman: 0.7940421689359476,
    rsa_correlation: 0.8122660199597375,
}


def golden_data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(20240517)
    z = rng.standard_normal((40, 6))
    x = z @ rng.standard_normal((6, 60)) + rng.standard_normal((40, 60))
    y = z @ rng.standard_normal((6, 25)) + rng.standard_normal((40, 25))
    return x, y


def test_every_metric_has_a_golden_value() -> None:
    assert set(GOLDEN) == set(METRICS)


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
def test_published_value(metric: Similarity) -> None:
    x, y = golden_data()
    assert metric(x, y) == pytest.approx(GOLDEN[metric], abs=1e-9)
    assert metric(y, x) == pytest.approx(GOLDEN[metric], abs=1e-9)


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
def test_torch_says_the_same_as_numpy(metric: Similarity) -> None:
    x, y = golden_data()
    assert metric(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(metric(x, y), abs=1e-12)
    single = metric(torch.from_numpy(x).float(), torch.from_numpy(y).float())
    assert single == pytest.approx(metric(x, y), abs=1e-4)


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
def test_batches_equal_single_calls(metric: Similarity) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 10, 5))
    one_by_one = np.stack([metric.relations(part) for part in x])
    np.testing.assert_allclose(metric.relations(x), one_by_one, atol=1e-12)


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
def test_itself_scaled_and_reordered_is_one(metric: Similarity) -> None:
    x, y = golden_data()
    order = np.random.default_rng(1).permutation(40)
    assert metric(x, 3.7 * x[:, ::-1]) == pytest.approx(1.0, abs=1e-12)
    assert metric(x[order], y[order]) == pytest.approx(metric(x, y), abs=1e-12)


@pytest.mark.parametrize("metric", EUCLIDEAN, ids=lambda m: m.name)
def test_rotation_and_translation_do_not_matter(metric: Similarity) -> None:
    x, y = golden_data()
    rng = np.random.default_rng(2)
    rotation = np.linalg.qr(rng.standard_normal((60, 60)))[0]
    assert metric(x @ rotation + 5.0, y) == pytest.approx(metric(x, y), abs=1e-12)


def test_correlation_distance_ignores_the_size_of_a_pattern() -> None:
    x, y = golden_data()
    sizes = np.random.default_rng(3).uniform(0.5, 2.0, (40, 1))
    assert rsa_correlation(sizes * x, y) == pytest.approx(rsa_correlation(x, y), abs=1e-12)
    assert abs(rsa(sizes * x, y) - rsa(x, y)) > 0.01


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
def test_an_invertible_map_and_another_pairing_do_matter(metric: Similarity) -> None:
    x, y = golden_data()
    rng = np.random.default_rng(4)
    stretched = x * np.geomspace(0.05, 20.0, 60)
    assert abs(metric(stretched, y) - metric(x, y)) > 0.05
    assert abs(metric(x[rng.permutation(40)], y) - metric(x, y)) > 0.2


def test_u_centred_gram_is_the_unbiased_hsic() -> None:
    x, y = golden_data()
    n = len(x)

    def song(k: np.ndarray, m: np.ndarray) -> float:
        k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
        cross = np.trace(k @ m) + k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 * (k @ m).sum() / (n - 2)
        return float(cross / (n * (n - 3)))

    product = np.vdot(u_centred_gram(x), u_centred_gram(y)) / (n * (n - 3))
    assert product == pytest.approx(song(x @ x.T, y @ y.T), rel=1e-10)


def test_unrelated_activity_is_zero_only_without_bias() -> None:
    rng = np.random.default_rng(5)
    pairs = [(rng.standard_normal((40, 2000)), rng.standard_normal((40, 2000))) for _ in range(20)]
    debiased = np.array([linear_cka(x, y) for x, y in pairs])
    assert abs(debiased.mean()) < 4 * debiased.std(ddof=1) / np.sqrt(20)
    assert np.abs(debiased).max() < 0.15
    assert min(linear_cka_biased(x, y) for x, y in pairs) > 0.9


def test_spearman_averages_ties() -> None:
    rng = np.random.default_rng(6)
    x, y = rng.integers(0, 3, (12, 2)).astype(float), rng.integers(0, 3, (12, 3)).astype(float)
    pairs = np.triu_indices(12, 1)
    distances = [np.round(((v[:, None] - v[None]) ** 2).sum(-1)[pairs], 9) for v in (x, y)]
    expected = stats.spearmanr(*distances).statistic
    assert rsa_spearman(x, y) == pytest.approx(expected, abs=1e-12)
    assert rsa_spearman(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(expected, abs=1e-12)
    assert rsa_spearman(np.array([[0.0], [2.0], [4.0]]), np.array([[0.0], [2.0], [4.0]])) == pytest.approx(
        1.0
    )


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
@pytest.mark.parametrize("value", [0.0, 0.1, 1e9])
def test_constant_activity_is_undefined_not_noise(metric: Similarity, value: float) -> None:
    x, _ = golden_data()
    constant = np.broadcast_to(value + np.linspace(0.0, value, 7), (40, 7))
    assert np.isnan(metric(constant, x))
    assert np.isnan(metric(torch.from_numpy(constant.copy()), torch.from_numpy(x)))


@pytest.mark.parametrize("metric", [rsa, rsa_spearman, linear_cka], ids=lambda m: m.name)
def test_stimuli_all_as_far_apart_are_undefined(metric: Similarity) -> None:
    x, _ = golden_data()
    assert np.isnan(metric(0.3 * np.eye(40), x))


def test_integers_are_taken_as_numbers() -> None:
    x, y = golden_data()
    whole = np.round(10 * x).astype(int)
    assert linear_cka(whole, y) == linear_cka(whole.astype(float), y)


def test_shapes_and_numbers_are_checked() -> None:
    x, y = golden_data()
    with pytest.raises(ArgumentError, match=r"linear_cka: got shapes \(40, 60\) and \(39, 25\)"):
        linear_cka(x, y[:-1])
    with pytest.raises(ArgumentError, match=r"expected \(n, p\) and \(n, q\)"):
        rsa(x[0], y[0])
    with pytest.raises(ArgumentError, match="got 3 stimuli, expected at least 4"):
        linear_cka(x[:3], y[:3])
