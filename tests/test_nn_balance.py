"""Balanced excitation and inhibition: eigenvalues, closed forms, and the dynamics they stand for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from cortexres import nn
from cortexres.errors import ArgumentError
from cortexres.nn.balance import balanced, stability
from cortexres.nn.dale import signs_of


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("n", "m"), [(1, 1), (4, 2), (80, 20)])
@pytest.mark.parametrize(("excitation", "inhibition"), [(2.0, None), (4.0, 4.5), (0.5, 0.2)])
def test_initial_weights_are_as_stable_as_they_say(
    n: int, m: int, excitation: float, inhibition: float | None, seed: int
) -> None:
    weight = balanced(signs_of(n, m), (n + m, n + m), excitation=excitation, inhibition=inhibition, rng=seed).numpy()
    alone, whole = np.linalg.eigvals(weight[:n, :n]), np.linalg.eigvals(weight)
    assert abs(np.abs(alone).max() - excitation) <= 1e-12 * excitation * n
    assert np.abs(whole).max() <= 0.909 + 1e-6
    balance = excitation - (excitation if inhibition is None else inhibition)
    np.testing.assert_allclose(weight.sum(1), balance, rtol=0, atol=1e-12)
    for gamma in (None, 0.1, 1.0):
        found = stability(torch.as_tensor(weight), n, gamma=gamma)
        assert found.inhibition_stabilised == (excitation > 1)
        step = whole if gamma is None else 1 - gamma + gamma * whole
        assert found.whole == pytest.approx(step.real.max() if gamma is None else np.abs(step).max(), abs=1e-10)


def test_balance_takes_the_mean_away() -> None:
    """Inhibition is initialised to centre, as Cornford et al. (2021) have it."""
    rates = torch.full((1, 6), 3.0, dtype=torch.float64)
    transform = nn.ExcitatoryInhibitory(4, 2, final_activation=False, rng=0, dtype=torch.float64)
    torch.testing.assert_close(transform(rates), 0 * rates, rtol=0, atol=1e-14)


def test_stability_of_a_pair_has_a_closed_form() -> None:
    """tau dE/dt = -E + a E - b I, tau dI/dt = -I + c E - d I (Tsodyks et al. 1997)."""
    a, b, c, d = 2.0, 2.5, 3.0, 1.0
    found = stability(torch.tensor([[a, -b], [c, -d]]), 1)
    half, root = (a - d) / 2, np.sqrt(complex((a + d) ** 2 / 4 - b * c))
    assert found.excitatory == a
    assert found.whole == pytest.approx((half + root).real)
    assert found.inhibition_stabilised
    assert not stability(torch.tensor([[a, -b], [c, -d]]), 1, gamma=1.0).inhibition_stabilised  # the step is too large
    slow = stability(torch.tensor([[a, -b], [c, -d]]), 1, gamma=torch.tensor([0.5, 0.01]))
    assert slow.whole > 1  # inhibition that comes too late


def test_stability_of_kernels_is_that_of_all_units_of_a_torus() -> None:
    shape, n = (3, 3, 3, 3), 2
    kernels = balanced(signs_of(2, 1).view(1, 3, 1, 1), shape, excitation=3.0, rng=0)
    units = torch.eye(3 * 16 * 16, dtype=torch.float64).view(-1, 3, 16, 16)
    wrapped = torch.nn.functional.pad(units, (1, 1, 1, 1), mode="circular")
    matrix = torch.nn.functional.conv2d(wrapped, kernels).flatten(1).T.numpy()
    inside = n * 16 * 16
    found = stability(kernels, n)
    assert found.excitatory == pytest.approx(np.linalg.eigvals(matrix[:inside, :inside]).real.max(), abs=1e-9)
    assert found.excitatory == pytest.approx(3.0, abs=1e-12)
    assert found.whole == pytest.approx(np.linalg.eigvals(matrix).real.max(), abs=1e-9)
    assert found.inhibition_stabilised
    assert stability(kernels, n, gamma=1.0).whole <= 0.909


def settled(weight: Tensor, current: Tensor, start: Tensor) -> Tensor:
    """Return the rates of rectified units after many leaky steps."""
    for _ in range(2000):
        start = 0.8 * start + 0.2 * torch.relu(weight @ start + current)
    return start


@pytest.mark.parametrize(("excitation", "direction"), [(2.0, -1), (0.5, 1)])
def test_inhibition_holds_what_would_run_away_and_answers_paradoxically(excitation: float, direction: int) -> None:
    """More drive to inhibitory units lowers their rates where they stabilise the network, and only there."""
    n, m = 80, 20
    weight = balanced(signs_of(n, m), (n + m, n + m), excitation=excitation, rng=0)
    rates = 1 + 0.1 * torch.linspace(-1, 1, n + m, dtype=torch.float64)
    current = rates - weight @ rates
    torch.testing.assert_close(settled(weight, current, rates + 1e-3), rates, rtol=0, atol=1e-9)
    alone, held = weight[:n, :n], current[:n] + weight[:n, n:] @ rates[n:]  # inhibition cannot follow
    away = float((settled(alone, held, rates[:n] + 1e-3) - rates[:n]).abs().max())
    assert (away > 1e3) == (excitation > 1)
    more = current + 1e-2 * (signs_of(n, m) < 0)
    assert direction * float((settled(weight, more, rates) - rates)[n:].mean()) > 1e-3


@pytest.mark.parametrize("excitation", [-1.0, 3.0])
def test_sums_that_cannot_balance_are_refused(excitation: float) -> None:
    with pytest.raises(ArgumentError, match="expected sums of 0 or more that differ by at most the radius"):
        balanced(signs_of(4, 2), (6, 6), excitation=excitation, inhibition=1.0)


def test_stability_is_of_square_weights_of_both_kinds() -> None:
    for weight, n in ((torch.ones(3, 2), 1), (torch.ones(3, 3), 3), (torch.ones(3, 3, 3), 1)):
        with pytest.raises(ArgumentError, match="expected a square one with 1 or more of both kinds"):
            stability(weight, n)
