"""What an NWB file holds of units and time series, and how it is read around events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cortexres.errors import ArgumentError
from cortexres.io.event_windows import Array, sample_means, spike_rates
from cortexres.io.recorded_brain import Source
from cortexres.schema_rules import join_names

OMITTED = ("spike_times", "obs_intervals", "electrodes")  # columns of units tables that are no property of the unit


def unit_source(file: Any) -> Source:
    """Return the spikes of the units, as rates in Hz.

    Raises
    ------
    ArgumentError
        Where the file has none.
    """
    units = file.units
    if units is None or "spike_times" not in units.colnames:
        raise ArgumentError("the file has no units with spike times, expected some; name a time series with series")
    trains = [np.sort(np.asarray(units["spike_times"][row], dtype=float)) * 1e3 for row in range(len(units))]
    return Source(
        observed_ms=_observed(units),
        units="Hz",
        labels=_unit_labels(file),
        values=lambda onsets, bins: spike_rates(trains, onsets, bins),
    )


def _observed(units: Any) -> Array:
    """The intervals in which all units were observed, (interval, 2) in ms; always, where the file does not say."""
    if "obs_intervals" not in units.colnames:
        return np.array([[-np.inf, np.inf]])
    common = np.array([[-np.inf, np.inf]])
    for row in range(len(units)):
        common = _overlap(common, np.asarray(units["obs_intervals"][row], dtype=float).reshape(-1, 2) * 1e3)
    return common


def _overlap(a: Array, b: Array) -> Array:
    low, high = np.maximum(a[:, None, 0], b[None, :, 0]), np.minimum(a[:, None, 1], b[None, :, 1])
    keep = low < high
    return np.stack([low[keep], high[keep]], axis=1)


def _unit_labels(file: Any) -> dict[str, NDArray[Any]]:
    units = file.units
    labels: dict[str, NDArray[Any]] = {"name": np.asarray(units.id[:]).astype(str)}
    for name in units.colnames:
        if name in OMITTED or units[name].name != name:  # ragged columns come by the name of their index
            continue
        column = np.asarray(units[name][:])
        if column.ndim == 1 and column.dtype.kind in "iufbUSO":
            labels[name] = column
    if "unit" in units.colnames:
        labels["assembly"] = np.asarray(units["unit"][:])
    if "area" not in labels:
        labels |= _areas(file)
    return labels


def _areas(file: Any) -> dict[str, NDArray[Any]]:
    """Where the electrodes of the units lie, if the file says it."""
    units, electrodes = file.units, file.electrodes
    if electrodes is None or "location" not in electrodes.colnames:
        return {}
    places = np.asarray(electrodes["location"][:]).astype(str)
    if "peak_channel_id" in units.colnames:  # as the Allen Institute's files name it
        row = {int(number): k for k, number in enumerate(electrodes.id[:])}
        return {"area": np.array([places[row[int(number)]] for number in units["peak_channel_id"][:]])}
    if "electrodes" in units.colnames:
        firsts = [units["electrodes"].target.data, units["electrodes"].data]  # ragged: rows, and where each one ends
        starts = np.concatenate([[0], np.asarray(firsts[1][:])[:-1]]).astype(int)
        return {"area": places[np.asarray(firsts[0][:])[starts]]}
    return {}


def series_source(file: Any, name: str) -> Source:
    """Return a time series of that name, or the one in a container of that name, as means in its units.

    Raises
    ------
    ArgumentError
        Where there is none, or more than one.
    """
    found = [item for item in file.objects.values() if item.name == name]
    # Containers such as DfOverF hold one series, which has another name.
    held = [child for item in found for child in item.children if not _is_series(item)]
    series = [item for item in (*found, *held) if _is_series(item)]
    if len(series) != 1:
        names = sorted({item.name for item in file.objects.values() if _is_series(item)})
        raise ArgumentError(f"series is {name!r}, found {len(series)} so named, expected one of {join_names(names)}")
    one = series[0]
    data = one.data
    width = 1 if len(data.shape) == 1 else int(data.shape[1])
    scale = one.conversion * np.asarray(one.fields.get("channel_conversion", 1.0))

    def read(first: int, last: int) -> Array:
        samples = np.asarray(data[first:last], dtype=float).reshape(last - first, width)
        return np.asarray(samples * scale + one.offset)

    before, observed = _clock(one, int(data.shape[0]))
    return Source(
        observed_ms=observed,
        units=str(one.unit) if one.unit not in (None, "", "n.a.", "unknown") else "1",
        labels={"name": np.arange(width).astype(str), **_series_areas(one)},
        values=lambda onsets, bins: sample_means(read, before, onsets, bins),
    )


def _is_series(item: Any) -> bool:
    return "data" in item.fields and ("rate" in item.fields or "timestamps" in item.fields)


def _clock(series: Any, count: int) -> tuple[Callable[[Array], NDArray[np.int64]], Array]:
    """Return how many samples lie before a time, and from when to when there are samples (a period behind the last)."""
    if series.timestamps is not None:
        times = np.asarray(series.timestamps[:], dtype=float) * 1e3
        end = times[-1] + (np.median(np.diff(times)) if count > 1 else 0.0)
        return lambda t: np.searchsorted(times, t).astype(np.int64), np.array([[times[0], end]])
    start, period = float(series.starting_time or 0.0) * 1e3, 1e3 / float(series.rate)

    def before(t_ms: Array) -> NDArray[np.int64]:
        return np.clip(np.ceil((t_ms - start) / period), 0, count).astype(np.int64)

    return before, np.array([[start, start + count * period]])


def _series_areas(series: Any) -> dict[str, NDArray[Any]]:
    region = series.fields.get("electrodes")
    if region is None or "location" not in region.table.colnames:
        return {}
    places = np.asarray(region.table["location"][:]).astype(str)
    return {"area": places[np.asarray(region.data[:])]}
