"""Dilated networks of a sequence, alone and interconnected: against torch's convolutions and written-out products."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from cortexres.errors import ArgumentError
from cortexres.nn.networks.mixed_dilated import MixedDilated

ONE, OTHER = (1, 2, 4), (2, 1, 4)


def made(*chains: tuple[int, ...], width: int = 4, **options: object) -> MixedDilated:
    return MixedDilated(width, *chains, rng=0, dtype=torch.float64, **options)


def sequences(times: int, *, width: int = 4, batch: int = 3) -> Tensor:
    return torch.as_tensor(np.random.default_rng(0).normal(size=(batch, width, times)))


def test_rectified_layers_are_convolutions_of_torch() -> None:
    network, inputs = made(ONE, combine="rectified"), sequences(11)
    expected = inputs
    for weight, dilation in zip(network.weights[0], ONE, strict=True):
        kernel = torch.stack([weight[0], weight[1]], dim=2)  # earlier, later
        expected = torch.relu(functional.conv1d(expected, kernel, dilation=dilation))
    torch.testing.assert_close(network(inputs), expected)
    assert network.window == 8
    assert expected.shape == (3, 4, 4)


def test_products_are_products() -> None:
    network, inputs = made((2, 1)), sequences(4)
    (a, b), (c, d) = network.weights[0]
    x = inputs.unbind(dim=2)
    first, second = (x[0] @ a.T) * (x[2] @ b.T), (x[1] @ a.T) * (x[3] @ b.T)
    torch.testing.assert_close(network(inputs)[..., 0], (first @ c.T) * (second @ d.T))


def test_product_is_linear_in_every_input() -> None:
    network, inputs = made(ONE, OTHER, exchange=[2]), sequences(8)
    for time in range(8):
        doubled = inputs.clone()
        doubled[..., time] *= 2
        torch.testing.assert_close(network(doubled), 2 * network(inputs))


def test_without_exchange_networks_are_summed() -> None:
    both, inputs = made(ONE, OTHER), sequences(8)
    alone = made(ONE), made(OTHER)
    for network, weight in zip(alone, both.weights, strict=True):
        network.weights[0].data.copy_(weight)
    torch.testing.assert_close(both(inputs), alone[0](inputs) + alone[1](inputs))


def test_exchange_swaps_half_of_the_channels_once() -> None:
    """After the last layer it leaves the sum alone; the networks' own states have changed halves."""
    plain, swapped, inputs = made(ONE, OTHER, width=5), made(ONE, OTHER, width=5, exchange=[3]), sequences(8, width=5)
    torch.testing.assert_close(swapped(inputs), plain(inputs))
    (one, other), (one_after, other_after) = plain.streams(inputs), swapped.streams(inputs)
    torch.testing.assert_close(one_after, torch.cat([other[:, :2], one[:, 2:]], dim=1), rtol=0, atol=0)
    torch.testing.assert_close(other_after, torch.cat([one[:, :2], other[:, 2:]], dim=1), rtol=0, atol=0)
    earlier = made(ONE, OTHER, width=5, exchange=[2])
    assert not torch.allclose(earlier(inputs), plain(inputs))


def test_exchange_between_twins_changes_nothing() -> None:
    twins, inputs = made(ONE, ONE, exchange=[1, 2]), sequences(8)
    twins.weights[1].data.copy_(twins.weights[0])
    alone = made(ONE)
    alone.weights[0].data.copy_(twins.weights[0])
    torch.testing.assert_close(twins(inputs), 2 * alone(inputs))


def test_weights_come_from_the_seed_and_learn() -> None:
    one, again = made(ONE, OTHER, exchange=[2]), made(ONE, OTHER, exchange=[2])
    for weight, same in zip(one.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(weight, same, rtol=0, atol=0)
    assert not torch.equal(one.weights[0], one.weights[1])
    one(sequences(8)).sum().backward()
    assert all(weight.grad is not None and bool(weight.grad.any()) for weight in one.parameters())
    assert "dilations=[1, 2, 4] and [2, 1, 4], exchange=[2]" in repr(one)
    assert sum(weight.numel() for weight in one.parameters()) == 2 * 3 * 2 * 4 * 4


@pytest.mark.parametrize(
    ("chains", "options", "match"),
    [
        ([ONE], {"width": 0}, "got width=0"),
        ([()], {}, r"got dilations=\[\], expected one or more"),
        ([(1, 0)], {}, r"got dilations=\[1, 0\], expected one or more, each of 1 or more"),
        ([ONE, (1, -2, 8)], {}, r"got other_dilations=\[1, -2, 8\]"),
        ([ONE, OTHER], {"width": 1, "exchange": [2]}, r"got exchange=\[2\] and width=1, expected a width of 2 or more"),
        ([ONE, (1, 2)], {}, "one depth and one window"),
        ([ONE, (1, 2, 8)], {}, "one depth and one window"),
        ([ONE], {"exchange": [2]}, "expected other_dilations"),
        ([ONE, OTHER], {"exchange": [1]}, "got an exchange after layer 1"),
        ([ONE, OTHER], {"exchange": [4]}, "got an exchange after layer 4"),
        ([ONE], {"combine": "sum"}, "expected 'product' or 'rectified'"),
    ],
)
def test_networks_that_do_not_fit_are_refused(chains: list, options: dict[str, object], match: str) -> None:
    with pytest.raises(ArgumentError, match=match):
        made(*chains, **options)


@pytest.mark.parametrize("shape", [(3, 4, 7), (3, 5, 8), (4, 8)])
def test_inputs_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ArgumentError, match=r"expected \(batch, 4, time\) of 8 times or more"):
        made(ONE)(torch.zeros(shape, dtype=torch.float64))
