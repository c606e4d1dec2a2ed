"""Spectra of Jacobians against powers of a matrix and finite differences."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import xarray as xr
from chain_examples import Residual, Whole, identity, repeated
from torch import Tensor, nn

from cortexres.definitions import FrontEnd
from cortexres.diagnostics.jacobian import jacobian_spectra
from cortexres.errors import ArgumentError
from cortexres.nn import Block, Chain, Dense, Norm, Projection, Recurrent, ResidualNetwork, Scaled, Step

RNG = np.random.default_rng(0)
UNITS, STEPS = 5, 6
INPUTS = torch.as_tensor(RNG.normal(size=(3, UNITS)))


def linear_residual(scale: float = 0.4) -> tuple[Whole, np.ndarray]:
    """Return h + W h, T times, and I + W."""
    dense = Dense(UNITS, activation=identity, bias=False, rng=1, dtype=torch.float64)
    network = Whole(Recurrent(Block(dense, Scaled(scale)), steps=STEPS, readout="last"))
    return network, np.eye(UNITS) + scale * dense.layers[0].weight.detach().numpy()


def moduli(matrix: np.ndarray) -> np.ndarray:
    return np.sort(np.abs(np.linalg.eigvals(matrix)))[::-1]


def test_linear_tied_network_is_a_power() -> None:
    network, step = linear_residual()
    found = jacobian_spectra(network, INPUTS)
    assert found["singular_value"].dims == ("stimulus", "block", "rank")
    for k in range(STEPS):
        power = np.linalg.matrix_power(step, k + 1)
        at = found.isel(block=k)
        for stimulus in range(3):
            one = at.isel(stimulus=stimulus)
            modulus = np.hypot(one["eigenvalue_real"], one["eigenvalue_imag"])
            np.testing.assert_allclose(one["singular_value"], np.linalg.svd(step)[1], rtol=1e-12)
            np.testing.assert_allclose(modulus, moduli(step), rtol=1e-12)
            np.testing.assert_allclose(one["product_log_singular_value"], np.log(np.linalg.svd(power)[1]), atol=1e-9)
            np.testing.assert_allclose(one["product_log_eigenvalue"], (k + 1) * np.log(moduli(step)), atol=1e-9)


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_product_is_held_in_logarithms(factor: float) -> None:
    """400 steps of a factor of 1000 are far beyond what double precision can hold."""
    found = jacobian_spectra(repeated(lambda h: factor * h, 2, steps=400), torch.zeros(1, 2).double())
    expected = np.arange(1, 401) * np.log(factor)
    np.testing.assert_allclose(found["product_log_singular_value"][0, :, 0], expected, rtol=1e-12)
    np.testing.assert_allclose(found["product_log_eigenvalue"][0, :, 1], expected, rtol=1e-12)


def test_what_the_product_loses_is_undefined() -> None:
    """Directions that grow and shrink part by a factor of 16 per step: beyond 1e16, rounding is all that is left."""
    scale = torch.tensor([4.0, 0.25]).double()
    found = jacobian_spectra(repeated(lambda h: scale * h, 2, steps=20), torch.zeros(1, 2).double())
    smallest = found["product_log_singular_value"][0, :, 1]
    np.testing.assert_allclose(smallest[:12], np.arange(1, 13) * np.log(0.25), rtol=1e-9)
    assert np.isnan(smallest[14:]).all()
    assert smallest.attrs["undefined"]


def test_flat_map_has_no_logarithms() -> None:
    found = jacobian_spectra(repeated(torch.zeros_like, 2, steps=2), INPUTS[:, :2])
    assert np.isnan(found["product_log_singular_value"]).all()
    np.testing.assert_array_equal(found["singular_value"], 0)


def finite_differences(step: nn.Module, state: Tensor, drive: Tensor) -> np.ndarray:
    """Return the Jacobian of one input's step by central differences."""
    columns, eps = [], 1e-6
    for unit in range(state.numel()):
        way = torch.zeros_like(state).flatten()
        way[unit] = eps
        there, back = (step(state + sign * way.view_as(state), drive).flatten() for sign in (1, -1))
        columns.append((there - back).detach().numpy() / (2 * eps))
    return np.stack(columns, axis=1)


def maps() -> Whole:
    torch.manual_seed(0)
    branch = nn.Sequential(nn.BatchNorm2d(2), nn.Tanh(), nn.Conv2d(2, 2, 3, padding=1))
    block = Block(Residual(branch, 2, state_dims=3), Scaled(0.5), activation=torch.tanh)
    blocks = [copy.deepcopy(block) for _ in range(3)]
    return Whole(Recurrent(blocks, readout="last"), nn.Flatten()).double()


def test_maps_under_a_drive_are_finite_differences() -> None:
    network, images = maps().eval(), torch.as_tensor(RNG.normal(size=(2, 2, 3, 3)))
    found = jacobian_spectra(network, images)
    states = network.chain().states(images)
    for stimulus in range(2):
        product = np.eye(18)
        for k in range(3):
            jacobian = finite_differences(
                network.recurrent.blocks[k], states[k][stimulus, None], images[stimulus, None]
            )
            product = jacobian @ product
            expected = np.linalg.svd(jacobian)[1], np.log(np.linalg.svd(product)[1])
            at = found.isel(stimulus=stimulus, block=k)
            np.testing.assert_allclose(at["singular_value"], expected[0], rtol=1e-6)
            np.testing.assert_allclose(at["product_log_singular_value"], expected[1], atol=1e-6)
    assert list(found["name"].to_numpy()) == ["recurrent.0", "recurrent.1", "recurrent.2"]


def test_batch_statistics_are_held_and_the_network_is_left_untouched() -> None:
    network, images = maps(), torch.as_tensor(RNG.normal(size=(4, 2, 3, 3)))
    before = copy.deepcopy(network.state_dict())
    found = jacobian_spectra(network, images)
    assert found.attrs["batch_statistics"] == "of the batch, held constant"
    assert network.training
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


def test_norms_per_step_are_used_at_their_step() -> None:
    """A tied network has the Jacobians of its untied twin."""
    dense = Dense(UNITS, norm=Norm("layer", steps=2), activation=identity, bias=False, rng=1, dtype=torch.float64)
    with torch.no_grad():
        dense.norms[0].weight[1] = 3.0
    network = Whole(Recurrent(Block(dense), steps=2, injection="first", readout="last"))
    untied = Whole(network.recurrent.to_untied())
    for name in ("singular_value", "product_log_singular_value"):
        np.testing.assert_array_equal(jacobian_spectra(network, INPUTS)[name], jacobian_spectra(untied, INPUTS)[name])


def test_change_of_size_has_singular_values_and_no_eigenvalues() -> None:
    first = Block(Residual(nn.Linear(4, 2), 4), Projection(4, 2, state_dims=1))
    second = Block(Residual(nn.Linear(2, 2), 2))
    chain = Chain(lambda x: (x, None), (Step(first, 0, 0, "a"), Step(second, 0, 1, "b")), nn.Identity())
    found = jacobian_spectra(chain, torch.randn(3, 4))
    assert found.sizes["rank"] == 2
    assert np.isnan(found["eigenvalue_real"].sel(block=1)).all()
    assert np.isnan(found["product_log_eigenvalue"]).all()
    for name in ("singular_value", "product_log_singular_value"):
        assert np.isfinite(found[name]).all()
    assert np.isfinite(found["eigenvalue_real"].sel(block=2)).all()
    np.testing.assert_array_equal(found["stage"], [0, 1])


def test_stimuli_are_seen_by_the_network_and_keep_their_numbers() -> None:
    front_end = FrontEnd(kind="random_fields", channels=6, gain_mV=4.0, seed=3)
    network = ResidualNetwork(6, 4, 3, steps=3, tied=True, front_end=front_end, rng=0)
    image = (("stimulus", "y", "x"), RNG.random((2, 8, 8)))
    coords = {"stimulus": [10, 11], "label": ("stimulus", [0, 1]), "y": np.arange(8), "x": np.arange(8)}
    stimuli = xr.Dataset({"image": image}, coords=coords)
    found = jacobian_spectra(network, stimuli)
    np.testing.assert_array_equal(found["stimulus"], [10, 11])
    expected = jacobian_spectra(network, network.inputs(stimuli))["singular_value"]
    np.testing.assert_array_equal(found["singular_value"], expected)
    assert found.attrs["model"] == "tied ResNet"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_is_the_cpu() -> None:
    network, images = maps().eval(), torch.as_tensor(RNG.normal(size=(2, 2, 3, 3)))
    here = jacobian_spectra(network, images)
    there = jacobian_spectra(network.cuda(), images.cuda())
    np.testing.assert_allclose(there["product_log_singular_value"], here["product_log_singular_value"], atol=1e-8)


def test_large_states_are_refused() -> None:
    with pytest.raises(ArgumentError, match="expected at most 4096"):
        jacobian_spectra(repeated(torch.tanh, 5000), torch.zeros(1, 5000))


def test_states_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"not finite at recurrent\.0"):
        jacobian_spectra(repeated(torch.sqrt, 2), torch.zeros(1, 2))


def test_chain_without_steps_is_refused() -> None:
    with pytest.raises(ArgumentError, match="without residual steps"):
        jacobian_spectra(Chain(lambda x: (x, None), (), nn.Identity()), INPUTS)
