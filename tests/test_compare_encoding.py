"""Encoding over time and blocks: one decomposition gives what a fit per bin gives, ceilings and choices are honest."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
import xarray as xr
from compare_synthetic import brain, network
from sklearn.linear_model import Ridge, RidgeCV

from cortexres.compare import linear_map_r2
from cortexres.compare.encoding.encode import encode
from cortexres.compare.encoding.folds import dealt, dealt_by_class
from cortexres.compare.encoding.left_out import left_out_predictions
from cortexres.compare.encoding.reliability import reliability
from cortexres.compare.encoding.ridge import (
    best_penalties,
    decomposed,
    in_fewest_units,
    left_out_errors,
    predicted_deviations,
)
from cortexres.errors import ArgumentError, SchemaError

N, TIMES, UNITS = 40, 6, 5
FOLD = np.arange(N) % 5


def planted(
    rng: np.random.Generator, *, sd: float, trials: int = 6, features: int = 12, n: int = N, block: int = 2
) -> tuple[xr.Dataset, xr.Dataset, np.ndarray]:
    """Return a brain whose stimuli are those of one block of 4, linearly, with another gain at each time."""
    states = rng.standard_normal((n, 4, features))
    gain = np.linspace(0.5, 2.0, TIMES)[:, None]
    signal = 400.0 + (states[:, block] @ rng.standard_normal((features, UNITS)))[:, None] * gain
    return brain(signal, sd=sd, trials=trials, rng=rng), network(states), signal


def responses(data: xr.Dataset) -> np.ndarray:
    """Return the brain's mean over trials, (stimulus, time, unit)."""
    return data["response"].values.mean(axis=1)


@pytest.mark.parametrize("features", [7, 90])
def test_one_decomposition_is_a_fit_per_bin_and_unit_with_its_own_penalty(features: int) -> None:
    """The oracle is scikit-learn's leave-one-out ridge, once for each bin, on the centred stimuli of each fold."""
    data, net, _ = planted(np.random.default_rng(0), sd=3.0, features=features)
    penalties = [1e-3, 1e-1, 1.0, 10.0]
    scores = encode(data, net, folds=FOLD, penalties=penalties, splits=2, rng=0)
    response = responses(data)
    for block in range(4):
        x = net["response"].values[:, block]
        for t in (0, TIMES - 1):
            errors, r = np.empty((N, UNITS)), np.empty((5, UNITS))
            for k in range(5):
                train = FOLD != k
                mean = x[train].mean(axis=0)
                scale = np.sum((x[train] - mean) ** 2) / train.sum()
                fit = RidgeCV(alphas=np.array(penalties) * scale, alpha_per_target=True)
                predicted = fit.fit(x[train] - mean, response[train, t]).predict(x[~train] - mean)
                errors[~train] = response[~train, t] - predicted
                r[k] = [np.corrcoef(predicted[:, u], response[~train, t, u])[0, 1] for u in range(UNITS)]
            total = np.sum((response[:, t] - response[:, t].mean(axis=0)) ** 2, axis=0)
            np.testing.assert_allclose(scores["encoding_r_unit"][t, block], r.mean(axis=0), atol=1e-9)
            r2 = 1 - np.sum(errors**2, axis=0) / total
            np.testing.assert_allclose(scores["encoding_r2_unit"][t, block], r2, atol=1e-9)
            assert float(scores["encoding_r"][t, block]) == pytest.approx(np.median(r.mean(axis=0)), abs=1e-9)


def test_with_one_penalty_for_all_it_is_the_linear_map_of_the_same_block() -> None:
    data, net, _ = planted(np.random.default_rng(0), sd=3.0)
    fold = np.empty(N, dtype=int)
    for k, part in enumerate(np.array_split(np.random.default_rng(0).permutation(N), 5)):
        fold[part] = k
    scores = encode(data, net, folds=fold, penalties=[0.3], splits=2, rng=0)
    for block in range(4):
        states = np.repeat(net["response"].values[:, [block]], TIMES + 1, axis=1)
        held = linear_map_r2(data, network(states), penalties=[0.3], rng=0)
        np.testing.assert_allclose(scores["encoding_r2"][:, block], held["linear_map_r2_time"], atol=1e-9)
        np.testing.assert_allclose(scores["encoding_r2_ceiling"], held["linear_map_ceiling_time"], atol=1e-12)


@pytest.mark.parametrize("features", [4, 30])
def test_ridge_errors_and_predictions_are_those_of_refitting(features: int) -> None:
    rng = np.random.default_rng(1)
    x, y, new = rng.standard_normal((15, features)), rng.standard_normal((15, 3)), rng.standard_normal((4, features))
    parts = decomposed(x)
    for penalty in (1e-6, 1e-2, 5.0):
        alpha = penalty * float(parts.scale[0])
        errors = left_out_errors(parts, y, penalty)
        for k in range(15):
            rest = np.arange(15) != k
            fit = Ridge(alpha=alpha, solver="svd").fit(x[rest], y[rest])
            np.testing.assert_allclose(errors[k], y[k] - fit.predict(x[[k]])[0], atol=1e-7)
        fit = Ridge(alpha=alpha, solver="svd").fit(x, y)
        deviations = predicted_deviations(parts, y, new, penalty)
        np.testing.assert_allclose(deviations, fit.predict(new) - y.mean(0), atol=1e-8)
    chosen, least = best_penalties(parts, y, [1e-6, 1e-2, 5.0])
    sums = np.array([np.sum(left_out_errors(parts, y, k) ** 2, axis=0) for k in (1e-6, 1e-2, 5.0)])
    np.testing.assert_allclose(least[0], sums.min(axis=0))
    assert chosen[0].tolist() == [(1e-6, 1e-2, 5.0)[k] for k in sums.argmin(axis=0)]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device"))])
@pytest.mark.parametrize("features", [5, 60])
def test_tensors_give_what_arrays_give(device: str, features: int) -> None:
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((N, features)), rng.standard_normal((N, 7))
    penalties = [1e-2, 1.0]
    here = list(left_out_predictions(x, y, FOLD, penalties))
    tensors = [torch.tensor(values, device=device) for values in (x, y, FOLD)]
    there = list(left_out_predictions(*tensors, penalties))
    assert len(here) == len(there) == 5
    for a, b in zip(here, there, strict=True):
        np.testing.assert_array_equal(a.test, b.test.cpu().numpy())
        np.testing.assert_allclose(a.deviations, b.deviations.cpu().numpy(), atol=1e-10)
        np.testing.assert_allclose(a.error, b.error.cpu().numpy(), atol=1e-9)
    few = in_fewest_units(tensors[0])
    assert few.shape == (N, min(N, features))
    np.testing.assert_allclose((few @ few.T).cpu().numpy(), x @ x.T, atol=1e-9)


def test_rotated_features_and_scaled_units_score_the_same() -> None:
    """Of both sides' transformations, ridge knows rotations of features and scales of units, not scales of features."""
    rng = np.random.default_rng(3)
    data, net, _ = planted(rng, sd=3.0)
    options = {"folds": FOLD, "splits": 2, "rng": 0}
    scores = encode(data, net, **options)
    rotation = np.linalg.qr(rng.standard_normal((12, 12)))[0]
    turned = encode(data, network(net["response"].values @ rotation), **options)
    np.testing.assert_allclose(turned["encoding_r_unit"], scores["encoding_r_unit"], atol=1e-9)
    gains = np.array([1.0, 2.0, 0.5, 3.0, 1.0])
    scaled = encode(data.assign(response=data["response"].copy(data=data["response"].values * gains)), net, **options)
    np.testing.assert_allclose(scaled["encoding_r_unit"], scores["encoding_r_unit"], atol=1e-9)
    np.testing.assert_allclose(scaled["encoding_r_ceiling"], scores["encoding_r_ceiling"], atol=1e-9)
    stretched = encode(data, network(net["response"].values * np.r_[np.full(6, 0.01), np.ones(6)]), **options)
    assert np.abs(stretched["encoding_r_unit"] - scores["encoding_r_unit"]).max() > 0.01


def test_a_planted_block_reaches_the_ceiling_and_no_other_does() -> None:
    """The mean of the ratio over data sets is 1 where the map is known: no correction beyond sqrt(reliability)."""
    ratios, ceilings, others = [], [], []
    rng = np.random.default_rng(4)
    states = rng.standard_normal((80, 4, 3))
    weights = rng.standard_normal((3, UNITS))
    weights *= 4 / np.linalg.norm(weights, axis=0)
    signal = 400.0 + np.repeat((states[:, 2] @ weights)[:, None], 2, axis=1)
    for seed in range(40):
        data = brain(signal, sd=4.0, trials=8, rng=np.random.default_rng(seed))
        scores = encode(data, network(states), penalties=[1e-4], splits=20, rng=seed)
        ratios.append(scores["encoding_r_unit_ratio"][:, 2].values)
        ceilings.append(scores["reliability"].values)
        others.append(scores["encoding_r"][:, 0].values)
    between = signal[:, 0].var(axis=0, ddof=1)
    np.testing.assert_allclose(np.mean(ceilings, axis=(0, 1)), between / (between + 16 / 8), atol=0.02)
    assert 0.95 < np.mean(ratios) < 1.01  # three weights learned from 64 noisy stimuli cost a little
    assert abs(np.mean(others)) < 0.2


def test_the_reliability_is_that_of_all_trials() -> None:
    """For parallel trials of known signal and noise it is the signal's share of the variance of the mean."""
    rng = np.random.default_rng(5)
    signal = rng.standard_normal((400, 1, 1))
    trials = signal + rng.standard_normal((400, 10, 200)) * 2.0
    expected = signal.var() / (signal.var() + 4.0 / 10)
    assert np.mean(reliability(trials, splits=10, rng=rng)) == pytest.approx(expected, abs=0.005)
    assert np.isnan(reliability(trials[:, :1], splits=2, rng=rng)).all()
    assert np.isnan(reliability(np.ones((5, 4, 1)), splits=2, rng=rng)).all()
    noise = reliability(rng.standard_normal((50, 4, 200)), splits=5, rng=rng)
    assert (noise < 0).sum() > 50  # below zero by chance, and not clipped


def test_unrelated_networks_score_nothing_on_average() -> None:
    """Neither the training means that left-out stimuli are missing from nor the intercept make it negative."""
    values, best, p = [], [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        data = brain(400.0 + rng.standard_normal((20, 2, 8)), sd=0.5, trials=2, rng=rng)
        net = network(rng.standard_normal((20, 3, 6)))
        scores = encode(data, net, folds=5, permutations=19, splits=1, rng=seed)
        values.append(scores["encoding_r_unit"].values.mean())
        best.append(scores["encoding_r_best"].values.mean())
        p.append(float(scores["encoding_r_p"].min()))
    assert abs(np.mean(values)) < 0.03
    assert abs(np.mean(best)) < 0.06
    assert np.mean(np.array(p) <= 0.05) < 0.15  # .05 expected: the largest of 20
    assert 0.35 < np.mean(p) < 0.65


def test_the_best_block_is_chosen_without_the_left_out_stimuli() -> None:
    data, net, _ = planted(np.random.default_rng(6), sd=2.0)
    scores = encode(data, net, folds=FOLD, permutations=39, splits=2, rng=0)
    assert (scores["encoding_best_block"] == 2).all()
    assert scores["encoding_best_block"].dims == ("time", "fold")
    np.testing.assert_allclose(scores["encoding_r_best"], scores["encoding_r"][:, 2], atol=1e-12)
    assert (scores["encoding_r_p"][:, 2] == 1 / 40).all()
    assert (scores["encoding_r_p"][:, 0] > 1 / 40).any()
    assert (scores["encoding_r_best_p"] == 1 / 40).all()
    # Changing what a fold leaves out leaves its choice alone: of noise, another block for other stimuli learned from.
    rng = np.random.default_rng(7)
    noise = brain(400.0 + rng.standard_normal((N, TIMES, UNITS)), sd=0.1, trials=2, rng=rng)
    before = encode(noise, net, folds=FOLD, splits=1, rng=0)["encoding_best_block"].values
    changed = noise["response"].copy(data=np.where((FOLD == 0)[:, None, None, None], 50.0, noise["response"].values))
    after = encode(noise.assign(response=changed), net, folds=FOLD, splits=1, rng=0)["encoding_best_block"].values
    np.testing.assert_array_equal(before[:, 0], after[:, 0])
    assert (before[:, 1:] != after[:, 1:]).any()


def test_noise_alone_makes_the_largest_of_the_map_high_but_not_the_chosen_block() -> None:
    largest, chosen = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        data = brain(400.0 + rng.standard_normal((20, 1, 4)), sd=0.1, trials=2, rng=rng)
        scores = encode(data, network(rng.standard_normal((20, 8, 3))), splits=1, rng=seed)
        largest.append(float(scores["encoding_r"].max()))
        chosen.append(float(scores["encoding_r_best"][0]))
    assert np.mean(largest) > 0.2
    assert abs(np.mean(chosen)) < 0.1


def test_undefined_values_say_why() -> None:
    data, net, _ = planted(np.random.default_rng(8), sd=2.0, trials=1)
    states = net["response"].values.copy()
    states[:, 0] = 0.1
    rates = data["response"].values.copy()
    rates[..., 1] = 7.0
    scores = encode(data.assign(response=data["response"].copy(data=rates)), network(states), splits=1, rng=0)
    assert np.isnan(scores["encoding_r"][:, 0]).all()
    assert "blocks [0]" in scores["encoding_r"].attrs["undefined"]
    assert np.isnan(scores["encoding_r_unit"][..., 1]).all()
    assert np.isfinite(scores["encoding_r"][:, 1:]).all()
    assert np.isnan(scores["encoding_r_ratio"]).all()
    assert "one trial" in scores["encoding_r_ceiling"].attrs["undefined"]
    assert scores.attrs["n_stimuli"] == N
    assert scores.attrs["orientation"] == "similarity"


def test_no_signal_beyond_noise_is_warned_of() -> None:
    rng = np.random.default_rng(9)
    data = brain(np.full((N, TIMES, UNITS), 400.0), sd=5.0, trials=4, rng=np.random.default_rng(24))
    total = data["response"].mean("trial").var("stimulus", ddof=1).sum("unit")
    small = data.isel(time=(total < 25 / 4 * UNITS).values)
    with pytest.warns(UserWarning, match="ceiling not above zero after onset"):
        encode(small, network(rng.standard_normal((N, 3, 4))), splits=2, rng=0)


def test_folds_are_even_and_keep_classes_apart() -> None:
    rng = np.random.default_rng(10)
    assert sorted(np.bincount(dealt(23, 5, rng))) == [4, 4, 5, 5, 5]
    classes = np.repeat(np.arange(4), [2, 3, 6, 10])
    for _ in range(20):
        fold = dealt_by_class(classes, 5, rng)
        for k in range(4):
            counts = np.bincount(fold[classes == k], minlength=5)
            assert counts.max() - counts.min() <= 1


def test_unfit_arguments_are_refused() -> None:
    data, net, _ = planted(np.random.default_rng(11), sd=1.0)
    with pytest.raises(ArgumentError, match="got 40 stimuli in 1 folds"):
        encode(data, net, folds=1)
    with pytest.raises(ArgumentError, match=r"got folds of shape \(3,\)"):
        encode(data, net, folds=np.array([0, 1, 0]))
    with pytest.raises(ArgumentError, match="got 40 stimuli and a fold of 2"):
        encode(data, net, folds=20)
    with pytest.raises(ArgumentError, match="one or more positive numbers"):
        encode(data, net, penalties=[])
    with pytest.raises(ArgumentError, match="got permutations=-1"):
        encode(data, net, permutations=-1)
    with pytest.raises(ArgumentError, match="splits=0"):
        encode(data, net, splits=0)
    with pytest.raises(SchemaError, match="stimulus ids differ"):
        encode(data, net.isel(stimulus=slice(1, None)))


@pytest.mark.slow
def test_sharing_the_decomposition_is_five_times_faster_than_fits_per_bin() -> None:
    rng = np.random.default_rng(12)
    x, y = rng.standard_normal((200, 500)), rng.standard_normal((200, 60, 50))
    penalties = [10.0**k for k in range(-6, 5)]
    fold = np.arange(200) % 5
    start = time.perf_counter()
    list(left_out_predictions(in_fewest_units(x), y.reshape(200, -1), fold, penalties))
    shared = time.perf_counter() - start
    start = time.perf_counter()
    for t in range(6):
        for k in range(5):
            fit = RidgeCV(alphas=np.array(penalties) * 500, alpha_per_target=True)
            fit.fit(x[fold != k], y[fold != k, t]).predict(x[fold == k])
    per_bin = 10 * (time.perf_counter() - start)
    assert per_bin > 5 * shared
