"""What groups of a build left, sorted by the populations and units of the circuit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cortexres.circuits.runs import Spikes
from cortexres.circuits.structure import Structure
from cortexres.definitions import Circuit

Array = NDArray[np.float64]


def population_spikes(
    made: Structure, circuit: Circuit, found: list[tuple[NDArray[np.int32], NDArray[np.float64]]]
) -> Spikes:
    """The spikes of every population from the cells and times in seconds of every group."""
    cells, steps = {}, {}
    for group, (index, time) in zip(made.groups, found, strict=True):
        step = np.rint(time / (circuit.dt_ms * 1e-3)).astype(np.int64)
        for population, count in zip(group.populations, group.counts, strict=True):
            name, own = circuit.populations[population].name, index.astype(np.int64) - group.first(population)
            inside = (own >= 0) & (own < count)
            cells[name], steps[name] = own[inside], step[inside]
    names = [p.name for p in circuit.populations]
    return Spikes({n: cells[n] for n in names}, {n: steps[n] for n in names})


def unit_samples(made: Structure, found: dict[int, dict[str, Array]]) -> dict[str, Array] | None:
    """The mean components of all units in mV, by name (sample, `unit`), 0 where none is recorded; None without any.

    Parameters
    ----------
    made : Structure
        What was run.
    found : dict of int to dict of str to array (sample, unit of the group)
        Sums over the cells of each unit in volt, by group and component.
    """
    if not found:
        return None
    assemblies = dict(sorted((p, n) for g in made.groups for p, n in zip(g.populations, g.assemblies, strict=True)))
    first = np.cumsum([0, *assemblies.values()])
    samples: dict[str, Array] = {}
    for k, components in found.items():
        group = made.groups[k]
        units = np.concatenate([np.arange(first[p], first[p + 1]) for p in group.populations])
        size = np.repeat(group.sizes, group.assemblies)
        for name, values in components.items():
            whole = samples.setdefault(name, np.zeros((len(values), first[-1])))
            whole[:, units] = values * (1e3 / size)
    return samples
