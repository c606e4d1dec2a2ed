"""Spikes or signals in pynapple's containers as a brain Dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cortexres.errors import ArgumentError
from cortexres.io.event_windows import Array, common_window, event_bins, means_of_samples, spike_rates
from cortexres.io.recorded_brain import Source, brain_around_events
from cortexres.schema_rules import join_names


def from_pynapple(
    data: Any,
    trials: Any,
    *,
    bin_ms: float,
    window_ms: tuple[float, float] | None = None,
    stimulus: str | None = None,
    signal: str | None = None,
    units: str | None = None,
    stimuli: Mapping[Any, int] | None = None,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return the brain Dataset of a `pynapple.TsGroup` (rates) or a `pynapple.Tsd` or `TsdFrame` (means of samples).

    What the container knows of its units (its metadata: ``area`` and others) becomes coordinates.

    Parameters
    ----------
    data : pynapple.TsGroup, Tsd or TsdFrame
        Times in s, as pynapple keeps them.
    trials : pynapple.IntervalSet or Tsd
        Intervals that begin with stimulus onset, with what was shown in the metadata `stimulus`; or a Tsd with the
        times of the onsets and what was shown as values.
    bin_ms : float
        Width of the bins.
    window_ms : (float, float), optional
        Time from stimulus onset, in ms; the intervals where they all last equally long.
    stimulus : str, optional
        Column of an IntervalSet's metadata.
    signal, units : str, optional
        Of samples: what was recorded (``"dF/F"``) and in which units (``"1"``).
    stimuli : mapping of label to int, optional
        Labels to take, and the stimulus id of each. Without it whole numbers are ids and other labels are numbered from
        0 in sorted order.
    rng : int or numpy.random.Generator, optional
        Draws as many trials of each stimulus as the rarest has; without it unequal numbers are refused.

    Raises
    ------
    ArgumentError
        Where samples come without `signal` and `units` or spikes with them, intervals without `stimulus` or onsets with
        it, the metadata lack it, or window and bins do not fit.
    SchemaError
        Where values are NaN.

    Warns
    -----
    UserWarning
        Where trials are left out because the recording does not cover their window.

    References
    ----------
    Viejo et al. (2023), eLife 12:RP85786, doi:10.7554/eLife.85786.
    """
    spikes = isinstance(data, Mapping)  # a TsGroup maps the number of a unit to its times
    if (signal is None or units is None) != spikes or (signal is None) != (units is None):
        raise ArgumentError(
            f"got signal={signal!r} and units={units!r} with a {type(data).__name__}, expected both for samples and"
            " neither for spikes"
        )
    source = _spikes(data) if spikes else _samples(data, str(units))
    onsets, spans, shown = _trials(trials, stimulus)
    return brain_around_events(
        source,
        onsets,
        shown,
        bins=event_bins(window_ms or common_window(np.zeros_like(spans), spans), bin_ms),
        signal=signal,
        stimuli=stimuli,
        rng=rng,
        facts={"reader": "from_pynapple", "stimulus": stimulus},
    )


def _trials(trials: Any, stimulus: str | None) -> tuple[Array, Array, list[object]]:
    """Return onsets and durations in ms, NaN where there is none, and what was shown."""
    kind = type(trials).__name__
    if kind != ("Tsd" if stimulus is None else "IntervalSet"):
        raise ArgumentError(
            f"got stimulus={stimulus!r} with trials in a {kind}, expected a column of the metadata with an IntervalSet,"
            " and None with a Tsd, whose values say what was shown"
        )
    if stimulus is None:
        onsets = np.asarray(trials.t, dtype=float) * 1e3
        return onsets, np.full(onsets.size, np.nan), np.asarray(trials.values).tolist()
    columns = list(trials.metadata_columns)
    if stimulus not in columns:
        raise ArgumentError(f"the intervals have the metadata {join_names(columns)}, expected {stimulus!r}")
    start, end = np.asarray(trials.start) * 1e3, np.asarray(trials.end) * 1e3
    return start, end - start, np.asarray(trials[stimulus]).tolist()


def _spikes(group: Any) -> Source:
    trains = [np.asarray(group[k].t, dtype=float) * 1e3 for k in group.index]
    return Source(
        observed_ms=np.asarray(group.time_support.values, dtype=float) * 1e3,
        units="Hz",
        labels={"name": np.asarray(group.index).astype(str), **_metadata(group)},
        values=lambda onsets, bins: spike_rates(trains, onsets, bins),
    )


def _samples(frame: Any, units: str) -> Source:
    times = np.asarray(frame.t, dtype=float) * 1e3
    samples = np.asarray(frame.values, dtype=float).reshape(times.size, -1)
    named = frame.values.ndim == 2
    period = float(np.median(np.diff(times))) if times.size > 1 else 0.0
    observed = np.asarray(frame.time_support.values, dtype=float) * 1e3
    names = np.asarray(frame.columns if named else np.arange(samples.shape[1])).astype(str)
    return Source(
        observed_ms=observed + np.array([0.0, period]),  # the last sample stands for a period, too
        units=units,
        labels={"name": names, **(_metadata(frame) if named else {})},
        values=means_of_samples(times, samples),
    )


def _metadata(data: Any) -> dict[str, NDArray[Any]]:
    """What is known of the units, but for the mean rate, which pynapple adds by itself."""
    return {str(name): np.asarray(data[name]) for name in data.metadata_columns if name != "rate"}
