"""Linear programs against a plain interpreter, closed forms, and the leaky residual network that they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cortexres import nn
from cortexres.errors import ArgumentError
from cortexres.evolution import SKIP, Machine, assigned, lengths

PLUS, MINUS, TIMES, OVER = range(4)
CASES = np.linspace(-1, 1, 9)[None]


def interpreted(program: np.ndarray, machine: Machine, case: np.ndarray) -> list[list[float]]:
    """All registers before and after each instruction, for one case, one number after the other."""
    registers = [float(case[k % machine.inputs]) for k in range(machine.registers)]
    found = [list(registers)]
    for operation, target, left, right in program.tolist():
        if operation != SKIP:
            sources = [*registers, *map(float, case)]
            a, b = sources[left], sources[right]
            result = [a + b, a - b, a * b, a / b if b else 1.0][operation]
            registers[target] = (1 - machine.gamma) * registers[target] + machine.gamma * result
        found.append(list(registers))
    return found


def straight(*lines: tuple[int, int, int, int]) -> np.ndarray:
    return np.array(lines, dtype=np.int8)


@pytest.mark.parametrize("gamma", [1.0, 0.4])
@pytest.mark.parametrize("inputs", [1, 2])
def test_states_are_those_of_a_plain_interpreter(gamma: float, inputs: int) -> None:
    machine = Machine(registers=3, inputs=inputs, gamma=gamma)
    rng = np.random.default_rng(1)
    programs = machine.random(40, 12, rng)
    programs[::3, 5] = (SKIP, 0, 0, 0)
    cases = rng.uniform(-2, 2, size=(inputs, 5))
    cases[:, 0] = 0  # where division is protected
    states = machine.states(programs, cases)
    assert states.shape == (40, 13, 3, 5)
    for program, found in zip(programs, states, strict=True):
        for case in range(5):
            expected = interpreted(program, machine, cases[:, case])
            np.testing.assert_allclose(found[:, :, case], expected, rtol=1e-12)
    np.testing.assert_array_equal(machine.run(programs, cases), states[:, -1, 0])


def test_a_program_gives_the_polynomial_that_it_spells() -> None:
    machine = Machine()
    x = 4  # the input, after the four registers
    program = straight(
        (OVER, 1, x, x), (PLUS, 0, x, 1), (TIMES, 0, 0, x), (PLUS, 0, 0, 1), (TIMES, 0, 0, x), (PLUS, 0, 0, 1),
        (TIMES, 0, 0, x),
    )  # fmt: skip
    expected = CASES[0] ** 4 + CASES[0] ** 3 + CASES[0] ** 2 + CASES[0]
    np.testing.assert_allclose(machine.run(program, CASES), expected, atol=1e-15)
    assert machine.text(program).splitlines()[:2] == ["r1 <- x0 / x0", "r0 <- x0 + r1"]


def test_a_soft_register_relaxes_as_a_leaky_unit_does() -> None:
    gamma, times = 0.3, 12
    program = np.repeat(straight((TIMES, 0, 4, 4)), times, axis=0)  # r0 is pulled to x^2 again and again
    found = Machine(gamma=gamma).run(program, CASES)
    x, left = CASES[0], (1 - gamma) ** times
    np.testing.assert_allclose(found, left * x + (1 - left) * x**2, atol=1e-15)


class Product(torch.nn.Module):
    """The residual function h u."""

    state_dims, in_channels, out_channels, stride, takes_drive = 1, 1, 1, 1, True

    def forward(self, state: torch.Tensor, drive: torch.Tensor, step: int = 0) -> torch.Tensor:
        return state * drive


@pytest.mark.parametrize("gamma", [1.0, 0.3])
def test_an_instruction_again_and_again_is_a_weight_shared_leaky_residual_network(gamma: float) -> None:
    program = np.repeat(straight((TIMES, 0, 0, 4)), 10, axis=0)
    network = nn.Recurrent(nn.Block(Product(), nn.SoftAssignment(gamma)), steps=10)
    x = torch.as_tensor(CASES.T)
    output, _ = network(x, x)
    states = Machine(gamma=gamma).states(program, CASES)[1:, 0]
    np.testing.assert_allclose(output[..., 0].numpy().T, states, rtol=1e-13, atol=1e-300)


def test_hard_assignment_is_the_limit_and_forgets_infinities() -> None:
    old, result = np.array([np.inf, 3.0]), np.array([1.0, 2.0])
    np.testing.assert_array_equal(assigned(old, result, 1.0), result)
    np.testing.assert_allclose(assigned(np.array([3.0]), np.array([2.0]), 0.25), [2.75])


def test_many_programs_give_what_each_gives_alone_whatever_they_are_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(gamma=0.6)
    programs = machine.random(30, 9, np.random.default_rng(2)).reshape(5, 6, 9, 4)
    whole, states = machine.run(programs, CASES), machine.states(programs, CASES)
    assert whole.shape == (5, 6, 9)
    np.testing.assert_array_equal(whole[3, 2], machine.run(programs[3, 2], CASES))
    monkeypatch.setattr("cortexres.evolution.linear_programs.AT_ONCE", 7)
    np.testing.assert_array_equal(machine.run(programs, CASES), whole)
    np.testing.assert_array_equal(machine.states(programs, CASES), states)
    np.testing.assert_array_equal(states[:, :, -1, 0], whole)


def test_without_programs_there_are_no_outputs_and_without_instructions_the_input_is_one() -> None:
    machine = Machine(registers=2)
    assert machine.run(np.empty((0, 5, 4), dtype=np.int8), CASES).shape == (0, 9)
    assert machine.states(np.empty((3, 0, 5, 4), dtype=np.int8), CASES).shape == (3, 0, 6, 2, 9)
    nothing = np.empty((2, 0, 4), dtype=np.int8)
    np.testing.assert_array_equal(machine.run(nothing, CASES), np.repeat(CASES, 2, axis=0))
    assert machine.run(straight((PLUS, 0, 0, 0)), CASES[:, :0]).shape == (0,)


@pytest.mark.parametrize("kind", [np.int64, np.uint64])
def test_programs_of_other_integers_are_the_same(kind: type) -> None:
    programs = Machine().random(5, 6, 0)
    np.testing.assert_array_equal(Machine().run(programs.astype(kind), CASES), Machine().run(programs, CASES))


def test_whole_numbers_are_divided_like_others() -> None:
    halves = straight((PLUS, 1, 4, 4), (OVER, 0, 4, 1))
    np.testing.assert_array_equal(Machine().run(halves, np.array([[1, 2, 3]])), 0.5)


def test_overflow_is_infinite_without_a_warning() -> None:
    program = np.repeat(straight((TIMES, 0, 0, 0)), 20, axis=0)
    assert np.isinf(Machine().run(program, np.array([[3.0]])))


def test_random_programs_use_every_value_evenly() -> None:
    machine = Machine(registers=2, inputs=3)
    programs = machine.random(4000, 5, np.random.default_rng(3))
    for field, size in enumerate(machine.sizes):
        counts = np.bincount(programs[..., field].ravel(), minlength=size)
        assert counts.size == size
        np.testing.assert_allclose(counts / counts.sum(), 1 / size, atol=0.012)


def test_lengths_count_what_is_not_skipped() -> None:
    programs = Machine().random(2, 4, np.random.default_rng(0))
    programs[1, 2:] = (SKIP, 0, 0, 0)
    np.testing.assert_array_equal(lengths(programs), [4, 2])


@pytest.mark.parametrize("gamma", [0.0, 1.1, float("nan")])
def test_gamma_out_of_range_is_refused(gamma: float) -> None:
    with pytest.raises(ArgumentError, match="above 0 and at most 1"):
        Machine(gamma=gamma)


def test_wrong_sizes_and_programs_are_refused() -> None:
    with pytest.raises(ArgumentError, match="1 or more of each, and at most 127"):
        Machine(registers=0)
    with pytest.raises(ArgumentError, match="at most 127"):
        Machine(registers=120, inputs=10)
    machine = Machine()
    with pytest.raises(ArgumentError, match=r"expected integers, \(\.\.\., instruction, 4\)"):
        machine.run(np.zeros((2, 3), dtype=np.int8), CASES)
    with pytest.raises(ArgumentError, match="type float64, expected integers"):
        machine.run(np.zeros((2, 3, 4)), CASES)
    with pytest.raises(ArgumentError, match="got cases of type complex128, expected real numbers"):
        machine.states(straight((PLUS, 0, 0, 0)), CASES * 1j)
    with pytest.raises(ArgumentError, match="a row per input"):
        machine.run(straight((PLUS, 0, 0, 0)), CASES[0])
    for wrong in ((4, 0, 0, 0), (-2, 0, 0, 0), (PLUS, 4, 0, 0), (PLUS, 0, 5, 0), (PLUS, 0, 0, -1)):
        with pytest.raises(ArgumentError, match="expected operation, target, left and right from 0 to"):
            machine.run(straight(wrong), CASES)
