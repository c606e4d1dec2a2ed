"""What one run is, whichever engine carries it out: what goes in (seed, drive, first potentials), what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cortexres.definitions import Circuit
from cortexres.definitions.models import NEURONS

#: Recorded spikes of one population: cells inside it, and steps of the clock from the start of settling.
Recording = tuple[NDArray[np.int64], NDArray[np.int64]]


class Run(NamedTuple):
    """One trial of one stimulus.

    Attributes
    ----------
    stimulus, trial : int
        Which.
    seed : SeedSequence
        Of all that is random in the run.
    drive : array (frame, channel)
        What the stimulus adds to each assembly of the driven populations, in the unit of the circuit's drive, from
        onset on; one frame is a constant step, the last of several holds.
    frame_ms : float
        How long a frame lasts; without meaning for one frame.
    replay : dict of str to (cell, step)
        What populations of the model ``"replay"`` fire.
    unheard : set of (population, synapse)
        What reaches replayed populations in the definition, and is not simulated.
    """

    stimulus: int
    trial: int
    seed: np.random.SeedSequence
    drive: NDArray[np.float64]
    frame_ms: float = 0.0
    replay: Mapping[str, Recording] = MappingProxyType({})
    unheard: frozenset[tuple[str, str]] = frozenset()


class Spikes(NamedTuple):
    """The spikes of one run, by population: cell index inside it, and the step of the clock."""

    cell: dict[str, NDArray[np.int64]]
    step: dict[str, NDArray[np.int64]]


class Activity(NamedTuple):
    """What one run left.

    Attributes
    ----------
    spikes : Spikes
        Of all populations, Poisson sources and replayed ones among them.
    recorded : dict of str to array (sample, `unit`), or None
        Input components through conductances in mV, by name, sampled every `Timing.sample_ms` from the start of
        settling; a sample is the state at the start of its step. None where the circuit has no conductances.
    """

    spikes: Spikes
    recorded: dict[str, NDArray[np.float64]] | None = None


class Timing(NamedTuple):
    """How long a run settles before the stimulus and lasts after it, and how often conductances are sampled, in ms."""

    settle_ms: float
    duration_ms: float
    sample_ms: float = 1.0

    @property
    def total_ms(self) -> float:
        """Settling and stimulus together."""
        return self.settle_ms + self.duration_ms

    def seconds(self, dt_ms: float) -> float:
        """The length of a run in whole steps of the clock, in seconds."""
        return round(self.total_ms / dt_ms) * dt_ms * 1e-3


def child_seed(seed: np.random.SeedSequence, index: int) -> np.random.SeedSequence:
    """The child `index` of `seed`, the same at every call (`SeedSequence.spawn` counts its calls)."""
    return np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, index))


def noise_seed(run: Run) -> int:
    """The seed of the simulator's own random stream, 31 bits so that every target takes it."""
    return int(run.seed.generate_state(1)[0] >> 1)


def drive_scale(circuit: Circuit) -> float:
    """The factor from the unit of the circuit's drive to volt or hertz."""
    return 1e-3 if circuit.drive is not None and circuit.drive.onto == "mean_input" else 1.0


def first_potentials(circuit: Circuit, run: Run) -> dict[str, NDArray[np.float64]]:
    """Membrane potentials in volt at the start of the settling time, by population of cells that have one.

    Those of cells that are replayed are drawn and dropped, so that all others start as in the intact circuit.
    """
    rng = np.random.default_rng(child_seed(run.seed, 0))
    potentials = {}
    for p in circuit.populations:
        if NEURONS[p.neuron].kind == "replay" and p.cell_type != "external":
            if p.start.kind == "normal":
                rng.normal(size=p.cells)
            else:
                rng.uniform(size=p.cells)
        if NEURONS[p.neuron].kind != "spiking":
            continue
        if p.start.kind == "normal":
            drawn = rng.normal(p.start.mean_mV, p.start.sd_mV, p.cells)
        else:
            low = p.parameters["v_rest_mV" if p.start.kind == "from_rest" else "v_reset_mV"]
            drawn = rng.uniform(low, p.parameters["v_threshold_mV"], p.cells)
        potentials[p.name] = drawn * 1e-3
    return potentials


def first_conductances(circuit: Circuit, run: Run) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Conductances in siemens at the start, by population and synapse, where the synapse says so; normal, cut at 0."""
    rng = np.random.default_rng(child_seed(run.seed, 1))
    conductances = {}
    for p in circuit.populations:
        reached = {q.synapse for q in circuit.projections if q.target == p.name}
        reached |= {b.synapse for b in circuit.backgrounds if b.target == p.name}
        reached |= {synapse for name, synapse in run.unheard if name == p.name}
        for s in circuit.synapses:
            if s.name in reached and (s.start_mean_nS or s.start_sd_nS):
                drawn = np.maximum(rng.normal(s.start_mean_nS, s.start_sd_nS, p.cells), 0.0)
                conductances[p.name, s.name] = drawn * 1e-9
    return conductances
