"""The numbers of a circuit, by the name of the Brian2 variable that takes each at run time, in SI units.

Names are ``"object.variable"``, as the command line of a standalone binary takes them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cortexres.circuits.connectivity import Connections
from cortexres.circuits.neurons import UNITS
from cortexres.circuits.runs import Run, Timing, cell_drive, drive_scale, first_conductances, first_potentials
from cortexres.circuits.structure import Structure
from cortexres.circuits.synapses import is_conductance, jump
from cortexres.definitions import Circuit, Population, Projection
from cortexres.definitions.models import NEURONS

Values = dict[str, float | NDArray[np.float64]]

#: A potential in volt that no cell reaches.
_NEVER = 1e6


def circuit_values(made: Structure, circuit: Circuit, timing: Timing) -> Values:
    """The numbers that are the same in all runs: of cells, receptors, backgrounds, weights and delays."""
    values: Values = {}
    for k, (cells, population) in enumerate(zip(made.cells, circuit.populations, strict=True)):
        own = _population(population) if population.neuron != "replay" else {}
        if cells.drive:  # half a step early: the step of the onset itself must not be a matter of rounding
            own["onset"] = (timing.settle_ms - circuit.dt_ms / 2) * 1e-3
        for r, receptor in enumerate(cells.receptors):
            own |= _receptor(r, circuit, receptor.synapse, receptor.model)
        for b, _ in cells.backgrounds:
            background = circuit.backgrounds[b]
            own[f"weight_background_{b}"] = jump(background, population, circuit.synapse(background.synapse))
            own[f"rate_background_{b}"] = background.count * background.rate_Hz
        for p, _ in cells.gated:
            own[f"weight_{p}"] = circuit.projections[p].conductance_nS * 1e-9
        values |= {f"population_{k}.{name}": value for name, value in own.items()}
    return values | _projections(made, circuit) | _gates(made, circuit)


def synapse_values(made: Structure, connections: list[Connections]) -> Values:
    """What each synapse has of its own, filled with synapses of weight 0 up to the room there is."""
    values: Values = {}
    for k, (wires, drawn) in enumerate(zip(made.wires, connections, strict=True)):
        if wires.synapses and wires.factors:
            factor = np.ones(len(drawn.source)) if drawn.factor is None else drawn.factor
            values[f"projection_{k}.factor"] = fill(factor.astype(np.float64), wires.synapses)
        if wires.synapses and wires.delays and drawn.delay_steps is not None:
            values[f"projection_{k}.delay"] = fill(drawn.delay_steps * (made.dt_ms * 1e-3), wires.synapses)
    return values


def synapse_pairs(made: Structure, connections: list[Connections]) -> list[tuple[NDArray[np.int32], NDArray[np.int32]]]:
    """Source and target cell of every synapse, filled up to the room there is."""
    return [
        (fill(drawn.source, wires.synapses), fill(drawn.target, wires.synapses))
        for wires, drawn in zip(made.wires, connections, strict=True)
    ]


def run_values(made: Structure, circuit: Circuit, run: Run) -> Values:
    """The numbers of one run: the stimulus and the states at the start."""
    potentials, conductances = first_potentials(circuit, run), first_conductances(circuit, run)
    values: Values = {}
    for k, (cells, population) in enumerate(zip(made.cells, circuit.populations, strict=True)):
        if cells.drive and made.frames == 1:
            silent = population.silenced and population.neuron == "poisson"
            values[f"population_{k}.x"] = cell_drive(circuit, population, run) * (not silent)
        if population.name in potentials:
            values[f"population_{k}.v"] = potentials[population.name]
        if population.neuron == "two_compartment":
            values[f"population_{k}.v_dendrite"] = population.parameter("v_rest_mV") * 1e-3
        given = {name: array for (target, name), array in conductances.items() if target == population.name}
        for r, receptor in enumerate(cells.receptors):
            # A synapse may have several receptors, told apart for recording; the start belongs to one of them.
            array = given.pop(circuit.synapses[receptor.synapse].name, None)
            if array is not None and is_conductance(receptor) and receptor.model != "nmda":
                values[f"population_{k}.g_{r}"] = array
    return values


def frame_values(made: Structure, circuit: Circuit, run: Run) -> dict[int, NDArray[np.float64]]:
    """The stimulus of each driven population in volt or hertz, (frame, assembly), where it has several frames."""
    if made.frames == 1:
        return {}
    last = np.repeat(run.drive[-1:], made.frames - len(run.drive), axis=0)
    values = np.concatenate([run.drive, last]) * drive_scale(circuit)
    return {
        k: values * (not (population.silenced and population.neuron == "poisson"))
        for k, (cells, population) in enumerate(zip(made.cells, circuit.populations, strict=True))
        if cells.drive
    }


def assembly_factors(projection: Projection, circuit: Circuit) -> NDArray[np.float64]:
    """The weight factor of each pair of assemblies: (target assembly, source assembly)."""
    shape = (circuit.population(projection.target).assemblies, circuit.population(projection.source).assemblies)
    factors = np.array(projection.matrix) if projection.matrix else np.ones(shape)
    return factors * np.eye(*shape) if projection.profile.kind == "same" else factors


def fill(values: NDArray[Any], room: int) -> NDArray[Any]:
    """The values, followed by zeros."""
    if room <= len(values):  # nothing at all is asked for where gating is summed
        return values[:room]
    filled = np.zeros(room, dtype=values.dtype)
    filled[: len(values)] = values
    return filled


def _population(population: Population) -> Values:
    values: Values = {}
    for name in NEURONS[population.neuron].parameters:
        stem, _, suffix = name.rpartition("_")
        values[stem] = population.parameter(name) * UNITS[suffix][1]
    if population.neuron == "poisson":
        return {"rate": 0.0} if population.silenced else values
    values |= {"mean_input": population.mean_input_mV * 1e-3, "noise": population.noise_mV * 1e-3}
    if population.neuron == "adex":
        values["upswings"] = float(not population.silenced)
    if population.silenced:
        values["v_spike" if population.neuron == "adex" else "v_threshold"] = _NEVER
    return values


def _receptor(r: int, circuit: Circuit, index: int, model: str) -> Values:
    synapse = circuit.synapses[index]
    values: Values = {f"tau_{r}": synapse.tau_ms * 1e-3}
    if model.endswith("conductance") or model == "nmda":
        values[f"reversal_{r}"] = synapse.reversal_mV * 1e-3
    if model == "nmda":
        values[f"magnesium_{r}"] = synapse.magnesium_mM
    return values


def _projections(made: Structure, circuit: Circuit) -> Values:
    values: Values = {}
    for k, (wires, q) in enumerate(zip(made.wires, circuit.projections, strict=True)):
        if wires.synapses:
            values[f"projection_{k}.w"] = jump(q, circuit.population(q.target), circuit.synapse(q.synapse))
            if not wires.delays:
                values[f"projection_{k}.delay"] = q.delay_ms * 1e-3
    return values


def _gates(made: Structure, circuit: Circuit) -> Values:
    values: Values = {}
    for k, gate in enumerate(made.gates):
        synapse = circuit.synapses[gate.synapse]
        values[f"gates_{k}.tau"] = synapse.tau_ms * 1e-3
        values[f"gates_{k}.tau_rise"] = synapse.tau_rise_ms * 1e-3
        values[f"gates_{k}.opening"] = synapse.gating_Hz
        values[f"opening_{k}.delay"] = circuit.projections[gate.projections[0]].delay_ms * 1e-3
        for p in gate.projections:  # synapses are stored source by source
            values[f"mixing_{p}.share"] = assembly_factors(circuit.projections[p], circuit).T.ravel()
    return values
