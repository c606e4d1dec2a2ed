"""Transform, block and recurrence against closed forms, torch's own RNN and the untied twin."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from cortexres import nn
from cortexres.errors import ArgumentError
from cortexres.nn.recurrent import Injection

UNITS, STEPS, BATCH = 5, 7, 3


def drive() -> Tensor:
    return torch.as_tensor(np.random.default_rng(0).normal(size=(BATCH, UNITS)))


def identity(values: Tensor) -> Tensor:
    return values


def recurrent(*, injection: Injection = "every") -> nn.Recurrent:
    block = nn.Block(nn.Dense(UNITS, gain=0.5, leak=0.3, rng=1))
    return nn.Recurrent(block, steps=STEPS, injection=injection)


def test_leak_alone_follows_its_closed_form() -> None:
    dense = nn.Dense(UNITS, gain=0.2, leak=1.0, activation=identity, rng=0)
    torch.nn.init.zeros_(dense.weight)
    states = nn.Recurrent(nn.Block(dense), steps=STEPS)(drive())
    share = 1 - 0.8 ** torch.arange(STEPS + 1, dtype=torch.float64)
    torch.testing.assert_close(states, drive()[:, None] * share[:, None], rtol=0, atol=1e-14)


def test_linear_recurrence_is_a_matrix_power() -> None:
    dense = nn.Dense(UNITS, gain=0.2, activation=identity, rng=0)
    states = nn.Recurrent(nn.Block(dense), steps=STEPS, injection="first")(drive())
    step = torch.eye(UNITS, dtype=torch.float64) + 0.2 * dense.weight.detach()
    expected = drive() @ torch.linalg.matrix_power(step, STEPS).T
    torch.testing.assert_close(states[:, -1], expected, rtol=0, atol=1e-13)


def test_full_leak_and_gain_is_torch_rnn() -> None:
    """With leak = gain = 1 the shortcut cancels: h + F(h, u) = tanh(W h + u + b), the Elman network."""
    dense = nn.Dense(UNITS, gain=1.0, leak=1.0, rng=2)
    oracle = torch.nn.RNN(4, UNITS, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        oracle.weight_hh_l0.copy_(dense.weight)
        oracle.bias_hh_l0.copy_(dense.bias)
    x = torch.as_tensor(np.random.default_rng(3).normal(size=(BATCH, 4)))
    u = torch.nn.functional.linear(x, oracle.weight_ih_l0, oracle.bias_ih_l0)
    states = nn.Recurrent(nn.Block(dense), steps=STEPS)(u)
    expected, _ = oracle(x[:, None].expand(-1, STEPS, -1))
    torch.testing.assert_close(states[:, 1:], expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("injection", ["every", "first"])
def test_tied_equals_untied_exactly(injection: Injection) -> None:
    tied = recurrent(injection=injection)
    assert torch.equal(tied(drive()), tied.untie()(drive()))


def test_gradient_of_tied_is_the_sum_over_untied_blocks() -> None:
    tied = recurrent()
    untied = tied.untie()
    for network in (tied, untied):
        network(drive()).square().sum().backward()
    for name, parameter in tied.blocks[0].named_parameters():
        total = sum(block.get_parameter(name).grad for block in untied.blocks)
        torch.testing.assert_close(parameter.grad, total, rtol=1e-12, atol=1e-12)


def test_shared_block_is_stored_once() -> None:
    keys = set(recurrent().state_dict())
    assert keys == {"blocks.0.transform.weight", "blocks.0.transform.bias"}
    assert len(recurrent().untie().state_dict()) == 2 * STEPS


def test_tied_runs_longer_than_built_and_keeps_its_past() -> None:
    tied = recurrent()
    assert torch.equal(tied(drive(), steps=20)[:, : STEPS + 1], tied(drive()))
    assert tied(drive(), steps=0).shape == (BATCH, 1, UNITS)


def test_weights_come_from_rng_and_leave_the_global_state_alone() -> None:
    before_torch, before_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second, other = (nn.Dense(UNITS, rng=seed).weight for seed in (4, 4, 5))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before_torch)
    assert np.array_equal(np.random.get_state()[1], before_numpy)  # noqa: NPY002


def test_print_says_what_it_is() -> None:
    text = str(recurrent())
    assert "steps=7, tied=True, injection='every'" in text
    assert "5, gain=0.5, leak=0.3" in text


def test_faults_are_named() -> None:
    with pytest.raises(ArgumentError, match="n_units=0, expected 1 or more"):
        nn.Dense(0)
    with pytest.raises(ArgumentError, match=r"gain=-0\.1, expected a positive"):
        nn.Dense(2, gain=-0.1)
    block = nn.Block(nn.Dense(UNITS, rng=0))
    with pytest.raises(ArgumentError, match="steps=0, expected 1 or more"):
        nn.Recurrent(block, steps=0)
    with pytest.raises(ArgumentError, match="injection='never', expected 'every' or 'first'"):
        nn.Recurrent(block, steps=1, injection="never")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="steps=-1, expected 0 or more"):
        recurrent()(drive(), steps=-1)
    with pytest.raises(ArgumentError, match="steps=8, expected at most 7"):
        recurrent().untie()(drive(), steps=8)
    with pytest.raises(ArgumentError, match="got an untied network"):
        recurrent().untie().untie()
