"""Variation, selection and many runs at once, on cases whose outcome is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cortexres.errors import ArgumentError
from cortexres.evolution import (
    EXACT,
    PROBLEMS,
    SKIP,
    Evolution,
    Machine,
    Search,
    crossed,
    evolve,
    lengths,
    mutated,
    mutation_walks,
    problem,
)

MACHINE = Machine()


def padded(length: np.ndarray, longest: int, mark: int) -> np.ndarray:
    """Programs of given lengths; operation 0, `mark` as target, the place of each instruction as its sources."""
    programs = np.zeros((len(length), longest, 4), dtype=np.int8)
    programs[..., 1] = mark
    programs[..., 2] = programs[..., 3] = np.arange(longest)
    programs[np.arange(longest) >= length[:, None]] = (SKIP, 0, 0, 0)
    return programs


def test_a_child_is_its_mother_with_a_stretch_of_its_father() -> None:
    rng = np.random.default_rng(0)
    length = rng.integers(1, 21, size=(2, 1500))
    mothers, fathers = padded(length[0], 20, 1), padded(length[1], 20, 2)
    children = crossed(mothers, fathers, rng)
    kept = lengths(children)
    assert kept.min() >= 1
    for child, size, had in zip(children, kept, length.T, strict=True):
        assert (child[:size, 0] == 0).all()  # packed: no gap inside
        assert (child[size:] == (SKIP, 0, 0, 0)).all()
        marks, places = child[:size, 1], child[:size, 2]
        from_father = np.flatnonzero(marks == 2)
        if from_father.size:
            first, last = from_father[0], from_father[-1]
            assert (np.diff(from_father) == 1).all()
            assert (np.diff(places[from_father]) == 1).all()
            assert places[from_father].max() < had[1]
        else:
            first = last = 0
        np.testing.assert_array_equal(places[:first], np.arange(first))
        behind = places[last + 1 :] if from_father.size else places
        if from_father.size and behind.size:
            assert behind[-1] == had[0] - 1
            assert (np.diff(behind) == 1).all()
    assert abs(kept.mean() - length.mean()) < 0.5  # lengths neither grow nor shrink by themselves
    assert (lengths(children) > length[0]).any()


def test_crossover_with_oneself_can_give_back_the_same_instructions_only() -> None:
    rng = np.random.default_rng(1)
    same = MACHINE.random(200, 10, rng)
    children = crossed(same, same, rng)
    for child, parent in zip(children, same, strict=True):
        present = child[child[:, 0] != SKIP]
        assert {tuple(line) for line in present.tolist()} <= {tuple(line) for line in parent.tolist()}


def test_mutation_changes_one_number_at_its_rate_and_nothing_that_is_skipped() -> None:
    rng = np.random.default_rng(2)
    programs = MACHINE.random(3000, 10, rng)
    programs[:, 7:] = (SKIP, 0, 0, 0)
    children = mutated(programs, MACHINE, 0.2, rng)
    changed = children != programs
    np.testing.assert_array_equal(changed[:, 7:], False)
    per_instruction = changed[:, :7].sum(axis=-1)
    assert set(np.unique(per_instruction)) == {0, 1}
    assert per_instruction.mean() == pytest.approx(0.2, abs=0.01)
    np.testing.assert_allclose(changed[:, :7].mean(axis=(0, 1)), 0.05, atol=0.006)  # every field as often
    MACHINE.run(children, np.ones((1, 2)))  # all are valid
    assert np.array_equal(mutated(programs, MACHINE, 0.0, rng), programs)


def test_mutation_leaves_numbers_alone_that_have_one_value_only() -> None:
    small = Machine(registers=1)
    programs = small.random(50, 6, np.random.default_rng(0))
    children = mutated(programs, small, 1.0, np.random.default_rng(1))
    assert (children != programs).any(axis=-1).all()
    np.testing.assert_array_equal(children[..., 1], 0)


def run(**changes: int) -> Evolution:
    search = replace(Search(population=30, generations=8, longest=20), **changes)
    return evolve(problem("quartic"), MACHINE, runs=6, rng=np.random.default_rng(5), search=search)


def test_the_best_error_never_rises_and_is_that_of_the_best_program() -> None:
    found = run()
    assert found.error.shape == found.length.shape == (6, 9)
    assert (np.diff(found.error, axis=1) <= 0).all()
    assert (found.error[:, -1] < found.error[:, 0]).any()
    task = problem("quartic")
    np.testing.assert_array_equal(task.error(MACHINE.run(found.best, task.cases)), found.error[:, -1])


def test_the_same_seed_gives_the_same_runs() -> None:
    first, second = run(), run()
    np.testing.assert_array_equal(first.best, second.best)
    np.testing.assert_array_equal(first.error, second.error)


def copies(*, tournament: int) -> Evolution:
    """Return 40 runs in which nothing new arises after the first generation."""
    search = Search(population=30, generations=12, tournament=tournament, crossover=0, mutation=0)
    return evolve(problem("waves"), MACHINE, runs=40, rng=0, search=search)


def test_runs_do_not_exchange_programs() -> None:
    """Without crossover and mutation children are copies: a run gets better only by a program of another one."""
    found = copies(tournament=4)
    assert len(np.unique(found.error[:, 0])) > 10
    np.testing.assert_array_equal(found.error, np.broadcast_to(found.error[:, :1], found.error.shape))
    few = evolve(problem("quartic"), MACHINE, runs=40, rng=0, search=Search(population=5, generations=3))
    assert len(np.unique(few.error[:, -1])) > 10  # with crossover: one best program would have taken all over


def test_the_best_program_takes_over_by_tournaments_alone() -> None:
    """Of 30 programs one wins 1 - (1 - p)^4 of the tournaments, p its share: all within 5 generations, but for ties."""
    chosen, blind = copies(tournament=4), copies(tournament=1)
    assert (chosen.length[:, -1] == lengths(chosen.best)).mean() > 0.5
    assert not (blind.length[:, -1] == lengths(blind.best)).any()


def test_a_child_that_ties_does_not_replace_the_best() -> None:
    """No program has a finite error here, so that every child ties with the first program, which stays the best."""
    task = replace(problem("quartic"), target=np.full(21, np.nan))
    first, last = (
        evolve(task, MACHINE, runs=4, rng=3, search=Search(population=6, generations=count)).best for count in (0, 5)
    )
    np.testing.assert_array_equal(last, first)


def test_a_seed_is_as_good_as_its_generator() -> None:
    task, programs = problem("waves"), MACHINE.random(9, 6, 1)
    for draw in (
        lambda rng: MACHINE.random(9, 6, rng),
        lambda rng: crossed(programs, programs[::-1].copy(), rng),
        lambda rng: mutated(programs, MACHINE, 0.5, rng),
        lambda rng: mutation_walks(task, MACHINE, walks=3, steps=4, length=5, rng=rng),
        lambda rng: evolve(task, MACHINE, runs=2, rng=rng, search=Search(population=5, generations=2)).best,
    ):
        np.testing.assert_array_equal(draw(7), draw(np.random.default_rng(7)))


def test_selection_is_what_makes_it_better() -> None:
    blind, chosen = (run(tournament=size, population=100, generations=20).error[:, -1].mean() for size in (1, 4))
    assert chosen < 0.5 * blind


def test_hard_assignment_finds_the_quartic_exactly_and_soft_assignment_does_not() -> None:
    task, search = problem("quartic"), Search(generations=30)
    found = {
        gamma: evolve(task, Machine(gamma=gamma), runs=8, rng=np.random.default_rng(0), search=search).error[:, -1]
        for gamma in (1.0, 0.5)
    }
    assert (found[1.0] < EXACT).sum() >= 3
    assert not (found[0.5] < EXACT).any()
    assert found[0.5].max() < 0.1


@pytest.mark.parametrize("name", PROBLEMS)
def test_targets_are_their_formulas(name: str) -> None:
    task = problem(name, cases=5)
    x = task.cases[0]
    assert task.name == name
    spelled = task.formula.replace("⁶", "**6").replace("⁴", "**4").replace("³", "**3").replace("²", "**2")
    spelled = spelled.replace("2x", "2*x").replace(") cos", ")*cos").replace("ln", "log")
    expected = [eval(spelled, {"x": v, "sin": np.sin, "cos": np.cos, "log": np.log}) for v in x]
    np.testing.assert_allclose(task.target, expected, atol=1e-11)
    assert task.error(task.target) == 0
    assert task.error(task.target + 0.5) == pytest.approx(0.5)
    assert task.error(np.full((3, 5), np.nan)).tolist() == [np.inf] * 3
    assert task.error(np.full(5, task.target.mean())) == pytest.approx(task.scale)
    assert task.error(np.full(5, np.median(task.target))) <= task.scale


def test_wrong_arguments_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ArgumentError, match="expected one of quartic"):
        problem("quintic")
    with pytest.raises(ArgumentError, match="2 or more"):
        problem("quartic", cases=1)
    with pytest.raises(ArgumentError, match="got runs=0"):
        evolve(problem("quartic"), MACHINE, runs=0, rng=rng)
    with pytest.raises(ArgumentError, match="at least 2, 0 and 1"):
        Search(population=1)
    with pytest.raises(ArgumentError, match="in that order"):
        Search(first_lengths=(5, 60))
    with pytest.raises(ArgumentError, match="expected probabilities"):
        Search(mutation=1.5)
    programs = MACHINE.random(3, 4, rng)
    with pytest.raises(ArgumentError, match="probability per instruction"):
        mutated(programs, MACHINE, 2.0, rng)
    with pytest.raises(ArgumentError, match="expected one shape"):
        crossed(programs, programs[:2], rng)
    with pytest.raises(ArgumentError, match="expected int8"):
        crossed(programs.astype(int), programs.astype(int), rng)
