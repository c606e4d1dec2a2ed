"""Structure -> Brian2 network, with an explicit clock, namespace and method at every object and no number in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cortexres.circuits import backgrounds, gating
from cortexres.circuits.brian import brian2
from cortexres.circuits.neurons import MODELS, drive_term, equations, exact_step
from cortexres.circuits.recorded import recorder
from cortexres.circuits.structure import Bundle, Group, Structure
from cortexres.circuits.synapses import jumping, unit

#: Source and target cell of every synapse of a bundle; cell and step of every spike of a recording.
Pairs = tuple[NDArray[np.int32], NDArray[np.int32]]


class Built(NamedTuple):
    """A Brian2 network and its parts.

    Attributes
    ----------
    network : Network
        All objects.
    groups, monitors : list
        Groups of cells and what records their spikes, in the order of the structure.
    samples : dict of int to StateMonitor
        What records the input components, by group.
    """

    network: brian2.Network
    groups: list[brian2.Group]
    monitors: list[brian2.SpikeMonitor]
    samples: dict[int, brian2.StateMonitor]


def build(
    made: Structure,
    pairs: Sequence[Pairs],
    frames: Mapping[int, NDArray[np.float64]],
    replay: Mapping[int, Pairs],
) -> Built:
    """The network of a structure; its numbers are set afterwards, from `cortexres.circuits.parameters`.

    Parameters
    ----------
    made : Structure
        What to build.
    pairs : sequence of (source, target)
        Cell indices of the synapses of each bundle.
    frames : dict of int to array (frame, channel)
        The stimulus of each driven group in volt or hertz, where it has several frames; by default 0.
    replay : dict of int to (cell, step)
        The spikes, sorted by step, of each group that replays a recording.
    """
    groups = [
        _replay(made, k, group, replay[k]) if group.replayed else _group(made, k, group, frames.get(k))
        for k, group in enumerate(made.groups)
    ]
    objects: list[brian2.BrianObject] = [*groups]
    objects += [_unheard_noise(made, k, g) for k, g in enumerate(made.groups) if g.replayed and g.cells.noise]
    objects += [_synapses(made, k, b, groups, pairs[k]) for k, b in enumerate(made.bundles)]
    for k, gates in enumerate(made.gates):
        objects += gating.gating_objects(made, k, gates, groups)
    monitors = [brian2.SpikeMonitor(group, name=f"spikes_{k}") for k, group in enumerate(groups)]
    samples = {}
    for k, group in enumerate(made.groups):
        if group.cells.recorded:
            parts, samples[k] = recorder(made, k, group, groups[k])
            objects += parts
    return Built(brian2.Network(*objects, *monitors), groups, monitors, samples)


def _group(made: Structure, k: int, group: Group, frames: NDArray[np.float64] | None) -> brian2.Group:
    cells, name, dt, model = group.cells, f"cells_{k}", made.dt_ms * brian2.ms, MODELS[group.cells.neuron]
    built = brian2.NeuronGroup(
        group.n,
        equations(group, method=made.method, frames=made.frames),
        threshold=model.threshold,
        reset=model.reset,
        refractory=model.refractory,
        method=_method(made, group),
        namespace={},
        dt=dt,
        name=name,
    )
    if cells.drive and made.frames > 1:
        values = np.zeros((made.frames, group.assemblies[0])) if frames is None else frames
        values = values * (brian2.volt if cells.drive == "mean_input" else brian2.hertz)
        built.namespace["frames"] = brian2.TimedArray(values, dt=made.frame_ms * brian2.ms, name=f"frames_{k}")
        # Frame 0 would also hold before the onset, where the stimulus is not there yet.
        follow = "x = int(t >= onset) * frames(t - onset, channel)"
        built.run_regularly(follow, when="start", dt=dt, name=f"{name}_follow")
    if cells.backgrounds:
        term = drive_term(cells, frames=made.frames) if cells.drive == "background" else ""
        built.run_regularly(backgrounds.statements(cells, term), when="synapses", dt=dt, name=f"{name}_background")
    return built


def _replay(made: Structure, k: int, group: Group, spikes: Pairs) -> brian2.SpikeGeneratorGroup:
    dt = made.dt_ms * brian2.ms
    return brian2.SpikeGeneratorGroup(group.n, spikes[0], spikes[1] * dt, dt=dt, sorted=True, name=f"cells_{k}")


def _unheard_noise(made: Structure, k: int, group: Group) -> brian2.NeuronGroup:
    """The noise that replayed cells would have drawn: all others then have that of the intact circuit.

    Its name sorts where the cells' own would, which is what decides who draws first.
    """
    name, dt = f"cells_{k}_unheard", made.dt_ms * brian2.ms
    return brian2.NeuronGroup(group.n, "dx/dt = xi * second**-0.5 : 1", method="euler", namespace={}, dt=dt, name=name)


def _method(made: Structure, group: Group) -> Any:
    """What Brian2 integrates with; Euler is exact for the area of a synaptic current."""
    if made.method != "exact" or group.cells.neuron != "lif":
        return "euler" if made.method == "exact" else made.method
    step = exact_step(group.cells)
    return lambda equations, variables, options: step


def _synapses(made: Structure, k: int, bundle: Bundle, groups: list[brian2.Group], pairs: Pairs) -> brian2.Synapses:
    receptor = made.groups[bundle.target].cells.receptors[bundle.receptor]
    synapses = brian2.Synapses(
        groups[bundle.source],
        groups[bundle.target],
        f"jump : {unit(receptor)} {'(constant)' if bundle.own_weights else '(shared, constant)'}",
        on_pre=f"{jumping(receptor, bundle.receptor)}_post += jump",
        delay=None if bundle.own_delays else 0 * brian2.ms,
        namespace={},
        dt=made.dt_ms * brian2.ms,
        name=f"bundle_{k}",
    )
    synapses.connect(i=pairs[0], j=pairs[1])
    return synapses
