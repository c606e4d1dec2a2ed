"""A Neo Block, from any of the formats that Neo reads or from `to_neo`, as a brain Dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cortexres.errors import ArgumentError
from cortexres.io.event_windows import (
    Array,
    common_window,
    covered,
    event_bins,
    means_of_samples,
    spike_rates,
    warn_of_uncovered,
)
from cortexres.io.recorded_brain import Source, recorded_brain
from cortexres.io.shown_stimuli import shown_stimuli
from cortexres.schema import UNIT_COORDINATES
from cortexres.schema_rules import join_names


def from_neo(
    block: Any,
    *,
    bin_ms: float,
    window_ms: tuple[float, float] | None = None,
    stimulus: str = "stimulus",
    events: str | None = None,
    signal: str | None = None,
    stimuli: Mapping[Any, int] | None = None,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return the brain Dataset of a `neo.Block`: rates of its spike trains, or means of one of its analog signals.

    Units are matched over segments by their order and must have the same names in all. The annotations of their trains
    that a brain Dataset knows (``population``, ``area``, ...) become coordinates.

    Parameters
    ----------
    block : neo.Block
        With a segment per trial, or with events that say when stimuli were shown.
    bin_ms : float
        Width of the bins.
    window_ms : (float, float), optional
        Time from stimulus onset, in ms; that of the trials where they all last equally long.
    stimulus : str
        Annotation of the segments, or array annotation of the events, that says what was shown; events without it are
        known by their labels.
    events : str, optional
        Name of the Event or Epoch whose times are the onsets; without it each segment is a trial with its onset at 0.
    signal : str, optional
        Name of the analog signal to take instead of spikes, one per segment.
    stimuli : mapping of label to int, optional
        Labels to take, and the stimulus id of each. Without it whole numbers are ids and other labels are numbered from
        0 in sorted order.
    rng : int or numpy.random.Generator, optional
        Draws as many trials of each stimulus as the rarest has; without it unequal numbers are refused.

    Raises
    ------
    ArgumentError
        Where the block has no such events, annotations, signals or trains, segments differ in their units, or window
        and bins do not fit.
    SchemaError
        Where values are NaN.

    Warns
    -----
    UserWarning
        Where trials are left out because the recording does not cover their window.

    References
    ----------
    Garcia et al. (2014), Front. Neuroinform. 8:10, doi:10.3389/fninf.2014.00010.
    """
    segments = [segment for segment in block.segments if events is None or _named(segment, events)]
    if not segments and events is None:
        raise ArgumentError("the block has no segments, expected one per trial, or events in them")
    if not segments:
        names = sorted({str(item.name) for s in block.segments for item in (*s.events, *s.epochs)})
        raise ArgumentError(f"events is {events!r} and the block has {join_names(names)}, expected one of them")
    sources = [_source(segment, signal) for segment in segments]
    _check_same_units(sources)
    trials = [_trials(s, events, stimulus, source) for s, source in zip(segments, sources, strict=True)]
    starts, stops = (np.concatenate([t[k] for t in trials]) for k in (1, 2))
    bins = event_bins(window_ms or common_window(starts, stops), bin_ms)
    inside = [covered(t[0], bins, source.observed_ms) for t, source in zip(trials, sources, strict=True)]
    warn_of_uncovered(np.concatenate(inside), stacklevel=3)
    values = [source.values(t[0][i], bins) for source, t, i in zip(sources, trials, inside, strict=True)]
    labels = [label for t, i in zip(trials, inside, strict=True) for label, keep in zip(t[3], i, strict=True) if keep]
    return recorded_brain(
        np.concatenate(values),
        shown_stimuli(labels, stimuli=stimuli, rng=rng),
        time_ms=bins.centres_ms,
        bin_ms=bins.bin_ms,
        units=sources[0].units,
        signal=signal,
        labels=sources[0].labels,
        facts={"recording": str(block.name), "reader": "from_neo", "events": events, "stimulus": stimulus},
    )


def _named(segment: Any, events: str) -> list[Any]:
    return [item for item in (*segment.events, *segment.epochs) if item.name == events]


def _ms(quantity: Any) -> Array:
    """Return times in ms; a quantity that is no time is refused by its own rescale."""
    return np.asarray(quantity.rescale("ms").magnitude, dtype=np.float64)


def _trials(
    segment: Any, events: str | None, stimulus: str, source: Source
) -> tuple[Array, Array, Array, list[object]]:
    """Return onsets, beginnings and ends (from the onset), all in ms, and what was shown."""
    if events is None:
        if stimulus not in segment.annotations:
            raise ArgumentError(
                f"a segment has the annotations {join_names(segment.annotations)}, expected {stimulus!r}, what was"
                " shown in it; give stimulus, or events where onsets are events"
            )
        start, stop = source.observed_ms[0]
        return np.zeros(1), np.array([start]), np.array([stop]), [segment.annotations[stimulus]]
    named = _named(segment, events)
    if len(named) > 1:
        raise ArgumentError(
            f"a segment has {len(named)} events or epochs named {events!r}, expected one; rename the others"
        )
    event = named[0]
    onsets = _ms(event.times)
    if stimulus in event.array_annotations:
        shown = np.asarray(event.array_annotations[stimulus]).tolist()
    else:
        shown = np.asarray(event.labels).tolist()
    if len(shown) != onsets.size:
        raise ArgumentError(
            f"events {events!r} have {len(shown)} labels for {onsets.size} times, expected one each; give their"
            f" array annotation {stimulus!r}"
        )
    is_epoch = any(event is item for item in segment.epochs)
    ends = _ms(event.durations) if is_epoch else np.full(onsets.size, np.nan)
    return onsets, np.zeros(onsets.size), ends, shown


def _source(segment: Any, signal: str | None) -> Source:
    return _train_source(segment) if signal is None else _signal_source(segment, signal)


def _train_source(segment: Any) -> Source:
    trains = list(segment.spiketrains)
    if not trains:
        raise ArgumentError(
            f"segment {segment.name or ''} has no spike trains, expected one per unit, silent ones among them; name an"
            " analog signal with signal"
        )
    times = [np.sort(_ms(train.times)) for train in trains]
    observed = [max(float(_ms(train.t_start)) for train in trains), min(float(_ms(train.t_stop)) for train in trains)]
    labels: dict[str, NDArray[Any]] = {"name": _names([train.name for train in trains])}
    for name in UNIT_COORDINATES[1:]:
        if all(name in train.annotations for train in trains):
            labels[name] = np.array([train.annotations[name] for train in trains])
    return Source(
        observed_ms=np.array([observed]),
        units="Hz",
        labels=labels,
        values=lambda onsets, bins: spike_rates(times, onsets, bins),
    )


def _signal_source(segment: Any, name: str) -> Source:
    found = [item for item in (*segment.analogsignals, *segment.irregularlysampledsignals) if item.name == name]
    if len(found) != 1:
        names = sorted({str(item.name) for item in (*segment.analogsignals, *segment.irregularlysampledsignals)})
        raise ArgumentError(
            f"signal is {name!r}, found {len(found)} so named in a segment with {join_names(names)}, expected one"
        )
    one = found[0]
    times, samples = _ms(one.times), np.asarray(one.magnitude, dtype=np.float64).reshape(len(one), -1)
    period = float(np.median(np.diff(times))) if times.size > 1 else 0.0
    channels = one.array_annotations.get("channel_names", [None] * samples.shape[1])
    return Source(
        observed_ms=np.array([[times[0], times[-1] + period]]),
        units=_unit_name(one),
        labels={"name": _names(list(channels))},
        values=means_of_samples(times, samples),
    )


def _unit_name(signal: Any) -> str:
    name = str(signal.units.dimensionality.string)
    return "1" if name == "dimensionless" else name


def _names(names: list[object]) -> NDArray[Any]:
    """Return the names where all have one, else numbers."""
    known = all(name is not None for name in names)
    return np.array([str(name) for name in names]) if known else np.arange(len(names)).astype(str)


def _check_same_units(sources: list[Source]) -> None:
    first = sources[0]
    for k, source in enumerate(sources):
        if source.units != first.units or not np.array_equal(source.labels["name"], first.labels["name"]):
            raise ArgumentError(
                f"segment {k} has {source.labels['name'].size} units ({join_names(source.labels['name'][:3])}...) in"
                f" {source.units}, segment 0 has {first.labels['name'].size} ({join_names(first.labels['name'][:3])}"
                f"...) in {first.units}, expected the same in all; give a train to silent units too"
            )
