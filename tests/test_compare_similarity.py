"""Similarities as cosines of relations: published values, known data, and what is corrected for what."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from cortexres.compare.measures.catalogue import METRICS
from cortexres.compare.measures.cka import linear_cka, linear_cka_biased, u_centred_gram
from cortexres.compare.measures.dissimilarities import one_minus_correlation, squared_euclidean
from cortexres.compare.measures.kendall_rsa import kendall_b, kendall_similarity, rsa_tau_a, tau_a, tau_b
from cortexres.compare.measures.kernel_cka import gaussian_cka, gaussian_gram, rbf_cka, rbf_cka_biased
from cortexres.compare.measures.minibatch_cka import minibatch_cka, minibatch_linear_cka
from cortexres.compare.measures.pair_comparisons import (
    cosine,
    pearson,
    rho_a,
    spearman,
    whitened_cosine,
    whitened_pearson,
)
from cortexres.compare.measures.relations import Similarity
from cortexres.compare.measures.rsa import representational_similarity, rsa, rsa_rho_a, rsa_spearman
from cortexres.compare.measures.sampled_units_cka import linear_cka_sampled
from cortexres.errors import ArgumentError

# Of rsatoolbox 0.3.2 and of formulas written out, on `golden_data`.
GOLDEN = json.loads((Path(__file__).parent / "golden-comparison.json").read_text())
COMPARISONS = {
    "corr": pearson,
    "cosine": cosine,
    "spearman": spearman,
    "rho-a": rho_a,
    "corr_cov": whitened_pearson,
    "cosine_cov": whitened_cosine,
}
DISTANCES = {"euclidean": squared_euclidean, "correlation": one_minus_correlation}


def golden_data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(20240517)
    z = rng.standard_normal((40, 6))
    x = z @ rng.standard_normal((6, 60)) + rng.standard_normal((40, 60))
    y = z @ rng.standard_normal((6, 25)) + rng.standard_normal((40, 25))
    return x, y


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("comparison", COMPARISONS)
def test_published_values_of_rsa(distance: str, comparison: str) -> None:
    x, y = golden_data()
    measure = representational_similarity(
        "any", dissimilarity=DISTANCES[distance], comparison=COMPARISONS[comparison]
    )
    expected = GOLDEN[f"rsatoolbox_{distance}_{comparison}"]
    assert measure(x, y) == pytest.approx(expected, abs=1e-9)
    matrices = [DISTANCES[distance](side[None]) for side in (x, y)]
    assert COMPARISONS[comparison](*matrices)[0, 0] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("distance", DISTANCES)
def test_published_values_of_kendall_and_of_distances(distance: str) -> None:
    x, y = golden_data()
    a, b = (DISTANCES[distance](side[None]) for side in (x, y))
    assert tau_a(a, b)[0, 0] == pytest.approx(GOLDEN[f"rsatoolbox_{distance}_tau-a"], abs=1e-9)
    assert tau_b(a, b)[0, 0] == pytest.approx(GOLDEN[f"rsatoolbox_{distance}_kendall"], abs=1e-9)
    per_unit = a[0, 0, 1:4] / (60 if distance == "euclidean" else 1)
    np.testing.assert_allclose(per_unit, GOLDEN[f"rsatoolbox_first3_{distance}"], rtol=1e-12)


def test_published_values_of_cka() -> None:
    x, y = golden_data()
    assert linear_cka(x, y) == pytest.approx(GOLDEN["linear_cka_debiased"], abs=1e-9)
    assert linear_cka_biased(x, y) == pytest.approx(GOLDEN["linear_cka_biased"], abs=1e-9)
    assert np.arccos(linear_cka_biased(x, y)) == pytest.approx(GOLDEN["netrep_LinearCKA_score"], abs=1e-9)


def test_whitened_cosine_of_squared_distances_is_biased_cka() -> None:
    rng = np.random.default_rng(1)
    measure = representational_similarity("any", comparison=whitened_cosine)
    for _ in range(5):
        x, y = rng.standard_normal((9, 30)), rng.standard_normal((9, 4))
        assert measure(x, y) == pytest.approx(linear_cka_biased(x, y), abs=1e-12)


def test_u_centred_gram_is_the_unbiased_hsic() -> None:
    x, y = golden_data()
    product = np.vdot(u_centred_gram(x), u_centred_gram(y)) / (40 * 37)
    assert product == pytest.approx(song(x @ x.T, y @ y.T), rel=1e-10)


def song(k: np.ndarray, m: np.ndarray) -> float:
    """Return HSIC_1 as Song et al. (2012) write it."""
    n = len(k)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    cross = np.trace(k @ m) + k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 * (k @ m).sum() / (n - 2)
    return float(cross / (n * (n - 3)))


def test_kernel_cka_is_hsic_of_gaussian_kernels() -> None:
    x, y = golden_data()

    def kernel(v: np.ndarray, width: float) -> np.ndarray:
        d = np.sqrt(((v[:, None] - v[None]) ** 2).sum(-1))
        return np.exp(-(d**2) / (2 * (width * np.median(d[np.triu_indices(40, 1)])) ** 2))

    h = np.eye(40) - 1 / 40
    for width in (0.3, 1.0, 4.0):
        k, m = kernel(x, width), kernel(y, width)
        expected = song(k, m) / np.sqrt(song(k, k) * song(m, m))
        assert gaussian_cka("any", width=width)(x, y) == pytest.approx(expected, abs=1e-10)
        k, m = h @ k @ h, h @ m @ h
        expected = np.vdot(k, m) / np.sqrt(np.vdot(k, k) * np.vdot(m, m))
        assert gaussian_cka("any", width=width, debiased=False)(x, y) == pytest.approx(expected, abs=1e-10)


def test_a_wide_kernel_is_linear_and_a_narrow_one_is_not() -> None:
    x, y = golden_data()
    assert gaussian_cka("wide", width=300.0)(x, y) == pytest.approx(linear_cka(x, y), abs=1e-4)
    circle = np.linspace(0, 4 * np.pi, 40, endpoint=False)[:, None]
    wound = np.concatenate([np.cos(circle), np.sin(circle), 0.3 * circle / np.pi], axis=1)
    assert gaussian_cka("narrow", width=0.3)(circle, wound) > linear_cka(circle, wound) + 0.2


def test_a_kernel_without_a_scale_is_undefined() -> None:
    x, _ = golden_data()
    spikes = np.zeros((40, 3))
    spikes[:5] = np.arange(15).reshape(5, 3)  # 595 of 780 pairs are the same pattern
    assert np.all(gaussian_gram(spikes, width=1.0) == 1)
    assert np.isnan(rbf_cka(spikes, x))
    assert np.isnan(rbf_cka_biased(spikes, x))
    with pytest.raises(ArgumentError, match="got width=0, expected one above 0"):
        gaussian_cka("none", width=0)


@pytest.mark.parametrize("metric", [linear_cka, rbf_cka], ids=lambda m: m.name)
def test_independent_activity_of_many_units_is_near_zero(metric: Similarity) -> None:
    rng = np.random.default_rng(5)
    values = [metric(*rng.standard_normal((2, 92, 10000))) for _ in range(3)]
    assert abs(np.mean(values)) < 0.02
    assert linear_cka_biased(*rng.standard_normal((2, 92, 10000))) > 0.98


def test_debiasing_holds_for_few_stimuli_too() -> None:
    rng = np.random.default_rng(5)
    pairs = rng.standard_normal((200, 2, 12, 300))
    for metric in (linear_cka, rbf_cka):
        values = np.array([metric(*pair) for pair in pairs])
        assert abs(values.mean()) < 4 * values.std(ddof=1) / np.sqrt(200)


def test_batches_sum_before_the_ratio() -> None:
    rng = np.random.default_rng(2)
    z = rng.standard_normal((2048, 6))
    x = z @ rng.standard_normal((6, 60)) + 1.5 * rng.standard_normal((2048, 60))
    y = z @ rng.standard_normal((6, 25)) + 1.5 * rng.standard_normal((2048, 25))
    whole = linear_cka(x, y)
    for batch in (8, 16, 64):
        measure = minibatch_linear_cka(batch=batch)
        assert measure(x, y) == pytest.approx(whole, abs=0.01)
        assert measure(x, x) == pytest.approx(1.0, abs=1e-12)
        mean = np.mean([linear_cka_biased(x[k : k + batch], y[k : k + batch]) for k in range(0, 2048, batch)])
        assert mean > whole + 0.01


def test_streamed_batches_are_means_of_hsic() -> None:
    rng = np.random.default_rng(2)
    parts = [(rng.standard_normal((1, n, 8)), rng.standard_normal((1, n, 5))) for n in (20, 30, 45)]
    grams = [[side[0] @ side[0].T for side in part] for part in parts]
    crossed, own, other = (sum(song(part[i], part[j]) for part in grams) for i, j in ((0, 1), (0, 0), (1, 1)))
    assert minibatch_cka(parts)[0, 0] == pytest.approx(crossed / np.sqrt(own * other), rel=1e-9)
    tensors = [tuple(map(torch.from_numpy, part)) for part in parts]
    assert float(minibatch_cka(tensors)[0, 0]) == pytest.approx(crossed / np.sqrt(own * other), rel=1e-9)
    x, y = parts[2][0][0], parts[2][1][0]
    assert minibatch_linear_cka(batch=23)(x, y) == pytest.approx(linear_cka(x, y), abs=1e-12)


def test_batches_are_refused_where_they_say_nothing() -> None:
    x, y = golden_data()
    with pytest.raises(ArgumentError, match="got no batches"):
        minibatch_cka([])
    with pytest.raises(ArgumentError, match="got a batch of 3 and 3 stimuli, expected the same number and at least 4"):
        minibatch_cka([(x[None, :3], y[None, :3])])
    with pytest.raises(ArgumentError, match="got a batch of 5 and 4 stimuli"):
        minibatch_cka([(x[None, :5], y[None, :4])])
    with pytest.raises(ArgumentError, match="got batch=3, expected at least 4"):
        minibatch_linear_cka(batch=3)


def test_correction_for_sampled_units_leaves_out_each_unit_with_itself() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((7, 4)), rng.standard_normal((7, 3))
    x[:, 1] += x[:, 0]
    x[:, 2] += x[:, 0]
    y[:, 1] += y[:, 0]
    y[:, 2] += y[:, 0]

    def inside(v: np.ndarray) -> float:
        p = v.shape[1]
        grams = [np.outer(v[:, k], v[:, k]) for k in range(p)]
        pairs = [song(grams[i], grams[j]) for i in range(p) for j in range(p) if i != j]
        return float(np.sum(pairs) / (p * (p - 1)))

    between = song(x @ x.T, y @ y.T) / 12
    expected = between / np.sqrt(inside(x) * inside(y))
    assert linear_cka_sampled(x, y) == pytest.approx(expected, rel=1e-9)
    assert np.isnan(linear_cka_sampled(x[:, :1], y))


def test_correction_for_sampled_units_is_flat_where_others_fall() -> None:
    rng = np.random.default_rng(4)
    shared, own = rng.standard_normal((80, 20)) * np.geomspace(1, 0.2, 20), 0.3 * rng.standard_normal((2, 80, 20))
    loads, noise = rng.standard_normal((2, 20, 4000)), 0.5 * rng.standard_normal((2, 80, 4000))
    x, y = ((shared + own[k]) @ loads[k] + noise[k] for k in range(2))
    whole = linear_cka(x, y)
    assert linear_cka_sampled(x, y) == pytest.approx(whole, abs=0.01)
    for units, fallen in ((30, 0.2), (120, 0.06)):
        few = [rng.choice(4000, (2, units), replace=False) for _ in range(100)]
        assert np.mean([linear_cka(x[:, i], y[:, j]) for i, j in few]) < whole - fallen
        assert np.mean([linear_cka_sampled(x[:, i], y[:, j]) for i, j in few]) == pytest.approx(whole, abs=0.04)
    unrelated = [linear_cka_sampled(own[0] @ loads[0], own[1][::-1] @ loads[1][:, order]) for order, _ in few[:10]]
    assert abs(np.mean(unrelated)) < 0.1


def ties() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(6)
    return rng.integers(0, 3, (12, 2)).astype(float), rng.integers(0, 3, (12, 3)).astype(float)


def tied_distances() -> list[np.ndarray]:
    pairs = np.triu_indices(12, 1)
    return [np.round(((v[:, None] - v[None]) ** 2).sum(-1)[pairs], 9) for v in ties()]


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_ties_count_as_each_coefficient_says(convert: object) -> None:
    x, y = (convert(side) for side in ties())
    a, b = tied_distances()
    signs = [np.sign(v[:, None] - v[None]) for v in (a, b)]
    m = len(a)
    assert rsa_spearman(x, y) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)
    assert rsa_tau_a(x, y) == pytest.approx((signs[0] * signs[1]).sum() / (m * (m - 1)), abs=1e-12)
    kendall = kendall_similarity("b", ties=kendall_b)
    assert kendall(x, y) == pytest.approx(stats.kendalltau(a, b).statistic, abs=1e-12)
    # With ties a matrix is not wholly like itself in the a-forms.
    assert rsa_tau_a(x, x) < 0.9
    assert rsa_rho_a(x, x) < 0.99
    assert kendall(x, x) == pytest.approx(1.0)


def test_rho_a_is_the_mean_over_random_breaking_of_ties() -> None:
    x, y = ties()
    a, b = tied_distances()
    rng = np.random.default_rng(7)
    jitter = 1e-3 * rng.random((2, 4000, len(a)))
    ranks = [(v + part).argsort(axis=1).argsort(axis=1) for v, part in ((a, jitter[0]), (b, jitter[1]))]
    broken = [np.corrcoef(p, q)[0, 1] for p, q in zip(*ranks, strict=True)]
    assert rsa_rho_a(x, y) == pytest.approx(np.mean(broken), abs=0.005)


def test_single_precision_does_not_make_ties() -> None:
    rng = np.random.default_rng(8)
    x, y = rng.standard_normal((2, 120, 50))
    for metric in (rsa_spearman, rsa_rho_a, rsa_tau_a):
        single = metric(x.astype(np.float32), y.astype(np.float32))
        assert single == pytest.approx(metric(x, y), abs=1e-5)


def test_kendall_of_many_pairs_is_scipys() -> None:
    rng = np.random.default_rng(9)
    a, b = (squared_euclidean(rng.standard_normal((k, 92, 20))) for k in (2, 3))
    pairs = np.triu_indices(92, 1)
    expected = [[stats.kendalltau(p[pairs], q[pairs]).statistic for q in b] for p in a]
    np.testing.assert_allclose(tau_a(a, b), expected, atol=1e-12)
    np.testing.assert_allclose(tau_b(torch.from_numpy(a), torch.from_numpy(b)), expected, atol=1e-12)


def test_batches_of_relations_equal_single_calls() -> None:
    x = np.random.default_rng(0).standard_normal((3, 10, 5))
    for metric in METRICS:
        if isinstance(metric, Similarity):
            one_by_one = np.stack([metric.relations(part) for part in x])
            np.testing.assert_allclose(metric.relations(x), one_by_one, atol=1e-12)


@pytest.mark.parametrize("metric", [rsa, rsa_spearman, rsa_rho_a, rsa_tau_a, linear_cka], ids=lambda m: m.name)
def test_stimuli_all_as_far_apart_are_undefined(metric: Similarity) -> None:
    x, _ = golden_data()
    assert np.isnan(metric(0.3 * np.eye(40), x))
