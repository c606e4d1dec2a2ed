"""Ineffective instructions, errors of writes and the landscape, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from cortexres.errors import ArgumentError
from cortexres.evolution import (
    SKIP,
    Machine,
    autocorrelation,
    errors_of_writes,
    ineffective,
    mutation_walks,
    problem,
    removal_effects,
)

PLUS, MINUS, TIMES, OVER = range(4)
X = 4  # the input, after the four registers
CASES = np.linspace(0.5, 2, 7)[None]


def straight(*lines: tuple[int, int, int, int]) -> np.ndarray:
    return np.array(lines, dtype=np.int8)


def test_what_is_overwritten_unread_counts_with_hard_assignment_only() -> None:
    program = straight((PLUS, 0, X, X), (TIMES, 0, X, X), (PLUS, 1, X, X), (SKIP, 0, 0, 0))
    hard = removal_effects(program, Machine(), CASES)
    soft = removal_effects(program, Machine(gamma=0.5), CASES)
    x = CASES[0]
    np.testing.assert_allclose(hard, [0, (2 * x - x**2).max(), 0, np.nan])
    # r0: x/2 + (x + 2x)/4 by parts; without the first, 1/4 of x less; without the second, 1.5x in place of it
    whole = 0.5 * (0.5 * x + 0.5 * 2 * x) + 0.5 * x**2
    np.testing.assert_allclose(
        soft, [np.abs(0.5 * x + 0.5 * x**2 - whole).max(), np.abs(1.5 * x - whole).max(), 0, np.nan]
    )
    assert ineffective(program, Machine(), CASES) == pytest.approx(2 / 3)
    assert ineffective(program, Machine(gamma=0.5), CASES) == pytest.approx(1 / 3)
    assert ineffective(program, Machine(gamma=0.5), CASES, tolerance=100.0) == 1
    assert np.isnan(ineffective(program[3:], Machine(), CASES))


def test_removals_are_those_of_programs_written_without_the_instruction() -> None:
    machine = Machine(gamma=0.7)
    programs = machine.random(6, 8, np.random.default_rng(0))
    found = removal_effects(programs, machine, CASES)
    for program, effects in zip(programs, found, strict=True):
        whole = machine.run(program, CASES)
        without = [np.abs(machine.run(np.delete(program, k, axis=0), CASES) - whole).max() for k in range(8)]
        np.testing.assert_allclose(effects, without, atol=1e-15)


def unread_in_theory(machine: Machine) -> float:
    """Expected number of instructions after which a register is no longer read, with soft assignment.

    Backwards from the end, a register that matters goes on mattering, because a share of it stays. With k of n that
    do, an instruction writes one of them with probability k / n, and then reads another one with 1 - (1 - (n - k) /
    s)^2 of s sources; until the next one matters, (n - k) / n of the instructions are without effect.
    """
    n, s = machine.registers, machine.sources
    waits = [(k / n) * (1 - (1 - (n - k) / s) ** 2) for k in range(1, n)]
    return sum((n - k) / n / wait for k, wait in zip(range(1, n), waits, strict=True))


@pytest.mark.parametrize("registers", [2, 4])
def test_a_soft_program_has_a_fixed_number_of_unread_instructions_whatever_its_length(registers: int) -> None:
    machine = Machine(registers=registers, inputs=registers, gamma=0.437)
    rng = np.random.default_rng(4)
    cases = rng.uniform(0.5, 2, size=(registers, 3))
    counts = []
    for length in (25, 40):
        programs = machine.random(300, length, rng)
        programs[..., 0] = PLUS  # sums of positive numbers: nothing is without effect but what is unread
        counts.append(length * ineffective(programs, machine, cases).mean())
    np.testing.assert_allclose(counts, unread_in_theory(machine), rtol=0.12)


def test_a_hard_program_has_a_fixed_share_of_them() -> None:
    rng = np.random.default_rng(4)
    hard, soft = (
        [ineffective(machine.random(150, length, rng), machine, CASES).mean() for length in (15, 45)]
        for machine in (Machine(), Machine(gamma=0.437))
    )
    assert min(hard) > 0.6
    assert hard[1] == pytest.approx(hard[0], abs=0.1)
    assert soft[1] < 0.6 * soft[0]  # where it is a fixed number of them instead


def test_a_change_from_finite_to_infinite_is_an_effect() -> None:
    program = np.concatenate([straight((TIMES, 0, 0, 0))] * 12)
    effects = removal_effects(program, Machine(), np.array([[1.3]]))
    assert np.isinf(Machine().run(program, np.array([[1.3]])))
    np.testing.assert_array_equal(effects, np.inf)  # one squaring fewer is finite
    twice = np.concatenate([program, program])
    np.testing.assert_array_equal(removal_effects(twice, Machine(), np.array([[1.3]])), 0)  # infinite either way


def test_what_is_not_a_number_either_way_is_no_effect() -> None:
    squares = np.concatenate([straight((TIMES, 0, 0, 0))] * 13)
    program = np.concatenate([squares, straight((MINUS, 0, 0, 0), (PLUS, 0, 0, 0))])
    machine, cases = Machine(), np.array([[1.5]])
    assert np.isnan(machine.run(program, cases))
    effects = removal_effects(program, machine, cases)
    np.testing.assert_array_equal(effects[[0, -1]], 0)
    assert effects[-2] == np.inf  # without inf - inf it is infinite


def test_errors_after_each_write_of_the_output() -> None:
    task = problem("quartic")
    program = straight((PLUS, 0, X, X), (PLUS, 1, X, X), (TIMES, 0, X, X), (SKIP, 0, 0, 0))[None]
    x = task.cases[0]
    expected = [np.nan, task.error(2 * x), task.error(x**2)]
    np.testing.assert_allclose(errors_of_writes(program, Machine(), task, last=3)[0], expected)
    np.testing.assert_allclose(errors_of_writes(program, Machine(), task, last=1)[0], expected[-1:])


@pytest.mark.parametrize("phi", [0.9, 0.3])
def test_autocorrelation_of_a_first_order_process_is_a_power_of_its_coefficient(phi: float) -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(400, 500))
    series = signal.lfilter([1], [1, -phi], noise, axis=1)[:, 200:]
    np.testing.assert_allclose(autocorrelation(series + 5, 6), phi ** np.arange(7), atol=0.02)


def test_a_flat_landscape_has_no_correlation() -> None:
    assert np.isnan(autocorrelation(np.ones((3, 5)), 2)).all()


def test_walks_change_one_number_a_step_and_stay_evenly_distributed() -> None:
    task, machine = problem("waves"), Machine(gamma=0.5)
    walks = mutation_walks(task, machine, walks=400, steps=30, length=10, rng=np.random.default_rng(0))
    assert walks.shape == (400, 31)
    assert ((walks >= 0) & (walks <= 1)).all()
    first, last = walks[:, 0], walks[:, -1]
    assert abs(first.mean() - last.mean()) < 4 * np.sqrt((first.var() + last.var()) / 400)
    assert 0.3 < autocorrelation(walks, 1)[1] < 1


def test_a_one_instruction_program_forgets_its_fitness_as_fast_as_its_numbers_change() -> None:
    """One register, one instruction: 4 operations of 2 x 2 sources, hence a Markov chain whose correlation is known."""
    task, machine = problem("waves"), Machine(registers=1)
    states = np.array([(o, 0, a, b) for o in range(4) for a in range(2) for b in range(2)], dtype=np.int8)
    fitness = 1 / (1 + task.error(machine.run(states[:, None], task.cases)))
    apart = (states[:, None] != states[None]).astype(float)
    # one of three fields is drawn (the target has one value), then one of its other values
    step = (apart.sum(axis=-1) == 1) * (apart @ np.array([1 / 3 / 3, 0, 1 / 3, 1 / 3]))
    np.testing.assert_allclose(step.sum(axis=1), 1)
    moved = fitness - fitness.mean()
    expected = [moved @ np.linalg.matrix_power(step, lag) @ moved / (moved @ moved) for lag in range(4)]
    walks = mutation_walks(task, machine, walks=2000, steps=20, length=1, rng=np.random.default_rng(0))
    np.testing.assert_allclose(autocorrelation(walks, 3), expected, atol=0.03)


def test_wrong_arguments_are_refused() -> None:
    task, machine, rng = problem("waves"), Machine(), np.random.default_rng(0)
    with pytest.raises(ArgumentError, match="expected at least 1, 1 and 0"):
        mutation_walks(task, machine, walks=0, steps=1, length=1, rng=rng)
    with pytest.raises(ArgumentError, match="more than 5 steps"):
        autocorrelation(np.zeros((2, 5)), 5)
    with pytest.raises(ArgumentError, match="got lags=-1, expected 0 or more"):
        autocorrelation(np.zeros((2, 5)), -1)
    with pytest.raises(ArgumentError, match="1 or more writes"):
        errors_of_writes(machine.random(2, 3, rng), machine, task, last=0)
