"""simulate(circuit, stimuli) -> brain Dataset: rates of every unit, and the inputs that they are made of."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from tqdm.auto import tqdm

from cortexres import schema
from cortexres.circuits import engines
from cortexres.circuits.binning import Bins, bin_spikes
from cortexres.circuits.components import current_paths, synaptic_currents
from cortexres.circuits.connectivity import Connections, draw
from cortexres.circuits.runs import Run, Spikes, Timing
from cortexres.definitions import Circuit, to_json, unit_coordinates, unit_drive
from cortexres.errors import ArgumentError
from cortexres.front_ends import drive as front_end_drive
from cortexres.provenance import provenance

_COMPONENTS = ("feedforward", "recurrent_excitatory", "recurrent_inhibitory")


class _Plan(NamedTuple):
    """All that a simulation needs, decided before it starts."""

    circuit: Circuit
    connections: list[Connections]
    runs: list[Run]
    timing: Timing
    bins: Bins
    target: str
    jobs: int
    entropy: dict[str, str]
    stimuli: dict[str, object]

    def spikes(self, *, progress: bool) -> Iterator[tuple[Run, Spikes]]:
        """Every run with its spikes, with a progress bar."""
        done = engines.run_all(
            self.circuit, self.connections, self.runs, self.timing, target=self.target, jobs=self.jobs
        )
        return iter(
            tqdm(
                done,
                total=len(self.runs),
                desc=f"simulate {self.circuit.name}",
                unit="run",
                disable=not progress,
            )
        )


def simulate(
    circuit: Circuit,
    stimuli: xr.Dataset,
    *,
    trials: int = 20,
    duration_ms: float = 200.0,
    bin_ms: float = 5.0,
    settle_ms: float = 150.0,
    rng: int | np.random.Generator | None = None,
    connectivity_rng: int | np.random.Generator | None = None,
    target: str = "auto",
    jobs: int | None = None,
    progress: bool = True,
) -> xr.Dataset:
    """The circuit's response to every stimulus, trial by trial.

    Parameters
    ----------
    circuit : Circuit
        What to simulate.
    stimuli : Dataset (`stimulus`, `y`, `x`)
        Images; the circuit's front end turns each into mean input per assembly, switched on at time 0.
    trials : int
        Repeats of each stimulus, with independent noise and starting potentials and the same synapses.
    duration_ms, bin_ms, settle_ms : float
        Length of the stimulus, of a time bin, and of the time before the stimulus, which is not returned.
    rng : int, Generator or None
        Seed of everything random. Run (stimulus id, trial) has a stream of its own: it is the same run whichever other
        stimuli are simulated with it.
    connectivity_rng : int, Generator or None
        Seed of the synapses alone; drawn from `rng` by default.
    target : str
        ``"cpp_standalone"`` (compiled once, run many times), ``"cython"``, ``"numpy"``, or ``"auto"``: compiled where
        there is a compiler, numpy otherwise. Targets agree in statistics, not in single spikes.
    jobs : int or None
        Binaries that run at once; by default one per core.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Dataset (`stimulus`, `trial`, `time`, `unit`)
        `response` in Hz; `feedforward`, `recurrent_excitatory` and `recurrent_inhibitory` in mV of mean depolarisation.

    Raises
    ------
    SchemaError
        If `stimuli` does not keep the schema.
    ArgumentError
        If a number is out of range or the times do not fit together.
    SimulationError
        If the circuit does not compile or a run fails.
    """
    plan = _plan(circuit, stimuli, trials, Timing(settle_ms, duration_ms), bin_ms, rng, connectivity_rng, target, jobs)
    coordinates = unit_coordinates(circuit)
    n_units, paths = len(coordinates["name"]), current_paths(circuit, plan.connections)
    shape = (stimuli.sizes["stimulus"], trials, plan.bins.count, n_units)
    values = {name: np.zeros(shape) for name in ("response", *_COMPONENTS)}
    for k, (run, spikes) in enumerate(plan.spikes(progress=progress)):
        place = divmod(k, trials)
        currents = synaptic_currents(paths, spikes, n_units=n_units, n_steps=plan.bins.n_steps, dt_ms=circuit.dt_ms)
        values["response"][place] = bin_spikes(spikes, circuit, plan.bins)
        values["feedforward"][place] = unit_drive(circuit, run.drive_mV)
        values["recurrent_excitatory"][place], values["recurrent_inhibitory"][place] = plan.bins.average(currents)
    return schema.check_brain(_dataset(values, stimuli, coordinates, plan))


def spikes(
    circuit: Circuit,
    stimuli: xr.Dataset,
    *,
    trials: int = 20,
    duration_ms: float = 200.0,
    bin_ms: float = 5.0,
    settle_ms: float = 150.0,
    rng: int | np.random.Generator | None = None,
    connectivity_rng: int | np.random.Generator | None = None,
    target: str = "auto",
    jobs: int | None = None,
    progress: bool = True,
) -> xr.Dataset:
    """Every single spike after (and, at negative times, before) stimulus onset; arguments and errors as in `simulate`.

    The same seeds give the spikes that `simulate` counted.

    Returns
    -------
    Dataset (`spike`,)
        `time` in ms from stimulus onset, `cell` (index over the whole circuit, population by population), `unit`,
        `trial` and `stimulus`.
    """
    plan = _plan(circuit, stimuli, trials, Timing(settle_ms, duration_ms), bin_ms, rng, connectivity_rng, target, jobs)
    tables = [_spike_table(circuit, run, found, plan) for run, found in plan.spikes(progress=progress)]
    columns = {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}
    dataset = xr.Dataset({name: ("spike", values) for name, values in columns.items()})
    dataset["time"].attrs["units"] = "ms"
    dataset.attrs = _attributes(plan)
    return schema.check_spikes(dataset)


def _plan(
    circuit: Circuit,
    stimuli: xr.Dataset,
    trials: int,
    timing: Timing,
    bin_ms: float,
    rng: int | np.random.Generator | None,
    connectivity_rng: int | np.random.Generator | None,
    target: str,
    jobs: int | None,
) -> _Plan:
    schema.check_stimuli(stimuli)
    if trials < 1:
        raise ArgumentError(f"trials is {trials}, expected at least 1")
    if jobs is not None and jobs < 1:
        raise ArgumentError(f"jobs is {jobs}, expected at least 1, or None for one per core")
    bins = Bins(settle_ms=timing.settle_ms, duration_ms=timing.duration_ms, bin_ms=bin_ms, dt_ms=circuit.dt_ms)
    generator = np.random.default_rng(rng)
    noise, synapses = (int(n) for n in generator.integers(2**62, size=2))
    if connectivity_rng is not None:
        synapses = int(np.random.default_rng(connectivity_rng).integers(2**62))
    drives = front_end_drive(stimuli, circuit.drive.front_end)
    runs = [
        Run(int(s), t, np.random.SeedSequence(noise, spawn_key=(int(s), t)), drives.values[k])
        for k, s in enumerate(stimuli["stimulus"].values)
        for t in range(trials)
    ]
    return _Plan(
        circuit=circuit,
        connections=draw(circuit, np.random.SeedSequence(synapses)),
        runs=runs,
        timing=timing,
        bins=bins,
        target=engines.choose(target),
        jobs=jobs or _cores(),
        entropy={"noise": str(noise), "synapses": str(synapses)},
        stimuli={
            "ids": stimuli["stimulus"].values.tolist(),
            "sha256": hashlib.sha256(stimuli["image"].values.tobytes()).hexdigest(),
            **{str(k): str(v) for k, v in stimuli.attrs.items()},
        },
    )


def _cores() -> int:
    """The cores this process may use, which on a cluster are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _dataset(
    values: dict[str, NDArray[np.float64]],
    stimuli: xr.Dataset,
    coordinates: dict[str, NDArray[Any]],
    plan: _Plan,
) -> xr.Dataset:
    dims = ("stimulus", "trial", "time", "unit")
    trials = values["response"].shape[1]
    dataset = xr.Dataset(
        {name: (dims, array, {"units": "Hz" if name == "response" else "mV"}) for name, array in values.items()},
        coords={
            "stimulus": stimuli["stimulus"].values,
            "trial": np.arange(trials),
            "time": ("time", plan.bins.centres_ms(), {"units": "ms", "bin_ms": plan.bins.bin_ms}),
            "unit": np.arange(len(coordinates["name"])),
            "label": ("stimulus", stimuli["label"].values),
            **{name: ("unit", labels) for name, labels in coordinates.items()},
        },
    )
    dataset.attrs = _attributes(plan)
    return dataset


def _attributes(plan: _Plan) -> dict[str, str]:
    return {
        "model": plan.circuit.name,
        "cortexres_provenance": provenance(
            made_by="circuits.simulate",
            circuit=json.loads(to_json(plan.circuit)),
            entropy=plan.entropy,
            stimuli=plan.stimuli,
            trials=len({run.trial for run in plan.runs}),
            bin_ms=plan.bins.bin_ms,
            settle_ms=plan.timing.settle_ms,
            duration_ms=plan.timing.duration_ms,
            target=plan.target,
        ),
    }


def _spike_table(circuit: Circuit, run: Run, found: Spikes, plan: _Plan) -> dict[str, NDArray[Any]]:
    cells, units, steps, first_cell, first_unit = [], [], [], 0, 0
    for p in circuit.populations:
        cells.append(found.cell[p.name] + first_cell)
        units.append(found.cell[p.name] // p.size + first_unit)
        steps.append(found.step[p.name])
        first_cell, first_unit = first_cell + p.size * p.assemblies, first_unit + p.assemblies
    step = np.concatenate(steps)
    order = np.argsort(step, kind="stable")
    return {
        "time": (step[order] - plan.bins.first_step) * circuit.dt_ms,
        "cell": np.concatenate(cells)[order],
        "unit": np.concatenate(units)[order],
        "trial": np.full(step.size, run.trial),
        "stimulus": np.full(step.size, run.stimulus),
    }
