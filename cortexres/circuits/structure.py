"""What of a circuit is compiled: which models, how many cells and synapses, which terms exist; no other number.

A build is found again by its structure. Circuits that differ in their numbers alone (time constants, weights, delays,
rates, noise) have the same structure, hence share one build, and the equations cannot read a number from anywhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cortexres.definitions import Circuit, Projection
from cortexres.definitions.models import NEURONS, SYNAPSES

COMPONENTS = ("feedforward", "recurrent_excitatory", "recurrent_inhibitory")
#: Component of a conductance that no component counts: it is there without any stimulus.
UNCOUNTED = "background"
#: A step that no run reaches: where room for recorded spikes is left, they are put there and beyond.
NEVER_REACHED = 2**30

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
    sample_steps: int
    frames: int
    frame_ms: float

    def group_of(self, population: int) -> int:
        """The index of the group that holds a population."""
        return next(k for k, group in enumerate(self.groups) if population in group.populations)


def component(projection: Projection, circuit: Circuit) -> str:
    """The component of the input that a projection counts to."""
    if NEURONS[circuit.population(projection.source).neuron].kind == "external" or projection.pathway == "feedforward":
        return "feedforward"
    synapse = circuit.synapse(projection.synapse)
    if SYNAPSES[synapse.model].kind == "conductance":
        threshold = circuit.population(projection.target).parameter("v_threshold_mV")
        return "recurrent_excitatory" if synapse.reversal_mV > threshold else "recurrent_inhibitory"
    return "recurrent_excitatory" if projection.sign >= 0 else "recurrent_inhibitory"
