"""Every neuron and synapse model against its closed form, or against another integration of its equations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from cortexres.circuits.connectivity import draw
from cortexres.circuits.propagators import propagators
from cortexres.circuits.runs import Activity, Recording, Run, Timing, first_potentials
from cortexres.circuits.structure import Cells, Receptor
from cortexres.definitions import Background, Circuit, Drive, Population, Projection, Start, Synapse, with_values
from cortexres.errors import DefinitionError

DT = 0.1
LIF = {"tau_m_ms": 10.0, "v_rest_mV": 0.0, "v_threshold_mV": 15.0, "v_reset_mV": 0.0, "t_refractory_ms": 2.0}
ADEX = {
    **{"C_m_pF": 200.0, "g_leak_nS": 10.0, "v_rest_mV": -60.0, "v_threshold_mV": -50.0, "v_reset_mV": -60.0},
    **{"t_refractory_ms": 2.0, "v_spike_mV": -30.0, "delta_T_mV": 0.002, "tau_w_ms": 50.0},
}
AT_REST = Start(kind="normal")


def cells(
    parameters: Mapping[str, float] = LIF, *, neuron: str = "lif", name: str = "E", **fields: object
) -> Population:
    defaults = {"size": 1, "cell_type": "pyramidal", "start": AT_REST}
    return Population(name=name, neuron=neuron, parameters=dict(parameters), **{**defaults, **fields})  # type: ignore[arg-type]


def source(size: int = 1, **fields: object) -> Population:
    return cells({}, neuron="replay", name="R", size=size, cell_type="external", **fields)


def circuit(*populations: Population, method: str = "euler", **parts: object) -> Circuit:
    defaults = {"synapses": (), "projections": (), "dt_ms": DT}
    return Circuit(name="t", title="", source="", populations=populations, method=method, **{**defaults, **parts})  # type: ignore[arg-type]


def run_numpy(
    what: Circuit,
    duration_ms: float,
    *,
    names: Mapping[int, tuple[str, ...]] | None = None,
    replay: Mapping[str, Recording] | None = None,
    drive: NDArray[np.float64] | None = None,
    frame_ms: float = 0.0,
    settle_ms: float = 0.0,
    seed: int = 0,
) -> tuple[Activity, dict[str, NDArray[np.float64]]]:
    """One run by numpy, with the variables `names` of each group recorded: (cell, step), before each step, in SI."""
    import brian2

    from cortexres.circuits import run_parameters, runtime
    from cortexres.circuits.build import build
    from cortexres.circuits.structure_of import structure

    channels = 0 if what.drive is None else what.population(what.drive.targets[0]).assemblies
    given = np.zeros((1, channels)) if drive is None else drive
    run = Run(0, 0, np.random.SeedSequence(seed), given, frame_ms, replay or {})
    timing, connections = Timing(settle_ms, duration_ms), draw(what, np.random.SeedSequence(1))
    made, recorders = structure(what, connections, [run], timing), []

    def watched(*arguments: object) -> object:
        built = build(*arguments)  # type: ignore[arg-type]
        for k, variables in (names or {}).items():
            recorders.append(brian2.StateMonitor(built.groups[k], list(variables), record=True))
            built.network.add(recorders[-1])
        return built

    assert run_parameters.run_values(made, what, run) is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "build", watched)
        ((_, activity),) = runtime.run_all(what, connections, [run], timing, target="numpy")
    found = {
        name: np.asarray(getattr(recorder, f"{name}_"))
        for recorder, variables in zip(recorders, (names or {}).values(), strict=True)
        for name in variables
    }
    return activity, found


def once(step: int = 0, cell: int = 0) -> dict[str, Recording]:
    return {"R": (np.array([cell]), np.array([step]))}


def wired(
    synapse: Synapse, *, parameters: Mapping[str, float] = LIF, method: str = "exact", **weight: float
) -> Circuit:
    """One source onto one cell, rule one_to_one, delay 1 ms."""
    projection = Projection(source="R", target="E", synapse="s", rule="one_to_one", delay_ms=1.0, **weight)  # type: ignore[arg-type]
    return circuit(source(), cells(parameters), method=method, synapses=(synapse,), projections=(projection,))


def test_exponential_current_gives_the_published_potential() -> None:
    """87.8085 pA make 0.15 mV (Potjans & Diesmann 2014); the whole course is the difference of two exponentials."""
    weight = 87.8085 * 0.5 / 250.0
    what = wired(Synapse(name="s", model="exponential_current", tau_ms=0.5), weight_mV=weight)
    _, found = run_numpy(what, 40.0, names={1: ("v",)}, replay=once(step=3))
    t = np.maximum(np.arange(400) - 14, 0) * DT  # step 3, delay of 10 steps, and it acts from the next step on
    jump = weight * 10.0 / 0.5
    expected = jump * 0.5 / (10.0 - 0.5) * (np.exp(-t / 10.0) - np.exp(-t / 0.5))
    np.testing.assert_allclose(found["v"][0] * 1e3, expected, rtol=1e-10, atol=1e-15)
    assert found["v"].max() * 1e3 == pytest.approx(0.15, rel=1e-3)


@pytest.mark.parametrize("method", ["euler", "exact"])
@pytest.mark.parametrize("model", ["exponential_current", "alpha_current", "delta"])
def test_area_of_the_potential_is_weight_times_tau(model: str, method: str) -> None:
    what = wired(Synapse(name="s", model=model, tau_ms=0.0 if model == "delta" else 2.0), method=method, weight_mV=0.4)
    _, found = run_numpy(what, 200.0, names={1: ("v",)}, replay=once())
    area = found["v"].sum() * 1e3 * DT
    # Euler's sum is exact; that of exact values misses what lies between them, for a jump half a step
    tolerance = 1e-6 if method == "euler" else 0.006 if model == "delta" else 1e-4
    assert area == pytest.approx(0.4 * 10.0, rel=tolerance)


def test_alpha_current_is_integrated_exactly() -> None:
    what = wired(Synapse(name="s", model="alpha_current", tau_ms=2.0), weight_mV=0.4)
    _, found = run_numpy(what, 30.0, names={1: ("v", "I_0")}, replay=once())
    matrix = np.array([[-1 / 10.0, 1 / 10.0, 0], [0, -1 / 2.0, 1 / 2.0], [0, 0, -1 / 2.0]])
    states = [expm(matrix * DT * max(n - 11, 0)) @ [0, 0, 0.4 * 10 / 2.0 * (n >= 11)] for n in range(300)]
    np.testing.assert_allclose(found["v"][0] * 1e3, [s[0] for s in states], rtol=1e-9, atol=1e-15)
    assert int(found["I_0"].argmax()) == 11 + 20  # an alpha function peaks one time constant after its start


@pytest.mark.parametrize(
    ("tau_m", "tau"), [(7.0, np.nextafter(7.0, 8.0)), (10.0, 10.0 * (1 + 1e-9)), (10.0, 9.9), (10.0, 0.2)]
)
def test_propagators_hold_where_time_constants_meet(tau_m: float, tau: float) -> None:
    synapses = (
        Synapse(name="a", model="alpha_current", tau_ms=float(tau)),
        Synapse(name="b", model="exponential_current", tau_ms=float(tau)),
    )
    receptors = (Receptor(0, "alpha_current"), Receptor(1, "exponential_current"))
    what = circuit(cells({**LIF, "tau_m_ms": tau_m}), synapses=synapses, method="exact")
    found = propagators(Cells("lif", receptors), what.populations[0], what)
    step = expm(DT * np.array([[-1 / tau_m, 1 / tau_m, 0], [0, -1 / tau, 1 / tau], [0, 0, -1 / tau]]))
    np.testing.assert_allclose(
        [found[n] for n in ("keep_v", "into_v_0", "h_into_v_0", "keep_0", "h_into_0", "into_v_1")],
        [step[0, 0], step[0, 1], step[0, 2], step[1, 1], step[1, 2], step[0, 1]],
        rtol=1e-12,
    )


def test_lif_interval_with_exact_integration() -> None:
    """t_ref + tau ln(mu / (mu - theta)) in whole steps; Brian2 counts the spike's own step to the refractory time."""
    activity, _ = run_numpy(circuit(cells(mean_input_mV=20.0), method="exact"), 200.0)
    steps = np.diff(activity.spikes.step["E"])
    assert set(steps) == {20 - 1 + int(np.ceil(10.0 * np.log(20 / 5.0) / DT))}


def conducting(model: str, **fields: float) -> Circuit:
    synapse = Synapse(name="s", model=model, tau_ms=5.0, reversal_mV=70.0, **fields)  # type: ignore[arg-type]
    return wired(synapse, parameters={**LIF, "g_leak_nS": 10.0}, method="exponential_euler", conductance_nS=2.0)


def test_conductances_jump_or_peak_at_what_is_defined() -> None:
    for model, peak in (("exponential_conductance", 11), ("alpha_conductance", 11 + 50)):
        _, found = run_numpy(conducting(model), 30.0, names={1: ("g_0",)}, replay=once())
        # exponential Euler takes the rise of an alpha function in steps of dt
        assert found["g_0"].max() * 1e9 == pytest.approx(2.0, rel=1e-9 if "exp" in model else 0.02)
        assert abs(int(found["g_0"].argmax()) - peak) <= 1


def test_constant_conductance_gives_the_weighted_mean_of_reversal_potentials() -> None:
    what = conducting("exponential_conductance", start_mean_nS=1.0)
    what = with_values(what, {"synapses.s.tau_ms": 10_000.0})
    _, found = run_numpy(what, 80.0, names={1: ("v", "g_0")})
    g = found["g_0"][0, -1] * 1e9
    assert found["v"][0, -1] * 1e3 == pytest.approx(70.0 * g / (10.0 + g), rel=1e-3)


def test_recorded_input_is_the_mean_of_what_flows() -> None:
    """g / g_leak (E - v), by component: all of it is feedforward, as the projection says."""
    synapse = Synapse(name="s", model="exponential_conductance", tau_ms=5.0, reversal_mV=70.0)
    projection = Projection(
        source="R", target="E", synapse="s", rule="one_to_one", conductance_nS=2.0, delay_ms=1.0, pathway="feedforward"
    )
    parts = {"synapses": (synapse,), "projections": (projection,)}
    target = cells({**LIF, "g_leak_nS": 10.0}, size=3, assemblies=2)
    what = circuit(source(3, assemblies=2), target, method="exponential_euler", **parts)
    recording = {"R": (np.array([0, 4, 5]), np.array([2, 5, 7]))}
    activity, found = run_numpy(what, 20.0, names={1: ("v", "g_0")}, replay=recording)
    flow = found["g_0"] * (70e-3 - found["v"]) / 10e-9 * 1e3
    assert activity.recorded is not None
    assert list(activity.recorded) == ["feedforward"]
    expected = flow.reshape(2, 3, -1).mean(axis=1)[:, ::10].T
    np.testing.assert_allclose(activity.recorded["feedforward"][:, 2:], expected, rtol=1e-9, atol=1e-12)
    assert not activity.recorded["feedforward"][:, :2].any()


def adex(**values: float) -> Population:
    return cells({**ADEX, **values}, neuron="adex", start=Start(kind="normal", mean_mV=-60.0), mean_input_mV=15.0)


def test_adex_with_a_sharp_upswing_is_a_lif() -> None:
    activity, _ = run_numpy(circuit(adex()), 300.0)
    period = 2.0 + 20.0 * np.log(15.0 / 5.0)
    assert np.diff(activity.spikes.step["E"]).mean() * DT == pytest.approx(period, rel=0.01)


@pytest.mark.parametrize("method", ["euler", "exponential_euler"])
def test_adex_adaptation(method: str) -> None:
    """Below threshold, adaptation is one more conductance; each spike adds b."""
    calm = replace(adex(a_nS=10.0), mean_input_mV=9.0)
    _, found = run_numpy(circuit(calm, method=method), 600.0, names={0: ("v",)})
    assert found["v"][0, -1] * 1e3 == pytest.approx(-60.0 + 90.0 / (10.0 + 10.0), abs=1e-3)
    activity, found = run_numpy(circuit(adex(b_pA=7.0), method=method), 60.0, names={0: ("w",)})
    first = activity.spikes.step["E"][0]
    np.testing.assert_allclose(found["w"][0, [first, first + 1]] * 1e12, [0.0, 7.0], atol=1e-9)


NMDA = Synapse(
    name="s", model="nmda", tau_ms=100.0, tau_rise_ms=2.0, gating_Hz=500.0, reversal_mV=0.0, magnesium_mM=1.0
)


def test_nmda_gating_is_wangs() -> None:
    """Against another solver of the gating equations, three spikes 2 ms and a step after they were fired."""
    parameters = {**LIF, "v_rest_mV": -70.0, "v_reset_mV": -70.0, "v_threshold_mV": -10.0, "g_leak_nS": 25.0}
    what = circuit(
        source(2),
        cells(parameters, start=Start(kind="normal", mean_mV=-70.0)),
        method="exponential_euler",
        dt_ms=0.02,
        synapses=(NMDA,),
        projections=(
            Projection(
                source="R", target="E", synapse="s", rule="all_to_all", conductance_nS=0.5, delay_ms=2.0,
                pathway="feedforward",
            ),
        ),
    )  # fmt: skip
    fired = np.array([5.0, 8.0, 30.0])
    recording = {"R": (np.array([1, 1, 1]), np.rint(fired / 0.02).astype(int))}
    activity, found = run_numpy(what, 60.0, names={1: ("v", "g_0")}, replay=recording)
    state, s, ends = np.zeros(2), [], [*(fired + 2.02), 60.0]
    for start, end in zip([0.0, *ends], ends, strict=False):
        times = np.arange(start, end - 1e-9, 0.02)

        def slope(_: float, y: NDArray[np.float64]) -> list[float]:
            return [-y[0] / 100.0 + 0.5 * y[1] * (1 - y[0]), -y[1] / 2.0]

        solved = solve_ivp(slope, (start, end), state, t_eval=np.r_[times, end], rtol=1e-9, atol=1e-12)
        s.append(solved.y[0, :-1])
        state = solved.y[:, -1] + [0.0, 1.0]
    # sums are made within a step, so what is there before the next one is what the step used
    used, v = found["g_0"][0, 1:] * 1e9, found["v"][0, :-1] * 1e3
    np.testing.assert_allclose(used, 0.5 * np.concatenate(s)[:-1], rtol=0.01, atol=1e-4)
    flow = used / 25.0 / (1 + np.exp(-0.062 * v) / 3.57) * (0.0 - v)
    assert activity.recorded is not None
    np.testing.assert_allclose(activity.recorded["feedforward"][:, 2 - 1], flow[::50], rtol=1e-6, atol=1e-9)


def test_nmda_sums_assemblies_by_the_matrix() -> None:
    parameters = {**LIF, "g_leak_nS": 25.0}
    projection = Projection(
        source="R", target="E", synapse="s", rule="all_to_all", conductance_nS=0.5, matrix=((1.0, 0.0), (3.0, 2.0))
    )
    what = circuit(
        source(2, assemblies=2),
        cells(parameters, size=3, assemblies=2),
        method="exponential_euler",
        synapses=(NMDA,),
        projections=(projection,),
    )
    reached = []
    for cell in (0, 2):
        _, found = run_numpy(what, 10.0, names={1: ("g_0",)}, replay=once(cell=cell))
        reached.append(found["g_0"][:, -1] * 1e9)
    assert set(np.round(reached[0][:3] / reached[0][3:], 9)) == {round(1 / 3, 9)}
    np.testing.assert_allclose(reached[1], np.r_[0, 0, 0, np.full(3, reached[0][3] * 2 / 3)], rtol=1e-9)
    with pytest.raises(DefinitionError, match="through NMDA has rule 'fixed_in_degree'"):
        run_numpy(with_values(what, {"projections.*.rule": "fixed_in_degree", "projections.*.in_degree": 1}), 1.0)


def test_two_compartments_against_a_plain_loop() -> None:
    p = {
        **{"tau_m_ms": 16.0, "C_m_pF": 370.0, "v_rest_mV": -70.0, "v_threshold_mV": -50.0, "v_reset_mV": -70.0},
        **{"t_refractory_ms": 1.0, "threshold_kick_mV": 2.0, "tau_threshold_ms": 27.0, "tau_dendrite_ms": 7.0},
        **{"g_dendrite_to_soma_pA": 1300.0, "b_soma_pA": -200.0, "tau_w_soma_ms": 100.0, "C_dendrite_pF": 170.0},
        **{"g_dendrite_pA": 1200.0, "a_dendrite_nS": -13.0, "tau_w_dendrite_ms": 30.0, "v_half_mV": -38.0},
        **{"v_slope_mV": 6.0, "bap_pA": 2600.0, "bap_delay_ms": 0.5, "bap_duration_ms": 2.0},
        **{"soma_current_pA": 700.0, "dendrite_current_pA": 300.0},
    }
    population = cells(p, neuron="two_compartment", start=Start(kind="normal", mean_mV=-70.0))
    activity, found = run_numpy(circuit(population), 100.0, names={0: ("v", "v_dendrite", "theta")})
    v, d, w_s, w_d, theta, last, rows, fired = -70.0, -70.0, 0.0, 0.0, 0.0, -(10**6), [], []
    for n in range(1000):
        rows.append((v, d, theta))
        plateau = 1 / (1 + np.exp(-(d + 38.0) / 6.0))
        bap = 2600.0 if 5 < n - last <= 25 else 0.0
        dv = -(v + 70.0) / 16.0 + (1300.0 * plateau + w_s + 700.0) / 370.0
        dd = -(d + 70.0) / 7.0 + (1200.0 * plateau + bap + w_d + 300.0) / 170.0
        v, d, w_s, w_d, theta = (
            v + DT * dv * (n - last >= 10),
            d + DT * dd,
            w_s - DT * w_s / 100.0,
            w_d + DT * (-13.0 * (d + 70.0) - w_d) / 30.0,
            theta - DT * theta / 27.0,
        )
        if v > -50.0 + theta and n - last >= 10:
            v, w_s, theta, last = -70.0, w_s - 200.0, theta + 2.0, n
            fired.append(n)
    assert len(fired) > 5
    assert activity.spikes.step["E"].tolist() == fired
    for k, name in enumerate(("v", "v_dendrite", "theta")):
        np.testing.assert_allclose(found[name][0] * 1e3, [row[k] for row in rows], rtol=1e-8, atol=1e-8)


def test_two_compartment_noise_has_its_standard_deviation_and_the_dendrite_its_synapses() -> None:
    p = {
        **{"tau_m_ms": 16.0, "C_m_pF": 370.0, "v_rest_mV": -70.0, "v_threshold_mV": 100.0, "v_reset_mV": -70.0},
        **{"t_refractory_ms": 1.0, "threshold_kick_mV": 2.0, "tau_threshold_ms": 27.0, "tau_dendrite_ms": 7.0},
        **{"g_dendrite_to_soma_pA": 0.0, "b_soma_pA": 0.0, "tau_w_soma_ms": 100.0, "C_dendrite_pF": 170.0},
        **{"g_dendrite_pA": 0.0, "a_dendrite_nS": 0.0, "tau_w_dendrite_ms": 30.0, "v_half_mV": -38.0},
        **{"v_slope_mV": 6.0, "bap_pA": 0.0, "bap_duration_ms": 2.0, "noise_soma_pA": 90.0, "noise_dendrite_pA": 40.0},
    }
    population = cells(p, neuron="two_compartment", size=400, start=Start(kind="normal", mean_mV=-70.0))
    names = ("noise_current_soma", "noise_current_dendrite")
    _, found = run_numpy(circuit(population), 60.0, names={0: names})
    for name, expected in zip(names, (90.0, 40.0), strict=True):
        # Euler's stationary variance is larger by 1 / (1 - dt / 2 tau); 400 cells at ten times of which few are alike
        sd = found[name][:, 200::40].std() * 1e12
        assert sd == pytest.approx(expected / np.sqrt(1 - DT / 4.0), rel=4.5 / np.sqrt(2 * 400 * 8))
    quiet = {**p, "noise_soma_pA": 0.0, "noise_dendrite_pA": 0.0}
    synapse = Synapse(name="s", model="exponential_current", tau_ms=1.0, compartment="dendrite")
    projection = Projection(source="R", target="E", synapse="s", rule="one_to_one", weight_mV=0.5)
    target = cells(quiet, neuron="two_compartment", start=Start(kind="normal", mean_mV=-70.0))
    what = circuit(source(), target, synapses=(synapse,), projections=(projection,))
    _, found = run_numpy(what, 100.0, names={1: ("v", "v_dendrite")}, replay=once())
    assert (found["v_dendrite"] * 1e3 + 70.0).sum() * DT == pytest.approx(0.5 * 7.0, rel=1e-5)
    np.testing.assert_allclose(found["v"] * 1e3, -70.0, atol=1e-9)


def test_poisson_sources_fire_at_their_rate_and_the_stimulus_adds_to_it() -> None:
    poisson = Population(
        name="P", size=200, assemblies=2, neuron="poisson", parameters={"rate_Hz": 40.0}, cell_type="external"
    )
    what = circuit(poisson, drive=Drive(targets=("P",), onto="rate"))
    drive = np.array([[0.0, 60.0]])
    activity, _ = run_numpy(what, 500.0, drive=drive, settle_ms=500.0)
    late = activity.spikes.step["P"] >= 5000
    counts = np.bincount(2 * late + activity.spikes.cell["P"] // 200, minlength=4)
    expected = 200 * 0.5 * np.array([40.0, 40.0, 40.0, 100.0])
    assert (abs(counts - expected) < 4.5 * np.sqrt(expected)).all()
    silent, _ = run_numpy(with_values(what, {"populations.P.silenced": True}), 500.0, drive=drive)
    assert len(silent.spikes.cell["P"]) == 0


@pytest.mark.parametrize("driven", [False, True])
def test_background_has_the_mean_and_variance_of_independent_poisson_input(driven: bool) -> None:
    """v(n + 1) = v(n) exp(-dt / tau) + J k with k of Poisson's law: moments of a sum of independent terms."""
    what = circuit(
        cells({**LIF, "v_threshold_mV": 150.0}, size=2000),
        method="exact",
        synapses=(Synapse(name="d", model="delta"),),
        backgrounds=(Background(target="E", synapse="d", count=100, rate_Hz=20.0, weight_mV=0.5),),
        drive=Drive(targets=("E",), onto="background"),
    )
    _, found = run_numpy(what, 100.0, names={0: ("v",)}, drive=np.array([[1000.0 if driven else 0.0]]))
    expected_count, keep = (3000.0 if driven else 2000.0) * DT * 1e-3, np.exp(-DT / 10.0)
    mean, variance = 0.5 * expected_count / (1 - keep) * keep, 0.25 * expected_count / (1 - keep**2) * keep**2
    v = found["v"][:, -1] * 1e3
    # sampled at the start of a step: what arrived in the step before has not decayed yet
    mean, variance = mean / keep, variance / keep**2
    assert v.mean() == pytest.approx(mean, abs=4.5 * np.sqrt(variance / 2000))
    assert v.var() == pytest.approx(variance, rel=4.5 * np.sqrt(2 / 2000))


def test_what_the_stimulus_adds_to_a_conducting_background_is_feedforward() -> None:
    what = circuit(
        cells({**LIF, "g_leak_nS": 10.0, "v_threshold_mV": 150.0}, size=500),
        method="exponential_euler",
        synapses=(Synapse(name="s", model="exponential_conductance", tau_ms=2.0, reversal_mV=70.0),),
        backgrounds=(Background(target="E", synapse="s", count=100, rate_Hz=20.0, conductance_nS=0.1),),
        drive=Drive(targets=("E",), onto="background"),
    )
    activity, found = run_numpy(what, 50.0, names={0: ("v",)}, drive=np.array([[1000.0]]), settle_ms=20.0)
    assert activity.recorded is not None
    feedforward = activity.recorded["feedforward"][:, 0]
    assert not feedforward[:20].any()
    late = feedforward[40:].mean()
    v = found["v"][:, 400:].mean() * 1e3
    assert late == pytest.approx(0.1 * 1000.0 * 2e-3 / 10.0 * (70.0 - v), rel=0.03)


def test_refractory_cells_take_no_delta_input() -> None:
    what = circuit(
        cells(mean_input_mV=20.0),
        synapses=(Synapse(name="d", model="delta"),),
        backgrounds=(Background(target="E", synapse="d", count=1, rate_Hz=50_000.0, weight_mV=0.01),),
    )
    activity, found = run_numpy(what, 50.0, names={0: ("v",)})
    fired = activity.spikes.step["E"][0]
    assert (found["v"][0, fired + 1 : fired + 20] == 0.0).all()


def test_silenced_cells_receive_and_do_not_fire() -> None:
    for population in (cells(mean_input_mV=20.0), adex(delta_T_mV=2.0)):
        activity, found = run_numpy(circuit(replace(population, silenced=True)), 100.0, names={0: ("v",)})
        assert len(activity.spikes.cell["E"]) == 0
        rest = population.parameter("v_rest_mV")
        assert found["v"][0, -1] * 1e3 == pytest.approx(rest + population.mean_input_mV, abs=0.15)


def test_frames_follow_the_clock_and_the_last_one_holds() -> None:
    what = circuit(cells(size=2, assemblies=2), method="exact", drive=Drive(targets=("E",)))
    drive = np.array([[1.0, 4.0], [3.0, 0.0], [2.0, 5.0]])
    _, found = run_numpy(what, 60.0, names={0: ("v",)}, drive=drive, frame_ms=10.0, settle_ms=10.0)
    v, expected, keep = np.zeros(2), [], np.exp(-DT / 10.0)
    for n in range(700):
        expected.append(v)
        held = drive[min((n - 100) // 100, 2)] if n >= 100 else np.zeros(2)
        v = held + (v - held) * keep
    np.testing.assert_allclose(found["v"][::2] * 1e3, np.transpose(expected), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(found["v"][::2], found["v"][1::2])


def test_delays_are_each_synapses_own_and_zero_is_the_next_step() -> None:
    projection = Projection(
        source="R", target="E", synapse="d", rule="one_to_one", weight_mV=1.0, delay_matrix_ms=((0.0, 9.0), (9.0, 0.7))
    )
    what = circuit(
        source(1, assemblies=2),
        cells(size=1, assemblies=2),
        synapses=(Synapse(name="d", model="delta"),),
        projections=(projection,),
    )
    recording = {"R": (np.array([0, 1]), np.array([20, 20]))}
    _, found = run_numpy(what, 10.0, names={1: ("v",)}, replay=recording)
    assert [int(np.flatnonzero(row)[0]) for row in found["v"]] == [21, 28]


def test_starts_are_drawn_as_defined() -> None:
    start = Start(kind="normal", mean_mV=-3.0, sd_mV=2.0)
    what = circuit(
        source(1000),
        cells({**LIF, "g_leak_nS": 10.0}, size=1000, start=start),
        method="exponential_euler",
        synapses=(Synapse(name="s", model="exponential_conductance", tau_ms=5.0, start_mean_nS=1.0, start_sd_nS=2.0),),
        projections=(Projection(source="R", target="E", synapse="s", rule="one_to_one", conductance_nS=1.0),),
        backgrounds=(Background(target="E", synapse="s", count=1, rate_Hz=1.0, conductance_nS=1.0),),
    )
    _, found = run_numpy(what, 0.1, names={1: ("v", "g_0", "g_1")})
    # told apart for recording, the two conductances through one synapse start as one
    v, g = found["v"][:, 0] * 1e3, (found["g_0"] + found["g_1"])[:, 0] * 1e9
    assert v.mean() == pytest.approx(-3.0, abs=4.5 * 2 / np.sqrt(1000))
    assert v.std() == pytest.approx(2.0, rel=4.5 / np.sqrt(2000))
    assert g.min() == 0.0
    assert g.mean() == pytest.approx(0.6915 + 2 * 0.3521, abs=4.5 * 1.5 / np.sqrt(1000))  # mean of a normal cut at 0
    assert (g == 0).mean() == pytest.approx(0.3085, abs=4.5 * 0.015)  # P(z < -1/2)


@pytest.mark.parametrize(("kind", "low"), [("uniform", -60.0), ("from_rest", -70.0)])
def test_potentials_start_between_reset_or_rest_and_threshold(kind: str, low: float) -> None:
    parameters = {"tau_m_ms": 20.0, "v_rest_mV": -70.0, "v_threshold_mV": -50.0, "v_reset_mV": -60.0}
    cells = Population(
        name="E",
        size=20_000,
        neuron="lif",
        parameters={**parameters, "t_refractory_ms": 2.0},
        cell_type="pyramidal",
        start=Start(kind=kind),
    )
    made = Circuit(name="c", title="", source="", populations=(cells,), synapses=(), projections=())
    found = 1e3 * first_potentials(made, Run(0, 0, np.random.SeedSequence(0), np.zeros((1, 1))))["E"]
    assert low <= found.min() < low + 0.01
    assert -50.01 < found.max() <= -50.0
    assert found.mean() == pytest.approx((low - 50.0) / 2, abs=5 * (-50.0 - low) / np.sqrt(12 * 20_000))
