"""Drives as stimuli: the input of each channel over time, given directly and not made from images.

A drive starts with the stimulus, is constant within each frame, and keeps its last frame for as long as a run lasts;
before the stimulus it is 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from cortexres.errors import ArgumentError
from cortexres.schema import check_stimuli
from cortexres.schema_rules import DRIVE_UNITS

#: More frames than any drive needs; what asks for more has mistaken its units.
MAX_FRAMES = 1_000_000


def drives(
    values: ArrayLike, *, frame_ms: float, units: str = "mV", labels: Sequence[object] | None = None
) -> xr.Dataset:
    """Return stimuli that are drives: ``drive`` (stimulus, frame, channel).

    Parameters
    ----------
    values : array_like (stimulus, frame, channel)
        Input of each channel, one channel per assembly of the populations that the circuit drives.
    frame_ms : float
        Duration of a frame in ms; the last one holds.
    units : str
        ``"mV"``, ``"pA"``, ``"nA"``, ``"Hz"`` or ``"1"``: the unit in which the circuit takes its drive.
    labels : sequence or None
        One label per stimulus; by default ``"drive 0"``, ``"drive 1"`` ...

    Raises
    ------
    ArgumentError
        If `values` does not have these three dims, is not finite, or `frame_ms`, `units` or `labels` do not fit.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 3 or 0 in array.shape:
        raise ArgumentError(f"values have shape {array.shape}, expected (stimulus, frame, channel), none of them empty")
    if not np.isfinite(array).all():
        raise ArgumentError("values hold NaN or infinity, expected finite numbers; replace them")
    if not (np.isfinite(frame_ms) and frame_ms > 0):
        raise ArgumentError(f"frame_ms is {frame_ms:g}, expected a duration above 0 ms")
    if units not in DRIVE_UNITS:
        raise ArgumentError(f"units are {units!r}, expected one of {', '.join(DRIVE_UNITS)}")
    names = [f"drive {k}" for k in range(len(array))] if labels is None else list(labels)
    if len(names) != len(array):
        raise ArgumentError(f"got {len(names)} labels, expected {len(array)}, one per stimulus")
    return check_stimuli(
        xr.Dataset(
            {"drive": (("stimulus", "frame", "channel"), array, {"units": units, "frame_ms": float(frame_ms)})},
            {"stimulus": np.arange(len(array)), "label": ("stimulus", np.asarray(names))},
            {"source": "cortexres.stimuli.drives"},
        )
    )


def steps(amplitudes: ArrayLike, *, units: str = "mV", labels: Sequence[object] | None = None) -> xr.Dataset:
    """Return drives that step to their amplitude at stimulus onset and stay.

    Parameters
    ----------
    amplitudes : array_like (stimulus,) or (stimulus, channel)
        One number per stimulus where there is one channel.
    units, labels
        As in `drives`; by default the labels are the amplitudes of single channels.

    Raises
    ------
    ArgumentError
        As in `drives`.
    """
    table = _amplitudes(amplitudes)
    return drives(table[:, None, :], frame_ms=1.0, units=units, labels=_labels(table, units, labels))


def pulses(
    amplitudes: ArrayLike,
    *,
    duration_ms: float,
    start_ms: float = 0.0,
    units: str = "mV",
    labels: Sequence[object] | None = None,
) -> xr.Dataset:
    """Return drives of an amplitude from `start_ms` after stimulus onset for `duration_ms`, and of 0 elsewhere.

    Parameters
    ----------
    amplitudes, units, labels
        As in `steps`.
    start_ms, duration_ms : float
        In ms, whole microseconds.

    Raises
    ------
    ArgumentError
        If the duration is not above 0 or the start below 0, and as in `drives`.
    """
    if not (np.isfinite(duration_ms) and duration_ms >= 1e-3 and np.isfinite(start_ms) and start_ms >= 0):
        raise ArgumentError(
            f"got start_ms={start_ms:g} and duration_ms={duration_ms:g}, expected a start of 0 or more and a duration"
            " of a microsecond or more"
        )
    table = _amplitudes(amplitudes)
    # The longest frame of which both the start and the end are multiples.
    start_us, duration_us = round(1e3 * start_ms), round(1e3 * duration_ms)
    frame_us = math.gcd(start_us, duration_us)
    before, during = start_us // frame_us, duration_us // frame_us
    _check_frames(before + during)
    on = np.concatenate([np.zeros(before), np.ones(during), [0.0]])
    values = table[:, None, :] * on[:, None]
    return drives(values, frame_ms=frame_us * 1e-3, units=units, labels=_labels(table, units, labels))


def ramps(
    amplitudes: ArrayLike,
    *,
    duration_ms: float,
    frame_ms: float = 1.0,
    units: str = "mV",
    labels: Sequence[object] | None = None,
) -> xr.Dataset:
    """Return drives that rise linearly from 0 at stimulus onset to their amplitude after `duration_ms`, and stay.

    Parameters
    ----------
    amplitudes, units, labels
        As in `steps`.
    duration_ms, frame_ms : float
        Duration of the rise, and of the frames that approximate it (each has the mean of the line over it), in ms.

    Raises
    ------
    ArgumentError
        If the duration is not a whole number of frames, and as in `drives`.
    """
    count = duration_ms / frame_ms if frame_ms else np.nan
    if not np.isfinite(count) or round(count) < 1 or abs(count - round(count)) > 1e-6:
        raise ArgumentError(f"duration_ms is {duration_ms:g}, expected a multiple of frame_ms = {frame_ms:g}, above 0")
    table = _amplitudes(amplitudes)
    _check_frames(round(count))
    rise = np.append((np.arange(round(count)) + 0.5) / round(count), 1.0)
    values = table[:, None, :] * rise[:, None]
    return drives(values, frame_ms=frame_ms, units=units, labels=_labels(table, units, labels))


def _amplitudes(amplitudes: ArrayLike) -> NDArray[np.float64]:
    table = np.asarray(amplitudes, dtype=np.float64)
    if table.ndim == 1:
        table = table[:, None]
    if table.ndim != 2:
        raise ArgumentError(f"amplitudes have shape {table.shape}, expected (stimulus,) or (stimulus, channel)")
    return table


def _check_frames(count: int) -> None:
    if count > MAX_FRAMES:
        raise ArgumentError(f"the drive has {count} frames, expected at most {MAX_FRAMES}; use rounder times")


def _labels(table: NDArray[np.float64], units: str, labels: Sequence[object] | None) -> Sequence[object] | None:
    if labels is not None or table.shape[1] > 1:
        return labels
    return [f"{row[0]:g} {units}" for row in table]
