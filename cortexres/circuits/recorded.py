"""Recorded input components of cells with conductances: means over each assembly, sampled during the run.

The current through a conductance depends on the potential, which no spike train tells; currents that do not are
reconstructed from spikes at no cost (see `components`).
"""

from __future__ import annotations

from cortexres.circuits.brian import brian2
from cortexres.circuits.structure import Cells, Structure


def recorder(
    made: Structure, k: int, cells: Cells, group: brian2.NeuronGroup
) -> tuple[list[brian2.BrianObject], brian2.StateMonitor]:
    """The Brian2 objects that average the components of one population, and the monitor among them.

    The averages live in a group with a slow clock of its own: summing at every step would cost as much as the network.
    A sample is the state at the start of its step.
    """
    dt = made.sample_steps * made.dt_ms * brian2.ms
    names = cells.recorded
    means = brian2.NeuronGroup(
        cells.assemblies, "\n".join(f"{n} : volt" for n in names), namespace={}, dt=dt, name=f"means_{k}"
    )
    lines = [f"{n}_post = input_{n}_pre / {cells.size} : volt (summed)" for n in names]
    averaging = brian2.Synapses(group, means, "\n".join(lines), namespace={}, dt=dt, name=f"averaging_{k}")
    averaging.connect(j=f"i // {cells.size}")
    monitor = brian2.StateMonitor(means, names, record=True, when="end", dt=dt, name=f"samples_{k}")
    return [means, averaging, monitor], monitor
