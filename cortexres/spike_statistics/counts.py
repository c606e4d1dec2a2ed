"""Spike counts in bins of the window; bins that do not fit into it whole are dropped."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cortexres.errors import ArgumentError
from cortexres.spike_statistics.spike_trains import Trains

Array = NDArray[np.float64]


def number_of_bins(group: Trains, bin_ms: float) -> int:
    """How many whole bins the window has.

    Raises
    ------
    ArgumentError
        If there is none.
    """
    bins = int((group.t_stop_ms - group.t_start_ms) / bin_ms + 1e-9) if bin_ms > 0 else 0
    if bins < 1:
        window = group.t_stop_ms - group.t_start_ms
        raise ArgumentError(f"bin_ms is {bin_ms:g}, expected above 0 and at most the window, {window:g} ms")
    return bins


def bin_of(time_ms: Array, group: Trains, bin_ms: float) -> NDArray[np.int64]:
    """The bin of each time, also beyond the last whole one."""
    # Times are multiples of the clock's step: rounding must not put one at an edge into the bin before.
    return np.floor((time_ms - group.t_start_ms) / bin_ms + 1e-9).astype(np.int64)


def spike_counts(group: Trains, bin_ms: float) -> Array:
    """The spikes of the group in each bin, (run, bin)."""
    bins = number_of_bins(group, bin_ms)
    place = bin_of(group.time_ms, group, bin_ms)
    inside = place < bins
    index = group.run[inside] * bins + place[inside]
    return np.bincount(index, minlength=group.runs * bins).reshape(group.runs, bins).astype(np.float64)
