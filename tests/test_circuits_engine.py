"""One build for every number: what is compiled, what is set at run time, and that both engines do the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from cortexres import circuits
from cortexres.circuits import build_cache, engines, standalone, structure_of
from cortexres.circuits.connectivity import draw
from cortexres.circuits.runs import Activity, Run, Spikes, Timing
from cortexres.circuits.structure import Structure
from cortexres.circuits.structure_of import capacity, structure
from cortexres.definitions import (
    Background,
    Circuit,
    Drive,
    Population,
    Projection,
    Start,
    Synapse,
    load_circuit,
    parameter_paths,
    with_values,
)
from cortexres.errors import ArgumentError, SimulationError

LIF = {"tau_m_ms": 20.0, "v_rest_mV": -60.0, "v_threshold_mV": -50.0, "v_reset_mV": -60.0, "t_refractory_ms": 2.0}
TWO = {
    **{"C_m_pF": 370.0, "threshold_kick_mV": 2.0, "tau_threshold_ms": 27.0, "g_dendrite_to_soma_pA": 1300.0},
    **{"b_soma_pA": -200.0, "tau_w_soma_ms": 100.0, "tau_dendrite_ms": 7.0, "C_dendrite_pF": 170.0},
    **{"g_dendrite_pA": 1200.0, "a_dendrite_nS": -13.0, "tau_w_dendrite_ms": 30.0, "v_half_mV": -38.0},
    **{"v_slope_mV": 6.0, "bap_pA": 2600.0, "bap_delay_ms": 0.5, "bap_duration_ms": 2.0, "soma_current_pA": 250.0},
}
ADEX = {"C_m_pF": 200.0, "g_leak_nS": 10.0, "v_spike_mV": 0.0, "delta_T_mV": 2.0, "a_nS": 2.0, "b_pA": 20.0}
TIMING = Timing(10.0, 40.0)


def cells(name: str, neuron: str, parameters: dict[str, float], **fields: object) -> Population:
    return Population(
        name=name, neuron=neuron, parameters=parameters, **{"size": 10, "cell_type": "pyramidal", **fields}  # type: ignore[arg-type]
    )


def joined(source: str, target: str, synapse: str, **fields: object) -> Projection:
    defaults = {"rule": "fixed_in_degree", "in_degree": 4, "delay_ms": 1.0}
    return Projection(source=source, target=target, synapse=synapse, **{**defaults, **fields})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def everything() -> Circuit:
    """A circuit of every model but the random ones, so that both engines must give the same spikes."""
    without_tau = {k: v for k, v in LIF.items() if k != "tau_m_ms"}
    return Circuit(
        name="everything",
        title="",
        source="",
        method="exponential_euler",
        populations=(
            cells("R", "replay", {}, cell_type="external"),
            cells("E", "lif", {**LIF, "g_leak_nS": 10.0}, mean_input_mV=9.0, assemblies=2),
            cells("A", "adex", {**without_tau, **ADEX}, mean_input_mV=12.0),
            cells("T", "two_compartment", {**LIF, **TWO}),
        ),
        synapses=(
            Synapse(name="ampa", model="exponential_conductance", tau_ms=2.0, start_mean_nS=0.5, start_sd_nS=0.2),
            Synapse(name="gaba", model="alpha_conductance", tau_ms=5.0, reversal_mV=-80.0),
            Synapse(name="current", model="alpha_current", tau_ms=3.0),
            Synapse(name="apical", model="exponential_current", tau_ms=3.0, compartment="dendrite"),
            Synapse(name="delta", model="delta"),
            Synapse(
                name="nmda", model="nmda", tau_ms=100.0, tau_rise_ms=2.0, gating_Hz=500.0, magnesium_mM=1.0
            ),
        ),
        projections=(
            joined("R", "E", "ampa", conductance_nS=0.4),
            joined("R", "E", "nmda", rule="all_to_all", conductance_nS=0.1, matrix=((1.0,), (2.0,))),
            joined("E", "A", "current", rule="bernoulli", probability=0.3, weight_mV=0.5, weight_cv=0.3, delay_cv=0.3),
            joined("A", "E", "gaba", conductance_nS=0.5),
            joined("E", "T", "apical", weight_mV=1.0),
            joined("A", "T", "delta", weight_mV=-0.3, delay_ms=0.0),
        ),
        drive=Drive(targets=("E",)),
    )


def runs(n: int = 2) -> list[Run]:
    """Runs with different starts, frames and recordings."""
    made = []
    for k in range(n):
        rng = np.random.default_rng(k)
        step = np.sort(rng.choice(400, size=30 + k, replace=False))
        drive = rng.uniform(0.0, 8.0, (3, 2))
        made.append(Run(0, k, np.random.SeedSequence(k), drive, 10.0, {"R": (rng.integers(10, size=30 + k), step)}))
    return made


def carry_out(circuit: Circuit, target: str, timing: Timing = TIMING) -> list[Activity]:
    connections = draw(circuit, np.random.SeedSequence(3))
    return [a for _, a in engines.run_all(circuit, connections, runs(), timing, target=target, jobs=2)]


def made_of(circuit: Circuit, seed: int = 3) -> Structure:
    return structure(circuit, draw(circuit, np.random.SeedSequence(seed)), runs(), TIMING)


def changed(circuit: Circuit) -> Circuit:
    """Every number of the circuit a little larger, as far as it does not say how many cells or synapses there are."""
    counted = ("size", "assemblies", "in_degree", "total", "probability", "count", "seed", "dt_ms")
    values = {}
    for path in parameter_paths(circuit):
        if "." in path and path.rpartition(".")[2] not in counted:
            value = value_at(circuit, path)
            if isinstance(value, float) and value:
                values[path] = value * 1.05
    assert len(values) > 60
    return with_values(circuit, values)


def value_at(circuit: Circuit, path: str) -> object:
    head, _, rest = path.partition(".")
    name, _, field = rest.rpartition(".")
    for part in getattr(circuit, head, ()) if head != "drive" else ():
        names = {getattr(part, "name", None)}
        if isinstance(part, Projection):
            names = {f"{part.source}->{part.target}:{part.synapse}"}
        if isinstance(part, Background):
            names = {f"{part.target}:{part.synapse}"}
        if name in names:
            known = getattr(part, "parameters", {})
            return known.get(field) if field in known else getattr(part, field, None)
    return None


def assert_same(first: Spikes, second: Spikes) -> None:
    for name in first.cell:
        a, b = (sorted(zip(s.step[name].tolist(), s.cell[name].tolist(), strict=True)) for s in (first, second))
        assert a == b, name


def test_no_number_is_part_of_the_structure(everything: Circuit) -> None:
    other = changed(everything)
    assert other != everything
    assert made_of(other) == made_of(everything)


@pytest.mark.parametrize(
    "name", ["ei_assemblies", "vogels_abbott_cuba", "vogels_abbott_coba", "litwin_kumar_2016", "naud_sprekeler_2018"]
)
def test_no_number_of_a_shipped_circuit_is_part_of_its_structure(name: str) -> None:
    circuit = load_circuit(name)
    values = {"populations.*.expected_rate_Hz": 3.0}
    for path in parameter_paths(circuit):
        if path.endswith(("tau_ms", "weight_mV", "conductance_nS", "rate_Hz", "mean_input_mV", "noise_mV", "b_pA")):
            value = value_at(circuit, path)
            if isinstance(value, float) and value:
                values[path] = value * 1.01
    timing, connections = Timing(10.0, 10.0), draw(circuit, np.random.SeedSequence(0))
    one, other = (structure(c, connections, [], timing) for c in (circuit, with_values(circuit, values)))
    assert one == other


def test_structure_knows_which_terms_exist(everything: Circuit) -> None:
    one = made_of(everything)
    for values in (
        {"populations.T.noise_soma_pA": 10.0, "method": "euler"},
        {"projections.R->E:ampa.in_degree": 5},
        {"projections.R->E:ampa.weight_cv": 0.1},
        {"synapses.gaba.reversal_mV": -40.0},  # turns inhibition into excitation
        {"populations.A.size": 11},
    ):
        assert made_of(with_values(everything, values)) != one


def test_random_numbers_of_synapses_mostly_share_their_room() -> None:
    rng = np.random.default_rng(0)
    for n, p in ((4_000 * 3_200, 0.02), (200 * 200, 0.1), (30 * 30, 0.5)):
        room = [capacity(int(k)) for k in rng.binomial(n, p, size=200)]
        assert np.bincount(room).max() > 0.85 * 200 or len(set(room)) <= 2
        assert max(room) <= p * n * 1.1 + 64 * np.sqrt(p * n)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if not engines.has_compiler():
        pytest.skip("no C++ compiler")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CORTEXRES_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("tmp")))
        yield Path(build_cache.folder())


def test_one_build_serves_every_number_and_does_what_numpy_does(
    everything: Circuit, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Spike by spike: there is no randomness in these runs, and the compiled equations are those of numpy."""
    monkeypatch.setattr(standalone.tempfile, "tempdir", str(tmp_path))
    found = carry_out(everything, "cpp_standalone")
    monkeypatch.setattr(standalone, "_compile_in_child", lambda *_: pytest.fail("compiled again"))
    other = changed(everything)
    for circuit, compiled in ((everything, found), (other, carry_out(other, "cpp_standalone"))):
        for one, two in zip(compiled, carry_out(circuit, "numpy"), strict=True):
            assert min(len(cell) for cell in one.spikes.cell.values()) > 5
            assert_same(one.spikes, two.spikes)
            assert one.recorded is not None
            assert two.recorded is not None
            for name, samples in two.recorded.items():
                np.testing.assert_allclose(one.recorded[name], samples, rtol=1e-6, atol=1e-9)
    for short, long in zip(carry_out(everything, "cpp_standalone", Timing(10.0, 15.0)), found, strict=True):
        for name, step in long.spikes.step.items():
            np.testing.assert_array_equal(short.spikes.step[name], step[step < 250], err_msg="a shorter run")
    assert len(list(cache.iterdir())) == 1, "builds and what they leave"
    assert list(tmp_path.glob("cortexres-*")) == [], "folders of runs"


def test_what_a_binary_complains_of_is_an_error(
    everything: Circuit, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable of the wrong size is left as it was by the binary, which then exits 0."""
    whole = standalone.circuit_values
    monkeypatch.setattr(
        standalone, "circuit_values", lambda *a: {**whole(*a), "cells_1.v": np.zeros(3)}
    )
    with pytest.raises(SimulationError, match="does not match expected size"):
        carry_out(everything, "cpp_standalone")


def test_populations_compiled_together_do_what_they_do_apart(
    everything: Circuit, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = replace(everything.population("A"), name="B", mean_input_mV=13.0, start=Start(kind="normal", mean_mV=-55.0))
    more = (joined("E", "B", "current", weight_mV=0.4), joined("B", "E", "gaba", conductance_nS=0.2, delay_ms=2.0))
    circuit = replace(
        everything, populations=(*everything.populations, twin), projections=(*everything.projections, *more)
    )
    apart = carry_out(circuit, "numpy")
    monkeypatch.setattr(structure_of, "_APART", 0)
    together = made_of(circuit)
    assert len(together.groups) == len(made_of(everything).groups)
    assert len(together.bundles) < len(circuit.projections) - 1
    for one, two in zip(apart, carry_out(circuit, "numpy"), strict=True):
        assert_same(one.spikes, two.spikes)
        for name, samples in (one.recorded or {}).items():
            np.testing.assert_allclose((two.recorded or {})[name], samples, rtol=1e-9, atol=1e-12)


def test_a_recording_must_fit_its_population(everything: Circuit) -> None:
    run = replace_recording(runs(1)[0], np.array([10]), np.array([0]))
    connections = draw(everything, np.random.SeedSequence(3))
    with pytest.raises(ArgumentError, match="recording of R has cells 10 to 10 and a first step 0, expected cells 0"):
        list(engines.run_all(everything, connections, [run], TIMING, target="numpy", jobs=1))


def replace_recording(run: Run, cell: np.ndarray, step: np.ndarray) -> Run:
    return run._replace(replay={"R": (cell, step)})


def test_replayed_spikes_come_out_as_they_went_in(everything: Circuit) -> None:
    silent = with_values(everything, {"populations.R.silenced": True})
    for run, activity in zip(runs(), carry_out(everything, "numpy"), strict=True):
        cell, step = run.replay["R"]
        np.testing.assert_array_equal(activity.spikes.cell["R"], cell)
        np.testing.assert_array_equal(activity.spikes.step["R"], step)
    assert all(len(a.spikes.cell["R"]) == 0 for a in carry_out(silent, "numpy"))


def test_spontaneous_activity_and_what_spikes_say_of_themselves() -> None:
    circuit = with_values(load_circuit("ei_assemblies"), {"populations.*.size": 5, "projections.*.in_degree": 5})
    options = {"trials": 2, "duration_ms": 20.0, "settle_ms": 10.0, "rng": 1, "target": "numpy", "progress": False}
    table = circuits.spikes(circuit, **options)  # type: ignore[arg-type]
    assert (table.attrs["cells"], table.attrs["t_start_ms"], table.attrs["t_stop_ms"]) == (80, -10.0, 20.0)
    brain = circuits.simulate(circuit, **options)  # type: ignore[arg-type]
    assert brain.sizes == {"stimulus": 1, "trial": 2, "time": 4, "unit": 16}
    assert (brain["feedforward"] == 0).all()


def test_rates_are_simulated_by_the_same_call_and_have_no_spikes() -> None:
    circuit = load_circuit("murphy_miller_2009")
    brain = circuits.simulate(circuit, None, trials=1, duration_ms=20.0, bin_ms=5.0, settle_ms=0.0, progress=False)
    assert brain["response"].attrs["units"] == "Hz"
    assert isinstance(brain, xr.Dataset)
    with pytest.raises(ArgumentError, match="is one of rates and has no spikes; call simulate"):
        circuits.spikes(circuit, None, progress=False)
