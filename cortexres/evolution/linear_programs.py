"""Linear programs: lists of instructions on registers, run for many programs and many fitness cases at once.

A program is an array (instruction, 4) of int8; the last dim is `OPERATION`, `TARGET`, `LEFT`, `RIGHT`. Many programs
are one array (..., instruction, 4). Shorter ones end in instructions whose operation is `SKIP`, which do nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from cortexres.errors import ArgumentError
from cortexres.evolution.assignment import assigned, check_gamma

OPERATION, TARGET, LEFT, RIGHT = range(4)
SKIP = -1
AT_ONCE = 2000  # programs; their registers then stay in the cache

Operation = Callable[[np.ndarray, np.ndarray], np.ndarray]


def divide(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return left / right, and 1 where right is 0: the protected division that is most common in genetic programming.

    References
    ----------
    Sprogar (2008), A study of GP's division operators for symbolic regression, doi:10.1109/ICMLA.2008.84
    """
    quotient = np.ones_like(left)
    np.divide(left, right, out=quotient, where=right != 0)
    return quotient


OPERATIONS: tuple[Operation, ...] = (np.add, np.subtract, np.multiply, divide)
SIGNS = ("+", "-", "*", "/")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What runs linear programs: ``r[target] <- r[left] operation r[right]``, softly where `gamma` is below 1.

    The sources of an instruction are the registers, then the inputs, which cannot be written. Before the first
    instruction the registers hold the inputs, one after the other and again from the first. After the last one,
    register 0 is the output.

    Parameters
    ----------
    registers : int
        How many can be written.
    inputs : int
        Number of variables.
    gamma : float
        Share of the result in what the register holds afterwards; 1 is hard assignment.

    Raises
    ------
    ArgumentError
        If a number is below 1, there are more than 127 sources, or gamma is not above 0 and at most 1.

    References
    ----------
    McPhee & Poli (2008), doi:10.1145/1389095.1389328; Brameier & Banzhaf (2007), Linear Genetic Programming,
    doi:10.1007/978-0-387-31030-5
    """

    registers: int = 4
    inputs: int = 1
    gamma: float = 1.0

    def __post_init__(self) -> None:
        check_gamma(self.gamma)
        if self.registers < 1 or self.inputs < 1 or self.sources > np.iinfo(np.int8).max:
            raise ArgumentError(
                f"got registers={self.registers} and inputs={self.inputs}, expected 1 or more of each, and at most 127 "
                "together"
            )

    @property
    def sources(self) -> int:
        """Return what an instruction can read: registers, then inputs."""
        return self.registers + self.inputs

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Return how many values each of the four numbers of an instruction can have."""
        return len(OPERATIONS), self.registers, self.sources, self.sources

    def run(self, programs: np.ndarray, cases: np.ndarray) -> np.ndarray:
        """Return what programs (..., instruction, 4) give for cases (input, case): (..., case).

        Values that are too large for a number are infinite or not a number.

        Raises
        ------
        ArgumentError
            If the programs or the cases have another shape or are no numbers (programs: integers), or an instruction
            names what is not there.
        """
        flat = self._checked(programs, cases)
        outputs = np.empty((len(flat), cases.shape[1]))
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            for first in range(0, len(flat), AT_ONCE):
                *_, memory = self._memories(flat[first : first + AT_ONCE], cases)
                outputs[first : first + AT_ONCE] = memory[:, 0]
        return outputs.reshape(*programs.shape[:-2], cases.shape[1])

    def states(self, programs: np.ndarray, cases: np.ndarray) -> np.ndarray:
        """Return all registers before and after each instruction, (..., instruction + 1, register, case).

        Raises
        ------
        ArgumentError
            As for `run`.
        """
        flat = self._checked(programs, cases)
        found = np.empty((len(flat), flat.shape[1] + 1, self.registers, cases.shape[1]))
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            for first in range(0, len(flat), AT_ONCE):
                for k, memory in enumerate(self._memories(flat[first : first + AT_ONCE], cases)):
                    found[first : first + AT_ONCE, k] = memory[:, : self.registers]
        return found.reshape(*programs.shape[:-2], *found.shape[1:])

    def random(self, count: int, length: int, rng: int | np.random.Generator) -> np.ndarray:
        """Return programs (count, length, 4) whose every number is drawn evenly from those that it can have."""
        draw = np.random.default_rng(rng)
        return np.stack([draw.integers(size, size=(count, length), dtype=np.int8) for size in self.sizes], axis=-1)

    def text(self, program: np.ndarray) -> str:
        """Return a program (instruction, 4) as people write it, an instruction per line: ``r0 <- r1 * x0``."""
        names = [f"r{k}" for k in range(self.registers)] + [f"x{k}" for k in range(self.inputs)]
        arrow = "<-" if self.gamma == 1 else f"<-[{self.gamma:g}]-"
        return "\n".join(
            f"{names[target]} {arrow} {names[left]} {SIGNS[operation]} {names[right]}"
            for operation, target, left, right in program
            if operation != SKIP
        )

    def _memories(self, programs: np.ndarray, cases: np.ndarray) -> Iterator[np.ndarray]:
        """Give the memory (program, source, case), changed in place, before and after each instruction."""
        start = cases[np.arange(self.registers) % self.inputs]
        memory = np.repeat(np.concatenate([start, cases]).astype(float)[None], len(programs), axis=0)
        rows = memory.reshape(len(programs) * self.sources, cases.shape[1])
        base = np.arange(len(programs)) * self.sources
        yield memory
        for instructions in np.ascontiguousarray(programs.transpose(1, 2, 0)):
            self._step(rows, base, instructions)
            yield memory

    def _step(self, rows: np.ndarray, base: np.ndarray, instructions: np.ndarray) -> None:
        """Run one instruction (4, program) of each program on the rows (program and source, case) of the memory."""
        kinds = instructions[OPERATION]
        for kind, operation in enumerate(OPERATIONS):
            chosen = np.flatnonzero(kinds == kind)
            if not chosen.size:
                continue
            _, target, left, right = base[chosen] + instructions[:, chosen]
            result = operation(rows.take(left, axis=0), rows.take(right, axis=0))
            old = result if self.gamma == 1 else rows.take(target, axis=0)  # hard assignment does not look at it
            rows[target] = assigned(old, result, self.gamma)

    def _checked(self, programs: np.ndarray, cases: np.ndarray) -> np.ndarray:
        """Return programs that can be run as (program, instruction, 4)."""
        if programs.ndim < 2 or programs.shape[-1] != 4 or not np.issubdtype(programs.dtype, np.integer):
            raise ArgumentError(
                f"got programs of shape {programs.shape} and type {programs.dtype}, expected integers, "
                "(..., instruction, 4)"
            )
        if cases.dtype.kind not in "iuf":
            raise ArgumentError(f"got cases of type {cases.dtype}, expected real numbers")
        if cases.ndim != 2 or len(cases) != self.inputs:
            raise ArgumentError(f"got cases of shape {cases.shape}, expected ({self.inputs}, case): a row per input")
        flat = programs.reshape(math.prod(programs.shape[:-2]), *programs.shape[-2:])  # -1 is none of an empty array
        if not programs.size:
            return flat.astype(np.int8)
        lowest = [int(programs[..., field].min()) for field in range(4)]
        highest = [int(programs[..., field].max()) for field in range(4)]
        if lowest[0] < SKIP or min(lowest[1:]) < 0 or any(np.greater_equal(highest, self.sizes)):
            raise ArgumentError(
                f"got instructions with numbers from {lowest} to {highest}, expected operation, target, left and right "
                f"from 0 to {[size - 1 for size in self.sizes]}, or {SKIP} as an operation"
            )
        return flat.astype(np.int8, copy=False)


def lengths(programs: np.ndarray) -> np.ndarray:
    """Return how many instructions programs (..., instruction, 4) have: those that are not skipped."""
    return np.asarray((programs[..., OPERATION] != SKIP).sum(axis=-1, dtype=np.int32))
