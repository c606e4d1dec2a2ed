"""The input components of every unit in every bin, from the stimulus, the spikes and what was recorded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cortexres.circuits.binning import Bins
from cortexres.circuits.components import current_paths, synaptic_currents
from cortexres.circuits.connectivity import Connections
from cortexres.circuits.runs import Activity, Run
from cortexres.circuits.structure import COMPONENTS
from cortexres.circuits.synapses import membrane_tau_ms
from cortexres.definitions import Circuit, first_units, unit_drive
from cortexres.definitions.models import SYNAPSES

Array = NDArray[np.float64]


class Inputs:
    """Binned input components of the runs of one circuit with the same synapses."""

    def __init__(self, circuit: Circuit, connections: list[Connections], bins: Bins) -> None:
        self.circuit, self.bins = circuit, bins
        self.paths = current_paths(circuit, connections)
        self.per_drive = _per_drive(circuit)

    def components(self, run: Run, activity: Activity) -> dict[str, Array]:
        """The components of one run in mV of mean depolarisation, by name: (`time`, `unit`)."""
        drive = unit_drive(self.circuit, binned_drive(run, self.bins, self.circuit.dt_ms)) * self.per_drive
        currents = self.bins.average(
            synaptic_currents(
                self.paths,
                activity.spikes,
                n_units=drive.shape[1],
                n_steps=self.bins.n_steps,
                dt_ms=self.circuit.dt_ms,
            )
        )
        found = dict(zip(COMPONENTS, currents, strict=True))
        found["feedforward"] = found["feedforward"] + drive
        for name, samples in (activity.recorded or {}).items():
            found[name] = found[name] + self.bins.average(samples)
        return found


def binned_drive(run: Run, bins: Bins, dt_ms: float) -> Array:
    """The stimulus' mean over every bin, (`time`, channel)."""
    if len(run.drive) == 1:
        return np.repeat(run.drive, bins.count, axis=0)
    steps = np.arange(bins.count * bins.steps_per_bin)
    frame = np.minimum(steps // max(round(run.frame_ms / dt_ms), 1), len(run.drive) - 1)
    mean: Array = run.drive[frame].reshape(bins.count, bins.steps_per_bin, -1).mean(axis=1)
    return mean


def _per_drive(circuit: Circuit) -> Array:
    """Mean depolarisation in mV per unit of the drive, for every unit.

    What the stimulus adds to a background through a current is known in the mean, J tau_m per hertz; through a
    conductance it is recorded, and the rate of a Poisson source is an input to others only.
    """
    factor = np.zeros(sum(p.assemblies for p in circuit.populations))
    if circuit.drive is None or circuit.drive.onto == "rate":
        return factor
    for name, first in first_units(circuit).items():
        if name not in circuit.drive.targets:
            continue
        population, value = circuit.population(name), 1.0
        if circuit.drive.onto == "background":
            background = next(b for b in circuit.backgrounds if b.target == name)
            synapse = circuit.synapse(background.synapse)
            tau_s = membrane_tau_ms(population, synapse.compartment) * 1e-3
            value = background.weight_mV * tau_s if SYNAPSES[synapse.model].kind == "current" else 0.0
        factor[first : first + population.assemblies] = value
    return factor
