"""Spikes sorted into runs, one per trial of a stimulus, and inside a run into cells: what other formats are made of."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cortexres.errors import ArgumentError
from cortexres.io.cells import cell_table, rows_of, spike_record

# Times are steps of a clock multiplied by its width, so that one at the edge of the window may lie beyond by rounding.
ROUNDING_MS = 1e-6
MAX_RUNS = 1_000_000  # more are no claim to follow, in the file of a stranger


@dataclass(frozen=True)
class SpikeRuns:
    """Sorted spikes of several runs over the same cells and the same window of time from stimulus onset.

    Parameters
    ----------
    cells : Dataset (`cell`,)
        See `cortexres.io.cells.cell_table`.
    t_start_ms, t_stop_ms : float
        Window that every run was observed in; its spikes lie in ``t_start_ms <= time < t_stop_ms``.
    keys : list of (int, int)
        Stimulus and trial of each run.
    run, row : array of int (`spike`,)
        Index into `keys` and row in `cells`; spikes are sorted by run, then row, then time.
    time_ms : array (`spike`,)
        Time from stimulus onset.
    record : dict
        The provenance, empty where there is none.
    """

    cells: xr.Dataset
    t_start_ms: float
    t_stop_ms: float
    keys: list[tuple[int, int]]
    run: NDArray[np.int64]
    row: NDArray[np.int64]
    time_ms: NDArray[np.float64]
    record: dict[str, Any]

    def trains_ms(self, run: int) -> list[NDArray[np.float64]]:
        """The times of each cell in one run, in the order of `cells`; empty for a silent cell."""
        low, high = np.searchsorted(self.run, [run, run + 1])
        edges = np.searchsorted(self.row[low:high], np.arange(1, self.cells.sizes["cell"]))
        return np.split(self.time_ms[low:high], edges)


def spike_runs(
    spikes: xr.Dataset,
    *,
    runs: Sequence[tuple[int, int]] | None = None,
    t_start_ms: float | None = None,
    t_stop_ms: float | None = None,
    cells: xr.Dataset | int | None = None,
) -> SpikeRuns:
    """Return the spikes sorted into runs and cells.

    Parameters
    ----------
    spikes : Dataset (`spike`,)
        As from `cortexres.circuits.spikes`, or a recording.
    runs : sequence of (stimulus, trial) or None
        Runs to take, silent ones among them; None takes those that have spikes.
    t_start_ms, t_stop_ms : float or None
        Window to take, from stimulus onset; spikes outside are left out. None takes what was simulated, settling time
        included.
    cells : Dataset (`cell`,), int or None
        See `cortexres.io.cell_table`.

    Raises
    ------
    SchemaError
        Where `spikes` does not keep the schema or does not fit the cells.
    ArgumentError
        Where a window, the runs or `cells` are needed and not given, or wrong.

    Warns
    -----
    UserWarning
        Where the provenance has runs without any spike and `runs` does not say whether they belong to these data.
    """
    table, record = cell_table(spikes, cells), spike_record(spikes)
    start, stop = _window(record, t_start_ms, t_stop_ms)
    found = np.stack([spikes["stimulus"].values, spikes["trial"].values], axis=1).astype(np.int64)
    keys = _all_runs(found, record) if runs is None else _chosen(runs)
    number = {key: k for k, key in enumerate(keys)}
    distinct, inverse = np.unique(found, axis=0, return_inverse=True)
    run = np.array([number.get((int(s), int(t)), -1) for s, t in distinct], dtype=np.int64)[inverse.reshape(-1)]
    time = spikes["time"].values.astype(np.float64)
    inside = (time > start - ROUNDING_MS) & (time < stop - ROUNDING_MS) & (run >= 0)
    run, row, time = run[inside], rows_of(table, spikes)[inside], np.maximum(time[inside], start)
    order = np.lexsort((time, row, run))
    return SpikeRuns(table, start, stop, keys, run[order], row[order], time[order], record)


def _window(record: dict[str, Any], t_start_ms: float | None, t_stop_ms: float | None) -> tuple[float, float]:
    settle, stop = _time(record.get("settle_ms")), _time(record.get("duration_ms"))
    start = None if settle is None else -settle
    start, stop = t_start_ms if t_start_ms is not None else start, t_stop_ms if t_stop_ms is not None else stop
    if start is None or stop is None:
        what = "t_start_ms" if start is None else "t_stop_ms"
        raise ArgumentError(f"{what} is None and the spikes have no provenance that says it; give {what}")
    if not (np.isfinite(start) and np.isfinite(stop) and start < stop):
        raise ArgumentError(f"the window is {start} to {stop} ms, expected t_start_ms before t_stop_ms, both finite")
    return float(start), float(stop)


def _time(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _chosen(runs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    try:
        keys = [(index(stimulus), index(trial)) for stimulus, trial in runs]
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"runs is {runs!r}, expected pairs of stimulus and trial, such as [(3, 0)]") from error
    if not keys or len(set(keys)) != len(keys):
        raise ArgumentError(f"runs holds {len(keys)} pairs, {len(set(keys))} of them distinct; give each run once")
    return keys


def _all_runs(found: NDArray[np.int64], record: dict[str, Any]) -> list[tuple[int, int]]:
    keys = [(int(stimulus), int(trial)) for stimulus, trial in np.unique(found, axis=0)]
    silent = _recorded(record) - set(keys)
    if silent:
        # Whether they were silent or selected away cannot be told, and empty runs that never were would be worse.
        warnings.warn(
            f"{len(silent)} of the runs that were simulated have no spikes here and are left out, such as (stimulus,"
            f" trial) {min(silent)}; give runs to say which belong to these spikes",
            UserWarning,
            stacklevel=4,
        )
    if not keys:
        raise ArgumentError("there are no spikes, so the runs cannot be told; give runs, such as [(3, 0)]")
    return keys


def _recorded(record: dict[str, Any]) -> set[tuple[int, int]]:
    """The runs that the provenance names; none where it does not."""
    stimuli, trials = record.get("stimuli"), record.get("trials")
    ids = stimuli.get("ids") if isinstance(stimuli, dict) else None
    if not isinstance(ids, list) or not all(type(i) is int for i in ids) or type(trials) is not int:
        return set()
    if len(ids) * trials > MAX_RUNS:
        return set()
    return {(i, trial) for i in ids for trial in range(trials)}
