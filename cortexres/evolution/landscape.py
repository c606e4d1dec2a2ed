"""How smooth the landscape is on which evolution climbs: fitness along a walk of single mutations."""

from __future__ import annotations

import numpy as np

from cortexres.errors import ArgumentError
from cortexres.evolution.linear_programs import Machine
from cortexres.evolution.problems import Problem
from cortexres.evolution.variation import change


def mutation_walks(
    task: Problem, machine: Machine, *, walks: int, steps: int, length: int, rng: int | np.random.Generator
) -> np.ndarray:
    """Return the fitness, ``1 / (1 + error)``, along random walks in the space of programs: (walk, steps + 1).

    Each walk starts at a random program; a step changes one number of one instruction, whatever becomes of the
    fitness. Random programs stay evenly distributed under such steps, so that the walks are stationary.

    Parameters
    ----------
    task, machine : Problem, Machine
        What gives the fitness; errors are in units of the target, of which the fitness falls to half at 1.
    walks, steps, length : int
        How many walks, mutations of each, and instructions of each program.
    rng : int or Generator
        Draws programs and mutations.

    Raises
    ------
    ArgumentError
        If there are no walks or no instructions, or steps is below 0.
    """
    if walks < 1 or length < 1 or steps < 0:
        raise ArgumentError(f"got walks={walks}, length={length}, steps={steps}, expected at least 1, 1 and 0")
    draw = np.random.default_rng(rng)
    programs = machine.random(walks, length, draw)
    instructions = programs.reshape(-1, 4)
    found = []
    for step in range(steps + 1):
        if step:
            change(instructions, np.arange(walks) * length + draw.integers(length, size=walks), machine, draw)
        found.append(1 / (1 + task.error(machine.run(programs, task.cases))))
    return np.stack(found, axis=1)


def autocorrelation(series: np.ndarray, lags: int) -> np.ndarray:
    """Return the correlation of stationary series (walk, step) with themselves `lag` steps on: (lags + 1,).

    Mean and variance are those of all walks and steps: they belong to the landscape. A landscape without structure has
    zero beyond lag 0. NaN where nothing varies.

    Raises
    ------
    ArgumentError
        If `lags` is below 0, or the series are no (walk, step) or no longer than `lags`.

    References
    ----------
    Weinberger (1990), Correlated and uncorrelated fitness landscapes and how to tell the difference,
    doi:10.1007/BF00202749
    """
    if lags < 0:
        raise ArgumentError(f"got lags={lags}, expected 0 or more steps")
    if series.ndim != 2 or not lags < series.shape[1]:
        raise ArgumentError(f"got series of shape {series.shape}, expected (walk, step) with more than {lags} steps")
    moved = series - series.mean()
    variance = (moved**2).mean()
    if not variance > 0:
        return np.full(lags + 1, np.nan)
    last = series.shape[1]
    return np.array([(moved[:, : last - lag] * moved[:, lag:]).mean() / variance for lag in range(lags + 1)])
