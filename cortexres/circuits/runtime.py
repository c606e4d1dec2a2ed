"""Runs inside this process, on Brian2's numpy or cython target: no compiler needed, slower."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import numpy as np

from cortexres.circuits.brian import brian2
from cortexres.circuits.build import Built, build
from cortexres.circuits.connectivity import Connections
from cortexres.circuits.parameters import Values, circuit_values, synapse_pairs, synapse_values
from cortexres.circuits.run_parameters import frame_values, replay_values, run_values
from cortexres.circuits.runs import Activity, Run, Timing, noise_seed
from cortexres.circuits.samples import population_spikes, unit_samples
from cortexres.circuits.structure import Structure
from cortexres.circuits.structure_of import structure
from cortexres.definitions import Circuit
from cortexres.errors import CortexresError, SimulationError


def run_all(
    circuit: Circuit, connections: list[Connections], runs: list[Run], timing: Timing, *, target: str
) -> Iterator[tuple[Run, Activity]]:
    """Each run with its activity, one after the other.

    A network is built anew for each run: Brian2 2.9 does not restore spikes that are on their way.
    """
    made = structure(circuit, connections, runs, timing)
    for run in runs:
        with _codegen_target(target), _own_seed(noise_seed(run)), _interrupt_is_kept():
            try:
                activity = _run_one(made, circuit, connections, run, timing)
            except CortexresError:
                raise
            except Exception as error:  # Brian2 raises what its code generation, numpy or a compiler raises
                said = (str(error).strip() or type(error).__name__).splitlines()[-1]
                raise SimulationError(
                    f"a run of circuit {circuit.name!r} with target {target!r} failed: {said[:300]}; "
                    "check the target's needs (cython: a C++ compiler), or choose target='numpy'"
                ) from error
        yield run, activity


def _run_one(
    made: Structure, circuit: Circuit, connections: list[Connections], run: Run, timing: Timing
) -> Activity:
    pairs, frames = synapse_pairs(made, circuit, connections), frame_values(made, circuit, run)
    built = build(made, pairs, frames, replay_values(made, circuit, run))
    _set(built, circuit_values(made, circuit, timing) | synapse_values(made, circuit, connections))
    _set(built, run_values(made, circuit, run))
    built.network.run(timing.seconds(made.dt_ms) * brian2.second, namespace={})
    samples = {
        k: {name: np.asarray(getattr(monitor, f"{name}_")).T for name in made.groups[k].cells.recorded}
        for k, monitor in built.samples.items()
    }
    spikes = [(np.asarray(m.i[:]), np.asarray(m.t_[:])) for m in built.monitors]
    return Activity(population_spikes(made, circuit, spikes), unit_samples(made, samples))


def _set(built: Built, values: Values) -> None:
    """Set Brian2's variables by the names that a standalone binary takes on its command line."""
    objects = {part.name: part for part in built.network.objects}
    for name, value in values.items():
        owner, variable = name.split(".")
        # A delay belongs to the pathway of the synapses, which standalone mode calls by the name of the synapses.
        part = objects[owner].pre if variable == "delay" else objects[owner]
        part.variables[variable].set_value(value)


@contextmanager
def _codegen_target(target: str) -> Iterator[None]:
    """Brian2's target is a global preference: set it for one run and put it back."""
    before = brian2.prefs.codegen.target
    brian2.prefs.codegen.target = target
    try:
        yield
    finally:
        brian2.prefs.codegen.target = before


@contextmanager
def _own_seed(seed: int) -> Iterator[None]:
    """Brian2's runtime draws from numpy's global stream: seed it for one run and put the user's state back."""
    before = np.random.get_state()  # noqa: NPY002
    brian2.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


@contextmanager
def _interrupt_is_kept() -> Iterator[None]:
    """Raise KeyboardInterrupt at the end of a run if one was lost inside it.

    A Ctrl-C that falls into a callback of Python's garbage collection is printed and dropped; Brian2 has many.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread gets signals
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    pressed = threading.Event()

    def handler(number: int, frame: FrameType | None) -> None:
        pressed.set()
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed.is_set():
        raise KeyboardInterrupt
