"""The estimate of memory: what was measured, what it refuses, and what it says."""

from dataclasses import replace
from pathlib import Path

import pytest

from cortexres.circuits import memory
from cortexres.circuits.memory import available_bytes, check_memory, estimate_memory
from cortexres.definitions import Circuit, Population, Projection, Synapse, load_circuit
from cortexres.errors import SimulationError


def recurrent(in_degree: int, **options: float) -> Circuit:
    """5000 cells that fire in volleys: the circuit that was measured."""
    parameters = {"tau_m_ms": 10.0, "v_rest_mV": 0.0, "v_threshold_mV": 20.0, "v_reset_mV": 10.0}
    cells = Population(
        name="E",
        size=5000,
        neuron="lif",
        parameters={**parameters, "t_refractory_ms": 2.0},
        cell_type="pyramidal",
        mean_input_mV=22.0,
    )
    joined = Projection(
        source="E",
        target="E",
        synapse="e",
        in_degree=in_degree,
        weight_mV=0.01,
        delay_ms=1.5,
        **options,  # type: ignore[arg-type]
    )
    return Circuit(
        name="recurrent",
        title="",
        source="",
        populations=(cells,),
        synapses=(Synapse(name="e", model="delta"),),
        projections=(joined,),
    )


@pytest.mark.parametrize(
    ("circuit", "here", "run"),
    [
        # peaks of the resident memory in MB, above what Python takes anyhow (152 MB), and of the binary
        (recurrent(1000), 140, 220),
        (recurrent(2000), 280, 424),
        (recurrent(1000, weight_cv=0.1, delay_cv=0.5), 361, 282),
        (recurrent(2000, weight_cv=0.1, delay_cv=0.5), 693, 585),
        (load_circuit("brunel_2000"), 235, 479),
    ],
)
def test_the_estimate_is_near_what_was_measured_and_not_below(circuit: Circuit, here: int, run: int) -> None:
    found = estimate_memory(circuit)
    assert 1.0 <= found.here / (here * 1e6) < 2.0
    assert 1.0 <= found.run / (run * 1e6) < 1.5
    assert found.total(3) == found.here + 3 * found.run


def test_the_full_microcircuit_needs_more_than_a_small_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    full = load_circuit("potjans_diesmann_2014")
    assert estimate_memory(full).synapses > 298_880_968
    assert 30e9 < estimate_memory(full).total(1) < 50e9
    monkeypatch.setattr(memory, "available_bytes", lambda: int(23e9))
    with pytest.raises(SimulationError, match=r"synapses and needs about .* GB .* 23 GB are left .*; scale it down"):
        check_memory(full)
    monkeypatch.setattr(memory, "available_bytes", lambda: int(64e9))
    check_memory(full)


def test_fewer_runs_at_once_are_offered_where_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = recurrent(2000)
    needed = estimate_memory(circuit)
    monkeypatch.setattr(memory, "available_bytes", lambda: needed.total(3))
    check_memory(circuit, jobs=3)
    with pytest.raises(SimulationError, match=r"for each run, 4 at once\), .*; set jobs=3$"):
        check_memory(circuit, jobs=4)


def test_own_weights_and_delays_are_counted_by_any_name() -> None:
    plain = recurrent(10)
    joined = plain.projections[0]
    size = estimate_memory(plain)
    for change in ({"weight_cv": 0.1}, {"matrix": ((1.0,),)}, {"delay_cv": 0.1}, {"delay_matrix_ms": ((1.0,),)}):
        found = estimate_memory(replace(plain, projections=(replace(joined, **change),)))
        assert found.here > size.here
        assert found.run > size.run
        assert found.synapses == size.synapses == 50_000


def test_rates_need_next_to_nothing() -> None:
    rates = load_circuit("murphy_miller_2009")
    assert estimate_memory(rates).total(8) < 1e9
    check_memory(rates, jobs=8)


def test_the_least_of_machine_and_control_groups_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    monkeypatch.setattr(memory.os, "sysconf_names", {})
    assert available_bytes() is None
    check_memory(recurrent(10))
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    5000 kB\n")
    assert available_bytes() == 5000 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert available_bytes() == 5000 * 1024
    (tmp_path / "memory.max").write_text("4000\n")
    assert available_bytes() == 3000
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("2500\n")
    (tmp_path / "memory" / "memory.usage_in_bytes").write_text("3000\n")
    assert available_bytes() == 0


def test_this_machine_tells_what_it_has() -> None:
    left = available_bytes()
    assert left is None or left > 10e6
