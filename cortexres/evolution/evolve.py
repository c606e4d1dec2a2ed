"""Evolution of linear programs: many independent runs at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cortexres.errors import ArgumentError
from cortexres.evolution.linear_programs import SKIP, Machine, lengths
from cortexres.evolution.problems import Problem
from cortexres.evolution.variation import crossed, mutated


@dataclass(frozen=True, kw_only=True)
class Search:
    """How programs are bred: generations that replace each other, but for the best program, which is kept.

    The defaults are of no paper: sizes at which a run takes well under a second, and rates that are common in the
    field.

    Parameters
    ----------
    population, generations : int
        Programs of a run, and how often they are replaced.
    tournament : int
        How many drawn programs compete to be a parent.
    crossover : float
        Probability that a child has two parents.
    mutation : float
        Probability that an instruction of a child is changed in one number.
    first_lengths : tuple of int
        Shortest and longest program of the first generation.
    longest : int
        No program gets longer.

    Raises
    ------
    ArgumentError
        If a number is out of its range.
    """

    population: int = 100
    generations: int = 50
    tournament: int = 4
    crossover: float = 0.9
    mutation: float = 0.05
    first_lengths: tuple[int, int] = (5, 20)
    longest: int = 50

    def __post_init__(self) -> None:
        if self.population < 2 or self.generations < 0 or self.tournament < 1:
            raise ArgumentError(
                f"got population={self.population}, generations={self.generations}, tournament={self.tournament}, "
                "expected at least 2, 0 and 1"
            )
        low, high = self.first_lengths
        if not 1 <= low <= high <= self.longest:
            raise ArgumentError(
                f"got first_lengths={self.first_lengths} and longest={self.longest}, expected 1 or more, in that order"
            )
        if not (0 <= self.crossover <= 1 and 0 <= self.mutation <= 1):
            raise ArgumentError(f"got crossover={self.crossover}, mutation={self.mutation}, expected probabilities")


@dataclass(frozen=True, kw_only=True)
class Evolution:
    """What runs of evolution found.

    Parameters
    ----------
    best : ndarray of shape (run, instruction, 4)
        The best program of each run.
    error : ndarray of shape (run, generation)
        Error of the best program so far, in units of the problem's target, from the first generation, which is random,
        on.
    length : ndarray of shape (run, generation)
        Mean number of instructions of the population.
    """

    best: np.ndarray
    error: np.ndarray
    length: np.ndarray


def evolve(
    task: Problem, machine: Machine, *, runs: int, rng: int | np.random.Generator, search: Search | None = None
) -> Evolution:
    """Return the outcome of so many independent runs, which start from different random programs.

    Parameters
    ----------
    task : Problem
        What is to be found; errors are in units of its target.
    machine : Machine
        What runs the programs, with hard or soft assignment.
    runs : int
        How many; all are computed together.
    rng : int or Generator
        Draws everything.
    search : Search, optional
        Sizes and rates.

    Raises
    ------
    ArgumentError
        If there are no runs.
    """
    if runs < 1:
        raise ArgumentError(f"got runs={runs}, expected 1 or more")
    how, draw = Search() if search is None else search, np.random.default_rng(rng)
    programs = _first(machine, how, runs, draw)
    errors = task.error(machine.run(programs, task.cases))
    kept, sizes = [errors.min(axis=1)], [lengths(programs).mean(axis=1)]
    for _ in range(how.generations):
        programs = _next(programs, errors, machine, how, draw)
        errors = task.error(machine.run(programs, task.cases))
        kept.append(errors.min(axis=1))
        sizes.append(lengths(programs).mean(axis=1))
    best = programs[np.arange(runs), errors.argmin(axis=1)]
    return Evolution(best=best, error=np.stack(kept, axis=1), length=np.stack(sizes, axis=1))


def _first(machine: Machine, how: Search, runs: int, rng: np.random.Generator) -> np.ndarray:
    """Random programs (run, program, instruction, 4), their lengths drawn evenly."""
    programs = machine.random(runs * how.population, how.longest, rng)
    length = rng.integers(*how.first_lengths, endpoint=True, size=len(programs))
    programs[np.arange(how.longest) >= length[:, None]] = (SKIP, 0, 0, 0)
    return programs.reshape(runs, how.population, how.longest, 4)


def _next(
    programs: np.ndarray, errors: np.ndarray, machine: Machine, how: Search, rng: np.random.Generator
) -> np.ndarray:
    """The generation after: the best program of each run, unchanged, and children of those that won tournaments."""
    runs = len(programs)
    best = programs[np.arange(runs), errors.argmin(axis=1)][:, None]
    mothers, fathers = (_winners(programs, errors, how, rng) for _ in range(2))
    alone = rng.random(len(mothers)) >= how.crossover
    children = crossed(mothers, fathers, rng)
    children[alone] = mothers[alone]
    children = mutated(children, machine, how.mutation, rng)
    return np.concatenate([best, children.reshape(runs, -1, *programs.shape[2:])], axis=1)


def _winners(programs: np.ndarray, errors: np.ndarray, how: Search, rng: np.random.Generator) -> np.ndarray:
    """Parents (run x (population - 1), instruction, 4), each the best of a tournament within its run."""
    runs, population = errors.shape
    drawn = rng.integers(population, size=(runs, population - 1, how.tournament))
    won = errors[np.arange(runs)[:, None, None], drawn].argmin(axis=2)
    chosen = np.take_along_axis(drawn, won[..., None], axis=2)[..., 0]
    rows = (np.arange(runs)[:, None] * population + chosen).ravel()
    winners: np.ndarray = programs.reshape(-1, *programs.shape[2:])[rows]
    return winners
