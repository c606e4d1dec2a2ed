"""Runs inside this process, on Brian2's numpy or cython target: no compiler needed, slower."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import numpy as np

from cortexres.circuits.brian import brian2
from cortexres.circuits.build import build
from cortexres.circuits.connectivity import Connections
from cortexres.circuits.runs import Run, Spikes, Timing, cell_drive, first_potentials, noise_seed
from cortexres.definitions import Circuit
from cortexres.errors import SimulationError


def run_all(
    circuit: Circuit, connections: list[Connections], runs: list[Run], timing: Timing, *, target: str
) -> Iterator[tuple[Run, Spikes]]:
    """Each run with its spikes, one after the other.

    A network is built anew for each run: Brian2 2.9 does not restore spikes that are on their way.
    """
    for run in runs:
        with _codegen_target(target), _own_seed(noise_seed(run)), _interrupt_is_kept():
            try:
                spikes = _run_one(circuit, connections, run, timing)
            except Exception as error:  # Brian2 raises what its code generation, numpy or a compiler raises
                said = (str(error).strip() or type(error).__name__).splitlines()[-1]
                raise SimulationError(
                    f"a run of circuit {circuit.name!r} with target {target!r} failed: {said[:300]}; "
                    "check the target's needs (cython: a C++ compiler), or choose target='numpy'"
                ) from error
        yield run, spikes


def _run_one(circuit: Circuit, connections: list[Connections], run: Run, timing: Timing) -> Spikes:
    built = build(circuit, connections, onset_ms=timing.settle_ms)
    drive, potentials = cell_drive(circuit, run), first_potentials(circuit, run)
    for name, group in built.groups.items():
        group.x = drive[name] * brian2.volt
        group.v = potentials[name] * brian2.volt
    built.network.run(timing.total_ms * brian2.ms, namespace={})
    dt = circuit.dt_ms * 1e-3
    return Spikes(
        cell={n: np.asarray(m.i[:], dtype=np.int64) for n, m in built.monitors.items()},
        step={n: np.rint(np.asarray(m.t[:] / brian2.second) / dt).astype(np.int64) for n, m in built.monitors.items()},
    )


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
