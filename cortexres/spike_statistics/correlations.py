"""Do the cells of a group fire together? Synchrony of the whole group, and correlation of its pairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cortexres.spike_statistics.counts import bin_of, number_of_bins, spike_counts
from cortexres.spike_statistics.spike_trains import Trains

Array = NDArray[np.float64]


def synchrony(group: Trains, *, bin_ms: float = 3.0) -> float:
    """Variance over mean of the group's spike count per bin: 1 for independent Poisson trains; NaN without spikes.

    It grows with the number of cells where they are correlated, so compare groups of one size.
    """
    counts = spike_counts(group, bin_ms)
    mean = counts.mean()
    return float(counts.var(axis=1).mean() / mean) if mean > 0 else float("nan")


def mean_correlation(group: Trains, *, bin_ms: float = 2.0) -> float:
    """The mean correlation coefficient of spike counts over all pairs of cells that fired, averaged over runs.

    NaN where no run has two such cells. All pairs at the cost of one pass: the variance of the sum of n standardised
    counts is n + n (n - 1) times their mean correlation.
    """
    bins = number_of_bins(group, bin_ms)
    per_run = [_correlation(*_binned(group, run, bin_ms, bins), bins) for run in range(group.runs)]
    defined = [value for value in per_run if np.isfinite(value)]
    return float(np.mean(defined)) if defined else float("nan")


def _binned(group: Trains, run: int, bin_ms: float, bins: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """The cell, bin and count of every bin with spikes of one run."""
    low, high = np.searchsorted(group.run, [run, run + 1])
    place = bin_of(group.time_ms[low:high], group, bin_ms)
    inside = place < bins
    pair, count = np.unique(group.cell[low:high][inside] * bins + place[inside], return_counts=True)
    return pair // bins, pair % bins, count.astype(np.float64)


def _correlation(cell: NDArray[np.int64], place: NDArray[np.int64], count: Array, bins: int) -> float:
    _, index = np.unique(cell, return_inverse=True)
    mean = np.bincount(index, count) / bins
    variance = np.bincount(index, count**2) / bins - mean**2
    varies = variance > 0
    n = int(varies.sum())
    if n < 2:
        return float("nan")
    weight = np.where(varies, 1.0 / np.sqrt(np.where(varies, variance, 1.0)), 0.0)
    total = np.bincount(place, count * weight[index], minlength=bins) - float(weight @ mean)
    return (float(total.var()) - n) / (n * (n - 1))
