"""Recorded spikes in place of a population: which spikes each run replays, and what is then left to simulate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cortexres import provenance
from cortexres.circuits.binning import Bins
from cortexres.circuits.connectivity import Connections
from cortexres.circuits.runs import Recording
from cortexres.definitions import Circuit
from cortexres.definitions.models import NEURONS
from cortexres.errors import ArgumentError
from cortexres.schema import check_spikes

#: Of a Dataset of spikes, what is replayed.
COLUMNS = ("stimulus", "trial", "cell", "time")

# Times in a file may be single precision: 0.01 % of a step off after a second.
_OFF_STEPS = 0.01


def replayed(circuit: Circuit) -> list[str]:
    """The names of the populations that fire what was recorded."""
    return [p.name for p in circuit.populations if NEURONS[p.neuron].kind == "replay"]


def simulated_part(
    circuit: Circuit, connections: list[Connections]
) -> tuple[Circuit, list[Connections], frozenset[tuple[str, str]]]:
    """The circuit and its synapses without the input of replayed populations, and which (population, synapse) that is.

    Parameters
    ----------
    circuit : Circuit
        The whole one.
    connections : list of Connections
        Of each of its projections, drawn for the whole circuit because random streams go by place.
    """
    names = replayed(circuit)
    if not names:
        return circuit, connections, frozenset()
    kept = [(q, c) for q, c in zip(circuit.projections, connections, strict=True) if q.target not in names]
    simulated = replace(
        circuit,
        projections=tuple(q for q, _ in kept),
        backgrounds=tuple(b for b in circuit.backgrounds if b.target not in names),
    )
    ends = [(q.target, q.synapse) for q in circuit.projections] + [(b.target, b.synapse) for b in circuit.backgrounds]
    return simulated, [c for _, c in kept], frozenset(end for end in ends if end[0] in names)


def recordings(
    circuit: Circuit, replay: xr.Dataset | None, runs: Sequence[tuple[int, int]], bins: Bins
) -> dict[tuple[int, int], dict[str, Recording]]:
    """What each replayed population fires in each run: cells inside it and steps from the start of settling.

    Parameters
    ----------
    circuit : Circuit
        With populations of the model ``"replay"``, or none.
    replay : Dataset or None
        Spikes, as `cortexres.circuits.spikes` returns them; those after the end of a run are left out.
    runs : sequence of (stimulus, trial)
        What is simulated.
    bins : Bins
        The clock of a run.

    Raises
    ------
    ArgumentError
        If there is something to replay and no recording, or the other way round; if the recording lacks a run or a
        part of its time, has cells that the circuit does not have, times off the clock, or a cell that fires twice in
        one step.
    SchemaError
        If `replay` does not keep the schema of spikes.
    """
    names = replayed(circuit)
    if replay is None:
        if names:
            raise ArgumentError(
                f"circuit {circuit.name} replays {', '.join(names)}, and no recording is given; give "
                "replay=circuits.spikes(...) of the intact circuit"
            )
        return {run: {} for run in runs}
    if not names:
        raise ArgumentError(
            f"circuit {circuit.name} has no population that replays a recording; make one with perturb.replay"
        )
    columns = _columns(replay)
    _check_cells(circuit, replay, columns["cell"])
    _check_runs(replay, columns, runs)
    _check_covered(replay, bins, circuit.dt_ms)
    return {run: _one_run(circuit, names, columns, run, bins) for run in runs}


def _columns(replay: xr.Dataset) -> dict[str, NDArray[np.float64]]:
    check_spikes(replay)
    if "cell" not in replay.variables:
        raise ArgumentError("the recording to replay has no variable cell, expected the cell of every spike")
    return {name: np.asarray(replay[name].values) for name in COLUMNS}


def _check_cells(circuit: Circuit, replay: xr.Dataset, cell: NDArray[np.float64]) -> None:
    cells = sum(p.cells for p in circuit.populations)
    if int(replay.attrs.get("cells", cells)) != cells:
        raise ArgumentError(
            f"the recording to replay is of {replay.attrs['cells']} cells, and circuit {circuit.name} has {cells}; "
            "record a circuit with the same populations"
        )
    if len(cell) and not (cell.min() >= 0 and cell.max() < cells):
        raise ArgumentError(
            f"the recording to replay has cells {cell.min()} to {cell.max()}, expected 0 to {cells - 1}, counted over "
            f"all populations of circuit {circuit.name}"
        )


def _check_runs(
    replay: xr.Dataset, columns: dict[str, NDArray[np.float64]], runs: Sequence[tuple[int, int]]
) -> None:
    """A run of which the recording knows nothing is missing; one without a spike may still be said to be there."""
    found = set(zip(columns["stimulus"].tolist(), columns["trial"].tolist(), strict=True))
    found |= _said(replay)
    missing = [run for run in runs if run not in found]
    if missing:
        raise ArgumentError(
            f"the recording to replay has no spikes of stimulus {missing[0][0]}, trial {missing[0][1]} ({len(missing)} "
            f"of {len(runs)} runs are missing); record the same stimuli and at least as many trials"
        )


def _said(replay: xr.Dataset) -> set[tuple[int, int]]:
    """The runs that a recording of this package names in its provenance."""
    facts = provenance.read(str(replay.attrs.get("cortexres_provenance", ""))) or {}
    stimuli, trials = facts.get("stimuli"), facts.get("trials")
    ids = stimuli.get("ids") if isinstance(stimuli, dict) else None
    if not isinstance(ids, list) or not isinstance(trials, int):
        return set()
    return {(s, t) for s in ids if isinstance(s, int) for t in range(min(trials, 100_000))}


def _check_covered(replay: xr.Dataset, bins: Bins, dt_ms: float) -> None:
    """Cells would be silent, unnoticed, in a time that was not recorded."""
    first, last = -bins.first_step * dt_ms, (bins.n_steps - bins.first_step) * dt_ms
    start, stop = (float(replay.attrs.get(name, t)) for name, t in (("t_start_ms", first), ("t_stop_ms", last)))
    if start > first + dt_ms / 2 or stop < last - dt_ms / 2:
        raise ArgumentError(
            f"the recording to replay covers {start:g} to {stop:g} ms, expected {first:g} to {last:g} ms; record with "
            "the same settle_ms, and the same duration_ms or longer"
        )


def _one_run(
    circuit: Circuit, names: list[str], columns: dict[str, NDArray[np.float64]], run: tuple[int, int], bins: Bins
) -> dict[str, Recording]:
    own = (columns["stimulus"] == run[0]) & (columns["trial"] == run[1])
    cell, time = columns["cell"][own].astype(np.int64), columns["time"][own].astype(np.float64)
    found, first = {}, 0
    for p in circuit.populations:
        if p.name in names:
            inside = (cell >= first) & (cell < first + p.cells)
            found[p.name] = _steps(p.name, cell[inside] - first, time[inside], circuit.dt_ms, bins)
        first += p.cells
    return found


def _steps(
    name: str, cell: NDArray[np.int64], time_ms: NDArray[np.float64], dt_ms: float, bins: Bins
) -> Recording:
    steps = np.rint(time_ms / dt_ms)
    off = np.abs(time_ms / dt_ms - steps) > _OFF_STEPS
    if off.any():
        raise ArgumentError(
            f"the recording of {name} has a spike at {time_ms[off][0]:g} ms, expected multiples of dt = {dt_ms:g} ms; "
            "record with the same dt, or round the times"
        )
    step = steps.astype(np.int64) + bins.first_step
    if len(step) and step.min() < 0:
        raise ArgumentError(
            f"the recording of {name} has a spike at {time_ms.min():g} ms, expected none before the start of settling "
            f"at {-bins.first_step * dt_ms:g} ms; set settle_ms to that of the recording, or leave earlier spikes out"
        )
    inside = step < bins.n_steps
    cell, step = cell[inside], step[inside]
    if len(np.unique(cell * bins.n_steps + step)) < len(cell):
        raise ArgumentError(f"the recording of {name} has a cell that fires twice in one step; leave one spike out")
    return cell, step
