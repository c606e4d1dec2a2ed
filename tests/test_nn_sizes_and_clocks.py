"""How large a network is, and how long something took."""

import torch

from cortexres import nn
from cortexres.nn.device import clock


def test_parameters_that_steps_share_are_counted_once_and_buffers_are_none() -> None:
    block = nn.Block(nn.Dense(6, rng=0), nn.SoftAssignment(0.2))
    tied = nn.Recurrent(block, steps=5)
    assert nn.parameter_count(tied) == 6 * 6 + 6
    assert nn.parameter_count(tied.to_untied()) == 5 * (6 * 6 + 6)
    assert nn.parameter_count(torch.nn.BatchNorm1d(4)) == 2 * 4


def test_a_clock_advances_with_work() -> None:
    before = clock("cpu")
    torch.randn(200, 200).matrix_power(50)
    assert clock("cpu") > before
