"""The same bins around every event: rates from spike times, means from samples."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cortexres.errors import ArgumentError

Array = NDArray[np.float64]

# Clocks in seconds put a time at the edge of a bin a rounding error before it, and it belongs behind.
ROUNDING_MS = 1e-6


@dataclass(frozen=True)
class EventBins:
    """Bins of one width that follow each other, counted from an event, in ms; the last edge is not in the window."""

    start_ms: float
    bin_ms: float
    count: int

    @property
    def edges_ms(self) -> Array:
        """Edges (`count` + 1,)."""
        return np.asarray(self.start_ms + self.bin_ms * np.arange(self.count + 1), dtype=np.float64)

    @property
    def centres_ms(self) -> Array:
        """Centres (`count`,)."""
        return np.asarray(self.start_ms + self.bin_ms * (np.arange(self.count) + 0.5), dtype=np.float64)


def event_bins(window_ms: tuple[float, float], bin_ms: float) -> EventBins:
    """Return the bins of `bin_ms` that fill the window.

    Raises
    ------
    ArgumentError
        Where the window is empty or not a whole number of bins.
    """
    start, stop = (float(edge) for edge in window_ms)
    if not (np.isfinite([start, stop, bin_ms]).all() and bin_ms > 0 and start < stop):
        raise ArgumentError(
            f"got a window of {start:g} to {stop:g} ms in bins of {bin_ms:g} ms, expected a start before the stop and a"
            " width above 0"
        )
    count = (stop - start) / bin_ms
    if abs(count - round(count)) > 1e-6 * max(count, 1.0) or round(count) < 1:
        raise ArgumentError(
            f"got a window of {start:g} to {stop:g} ms in bins of {bin_ms:g} ms, expected a whole number of bins; end"
            f" it at {start + max(1, int(count)) * bin_ms:g} ms"
        )
    return EventBins(start, float(bin_ms), round(count))


def common_window(starts_ms: Array, stops_ms: Array) -> tuple[float, float]:
    """Return the window (ms, from the event) that all trials have.

    Raises
    ------
    ArgumentError
        Where they differ by more than rounding.
    """
    if not np.isfinite(starts_ms).all() or not np.isfinite(stops_ms).all():
        raise ArgumentError("the events have no duration, so the window cannot be told; give window_ms")
    for edges in (starts_ms, stops_ms):
        if np.ptp(edges) > 1e3 * ROUNDING_MS:
            raise ArgumentError(
                f"trials last from {starts_ms.max():g} to {stops_ms.min():g} ms at least and {starts_ms.min():g} to"
                f" {stops_ms.max():g} ms at most, counted from the onset, expected one duration; give window_ms"
            )
    return round(float(starts_ms[0]), 6), round(float(stops_ms[0]), 6)


def covered(onsets_ms: Array, bins: EventBins, observed_ms: Array) -> NDArray[np.bool_]:
    """Return which events have their whole window inside one of the `observed_ms` intervals (interval, 2)."""
    start, stop = onsets_ms + bins.edges_ms[0], onsets_ms + bins.edges_ms[-1]
    inside = (start[:, None] >= observed_ms[:, 0] - ROUNDING_MS) & (stop[:, None] <= observed_ms[:, 1] + ROUNDING_MS)
    return np.asarray(inside.any(axis=1))


def warn_of_uncovered(inside: NDArray[np.bool_], *, stacklevel: int) -> None:
    """Return nothing; warn of events that are left out because the recording does not cover their window.

    The warning names the line that called the reader, which is `stacklevel` calls up.

    Raises
    ------
    ArgumentError
        Where no event is covered.
    """
    missing = int((~inside).sum())
    if inside.size == missing:
        raise ArgumentError(
            f"the recording covers the window of none of {inside.size} trials, expected some; give a shorter window_ms,"
            " and times of events and recording on one clock, in the same units"
        )
    if missing:
        warnings.warn(
            f"{missing} of {inside.size} trials are left out, the first of them trial {int(np.argmin(inside))}: the"
            " recording does not cover their window; a shorter window_ms keeps them",
            UserWarning,
            stacklevel=stacklevel,
        )


def spike_rates(trains_ms: Sequence[Array], onsets_ms: Array, bins: EventBins) -> Array:
    """Return the rates in Hz, (event, time, unit), from the sorted times of each unit's spikes."""
    edges = onsets_ms[:, None] + bins.edges_ms - ROUNDING_MS
    rates = np.empty((onsets_ms.size, bins.count, len(trains_ms)))
    for unit, train in enumerate(trains_ms):
        before = np.searchsorted(train, edges.reshape(-1)).reshape(edges.shape)
        rates[:, :, unit] = np.diff(before, axis=1) / (bins.bin_ms * 1e-3)
    return rates


def means_of_samples(times_ms: Array, samples: Array) -> Callable[[Array, EventBins], Array]:
    """Return what gives the means (event, time, unit) of samples (sample, unit) at increasing times."""
    return lambda onsets, bins: sample_means(
        lambda first, last: samples[first:last], lambda t: np.searchsorted(times_ms, t).astype(np.int64), onsets, bins
    )


def sample_means(
    read: Callable[[int, int], Array],
    samples_before: Callable[[Array], NDArray[np.int64]],
    onsets_ms: Array,
    bins: EventBins,
) -> Array:
    """Return the mean of the samples in each bin, (event, time, unit).

    Parameters
    ----------
    read : callable
        Samples from the first index to the second, (sample, unit).
    samples_before : callable
        How many samples lie before each of the times (ms).

    Raises
    ------
    ArgumentError
        Where a bin has no sample.
    """
    edges = onsets_ms[:, None] + bins.edges_ms - ROUNDING_MS
    index = samples_before(edges.reshape(-1)).reshape(edges.shape)
    if (np.diff(index, axis=1) < 1).any():
        raise ArgumentError(
            f"bins of {bins.bin_ms:g} ms hold no sample at some times, expected at least one in each; give wider bins,"
            " or a window that the recording covers"
        )
    rows = []
    for event in index:
        samples = read(int(event[0]), int(event[-1]))
        sums = np.add.reduceat(samples, event[:-1] - event[0], axis=0)
        rows.append(sums / np.diff(event)[:, None])
    return np.stack(rows)
