"""Areas as a chain of residual blocks: without feedback no area sees a higher one, in spikes and in the network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from cortexres import bridge, circuits, nn, stimuli
from cortexres.definitions import Circuit, load_circuit, with_values

AREAS = ("V1", "V2", "V4")
STRONGER = {"projections.E_V4->E_V4.weight_mV": 0.12, "projections.I_V4->E_V4.weight_mV": -0.6}


@pytest.fixture(scope="module")
def images() -> xr.Dataset:
    return stimuli.digits(3, rng=0)


def small(name: str) -> Circuit:
    """The hierarchy with a tenth of the cells and synapses."""
    circuit = load_circuit(name)
    return replace(
        circuit,
        populations=tuple(replace(p, size=p.size // 10) for p in circuit.populations),
        projections=tuple(replace(p, in_degree=p.in_degree // 10) for p in circuit.projections),
    )


def spike_trains(circuit: Circuit, images: xr.Dataset, areas: tuple[str, ...]) -> np.ndarray:
    """Time and cell of every spike in `areas`, one row each."""
    options = {"trials": 1, "duration_ms": 60.0, "settle_ms": 20.0, "target": "numpy", "rng": 1, "progress": False}
    found = circuits.spikes(circuit, images.isel(stimulus=[0]), **options)
    firsts = np.cumsum([0] + [p.cells for p in circuit.populations])
    inside = [
        (found["cell"] >= a) & (found["cell"] < b)
        for p, a, b in zip(circuit.populations, firsts[:-1], firsts[1:], strict=True)
        if p.area in areas
    ]
    kept = found.isel(spike=np.any(inside, axis=0))
    return np.stack([kept["time"].values, kept["cell"].values])


def test_without_feedback_no_spike_of_a_lower_area_depends_on_a_higher_one(images: xr.Dataset) -> None:
    circuit = small("area_hierarchy")
    changed = with_values(circuit, {"populations.E_V4.mean_input_mV": 20.0})
    lower = spike_trains(circuit, images, AREAS[:2])
    assert lower.shape[1] > 100
    np.testing.assert_array_equal(lower, spike_trains(changed, images, AREAS[:2]))
    top, other = (spike_trains(c, images, AREAS[2:]) for c in (circuit, changed))
    assert top.shape != other.shape or not np.array_equal(top, other)


def test_with_feedback_they_do(images: xr.Dataset) -> None:
    # A tenth of the synapses, ten times as strong, and higher areas that fire much more.
    back = {"projections.E_V2->E_V1.weight_mV": 0.2, "projections.E_V4->E_V2.weight_mV": 0.2}
    circuit = with_values(small("area_hierarchy:feedback"), back)
    louder = with_values(circuit, {"populations.E_V*.mean_input_mV": 20.0})
    louder = with_values(louder, {"populations.E_V1.mean_input_mV": circuit.population("E_V1").mean_input_mV})
    first, second = (spike_trains(c, images, ("V1",)) for c in (circuit, louder))
    assert first.shape != second.shape or not np.array_equal(first, second)


def states(circuit: Circuit, images: xr.Dataset) -> xr.Dataset:
    return nn.record(bridge.residual_network(circuit, dt_ms=5.0, duration_ms=100.0), images)


@pytest.mark.parametrize(("variant", "sees"), [("area_hierarchy", False), ("area_hierarchy:feedback", True)])
def test_the_derived_network_is_a_chain_of_blocks_unless_feedback_is_on(
    variant: str, sees: bool, images: xr.Dataset
) -> None:
    circuit = load_circuit(variant)
    # Only what V4 does to itself changes; its mean input keeps it at rest, so that the start is the same.
    first, second = (states(c, images)["response"] for c in (circuit, with_values(circuit, STRONGER)))
    for area in AREAS[:2]:
        inside = first["area"].values == area
        change = np.abs(first.values[..., inside] - second.values[..., inside]).max()
        # Response times are read from one table for all areas, whose grid moves with the circuit: thousandths of a Hz.
        assert (change > 0.05) if sees else (change < 0.005)


def test_each_area_answers_later_than_the_one_below(images: xr.Dataset) -> None:
    response = states(load_circuit("area_hierarchy"), images)["response"]
    evoked = response - response.isel(block=0)
    latency = []
    for area in AREAS:
        pyramidal = (evoked["area"] == area) & (evoked["cell_type"] == "pyramidal")
        course = np.abs(evoked.isel(unit=pyramidal.values)).mean(("stimulus", "unit")).values
        latency.append(np.interp(0.5 * course[-1], course[: course.argmax() + 1], np.arange(course.argmax() + 1) * 5.0))
    assert latency[0] + 2.0 < latency[1]
    assert latency[1] + 2.0 < latency[2]
