"""Lyapunov exponents of linear maps, of the Hénon and logistic maps, and of random networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from chain_examples import Residual, Whole, driven, identity, repeated
from torch import Tensor, nn

from cortexres.diagnostics.lyapunov import lyapunov_exponents
from cortexres.errors import ArgumentError
from cortexres.nn import Block, Chain, Dense, Norm, NoShortcut, Recurrent, Scaled, Step

RNG = np.random.default_rng(0)


def henon(state: Tensor) -> Tensor:
    x, y = state.unbind(1)
    return torch.stack([1 - 1.4 * x**2 + y, 0.3 * x], dim=1)


def test_linear_map_has_the_logarithms_of_its_eigenvalues() -> None:
    matrix = torch.as_tensor(RNG.normal(size=(4, 4))) / 3
    found = lyapunov_exponents(repeated(lambda h: h @ matrix.T, 4), torch.zeros(2, 4).double(), steps=1500, rng=0)
    expected = np.log(np.sort(np.abs(np.linalg.eigvals(matrix.numpy())))[::-1])
    # a complex pair turns, and is met only on average
    np.testing.assert_allclose(found["exponent"], [expected, expected], atol=5e-3)
    np.testing.assert_allclose(found["exponent"].sum("rank"), np.linalg.slogdet(matrix.numpy())[1], rtol=1e-12)


def test_residual_step_of_a_symmetric_matrix_is_exact() -> None:
    values = np.array([0.5, 0.2, -0.4])
    basis, _ = np.linalg.qr(RNG.normal(size=(3, 3)))
    network = driven(Block(Dense(3, activation=identity, bias=False, dtype=torch.float64), Scaled(0.5)))
    with torch.no_grad():
        network.recurrent.block.transform.layers[0].weight.copy_(torch.as_tensor(basis * values @ basis.T))
    found = lyapunov_exponents(network, torch.zeros(1, 3).double(), steps=100, transient=400, rng=0)
    np.testing.assert_allclose(found["exponent"][0], np.log(1 + 0.5 * values), atol=1e-12)
    np.testing.assert_allclose(found["standard_error"], 0, atol=1e-12)


def test_henon_map() -> None:
    """0.419 (Sprott 2003); the sum is log 0.3, as the area shrinks by that at each step."""
    starts = torch.as_tensor(RNG.uniform(-0.1, 0.1, size=(40, 2)))
    found = lyapunov_exponents(repeated(henon, 2), starts, steps=1000, rng=0)
    assert found["exponent"][:, 0].mean().item() == pytest.approx(0.419, abs=0.005)
    np.testing.assert_allclose(found["exponent"].sum("rank"), np.log(0.3), rtol=1e-9)
    scatter = found["exponent"][:, 0].std().item()
    assert found["standard_error"][:, 0].mean().item() == pytest.approx(scatter, rel=0.5)


def test_logistic_map_at_four_doubles() -> None:
    starts = torch.as_tensor(RNG.uniform(0.2, 0.8, size=(50, 1)))
    found = lyapunov_exponents(repeated(lambda h: 4 * h * (1 - h), 1), starts, steps=400, rng=0)
    assert found["exponent"].mean().item() == pytest.approx(np.log(2), abs=0.005)


def rate_network(gain: float, units: int = 100) -> tuple[Whole, np.ndarray]:
    weight = gain * RNG.normal(size=(units, units)) / units**0.5
    dense = Dense(units, bias=False, dtype=torch.float64)
    with torch.no_grad():
        dense.layers[0].weight.copy_(torch.as_tensor(weight))
    return driven(Block(dense, NoShortcut()), injection="first"), weight


def test_random_network_dies_below_a_gain_of_one_at_the_rate_of_its_eigenvalue() -> None:
    network, weight = rate_network(0.5)
    start = torch.as_tensor(RNG.normal(size=(1, 100)))
    found = lyapunov_exponents(network, start, steps=500, n_exponents=2, rng=0)
    radius = np.abs(np.linalg.eigvals(weight)).max()
    assert found["exponent"][0, 0].item() == pytest.approx(np.log(radius), abs=0.01)
    assert found["exponent"][0, 0] < 0


def test_random_network_is_chaotic_well_above() -> None:
    network, _ = rate_network(3.0)
    start = torch.as_tensor(RNG.normal(size=(1, 100)))
    found = lyapunov_exponents(network, start, steps=300, n_exponents=3, rng=0)
    assert found["exponent"][0, 0] > 0.2
    assert np.all(np.diff(found["exponent"]) <= 0.02)


def test_flat_direction_is_minus_infinity() -> None:
    found = lyapunov_exponents(repeated(lambda h: h * torch.tensor([1.0, 0.0]), 2), torch.ones(1, 2), steps=20, rng=0)
    np.testing.assert_allclose(found["exponent"][0], [0, -np.inf], atol=1e-6)
    assert np.isnan(found["standard_error"][0, 1])


def test_maps_are_flattened() -> None:
    convolution = nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular", bias=False, dtype=torch.float64)
    with torch.no_grad():
        convolution.weight[:] = torch.as_tensor(np.array([[0.0, 0.1, 0.0], [0.1, 0.5, 0.1], [0.0, 0.1, 0.0]]))
    network = repeated(convolution, 1, state_dims=3)
    found = lyapunov_exponents(network, torch.zeros(1, 1, 4, 4).double(), steps=50, transient=100, n_exponents=1, rng=0)
    assert found["exponent"].item() == pytest.approx(np.log(0.9), abs=1e-9)


def test_runs_longer_than_the_network_and_under_its_drive() -> None:
    """A strong drive saturates every unit: the state is forgotten at once."""
    network = driven(Block(Dense(3, rng=0, dtype=torch.float64), NoShortcut()), steps=2)
    drives = torch.tensor([[0.0, 0.0, 0.0], [5.0, -5.0, 5.0]]).double()
    found = lyapunov_exponents(network, drives, steps=50, rng=0)
    assert found["exponent"][1, 0] < found["exponent"][0, 0] - 2
    assert found.attrs["steps"] == 50


def test_normalisation_that_steps_share() -> None:
    norm = Norm("layer", steps=1, affine="shared")
    network = driven(Block(Dense(3, norm=norm, rng=0, dtype=torch.float64), NoShortcut()), steps=4)
    drive = torch.as_tensor(RNG.normal(size=(1, 3)))
    assert np.isfinite(lyapunov_exponents(network, drive, steps=20, n_exponents=1, rng=0)["exponent"]).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_is_the_cpu() -> None:
    starts = torch.full((2, 2), 0.1).double()
    here = lyapunov_exponents(repeated(henon, 2), starts, steps=20, transient=0, rng=0)
    there = lyapunov_exponents(repeated(henon, 2), starts.cuda(), steps=20, transient=0, rng=0)
    np.testing.assert_allclose(there["exponent"], here["exponent"], atol=1e-8)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"steps": 9}, "10 or more, and 0 or more"),
        ({"transient": -1}, "10 or more, and 0 or more"),
        ({"n_exponents": 3}, "expected 1 to 2, the number of units"),
        ({"n_exponents": 0}, "expected 1 to 2, the number of units"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, int], match: str) -> None:
    with pytest.raises(ArgumentError, match=match):
        lyapunov_exponents(repeated(henon, 2), torch.zeros(1, 2), **options)


def test_growth_without_bound_is_refused() -> None:
    with pytest.raises(ArgumentError, match="grows without bound within 20 steps"):
        lyapunov_exponents(repeated(henon, 2), torch.full((1, 2), 10.0), steps=10, transient=10, rng=0)


def dense() -> Dense:
    return Dense(2, rng=0)


def test_untied_network_is_refused() -> None:
    network = driven([Block(dense()), Block(dense())], steps=2)
    with pytest.raises(ArgumentError, match="got steps of several blocks"):
        lyapunov_exponents(network, torch.zeros(1, 2))


@pytest.mark.parametrize("norm", [Norm("layer", steps=2), Norm("batch", steps=2, affine="none")])
def test_norms_per_step_are_refused(norm: Norm) -> None:
    network = driven(Block(Dense(2, norm=norm, rng=0)), steps=2).eval()
    with pytest.raises(ArgumentError, match="each step is another map"):
        lyapunov_exponents(network, torch.zeros(1, 2))


def test_batch_statistics_are_refused() -> None:
    network = driven(Block(Residual(nn.BatchNorm1d(2), 2)))
    with pytest.raises(ArgumentError, match="depends on the others"):
        lyapunov_exponents(network, torch.zeros(3, 2))


def test_chain_without_steps_or_with_other_shapes_is_refused() -> None:
    with pytest.raises(ArgumentError, match="without residual steps"):
        lyapunov_exponents(Chain(lambda x: (x, None), (), nn.Identity()), torch.zeros(1, 2))
    narrowing = Step(Block(Residual(nn.Linear(4, 2), 4), NoShortcut()), 0, 0, "a")
    with pytest.raises(ArgumentError, match="expected one shape"):
        lyapunov_exponents(Chain(lambda x: (x, None), (narrowing,), nn.Identity()), torch.zeros(1, 4))


def test_recurrent_is_followed_as_it_runs() -> None:
    """The map is the network's own step: its trajectory under a drive."""
    from cortexres.diagnostics.autonomous import autonomous_map

    recurrent = Recurrent(Block(dense(), Scaled(0.3)), steps=3, readout="last")
    drive = torch.randn(2, 2)
    follow = autonomous_map(Chain(recurrent.entered, recurrent.chain_steps(stage=0, name="r"), identity), drive)
    torch.testing.assert_close(follow(follow(follow(follow.start))), recurrent(drive)[0], rtol=0, atol=0)
