"""Intervals between the spikes of a train: how regular they are, and which spikes are so close as to be a burst."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cortexres.errors import ArgumentError
from cortexres.spike_statistics.spike_trains import Trains

#: Spikes closer than this are one burst (Naud & Sprekeler 2018, doi:10.1073/pnas.1720995115).
BURST_MS = 16.0

Array = NDArray[np.float64]


class Bursts(NamedTuple):
    """Events per second and cell, and the share of them that are bursts; an event is a burst or a lone spike."""

    event_rate_Hz: float
    burst_fraction: float


def interval_cv(group: Trains, *, min_spikes: int = 3) -> float:
    """The coefficient of variation of interspike intervals, averaged over trains; NaN where none has spikes enough.

    Parameters
    ----------
    group : Trains
        One group of cells.
    min_spikes : int
        A train counts from so many spikes on. In a short window few intervals of an irregular train fit, and the
        value is biased low: published values name their threshold (6 in the reference values of the microcircuit).

    Raises
    ------
    ArgumentError
        If `min_spikes` is below 3: two intervals at least have a variation.
    """
    if min_spikes < 3:
        raise ArgumentError(f"min_spikes is {min_spikes}, expected at least 3")
    same, interval = intervals(group)
    train, interval = group.train[1:][same], interval[same]
    names, index, count = np.unique(train, return_inverse=True, return_counts=True)
    mean = np.bincount(index, interval, minlength=names.size) / count
    variance = np.bincount(index, (interval - mean[index]) ** 2, minlength=names.size) / count
    enough = (count + 1 >= min_spikes) & (mean > 0)
    return float(np.mean(np.sqrt(variance[enough]) / mean[enough])) if enough.any() else float("nan")


def bursts(group: Trains, *, within_ms: float = BURST_MS) -> Bursts:
    """Event rate and burst fraction: spikes closer than `within_ms` to the one before belong to its event.

    References
    ----------
    Naud & Sprekeler (2018), PNAS 115:E6329, doi:10.1073/pnas.1720995115.
    """
    if group.cell.size == 0:
        return Bursts(0.0, float("nan"))
    same, interval = intervals(group)
    first = np.concatenate([[True], ~same | (interval >= within_ms)])
    sizes = np.bincount(np.cumsum(first) - 1)
    return Bursts(sizes.size / (group.cells * group.runs * group.seconds), float(np.mean(sizes > 1)))


def intervals(group: Trains) -> tuple[NDArray[np.bool_], Array]:
    """Whether each spike but the first has its predecessor in the same train, and the time since."""
    return np.diff(group.train) == 0, np.diff(group.time_ms)
