"""The numbers of a circuit, by the name of the Brian2 variable that takes each at run time, in SI units.

Names are ``"object.variable"``, as the command line of a standalone binary takes them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cortexres.circuits.connectivity import Connections
from cortexres.circuits.neurons import UNITS
from cortexres.circuits.propagators import propagators
from cortexres.circuits.runs import Timing
from cortexres.circuits.structure import Gates, Group, Structure
from cortexres.circuits.synapses import is_conductance, jump
from cortexres.definitions import Circuit, Population, Projection
from cortexres.definitions.models import NEURONS

Values = dict[str, float | NDArray[Any]]

#: A potential in volt that no cell reaches.
_NEVER = 1e6


def circuit_values(made: Structure, circuit: Circuit, timing: Timing) -> Values:
    """The numbers of cells, receptors, backgrounds and gates: the same in all runs."""
    values: Values = {}
    for k, group in enumerate(made.groups):
        exact = made.method == "exact"
        each = [_numbers(group, circuit.populations[p], circuit, exact=exact) for p in group.populations]
        for name in each[0]:
            numbers = np.array([numbers[name] for numbers in each])
            values[f"cells_{k}.{name}"] = float(numbers[0]) if len(each) == 1 else np.repeat(numbers, group.counts)
        if group.cells.drive:  # half a step early: the step of the onset must not be a matter of rounding
            values[f"cells_{k}.onset"] = (timing.settle_ms - circuit.dt_ms / 2) * 1e-3
            if made.frames > 1:
                values[f"cells_{k}.channel"] = group.assembly
    for k, gates in enumerate(made.gates):
        values |= _gates(made, circuit, k, gates)
    return values


def synapse_values(made: Structure, circuit: Circuit, connections: list[Connections]) -> Values:
    """Weights and delays; those of single synapses are filled with 0 up to the room there is."""
    values: Values = {}
    for k, bundle in enumerate(made.bundles):
        parts = [(circuit.projections[p], connections[p]) for p in bundle.projections]
        jumps = [jump(q, circuit.population(q.target), circuit.synapse(q.synapse)) for q, _ in parts]
        if bundle.own_weights:
            own = [w * _each(drawn.factor, 1.0, drawn) for w, (_, drawn) in zip(jumps, parts, strict=True)]
            values[f"bundle_{k}.jump"] = fill(np.concatenate(own), bundle.synapses)
        else:
            values[f"bundle_{k}.jump"] = jumps[0]
        if bundle.own_delays:
            steps = [_each(drawn.delay_steps, q.delay_ms / circuit.dt_ms, drawn) for q, drawn in parts]
            values[f"bundle_{k}.delay"] = fill(np.concatenate(steps) * (circuit.dt_ms * 1e-3), bundle.synapses)
        else:
            values[f"bundle_{k}.delay"] = parts[0][0].delay_ms * 1e-3
    return values


def synapse_pairs(
    made: Structure, circuit: Circuit, connections: list[Connections]
) -> list[tuple[NDArray[np.int32], NDArray[np.int32]]]:
    """Source and target cell of every synapse of each bundle, filled up to the room there is."""
    names = [p.name for p in circuit.populations]
    pairs = []
    for bundle in made.bundles:
        source, target = made.groups[bundle.source], made.groups[bundle.target]
        parts = [(circuit.projections[p], connections[p]) for p in bundle.projections]
        sources = [drawn.source + np.int32(source.first(names.index(q.source))) for q, drawn in parts]
        targets = [drawn.target + np.int32(target.first(names.index(q.target))) for q, drawn in parts]
        pairs.append((fill(np.concatenate(sources), bundle.synapses), fill(np.concatenate(targets), bundle.synapses)))
    return pairs


def assembly_factors(projection: Projection, circuit: Circuit) -> NDArray[np.float64]:
    """The weight factor of each pair of assemblies: (target assembly, source assembly)."""
    shape = (circuit.population(projection.target).assemblies, circuit.population(projection.source).assemblies)
    factors = np.array(projection.matrix) if projection.matrix else np.ones(shape)
    return factors * np.eye(*shape) if projection.profile.kind == "same" else factors


def fill(values: NDArray[Any], room: int) -> NDArray[Any]:
    """The values, followed by zeros."""
    filled = np.zeros(room, dtype=values.dtype)
    filled[: len(values)] = values
    return filled


def _each(own: NDArray[Any] | None, common: float, drawn: Connections) -> NDArray[np.float64]:
    return np.full(len(drawn.source), common) if own is None else own.astype(np.float64)


def _numbers(group: Group, population: Population, circuit: Circuit, *, exact: bool) -> dict[str, float]:
    """The numbers of one population that its cells share."""
    if population.neuron == "replay":
        return {}
    values = {}
    for name in NEURONS[population.neuron].parameters:
        stem, _, suffix = name.rpartition("_")
        values[stem] = population.parameter(name) * UNITS[suffix][1]
    if population.neuron == "poisson":
        return {"rate": 0.0 if population.silenced else values["rate"]}
    values |= {"mean_input": population.mean_input_mV * 1e-3, "noise": population.noise_mV * 1e-3}
    if population.neuron == "adex":
        values["upswings"] = float(not population.silenced)
    if population.silenced:
        values["v_spike" if population.neuron == "adex" else "v_threshold"] = _NEVER
    for r, receptor in enumerate(group.cells.receptors):
        synapse = circuit.synapses[receptor.synapse]
        values[f"tau_{r}"] = synapse.tau_ms * 1e-3
        if is_conductance(receptor):
            values[f"reversal_{r}"] = synapse.reversal_mV * 1e-3
        if receptor.model == "nmda":
            values[f"magnesium_{r}"] = synapse.magnesium_mM
    for b, background in enumerate(b for b in circuit.backgrounds if b.target == population.name):
        values[f"weight_background_{b}"] = jump(background, population, circuit.synapse(background.synapse))
        values[f"rate_background_{b}"] = background.count * background.rate_Hz
    return values | (propagators(group.cells, population, circuit) if exact else {})


def _gates(made: Structure, circuit: Circuit, k: int, gates: Gates) -> Values:
    synapse, names = circuit.synapses[gates.synapse], [p.name for p in circuit.populations]
    values: Values = {
        f"gates_{k}.tau": synapse.tau_ms * 1e-3,
        f"gates_{k}.tau_rise": synapse.tau_rise_ms * 1e-3,
        f"gates_{k}.opening": synapse.gating_Hz,
    }
    for part, (_, projections) in enumerate(gates.parts):
        values[f"opening_{k}_{part}.delay"] = circuit.projections[projections[0]].delay_ms * 1e-3
    for g, r in gates.readers:
        group, columns = made.groups[g], []
        for population, projections in gates.parts:
            shares = np.zeros((group.units, circuit.populations[population].assemblies))
            for q in (circuit.projections[p] for p in projections):
                if names.index(q.target) in group.populations:
                    place = group.populations.index(names.index(q.target))
                    first = sum(group.assemblies[:place])
                    rows = slice(first, first + group.assemblies[place])
                    shares[rows] += assembly_factors(q, circuit) * (q.conductance_nS * 1e-9)
            columns.append(shares)
        values[f"mixing_{g}_{r}.share"] = np.concatenate(columns, axis=1).T[:, group.unit].ravel()  # source by source
    return values
