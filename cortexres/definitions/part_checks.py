"""The faults of single populations, synapses, projections and backgrounds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from cortexres.definitions.models import (
    COMPARTMENTS,
    CONDUCTANCE_NS,
    MAX_CELLS,
    MAX_SYNAPSES,
    NEURONS,
    NUMBER,
    PATHWAYS,
    PROFILES,
    RATE_HZ,
    RULES,
    SHORT_TIME_MS,
    STARTS,
    SYNAPSES,
    TIME_MS,
    VOLTAGE_MV,
    Bounds,
)
from cortexres.definitions.names import did_you_mean

if TYPE_CHECKING:
    from cortexres.definitions.circuit import Circuit
    from cortexres.definitions.population import Population
    from cortexres.definitions.projection import Background, Matrix, Profile, Projection, Synapse

_PROBABILITY = Bounds(0.0, 1.0)
_SPREAD = Bounds(0.0, 10.0)


def outside(name: str, value: float, bounds: Bounds, unit: str) -> Iterator[str]:
    """One fault where `value` is not a finite number in `bounds`."""
    if not math.isfinite(value) or not bounds.contains(value):
        yield f"{name} is {value:g}, expected a value in {bounds} {unit}".rstrip()


def duplicates(what: str, names: Iterable[str]) -> Iterator[str]:
    """A fault for every name that occurs again."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield f"two {what}s are named {name!r}"
        seen.add(name)


def population_faults(population: Population) -> Iterator[str]:
    """What is wrong with a population by itself."""
    yield from outside("size", population.size, Bounds(1, MAX_CELLS), "cells")
    yield from outside("assemblies", population.assemblies, Bounds(1, 100_000), "")
    yield from outside("mean_input", population.mean_input_mV, VOLTAGE_MV, "mV")
    yield from outside("noise", population.noise_mV, Bounds(0.0, VOLTAGE_MV.high), "mV")
    yield from outside("expected_rate", population.expected_rate_Hz, RATE_HZ, "Hz")
    if population.start.kind not in STARTS:
        yield f"unknown start {population.start.kind!r}{did_you_mean(population.start.kind, STARTS)}"
    yield from outside("start.mean", population.start.mean_mV, VOLTAGE_MV, "mV")
    yield from outside("start.sd", population.start.sd_mV, Bounds(0.0, VOLTAGE_MV.high), "mV")
    if population.assembly_areas and len(population.assembly_areas) != population.assemblies:
        yield f"{len(population.assembly_areas)} assembly_areas, expected {population.assemblies}, one per assembly"
    if population.neuron not in NEURONS:
        yield f"unknown neuron model {population.neuron!r}{did_you_mean(population.neuron, NEURONS)}"
        return
    expected = NEURONS[population.neuron].parameters
    for name in sorted(n for n, p in expected.items() if p.default is None and n not in population.parameters):
        yield f"parameter {name} is missing"
    for name, value in population.parameters.items():
        if name not in expected:
            yield f"unknown parameter {name!r}{did_you_mean(name, expected)}"
        else:
            yield from outside(name, value, expected[name].bounds, "")
    threshold, reset = (population.parameters.get(name) for name in ("v_threshold_mV", "v_reset_mV"))
    if threshold is not None and reset is not None and not reset < threshold:
        yield f"v_reset_mV is {reset:g}, expected below v_threshold_mV = {threshold:g}"


def synapse_faults(synapse: Synapse) -> Iterator[str]:
    """What is wrong with a synapse by itself."""
    if synapse.model not in SYNAPSES:
        yield f"unknown synapse model {synapse.model!r}{did_you_mean(synapse.model, SYNAPSES)}"
        return
    needs = SYNAPSES[synapse.model].needs
    constants = {"tau_ms": TIME_MS, "tau_rise_ms": TIME_MS, "gating_Hz": Bounds(0.0, 1e5, open_low=True)}
    for name, bounds in constants.items():
        value: float = getattr(synapse, name)
        if name in needs:
            yield from outside(name.rsplit("_", 1)[0], value, bounds, name.rsplit("_", 1)[1])
        elif value:
            yield f"{name} is {value:g}, and model {synapse.model!r} has none: leave it out"
    if synapse.compartment not in COMPARTMENTS:
        yield f"unknown compartment {synapse.compartment!r}{did_you_mean(synapse.compartment, COMPARTMENTS)}"
    yield from outside("reversal", synapse.reversal_mV, VOLTAGE_MV, "mV")
    yield from outside("magnesium", synapse.magnesium_mM, Bounds(0.0, 100.0), "mM")
    yield from outside("start_mean", synapse.start_mean_nS, CONDUCTANCE_NS, "nS")
    yield from outside("start_sd", synapse.start_sd_nS, CONDUCTANCE_NS, "nS")


def projection_faults(projection: Projection, circuit: Circuit) -> Iterator[str]:
    """What is wrong with a projection in its circuit."""
    populations = {p.name: p for p in circuit.populations}
    for end in (projection.source, projection.target):
        if end not in populations:
            yield f"unknown population {end!r}{did_you_mean(end, populations)}"
    yield from _synapse_and_weight(projection, circuit)
    if projection.rule not in RULES:
        yield f"unknown rule {projection.rule!r}{did_you_mean(projection.rule, RULES)}"
    if projection.pathway not in PATHWAYS:
        yield f"unknown pathway {projection.pathway!r}{did_you_mean(projection.pathway, PATHWAYS)}"
    yield from outside("in_degree", projection.in_degree, Bounds(0, MAX_CELLS), "synapses")
    yield from outside("total", projection.total, Bounds(0, MAX_SYNAPSES), "synapses")
    yield from outside("probability", projection.probability, _PROBABILITY, "")
    yield from outside("strength", projection.strength, NUMBER, "")
    yield from outside("weight_cv", projection.weight_cv, _SPREAD, "")
    yield from outside("delay_cv", projection.delay_cv, _SPREAD, "")
    yield from _delays(projection, circuit.dt_ms)
    yield from _profile(projection.profile)
    source, target = populations.get(projection.source), populations.get(projection.target)
    if source is not None and target is not None:
        yield from _pair(projection, source, target)


def background_faults(background: Background, circuit: Circuit) -> Iterator[str]:
    """What is wrong with a background in its circuit."""
    populations = {p.name: p for p in circuit.populations}
    if background.target not in populations:
        yield f"unknown population {background.target!r}{did_you_mean(background.target, populations)}"
    yield from _synapse_and_weight(background, circuit)
    synapse = {s.name: s for s in circuit.synapses}.get(background.synapse)
    if synapse is not None and synapse.model == "nmda":
        yield f"synapse {background.synapse!r} is gated by its presynaptic cell, which a background does not have"
    yield from outside("count", background.count, Bounds(0, MAX_CELLS), "sources")
    yield from outside("rate", background.rate_Hz, RATE_HZ, "Hz")


def _synapse_and_weight(connection: Projection | Background, circuit: Circuit) -> Iterator[str]:
    """The synapse must exist, its weight be given in its own unit, and the target's cells be able to take it."""
    synapses = {s.name: s for s in circuit.synapses}
    yield from outside("weight", connection.weight_mV, VOLTAGE_MV, "mV")
    yield from outside("conductance", connection.conductance_nS, CONDUCTANCE_NS, "nS")
    synapse = synapses.get(connection.synapse)
    if synapse is None:
        yield f"unknown synapse {connection.synapse!r}{did_you_mean(connection.synapse, synapses)}"
        return
    kind = SYNAPSES[synapse.model].kind if synapse.model in SYNAPSES else "current"
    own = {"current": "weight_mV", "conductance": "conductance_nS", "rate": "strength"}[kind]
    weights = {"weight_mV": connection.weight_mV, "conductance_nS": connection.conductance_nS}
    weights["strength"] = getattr(connection, "strength", 0.0)  # backgrounds have none
    for name, value in weights.items():
        if name != own and value:
            yield f"{name} is {value:g}, and a synapse of model {synapse.model!r} takes {own}"
    target = next((p for p in circuit.populations if p.name == connection.target), None)
    if target is None or target.neuron not in NEURONS:
        return
    if NEURONS[target.neuron].kind == "replay" and kind != "rate":
        return  # without effect, and kept: the random streams of projections go by their places
    if NEURONS[target.neuron].kind == "external":
        yield f"{target.name} consists of Poisson sources, which receive nothing; choose another target"
    elif synapse.compartment == "dendrite" and target.neuron != "two_compartment":
        yield f"synapse {synapse.name!r} lies on a dendrite, and cells of {target.name} ({target.neuron!r}) have none"
    elif kind == "conductance" and target.neuron == "lif" and target.parameters.get("g_leak_nS", 0.0) <= 0:
        yield f"a conductance needs g_leak of the cells of {target.name}, got none: give it among their parameters"
    elif (kind == "rate") != (NEURONS[target.neuron].kind == "rate"):
        yield f"synapse model {synapse.model!r} does not fit neuron model {target.neuron!r}: rates take 'rate'"


def _delays(projection: Projection, dt_ms: float) -> Iterator[str]:
    delays = [d for row in projection.delay_matrix_ms for d in row] or [projection.delay_ms]
    for delay in delays:
        yield from outside("delay", delay, SHORT_TIME_MS, "ms")
        # 0 is allowed and means the next step; what lies between would be rounded to either.
        if 0.0 < delay < dt_ms * (1 - 1e-9):
            yield f"delay is {delay:g} ms, below dt = {dt_ms:g} ms; use 0 (felt at the next step) or at least dt"
            return


def _profile(profile: Profile) -> Iterator[str]:
    if profile.kind not in PROFILES:
        yield f"unknown profile {profile.kind!r}{did_you_mean(profile.kind, PROFILES)}"
    yield from outside("kappa", profile.kappa, Bounds(0.0, 100.0), "")
    yield from outside("depth", profile.depth, Bounds(-1.0, 1.0), "")
    yield from outside("width", profile.width_deg, Bounds(0.0, 1e4), "deg")
    if profile.kind == "gaussian" and not profile.width_deg > 0:
        yield f"width is {profile.width_deg:g} deg, expected above 0 for a gaussian profile"


def _pair(projection: Projection, source: Population, target: Population) -> Iterator[str]:
    n, m = target.assemblies, source.assemblies
    yield from _matrix("matrix", projection.matrix, n, m)
    yield from _matrix("delay_matrix", projection.delay_matrix_ms, n, m)
    if projection.profile.kind == "same" and n != m:
        yield f"profile 'same' joins {m} to {n} assemblies, expected as many on both sides"
    if any(v < 0 for row in projection.matrix for v in row):
        yield "matrix holds negative factors, expected 0 or more: the sign of a projection is that of its weight"
    if projection.rule == "fixed_total" and projection.probability >= 1.0:
        yield "rule 'fixed_total' joins every pair with probability 1, as no number of synapses does; use 'all_to_all'"
    if projection.rule == "one_to_one" and source.cells != target.cells:
        yield f"rule 'one_to_one' joins {source.cells} to {target.cells} cells, expected as many on both sides"
    pairs = source.cells * target.cells
    synapses = {
        "fixed_in_degree": projection.in_degree * target.cells,
        # That many draws with replacement connect a pair with this probability.
        "fixed_total": projection.total or -math.log1p(-min(projection.probability, 0.999)) * pairs,
        "bernoulli": projection.probability * pairs,
        "one_to_one": target.cells,
        "all_to_all": pairs,
    }.get(projection.rule, 0)
    if synapses > MAX_SYNAPSES:
        yield f"{synapses:.0f} synapses, expected at most {MAX_SYNAPSES}"


def _matrix(name: str, matrix: Matrix, n: int, m: int) -> Iterator[str]:
    if matrix and (len(matrix) != n or any(len(row) != m for row in matrix)):
        yield f"{name} has {len(matrix)} rows, expected {n} rows of {m}, one per target and source assembly"
    elif any(not math.isfinite(v) for row in matrix for v in row):
        yield f"{name} holds a value that is not finite"
