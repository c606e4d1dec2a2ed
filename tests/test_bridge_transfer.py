"""The torch transfer function and response time against the numpy ones, which are written independently."""

import numpy as np
import pytest
import torch

from cortexres.bridge.transfer import ResponseTime, Transfer
from cortexres.meanfield import NeuronParameters, response_time_table, siegert_gain_mean, siegert_rate

SLOW = NeuronParameters(20.0, 2.0, 20.2, 10.0)
FAST = NeuronParameters(10.0, 1.0, 19.0, 8.0)
MU, SIGMA, SHIFT = (a.ravel() for a in np.meshgrid(np.linspace(-10, 60, 36), [3.0, 5.0, 8.0], [0.0, 0.1]))


@pytest.mark.parametrize("neuron", [SLOW, FAST])
def test_rate_is_the_siegert_rate(neuron: NeuronParameters) -> None:
    inputs = (torch.from_numpy(a)[:, None] for a in (MU, SIGMA, SHIFT))
    found = Transfer([neuron])(*inputs)[:, 0].numpy()
    expected = siegert_rate(MU, SIGMA, shift=SHIFT, **neuron._asdict())
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_units_keep_their_own_neurons() -> None:
    column = torch.full((1, 2), 15.0, dtype=torch.float64)
    found = Transfer([SLOW, FAST])(column, column / 3, 0 * column)[0]
    for k, neuron in enumerate((SLOW, FAST)):
        assert float(found[k]) == pytest.approx(float(siegert_rate(15.0, 5.0, **neuron._asdict())), rel=1e-10)


def test_gradient_is_the_gain() -> None:
    mu = torch.from_numpy(MU)[:, None].requires_grad_()
    Transfer([SLOW])(mu, torch.from_numpy(SIGMA)[:, None], torch.zeros(len(MU), 1)).sum().backward()
    assert mu.grad is not None
    expected = siegert_gain_mean(MU, SIGMA, **SLOW._asdict())
    np.testing.assert_allclose(mu.grad[:, 0].numpy(), expected, rtol=1e-7, atol=1e-10)


def test_extreme_inputs_give_finite_rates_and_gradients() -> None:
    mu = torch.tensor([[-1e4], [-300.0], [300.0], [1e4]], dtype=torch.float64, requires_grad=True)
    rates = Transfer([SLOW])(mu, torch.full_like(mu, 1.0), torch.zeros_like(mu))
    rates.sum().backward()
    assert torch.isfinite(rates).all()
    assert mu.grad is not None
    assert torch.isfinite(mu.grad).all()
    assert (rates[:2] < 1e-200).all()
    assert (rates[2:] > 300).all()


def test_response_time_reads_the_table_of_each_kind() -> None:
    tables = [
        response_time_table(**kind._asdict(), sigma_range_mV=limits)
        for kind, limits in ((SLOW, (4.0, 7.0)), (FAST, (3.0, 9.0)))
    ]
    rng = np.random.default_rng(1)
    mu, sigma = rng.uniform(-30, 90, (50, 3)), rng.uniform(2, 12, (50, 3))
    found = ResponseTime(tables, [0, 1, 0])(torch.from_numpy(mu), torch.from_numpy(sigma)).numpy()
    for unit, kind in enumerate((0, 1, 0)):
        expected = tables[kind](mu[:, unit], sigma[:, unit])
        inside = expected > 0.2  # below, the shortest response time takes over
        np.testing.assert_allclose(found[inside, unit], expected[inside], rtol=1e-9)
    assert found.min() >= 0.05
