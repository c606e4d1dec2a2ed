"""The linear read-out: a planted map is found, a mean time course is not, the algebra is plain ridge."""

from __future__ import annotations

import numpy as np
import pytest
from compare_synthetic import brain, network, relaxation
from sklearn.linear_model import Ridge

from cortexres.compare import linear_map_r2
from cortexres.compare.encoding.ridge import decomposed, left_out_errors
from cortexres.compare.linear_map import _predict
from cortexres.errors import ArgumentError, SchemaError

N, TIMES = 40, 8
CENTRES = (np.arange(TIMES) + 0.5) * 5.0


def planted(rng: np.random.Generator, *, sd: float, trials: int = 6):  # noqa: ANN201
    """Return a brain that is a linear map of the network's 10 units, bin for bin, and that network."""
    states = rng.standard_normal((N, 10))[:, None] * np.linspace(0.5, 2.0, TIMES + 1)[:, None]
    middle = (states[:, 1:] + states[:, :-1]) / 2
    signal = 40.0 + middle @ rng.standard_normal((10, 5))
    return brain(signal, sd=sd, trials=trials, rng=rng), network(states), signal


def test_a_planted_map_is_found_exactly_without_noise() -> None:
    data, net, _ = planted(np.random.default_rng(0), sd=0.0)
    scores = linear_map_r2(data, net, penalties=[1e-10], rng=0)
    assert float(scores["linear_map_r2"]) == pytest.approx(1.0, abs=1e-6)
    assert float(scores["linear_map_ceiling"]) == pytest.approx(1.0)
    assert scores["linear_map_r2_time"].dims == ("time",)


def test_with_noise_it_comes_near_the_ceiling_and_the_ceiling_is_known() -> None:
    ceilings, denoised = [], []
    for seed in range(30):
        data, net, signal = planted(np.random.default_rng(1), sd=0.0)
        rng = np.random.default_rng(seed)
        data["response"].values[:] = signal[:, None] + 3.0 * rng.standard_normal(data["response"].shape)
        scores = linear_map_r2(data, net, rng=seed)
        ceilings.append(float(scores["linear_map_ceiling"]))
        denoised.append(float(scores["linear_map_denoised"]))
    between = np.sum((signal - signal.mean(axis=0)) ** 2)
    noise = 9.0 / 6 * signal.size * (N - 1) / N
    error = np.std(ceilings, ddof=1) / np.sqrt(len(ceilings))
    assert abs(np.mean(ceilings) - (1 - noise / (between + noise))) < 4 * error
    # Ten weights learned from 32 noisy stimuli cost about 10/32 of the noise.
    assert 1 - 0.6 * noise / between < np.mean(denoised) < 1.0


def test_other_units_and_permuted_stimuli() -> None:
    data, net, _ = planted(np.random.default_rng(2), sd=1.0)
    true = linear_map_r2(data, net, rng=0)
    order = np.random.default_rng(3).permutation(N)
    shuffled = net.assign(response=net["response"].copy(data=net["response"].values[order]))
    shuffled["update"] = net["update"].copy(data=net["update"].values[order])
    assert float(true["linear_map_r2"]) > 0.9
    assert float(linear_map_r2(data, shuffled, rng=0)["linear_map_r2"]) < 0.05


def test_the_mean_time_course_alone_scores_nothing() -> None:
    """A network blind to the stimuli predicts the training mean: 1 - (n / n_train)^2 with one left out."""
    rng = np.random.default_rng(4)
    signal = relaxation(N, 5, CENTRES, rng)
    data = brain(signal, sd=0.0, trials=2, rng=rng)
    blind = network(np.broadcast_to(np.linspace(0, 1, TIMES + 1)[None, :, None], (N, TIMES + 1, 3)).copy())
    scores = linear_map_r2(data, blind, rng=0)
    assert -0.1 < float(scores["linear_map_r2"]) < 0.0
    assert 1 - np.sum((signal - signal.mean(axis=0)) ** 2) / np.sum((signal - signal.mean()) ** 2) > 0.05
    one_out = linear_map_r2(data, blind, folds=N, rng=0)
    assert float(one_out["linear_map_r2"]) == pytest.approx(1 - (N / (N - 1)) ** 2, rel=1e-9)


def test_a_network_without_time_is_spread_over_the_recording() -> None:
    data, net, _ = planted(np.random.default_rng(5), sd=1.0)
    untimed = linear_map_r2(data, net.drop_vars("t_ms"), rng=0)
    assert float(untimed["linear_map_r2"]) == pytest.approx(
        float(linear_map_r2(data, net, rng=0)["linear_map_r2"])
    )


@pytest.mark.parametrize("features", [4, 60])
def test_predictions_are_those_of_plain_ridge(features: int) -> None:
    rng = np.random.default_rng(6)
    x, y, new = (rng.standard_normal(shape) for shape in ((3, 25, features), (3, 25, 2), (3, 5, features)))
    predicted = _predict(x, y, new, [0.3])
    for t in range(3):
        centred = x[t] - x[t].mean(0)
        penalty = 0.3 * np.trace(centred @ centred.T) / 25
        expected = Ridge(alpha=penalty).fit(x[t], y[t]).predict(new[t])
        np.testing.assert_allclose(predicted[t], expected, atol=1e-9)


def test_leave_one_out_errors_are_those_of_refitting() -> None:
    rng = np.random.default_rng(7)
    x, y = rng.standard_normal((15, 4)), rng.standard_normal((15, 2))
    parts = decomposed(x)
    errors = left_out_errors(parts, y, 0.5)
    for k in range(15):
        rest = np.arange(15) != k
        fit = Ridge(alpha=0.5 * parts.scale[0]).fit(x[rest], y[rest])
        np.testing.assert_allclose(errors[k], y[k] - fit.predict(x[[k]])[0], atol=1e-9)


def test_brains_that_say_nothing_about_the_stimuli_are_nan() -> None:
    data, net, _ = planted(np.random.default_rng(8), sd=0.0)
    data["response"][:] = 7.0
    scores = linear_map_r2(data, net, rng=0)
    assert np.isnan(scores["linear_map_r2"])
    assert np.isnan(scores["linear_map_denoised"])
    assert np.isnan(scores["linear_map_r2_time"]).all()


def test_one_trial_has_no_ceiling() -> None:
    data, net, _ = planted(np.random.default_rng(9), sd=1.0, trials=1)
    scores = linear_map_r2(data, net, rng=0)
    assert np.isfinite(scores["linear_map_r2"])
    assert np.isnan(scores["linear_map_ceiling"])
    assert np.isnan(scores["linear_map_denoised"])


def test_unfit_arguments_are_refused() -> None:
    data, net, _ = planted(np.random.default_rng(10), sd=1.0)
    with pytest.raises(ArgumentError, match="got 40 stimuli in 1 folds"):
        linear_map_r2(data, net, folds=1)
    with pytest.raises(ArgumentError, match="got 4 stimuli in 2 folds"):
        linear_map_r2(data.isel(stimulus=slice(4)), net.isel(stimulus=slice(4)), folds=2)
    with pytest.raises(ArgumentError, match="one or more positive numbers"):
        linear_map_r2(data, net, penalties=[1.0, -1.0])
    with pytest.raises(SchemaError, match="stimulus ids differ"):
        linear_map_r2(data, net.isel(stimulus=slice(1, None)))
