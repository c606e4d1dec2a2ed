"""Every fault of a circuit, found at once, in words that say what was got and what was expected."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from cortexres.definitions.models import (
    FRONT_ENDS,
    MAX_CELLS,
    MAX_SYNAPSES,
    NEURONS,
    PROFILES,
    SYNAPSES,
    TIME_MS,
    VOLTAGE_MV,
    Bounds,
)
from cortexres.definitions.names import did_you_mean
from cortexres.errors import DefinitionError

if TYPE_CHECKING:
    from cortexres.definitions.circuit import Circuit, Drive, Population, Projection, Synapse


def check_circuit(circuit: Circuit) -> None:
    """Raise `DefinitionError` naming all faults of `circuit`, if it has any."""
    faults = [
        *_duplicates("population", (p.name for p in circuit.populations)),
        *_duplicates("synapse", (s.name for s in circuit.synapses)),
        *_range("dt", circuit.dt_ms, Bounds(0.0, 5.0, open_low=True), "ms"),
    ]
    if not circuit.populations:
        faults.append("no population: a circuit needs at least one")
    for population in circuit.populations:
        faults += [f"population {population.name}: {fault}" for fault in _population(population)]
    for synapse in circuit.synapses:
        faults += [f"synapse {synapse.name}: {fault}" for fault in _synapse(synapse)]
    for projection in circuit.projections:
        where = f"projection {projection.source} -> {projection.target}"
        faults += [f"{where}: {fault}" for fault in _projection(projection, circuit)]
    faults += [f"drive: {fault}" for fault in _drive(circuit.drive, circuit)]
    faults += _size(circuit)
    if faults:
        raise DefinitionError(f"circuit {circuit.name!r} cannot be used: " + "; ".join(faults))


def _population(population: Population) -> Iterator[str]:
    yield from _range("size", population.size, Bounds(1, MAX_CELLS), "cells")
    yield from _range("assemblies", population.assemblies, Bounds(1, 100_000), "")
    yield from _range("mean_input", population.mean_input_mV, VOLTAGE_MV, "mV")
    yield from _range("noise", population.noise_mV, Bounds(0.0, VOLTAGE_MV.high), "mV")
    if population.neuron not in NEURONS:
        yield f"unknown neuron model {population.neuron!r}{did_you_mean(population.neuron, NEURONS)}"
        return
    expected = NEURONS[population.neuron]
    for name in sorted(expected.keys() - population.parameters.keys()):
        yield f"parameter {name} is missing"
    for name, value in population.parameters.items():
        if name not in expected:
            yield f"unknown parameter {name!r}{did_you_mean(name, expected)}"
        else:
            yield from _range(name, value, expected[name], "")
    threshold, reset = (population.parameters.get(name) for name in ("v_threshold_mV", "v_reset_mV"))
    if threshold is not None and reset is not None and not reset < threshold:
        yield f"v_reset_mV is {reset:g}, expected below v_threshold_mV = {threshold:g}"


def _synapse(synapse: Synapse) -> Iterator[str]:
    if synapse.model not in SYNAPSES:
        yield f"unknown synapse model {synapse.model!r}{did_you_mean(synapse.model, SYNAPSES)}"
    yield from _range("tau", synapse.tau_ms, TIME_MS, "ms")


def _projection(projection: Projection, circuit: Circuit) -> Iterator[str]:
    populations = [p.name for p in circuit.populations]
    for end in (projection.source, projection.target):
        if end not in populations:
            yield f"unknown population {end!r}{did_you_mean(end, populations)}"
    synapses = [s.name for s in circuit.synapses]
    if projection.synapse not in synapses:
        yield f"unknown synapse {projection.synapse!r}{did_you_mean(projection.synapse, synapses)}"
    yield from _range("in_degree", projection.in_degree, Bounds(0, MAX_CELLS), "synapses")
    yield from _range("weight", projection.weight_mV, VOLTAGE_MV, "mV")
    yield from _range("delay", projection.delay_ms, Bounds(0.0, 1_000.0), "ms")
    profile = projection.profile
    if profile.kind not in PROFILES:
        yield f"unknown profile {profile.kind!r}{did_you_mean(profile.kind, PROFILES)}"
    yield from _range("kappa", profile.kappa, Bounds(0.0, 100.0), "")


def _drive(drive: Drive, circuit: Circuit) -> Iterator[str]:
    driven = {p.name: p for p in circuit.populations}.get(drive.target)
    if driven is None:
        names = [p.name for p in circuit.populations]
        yield f"unknown population {drive.target!r}{did_you_mean(drive.target, names)}"
    elif driven.assemblies != drive.front_end.channels:
        yield (
            f"the front end has {drive.front_end.channels} channels, expected {driven.assemblies}, "
            f"one per assembly of {driven.name}"
        )
    kind = drive.front_end.kind
    if kind not in FRONT_ENDS:
        yield f"unknown front end {kind!r}{did_you_mean(kind, FRONT_ENDS)}"
    yield from _range("gain", drive.front_end.gain_mV, Bounds(0.0, VOLTAGE_MV.high), "mV")
    yield from _range("seed", drive.front_end.seed, Bounds(0, 2**63 - 1), "")


def _size(circuit: Circuit) -> Iterator[str]:
    cells = {p.name: p.size * p.assemblies for p in circuit.populations}
    synapses = sum(cells.get(p.target, 0) * p.in_degree for p in circuit.projections)
    if sum(cells.values()) > MAX_CELLS:
        yield f"{sum(cells.values())} cells, expected at most {MAX_CELLS}"
    if synapses > MAX_SYNAPSES:
        yield f"{synapses} synapses, expected at most {MAX_SYNAPSES}"


def _range(name: str, value: float, bounds: Bounds, unit: str) -> Iterator[str]:
    if not math.isfinite(value) or not bounds.contains(value):
        yield f"{name} is {value:g}, expected a value in {bounds} {unit}".rstrip()


def _duplicates(what: str, names: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield f"two {what}s are named {name!r}"
        seen.add(name)
