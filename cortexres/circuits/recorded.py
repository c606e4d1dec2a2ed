"""Recorded input components of cells with conductances: sums over each assembly, sampled during the run.

The current through a conductance depends on the potential, which no spike train tells; currents that do not are
reconstructed from spikes at no cost (see `components`).
"""

from __future__ import annotations

import numpy as np

from cortexres.circuits.brian import brian2
from cortexres.circuits.neurons import recorded_input
from cortexres.circuits.structure import Group, Structure


def recorder(
    made: Structure, k: int, group: Group, cells: brian2.NeuronGroup
) -> tuple[list[brian2.BrianObject], brian2.StateMonitor]:
    """The Brian2 objects that sum the components of group `k` over each unit, and the monitor among them.

    The sums live in a group with a slow clock of its own: made at every step, they would cost as much as the network.
    A sample is the state at the start of its step.
    """
    common = {"namespace": {}, "dt": made.sample_steps * made.dt_ms * brian2.ms}
    names = group.cells.recorded
    sums = brian2.NeuronGroup(group.units, "\n".join(f"{n} : volt" for n in names), name=f"sums_{k}", **common)
    lines = [f"{n}_post = {recorded_input(group.cells, n)} : volt (summed)" for n in names]
    summing = brian2.Synapses(cells, sums, "\n".join(lines), name=f"summing_{k}", **common)
    summing.connect(i=np.arange(group.n), j=group.unit)
    monitor = brian2.StateMonitor(sums, names, record=True, when="end", dt=common["dt"], name=f"samples_{k}")
    return [sums, summing, monitor], monitor
