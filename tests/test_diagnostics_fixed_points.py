"""Fixed points of linear networks, of one unit, of Hopfield's memories, of rate equations and of a circuit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from chain_examples import Whole, driven, identity, repeated
from scipy.optimize import brentq, root
from torch import nn

from cortexres.bridge import residual_network
from cortexres.definitions import Circuit
from cortexres.diagnostics.fixed_points import fixed_points
from cortexres.errors import ArgumentError
from cortexres.meanfield import fixed_point, mean_field
from cortexres.nn import Block, Dense, LearnedScale, NoShortcut, SoftAssignment

RNG = np.random.default_rng(0)


def with_weight(dense: Dense, weight: np.ndarray) -> Dense:
    with torch.no_grad():
        dense.layers[0].weight.copy_(torch.as_tensor(weight))
    return dense


def rate_network(weight: np.ndarray, gamma: float = 1.0) -> Whole:
    """Return h' = (1 - gamma) h + gamma tanh(W h + u)."""
    dense = with_weight(Dense(len(weight), bias=False, dtype=torch.float64), weight)
    return driven(Block(dense, SoftAssignment(gamma)), steps=3)


def moduli(found: xr.Dataset) -> np.ndarray:
    return np.hypot(found["eigenvalue_real"], found["eigenvalue_imag"])


def test_linear_network_has_one_point_in_closed_form() -> None:
    weight = RNG.normal(size=(4, 4)) / 4
    dense = with_weight(Dense(4, activation=identity, bias=False, dtype=torch.float64), weight)
    drives = torch.as_tensor(RNG.normal(size=(3, 4)))
    found = fixed_points(driven(Block(dense, NoShortcut())), drives, starts=5, rng=0)
    np.testing.assert_allclose(found["state"], np.linalg.solve(np.eye(4) - weight, drives.numpy().T).T, atol=1e-12)
    np.testing.assert_array_equal(found["stimulus"], [0, 1, 2])
    np.testing.assert_array_equal(found["hits"], found.attrs["searches"])
    expected = np.sort(np.abs(np.linalg.eigvals(weight)))[::-1]
    np.testing.assert_allclose(moduli(found), [expected] * 3, atol=1e-12)
    assert found["stable"].all()
    assert (found["residual"] < 1e-12).all()


def test_repeller_is_found_and_its_unstable_directions_counted() -> None:
    scale = torch.tensor([2.0, -3.0, 0.5]).double()
    found = fixed_points(repeated(lambda h: scale * h + 1, 3), torch.zeros(1, 3).double(), starts=3, rng=0)
    np.testing.assert_allclose(found["state"], [[-1, 0.25, 2]], atol=1e-10)
    assert not found["stable"]
    assert found["n_unstable"].item() == 2
    assert found["spectral_radius"].item() == pytest.approx(3)


@pytest.mark.parametrize(("gain", "count"), [(0.5, 1), (2.0, 3)])
def test_one_unit_has_three_points_above_a_gain_of_one(gain: float, count: int) -> None:
    found = fixed_points(rate_network(np.array([[gain]])), torch.zeros(1, 1).double(), spread=2.0, rng=0)
    assert found.sizes["fixed_point"] == count
    ordered = found.sortby(found["state"][:, 0])
    upper = brentq(lambda h: np.tanh(gain * h) - h, 0.1, 2) if count == 3 else 0.0
    expected = np.array([-upper, 0, upper]) if count == 3 else np.zeros(1)
    np.testing.assert_allclose(ordered["state"][:, 0], expected, atol=1e-10)
    np.testing.assert_allclose(ordered["eigenvalue_real"][:, 0], gain * (1 - expected**2), atol=1e-9)
    np.testing.assert_array_equal(ordered["stable"], [True, False, True] if count == 3 else [True])


def test_drive_that_stays_on_leaves_one_side() -> None:
    """Beyond a drive of about 0.53 a unit of gain 2 has one fixed point."""
    found = fixed_points(rate_network(np.array([[2.0]])), torch.tensor([[0.3], [0.8]]).double(), spread=2.0, rng=0)
    assert [int((found["stimulus"] == stimulus).sum()) for stimulus in (0, 1)] == [3, 1]


def test_hopfield_memories_attract() -> None:
    """Orthogonal patterns, gain 2: each is an attractor at the height of one unit's, and so is its negative."""
    patterns = np.array([[1, 1, 1, 1, 1, 1, 1, 1], [1, -1, 1, -1, 1, -1, 1, -1], [1, 1, -1, -1, 1, 1, -1, -1]])
    network = rate_network(2.0 * patterns.T @ patterns / 8, gamma=0.5)
    found = fixed_points(network, torch.zeros(1, 8).double(), starts=60, spread=1.0, rng=0)
    height = brentq(lambda h: np.tanh(2 * h) - h, 0.1, 2)
    attractors = found["state"].to_numpy()[found["stable"].to_numpy()]
    for pattern in (*patterns, *-patterns):
        assert np.abs(attractors - height * pattern).max(axis=1).min() < 1e-8
    assert (np.abs(found["state"]).max("unit") < 1e-8).any()  # rest is one, and no attractor
    assert found["residual"].max() <= found.attrs["tolerance"]


def test_rate_equation_has_the_same_points_and_its_stability() -> None:
    """tau dr/dt = -r + tanh(W r + u): eigenvalues of the step are 1 + dt/tau times those of the equation."""
    weight, gamma = 1.2 * RNG.normal(size=(6, 6)) / 6**0.5, 0.1
    drive = RNG.normal(size=6)
    found = fixed_points(rate_network(weight, gamma), torch.as_tensor(drive)[None], starts=3, rng=0)
    rates = found["state"][0].to_numpy()
    solved = root(lambda r: -r + np.tanh(weight @ r + drive), rates + 0.01).x
    np.testing.assert_allclose(rates, solved, atol=1e-8)
    linear = -np.eye(6) + (1 - rates**2)[:, None] * weight
    expected = 1 + gamma * np.linalg.eigvals(linear)
    got = found["eigenvalue_real"][0].to_numpy() + 1j * found["eigenvalue_imag"][0].to_numpy()
    np.testing.assert_allclose(np.sort_complex(got), np.sort_complex(expected), atol=1e-8)


def test_network_of_a_circuit_rests_where_its_mean_field_does(tiny_circuit: Circuit) -> None:
    network = residual_network(tiny_circuit, dt_ms=1.0, duration_ms=2.0, check=False)
    block, units = network.block, mean_field(tiny_circuit).units
    drive = torch.zeros(1, units, dtype=torch.float64)
    start = torch.zeros(1, block.channels, units, dtype=torch.float64)
    step = repeated(lambda state: state + block(state, drive), block.channels, state_dims=2)
    found = fixed_points(step, start, starts=0, iterations=50)
    expected = fixed_point(mean_field(tiny_circuit)).rates
    np.testing.assert_allclose(found["state"][0, :units], expected, rtol=1e-4)
    assert found["stable"].all()


def test_maps_are_flattened() -> None:
    convolution = nn.Conv2d(1, 1, 3, padding=1, dtype=torch.float64)
    with torch.no_grad():
        convolution.weight.mul_(0.5)
    found = fixed_points(repeated(convolution, 1, state_dims=3), torch.zeros(1, 1, 3, 4).double(), starts=2, rng=0)
    state = torch.as_tensor(found["state"].to_numpy()).view(1, 1, 3, 4)
    torch.testing.assert_close(convolution(state), state, rtol=0, atol=1e-12)


def test_single_precision_finds_the_same() -> None:
    network = driven(Block(Dense(1, bias=False), NoShortcut()))
    with torch.no_grad():
        network.recurrent.block.transform.layers[0].weight.fill_(2.0)
    found = fixed_points(network, torch.zeros(1, 1), spread=2.0, rng=0)
    np.testing.assert_allclose(np.sort(found["state"][:, 0]), [-0.957504, 0, 0.957504], atol=1e-3)


def test_map_without_fixed_points_has_none() -> None:
    found = fixed_points(repeated(lambda h: h + 1 + h**2, 2), torch.zeros(1, 2).double(), starts=2, rng=0)
    assert found.sizes["fixed_point"] == 0
    assert found["state"].dims == ("fixed_point", "unit")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_is_the_cpu() -> None:
    network, drive = rate_network(np.array([[2.0]])), torch.zeros(1, 1).double()
    here = fixed_points(network, drive, spread=2.0, rng=0)
    there = fixed_points(network.cuda(), drive.cuda(), spread=2.0, rng=0)
    np.testing.assert_allclose(np.sort(there["state"][:, 0]), np.sort(here["state"][:, 0]), atol=1e-8)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"starts": -1}, "starts=-1, expected 0 or more"),
        ({"iterations": -1}, "iterations=-1, expected 0 or more"),
        ({"spread": 0.0}, "spread=0.0, expected a positive"),
        ({"distance": 0.0}, "distance=0.0, expected a positive"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], match: str) -> None:
    with pytest.raises(ArgumentError, match=match):
        fixed_points(repeated(torch.tanh, 2), torch.zeros(1, 2), **options)


def test_identity_is_refused() -> None:
    """A learned scale starts at 0: the block is the identity, and every state stays."""
    network = driven(Block(Dense(2, rng=0), LearnedScale(2)), injection="first")
    with pytest.raises(ArgumentError, match="every state is a fixed point"):
        fixed_points(network, torch.zeros(1, 2), rng=0)


def test_untied_network_is_refused() -> None:
    network = driven([Block(Dense(2, rng=k)) for k in range(2)], steps=2)
    with pytest.raises(ArgumentError, match="got steps of several blocks"):
        fixed_points(network, torch.zeros(1, 2))


def test_large_states_are_refused() -> None:
    with pytest.raises(ArgumentError, match="expected at most 4096"):
        fixed_points(repeated(lambda h: 0.5 * h, 5000), torch.zeros(1, 5000), starts=1, rng=0)


