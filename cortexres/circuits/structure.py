"""What of a circuit is compiled: which models, how many cells and synapses, which terms exist; no other number.

A build is found again by its structure. Circuits that differ in their numbers alone (time constants, weights, delays,
rates, noise) have the same structure, hence share one build, and the equations cannot read a number from anywhere else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cortexres.circuits.connectivity import Connections
from cortexres.circuits.runs import Run, Timing
from cortexres.definitions import Circuit, Population, Projection
from cortexres.definitions.models import NEURONS, SYNAPSES
from cortexres.errors import DefinitionError

COMPONENTS = ("feedforward", "recurrent_excitatory", "recurrent_inhibitory")
#: Component of a conductance that no component counts: it is there without any stimulus.
UNCOUNTED = "background"

#: With more projections than this, populations and projections of one kind are compiled together: compilation takes
#: time for each of them, while numbers and weights kept by cell and by synapse take some memory and time in each run.
_APART = 8


@dataclass(frozen=True)
class Receptor:
    """One synaptic state of the cells of a population.

    Parameters
    ----------
    synapse : int
        Index of the circuit's synapse.
    model : str
        Its model.
    component : str
        Where the state is a conductance: the component that it is recorded in (or `UNCOUNTED`); otherwise empty,
        because currents are reconstructed from spikes.
    compartment : str
        ``"soma"`` or, of cells with two compartments, ``"dendrite"``.
    """

    synapse: int
    model: str
    component: str = ""
    compartment: str = "soma"


@dataclass(frozen=True)
class Cells:
    """What cells of one kind are.

    Parameters
    ----------
    neuron : str
        Their model.
    receptors : tuple of Receptor
        What projections and backgrounds act on.
    backgrounds : tuple of int
        The receptor of each background.
    driven_receptor : int
        Where the stimulus adds to the first background: the receptor for what it adds. -1 elsewhere.
    noise : tuple of str
        Which noise terms exist.
    drive : str
        What the stimulus is added to, empty where it does not arrive.
    """

    neuron: str
    receptors: tuple[Receptor, ...] = ()
    backgrounds: tuple[int, ...] = ()
    driven_receptor: int = -1
    noise: tuple[str, ...] = ()
    drive: str = ""

    @property
    def recorded(self) -> tuple[str, ...]:
        """The components that some conductance of these cells is counted in."""
        return tuple(c for c in COMPONENTS if any(r.component == c for r in self.receptors))


@dataclass(frozen=True)
class Group:
    """Populations whose cells are of one kind, side by side.

    Parameters
    ----------
    cells : Cells
        What they are.
    populations, sizes, assemblies : tuple of int
        Index of each population in the circuit, its cells per assembly, and its assemblies.
    replayed : int
        Room for so many recorded spikes, where the population replays a recording.
    """

    cells: Cells
    populations: tuple[int, ...]
    sizes: tuple[int, ...]
    assemblies: tuple[int, ...]
    replayed: int = 0

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Cells of each population."""
        return np.multiply(self.sizes, self.assemblies)

    @property
    def n(self) -> int:
        """Cells of all populations."""
        return int(self.counts.sum())

    @property
    def units(self) -> int:
        """Assemblies of all populations."""
        return sum(self.assemblies)

    def first(self, population: int) -> int:
        """The index of the first cell of a population."""
        return int(self.counts[: self.populations.index(population)].sum())

    @cached_property
    def assembly(self) -> NDArray[np.int32]:
        """The assembly of every cell, counted within its population."""
        parts = [np.repeat(np.arange(n), size) for n, size in zip(self.assemblies, self.sizes, strict=True)]
        return np.concatenate(parts).astype(np.int32)

    @cached_property
    def unit(self) -> NDArray[np.int32]:
        """The assembly of every cell, counted over all populations."""
        sizes = np.repeat(self.sizes, self.assemblies)
        return np.repeat(np.arange(self.units), sizes).astype(np.int32)


@dataclass(frozen=True)
class Bundle:
    """Synapses between two groups that act on the same receptor.

    Parameters
    ----------
    source, target, receptor : int
        Indices of the groups, and of the target's receptor.
    projections : tuple of int
        Index of each projection in the circuit.
    synapses : int
        How many there is room for.
    own_weights, own_delays : bool
        Whether each synapse has a weight and a delay of its own.
    """

    source: int
    target: int
    receptor: int
    projections: tuple[int, ...]
    synapses: int
    own_weights: bool
    own_delays: bool


@dataclass(frozen=True)
class Gates:
    """NMDA gating kept for the source cells of one synapse model, because it is the same at all synapses of a cell.

    Parameters
    ----------
    synapse : int
        Index of the circuit's synapse.
    parts : tuple of (population, projections)
        Source populations with the projections that read their gating; one entry for each delay.
    readers : tuple of (int, int)
        Groups whose cells read it, and their receptor for it.
    """

    synapse: int
    parts: tuple[tuple[int, tuple[int, ...]], ...]
    readers: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Structure:
    """A circuit without its numbers: what a build is made from, and what it is found by.

    Parameters
    ----------
    groups, bundles, gates : tuple
        Its parts.
    dt_ms, method : float, str
        Time step and integration.
    steps : int
        Steps of a run, settling included.
    sample_steps : int
        Steps between two samples of recorded conductances.
    frames, frame_ms : int, float
        How many frames the stimulus has and how long each lasts; a constant stimulus is one frame.
    """

    groups: tuple[Group, ...]
    bundles: tuple[Bundle, ...]
    gates: tuple[Gates, ...]
    dt_ms: float
    method: str
    steps: int
    sample_steps: int
    frames: int
    frame_ms: float

    def group_of(self, population: int) -> int:
        """The index of the group that holds a population."""
        return next(k for k, group in enumerate(self.groups) if population in group.populations)


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
        steps=round(timing.total_ms / circuit.dt_ms),
        sample_steps=max(1, math.floor(timing.sample_ms / circuit.dt_ms + 1e-9)),
        frames=frames,
        frame_ms=runs[0].frame_ms if frames > 1 else 0.0,
    )
    return replace(made, bundles=_bundles(made, circuit, connections, together=together), gates=_gates(made, circuit))


def is_gated(projection: Projection, circuit: Circuit) -> bool:
    """True where NMDA gating kept by the source is summed, and no single synapse exists."""
    return circuit.synapse(projection.synapse).model == "nmda"


def component(projection: Projection, circuit: Circuit) -> str:
    """The component of the input that a projection counts to."""
    if NEURONS[circuit.population(projection.source).neuron].kind == "external" or projection.pathway == "feedforward":
        return "feedforward"
    synapse = circuit.synapse(projection.synapse)
    if SYNAPSES[synapse.model].kind == "conductance":
        threshold = circuit.population(projection.target).parameter("v_threshold_mV")
        return "recurrent_excitatory" if synapse.reversal_mV > threshold else "recurrent_inhibitory"
    return "recurrent_excitatory" if projection.sign >= 0 else "recurrent_inhibitory"


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
        if not is_gated(q, circuit) and len(connections[k].source):
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
