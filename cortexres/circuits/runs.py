"""What one run is, whichever engine carries it out: what goes in (seed, drive, first potentials), what comes out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cortexres.definitions import Circuit


class Run(NamedTuple):
    """One trial of one stimulus; `drive_mV` holds the mean input of each assembly of the driven population."""

    stimulus: int
    trial: int
    seed: np.random.SeedSequence
    drive_mV: NDArray[np.float64]


class Spikes(NamedTuple):
    """The spikes of one run, by population: cell index inside it, and the step of the clock."""

    cell: dict[str, NDArray[np.int64]]
    step: dict[str, NDArray[np.int64]]


class Timing(NamedTuple):
    """How long a run settles before the stimulus and lasts after it, in ms."""

    settle_ms: float
    duration_ms: float

    @property
    def total_ms(self) -> float:
        """Settling and stimulus together."""
        return self.settle_ms + self.duration_ms


def child_seed(seed: np.random.SeedSequence, index: int) -> np.random.SeedSequence:
    """The child `index` of `seed`, the same at every call (`SeedSequence.spawn` counts its calls)."""
    return np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, index))


def noise_seed(run: Run) -> int:
    """The seed of the simulator's own random stream, 31 bits so that every target takes it."""
    return int(run.seed.generate_state(1)[0] >> 1)


def cell_drive(circuit: Circuit, run: Run) -> dict[str, NDArray[np.float64]]:
    """The stimulus input of every cell in volt, by population; zero where the population is not driven."""
    return {
        p.name: np.repeat(run.drive_mV, p.size) * 1e-3
        if circuit.drive is not None and p.name in circuit.drive.targets
        else np.zeros(p.size * p.assemblies)
        for p in circuit.populations
    }


def first_potentials(circuit: Circuit, run: Run) -> dict[str, NDArray[np.float64]]:
    """Membrane potentials in volt at the start of the settling time, uniform between reset and threshold."""
    rng = np.random.default_rng(child_seed(run.seed, 0))
    return {
        p.name: rng.uniform(p.parameters["v_reset_mV"], p.parameters["v_threshold_mV"], p.size * p.assemblies) * 1e-3
        for p in circuit.populations
    }
