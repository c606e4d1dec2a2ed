"""Spikes as an NWB file: the form in which recordings are shared, and pynapple and the DANDI archive take."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from cortexres.errors import ArgumentError
from cortexres.io.atomic import check_writable, write_bytes
from cortexres.io.cells import TEXT_LABELS
from cortexres.io.packages import optional_package
from cortexres.io.spike_runs import SpikeRuns, spike_runs

COLUMNS = {
    "cell": "id of the cell over the whole circuit",
    "unit": "assembly the cell belongs to, the unit of cortexres; -1 where unknown",
    "population": "population of the cell",
    "cell_type": "type of the cell",
    "area": "cortical area",
    "layer": "cortical layer",
}
TRIAL_COLUMNS = {
    "stimulus": "id of the stimulus",
    "trial": "repeat of the stimulus, from 0",
    "stimulus_onset_time": "when the stimulus is switched on, in seconds",
}


def save_nwb(
    spikes: xr.Dataset,
    path: str | Path,
    *,
    runs: Sequence[tuple[int, int]] | None = None,
    t_start_ms: float | None = None,
    t_stop_ms: float | None = None,
    cells: xr.Dataset | int | None = None,
    session_start: datetime | None = None,
) -> Path:
    """Return `path`, which now holds the spikes as an NWB file; an older file stays until all is written.

    The table of units has a row per cell, silent ones among them, with its labels and its spike times in seconds; the
    table of trials has a row per run, with stimulus, trial and the time of stimulus onset. The clock of the file starts
    at 0, and the runs lie on it one after another without a gap, each from ``t_start_ms`` to ``t_stop_ms``, so that a
    spike of a run has ``start_time <= time < stop_time``.

    Parameters
    ----------
    spikes : Dataset (`spike`,)
        As from `cortexres.circuits.spikes`, or a recording.
    path : str or Path
        File to write or replace, usually ``*.nwb``. Missing folders are made.
    runs : sequence of (stimulus, trial) or None
        Runs to take, in this order, silent ones among them; None takes those that have spikes.
    t_start_ms, t_stop_ms : float or None
        Window to take, from stimulus onset: spikes with ``t_start_ms <= time < t_stop_ms``. None takes what was
        simulated, settling time included.
    cells : Dataset (`cell`,), int or None
        The cells, where the provenance does not tell them; see `cell_table`.
    session_start : datetime or None
        When it was recorded, with a time zone; None takes the time of the simulation from the provenance.

    Raises
    ------
    CortexresError
        Where pynwb is not installed.
    SchemaError
        Where `spikes` does not keep the schema or does not fit the cells.
    ArgumentError
        Where the window, the runs, `cells` or `session_start` are needed and not given, or wrong.
    DataFileError
        Where the file cannot be written; an older one stays as it was.

    References
    ----------
    Rübel et al. (2022), eLife 11:e78362, doi:10.7554/eLife.78362.
    """
    pynwb = optional_package("pynwb", purpose="save_nwb")
    check_writable(path)
    sorted_runs = spike_runs(spikes, runs=runs, t_start_ms=t_start_ms, t_stop_ms=t_stop_ms, cells=cells)
    start = _session_start(sorted_runs, session_start)
    facts = {name: str(spikes.attrs.get(name, "")) for name in ("model", "cortexres_provenance")}
    file = pynwb.NWBFile(
        session_description=f"spikes of {facts['model'] or 'unnamed cells'}, one trial per stimulus and repeat",
        identifier=_identifier(sorted_runs, facts["cortexres_provenance"]),
        session_start_time=start,
        notes=facts["cortexres_provenance"] or None,
    )
    _add_trials(file, sorted_runs)
    _add_units(file, sorted_runs)
    return write_bytes(path, _to_bytes(pynwb, file))


def _session_start(runs: SpikeRuns, given: datetime | None) -> datetime:
    if given is None:
        try:
            given = datetime.fromisoformat(str(runs.record.get("time_utc")))
        except ValueError as error:
            raise ArgumentError(
                "session_start is None and the spikes have no provenance that says when they were made; give"
                " session_start"
            ) from error
    if given.tzinfo is None:
        raise ArgumentError(f"session_start {given.isoformat()} has no time zone; set tzinfo, such as datetime.UTC")
    return given


def _identifier(runs: SpikeRuns, provenance: str) -> str:
    """The same for the same spikes and no others, where NWB wants a unique name."""
    digest = hashlib.sha256(provenance.encode())
    digest.update(repr((runs.keys, runs.t_start_ms, runs.t_stop_ms)).encode())
    for values in (runs.cells["cell"].values, runs.run, runs.row, runs.time_ms):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _starts_s(runs: SpikeRuns) -> np.ndarray:
    """The beginning of each run on the clock of the file, and the end of the last."""
    return np.arange(len(runs.keys) + 1) * (runs.t_stop_ms - runs.t_start_ms) * 1e-3


def _add_trials(file: Any, runs: SpikeRuns) -> None:
    for name, description in TRIAL_COLUMNS.items():
        file.add_trial_column(name=name, description=description)
    starts = _starts_s(runs)
    for k, (stimulus, trial) in enumerate(runs.keys):
        file.add_trial(
            start_time=float(starts[k]),
            stop_time=float(starts[k + 1]),
            stimulus=stimulus,
            trial=trial,
            stimulus_onset_time=float(starts[k] - runs.t_start_ms * 1e-3),
        )


def _add_units(file: Any, runs: SpikeRuns) -> None:
    for name, description in COLUMNS.items():
        file.add_unit_column(name=name, description=description)
    time = _starts_s(runs)[runs.run] + (runs.time_ms - runs.t_start_ms) * 1e-3
    order = np.argsort(runs.row, kind="stable")  # inside a cell, runs and times stay in order
    trains = np.split(time[order], np.searchsorted(runs.row[order], np.arange(1, runs.cells.sizes["cell"])))
    columns = [runs.cells[name].values.tolist() for name in ("cell", "unit", *TEXT_LABELS)]
    for times, *row in zip(trains, *columns, strict=True):
        file.add_unit(spike_times=times, **dict(zip(COLUMNS, row, strict=True)))


def _to_bytes(pynwb: Any, file: Any) -> memoryview:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as target, pynwb.NWBHDF5IO(file=target, mode="w") as writer:
        writer.write(file)
    return buffer.getbuffer()
