"""simulate(circuit, stimuli) -> brain Dataset: rates of every unit, and the inputs that they are made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cortexres import schema
from cortexres.circuits import rates
from cortexres.circuits.binning import bin_spikes
from cortexres.circuits.inputs import Inputs
from cortexres.circuits.plan import Plan, Random, plan
from cortexres.circuits.runs import Run, Spikes
from cortexres.definitions import Circuit, first_units, unit_coordinates
from cortexres.definitions.models import NEURONS
from cortexres.errors import ArgumentError

_VARIABLES = ("response", "feedforward", "recurrent_excitatory", "recurrent_inhibitory")


def simulate(
    circuit: Circuit,
    stimuli: xr.Dataset | None = None,
    *,
    trials: int = 20,
    duration_ms: float = 200.0,
    bin_ms: float = 5.0,
    settle_ms: float = 150.0,
    rng: Random = None,
    connectivity_rng: Random = None,
    target: str = "auto",
    jobs: int | None = None,
    progress: bool = True,
    replay: xr.Dataset | None = None,
) -> xr.Dataset:
    """The circuit's response to every stimulus, trial by trial.

    Parameters
    ----------
    circuit : Circuit
        What to simulate.
    stimuli : Dataset or None
        Images or moving images, which the circuit's front end turns into drive; drives (see
        `cortexres.stimuli.drives`); or None for one blank stimulus, spontaneous activity. On from time 0.
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
        there is a compiler, numpy otherwise. Targets agree in statistics, not in single spikes. Circuits that differ in
        numbers alone share a compilation. Circuits of rates are always integrated by numpy.
    jobs : int or None
        Binaries that run at once; by default one per core.
    progress : bool
        Show a progress bar.
    replay : Dataset or None
        What the populations of `cortexres.circuits.perturb.replay` fire: spikes as `spikes` returns them, of a circuit
        with as many cells. Run (stimulus id, trial) replays the spikes of the same stimulus id and trial; give them
        another stimulus id to replay them under another stimulus. Where nothing else is driven, ids are all that
        counts of `stimuli`.

    Returns
    -------
    Dataset (`stimulus`, `trial`, `time`, `unit`)
        `response` in Hz; `feedforward`, `recurrent_excitatory` and `recurrent_inhibitory` in mV of mean depolarisation,
        in circuits of rates in the unit of the model.

        The components are what arrives at the cells, not what moves them: input that arrives while a cell is refractory
        counts, also that of delta synapses, which is lost on the cell. Input to the soma and to the dendrite of a cell
        is added, each as depolarisation of its own compartment. What conductances let through is sampled every
        millisecond or more often; currents are known at every step. Constant input, noise and the Poisson background
        that is there without a stimulus are in none; what a stimulus adds to a background is feedforward (through
        currents as its mean).

    Raises
    ------
    SchemaError
        If `stimuli` does not keep the schema.
    ArgumentError
        If a number is out of range, the times do not fit together, the circuit takes no such stimuli, or `replay` is
        not what the circuit needs.
    SimulationError
        If the circuit does not compile or a run fails.
    """
    whole = plan(
        circuit,
        stimuli,
        trials=trials,
        duration_ms=duration_ms,
        bin_ms=bin_ms,
        settle_ms=settle_ms,
        rng=rng,
        connectivity_rng=connectivity_rng,
        target=target,
        jobs=jobs,
        replay=replay,
    )
    coordinates = unit_coordinates(circuit)
    shape = (len(whole.stimuli.ids), trials, whole.bins.count, len(coordinates["name"]))
    values = {name: np.zeros(shape) for name in _VARIABLES}
    found = _rates(whole, progress=progress) if circuit.is_rate else _spiking(whole, progress=progress)
    for k, run in enumerate(found):
        for name, array in run.items():
            values[name][divmod(k, trials)] = array
    return schema.check_brain(_dataset(values, coordinates, whole))


def spikes(
    circuit: Circuit,
    stimuli: xr.Dataset | None = None,
    *,
    trials: int = 20,
    duration_ms: float = 200.0,
    bin_ms: float = 5.0,
    settle_ms: float = 150.0,
    rng: Random = None,
    connectivity_rng: Random = None,
    target: str = "auto",
    jobs: int | None = None,
    progress: bool = True,
    replay: xr.Dataset | None = None,
) -> xr.Dataset:
    """Every single spike after (and, at negative times, before) stimulus onset; arguments and errors as in `simulate`.

    The same seeds give the spikes that `simulate` counted.

    Returns
    -------
    Dataset (`spike`,)
        `time` in ms from stimulus onset, `cell` (index over the whole circuit, population by population), `unit`,
        `trial` and `stimulus`; attributes `cells` (how many there are), `t_start_ms` and `t_stop_ms` (what was
        observed).

    Raises
    ------
    ArgumentError
        Also where the circuit is one of rates.
    """
    if circuit.is_rate:
        raise ArgumentError(f"circuit {circuit.name} is one of rates and has no spikes; call simulate")
    whole = plan(
        circuit,
        stimuli,
        trials=trials,
        duration_ms=duration_ms,
        bin_ms=bin_ms,
        settle_ms=settle_ms,
        rng=rng,
        connectivity_rng=connectivity_rng,
        target=target,
        jobs=jobs,
        replay=replay,
    )
    tables = [_spike_table(circuit, run, done.spikes, whole) for run, done in whole.activity(progress=progress)]
    columns = {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}
    dataset = xr.Dataset({name: ("spike", values) for name, values in columns.items()})
    dataset["time"].attrs["units"] = "ms"
    dataset.attrs = {
        **whole.attributes("circuits.spikes"),
        "cells": sum(p.cells for p in circuit.populations),
        "t_start_ms": -settle_ms,
        "t_stop_ms": duration_ms,
    }
    return schema.check_spikes(dataset)


def _spiking(whole: Plan, *, progress: bool) -> Iterator[dict[str, NDArray[np.float64]]]:
    """The binned variables of every run of spiking cells."""
    inputs = Inputs(whole.simulated, whole.connections, whole.bins)
    for run, activity in whole.activity(progress=progress):
        response = bin_spikes(activity.spikes, whole.circuit, whole.bins)
        yield {"response": response, **inputs.components(run, activity)}


def _rates(whole: Plan, *, progress: bool) -> Iterator[dict[str, NDArray[np.float64]]]:
    """The binned variables of every run of rates."""
    done = rates.run_all(whole.circuit, whole.runs, whole.timing)
    for _, activity in whole.shown(done, progress=progress):
        yield {name: whole.bins.average(array) for name, array in zip(_VARIABLES, activity, strict=True)}


def _dataset(
    values: dict[str, NDArray[np.float64]], coordinates: dict[str, NDArray[Any]], whole: Plan
) -> xr.Dataset:
    dims = ("stimulus", "trial", "time", "unit")
    inputs = NEURONS[whole.circuit.populations[0].neuron].unit if whole.circuit.is_rate else "mV"
    dataset = xr.Dataset(
        {name: (dims, array, {"units": "Hz" if name == "response" else inputs}) for name, array in values.items()},
        coords={
            "stimulus": whole.stimuli.ids,
            "trial": np.arange(whole.trials),
            "time": ("time", whole.bins.centres_ms(), {"units": "ms", "bin_ms": whole.bins.bin_ms}),
            "unit": np.arange(len(coordinates["name"])),
            "label": ("stimulus", whole.stimuli.labels),
            **{name: ("unit", labels) for name, labels in coordinates.items()},
        },
    )
    if any(p.neuron == "linear" for p in whole.circuit.populations):
        dataset["response"].attrs["relative_to"] = "baseline"  # from which linear rates are counted, up and down
    dataset.attrs = whole.attributes("circuits.simulate")
    return dataset


def _spike_table(circuit: Circuit, run: Run, found: Spikes, whole: Plan) -> dict[str, NDArray[Any]]:
    cells, units, steps, first_cell, first_unit = [], [], [], 0, first_units(circuit)
    for p in circuit.populations:
        cells.append(found.cell[p.name] + first_cell)
        units.append(found.cell[p.name] // p.size + first_unit[p.name])
        steps.append(found.step[p.name])
        first_cell += p.cells
    step = np.concatenate(steps)
    order = np.argsort(step, kind="stable")
    return {
        "time": (step[order] - whole.bins.first_step) * circuit.dt_ms,
        "cell": np.concatenate(cells)[order],
        "unit": np.concatenate(units)[order],
        "trial": np.full(step.size, run.trial),
        "stimulus": np.full(step.size, run.stimulus),
    }
