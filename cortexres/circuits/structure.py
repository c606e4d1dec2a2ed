"""What of a circuit is compiled: which models, how many cells and synapses, which terms exist; no other number.

A build is found again by its structure. Circuits that differ in their numbers alone (time constants, weights, delays,
rates, noise) have the same structure, hence share one build, and the equations cannot read a number from anywhere else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cortexres.circuits.connectivity import Connections
from cortexres.circuits.runs import Run, Timing
from cortexres.definitions import Circuit, Population, Projection
from cortexres.definitions.models import NEURONS, SYNAPSES
from cortexres.errors import DefinitionError

COMPONENTS = ("feedforward", "recurrent_excitatory", "recurrent_inhibitory")
#: Component of a conductance that no component counts: it is there without any stimulus.
UNCOUNTED = "background"


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
    """

    synapse: int
    model: str
    component: str = ""


@dataclass(frozen=True)
class Gate:
    """NMDA gating kept for each cell of a source population, because it is the same at all its synapses.

    Parameters
    ----------
    source, synapse : int
        Indices of the population and of the circuit's synapse.
    projections : tuple of int
        The projections that read it; all have the same delay.
    """

    source: int
    synapse: int
    projections: tuple[int, ...]


@dataclass(frozen=True)
class Cells:
    """One population.

    Parameters
    ----------
    neuron : str
        Its model.
    size, assemblies : int
        Cells per assembly and assemblies.
    receptors : tuple of Receptor
        What its projections and backgrounds act on.
    gated : tuple of (int, int)
        Index of each projection through NMDA synapses onto these cells, and of the receptor it reaches.
    backgrounds : tuple of (int, int)
        Index of each background in the circuit, and of the receptor it reaches.
    driven_background : tuple of (int, int)
        The same where the stimulus adds to the background; empty where it does not.
    noise : tuple of str
        Which noise terms exist.
    drive : str
        What the stimulus is added to, empty where it does not arrive.
    replayed : int
        Room for so many recorded spikes, where the population replays a recording.
    """

    neuron: str
    size: int
    assemblies: int
    receptors: tuple[Receptor, ...] = ()
    gated: tuple[tuple[int, int], ...] = ()
    backgrounds: tuple[tuple[int, int], ...] = ()
    driven_background: tuple[int, int] | tuple[()] = ()
    noise: tuple[str, ...] = ()
    drive: str = ""
    replayed: int = 0

    @property
    def cells(self) -> int:
        """Cells of all assemblies."""
        return self.size * self.assemblies

    @property
    def recorded(self) -> tuple[str, ...]:
        """The components that some conductance of these cells is counted in."""
        return tuple(c for c in COMPONENTS if any(r.component == c for r in self.receptors))


@dataclass(frozen=True)
class Wires:
    """The synapses of one projection.

    Parameters
    ----------
    source, target, receptor : int
        Indices of the populations, and of the target's receptor.
    synapses : int
        How many there is room for; 0 where NMDA gating is summed over assemblies instead.
    factors, delays : bool
        Whether each synapse has a weight factor and a delay of its own.
    """

    source: int
    target: int
    receptor: int
    synapses: int
    factors: bool
    delays: bool


@dataclass(frozen=True)
class Structure:
    """A circuit without its numbers: what a build is made from, and what it is found by.

    Parameters
    ----------
    cells, wires : tuple
        Populations and projections, in the order of the definition.
    gates : tuple of Gate
        What NMDA synapses read.
    dt_ms, method : float, str
        Time step and integration.
    steps : int
        Steps of a run, settling included.
    sample_steps : int
        Steps between two samples of recorded conductances.
    frames, frame_ms : int, float
        How many frames the stimulus has and how long each lasts; a constant stimulus is one frame.
    """

    cells: tuple[Cells, ...]
    wires: tuple[Wires, ...]
    gates: tuple[Gate, ...]
    dt_ms: float
    method: str
    steps: int
    sample_steps: int
    frames: int
    frame_ms: float


def structure(circuit: Circuit, connections: list[Connections], runs: list[Run], timing: Timing) -> Structure:
    """What has to be compiled to carry out `runs` of `circuit` with any synapses as many as `connections`."""
    frames = max((len(run.drive) for run in runs), default=1)
    cells = [_cells(population, circuit, runs) for population in circuit.populations]
    index = {p.name: k for k, p in enumerate(circuit.populations)}
    wires = tuple(
        Wires(
            source=index[projection.source],
            target=index[projection.target],
            receptor=cells[index[projection.target]].receptors.index(_receptor(projection, circuit)),
            synapses=0 if is_gated(projection, circuit) else capacity(projection, len(made.source)),
            factors=made.factor is not None or projection.rule == "bernoulli",
            delays=made.delay_steps is not None,
        )
        for projection, made in zip(circuit.projections, connections, strict=True)
    )
    return Structure(
        cells=tuple(cells),
        wires=wires,
        gates=_gates(circuit),
        dt_ms=circuit.dt_ms,
        method=circuit.method,
        steps=round(timing.total_ms / circuit.dt_ms),
        sample_steps=max(1, math.floor(timing.sample_ms / circuit.dt_ms + 1e-9)),
        frames=frames,
        frame_ms=runs[0].frame_ms if frames > 1 else 0.0,
    )


def is_gated(projection: Projection, circuit: Circuit) -> bool:
    """True where NMDA gating kept by the source is summed, and no single synapse exists."""
    return circuit.synapse(projection.synapse).model == "nmda"


def capacity(projection: Projection, synapses: int) -> int:
    """Room for the synapses of a projection, so that most draws of a random number of them share a build.

    The number of Bernoulli synapses varies with a standard deviation of at most its square root; room comes in
    multiples of at least 16 of these, and what is left over is filled with synapses of weight 0.
    """
    if projection.rule != "bernoulli" or synapses == 0:
        return synapses
    grain: int = 2 ** math.ceil(math.log2(16 * math.sqrt(synapses)))
    return math.ceil(synapses / grain) * grain


def component(projection: Projection, circuit: Circuit) -> str:
    """The component of the input that a projection counts to."""
    if NEURONS[circuit.population(projection.source).neuron].kind == "external" or projection.pathway == "feedforward":
        return "feedforward"
    synapse = circuit.synapse(projection.synapse)
    if SYNAPSES[synapse.model].kind == "conductance":
        threshold = circuit.population(projection.target).parameter("v_threshold_mV")
        return "recurrent_excitatory" if synapse.reversal_mV > threshold else "recurrent_inhibitory"
    return "recurrent_excitatory" if projection.sign >= 0 else "recurrent_inhibitory"


def _receptor(projection: Projection, circuit: Circuit) -> Receptor:
    return _as_receptor(projection.synapse, component(projection, circuit), circuit)


def _as_receptor(synapse: str, counted: str, circuit: Circuit) -> Receptor:
    names = [s.name for s in circuit.synapses]
    model = circuit.synapse(synapse).model
    return Receptor(names.index(synapse), model, counted if SYNAPSES[model].kind == "conductance" else "")


def _cells(population: Population, circuit: Circuit, runs: list[Run]) -> Cells:
    reached = {_receptor(q, circuit) for q in circuit.projections if q.target == population.name}
    own = [(k, b.synapse) for k, b in enumerate(circuit.backgrounds) if b.target == population.name]
    reached |= {_as_receptor(synapse, UNCOUNTED, circuit) for _, synapse in own}
    drive = circuit.drive.onto if circuit.drive is not None and population.name in circuit.drive.targets else ""
    # The stimulus adds to the first background; what it adds counts as feedforward, so it has a conductance of its own.
    added = [(k, _as_receptor(synapse, "feedforward", circuit)) for k, synapse in own if drive == "background"][:1]
    reached |= {receptor for _, receptor in added}
    # Sorted by name: the order in which currents are added must not depend on that of the file.
    receptors = sorted(reached, key=lambda r: (circuit.synapses[r.synapse].name, r.component))
    spikes = max((len(run.replay[population.name][0]) for run in runs if population.name in run.replay), default=0)
    return Cells(
        neuron=population.neuron,
        size=population.size,
        assemblies=population.assemblies,
        receptors=tuple(receptors),
        gated=tuple(
            (k, receptors.index(_receptor(q, circuit)))
            for k, q in enumerate(circuit.projections)
            if q.target == population.name and is_gated(q, circuit)
        ),
        backgrounds=tuple((k, receptors.index(_as_receptor(s, UNCOUNTED, circuit))) for k, s in own),
        driven_background=(added[0][0], receptors.index(added[0][1])) if added else (),
        noise=_noise(population),
        drive=drive,
        replayed=2 ** math.ceil(math.log2(max(spikes, 1))) if population.neuron == "replay" else 0,
    )


def _noise(population: Population) -> tuple[str, ...]:
    sources = {"membrane": population.noise_mV}
    if population.neuron == "two_compartment":
        sources |= {end: population.parameter(f"noise_{end}_pA") for end in ("soma", "dendrite")}
    return tuple(name for name, size in sources.items() if size)


def _gates(circuit: Circuit) -> tuple[Gate, ...]:
    populations, synapses = ([part.name for part in parts] for parts in (circuit.populations, circuit.synapses))
    found: dict[tuple[int, int, float], list[int]] = {}
    for k, q in enumerate(circuit.projections):
        if is_gated(q, circuit):
            _check_gated(q)
            key = (populations.index(q.source), synapses.index(q.synapse), q.delay_ms)
            found.setdefault(key, []).append(k)
    return tuple(Gate(source, synapse, tuple(ks)) for (source, synapse, _), ks in found.items())


def _check_gated(projection: Projection) -> None:
    """Gating is summed over assemblies, so all cells of an assembly must receive the same."""
    own = projection.weight_cv or projection.delay_cv or projection.delay_matrix_ms
    if projection.rule != "all_to_all" or own or projection.profile.kind not in ("uniform", "same"):
        raise DefinitionError(
            f"projection {projection.source} -> {projection.target} through NMDA has rule {projection.rule!r} and "
            f"profile {projection.profile.kind!r}, expected 'all_to_all' with one weight and delay, spread by a matrix"
        )
