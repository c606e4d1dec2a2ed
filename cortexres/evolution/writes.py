"""Whether a program approaches its target step by step: the error of the output register after each time it is written.

The same question of a residual network is how well each block can be read out (`cortexres.diagnostics.early_readout`).
"""

from __future__ import annotations

import numpy as np

from cortexres.errors import ArgumentError
from cortexres.evolution.linear_programs import OPERATION, SKIP, TARGET, Machine
from cortexres.evolution.problems import Problem


def errors_of_writes(programs: np.ndarray, machine: Machine, task: Problem, *, last: int) -> np.ndarray:
    """Return the errors of register 0 after each of the last times that it was written: (program, last).

    The last column is the error of the program; NaN where it was written less often.

    Parameters
    ----------
    programs : ndarray of shape (program, instruction, 4)
        The programs.
    machine, task : Machine, Problem
        What runs them, and what gives the error, in units of its target.
    last : int
        How many writes are looked at.

    Raises
    ------
    ArgumentError
        If `last` is below 1, or the programs are not (program, instruction, 4).
    """
    if last < 1 or programs.ndim != 3:
        raise ArgumentError(
            f"got last={last} and programs of shape {programs.shape}, expected 1 or more writes and "
            "(program, instruction, 4)"
        )
    errors = task.error(machine.states(programs, task.cases)[:, 1:, 0])
    written = (programs[..., TARGET] == 0) & (programs[..., OPERATION] != SKIP)
    found = np.full((len(programs), last), np.nan)
    for row, along, where in zip(found, errors, written, strict=True):
        kept = along[where][-last:]
        row[last - len(kept) :] = kept
    return found
