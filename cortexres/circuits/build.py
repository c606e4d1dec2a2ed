"""Structure -> Brian2 network, with an explicit clock, namespace and method at every object and no number in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cortexres.circuits import backgrounds, gating
from cortexres.circuits.brian import brian2
from cortexres.circuits.neurons import MODELS, drive_term, equations
from cortexres.circuits.recorded import recorder
from cortexres.circuits.structure import Cells, Structure, Wires
from cortexres.circuits.synapses import jumping, unit


class Built(NamedTuple):
    """A Brian2 network and its parts.

    Attributes
    ----------
    network : Network
        All objects.
    groups, monitors : list
        Populations and what records their spikes, in the order of the definition.
    samples : dict of int to StateMonitor
        What records the input components, by population.
    """

    network: brian2.Network
    groups: list[brian2.Group]
    monitors: list[brian2.SpikeMonitor]
    samples: dict[int, brian2.StateMonitor]


#: Source and target cell of every synapse of a projection.
Pairs = tuple[NDArray[np.int32], NDArray[np.int32]]


def build(made: Structure, pairs: Sequence[Pairs], frames: Mapping[int, NDArray[np.float64]]) -> Built:
    """The network of a structure; its numbers are set afterwards, from `cortexres.circuits.parameters`.

    Parameters
    ----------
    made : Structure
        What to build.
    pairs : sequence of (source, target)
        Cell indices of the synapses of each projection.
    frames : dict of int to array (frame, channel)
        The stimulus of each driven population in volt or hertz, where it has several frames; by default 0.
    """
    groups = [_group(made, k, cells, frames.get(k)) for k, cells in enumerate(made.cells)]
    objects: list[brian2.BrianObject] = [*groups]
    objects += [_synapses(made, k, w, groups, pairs[k]) for k, w in enumerate(made.wires) if w.synapses]
    for k, gate in enumerate(made.gates):
        parts, sums = gating.gating_objects(made, k, gate, groups[gate.source])
        objects += parts
        for projection, total in sums.items():
            target = made.wires[projection].target
            assembly = np.repeat(np.arange(made.cells[target].assemblies), made.cells[target].size)
            setattr(groups[target], f"gates_{projection}", brian2.linked_var(total, "total", index=assembly))
    monitors = [brian2.SpikeMonitor(group, name=f"spikes_{k}") for k, group in enumerate(groups)]
    samples = {}
    for k, cells in enumerate(made.cells):
        if cells.recorded:
            parts, samples[k] = recorder(made, k, cells, groups[k])
            objects += parts
    return Built(brian2.Network(*objects, *monitors), groups, monitors, samples)


def _group(made: Structure, k: int, cells: Cells, frames: NDArray[np.float64] | None) -> brian2.Group:
    name, dt, model = f"population_{k}", made.dt_ms * brian2.ms, MODELS[cells.neuron]
    group = brian2.NeuronGroup(
        cells.cells,
        equations(cells, method=made.method, frames=made.frames),
        threshold=model.threshold,
        reset=model.reset,
        refractory=model.refractory,
        method=made.method,  # Euler is exact for the area of a synaptic current
        namespace={},
        dt=dt,
        name=name,
    )
    if cells.drive and made.frames > 1:
        values = np.zeros((made.frames, cells.assemblies)) if frames is None else frames
        values = values * (brian2.volt if cells.drive == "mean_input" else brian2.hertz)
        stimulus = brian2.TimedArray(values, dt=made.frame_ms * brian2.ms, name=f"frames_{k}")
        group.namespace["frames"] = stimulus
        # Frame 0 also holds before the onset, where the stimulus is not there yet.
        follow = f"x = int(t >= onset) * frames(t - onset, i // {cells.size})"
        group.run_regularly(follow, when="start", dt=dt, name=f"{name}_follow")
    elif cells.drive and made.method == "exact":
        group.run_regularly("on = int(t >= onset)", when="start", dt=dt, name=f"{name}_switch")
    if cells.backgrounds:
        term = drive_term(cells, method=made.method, frames=made.frames) if cells.driven_background else ""
        group.run_regularly(backgrounds.statements(cells, term), when="synapses", dt=dt, name=f"{name}_background")
    return group


def _synapses(made: Structure, k: int, wires: Wires, groups: list[brian2.Group], pairs: Pairs) -> brian2.Synapses:
    receptor = made.cells[wires.target].receptors[wires.receptor]
    synapses = brian2.Synapses(
        groups[wires.source],
        groups[wires.target],
        f"w : {unit(receptor)} (shared, constant)" + ("\nfactor : 1 (constant)" if wires.factors else ""),
        on_pre=f"{jumping(receptor, wires.receptor)}_post += w" + (" * factor" if wires.factors else ""),
        delay=None if wires.delays else 0 * brian2.ms,
        namespace={},
        dt=made.dt_ms * brian2.ms,
        name=f"projection_{k}",
    )
    synapses.connect(i=pairs[0], j=pairs[1])
    return synapses
