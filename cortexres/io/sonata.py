"""Spikes as a SONATA spike file, which BMTK, libsonata and NetPyNE read."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import xarray as xr

from cortexres.errors import ArgumentError
from cortexres.io.atomic import write_bytes
from cortexres.io.spike_runs import SpikeRuns, spike_runs
from cortexres.schema import check_spikes

MAGIC = 0x0A7A  # by which SONATA files are known
VERSION = (0, 1)
SORTING = {"none": 0, "by_id": 1, "by_time": 2}
UNNAMED = "default"  # population of cells of which none is known


def save_sonata(
    spikes: xr.Dataset,
    path: str | Path,
    *,
    runs: Sequence[tuple[int, int]] | None = None,
    t_start_ms: float | None = None,
    t_stop_ms: float | None = None,
    cells: xr.Dataset | int | None = None,
) -> Path:
    """Return `path`, which now holds one run as a SONATA spike file; an older file stays until all is written.

    ``/spikes/<population>/timestamps`` (ms) and ``node_ids`` (index within the population), sorted by time; a silent
    population has empty ones. SONATA has no trials, so a file holds one run, and no negative times, so they count
    from ``t_start_ms``. Attributes of the file say the ``stimulus``, the ``trial``, the time of ``stimulus_onset_ms``
    and the end ``t_stop_ms`` on that clock, and the provenance.

    Parameters
    ----------
    spikes : Dataset (`spike`,)
        As from `cortexres.circuits.spikes`, or a recording.
    path : str or Path
        File to write or replace, usually ``*.h5``. Missing folders are made.
    runs : sequence of one (stimulus, trial), or None
        The run to write; needed where `spikes` holds several.
    t_start_ms, t_stop_ms : float or None
        Window to take, from stimulus onset: spikes with ``t_start_ms <= time < t_stop_ms``. None takes what was
        simulated, settling time included.
    cells : Dataset (`cell`,), int or None
        The cells, where the provenance does not tell them; see `cell_table`. Those without a population are written
        as ``default``.

    Raises
    ------
    SchemaError
        Where `spikes` does not keep the schema or does not fit the cells.
    ArgumentError
        Where there are several runs, a population has a name that is no name in a file, or the window or `cells` are
        needed and not given, or wrong.
    DataFileError
        Where the file cannot be written; an older one stays as it was.

    References
    ----------
    Dai et al. (2020), PLoS Comput. Biol. 16:e1007696, doi:10.1371/journal.pcbi.1007696.
    """
    # Found here, so that nobody is told that the other runs of the simulation are not among these.
    keys = (_found_runs(spikes) or None) if runs is None else runs
    chosen = spike_runs(spikes, runs=keys, t_start_ms=t_start_ms, t_stop_ms=t_stop_ms, cells=cells)
    if len(chosen.keys) > 1:
        raise ArgumentError(
            f"there are {len(chosen.keys)} runs, (stimulus, trial) {chosen.keys[0]} to {chosen.keys[-1]}, expected one,"
            f" because SONATA has no trials; write one file per run, with runs=[{chosen.keys[0]}]"
        )
    return write_bytes(path, _to_bytes(chosen, str(spikes.attrs.get("cortexres_provenance", ""))))


def _found_runs(spikes: xr.Dataset) -> list[tuple[int, int]]:
    check_spikes(spikes)
    pairs = np.unique(np.stack([spikes["stimulus"].values, spikes["trial"].values], axis=1), axis=0)
    return [(int(stimulus), int(trial)) for stimulus, trial in pairs]


def _to_bytes(runs: SpikeRuns, provenance: str) -> memoryview:
    stimulus, trial = runs.keys[0]
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs.create("magic", MAGIC, dtype=np.uint32)
        file.attrs.create("version", VERSION, dtype=np.uint32)
        file.attrs.update({"stimulus": stimulus, "trial": trial, "stimulus_onset_ms": -runs.t_start_ms})
        file.attrs["t_stop_ms"] = runs.t_stop_ms - runs.t_start_ms
        file.attrs["cortexres_provenance"] = provenance
        populations = runs.cells["population"].values
        for name in dict.fromkeys(populations.tolist()):
            _write_population(file, _group_name(name), runs, populations[runs.row] == name)
    return buffer.getbuffer()


def _group_name(population: str) -> str:
    if "/" in population or "\0" in population or population == ".":
        raise ArgumentError(f"population {population!r} cannot be a name in an HDF5 file; rename it, without / in it")
    return population or UNNAMED


def _write_population(file: h5py.File, name: str, runs: SpikeRuns, mine: np.ndarray) -> None:
    # Without the rounding error of the shift, so that a reader who asks for the spikes from 5.1 ms on gets that at 5.1.
    time = np.round(runs.time_ms[mine] - runs.t_start_ms, 9)
    node = runs.cells["node"].values[runs.row[mine]]
    order = np.lexsort((node, time))
    group = file.create_group(f"spikes/{name}")
    group.attrs.create("sorting", SORTING["by_time"], dtype=h5py.enum_dtype(SORTING))
    group.create_dataset("timestamps", data=time[order], dtype=np.float64).attrs["units"] = "ms"
    group.create_dataset("node_ids", data=node[order], dtype=np.uint64)
