"""What a contest is, how large it is, and the data it is held on."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import xarray as xr


class Contest(NamedTuple):
    """One piece of work. The peer may do a part of it, where all would take hours; its time is then multiplied."""

    name: str
    peer_name: str
    ours: Callable[[], np.ndarray]
    peer: Callable[[], np.ndarray]
    least: float  # how many times faster ours has to be
    parts: int = 1  # the peer does one of so many
    tolerance: float | None = 1e-9  # relative; None where the two are different statistics of the same kind


class Size(NamedTuple):
    """How much work there is."""

    stimuli: int
    units: int
    times: int
    blocks: int
    runs: int
    draws: int
    peer_draws: int
    many: int
    features: int


FULL = Size(stimuli=92, units=306, times=100, blocks=10, runs=5, draws=1000, peer_draws=100, many=2000, features=10000)
QUICK = Size(stimuli=24, units=20, times=6, blocks=3, runs=3, draws=60, peer_draws=20, many=60, features=100)


def activities(size: Size, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return states of brain (time, stimulus, unit) and network (block, stimulus, unit) of the same stimuli."""
    shared = rng.standard_normal((size.stimuli, size.units))
    brain = shared + rng.standard_normal((size.times, size.stimuli, size.units))
    return brain, shared + rng.standard_normal((size.blocks, size.stimuli, size.units))


def brain_of(trials: np.ndarray, *, bin_ms: float = 10.0) -> xr.Dataset:
    """Return a brain Dataset of (stimulus, trial, time, unit)."""
    n, repeats, times, units = trials.shape
    coords = {
        "stimulus": np.arange(n),
        "trial": np.arange(repeats),
        "time": ("time", (np.arange(times) + 0.5) * bin_ms, {"units": "ms", "bin_ms": bin_ms}),
        "unit": np.arange(units),
        "population": ("unit", ["all"] * units),
    }
    attrs = {"units": "1", "signal": "made"}
    return xr.Dataset({"response": (("stimulus", "trial", "time", "unit"), trials, attrs)}, coords=coords)
