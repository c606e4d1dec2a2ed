"""Updates against dr/dt: exact without noise, a ceiling in closed form, no evidence with permuted stimuli."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from compare_synthetic import brain, network, relaxation

from cortexres.compare import at_bins, update_scores
from cortexres.errors import ArgumentError

N, UNITS, TIMES = 20, 6, 12


def pair(*, sd: float, trials: int = 6, dt_ms: float = 5.0, seed: int = 0) -> tuple[xr.Dataset, xr.Dataset]:
    rng = np.random.default_rng(seed)
    t = np.arange(int(60 / dt_ms) + 1) * dt_ms
    net = network(relaxation(N, UNITS, t, rng), dt_ms=dt_ms)
    empty = brain(np.zeros((N, TIMES, UNITS)), sd=0.0, trials=1, rng=rng)
    return brain(at_bins(net, empty)["response"].values, sd=sd, trials=trials, rng=rng), net


@pytest.mark.parametrize("dt_ms", [1.0, 5.0, 7.5])
def test_without_noise_the_update_is_the_velocity(dt_ms: float) -> None:
    scores = update_scores(*pair(sd=0.0, dt_ms=dt_ms), rng=0)
    for form in ("correlation", "specific", "cosine"):
        assert float(scores[form]) == pytest.approx(1.0, abs=1e-12)
        assert float(scores[f"{form}_ceiling"]) == pytest.approx(1.0, abs=1e-12)
        assert float(scores[f"{form}_p"]) == pytest.approx(1 / 501)
    np.testing.assert_allclose(scores.attrs["edges_ms"], np.arange(1, 9) * 5.0)


def test_blocks_of_another_length_change_little() -> None:
    fine, coarse = (pair(sd=0.0, dt_ms=dt)[1] for dt in (1.0, 5.0))
    data, _ = pair(sd=0.0, dt_ms=1.0)
    one, five = (update_scores(data, net, rng=0) for net in (fine, coarse))
    assert float(one["specific"]) == pytest.approx(1.0)
    assert float(five["specific"]) == pytest.approx(1.0, abs=0.01)


def test_values_are_those_of_the_differences() -> None:
    data, net = pair(sd=2.0)
    scores = update_scores(data, net, rng=0)
    a = data["response"].mean("trial").diff("time").values[:, :8]
    b = at_bins(net, data)["response"].diff("time").values[:, :8]
    assert float(scores["correlation"]) == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1])
    assert float(scores["cosine"]) == pytest.approx(np.vdot(a, b) / np.linalg.norm(a) / np.linalg.norm(b))
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    assert float(scores["specific"]) == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_split_half_ceiling_of_the_velocity_is_the_reliability_of_half_the_trials() -> None:
    trials, sd = 8, 1.5
    values = []
    for seed in range(40):
        data, net = pair(sd=sd, trials=trials, seed=1)
        rng = np.random.default_rng(seed)
        signal = pair(sd=0.0, seed=1)[0]["response"].values[:, :1]
        data["response"].values[:] = signal + sd * rng.standard_normal(data["response"].shape)
        values.append(float(update_scores(data, net, rng=seed, permutations=1)["cosine_ceiling"]))
    velocity = np.diff(signal[:, 0, :9], axis=1)
    power, noise = np.mean(velocity**2), 2 * sd**2 / (trials / 2)
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    # A ratio of means is not the mean of ratios: the rest is of the order 1 / entries.
    assert abs(np.mean(values) - power / (power + noise)) < 4 * error + 1 / velocity.size


def test_an_unrelated_network_is_found_as_often_as_it_should_be() -> None:
    p = []
    for seed in range(200):
        data, _ = pair(sd=1.0, trials=2, seed=seed)
        _, net = pair(sd=0.0, seed=1000 + seed)
        p.append(float(update_scores(data, net, rng=seed, permutations=59, splits=1)["specific_p"]))
    for level in (0.05, 0.2, 0.5):
        assert abs(np.mean(np.array(p) <= level + 1e-9) - level) < 4 * np.sqrt(level * (1 - level) / 200)


def test_a_common_onset_is_no_evidence() -> None:
    """The cosine is high for a network blind to the stimuli; the specific correlation is undefined."""
    data, net = pair(sd=0.0)
    data["response"] = data["response"] + 30 * (1 - np.exp(-data["time"] / 20))
    data["response"].attrs["units"] = "Hz"
    onset = 30 * (1 - np.exp(-net["t_ms"].values / 20))
    blind = network(np.broadcast_to(onset[None, :, None], net["response"].shape).copy())
    scores = update_scores(data, blind, rng=0)
    assert float(scores["cosine"]) > 0.9
    assert float(scores["cosine_p"]) == pytest.approx(1.0)
    assert np.isnan(scores["specific"])
    assert np.isnan(scores["specific_p"])
    assert scores["specific"].attrs["undefined"] == "the network does not change"


def test_stillness_and_one_trial_are_nan_with_the_reason() -> None:
    data, net = pair(sd=1.0, trials=1)
    scores = update_scores(data, net, rng=0)
    assert np.isnan(scores["correlation_ceiling"])
    assert scores["correlation_ceiling"].attrs["undefined"] == "one trial has no halves"
    assert np.isfinite(scores["correlation"])
    still, _ = pair(sd=0.0)
    still["response"][:] = 0.1
    scores = update_scores(still, network(np.full((N, 13, UNITS), 3.3)), rng=0)
    assert np.isnan(scores["cosine"])
    assert scores["cosine"].attrs["undefined"] == "the brain does not change and the network does not change"


def test_unfit_arguments_are_refused() -> None:
    data, net = pair(sd=1.0)
    with pytest.raises(ArgumentError, match="got splits=0"):
        update_scores(data, net, splits=0)
    with pytest.raises(ArgumentError, match="got until_ms=3, expected an edge"):
        update_scores(data, net, until_ms=3.0)
    with pytest.raises(ArgumentError, match="got permutations=0"):
        update_scores(data, net, permutations=0)
