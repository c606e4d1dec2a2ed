"""A recording in an NWB file, from the DANDI archive or from `save_nwb`, as a brain Dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cortexres.errors import ArgumentError, DataFileError
from cortexres.io.event_windows import Array, common_window, event_bins
from cortexres.io.nwb_sources import series_source, unit_source
from cortexres.io.packages import optional_package
from cortexres.io.recorded_brain import brain_around_events
from cortexres.schema_rules import join_names


def read_nwb(
    path: str | Path,
    *,
    bin_ms: float,
    window_ms: tuple[float, float] | None = None,
    stimulus: str = "stimulus",
    table: str = "trials",
    onset: str | None = None,
    series: str | None = None,
    stimuli: Mapping[Any, int] | None = None,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return the brain Dataset of an NWB file: rates of its units, or means of one of its time series.

    Every column of the units table that is one number or text per unit becomes a coordinate of ``unit``, by which units
    are chosen: ``brain.isel(unit=brain.quality == "good")``. ``area`` comes from the electrodes where the table has
    none; the column ``unit`` of `save_nwb`, which is the assembly of a cell, is called ``assembly``.

    Parameters
    ----------
    path : str or Path
        The file. Of a time series only the windows are read.
    bin_ms : float
        Width of the bins.
    window_ms : (float, float), optional
        Time from stimulus onset, in ms; that of the trials where they all last equally long.
    stimulus : str
        Column of the table that says what was shown; see `stimuli`.
    table : str
        Table of intervals: ``"trials"``, ``"epochs"`` or another that the file has.
    onset : str, optional
        Column with the time of stimulus onset, in s; ``stimulus_onset_time`` where there is one, else ``start_time``.
    series : str, optional
        Name of the time series to take instead of spikes, such as ``"DfOverF"``; it is the ``signal``.
    stimuli : mapping of label to int, optional
        Labels to take, and the stimulus id of each. Without it whole numbers are ids and other labels are numbered from
        0 in sorted order.
    rng : int or numpy.random.Generator, optional
        Draws as many trials of each stimulus as the rarest has; without it unequal numbers are refused.

    Raises
    ------
    CortexresError
        Where pynwb is not installed.
    DataFileError
        Where the file cannot be read.
    ArgumentError
        Where the file has no such table, column or series, or window and bins do not fit.
    SchemaError
        Where values are NaN.

    Warns
    -----
    UserWarning
        Where trials are left out because the recording does not cover their window.

    References
    ----------
    Rübel et al. (2022), eLife 11:e78362, doi:10.7554/eLife.78362.
    """
    pynwb = optional_package("pynwb", purpose="read_nwb")
    try:
        reader = pynwb.NWBHDF5IO(str(path), "r")
    except (OSError, ValueError) as error:
        raise DataFileError(f"{path}: {str(error).splitlines()[0]}; expected an NWB file") from error
    with reader:
        try:
            file = reader.read()
        except (OSError, TypeError, KeyError, ValueError) as error:
            raise DataFileError(f"{path}: {str(error).splitlines()[0]}; expected an NWB file") from error
        trials = _table(file, table)
        onsets = _column(trials, onset or _onset_column(trials), table).astype(float) * 1e3
        labels = _column(trials, stimulus, table)
        bins = event_bins(window_ms or _trial_window(trials, onsets), bin_ms)
        source = unit_source(file) if series is None else series_source(file, series)
        return brain_around_events(
            source,
            onsets,
            labels.tolist(),
            bins=bins,
            signal=series,
            stimuli=stimuli,
            rng=rng,
            facts={"recording": str(file.identifier), "reader": "read_nwb", "table": table, "stimulus": stimulus},
        )


def _table(file: Any, name: str) -> Any:
    tables = {} if file.intervals is None else dict(file.intervals)
    tables |= {key: value for key, value in (("trials", file.trials), ("epochs", file.epochs)) if value is not None}
    if name not in tables:
        raise ArgumentError(f"the file has the tables {join_names(tables)}, expected {name!r}; give table")
    return tables[name]


def _column(table: Any, name: str, of: str) -> NDArray[Any]:
    if name not in table.colnames:
        raise ArgumentError(f"{of} has the columns {join_names(table.colnames)}, expected {name!r}; name another")
    return np.asarray(table[name][:])


def _onset_column(table: Any) -> str:
    return "stimulus_onset_time" if "stimulus_onset_time" in table.colnames else "start_time"


def _trial_window(table: Any, onsets_ms: Array) -> tuple[float, float]:
    return common_window(table["start_time"][:] * 1e3 - onsets_ms, table["stop_time"][:] * 1e3 - onsets_ms)
