"""How many components move, and how many are noise: what the rank of generators is to be chosen by."""

from __future__ import annotations

import numpy as np
import pytest
from compare_synthetic import brain
from linear_systems import RELAXING, operator, recorded

from cortexres.compare.dynamics.generators import generators

SYSTEM = np.array([[-0.02, 0.05, 0.0], [-0.05, -0.02, 0.0], [0.0, 0.0, -0.04]])


def turning(rng: np.random.Generator, *, steps: int = 40, step_ms: float = 4.0) -> np.ndarray:
    """Return states (10, step, 30) of a system of three dimensions, a constant input for each stimulus."""
    states, inputs = [np.zeros((10, 3))], rng.standard_normal((10, 3))
    for _ in range(steps - 1):
        states.append(states[-1] + step_ms * (states[-1] @ SYSTEM.T + inputs))
    return 1000 + np.stack(states, axis=1) @ rng.standard_normal((3, 30))


@pytest.mark.parametrize("trials", [2, 10])
def test_three_components_move_and_noise_has_none(trials: int) -> None:
    moving, noise = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        states = turning(rng)
        data = brain(states, sd=10.0, trials=trials, rng=rng, bin_ms=4.0)
        still = brain(np.full(states.shape, 1000.0), sd=10.0, trials=trials, rng=rng, bin_ms=4.0)
        moving.append(float(generators(data, rank=3)["components_above_noise"]))
        noise.append(float(generators(still, rank=3)["components_above_noise"]))
    assert np.mean(np.equal(moving, 3)) >= 0.8
    assert max(moving) <= 4
    assert np.mean(np.equal(noise, 0)) >= 0.8


def test_one_trial_does_not_tell() -> None:
    data = recorded(operator(RELAXING, np.random.default_rng(2)), dt=1.0, bins=40)
    found = generators(data, rank=3)["components_above_noise"]
    assert np.isnan(found)
    assert "one trial" in found.attrs["undefined"]
