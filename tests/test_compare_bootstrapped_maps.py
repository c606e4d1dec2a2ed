"""Bootstrapped maps are the measure of the drawn pairs of stimuli, counted one by one."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from scipy import stats

from cortexres.compare import METRICS, linear_cka, linear_cka_biased, rsa, rsa_correlation, rsa_spearman
from cortexres.compare.inference.bootstrapped_maps import bootstrap_weights, bootstrapped, bootstrapped_relations
from cortexres.compare.inference.weighted_pairs import centring_of
from cortexres.compare.measures.measure import Measure
from cortexres.compare.measures.relations import Similarity, centre_stimuli, off_diagonal
from cortexres.compare.measures.rsa import one_minus_correlation, rsa_whitened, squared_euclidean
from cortexres.compare.measures.sampled_units_cka import linear_cka_sampled
from cortexres.errors import ArgumentError


def hollow_gram(activity):  # noqa: ANN001, ANN201
    """Return Gram matrices without their diagonals: relations from which nothing was taken."""
    x = centre_stimuli(activity)
    return off_diagonal(x @ x.swapaxes(-1, -2))


UNCENTRED = Similarity("uncentred", hollow_gram)
PATTERNS = Measure("frobenius", lambda x: x - x.mean(1, keepdims=True), lambda a, b: np.linalg.norm(
    a[:, None].swapaxes(-1, -2) @ b[None], axis=(-2, -1)
))


def drawn_pairs(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the sample, and the pairs (i < j places in it) that are of two different stimuli."""
    sample = np.repeat(np.arange(counts.size), counts)
    i, j = np.triu_indices(sample.size, 1)
    keep = sample[i] != sample[j]
    return sample, i[keep], j[keep]


def by_counting(measure, x: np.ndarray, y: np.ndarray, counts: np.ndarray) -> float:  # noqa: ANN001
    """Return the measure of the sample, pair by pair, written without weights."""
    sample, i, j = drawn_pairs(counts)
    if measure in (rsa, rsa_spearman, rsa_correlation):
        distances = one_minus_correlation if measure is rsa_correlation else squared_euclidean
        a, b = (distances(z)[sample[i], sample[j]] for z in (x, y))
        return (stats.spearmanr if measure is rsa_spearman else stats.pearsonr)(a, b).statistic
    a, b = (hollow_gram(z)[sample[i], sample[j]] for z in (x, y))
    if measure is linear_cka:  # what is left of the relations after a value per member of the sample
        design = np.zeros((i.size, sample.size))
        design[np.arange(i.size), i] = design[np.arange(i.size), j] = 1
        a, b = (v - design @ np.linalg.lstsq(design, v)[0] for v in (a, b))
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("measure", [linear_cka, rsa, rsa_spearman, rsa_correlation, UNCENTRED], ids=lambda m: m.name)
def test_each_draw_is_the_measure_of_the_drawn_pairs(measure) -> None:  # noqa: ANN001
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3, 11, 4)), rng.standard_normal((2, 11, 5))
    x[:, 3] = x[:, 4]  # ties
    weights = bootstrap_weights(11, draws=12, rng=rng)
    maps = bootstrapped(measure, x, y, weights)
    assert maps.shape == (12, 3, 2)
    for k, counts in enumerate(weights):
        for t in range(3):
            assert maps[k, t, 1] == pytest.approx(by_counting(measure, x[t], y[1], counts), abs=1e-12)


@pytest.mark.parametrize("measure", METRICS, ids=lambda m: m.name)
def test_every_stimulus_once_is_the_measure(measure) -> None:  # noqa: ANN001
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((3, 11, 4)), rng.standard_normal((2, 11, 5))
    maps = bootstrapped(measure, x, y, np.ones((1, 11), dtype=int))
    np.testing.assert_allclose(maps[0], measure.scores(measure.prepared(x), measure.prepared(y)), atol=1e-12)


@pytest.mark.parametrize("measure", [linear_cka_biased, rsa_whitened, PATTERNS], ids=lambda m: m.name)
def test_what_has_no_pairs_takes_the_repeated_stimuli(measure) -> None:  # noqa: ANN001
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((3, 11, 4)), rng.standard_normal((2, 11, 5))
    weights = bootstrap_weights(11, draws=5, rng=rng)
    maps = bootstrapped(measure, x, y, weights)
    for k, counts in enumerate(weights):
        sample = np.repeat(np.arange(11), counts)
        assert maps[k, 2, 0] == pytest.approx(measure(x[2][sample], y[0][sample]), abs=1e-12)


def test_relations_of_a_kind_unknown_here_are_resampled_by_the_measure() -> None:
    uncentred = Similarity("gram", lambda x: x @ x.swapaxes(-1, -2))
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((2, 8, 4)), rng.standard_normal((2, 8, 5))
    weights = bootstrap_weights(8, draws=3, rng=rng)
    assert bootstrapped_relations(uncentred, uncentred.prepared(x), uncentred.prepared(y), weights) is None
    sample = np.repeat(np.arange(8), weights[1])
    assert bootstrapped(uncentred, x, y, weights)[1, 0, 1] == pytest.approx(uncentred(x[0][sample], y[1][sample]))


def test_the_kind_of_centring_is_read_off_the_relations() -> None:
    x = np.random.default_rng(4).standard_normal((2, 9, 30)) + 100
    found = [centring_of(m.prepared(x), m.prepared(x), 9) for m in (linear_cka, linear_cka_biased, rsa, UNCENTRED)]
    assert found == ["rows", "gram", "pairs", "none"]


@pytest.mark.parametrize("measure", METRICS, ids=lambda m: m.name)
def test_torch_gives_what_numpy_gives(measure) -> None:  # noqa: ANN001
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((3, 9, 4)), rng.standard_normal((2, 9, 5))
    weights = bootstrap_weights(9, draws=7, rng=rng)
    maps = bootstrapped(measure, torch.tensor(x), torch.tensor(y), weights)
    np.testing.assert_allclose(maps.numpy(), bootstrapped(measure, x, y, weights), atol=1e-12)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("measure", METRICS, ids=lambda m: m.name)
def test_cuda_gives_what_numpy_gives(measure) -> None:  # noqa: ANN001
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((3, 9, 4)), rng.standard_normal((2, 9, 5))
    weights = bootstrap_weights(9, draws=7, rng=rng)
    maps = bootstrapped(measure, torch.tensor(x, device="cuda"), torch.tensor(y, device="cuda"), weights)
    np.testing.assert_allclose(maps.cpu().numpy(), bootstrapped(measure, x, y, weights), atol=1e-10)


@pytest.mark.parametrize("measure", METRICS, ids=lambda m: m.name)
def test_constant_activity_and_samples_of_one_stimulus_are_undefined(measure) -> None:  # noqa: ANN001
    rng = np.random.default_rng(6)
    x, y = rng.standard_normal((3, 8, 4)), rng.standard_normal((2, 8, 5))
    x[1] = 3.0
    weights = np.vstack([bootstrap_weights(8, draws=4, rng=rng), [8, 0, 0, 0, 0, 0, 0, 0]])
    maps = bootstrapped(measure, x, y, weights)
    assert np.isnan(maps[:, 1]).all()
    assert np.isnan(maps[-1]).all()
    if measure is not linear_cka_sampled:  # which has no value where units have nothing in common, as some samples here
        assert np.isfinite(maps[:4, [0, 2]]).all()


def test_the_interval_covers_the_value_over_all_stimuli() -> None:
    """95 % percentile intervals of debiased CKA over 30 stimuli hold the value over all stimuli in most samples."""
    rng = np.random.default_rng(7)
    mixing = rng.standard_normal((6, 5))
    x = rng.standard_normal((20000, 6))
    y = x @ mixing + 1.5 * rng.standard_normal((20000, 5))
    cross, xx, yy = (a.T @ b for a, b in ((x, y), (x, x), (y, y)))
    truth = np.sum(cross**2) / np.sqrt(np.sum(xx**2) * np.sum(yy**2))
    hits = 0
    for _ in range(200):
        x = rng.standard_normal((30, 6))
        y = x @ mixing + 1.5 * rng.standard_normal((30, 5))
        draws = bootstrapped(linear_cka, x[None], y[None], bootstrap_weights(30, draws=200, rng=rng))[:, 0, 0]
        low, high = np.quantile(draws, (0.025, 0.975))
        hits += bool(low <= truth <= high)
    assert 0.88 <= hits / 200 <= 1.0


def test_a_thousand_bootstrapped_maps_take_less_than_a_second() -> None:
    """92 stimuli, 100 times, 10 blocks; processor time, the best of three, as other work may share it."""
    rng = np.random.default_rng(8)
    x, y = rng.standard_normal((100, 92, 20)), rng.standard_normal((10, 92, 20))
    weights = bootstrap_weights(92, draws=1000, rng=rng)
    for measure in (rsa, linear_cka):
        taken = []
        for _ in range(3):
            start = time.process_time()
            bootstrapped(measure, x, y, weights)
            taken.append(time.process_time() - start)
            if taken[-1] < 1:
                break
        assert min(taken) < 1, measure.name


def test_unfit_weights_are_refused() -> None:
    x = np.random.default_rng(9).standard_normal((2, 6, 3))
    for weights in (np.full((2, 5), 1), np.full((2, 6), 1.0), np.full((2, 6), -1), np.ones(6, dtype=int)):
        with pytest.raises(ArgumentError, match="expected whole numbers from 0 on"):
            bootstrapped(rsa, x, x, weights)
    with pytest.raises(ArgumentError, match="got 0 bootstraps of 6 stimuli"):
        bootstrap_weights(6, draws=0, rng=np.random.default_rng(0))
