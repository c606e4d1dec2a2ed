"""Spike trains: the spikes of a simulation or recording, sorted into groups of cells that a measure takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cortexres.errors import ArgumentError
from cortexres.io.spike_runs import spike_runs

GROUPS = ("all", "population", "unit", "cell_type", "area", "layer")

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Trains:
    """The spikes of `cells` cells in `runs` runs, all observed from `t_start_ms` to `t_stop_ms`.

    Parameters
    ----------
    cell, run : array of int (`spike`,)
        Indices from 0, below `cells` and `runs`; spikes are sorted by run, then cell, then time.
    time_ms : array (`spike`,)
        Inside the window.
    cells, runs : int
        Silent ones count.
    t_start_ms, t_stop_ms : float
        The window.
    """

    cell: NDArray[np.int64]
    run: NDArray[np.int64]
    time_ms: Array
    cells: int
    runs: int
    t_start_ms: float
    t_stop_ms: float

    @property
    def seconds(self) -> float:
        """Length of the window."""
        return (self.t_stop_ms - self.t_start_ms) * 1e-3

    @property
    def train(self) -> NDArray[np.int64]:
        """The number of each spike's train, one train per run and cell."""
        return self.run * self.cells + self.cell


def trains(
    spikes: xr.Dataset,
    *,
    by: str = "population",
    t_start_ms: float | None = 0.0,
    t_stop_ms: float | None = None,
    runs: Sequence[tuple[int, int]] | None = None,
    cells: xr.Dataset | int | None = None,
) -> dict[str, Trains]:
    """The spikes in groups of cells, silent cells among them, by the name of the group.

    Parameters
    ----------
    spikes : Dataset (`spike`,)
        As from `cortexres.circuits.spikes`, or a recording.
    by : str
        One of `GROUPS`; ``"all"`` is one group of that name.
    t_start_ms, t_stop_ms : float or None
        Window from stimulus onset; None for where the simulation began (settling included) or ended.
    runs : sequence of (stimulus, trial) or None
        Runs to take, silent ones among them; None takes those that have spikes.
    cells : Dataset (`cell`,), int or None
        The cells, where the provenance does not tell them; see `cortexres.io.cell_table`.

    Raises
    ------
    SchemaError
        If `spikes` does not keep the schema or does not fit the cells.
    ArgumentError
        If `by` is none of `GROUPS`, or a window, the runs or `cells` are needed and not given, or wrong.
    """
    if by not in GROUPS:
        raise ArgumentError(f"by is {by!r}, expected one of {', '.join(GROUPS)}")
    found = spike_runs(spikes, runs=runs, t_start_ms=t_start_ms, t_stop_ms=t_stop_ms, cells=cells)
    labels = np.full(found.cells.sizes["cell"], "all") if by == "all" else found.cells[by].values.astype(str)
    groups: dict[str, Trains] = {}
    for name in dict.fromkeys(labels.tolist()):
        member = labels == name
        index = np.cumsum(member) - 1
        inside = member[found.row]
        groups[name] = Trains(
            cell=index[found.row[inside]],
            run=found.run[inside],
            time_ms=found.time_ms[inside],
            cells=int(member.sum()),
            runs=len(found.keys),
            t_start_ms=found.t_start_ms,
            t_stop_ms=found.t_stop_ms,
        )
    return groups


def joined(groups: Sequence[Trains]) -> Trains:
    """All cells of several groups as one.

    Raises
    ------
    ArgumentError
        If there is none, or they differ in their runs or window.
    """
    if not groups or len({(g.runs, g.t_start_ms, g.t_stop_ms) for g in groups}) > 1:
        raise ArgumentError(f"got {len(groups)} groups, expected one or more with the same runs and the same window")
    first = np.cumsum([0] + [g.cells for g in groups])
    cell = np.concatenate([g.cell + k for g, k in zip(groups, first, strict=False)])
    run, time = np.concatenate([g.run for g in groups]), np.concatenate([g.time_ms for g in groups])
    order = np.lexsort((time, cell, run))
    return replace(groups[0], cell=cell[order], run=run[order], time_ms=time[order], cells=int(first[-1]))


def of_runs(group: Trains, runs: Sequence[int] | NDArray[np.int64]) -> Trains:
    """The same cells in some of the runs, given by their index, in increasing order.

    Raises
    ------
    ArgumentError
        If there is none, or they are no increasing indices of runs.
    """
    chosen = np.asarray(runs, dtype=np.int64)
    if not chosen.size or (np.diff(chosen) <= 0).any() or chosen[0] < 0 or chosen[-1] >= group.runs:
        raise ArgumentError(f"runs are {chosen.tolist()}, expected increasing indices in 0..{group.runs - 1}")
    kept = np.isin(group.run, chosen)
    run = np.searchsorted(chosen, group.run[kept])
    return replace(group, cell=group.cell[kept], run=run, time_ms=group.time_ms[kept], runs=chosen.size)
