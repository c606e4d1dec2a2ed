"""Perturbed circuits: what changes, that nothing else does, and that both draw the same random numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from cortexres import circuits
from cortexres.circuits import perturb
from cortexres.definitions import Circuit, circuit_from_toml, parameter_values
from cortexres.errors import ArgumentError, DefinitionError

RATES = """
name = "two"
title = "Two rates"
source = "none"
dt = "0.1 ms"
method = "rk4"
[populations.E]
cell_type = "pyramidal"
size = 1
neuron = "linear"
[populations.E.parameters]
tau = "20 ms"
[populations.I]
cell_type = "inhibitory"
size = 1
neuron = "linear"
[populations.I.parameters]
tau = "20 ms"
[synapses.rate]
model = "rate"
[[projection_tables]]
sources = ["E", "I"]
targets = ["E", "I"]
synapse = "rate"
rule = "all_to_all"
fills = "strength"
values = [[4.0, -4.5], [4.0, -4.5]]
[drive]
targets = ["E"]
"""


@pytest.fixture(scope="module")
def small() -> Circuit:
    circuit = circuits.load("ei_assemblies")
    few = tuple(replace(p, size=20 if p.name == "E" else 5) for p in circuit.populations)
    degree = {"E": 20, "I": 5}
    sparse = tuple(replace(q, in_degree=degree[q.source]) for q in circuit.projections)
    return replace(circuit, populations=few, projections=sparse)


@pytest.fixture(scope="module")
def rates() -> Circuit:
    return circuit_from_toml(RATES)


def changed_paths(before: Circuit, after: Circuit) -> dict[str, object]:
    """Return the parameters that differ, with their new values."""
    old, new = parameter_values(before), parameter_values(after)
    assert list(old) == list(new)
    return {path: new[path] for path in new if new[path] != old[path]}


def test_each_perturbation_changes_its_numbers_alone(small: Circuit) -> None:
    assert changed_paths(small, perturb.silence(small, "E")) == {"populations.E.silenced": True}
    assert changed_paths(small, perturb.cut(small, "E->E")) == {"projections.E->E:excitatory.weight_mV": 0.0}
    assert changed_paths(small, perturb.cut(small, "*->I")) == {
        "projections.E->I:excitatory.weight_mV": 0.0,
        "projections.I->I:inhibitory.weight_mV": 0.0,
    }
    assert all(value == 0.0 for value in changed_paths(small, perturb.cut_recurrence(small)).values())
    assert len(changed_paths(small, perturb.cut_recurrence(small))) == 4
    assert changed_paths(small, perturb.switch_off_drive(small)) == {"drive.front_end.gain_mV": 0.0}
    weights = {p: v for p, v in parameter_values(small).items() if p.endswith("weight_mV") and "projections.I" in p}
    scaled = changed_paths(small, perturb.scale(small, "projections.I->*.weight_mV", 0.5))
    assert scaled == {path: value * 0.5 for path, value in weights.items()}
    assert changed_paths(small, perturb.scale(small, "synapses.excitatory.tau_ms", 2.0)) == {
        "synapses.excitatory.tau_ms": 10.0
    }


def test_conductances_and_feedforward_projections() -> None:
    coba = circuits.load("vogels_abbott_coba")
    cut = changed_paths(coba, perturb.cut(coba, "*->*"))
    assert cut
    assert all(path.endswith("conductance_nS") and value == 0.0 for path, value in cut.items())
    areas = circuits.load("area_hierarchy")
    kept = {q for q in perturb.cut_recurrence(areas).projections if q.weight_mV}
    assert kept == {q for q in areas.projections if q.pathway == "feedforward"}
    assert kept


def test_rates_are_silenced_by_what_they_send(rates: Circuit) -> None:
    silenced = changed_paths(rates, perturb.silence(rates, "I"))
    assert silenced == {"projections.I->E:rate.strength": 0.0, "projections.I->I:rate.strength": 0.0}


def test_names_that_fit_nothing_are_refused(small: Circuit, rates: Circuit) -> None:
    with pytest.raises(ArgumentError, match="no population is named 'X'"):
        perturb.silence(small, "X")
    with pytest.raises(ArgumentError, match=r"no projection is named 'E->X'"):
        perturb.cut(small, "E->X")
    with pytest.raises(ArgumentError, match=r"no projection is given, expected at least one of E->E:excitatory"):
        perturb.cut(small)
    with pytest.raises(ArgumentError, match=r"no real number is named 'projections.E->E.rule'"):
        perturb.scale(small, "projections.E->E.rule", 2.0)
    with pytest.raises(DefinitionError, match="tau"):
        perturb.scale(small, "synapses.excitatory.tau_ms", 0.0)
    with pytest.raises(ArgumentError, match="no front end to switch off"):
        perturb.switch_off_drive(rates)


# Common random numbers


def run(circuit: Circuit, **options: object) -> xr.Dataset:
    """Return the spikes of two short runs on the numpy target."""
    images = xr.Dataset(
        {"image": (("stimulus", "y", "x"), np.random.default_rng(0).random((1, 8, 8)))},
        coords={"stimulus": [4], "label": ("stimulus", [0])},
    )
    arguments = {"trials": 2, "duration_ms": 20.0, "settle_ms": 10.0, "rng": 3, "target": "numpy", "progress": False}
    return circuits.spikes(circuit, images, **{**arguments, **options})  # type: ignore[arg-type]


def of_population(spikes: xr.Dataset, cells: slice) -> tuple[list[float], list[int]]:
    """Return times and cells of the spikes of a range of cells."""
    inside = (spikes["cell"].values >= cells.start) & (spikes["cell"].values < cells.stop)
    return spikes["time"].values[inside].tolist(), spikes["cell"].values[inside].tolist()


def test_noise_and_starts_are_those_of_the_intact_circuit(small: Circuit) -> None:
    """Without projections to others, cutting what one population sends to itself leaves the other as it was."""
    apart = perturb.cut(small, "E->I", "I->E")
    intact, cut = run(apart), run(perturb.cut(apart, "I->I"))
    inhibitory, excitatory = slice(160, 200), slice(0, 160)
    assert of_population(intact, excitatory) == of_population(cut, excitatory)
    assert of_population(intact, inhibitory) != of_population(cut, inhibitory)
    assert len(of_population(intact, excitatory)[0]) > 10


def test_up_to_the_first_spike_nothing_differs(small: Circuit) -> None:
    intact, cut = run(small), run(perturb.cut(small, "E->E"))
    first = intact["time"].values.min() + 1.0  # the delay
    early = [d["time"].values[d["time"].values <= first].tolist() for d in (intact, cut)]
    assert early[0] == early[1]
    assert not np.array_equal(intact["time"].values, cut["time"].values)
