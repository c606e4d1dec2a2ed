"""NMDA gating, kept once per source cell and summed per assembly: work that grows with cells, not with synapses.

All synapses of a cell open and close alike, and every cell of a target assembly reads the same weighted sum over all
source cells; so no synapse is stored. Wang 2002, doi:10.1016/S0896-6273(02)01092-9.
"""

from __future__ import annotations

from cortexres.circuits.brian import brian2
from cortexres.circuits.structure import Gate, Structure

_GATES = """
ds/dt = -s / tau + opening * x * (1 - s) : 1
dx/dt = -x / tau_rise : 1
tau : second (shared, constant)
tau_rise : second (shared, constant)
opening : hertz (shared, constant)
"""


def gating_objects(
    made: Structure, k: int, gate: Gate, source: brian2.Group
) -> tuple[list[brian2.BrianObject], dict[int, brian2.NeuronGroup]]:
    """The Brian2 objects of one gate, and for each projection that reads it the sums per target assembly."""
    dt = made.dt_ms * brian2.ms
    cells = made.cells[gate.source]
    gates = brian2.NeuronGroup(cells.cells, _GATES, method=made.method, namespace={}, dt=dt, name=f"gates_{k}")
    opening = brian2.Synapses(
        source, gates, on_pre="x_post += 1", delay=0 * brian2.ms, namespace={}, dt=dt, name=f"opening_{k}"
    )
    opening.connect(j="i")
    # Sums are made in order: per source assembly, then per target assembly, then read by the cells of this step.
    total = brian2.NeuronGroup(cells.assemblies, "total : 1", namespace={}, dt=dt, order=-2, name=f"gates_total_{k}")
    summing = brian2.Synapses(
        gates, total, "total_post = s_pre : 1 (summed)", namespace={}, dt=dt, name=f"summing_{k}"
    )
    summing.connect(j=f"i // {cells.size}")
    objects, sums = [gates, opening, total, summing], {}
    for projection in gate.projections:
        n = made.cells[made.wires[projection].target].assemblies
        sums[projection] = brian2.NeuronGroup(n, "total : 1", namespace={}, dt=dt, order=-1, name=f"sums_{projection}")
        mixing = brian2.Synapses(
            total,
            sums[projection],
            "share : 1 (constant)\ntotal_post = share * total_pre : 1 (summed)",
            namespace={},
            dt=dt,
            name=f"mixing_{projection}",
        )
        mixing.connect()
        objects += [sums[projection], mixing]
    return objects, sums
