"""Spikes as a Neo Block, the form that Elephant's measures take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import xarray as xr

from cortexres.io.cells import TEXT_LABELS
from cortexres.io.packages import optional_package
from cortexres.io.spike_runs import SpikeRuns, spike_runs


def to_neo(
    spikes: xr.Dataset,
    *,
    runs: Sequence[tuple[int, int]] | None = None,
    t_start_ms: float | None = None,
    t_stop_ms: float | None = None,
    cells: xr.Dataset | int | None = None,
) -> Any:
    """Return the spikes as a `neo.Block`: a Segment per run, in it a SpikeTrain per cell, silent cells among them.

    Times are in ms from stimulus onset. Every SpikeTrain has the window as its ``t_start`` and ``t_stop`` and the
    annotations ``cell``, ``unit``, ``population``, ``cell_type``, ``area``, ``layer``, ``stimulus`` and ``trial``, by
    which ``segment.filter(population="E", objects="SpikeTrain")`` finds it (of several conditions, Neo takes any). A
    SpikeTrain costs 0.1 ms to make, so of a large simulation take the `runs` that are wanted.

    Parameters
    ----------
    spikes : Dataset (`spike`,)
        As from `cortexres.circuits.spikes`, or a recording.
    runs : sequence of (stimulus, trial) or None
        Runs to take, silent ones among them; None takes those that have spikes.
    t_start_ms, t_stop_ms : float or None
        Window to take: spikes with ``t_start_ms <= time < t_stop_ms``. None takes what was simulated, with the settling
        time before 0; give ``t_start_ms=0`` for the response alone. Select here rather than before: rates are counted
        over the window.
    cells : Dataset (`cell`,), int or None
        The cells, where the provenance does not tell them; see `cell_table`.

    Raises
    ------
    CortexresError
        Where Neo is not installed.
    SchemaError
        Where `spikes` does not keep the schema or does not fit the cells.
    ArgumentError
        Where the window, the runs or `cells` are needed and not given, or wrong.

    References
    ----------
    Garcia et al. (2014), Front. Neuroinform. 8:10, doi:10.3389/fninf.2014.00010.
    """
    neo = optional_package("neo", purpose="to_neo")
    sorted_runs = spike_runs(spikes, runs=runs, t_start_ms=t_start_ms, t_stop_ms=t_stop_ms, cells=cells)
    facts = {name: str(spikes.attrs[name]) for name in ("model", "cortexres_provenance") if name in spikes.attrs}
    block = neo.Block(name=facts.get("model", "spikes"), **facts)
    labels = _labels(sorted_runs)
    for k in range(len(sorted_runs.keys)):
        block.segments.append(_segment(neo, sorted_runs, k, labels))
    return block


def _labels(runs: SpikeRuns) -> list[dict[str, object]]:
    """The annotations of each cell, as plain numbers and text so that every format of Neo can write them."""
    names = ("cell", "unit", *TEXT_LABELS)
    columns = (runs.cells[name].values.tolist() for name in names)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _segment(neo: Any, runs: SpikeRuns, k: int, labels: list[dict[str, object]]) -> Any:
    stimulus, trial = runs.keys[k]
    key = {"stimulus": stimulus, "trial": trial}
    segment = neo.Segment(name=f"stimulus {stimulus}, trial {trial}", index=k, **key)
    for times, facts in zip(runs.trains_ms(k), labels, strict=True):
        train = neo.SpikeTrain(
            times, units="ms", t_start=runs.t_start_ms, t_stop=runs.t_stop_ms, name=str(facts["cell"]), **facts, **key
        )
        segment.spiketrains.append(train)
    return segment
