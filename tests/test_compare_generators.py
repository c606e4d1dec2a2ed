"""Generators: linear systems of known spectrum are the same at any step, width of bin, network and observation."""

from __future__ import annotations

import numpy as np
import pytest
from compare_synthetic import network
from linear_systems import RELAXING, ROTATING, full_spectrum, operator, recorded, unrolled

from cortexres.compare.dynamics.generator_distance import generator_distance, matched
from cortexres.compare.dynamics.generator_floor import generator_floor
from cortexres.compare.dynamics.generators import generators, operator_of_a_step
from cortexres.errors import ArgumentError

SYSTEM = operator(ROTATING, np.random.default_rng(1))
OTHER = operator(RELAXING, np.random.default_rng(2))
TRUTH = full_spectrum(ROTATING)


def off(spectrum: object, truth: np.ndarray = TRUTH) -> float:
    return matched(spectrum["generator_real"].values + 1j * spectrum["generator_imag"].values, truth)[0]


@pytest.mark.parametrize("dt", [0.2, 1.0, 3.0])
@pytest.mark.parametrize("h", [0.05, 0.5, 1.5])
def test_the_same_system_at_any_step_and_another_system(dt: float, h: float) -> None:
    circuit = generators(recorded(SYSTEM, dt=dt, bins=40), rank=6)
    blocks = 14 if h > 1 else 60  # Euler's method is unstable at so coarse a step
    net = generators(unrolled(SYSTEM, h=h, blocks=blocks), rank=6)
    other = generators(unrolled(OTHER, h=h, blocks=blocks), rank=6)
    assert off(circuit) < 1e-6
    assert off(net) < 1e-6
    same, different = generator_distance(circuit, net), generator_distance(circuit, other)
    assert float(same["generator_distance"]) < 1e-6
    assert float(same["generator_distance_relative"]) < 1e-5
    assert float(different["generator_distance"]) > 0.1
    assert float(different["generator_distance_relative"]) > 0.5
    assert float(circuit["variance_explained"]) == pytest.approx(1.0)
    assert float(net["fit"]) == pytest.approx(1.0)


def test_operators_of_a_step_call_the_same_system_different() -> None:
    """What the generator form is for: by plain operators a coarser step is further off than another system."""
    fine = generators(recorded(SYSTEM, dt=0.2, bins=60), rank=6)
    coarse = generators(recorded(SYSTEM, dt=3.0, bins=60, seed=3), rank=6)
    other = generators(recorded(OTHER, dt=0.2, bins=60), rank=6)
    same, different = generator_distance(fine, coarse), generator_distance(fine, other)
    assert float(same["step_distance"]) > 2 * float(different["step_distance"])
    assert float(same["generator_distance"]) < 1e-6


def test_blocks_without_time_are_counted_in_blocks_until_a_step_is_given() -> None:
    net = unrolled(SYSTEM, h=0.5, blocks=60, timed=False)
    assert off(generators(net, rank=6, step_ms=1.0), 0.5 * TRUTH) < 1e-6
    assert off(generators(net, rank=6, step_ms=0.5)) < 1e-6


def test_noise_that_is_independent_between_trials_cancels() -> None:
    """Regressed on their own noisy past, the states seem to decay faster; on other trials' past, they do not."""
    matrix = np.array([[-0.1, -0.3], [0.3, -0.1]])
    truth = np.array([-0.1 + 0.3j, -0.1 - 0.3j])
    real, plain = [], []
    for seed in range(30):
        data = recorded(matrix, dt=1.0, bins=25, units=10, stimuli=8, trials=6, sd=6.0, seed=seed)
        real.append(generators(data, rank=2)["generator_real"].values.mean())
        one = generators(data.mean("trial", keep_attrs=True).expand_dims("trial", 1), rank=2)
        plain.append(one["generator_real"].values.mean())
        assert "draws the eigenvalues" in one.attrs["bias"]
    error = np.std(real, ddof=1) / np.sqrt(30)
    assert abs(np.mean(real) - truth.real.mean()) < 4 * error
    assert np.mean(plain) < truth.real.mean() - 10 * error


def test_floor_is_what_trial_noise_alone_sets_apart() -> None:
    data = recorded(SYSTEM, dt=1.0, bins=40, trials=8, sd=2.0)
    floor = generator_floor(data, rank=4, splits=6, rng=0)
    spectrum = generators(data, rank=4)
    same = generator_distance(spectrum, generators(recorded(SYSTEM, dt=0.5, bins=80, trials=8, sd=2.0, seed=4), rank=4))
    other = generator_distance(spectrum, generators(unrolled(OTHER, h=0.5, blocks=80), rank=4))
    clean = generator_floor(recorded(SYSTEM, dt=1.0, bins=40, trials=4), rank=4, splits=2, rng=0)
    assert float(clean["generator_distance_floor"]) < 1e-8
    for name in ("generator_distance", "generator_distance_relative"):
        assert 0 < float(floor[f"{name}_floor"]) <= float(floor[f"{name}_95"]) < float(other[name])
        assert float(same[name]) < float(other[name]) / 3
    assert float(generator_floor(data, rank=4, splits=6, rng=0)["generator_distance_95"]) == float(
        floor["generator_distance_95"]
    )
    with pytest.raises(ArgumentError, match="got 3 trials and splits=20, expected 4 trials or more"):
        generator_floor(data.isel(trial=slice(3)), rank=4)


def test_a_nonlinear_circuit_is_nearer_to_its_network_than_to_another() -> None:
    """No linear generator holds exactly, and what the fit takes of the curvature depends on the states it sees."""
    rng = np.random.default_rng(11)
    tau, size = 10.0, 6
    ours = 0.9 * rng.standard_normal((size, size)) / np.sqrt(size) - 0.5 * np.eye(size)
    theirs = 0.9 * rng.standard_normal((size, size)) / np.sqrt(size) + 0.4 * np.eye(size)
    drive = rng.standard_normal((12, size))

    def run(weights: np.ndarray, step: float, duration: float = 40.0) -> np.ndarray:
        states = [np.zeros((12, size))]
        for _ in range(round(duration / step)):
            states.append(states[-1] + step / tau * (np.tanh(states[-1] @ weights.T + drive) - states[-1]))
        return np.stack(states, axis=1)

    fine = run(ours, 0.02)
    circuit = network(fine[:, ::100], dt_ms=2.0).isel(block=slice(1, None))
    circuit = recorded(SYSTEM, dt=2.0, bins=20, units=size, stimuli=12).assign(
        response=(("stimulus", "trial", "time", "unit"), 100 + circuit["response"].values[:, None], {"units": "Hz"})
    )
    spectrum = generators(circuit, rank=4)
    near = generator_distance(spectrum, generators(network(run(ours, 1.0), dt_ms=1.0), rank=4))
    far = generator_distance(spectrum, generators(network(run(theirs, 1.0), dt_ms=1.0), rank=4))
    assert float(near["generator_distance_relative"]) < 0.1
    assert float(far["generator_distance_relative"]) > 3 * float(near["generator_distance_relative"])
    assert float(spectrum["fit"]) > 0.99


def test_products_between_trials_are_the_mean_over_pairs() -> None:
    rng = np.random.default_rng(3)
    states = rng.standard_normal((4, 3, 9, 2)) + 5 * rng.standard_normal((4, 1, 9, 2)).cumsum(axis=2)
    before, after = (part - part.mean(axis=2, keepdims=True) for part in (states[:, :, :-1], states[:, :, 1:]))
    pairs = [(i, j) for i in range(3) for j in range(3) if i != j]
    now = np.mean([np.einsum("stu,stv->uv", before[:, i], before[:, j]) for i, j in pairs], axis=0)
    then = np.mean([np.einsum("stu,stv->uv", after[:, i], before[:, j]) for i, j in pairs], axis=0)
    found, explained, *_ = operator_of_a_step(states, 2)
    np.testing.assert_allclose(
        np.sort_complex(np.linalg.eigvals(found)), np.sort_complex(np.linalg.eigvals(then @ np.linalg.inv(now)))
    )
    assert explained == pytest.approx(1.0)


def test_fewer_units_than_dimensions_need_delays() -> None:
    data = recorded(SYSTEM, dt=1.0, bins=80, units=2)
    assert off(generators(data, rank=6, delays=5)) < 1e-3
    with pytest.raises(ArgumentError, match="expected at most 2: no more components vary"):
        generators(data, rank=6)


def test_more_units_than_states_change_nothing() -> None:
    assert off(generators(recorded(SYSTEM, dt=1.0, bins=12, units=400, stimuli=3), rank=6)) < 1e-6


def test_what_comes_before_the_stimulus_is_left_out() -> None:
    data = recorded(SYSTEM, dt=1.0, bins=30)
    shifted = data.assign_coords(time=("time", data["time"].values - 10.0, dict(data["time"].attrs)))
    early = shifted.where(shifted["time"] > 0, 500.0)
    early["response"].attrs = dict(data["response"].attrs)
    assert off(generators(early, rank=6)) < 1e-6


def test_result_says_what_it_is() -> None:
    circuit = generators(recorded(SYSTEM, dt=1.0, bins=40, trials=2), rank=4)
    assert circuit.attrs["form"] == "log(lambda) / dt"
    assert circuit.attrs["bias"] == ""
    assert (circuit.attrs["n_stimuli"], circuit.attrs["n_trials"]) == (8, 2)
    assert circuit["generator_real"].attrs["units"] == "1/ms"
    assert (np.diff(circuit["generator_real"]) <= 1e-9).all()  # slowest decay first
    whole, few = (generators(recorded(SYSTEM, dt=1.0, bins=40), rank=rank)["variance_explained"] for rank in (6, 3))
    assert 0.5 < float(few) < float(whole) - 1e-3
    net = generators(unrolled(SYSTEM, h=0.5, blocks=40), rank=4)
    assert net.attrs["form"] == "(lambda - 1) / h"
    result = generator_distance(circuit, net)
    assert result.attrs["form_b"] == "(lambda - 1) / h"
    assert result.attrs["orientation"] == "distance"
    assert sorted(result["match"].values) == [0, 1, 2, 3]


def test_distance_is_a_metric_of_spectra() -> None:
    rng = np.random.default_rng(4)
    sets = rng.standard_normal((6, 5)) + 1j * rng.standard_normal((6, 5))
    d = np.array([[matched(x, y)[0] for y in sets] for x in sets])
    np.testing.assert_allclose(np.diag(d), 0.0)
    np.testing.assert_allclose(d, d.T)
    assert (d[:, None, :] <= d[:, :, None] + d[None, :, :] + 1e-12).all()
    assert matched(sets[0], sets[0][::-1] + 0.1)[0] == pytest.approx(0.1)


def test_arguments_are_checked() -> None:
    circuit, net = recorded(SYSTEM, dt=1.0, bins=20), unrolled(SYSTEM, h=1.0, blocks=20)
    untimed = unrolled(SYSTEM, h=1.0, blocks=20, timed=False)
    with pytest.raises(ArgumentError, match="got rank=0 and 20 states"):
        generators(circuit, rank=0)
    with pytest.raises(ArgumentError, match="got rank=30 and 20 states"):
        generators(circuit, rank=30)
    with pytest.raises(ArgumentError, match="got delays=0 for 20 states"):
        generators(circuit, rank=2, delays=0)
    with pytest.raises(ArgumentError, match="got step_ms=5 for a brain"):
        generators(circuit, rank=2, step_ms=5.0)
    with pytest.raises(ArgumentError, match="got step_ms=5 for a network with t_ms"):
        generators(net, rank=2, step_ms=5.0)
    with pytest.raises(ArgumentError, match="got step_ms=None for a network without t_ms"):
        generators(untimed, rank=2)
    with pytest.raises(ArgumentError, match="got 3 bins, each 1 ms wide, expected at least 4"):
        generators(circuit.isel(time=slice(3)), rank=1)
    with pytest.raises(ArgumentError, match="got steps of 1 to 2 ms between bins"):
        generators(circuit.isel(time=[0, 1, 2, 4, 5, 6]), rank=1)
    with pytest.raises(ArgumentError, match=r"got steps of 1 to 1\.01 ms between blocks"):
        generators(net.assign_coords(t_ms=("block", np.append(np.arange(20.0), 20.01), {"units": "ms"})), rank=1)
    stages = untimed.assign_coords(stage=("block", [0] * 10 + [1] * 11))
    with pytest.raises(ArgumentError, match="got blocks of 2 stages"):
        generators(stages, rank=2, step_ms=1.0)
    with pytest.raises(ArgumentError, match="expected a brain Dataset with time or a network"):
        generators(circuit.mean("time"), rank=2)
    spectrum = generators(circuit, rank=4)
    with pytest.raises(ArgumentError, match="got spectra of 4 and 3 generators"):
        generator_distance(spectrum, generators(net, rank=3))
    with pytest.raises(ArgumentError, match="generators that are undefined"):
        generator_distance(spectrum, spectrum * np.nan)
    with pytest.raises(ArgumentError, match="expected generator_real and generator_imag"):
        generator_distance(spectrum, circuit)


def test_a_state_that_is_wiped_out_at_once_has_no_logarithm() -> None:
    states = np.zeros((4, 1, 8, 3))
    states[:, 0, 0] = np.random.default_rng(0).standard_normal((4, 3))
    data = recorded(SYSTEM, dt=1.0, bins=8, units=3, stimuli=4).copy()
    data["response"] = (data["response"].dims, 5.0 + states, {"units": "Hz"})
    spectrum = generators(data, rank=1)
    assert float(spectrum["eigenvalue_real"][0]) == pytest.approx(0.0, abs=1e-12)
    assert np.isnan(spectrum["generator_real"]).all()
    assert np.isnan(spectrum["fit"])
    assert "no logarithm" in spectrum["generator_real"].attrs["undefined"]
