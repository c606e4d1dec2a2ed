"""What differs from run to run: the stimulus, the states at the start, and recorded spikes that are replayed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cortexres.circuits.parameters import Values
from cortexres.circuits.runs import Run, drive_scale, first_conductances, first_potentials
from cortexres.circuits.structure import NEVER_REACHED, Structure
from cortexres.circuits.synapses import is_conductance
from cortexres.definitions import Circuit, Population
from cortexres.errors import ArgumentError

#: Cell and step of every spike.
Recorded = tuple[NDArray[np.int32], NDArray[np.int32]]


def run_values(made: Structure, circuit: Circuit, run: Run) -> Values:
    """The numbers of one run: a constant stimulus and the states at the start."""
    potentials, conductances = first_potentials(circuit, run), first_conductances(circuit, run)
    values: Values = {}
    for k, group in enumerate(made.groups):
        populations = [circuit.populations[p] for p in group.populations]
        if group.cells.drive and made.frames == 1:
            drives = [np.repeat(_drive(circuit, p, run)[0], p.size) for p in populations]
            values[f"cells_{k}.x"] = np.concatenate(drives)
        if populations[0].name in potentials:
            values[f"cells_{k}.v"] = np.concatenate([potentials[p.name] for p in populations])
        if populations[0].neuron == "two_compartment":
            rest = [p.parameter("v_rest_mV") * 1e-3 for p in populations]
            values[f"cells_{k}.v_dendrite"] = np.repeat(rest, group.counts)
        started = set()  # a synapse may have several receptors, told apart for recording; the start belongs to one
        for r, receptor in enumerate(group.cells.receptors):
            name = circuit.synapses[receptor.synapse].name
            if is_conductance(receptor) and receptor.model != "nmda" and name not in started:
                given = [conductances[p.name, name] for p in populations if (p.name, name) in conductances]
                if given:
                    values[f"cells_{k}.g_{r}"] = np.concatenate(given)
                    started.add(name)
    return values


def frame_values(made: Structure, circuit: Circuit, run: Run) -> dict[int, NDArray[np.float64]]:
    """The stimulus of each driven group in volt or hertz, (frame, channel), where it has several frames."""
    if made.frames == 1:
        return {}
    found = {}
    for k, group in enumerate(made.groups):
        if group.cells.drive:
            values = _drive(circuit, circuit.populations[group.populations[0]], run)
            found[k] = np.concatenate([values, np.repeat(values[-1:], made.frames - len(values), axis=0)])
    return found


def replay_values(made: Structure, circuit: Circuit, run: Run) -> dict[int, Recorded]:
    """The recorded spikes of each group that replays them: cells and steps, sorted by step, up to the room there is.

    The room that is left is filled with spikes that no run reaches.

    Raises
    ------
    ArgumentError
        If a recording has cells that the population does not have, or spikes before the start of the run.
    """
    found = {}
    for k, group in enumerate(made.groups):
        if not group.replayed:
            continue
        population = circuit.populations[group.populations[0]]
        nothing = np.zeros(0, dtype=np.int64)
        cell, step = (nothing, nothing) if population.silenced else run.replay.get(population.name, (nothing, nothing))
        if len(cell) and not (0 <= cell.min() and cell.max() < group.n and step.min() >= 0):
            raise ArgumentError(
                f"the recording of {population.name} has cells {cell.min()} to {cell.max()} and a first step "
                f"{step.min()}, expected cells 0 to {group.n - 1} and steps from 0; give indices inside the population"
            )
        order = np.lexsort((cell, step))
        later = NEVER_REACHED + np.arange(group.replayed - len(cell))
        found[k] = (
            np.concatenate([cell[order], np.zeros_like(later)]).astype(np.int32),
            np.concatenate([step[order], later]).astype(np.int32),
        )
    return found


def _drive(circuit: Circuit, population: Population, run: Run) -> NDArray[np.float64]:
    """What a population is driven by, in volt or hertz: (frame, channel)."""
    silent = population.silenced and population.neuron == "poisson"
    return run.drive * (0.0 if silent else drive_scale(circuit))
