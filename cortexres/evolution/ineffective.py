"""Instructions that do nothing for the output: removed, the program computes the same."""

from __future__ import annotations

import numpy as np

from cortexres.evolution.linear_programs import OPERATION, SKIP, Machine


def removal_effects(programs: np.ndarray, machine: Machine, cases: np.ndarray) -> np.ndarray:
    """Return how far the output of programs (..., instruction, 4) moves when one instruction is left out.

    Returns
    -------
    ndarray of shape (..., instruction)
        The largest change of the output over the cases; infinite where the output was finite and no longer is, or the
        other way round; NaN where there is no instruction.
    """
    longest = programs.shape[-2]
    without = np.repeat(programs[..., None, :, :], longest, axis=-3)
    every = np.arange(longest)
    without[..., every, every, OPERATION] = SKIP
    whole = machine.run(programs, cases)[..., None, :]
    others = machine.run(without, cases)
    with np.errstate(invalid="ignore", over="ignore"):
        moved = np.abs(others - whole)
    same = (others == whole) | (np.isnan(others) & np.isnan(whole))
    moved = np.where(same, 0.0, np.where(np.isfinite(moved), moved, np.inf)).max(axis=-1)
    return np.where(programs[..., OPERATION] == SKIP, np.nan, moved)


def ineffective(programs: np.ndarray, machine: Machine, cases: np.ndarray, *, tolerance: float = 0.0) -> np.ndarray:
    """Return the share of instructions, for programs (..., instruction, 4), that can each be left out unnoticed.

    With hard assignment, what was written to a register is lost when it is written again. With soft assignment a share
    of it stays, so that only what comes after a register was last read has no effect.

    Parameters
    ----------
    programs : ndarray of shape (..., instruction, 4)
        The programs.
    machine : Machine
        What runs them.
    cases : ndarray of shape (input, case)
        Where the output is looked at.
    tolerance : float
        Largest change of the output that counts as none; at 0 it must be the same to the last bit.

    Returns
    -------
    ndarray of shape (...)
        From 0 to 1; NaN for an empty program.

    References
    ----------
    McPhee & Poli (2008), doi:10.1145/1389095.1389328
    """
    effects = removal_effects(programs, machine, cases)
    present = ~np.isnan(effects)
    count = present.sum(axis=-1)
    without = (present & (np.nan_to_num(effects, posinf=np.inf) <= tolerance)).sum(axis=-1)
    return np.where(count > 0, without / np.maximum(count, 1), np.nan)
