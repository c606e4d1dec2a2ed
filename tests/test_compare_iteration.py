"""Iterative estimation: contractions with known rates, trial noise that adds nothing, tied networks."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from compare_synthetic import brain, network
from scipy.stats import ortho_group

from cortexres.compare.updates import iteration_indices, recurrence_index
from cortexres.errors import ArgumentError

N, UNITS = 30, 6


def iterated(matrix: np.ndarray, steps: int, rng: np.random.Generator, skip: int | None = None) -> np.ndarray:
    """Return states (stimulus, block, unit) of h <- A h + b from random starts; one step less where `skip` is given."""
    state, offset, kept = rng.standard_normal((N, UNITS)), rng.standard_normal(UNITS), []
    for step in range(steps + 1):
        kept.append(state)
        if step + 1 != skip:
            state = state @ matrix.T + offset
    return np.stack(kept, axis=1)


def test_a_contraction_decays_at_its_spectral_radius() -> None:
    rng = np.random.default_rng(0)
    radius = 0.8
    rotation = radius * ortho_group.rvs(UNITS, random_state=1)
    found = iteration_indices(network(iterated(rotation, 15, rng), dt_ms=None))
    np.testing.assert_allclose(found["contraction"][1:-1], radius)
    assert float(found["decay"]) == pytest.approx(radius)
    # Of any other matrix the updates decay so in the long run.
    basis = ortho_group.rvs(UNITS, random_state=2)
    matrix = basis @ np.diag([0.9, 0.5, -0.4, 0.3, 0.2, 0.1]) @ basis.T
    curve = iteration_indices(network(iterated(matrix, 60, rng), dt_ms=None))["contraction"].values[1:-1]
    assert curve[-1] == pytest.approx(0.9, abs=1e-9)
    assert (np.diff(curve[:5]) > 0).all()


def test_a_straight_approach_has_closed_forms() -> None:
    rho, steps = 0.7, 10
    found = iteration_indices(network(iterated(rho * np.eye(UNITS), steps, np.random.default_rng(0)), dt_ms=None))
    k = np.arange(steps + 1)
    error = (rho**k - rho**steps) / (1 - rho**steps)
    np.testing.assert_allclose(found["mean_squared_error"], error**2, atol=1e-12)
    np.testing.assert_allclose(found["cosine"][1:-1], 1.0)
    assert float(found["convergence"]) == pytest.approx(np.mean(error[:-1] ** 2))
    assert np.isnan(found["divergence"])
    assert found["divergence"].attrs["undefined"] == "nothing after the end"
    np.testing.assert_allclose(found["bias"] + found["variance"], found["mean_squared_error"])
    states = iterated(rho * np.eye(UNITS), steps, np.random.default_rng(0))
    early = iteration_indices(network(states, dt_ms=None), end=6)
    after = (rho ** k[7:] - rho**6) / (1 - rho**6)
    assert float(early["divergence"]) == pytest.approx(np.mean(after**2))


def test_bias_is_that_of_the_population_of_stimuli() -> None:
    """Errors without a mean have none, also of few stimuli, where the squared mean is a share 1 / n of the variance."""
    biased, free = [], []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal((8, 1, 5)) * np.array([3.0, 2.0, 1.0, 0.0])[None, :, None]
        free.append(iteration_indices(network(noise, dt_ms=None))["bias"].values)
        biased.append(iteration_indices(network(noise + np.array([2.0, 1.0, 0.5, 0])[:, None], dt_ms=None))["bias"][0])
    mean, error = np.mean(free, axis=0), np.std(free, axis=0) / np.sqrt(150)
    assert (np.abs(mean) <= 4 * error + 1e-12).all()
    assert np.mean(biased) == pytest.approx(4 / 13, abs=0.04)


@pytest.mark.parametrize("sd", [0.0, 1.0])
def test_trial_noise_adds_nothing(sd: float) -> None:
    """The indices of noisy trials are those of the noise-free trace; products of the mean with itself are not."""
    rng = np.random.default_rng(0)
    tau, t = 20.0, np.arange(12) * 5.0 + 2.5
    gain = rng.uniform(5, 15, (40, 1, UNITS)) * rng.choice([-1, 1], (40, 1, UNITS))
    signal = 30 + gain * (1 - np.exp(-t[:, None] / tau))
    found = [iteration_indices(brain(signal, sd=sd, trials=6, rng=rng)) for _ in range(25 if sd else 1)]
    ratio = np.exp(-5 / tau)
    mean = xr.concat(found, "run", combine_attrs="override").mean("run", skipna=True)
    np.testing.assert_allclose(mean["cosine"][1:5], 1.0, atol=0.03 if sd else 1e-9)
    np.testing.assert_allclose(mean["contraction"][1:5], ratio, atol=0.03 if sd else 1e-9)
    assert float(mean["decay"]) == pytest.approx(ratio, abs=0.02)
    assert float(mean["decay_ms"]) == pytest.approx(tau, abs=0.5)
    distance = (np.exp(-t / tau) - np.exp(-t[-1] / tau)) ** 2 / (np.exp(-t[0] / tau) - np.exp(-t[-1] / tau)) ** 2
    np.testing.assert_allclose(mean["mean_squared_error"], distance, atol=0.01 if sd else 1e-9)


def test_noise_alone_is_undefined_or_about_nothing() -> None:
    rng = np.random.default_rng(3)
    found = iteration_indices(brain(np.full((20, 10, 5), 50.0), sd=2.0, trials=8, rng=rng))
    assert np.isnan(found["contraction"]).any()
    assert "trial noise exceeds" in found["contraction"].attrs["undefined"]


def test_intervals_hold_the_value_of_other_stimuli() -> None:
    rng, hits = np.random.default_rng(0), []
    basis = ortho_group.rvs(UNITS, random_state=2)
    matrix = basis @ np.diag([0.9, 0.5, 0.4, 0.3, 0.2, 0.1]) @ basis.T
    errors = rng.standard_normal((20000, UNITS))  # of all the stimuli there could be, from the fixed point
    first, second = ((errors @ np.linalg.matrix_power(matrix, k) @ (matrix - np.eye(UNITS))) for k in (0, 1))
    truth = np.sum(first * second) / np.linalg.norm(first) / np.linalg.norm(second)
    for _ in range(100):
        sample = errors[rng.choice(20000, 25, replace=False)]
        states = np.stack([sample @ np.linalg.matrix_power(matrix, k) for k in range(4)], axis=1)
        found = iteration_indices(network(states, dt_ms=None))
        hits.append(float(found["cosine_low"][1]) <= truth <= float(found["cosine_high"][1]))
    assert 0.87 <= np.mean(hits) <= 0.99


def test_two_stimuli_leave_none_out_and_the_interval_says_so() -> None:
    states = iterated(0.7 * np.eye(UNITS), 5, np.random.default_rng(0))[:2]
    found = iteration_indices(network(states, dt_ms=None))
    assert np.isfinite(found["mean_squared_error"]).all()
    assert np.isnan(found["mean_squared_error_low"]).all()
    assert "two stimuli" in found["mean_squared_error_low"].attrs["undefined"]


def test_tied_blocks_are_recurrent_and_others_are_not() -> None:
    steps, matrix = 6, 0.6 * np.eye(UNITS) + 0.1
    whole = network(iterated(matrix, steps, np.random.default_rng(0)), dt_ms=None)
    tied = {k: network(iterated(matrix, steps, np.random.default_rng(0), skip=k), dt_ms=None) for k in (1, 3, 6)}
    found = recurrence_index(whole, tied)
    np.testing.assert_allclose(found["recurrence"], 0.0, atol=1e-12)
    assert found["block"].values.tolist() == [1, 3, 6]
    other = whole.copy()
    other["response"] = whole["response"] + 1.0
    assert float(recurrence_index(whole, {2: other})["recurrence_mean"]) > 0.1
    still = network(np.ones((N, 3, UNITS)), dt_ms=None)
    assert np.isnan(recurrence_index(still, {1: still})["recurrence_mean"])
    assert recurrence_index(still, {1: still})["recurrence"].attrs["undefined"] == "the last block changes nothing"
    with pytest.raises(ArgumentError, match="got 0 lesions"):
        recurrence_index(whole, {})
    with pytest.raises(ArgumentError, match="a lesioned network has 5 units, expected the 6"):
        recurrence_index(whole, {1: whole.isel(unit=slice(0, 5))})


def test_unfit_activity_is_refused() -> None:
    rng = np.random.default_rng(0)
    net = network(rng.standard_normal((N, 4, UNITS)), dt_ms=None)
    with pytest.raises(ArgumentError, match="got a brain with one trial"):
        iteration_indices(brain(np.ones((5, 6, 3)), sd=0.1, trials=1, rng=rng))
    with pytest.raises(ArgumentError, match="expected a brain or a network"):
        iteration_indices(xr.Dataset())
    with pytest.raises(ArgumentError, match="got end=9, expected a block in 0"):
        iteration_indices(net, end=9)
    with pytest.raises(ArgumentError, match="steps up to the end"):
        iteration_indices(net, end=1)
