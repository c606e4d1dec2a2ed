"""Rate circuits: integration against closed forms and another solver, noise, components, linearisation, failures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from cortexres import circuits, stimuli
from cortexres.circuits import rates
from cortexres.circuits.rates import RateActivity, ou_noise, run_all, trajectory
from cortexres.circuits.runs import Run, Timing
from cortexres.definitions import (
    Circuit,
    Drive,
    Population,
    Profile,
    Projection,
    Synapse,
    assembly_profile,
    load_circuit,
    with_values,
)
from cortexres.errors import ArgumentError, DefinitionError, SimulationError, ValidityError
from cortexres.meanfield.rate_circuit import rate_fixed_point, rate_jacobian
from cortexres.rate_equations import rate_equations

MODELS: dict[str, dict[str, float]] = {
    "linear": {"input": 0.3},
    "threshold_linear": {"gain": 0.7, "input": 0.5, "rest_Hz": 2.0},
    "power_law_voltage": {"gain": 0.3, "exponent": 2.0, "input": 0.4},
    "power_law_rate": {"gain": 0.04, "exponent": 2.2, "input": 1.0},
    "wong_wang": {
        "gamma": 0.641,
        "slope": 270.0,
        "offset": 108.0,
        "curvature": 0.154,
        "input": 0.3255,
        "drive_weight": 5.2e-4,
    },
}
WEIGHTS = np.array([[0.5, -0.8], [0.9, -0.3]])
DRIVES = {"linear": 3.0, "threshold_linear": 3.0, "power_law_voltage": 3.0, "power_law_rate": 6.0, "wong_wang": 40.0}
every_model = pytest.mark.parametrize("neuron", sorted(MODELS))


def pair(
    neuron: str, *, weights: np.ndarray = WEIGHTS, dt_ms: float = 0.1, method: str = "rk4", **more: float
) -> Circuit:
    """Return an excitatory and an inhibitory rate, the first one driven."""
    scale = 0.1 if neuron == "wong_wang" else 1.0  # strengths in nA
    populations = tuple(
        Population(
            name=name,
            size=1,
            neuron=neuron,
            cell_type="pyramidal",
            parameters={"tau_ms": tau, "start": 0.1, **MODELS[neuron], **more},
        )
        for name, tau in (("E", 20.0), ("I", 10.0))
    )
    projections = tuple(
        Projection(source=s, target=t, synapse="rate", rule="all_to_all", strength=float(scale * weights[i, j]))
        for i, t in enumerate("EI")
        for j, s in enumerate("EI")
    )
    return Circuit(
        name="pair",
        title="two rates",
        source="none",
        populations=populations,
        synapses=(Synapse(name="rate", model="rate"),),
        projections=projections,
        drive=Drive(targets=("E",)),
        dt_ms=dt_ms,
        method=method,
    )


def textbook(neuron: str) -> Callable[[float, np.ndarray, np.ndarray], np.ndarray]:
    """Return the equations of `pair`, written once more and one by one."""
    p, tau, w = MODELS[neuron], np.array([20.0, 10.0]), (0.1 if neuron == "wong_wang" else 1.0) * WEIGHTS

    def slope(t: float, y: np.ndarray, drive: np.ndarray) -> np.ndarray:
        if neuron == "linear":
            aim = w @ y + p["input"] + drive
        elif neuron == "threshold_linear":
            rest = np.full(2, 2.0)
            background = rest - p["gain"] * w @ rest
            aim = np.maximum(p["gain"] * w @ y + p["input"] + background + drive, 0)
        elif neuron == "power_law_voltage":
            aim = w @ (p["gain"] * np.maximum(y, 0) ** p["exponent"]) + p["input"] + drive
        elif neuron == "power_law_rate":
            aim = p["gain"] * np.maximum(w @ y + p["input"] + drive, 0) ** p["exponent"]
        else:
            z = p["slope"] * (w @ y + p["input"] + p["drive_weight"] * drive) - p["offset"]
            rate = z / (1 - np.exp(-p["curvature"] * z))
            aim = tau * (1 - y) * p["gamma"] * rate / 1000
        return np.asarray((aim - y) / tau)

    return slope


def one_run(*, stimulus: int = 0, trial: int = 0, drive: object = ((2.0,),), frame_ms: float = 1.0) -> Run:
    sequence = np.random.SeedSequence(0, spawn_key=(stimulus, trial))
    return Run(stimulus=stimulus, trial=trial, seed=sequence, drive=np.array(drive), frame_ms=frame_ms)


def closed_form(circuit: Circuit, drive: np.ndarray, start: np.ndarray, t_ms: float) -> np.ndarray:
    """Return the state of a linear `pair` without constant input at a time, by the matrix exponential."""
    a = (rate_equations(circuit).weights - np.eye(2)) / np.array([20.0, 10.0])[:, None]
    rest = -np.linalg.solve(a, drive / np.array([20.0, 10.0]))
    return np.asarray(rest + expm(a * t_ms) @ (start - rest))


# Integration


@pytest.mark.parametrize(("method", "order"), [("rk4", 4), ("euler", 1)])
def test_the_error_falls_with_the_order_of_the_method(method: str, order: int) -> None:
    start, errors = np.array([1.0, -0.5]), []
    for dt in (2.0, 1.0, 0.5):
        circuit = pair("linear", dt_ms=dt, method=method, input=0.0)
        found = trajectory(circuit, duration_ms=40.0, drive=3.0, start=start).response[-1]
        errors.append(np.abs(found - closed_form(circuit, np.array([3.0, 0.0]), start, 40.0)).max())
    np.testing.assert_allclose(np.log2(np.divide(errors[:-1], errors[1:])), order, atol=0.15)


@every_model
def test_another_solver_finds_the_same(neuron: str) -> None:
    drive = np.array([DRIVES[neuron], 0.0])
    other = solve_ivp(textbook(neuron), (0, 60), [0.1, 0.1], args=(drive,), method="DOP853", rtol=1e-11, atol=1e-12)
    circuit = pair(neuron)
    states = trajectory(circuit, duration_ms=60.0, drive=DRIVES[neuron])
    end = other.y[:, -1]
    if neuron == "wong_wang":
        x = 0.1 * WEIGHTS @ end + 0.3255 + 5.2e-4 * drive
        end = (270 * x - 108) / (1 - np.exp(-0.154 * (270 * x - 108)))
    if neuron == "power_law_voltage":
        end = 0.3 * np.maximum(end, 0) ** 2
    np.testing.assert_allclose(states.response[-1], end, rtol=1e-6)


def test_the_drive_starts_with_the_stimulus_and_its_last_frame_holds() -> None:
    circuit = pair("linear", input=0.0, start=0.0)
    run = one_run(drive=[[2.0], [0.0], [-1.0]], frame_ms=10.0)
    ((_, found),) = run_all(circuit, [run], Timing(5.0, 45.0))
    state, expected = np.zeros(2), []
    for duration, amplitude in ((5.0, 0.0), (10.0, 2.0), (10.0, 0.0), (25.0, -1.0)):
        on, times = np.array([amplitude, 0.0]), np.arange(0, duration, 0.1)
        expected += [closed_form(circuit, on, state, float(t)) for t in times]
        state = closed_form(circuit, on, state, duration)
    np.testing.assert_allclose(found.response, expected, atol=1e-7)
    np.testing.assert_array_equal(np.unique(found.feedforward[:, 0]), [-1.0, 0.0, 2.0])
    assert np.flatnonzero(found.feedforward[:, 0])[0] == 50  # 5 ms after the start
    assert not found.feedforward[:, 1].any()


def test_a_thresholded_rate_rests_where_it_is_told_to() -> None:
    circuit = pair("threshold_linear", input=0.0, start=2.0)
    point = rate_fixed_point(circuit)
    np.testing.assert_allclose(point.rates, 2.0, rtol=1e-12)
    quiet = pair("threshold_linear", input=0.0, rest_Hz=0.0, start=0.0)
    np.testing.assert_array_equal(rate_equations(quiet).constant, 0.0)


@given(scale=st.floats(0.1, 50.0))
def test_a_linear_circuit_answers_in_proportion(scale: float) -> None:
    circuit = pair("linear", input=0.0, start=0.0, dt_ms=1.0)
    one = trajectory(circuit, duration_ms=30.0, drive=1.0)
    more = trajectory(circuit, duration_ms=30.0, drive=scale)
    for a, b in zip(one, more, strict=True):
        np.testing.assert_allclose(scale * a, b, rtol=1e-9, atol=1e-12)


def test_turning_the_stimulus_turns_the_response_of_a_ring() -> None:
    circuit = with_values(load_circuit("rubin_2015"), {"dt_ms": 1.0})
    drive = 10.0 * np.exp(-(((np.arange(180) - 90) / 30.0) ** 2) / 2)
    one, turned = (trajectory(circuit, duration_ms=30.0, drive=d).response[-1] for d in (drive, np.roll(drive, 37)))
    np.testing.assert_allclose(np.roll(one.reshape(2, 180), 37, axis=1).ravel(), turned, rtol=1e-9)


# Weights and components


def test_weights_are_strength_times_profile_times_matrix() -> None:
    base = load_circuit("rubin_2015")
    n, factor = 6, np.arange(36.0).reshape(6, 6)
    populations = tuple(replace(p, assemblies=n) for p in base.populations)
    profile = Profile(kind="gaussian", width_deg=40.0, normalised=False)
    rows = tuple(map(tuple, factor.tolist()))
    first = Projection(
        source="E", target="I", synapse="rate", rule="all_to_all", strength=0.5, profile=profile, matrix=rows
    )
    second = replace(first, source="I", target="E", matrix=(), profile=Profile(), strength=-3.0)
    below = replace(first, matrix=(), target="E", profile=Profile(kind="same"), pathway="feedforward")
    drive = replace(base.drive, front_end=None) if base.drive else None
    circuit = replace(base, populations=populations, projections=(first, second, below), drive=drive)
    equations = rate_equations(circuit)
    block = 0.5 * np.exp(-np.minimum(np.arange(6), 6 - np.arange(6)) ** 2 * 30.0**2 / (2 * 40.0**2))
    expected = np.zeros((12, 12))
    for i in range(6):
        for j in range(6):
            expected[6 + i, j] = block[abs(i - j)] * factor[i, j]
            expected[i, 6 + j] = -3.0 / 6
    np.testing.assert_allclose(equations.excitatory, np.maximum(expected, 0))
    np.testing.assert_allclose(equations.inhibitory, np.minimum(expected, 0))
    np.testing.assert_allclose(equations.feedforward[:6, :6], 0.5 * np.eye(6))
    np.testing.assert_allclose(assembly_profile(Profile(), 6, 6).sum(axis=1), 1.0)


@every_model
def test_components_and_constant_input_are_the_whole_input(neuron: str) -> None:
    circuit = pair(neuron)
    equations = rate_equations(circuit)
    found = trajectory(circuit, duration_ms=40.0, drive=DRIVES[neuron])
    total = found.feedforward + found.excitatory + found.inhibitory + equations.constant
    p = MODELS[neuron]
    if neuron == "wong_wang":
        z = 270 * total - 108
        np.testing.assert_allclose(found.response, z / (1 - np.exp(-0.154 * z)), rtol=1e-12)
        return
    state = np.sqrt(np.maximum(found.response, 0) / 0.3) if neuron == "power_law_voltage" else found.response
    aim = {
        "threshold_linear": np.maximum(total, 0),
        "power_law_rate": p.get("gain", 1) * np.maximum(total, 0) ** p.get("exponent", 1),
    }.get(neuron, total)
    # What is added to the state in a step is the input's distance from it.
    change = np.gradient(state, 0.1, axis=0)[1:-1] * np.array([20.0, 10.0])
    np.testing.assert_allclose(change, (aim - state)[1:-1], atol=2e-3 * np.abs(aim).max())
    assert (found.excitatory >= 0).all()
    assert (found.inhibitory <= 0).all()


def test_balanced_amplification_adds_three_times_its_input() -> None:
    point = rate_fixed_point(load_circuit("murphy_miller_2009"), drive=2.0)
    np.testing.assert_allclose(point.rates, [8.0, 6.0], rtol=1e-12)
    np.testing.assert_allclose((point.excitatory + point.inhibitory)[0] / point.feedforward[0], 3.0, rtol=1e-12)


# Noise and trials


def test_noise_has_its_spread_and_memory_from_the_first_step_on() -> None:
    equations = rate_equations(pair("linear", noise=0.7, noise_tau_ms=10.0))
    noise = np.stack([ou_noise(equations, 40, 1.0, np.random.default_rng(k)) for k in range(4000)])
    spread = noise.std(axis=0)
    np.testing.assert_allclose(spread, 0.7, rtol=0.05)
    for lag in (1, 10, 30):
        together = np.mean(noise[:, 0] * noise[:, lag]) / 0.49
        assert together == pytest.approx(np.exp(-lag / 10.0), abs=0.03)
    assert abs(np.mean(noise[..., 0] * noise[..., 1])) < 0.01  # each unit has its own


def test_potentials_vary_as_the_noise_is_made_for() -> None:
    quiet = with_values(load_circuit("hennequin_2018"), {"projections.*.strength": 0.0, "dt_ms": 1.0})
    equations, runs = rate_equations(quiet), [one_run(trial=k, drive=[[0.0]]) for k in range(300)]
    frames, frame_of = rates.unit_frames(quiet, equations, runs, Timing(0.0, 400.0), 400)
    noise = np.stack([ou_noise(equations, 400, 1.0, np.random.default_rng(run.seed)) for run in runs], axis=1)
    states = rates.integrate(equations, frames, frame_of, noise, dt_ms=1.0, method="rk4")
    np.testing.assert_allclose(states[200:].std(axis=(0, 1)), [0.2, 0.1], rtol=0.05)


def several_runs() -> list[Run]:
    return [one_run(stimulus=s, trial=t, drive=[[float(s)]]) for s in (1, 4) for t in range(3)]


def test_trials_without_noise_are_the_same_run() -> None:
    found = list(run_all(pair("linear"), several_runs(), Timing(5.0, 10.0)))
    assert [(run.stimulus, run.trial) for run, _ in found] == [(s, t) for s in (1, 4) for t in range(3)]
    assert found[0][1] is found[1][1] is found[2][1]
    assert not np.allclose(found[0][1].response, found[3][1].response)


def test_a_noisy_run_does_not_depend_on_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = pair("power_law_voltage", noise=0.5)
    together = [activity for _, activity in run_all(circuit, several_runs(), Timing(5.0, 10.0))]
    alone = [next(run_all(circuit, [run], Timing(5.0, 10.0)))[1] for run in several_runs()]
    monkeypatch.setattr(rates, "BATCH_BYTES", 1)
    one_by_one = [activity for _, activity in run_all(circuit, several_runs(), Timing(5.0, 10.0))]
    for a, b, c in zip(together, alone, one_by_one, strict=True):
        for name in RateActivity._fields:
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-12)
            np.testing.assert_allclose(getattr(a, name), getattr(c, name), rtol=1e-12)
    assert not np.allclose(together[0].response, together[1].response)


def test_the_noise_of_decisions_is_in_their_rates() -> None:
    circuit, run = pair("wong_wang", noise=0.01), one_run(drive=[[40.0]])
    ((_, found),) = run_all(circuit, [run], Timing(0.0, 5.0))
    noise = ou_noise(rate_equations(circuit), 50, 0.1, np.random.default_rng(run.seed))
    z = 270 * (found.feedforward + found.excitatory + found.inhibitory + 0.3255 + noise) - 108
    np.testing.assert_allclose(found.response, z / (1 - np.exp(-0.154 * z)), rtol=1e-9)


# As a brain Dataset


def test_simulated_rates_are_the_means_over_bins() -> None:
    circuit = load_circuit("hennequin_2018")
    brain = circuits.simulate(circuit, stimuli.steps([1.0, 5.0]), trials=2, duration_ms=20.0, rng=0, progress=False)
    assert brain["response"].shape == (2, 2, 4, 2)
    assert brain["response"].attrs == {"units": "Hz"}
    assert brain["recurrent_excitatory"].attrs == {"units": "mV"}
    np.testing.assert_array_equal(brain["feedforward"].sel(stimulus=1), 5.0)
    again = circuits.simulate(circuit, stimuli.steps([1.0, 5.0]), trials=3, duration_ms=20.0, rng=0, progress=False)
    np.testing.assert_array_equal(again["response"][:, :2], brain["response"])
    assert not np.allclose(brain["response"][:, 0], brain["response"][:, 1])  # noise
    quiet = with_values(circuit, {"populations.*.noise": 0.0})
    settled = circuits.simulate(quiet, stimuli.steps([5.0]), trials=1, duration_ms=500.0, rng=0, progress=False)
    np.testing.assert_allclose(settled["response"][0, 0, -1], rate_fixed_point(quiet, drive=5.0).rates, rtol=1e-6)
    course = trajectory(quiet, duration_ms=499.9, drive=5.0).response.reshape(100, 50, 2).mean(axis=1)
    np.testing.assert_allclose(settled["response"][0, 0], course, rtol=1e-9)


def test_linear_rates_may_fall_below_their_baseline() -> None:
    circuit = load_circuit("murphy_miller_2009")
    brain = circuits.simulate(circuit, stimuli.steps([-1.0], units="Hz"), trials=1, rng=0, progress=False)
    assert brain["response"].attrs["relative_to"] == "baseline"
    np.testing.assert_allclose(brain["response"][0, 0, -1], [-4.0, -3.0], rtol=1e-3)


def test_decisions_are_driven_in_Hz_and_receive_nA() -> None:
    circuit = with_values(load_circuit("wong_wang_2006"), {"populations.*.noise": 0.0})
    evidence = stimuli.steps([[40.0, 20.0]], units="Hz")
    brain = circuits.simulate(circuit, evidence, trials=1, rng=0, duration_ms=1000.0, progress=False)
    assert brain["feedforward"].attrs["units"] == "nA"
    np.testing.assert_allclose(brain["feedforward"][0, 0, 3], 5.2e-4 * np.array([40.0, 20.0]))
    assert brain["response"][0, 0, -1, 0] > 30 > 1 > brain["response"][0, 0, -1, 1]


def test_images_drive_the_ring_at_their_orientation() -> None:
    circuit = with_values(load_circuit("rubin_2015"), {"dt_ms": 1.0})
    gratings = stimuli.patterns(4, rng=0)
    brain = circuits.simulate(circuit, gratings, trials=1, duration_ms=50.0, settle_ms=0.0, rng=0, progress=False)
    excitatory = brain["response"][:, 0, -1, :180]
    np.testing.assert_array_equal(excitatory.argmax("unit"), gratings["orientation_deg"])


# Linearisation and fixed points


@every_model
def test_the_jacobian_is_the_slope_of_the_derivative(neuron: str) -> None:
    circuit = pair(neuron)
    state, equations = np.array([0.3, 0.2]), rate_equations(circuit)
    external = np.array([DRIVES[neuron], 0.0]) * equations.drive_scale
    columns = []
    for k in range(2):
        step = 1e-6 * np.eye(2)[k]
        up, down = (equations.derivative(state + sign * step, external) for sign in (1, -1))
        columns.append((up - down) / 2e-6)
    found = rate_jacobian(circuit, state, drive=DRIVES[neuron])
    np.testing.assert_allclose(found, np.array(columns).T, rtol=1e-5, atol=1e-8)


@every_model
def test_a_fixed_point_is_where_the_circuit_comes_to_rest(neuron: str) -> None:
    circuit = pair(neuron)
    point = rate_fixed_point(circuit, drive=DRIVES[neuron])
    assert point.stable
    assert point.residual < 1e-10
    late = trajectory(circuit, duration_ms=1500.0, drive=DRIVES[neuron])
    np.testing.assert_allclose(late.response[-1], point.rates, rtol=1e-6)
    for name in ("feedforward", "excitatory", "inhibitory"):
        np.testing.assert_allclose(getattr(late, name)[-1], getattr(point, name), rtol=1e-6)
    # A small perturbation dies out with the slowest time constant.
    moved = trajectory(circuit, duration_ms=300.0, drive=DRIVES[neuron], start=point.state + 1e-5)
    size = np.abs(moved.response - point.rates).max(axis=1)
    assert size[-1] < 10 * size[0] * np.exp(-300.0 / point.slowest_ms) + 1e-13


def test_the_input_output_function_of_decisions_is_smooth_where_it_divides_by_zero() -> None:
    equations = rate_equations(pair("wong_wang", weights=np.zeros((2, 2)), input=0.4))
    offsets = np.array([-1e-5, -1e-9, 0.0, 1e-9, 1e-5])
    found = equations.rates(np.zeros((5, 2)), offsets[:, None] * np.ones(2))[:, 0]
    np.testing.assert_allclose(found, 1 / 0.154 + 270 * offsets / 2, rtol=1e-6)
    assert equations.rates(np.zeros(2), np.full(2, -1e4))[0] == pytest.approx(0.0, abs=1e-200)


# Failures


def test_what_is_not_a_rate_circuit() -> None:
    spiking = load_circuit("ei_assemblies")
    with pytest.raises(DefinitionError, match="circuit ei_assemblies has spiking cells, expected rates; simulate"):
        next(run_all(spiking, [one_run()], Timing(0.0, 1.0)))
    mixed = pair("linear")
    other = pair("wong_wang").populations[1]
    with pytest.raises(DefinitionError, match="mixes rates with inputs in Hz and nA, expected models of one unit"):
        rate_equations(replace(mixed, populations=(mixed.populations[0], other)))


def test_a_circuit_that_runs_away_is_told_so() -> None:
    wild = pair("linear", weights=np.array([[60.0, 0.0], [0.0, 0.0]]))
    with pytest.raises(SimulationError, match=r"pair grow beyond all numbers \d+\.?\d* ms after the start"):
        list(run_all(wild, [one_run()], Timing(0.0, 1000.0)))
    with pytest.raises(ValidityError, match=r"circuit pair do not come to rest within .* it runs away or oscillates"):
        rate_fixed_point(wild)


def test_a_drive_or_start_of_the_wrong_length() -> None:
    with pytest.raises(ArgumentError, match=r"drive has shape \(3,\), expected \(1,\), one value per channel of pair"):
        rate_fixed_point(pair("linear"), drive=[1.0, 2.0, 3.0])
    with pytest.raises(ArgumentError, match=r"start has shape \(3,\), expected \(2,\), one state per unit"):
        rate_fixed_point(pair("linear"), start=[1.0, 2.0, 3.0])
