"""Circuit -> Brian2 network, with an explicit clock, namespace and method at every object."""

from __future__ import annotations

from typing import Any, NamedTuple

from cortexres.circuits.brian import brian2
from cortexres.circuits.connectivity import Connections
from cortexres.circuits.neurons import constants, equations
from cortexres.circuits.synapses import jump_mV
from cortexres.definitions import Circuit, Population, Projection


class Built(NamedTuple):
    """A Brian2 network and its parts, by the names of the circuit (projections by their index)."""

    network: brian2.Network
    groups: dict[str, brian2.NeuronGroup]
    synapses: list[brian2.Synapses]
    monitors: dict[str, brian2.SpikeMonitor]


def group_name(population: str) -> str:
    """The Brian2 name of a population; also the name under which a standalone binary takes its variables."""
    return f"population_{population}"


def build(circuit: Circuit, connections: list[Connections], *, onset_ms: float) -> Built:
    """The network of `circuit` with the given synapses.

    Parameters
    ----------
    circuit : Circuit
        What to build.
    connections : list of Connections
        One entry per projection, from `cortexres.circuits.connectivity.draw`.
    onset_ms : float
        When the drive switches on, from the start of the run.
    """
    groups = {p.name: _group(p, circuit, onset_ms=onset_ms) for p in circuit.populations}
    synapses = [
        _synapses(i, projection, circuit, groups, made)
        for i, (projection, made) in enumerate(zip(circuit.projections, connections, strict=True))
    ]
    monitors = {n: brian2.SpikeMonitor(g, name=f"spikes_{n}") for n, g in groups.items()}
    network = brian2.Network(*groups.values(), *synapses, *monitors.values())
    return Built(network, groups, synapses, monitors)


def _group(population: Population, circuit: Circuit, *, onset_ms: float) -> brian2.NeuronGroup:
    return brian2.NeuronGroup(
        population.size * population.assemblies,
        equations(population, circuit),
        threshold="v > v_threshold",
        reset="v = v_reset",
        refractory=population.parameters["t_refractory_ms"] * brian2.ms,
        method="euler",  # exact for the area of the synaptic current, and what the discrete-time correction assumes
        namespace=constants(population, onset_ms=onset_ms),
        dt=circuit.dt_ms * brian2.ms,
        name=group_name(population.name),
    )


def _synapses(
    index: int,
    projection: Projection,
    circuit: Circuit,
    groups: dict[str, brian2.NeuronGroup],
    connections: Connections,
) -> brian2.Synapses:
    target = next(p for p in circuit.populations if p.name == projection.target)
    synapse = next(s for s in circuit.synapses if s.name == projection.synapse)
    namespace: dict[str, Any] = {"w": jump_mV(projection, target, synapse) * brian2.mV}
    synapses = brian2.Synapses(
        groups[projection.source],
        groups[projection.target],
        on_pre=f"I_{projection.synapse}_post += w",
        delay=projection.delay_ms * brian2.ms,
        namespace=namespace,
        dt=circuit.dt_ms * brian2.ms,
        name=f"projection_{index}",
    )
    synapses.connect(i=connections.source, j=connections.target)
    return synapses
