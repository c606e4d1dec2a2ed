"""Input components of every unit, reconstructed from its presynaptic spikes: what is added, current by current.

Brian2 could record the currents, at eighty times the memory; the spikes and the synapses determine them exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from cortexres.circuits.connectivity import Connections
from cortexres.circuits.runs import Spikes
from cortexres.circuits.structure import COMPONENTS, component
from cortexres.circuits.synapses import jump_mV, membrane_tau_ms
from cortexres.definitions import Circuit, Population, Projection
from cortexres.definitions.models import SYNAPSES

#: Table entries that are looked at together; bounds the memory this takes.
_AT_ONCE = 4_000_000


class _Path(NamedTuple):
    """One projection, ready to turn spikes of its source into current of its targets.

    A spike of cell c adds ``jump_mV[k]`` at ``place[k]`` for every k in ``first[c]:first[c + 1]``, where a place counts
    steps from the spike and, within each, the target's assemblies.
    """

    source: str
    component: int
    first_unit: int
    assemblies: int
    first: NDArray[np.int64]
    place: NDArray[np.int64]
    jump_mV: NDArray[np.float64]
    filters: tuple[tuple[list[float], list[float]], ...]


def current_paths(circuit: Circuit, connections: list[Connections]) -> list[_Path]:
    """The paths along which spikes become current: one per projection through synapses that add a current.

    Conductances are none of them: what they let through depends on the potential, and is recorded instead.
    """
    paths, first_unit = [], 0
    for target in circuit.populations:
        for projection, made in zip(circuit.projections, connections, strict=True):
            current = SYNAPSES[circuit.synapse(projection.synapse).model].kind == "current"
            if projection.target == target.name and current:
                paths.append(_path(circuit, projection, made, first_unit))
        first_unit += target.assemblies
    return paths


def synaptic_currents(
    paths: list[_Path], spikes: Spikes, *, n_units: int, n_steps: int, dt_ms: float
) -> NDArray[np.float64]:
    """The mean synaptic current of the cells of every unit at every step.

    Returns
    -------
    array (3, step, `unit`)
        In mV of mean depolarisation, feedforward, recurrent excitatory, recurrent inhibitory. An exponential or alpha
        current is that at the start of the step. A delta synapse moves the potential at once: its current is the mean
        input over the step in which the spike arrives that would move it as far (J tau_m / dt).
    """
    currents = np.zeros((len(COMPONENTS), n_steps, n_units))
    for path in paths:
        current = _jumps(path, spikes, n_steps)
        for numerator, denominator in path.filters:
            current = lfilter(numerator, denominator, current, axis=0)
        currents[path.component, :, path.first_unit : path.first_unit + path.assemblies] += current
    return currents


def _path(circuit: Circuit, projection: Projection, made: Connections, first_unit: int) -> _Path:
    source, target = circuit.population(projection.source), circuit.population(projection.target)
    synapse = circuit.synapse(projection.synapse)
    delta = synapse.model == "delta"
    # What arrives in a step changes a current from the next step on; a potential's change belongs to the step itself.
    first_step = 0 if delta else 1
    tau_m = membrane_tau_ms(target, synapse.compartment)
    jump = jump_mV(projection, target, synapse) * (tau_m / circuit.dt_ms if delta else 1.0)
    delay = round(projection.delay_ms / circuit.dt_ms)
    delays = made.delay_steps if made.delay_steps is not None else np.broadcast_to(np.int32(delay), len(made.source))
    first, place, total = _table(made, delays + first_step, source, target)
    return _Path(
        source=source.name,
        component=COMPONENTS.index(component(projection, circuit)),
        first_unit=first_unit,
        assemblies=target.assemblies,
        first=first,
        place=place,
        jump_mV=total * (jump / target.size),
        filters=() if delta else _filters(synapse.model, circuit.dt_ms / synapse.tau_ms, circuit.method),
    )


def _filters(model: str, ratio: float, method: str) -> tuple[tuple[list[float], list[float]], ...]:
    """The recursions by which the method integrates a current whose time constant is dt / `ratio`.

    An alpha function is an exponential h filtered by itself. Over a step, Euler's method and the exponential one take h
    to be constant; exact integration does not.
    """
    decay = 1.0 - ratio if method == "euler" else math.exp(-ratio)
    exponential = ([1.0], [1.0, -decay])
    if model == "exponential_current":
        return (exponential,)
    gain = ratio * decay if method == "exact" else 1.0 - decay
    return (exponential, ([0.0, gain], [1.0, -decay]))


def _table(
    made: Connections, steps: NDArray[np.int32], source: Population, target: Population
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """For each source cell where and how strongly its spike acts: the limits of its entries, places, and weights."""
    counts, places, weights = np.zeros(source.cells + 1, dtype=np.int64), [], []
    width = (int(steps.max()) + 1 if len(steps) else 1) * target.assemblies
    for cells, synapses in _slabs(made.source, source.cells, width):
        column = steps[synapses].astype(np.int64) * target.assemblies + made.target[synapses] // target.size
        key = (made.source[synapses] - cells.start) * np.int64(width) + column
        factor = None if made.factor is None else made.factor[synapses]
        number = np.bincount(key, minlength=width * len(cells)).reshape(len(cells), width)
        weight = number if factor is None else np.bincount(key, factor, number.size).reshape(number.shape)
        counts[cells.start + 1 : cells.stop + 1] = np.count_nonzero(number, axis=1)
        places.append(np.nonzero(number)[1])
        weights.append(weight[number > 0].astype(np.float64))
    return np.cumsum(counts), np.concatenate(places), np.concatenate(weights)


def _slabs(source: NDArray[np.int32], cells: int, width: int) -> Iterator[tuple[range, slice]]:
    """Runs of source cells, and of their synapses (sorted by source), whose table is of moderate size."""
    rows = max(1, _AT_ONCE // width)
    for start in range(0, cells, rows):
        stop = min(cells, start + rows)
        yield range(start, stop), slice(*np.searchsorted(source, [start, stop]).tolist())


def _jumps(path: _Path, spikes: Spikes, n_steps: int) -> NDArray[np.float64]:
    """What the spikes add to the current in each step, (step, assembly of the target)."""
    jumps = np.zeros(n_steps * path.assemblies)
    cells, steps = spikes.cell[path.source], spikes.step[path.source]
    entries = path.first[cells + 1] - path.first[cells]
    part = np.cumsum(entries) // _AT_ONCE
    for spike in np.split(np.arange(len(cells)), np.flatnonzero(np.diff(part)) + 1):
        n = entries[spike]
        # The entries of all these spikes, one after the other: positions in the table, counted on from each first one.
        entry = np.repeat(path.first[cells[spike]] - np.cumsum(n) + n, n) + np.arange(n.sum())
        at = np.repeat(steps[spike] * path.assemblies, n) + path.place[entry]
        jumps += np.bincount(at, path.jump_mV[entry], jumps.size)[: jumps.size]
    return jumps.reshape(n_steps, path.assemblies)
