"""Distances of trials: crossnobis without bias, noise covariances, and the dissimilarity movie of a Dataset."""

from __future__ import annotations

import json
import time

import compare_synthetic
import numpy as np
import pytest
import torch
import xarray as xr
from sklearn.covariance import LedoitWolf

from cortexres.compare.dissimilarity_movie import dissimilarities
from cortexres.compare.measures.crossnobis import crossnobis, mahalanobis
from cortexres.compare.measures.dissimilarities import one_minus_correlation, squared_euclidean
from cortexres.compare.measures.noise import shrunk_covariance, trial_noise, whitening
from cortexres.compare.measures.rsa import representational_similarity, rsa, rsa_crossnobis
from cortexres.errors import ArgumentError, SchemaError


def recording(n: int = 9, trials: int = 6, times: int = 4, units: int = 5, seed: int = 0) -> np.ndarray:
    """Return trials (n, trial, time, unit) with correlated noise of other sizes in other units."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((units, units)) * np.geomspace(0.3, 3.0, units)
    signal = rng.standard_normal((n, 1, times, units))
    return signal + rng.standard_normal((n, trials, times, units)) @ mixing


def by_pairs_of_folds(folds: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """Return crossnobis distances (n, n) of fold means (fold, n, p) as they are defined, pair by pair."""
    count, n, p = folds.shape
    result = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            difference = folds[:, i] - folds[:, j]
            product = difference @ inverse @ difference.T
            result[i, j] = (product.sum() - np.trace(product)) / (count * (count - 1)) / p
    return result


@pytest.mark.parametrize("folds", [None, 2, 4, [0, 1, 0, 1, 2, 2]])
def test_crossnobis_is_the_mean_over_pairs_of_folds(folds: int | list[int] | None) -> None:
    trials = recording()
    labels = {None: np.arange(6), 2: np.repeat([0, 1], 3), 4: np.array([0, 0, 1, 2, 2, 3])}
    label = np.asarray(folds) if isinstance(folds, list) else labels[folds]
    means = np.stack([trials[:, label == f].mean(axis=1) for f in np.unique(label)])
    covariance, _ = shrunk_covariance(trial_noise(trials))
    for noise, inverse in (("white", np.eye(5)), ("all_times", np.linalg.inv(covariance))):
        found = crossnobis(trials, folds=folds, noise=noise)
        for t in range(4):
            np.testing.assert_allclose(found[t], by_pairs_of_folds(means[:, :, t], inverse), rtol=1e-9, atol=1e-10)
        tensor = crossnobis(torch.from_numpy(trials), folds=folds, noise=noise)
        np.testing.assert_allclose(tensor.numpy(), found, atol=1e-10)


def test_trial_noise_biases_distances_but_not_crossnobis() -> None:
    rng = np.random.default_rng(1)
    means = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 2.0, -1.0]])
    trials = means[:, None, None] + 2.0 * rng.standard_normal((3, 4, 4000, 3))
    true = ((means[:, None] - means[None]) ** 2).sum(-1) / 3
    plain = squared_euclidean(trials.mean(axis=1).swapaxes(0, 1)).mean(axis=0) / 3
    assert plain[0, 1] == pytest.approx(2 * 4.0 / 4, rel=0.05)
    np.testing.assert_allclose(crossnobis(trials, noise="white").mean(axis=0), true, atol=0.1)
    np.testing.assert_allclose(crossnobis(trials).mean(axis=0), true / 4, atol=0.03)
    assert mahalanobis(trials).mean(axis=0)[0, 1] == pytest.approx(2 / 4, rel=0.06)


def test_mahalanobis_uses_the_inverse_covariance_of_the_noise() -> None:
    trials = recording()
    mean = trials.mean(axis=1)
    pooled, _ = shrunk_covariance(trial_noise(trials))
    each = [shrunk_covariance(trial_noise(trials)[:, t : t + 1])[0] for t in range(4)]
    for noise, covariances in (("all_times", [pooled] * 4), ("each_time", each), ("white", [np.eye(5)] * 4)):
        found = mahalanobis(trials, noise=noise)
        for t, covariance in enumerate(covariances):
            difference = mean[:, None, t] - mean[None, :, t]
            expected = np.einsum("ijp,pq,ijq->ij", difference, np.linalg.inv(covariance), difference) / 5
            np.testing.assert_allclose(found[t], expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(mahalanobis(torch.from_numpy(trials), noise=noise).numpy(), found, atol=1e-9)


def test_distances_of_trials_do_not_depend_on_the_units_of_measurement() -> None:
    trials = recording()
    scaled = trials * np.geomspace(1e-3, 1e3, 5) + np.arange(5.0)
    for distance in (crossnobis, mahalanobis):
        np.testing.assert_allclose(distance(scaled), distance(trials), rtol=1e-6)
        assert np.abs(distance(scaled, noise="white") - distance(trials, noise="white")).max() > 1


def test_noise_is_what_trials_have_about_their_mean() -> None:
    trials = recording()
    noise = trial_noise(trials)
    assert noise.shape == (9 * 5, 4, 5)
    residuals = (trials - trials.mean(axis=1, keepdims=True)).reshape(-1, 5)
    expected = residuals.T @ residuals / (9 * 5 * 4)
    flat = noise.reshape(-1, 5)
    np.testing.assert_allclose(flat.T @ flat / len(flat), expected, rtol=1e-10)
    covariance, shrinkage = shrunk_covariance(noise)
    np.testing.assert_allclose(np.diag(covariance), np.diag(expected), rtol=1e-10)
    apart = ~np.eye(5, dtype=bool)
    np.testing.assert_allclose(covariance[apart], (1 - shrinkage) * expected[apart], rtol=1e-10)


def test_shrinkage_is_as_published() -> None:
    rng = np.random.default_rng(2)
    noise = rng.standard_normal((40, 3, 6)) @ rng.standard_normal((6, 6))
    deviations = np.sqrt((noise**2).mean(axis=(0, 1)))
    products = np.einsum("ktp,ktq->kpq", noise / deviations, noise / deviations) / 3
    variance = products.var(axis=0, ddof=1) / 40
    apart = ~np.eye(6, dtype=bool)
    expected = variance[apart].sum() / (products.mean(axis=0)[apart] ** 2).sum()
    assert shrunk_covariance(noise)[1] == pytest.approx(expected, rel=1e-9)
    # One time: the same by products of squares.
    single = noise[:, :1]
    deviations = np.sqrt((single**2).mean(axis=(0, 1)))
    products = np.einsum("ktp,ktq->kpq", single / deviations, single / deviations)
    expected = (products.var(axis=0, ddof=1) / 40)[apart].sum() / (products.mean(axis=0)[apart] ** 2).sum()
    assert shrunk_covariance(single)[1] == pytest.approx(expected, rel=1e-9)


def test_shrinkage_suits_the_noise() -> None:
    rng = np.random.default_rng(3)
    mixing = rng.standard_normal((30, 30)) / 30**0.5
    truth = mixing.T @ mixing
    white = rng.standard_normal((60, 1, 30))
    covariance, shrinkage = shrunk_covariance(white @ mixing)
    sample = np.cov((white @ mixing)[:, 0].T, bias=True)
    assert 0.05 < shrinkage < 0.6
    assert np.linalg.norm(covariance - truth) < np.linalg.norm(sample - truth)
    assert shrinkage == pytest.approx(LedoitWolf(assume_centered=True).fit((white @ mixing)[:, 0]).shrinkage_, abs=0.1)
    assert shrunk_covariance(white)[1] > 0.9
    assert max(shrunk_covariance(rng.standard_normal((20, 1, 5)))[1] for _ in range(20)) == 1.0  # never beyond
    assert shrunk_covariance(rng.standard_normal((20000, 1, 30)) @ mixing)[1] < 0.01


def test_units_without_noise_are_left_out() -> None:
    trials = recording()
    silent = np.concatenate([trials, np.arange(9.0)[:, None, None, None] + np.zeros((9, 6, 4, 2))], axis=-1)
    noise = trial_noise(silent)
    weights = whitening(noise)[0]
    assert np.isfinite(weights).all()
    assert not weights[5:].any()
    np.testing.assert_allclose(crossnobis(silent) * 7, crossnobis(trials) * 5, rtol=1e-6, atol=1e-9)


def test_crossnobis_on_the_brains_side() -> None:
    trials = recording(n=20, trials=3, units=8, seed=4)
    states = trials.mean(axis=1).swapaxes(0, 1)
    relations = rsa_crossnobis.relations_of_trials(trials)
    network = rsa_crossnobis.prepared(states)
    scores = rsa_crossnobis.scores(relations, network)
    pairs = np.triu_indices(20, 1)
    a, b = crossnobis(trials), squared_euclidean(states)
    assert scores[1, 2] == pytest.approx(np.corrcoef(a[1][pairs], b[2][pairs])[0, 1], abs=1e-10)
    np.testing.assert_array_equal(rsa.relations_of_trials(trials), rsa.relations(states))
    with pytest.raises(ArgumentError, match="got 2 stimuli, expected at least 3"):
        rsa.relations_of_trials(trials[:2])


def test_whole_numbers_are_taken() -> None:
    counts = np.round(10 * recording()).astype(int)
    for noise in ("white", "all_times"):
        for distance in (mahalanobis, lambda x, noise: crossnobis(x, folds=np.int64(2), noise=noise)):
            expected = distance(counts.astype(float), noise=noise)
            np.testing.assert_array_equal(distance(counts, noise=noise), expected)
            np.testing.assert_allclose(distance(torch.from_numpy(counts), noise=noise).numpy(), expected, atol=1e-8)
    np.testing.assert_array_equal(trial_noise(counts), trial_noise(counts.astype(float)))


def test_noise_alone_is_no_similarity_to_crossnobis() -> None:
    rng = np.random.default_rng(5)
    # Louder trials to some stimuli: plain distances see the noise, which a network with larger states shares.
    loud = np.linspace(0.2, 3.0, 30)
    trials = loud[:, None, None, None] * rng.standard_normal((30, 6, 100, 40))
    states = loud[None, :, None] * rng.standard_normal((1, 30, 200))
    white = representational_similarity("any", dissimilarity_of_trials=lambda x: crossnobis(x, noise="white"))
    plain = rsa.scores(rsa.relations_of_trials(trials), rsa.prepared(states)).mean()
    unbiased = white.scores(white.relations_of_trials(trials), white.prepared(states)).mean()
    assert plain > 0.8
    assert abs(unbiased) < 0.05


def test_one_trial_and_unusable_folds_are_refused() -> None:
    trials = recording()
    with pytest.raises(ArgumentError, match="got 1 folds of 1 trials, expected 2 to as many as there are trials"):
        crossnobis(trials[:, :1])
    with pytest.raises(ArgumentError, match="got 7 folds of 6 trials"):
        crossnobis(trials, folds=7)
    with pytest.raises(ArgumentError, match=r"got fold labels of shape \(5,\) with 5 different"):
        crossnobis(trials, folds=range(5))
    with pytest.raises(ArgumentError, match="with 1 different, expected one for each of 6 trials and at least 2"):
        crossnobis(trials, folds=[1] * 6)
    with pytest.raises(ArgumentError, match="got 1 trial, expected at least 2 to see the noise"):
        mahalanobis(trials[:, :1])
    with pytest.raises(ArgumentError, match="got noise='pink', expected one of 'white', 'each_time', 'all_times'"):
        mahalanobis(trials, noise="pink")
    with pytest.raises(ArgumentError, match="got 1 sample of the noise, expected at least 2"):
        shrunk_covariance(trial_noise(trials[:1, :2]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_device() -> None:
    trials = recording()
    for noise in ("white", "each_time", "all_times"):
        for distance in (mahalanobis, lambda x, noise: crossnobis(x, folds=3, noise=noise)):
            found = distance(torch.from_numpy(trials).cuda(), noise=noise)
            assert found.device.type == "cuda"
            np.testing.assert_allclose(found.cpu().numpy(), distance(trials, noise=noise), atol=1e-8)


def brain() -> xr.Dataset:
    rng = np.random.default_rng(6)
    times = (np.arange(4) + 0.5) * 5.0
    return compare_synthetic.brain(compare_synthetic.relaxation(8, 5, times, rng), sd=1.0, trials=4, rng=rng)


def network() -> xr.Dataset:
    return compare_synthetic.network(np.random.default_rng(7).standard_normal((8, 3, 6)))


def test_movie_of_a_brain() -> None:
    data = brain()
    response = data["response"].values
    mean = response.mean(axis=1).swapaxes(0, 1)
    expected = {
        "squared_euclidean": squared_euclidean(mean) / 5,
        "correlation": one_minus_correlation(mean),
        "mahalanobis": mahalanobis(response),
        "crossnobis": crossnobis(response),
    }
    for method, values in expected.items():
        movie = dissimilarities(data, method=method)
        found = movie["dissimilarity"]
        assert found.dims == ("time", "stimulus", "stimulus_2")
        np.testing.assert_array_equal(found, values)
        np.testing.assert_array_equal(movie["stimulus_2"], data["stimulus"])
        assert movie["time"].attrs["bin_ms"] == 5.0
        assert found.attrs["units"] == ("Hz^2" if method == "squared_euclidean" else "1")
        assert (movie.attrs["measure"], movie.attrs["orientation"]) == (method, "distance")
        assert [movie.attrs[key] for key in ("n_stimuli", "n_trials", "n_units")] == [8, 4, 5]
        assert json.loads(movie.attrs["cortexres_provenance"])["measure"] == method
    folded = dissimilarities(data, method="crossnobis", folds=[0, 0, 1, 1], noise="white")
    np.testing.assert_array_equal(folded["dissimilarity"], crossnobis(response, folds=2, noise="white"))
    assert folded["dissimilarity"].attrs["units"] == "Hz^2"
    assert (folded.attrs["noise"], folded.attrs["folds"]) == ("white", [0, 0, 1, 1])


def test_movie_of_a_network() -> None:
    data = network()
    movie = dissimilarities(data)
    assert movie["dissimilarity"].dims == ("block", "stimulus", "stimulus_2")
    assert movie["dissimilarity"].attrs["units"] == "1"
    assert "t_ms" in movie.coords
    np.testing.assert_array_equal(
        movie["dissimilarity"], squared_euclidean(data["response"].values.swapaxes(0, 1)) / 6
    )


def test_flat_patterns_have_no_correlation_and_the_movie_says_so() -> None:
    data = network()
    data["response"][2, 1] = 3.0
    data["update"][2, 1] = data["response"][2, 1] - data["response"][2, 0]
    data["update"][2, 2] = data["response"][2, 2] - data["response"][2, 1]
    movie = dissimilarities(data, method="correlation")["dissimilarity"]
    assert movie.attrs["undefined"] == "a pattern is flat over units at block 1"
    assert np.isnan(movie[1, 2, 3])
    assert np.isfinite(movie[0]).all()


def test_movies_that_cannot_be_made_are_refused() -> None:
    with pytest.raises(ArgumentError, match="got method='cosine', expected one of squared_euclidean, correlation"):
        dissimilarities(brain(), method="cosine")
    with pytest.raises(ArgumentError, match="got noise='pink', expected one of white, each_time, all_times"):
        dissimilarities(brain(), noise="pink")
    with pytest.raises(ArgumentError, match="got noise='white' for method='correlation', expected it for mahalanobis"):
        dissimilarities(brain(), method="correlation", noise="white")
    with pytest.raises(ArgumentError, match="got method='crossnobis' for a network, which has no trials"):
        dissimilarities(network(), method="crossnobis")
    with pytest.raises(ArgumentError, match="got folds for method='squared_euclidean', expected them for crossnobis"):
        dissimilarities(brain(), folds=2)
    with pytest.raises(SchemaError, match="no variable response"):
        dissimilarities(brain().rename(response="rate"))


def test_a_long_movie_takes_less_than_a_second() -> None:
    trials = np.random.default_rng(8).standard_normal((92, 5, 100, 306))
    crossnobis(trials[:, :, :2], noise="white")
    taken = []
    while len(taken) < 3 and min(taken, default=np.inf) >= 1.0:  # another job may hold the machine up once
        start = time.process_time()
        crossnobis(trials, noise="white")
        taken.append(time.process_time() - start)
    assert min(taken) < 1.0
