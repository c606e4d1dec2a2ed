"""New programs from old ones: two-point crossover of linear programs, and mutation of single numbers."""

from __future__ import annotations

import numpy as np

from cortexres.errors import ArgumentError
from cortexres.evolution.linear_programs import OPERATION, SKIP, Machine, lengths


def crossed(mothers: np.ndarray, fathers: np.ndarray, rng: int | np.random.Generator) -> np.ndarray:
    """Return children (program, instruction, 4): mothers with a stretch replaced by one of their father.

    Both stretches begin and end anywhere, so that lengths change; a father's stretch that would make the child too
    long for the array is cut short, and a child that would be empty is its mother.

    Raises
    ------
    ArgumentError
        If mothers and fathers differ in shape, or are not int8 arrays of shape (program, instruction, 4).
    """
    _check(mothers)
    _check(fathers)
    if mothers.shape != fathers.shape:
        raise ArgumentError(f"got mothers {mothers.shape} and fathers {fathers.shape}, expected one shape")
    count, longest = mothers.shape[:2]
    draw = np.random.default_rng(rng)
    from_mother, to_mother = _cuts(lengths(mothers), draw)
    from_father, to_father = _cuts(lengths(fathers), draw)
    kept = from_mother + lengths(mothers) - to_mother
    stretch = np.minimum(to_father - from_father, longest - kept)
    lost = kept + stretch == 0
    to_mother = np.where(lost, from_mother, to_mother)  # an empty child: nothing is cut from the mother
    end = (from_mother + stretch)[:, None]

    place = np.arange(longest, dtype=np.int32)
    of_father = (place >= from_mother[:, None]) & (place < end)
    source = np.where(place < end, place, place + (to_mother[:, None] - end))
    source = np.where(of_father, place + (from_father - from_mother)[:, None], source)
    beyond = source >= longest
    row = np.arange(count, dtype=np.int32)[:, None] + count * of_father.astype(np.int32)
    both = _whole(np.concatenate([mothers, fathers]))
    children: np.ndarray = both.take(row * longest + np.where(beyond, 0, source))[..., None].view(np.int8)
    children[beyond] = _skipped()
    return children


def mutated(programs: np.ndarray, machine: Machine, rate: float, rng: int | np.random.Generator) -> np.ndarray:
    """Return programs (..., instruction, 4) in which, at a rate per instruction, one of its numbers is another.

    Raises
    ------
    ArgumentError
        If the rate is not from 0 to 1.
    """
    if not 0 <= rate <= 1:
        raise ArgumentError(f"got rate={rate}, expected a probability per instruction")
    draw = np.random.default_rng(rng)
    children = programs.copy()
    flat = children.reshape(-1, 4)
    chosen = np.flatnonzero((draw.random(len(flat)) < rate) & (flat[:, OPERATION] != SKIP))
    change(flat, chosen, machine, draw)
    return children


def change(instructions: np.ndarray, chosen: np.ndarray, machine: Machine, rng: np.random.Generator) -> None:
    """Change one number of each chosen instruction, in place, to another that it can have.

    Parameters
    ----------
    instructions : ndarray of shape (instruction, 4)
        Of any programs.
    chosen : ndarray of int
        Which of them change. A number that can have one value only, such as the target of a machine with one
        register, is never the one.
    machine : Machine
        What says which values there are.
    rng : Generator
        Draws which number changes, and its value.
    """
    sizes = np.asarray(machine.sizes)
    field = rng.choice(np.flatnonzero(sizes > 1), size=len(chosen))
    size = sizes[field]
    shift = 1 + (rng.random(len(chosen)) * (size - 1)).astype(int)
    instructions[chosen, field] = (instructions[chosen, field] + shift) % size


def _cuts(length: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two places from 0 to each length, the lower first."""
    return np.sort(rng.integers(length + 1, size=(2, len(length)), dtype=np.int32), axis=0)


def _whole(programs: np.ndarray) -> np.ndarray:
    """Instructions (program, instruction) as one number each, which is faster to move than four."""
    return np.ascontiguousarray(programs).view(np.int32)[..., 0]


def _skipped() -> np.ndarray:
    return np.array([SKIP, 0, 0, 0], dtype=np.int8)


def _check(programs: np.ndarray) -> None:
    if programs.dtype != np.int8 or programs.ndim != 3 or programs.shape[-1] != 4:
        raise ArgumentError(
            f"got programs of shape {programs.shape} and type {programs.dtype}, expected int8 (program, instruction, 4)"
        )
