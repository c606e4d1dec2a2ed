"""Rate circuits in time: all units, and as many runs as fit into memory, at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby, islice
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import lfilter

from cortexres.circuits.runs import Run, Timing
from cortexres.definitions import Circuit, driven_units, unit_drive
from cortexres.errors import SimulationError
from cortexres.rate_equations import RateEquations, rate_equations

Array = NDArray[np.float64]

#: Bytes of states, noise and components that are kept at once; more runs than fit are integrated one after the other.
BATCH_BYTES = 2**28
_ARRAYS_KEPT = 8  # of one number per step and unit each


class RateActivity(NamedTuple):
    """One run: rates in Hz and input components in the model's unit, each (step, `unit`), from the start of settling.

    Row k holds the values at the start of step k.
    """

    response: Array
    feedforward: Array
    excitatory: Array
    inhibitory: Array


def run_all(circuit: Circuit, runs: Sequence[Run], timing: Timing) -> Iterator[tuple[Run, RateActivity]]:
    """Every run with its activity, in the order of `runs`.

    Trials of one stimulus are the same run where the circuit has no noise; those are integrated once.

    Parameters
    ----------
    circuit : Circuit
        Of rates; integrated by its `method` (``"rk4"`` or ``"euler"``) with its `dt_ms`. The noise is an exact
        Ornstein-Uhlenbeck process at the steps, held over each of them.
    runs : sequence of Run
        Trials of one stimulus stand together.
    timing : Timing
        How long a run settles from the circuit's starting state, and lasts.

    Raises
    ------
    DefinitionError
        If the circuit is not one of rates.
    SimulationError
        If a rate grows beyond all numbers.
    """
    equations = rate_equations(circuit)
    steps = round(timing.total_ms / circuit.dt_ms)
    size = max(1, int(BATCH_BYTES / (8.0 * _ARRAYS_KEPT * max(steps, 1) * len(equations.tau_ms))))
    noisy = bool(np.any(equations.noise > 0))
    groups = (list(group) for _, group in groupby(runs, key=lambda run: (run.stimulus, run.trial if noisy else 0)))
    while batch := list(islice(groups, size)):
        activities = _integrate_batch(circuit, equations, [same[0] for same in batch], timing, steps)
        for same, activity in zip(batch, activities, strict=True):
            for run in same:
                yield run, activity


def _integrate_batch(
    circuit: Circuit, equations: RateEquations, runs: list[Run], timing: Timing, steps: int
) -> Iterator[RateActivity]:
    frames, frame_of = unit_frames(circuit, equations, runs, timing, steps)
    streams = [np.random.default_rng(run.seed) for run in runs]
    noise = np.stack([ou_noise(equations, steps, circuit.dt_ms, rng) for rng in streams], axis=1)
    with np.errstate(over="ignore", invalid="ignore"):
        states = integrate(equations, frames, frame_of, noise, dt_ms=circuit.dt_ms, method=circuit.method)
    _check_finite(circuit, states)
    for k in range(len(runs)):
        drive = frames[k, frame_of]
        parts = equations.components(states[:, k], drive)
        yield RateActivity(equations.rates(states[:, k], drive + noise[:, k]), *parts)


def trajectory(
    circuit: Circuit,
    *,
    duration_ms: float,
    drive: ArrayLike = 0.0,
    frame_ms: float = 1.0,
    start: ArrayLike | None = None,
) -> RateActivity:
    """One run without noise from a given state: rates and components at the start of every step, and at the end.

    Parameters
    ----------
    circuit : Circuit
        Of rates.
    duration_ms : float
        How long to integrate.
    drive : array_like (frame, channel), (channel,) or float
        Drive from time 0 on, in the unit of the circuit's drive; constant where it has no frames.
    frame_ms : float
        Duration of a frame; the last one holds.
    start : array_like (`unit`,) or None
        State at time 0; by default the circuit's own.

    Raises
    ------
    DefinitionError
        If the circuit is not one of rates.
    SimulationError
        If a rate grows beyond all numbers.
    """
    equations = rate_equations(circuit)
    if start is not None:
        equations = replace(equations, start=np.asarray(start, dtype=np.float64))
    channels = driven_units(circuit).shape[1]
    given = np.asarray(drive, dtype=np.float64)
    frames = given if given.ndim == 2 else np.broadcast_to(given, (1, channels))
    run = Run(stimulus=0, trial=0, seed=np.random.SeedSequence(0), drive=frames, frame_ms=frame_ms)
    quiet = replace(equations, noise=np.zeros_like(equations.noise))
    steps = round(duration_ms / circuit.dt_ms) + 1
    return next(_integrate_batch(circuit, quiet, [run], Timing(0.0, duration_ms), steps))


def unit_frames(
    circuit: Circuit, equations: RateEquations, runs: list[Run], timing: Timing, steps: int
) -> tuple[Array, NDArray[np.intp]]:
    """The drive of every unit in units of input, (run, frame, `unit`), and the frame of every step; frame 0 is none."""
    channels = np.stack([np.concatenate([np.zeros_like(run.drive[:1]), run.drive]) for run in runs])
    frames = unit_drive(circuit, channels) * equations.drive_scale
    first = round(timing.settle_ms / circuit.dt_ms)
    since_onset = np.arange(steps) - first
    per_frame = max(round(runs[0].frame_ms / circuit.dt_ms), 1)
    frame_of = np.where(since_onset < 0, 0, np.minimum(since_onset // per_frame, channels.shape[1] - 2) + 1)
    return frames, frame_of.astype(np.intp)


def ou_noise(equations: RateEquations, steps: int, dt_ms: float, rng: np.random.Generator) -> Array:
    """Ornstein-Uhlenbeck noise of every unit at every step, (step, `unit`), stationary from the first step on.

    References
    ----------
    Gillespie (1996), doi:10.1103/PhysRevE.54.2084: the update is exact for any step.
    """
    noise = np.zeros((steps, len(equations.noise)))
    for unit in np.flatnonzero(equations.noise > 0):
        decay = float(np.exp(-dt_ms / equations.noise_tau_ms[unit]))
        kicks = rng.standard_normal(steps) * np.sqrt(1.0 - decay**2)
        kicks[0] /= np.sqrt(1.0 - decay**2)
        noise[:, unit] = equations.noise[unit] * lfilter([1.0], [1.0, -decay], kicks)
    return noise


def integrate(
    equations: RateEquations, frames: Array, frame_of: NDArray[np.intp], noise: Array, *, dt_ms: float, method: str
) -> Array:
    """The states of all runs at the start of every step, (step, run, `unit`).

    Parameters
    ----------
    equations : RateEquations
        What to integrate.
    frames, frame_of
        From `unit_frames`.
    noise : array (step, run, `unit`)
        In units of input.
    dt_ms : float
        Step.
    method : str
        ``"rk4"`` or ``"euler"``.
    """
    weights, states = equations.weights, np.empty(noise.shape)
    state = np.broadcast_to(equations.start, noise.shape[1:]).copy()

    def slope(y: Array, external: Array) -> Array:
        return equations.derivative(y, external, weights)

    for k, frame in enumerate(frame_of):
        states[k] = state
        external = frames[:, frame] + noise[k]
        one = slope(state, external)
        if method == "euler":
            state = state + dt_ms * one
            continue
        two = slope(state + 0.5 * dt_ms * one, external)
        three = slope(state + 0.5 * dt_ms * two, external)
        four = slope(state + dt_ms * three, external)
        state = state + dt_ms / 6.0 * (one + 2.0 * two + 2.0 * three + four)
    return states


def _check_finite(circuit: Circuit, states: Array) -> None:
    bad = ~np.isfinite(states).all(axis=(1, 2))
    if bad.any():
        raise SimulationError(
            f"the rates of circuit {circuit.name} grow beyond all numbers {int(np.argmax(bad)) * circuit.dt_ms:g} ms"
            " after the start; give it weaker recurrent excitation, a weaker drive or a smaller dt"
        )
