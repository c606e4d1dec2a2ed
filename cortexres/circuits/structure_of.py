"""From a circuit, its synapses and runs to the structure that has to be compiled for them."""

from __future__ import annotations

import math
from dataclasses import replace

from cortexres.circuits.connectivity import Connections, is_gated
from cortexres.circuits.runs import Run, Timing
from cortexres.circuits.structure import UNCOUNTED, Bundle, Cells, Gates, Group, Receptor, Structure, component
from cortexres.definitions import Circuit, Population, Projection
from cortexres.definitions.models import SYNAPSES
from cortexres.errors import DefinitionError

#: With more projections than this, populations and projections of one kind are compiled together: compilation takes
#: time for each of them, while numbers and weights kept by cell and by synapse take some memory and time in each run.
_APART = 8


def structure(circuit: Circuit, connections: list[Connections], runs: list[Run], timing: Timing) -> Structure:
    """What has to be compiled to carry out `runs` of `circuit` with as many synapses as `connections` has.

    Raises
    ------
    DefinitionError
        If a projection through NMDA synapses is not the same for all cells of an assembly.
    """
    together = len(circuit.projections) > _APART
    frames = max((len(run.drive) for run in runs), default=1)
    groups = _groups(circuit, runs, together=together)
    made = Structure(
        groups=groups,
        bundles=(),
        gates=(),
        dt_ms=circuit.dt_ms,
        method=circuit.method,
        sample_steps=max(1, math.floor(timing.sample_ms / circuit.dt_ms + 1e-9)),
        frames=frames,
        frame_ms=runs[0].frame_ms if frames > 1 else 0.0,
    )
    return replace(made, bundles=_bundles(made, circuit, connections, together=together), gates=_gates(made, circuit))


def _as_receptor(synapse: str, counted: str, circuit: Circuit) -> Receptor:
    names = [s.name for s in circuit.synapses]
    own = circuit.synapse(synapse)
    counted = counted if SYNAPSES[own.model].kind == "conductance" else ""
    return Receptor(names.index(synapse), own.model, counted, own.compartment)


def _receptor(projection: Projection, circuit: Circuit) -> Receptor:
    return _as_receptor(projection.synapse, component(projection, circuit), circuit)


def _cells(population: Population, circuit: Circuit) -> Cells:
    reached = {_receptor(q, circuit) for q in circuit.projections if q.target == population.name}
    own = [b.synapse for b in circuit.backgrounds if b.target == population.name]
    reached |= {_as_receptor(synapse, UNCOUNTED, circuit) for synapse in own}
    drive = circuit.drive.onto if circuit.drive is not None and population.name in circuit.drive.targets else ""
    # The stimulus adds to the first background; what it adds counts as feedforward, so it has a conductance of its own.
    added = [_as_receptor(synapse, "feedforward", circuit) for synapse in own if drive == "background"][:1]
    # Sorted by name: the order in which currents are added must not depend on that of the file.
    order = sorted({*reached, *added}, key=lambda r: (circuit.synapses[r.synapse].name, r.component))
    return Cells(
        neuron=population.neuron,
        receptors=tuple(order),
        backgrounds=tuple(order.index(_as_receptor(synapse, UNCOUNTED, circuit)) for synapse in own),
        driven_receptor=order.index(added[0]) if added else -1,
        noise=_noise(population),
        drive=drive,
    )


def _noise(population: Population) -> tuple[str, ...]:
    sources = {"membrane": population.noise_mV}
    if population.neuron == "two_compartment":
        sources |= {end: population.parameter(f"noise_{end}_pA") for end in ("soma", "dendrite")}
    return tuple(name for name, size in sources.items() if size)


def _groups(circuit: Circuit, runs: list[Run], *, together: bool) -> tuple[Group, ...]:
    kinds: dict[tuple[Cells, int], list[int]] = {}
    for k, population in enumerate(circuit.populations):
        apart = -1 if together and population.neuron != "replay" else k
        kinds.setdefault((_cells(population, circuit), apart), []).append(k)
    return tuple(
        Group(
            cells,
            tuple(indices),
            tuple(circuit.populations[k].size for k in indices),
            tuple(circuit.populations[k].assemblies for k in indices),
            _room(circuit.populations[indices[0]], runs),
        )
        for (cells, _), indices in kinds.items()
    )


def _room(population: Population, runs: list[Run]) -> int:
    """Room for recorded spikes, a power of two, so that runs with other recordings find the same build."""
    spikes = [len(run.replay[population.name][0]) for run in runs if population.name in run.replay]
    return 2 ** math.ceil(math.log2(max(*spikes, 1, 1))) if population.neuron == "replay" else 0


def _bundles(
    made: Structure, circuit: Circuit, connections: list[Connections], *, together: bool
) -> tuple[Bundle, ...]:
    names = [p.name for p in circuit.populations]
    found: dict[tuple[int, int, int, int], list[int]] = {}
    for k, q in enumerate(circuit.projections):
        if len(connections[k].source):
            target = made.group_of(names.index(q.target))
            receptor = made.groups[target].cells.receptors.index(_receptor(q, circuit))
            key = (made.group_of(names.index(q.source)), target, receptor, -1 if together else k)
            found.setdefault(key, []).append(k)
    bundles = []
    for (source, target, receptor, _), ks in found.items():
        drawn = [connections[k] for k in ks]
        chance = any(circuit.projections[k].rule == "bernoulli" for k in ks)
        synapses = sum(len(c.source) for c in drawn)
        bundles.append(
            Bundle(
                source,
                target,
                receptor,
                tuple(ks),
                synapses=capacity(synapses) if chance else synapses,
                own_weights=together or chance or drawn[0].factor is not None,
                own_delays=together or drawn[0].delay_steps is not None,
            )
        )
    return tuple(bundles)


def capacity(synapses: int) -> int:
    """Room for synapses, so that most draws of a random number of them share a build.

    The number of Bernoulli synapses varies with a standard deviation of at most its square root; room comes in
    multiples of at least 16 of these, and what is left over is filled with synapses of weight 0.
    """
    grain: int = 2 ** math.ceil(math.log2(16 * math.sqrt(synapses)))
    return math.ceil(synapses / grain) * grain


def _gates(made: Structure, circuit: Circuit) -> tuple[Gates, ...]:
    names = [p.name for p in circuit.populations]
    found: dict[int, dict[tuple[int, float], list[int]]] = {}
    for k, q in enumerate(circuit.projections):
        if is_gated(q, circuit):
            _check_gated(q)
            parts = found.setdefault([s.name for s in circuit.synapses].index(q.synapse), {})
            parts.setdefault((names.index(q.source), q.delay_ms), []).append(k)
    return tuple(
        Gates(
            synapse,
            tuple((population, tuple(ks)) for (population, _), ks in parts.items()),
            tuple(
                (g, r)
                for g, group in enumerate(made.groups)
                for r, receptor in enumerate(group.cells.receptors)
                if receptor.synapse == synapse
            ),
        )
        for synapse, parts in found.items()
    )


def _check_gated(projection: Projection) -> None:
    """Gating is summed over assemblies, so all cells of an assembly must receive the same."""
    own = projection.weight_cv or projection.delay_cv or projection.delay_matrix_ms
    if projection.rule != "all_to_all" or own or projection.profile.kind not in ("uniform", "same"):
        raise DefinitionError(
            f"projection {projection.source} -> {projection.target} through NMDA has rule {projection.rule!r} and "
            f"profile {projection.profile.kind!r}, expected 'all_to_all' with one weight and delay, spread by a matrix"
        )
