"""NMDA gating, kept once per source cell and summed per assembly: work that grows with cells, not with synapses.

All synapses of a cell open and close alike, and a target cell weights all source cells of an assembly alike; so no
synapse is stored. Wang 2002, doi:10.1016/S0896-6273(02)01092-9.
"""

from __future__ import annotations

import numpy as np

from cortexres.circuits.brian import brian2
from cortexres.circuits.structure import Gates, Structure

_GATES = """
ds/dt = -s / tau + opening * x * (1 - s) : 1
dx/dt = -x / tau_rise : 1
tau : second (shared, constant)
tau_rise : second (shared, constant)
opening : hertz (shared, constant)
"""


def gating_objects(made: Structure, k: int, gates: Gates, groups: list[brian2.Group]) -> list[brian2.BrianObject]:
    """The Brian2 objects of one synapse model's gates.

    Sums are made in order within a step: per source assembly, then over these for each target cell, which reads them.
    """
    common = {"namespace": {}, "dt": made.dt_ms * brian2.ms}
    counts = [_cells(made, population) for population, _ in gates.parts]
    units = np.concatenate([np.repeat(np.arange(len(c)), c) for c in counts])
    first_unit = np.cumsum([0] + [len(c) for c in counts])
    units += np.repeat(first_unit[:-1], [sum(c) for c in counts])
    states = brian2.NeuronGroup(len(units), _GATES, method=made.method, name=f"gates_{k}", **common)
    totals = brian2.NeuronGroup(first_unit[-1], "total : 1", order=-1, name=f"gate_totals_{k}", **common)
    summing = brian2.Synapses(
        states, totals, "total_post = s_pre : 1 (summed)", name=f"gate_sums_{k}", **common
    )
    summing.connect(i=np.arange(len(units)), j=units)
    objects = [states, totals, summing]
    first = 0
    for part, (population, _) in enumerate(gates.parts):
        g, n = made.group_of(population), sum(counts[part])
        opening = brian2.Synapses(
            groups[g], states, on_pre="x_post += 1", delay=0 * brian2.ms, name=f"opening_{k}_{part}", **common
        )
        opening.connect(i=np.arange(n) + made.groups[g].first(population), j=np.arange(n) + first)
        objects.append(opening)
        first += n
    for g, r in gates.readers:
        mixing = brian2.Synapses(
            totals,
            groups[g],
            f"share : siemens (constant)\ng_{r}_post = share * total_pre : siemens (summed)",
            name=f"mixing_{g}_{r}",
            **common,
        )
        pairs = np.indices((len(totals), made.groups[g].n)).reshape(2, -1)
        mixing.connect(i=pairs[0], j=pairs[1])
        objects.append(mixing)
    return objects


def _cells(made: Structure, population: int) -> list[int]:
    """The cells of each assembly of a population."""
    group = made.groups[made.group_of(population)]
    place = group.populations.index(population)
    return [group.sizes[place]] * group.assemblies[place]
