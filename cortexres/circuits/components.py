"""Input components of every unit, reconstructed from its presynaptic spikes: what is added, current by current.

Brian2 could record the currents, at eighty times the memory; the spikes and the synapses determine them exactly.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from cortexres.circuits.connectivity import Connections, mean_out_degree
from cortexres.circuits.runs import Spikes
from cortexres.circuits.synapses import jump_mV
from cortexres.definitions import Circuit


class _Path(NamedTuple):
    """One projection, ready to turn spikes of its source into current of its targets."""

    source: str
    first_unit: int
    weight_mV: NDArray[np.float64]  # (source cell, target assembly): jump of the assembly's mean current at a spike
    tau_ms: float
    delay_steps: int
    excitatory: bool


def current_paths(circuit: Circuit, connections: list[Connections]) -> list[_Path]:
    """The paths along which spikes become current, one per projection."""
    populations = {p.name: p for p in circuit.populations}
    synapses = {s.name: s for s in circuit.synapses}
    sizes = np.cumsum([0] + [p.assemblies for p in circuit.populations])
    first = dict(zip(populations, sizes, strict=False))
    paths = []
    for projection, made in zip(circuit.projections, connections, strict=True):
        target, synapse = populations[projection.target], synapses[projection.synapse]
        paths.append(
            _Path(
                source=projection.source,
                first_unit=int(first[projection.target]),
                weight_mV=jump_mV(projection, target, synapse)
                * mean_out_degree(made, populations[projection.source], target),
                tau_ms=synapse.tau_ms,
                delay_steps=round(projection.delay_ms / circuit.dt_ms),
                excitatory=projection.weight_mV >= 0,
            )
        )
    return paths


def synaptic_currents(
    paths: list[_Path], spikes: Spikes, *, n_units: int, n_steps: int, dt_ms: float
) -> NDArray[np.float64]:
    """The mean synaptic current of every unit at every step, excitatory and inhibitory apart.

    Returns
    -------
    array (2, step, `unit`)
        In mV of mean depolarisation, at the start of each step, excitatory first.
    """
    currents = np.zeros((2, n_steps, n_units))
    for path in paths:
        width = path.weight_mV.shape[1]
        cells, steps = spikes.cell[path.source], spikes.step[path.source] + path.delay_steps + 1
        inside = steps < n_steps
        index = (steps[inside, None] * width + np.arange(width)).ravel()
        jumps = np.bincount(index, path.weight_mV[cells[inside]].ravel(), minlength=n_steps * width)
        decay = 1.0 - dt_ms / path.tau_ms  # Euler's, as in the simulation
        current = lfilter([1.0], [1.0, -decay], jumps.reshape(n_steps, width), axis=0)
        currents[0 if path.excitatory else 1, :, path.first_unit : path.first_unit + width] += current
    return currents
