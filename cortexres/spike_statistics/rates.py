"""How much a group of cells fires: of all cells and times, in each bin, and how many cells not at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cortexres.spike_statistics.counts import spike_counts
from cortexres.spike_statistics.spike_trains import Trains

Array = NDArray[np.float64]


def rate_Hz(group: Trains) -> float:
    """The mean rate of all cells, silent ones included."""
    return group.cell.size / (group.cells * group.runs * group.seconds)


def silent_fraction(group: Trains) -> float:
    """The share of trains (cells in a run) without any spike."""
    return 1.0 - np.unique(group.train).size / (group.cells * group.runs)


def population_rate_Hz(group: Trains, *, bin_ms: float = 1.0) -> Array:
    """The rate of the group in each bin, (run, bin); what is left of the window after the last whole bin is dropped."""
    return spike_counts(group, bin_ms) / (group.cells * bin_ms * 1e-3)


def peak_rate_Hz(group: Trains, *, bin_ms: float = 5.0) -> float:
    """The largest population rate in any bin of the mean over runs."""
    return float(population_rate_Hz(group, bin_ms=bin_ms).mean(axis=0).max())
