"""Correlation of gradients between inputs: closed forms, and the laws of Balduzzi et al. (2017)."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from chain_examples import Residual, Whole, repeated
from torch import Tensor, nn

from cortexres.diagnostics.shattering import gradient_correlation
from cortexres.errors import ArgumentError
from cortexres.nn import Block, Dense, Norm, NoShortcut, Recurrent, Scaled
from cortexres.nn.initial import linear
from cortexres.nn.transforms.looks_linear import LooksLinear, crelu, looks_linear_

UNITS, BATCH, OUTPUTS = 100, 64, 20
RNG = np.random.default_rng(0)


class Rectified(nn.Module):
    """W relu(norm(h)) with He's variance; as a plain layer or as a residual branch."""

    state_dims = stride = 1
    takes_drive = False

    def __init__(self, norm: Norm | None, rng: np.random.Generator) -> None:
        super().__init__()
        self.in_channels = self.out_channels = UNITS
        self.norm = None if norm is None else norm.build(UNITS)
        self.layer = linear(UNITS, UNITS, scale=(2 / UNITS) ** 0.5, bias=False, rng=rng)

    def forward(self, state: Tensor, drive: Tensor | None = None, step: int = 0) -> Tensor:
        return self.layer(torch.relu(state if self.norm is None else self.norm(state, step)))

    def initial_state(self, drive: Tensor) -> Tensor:
        return torch.zeros_like(drive)


def plain(rng: np.random.Generator) -> Block:
    return Block(Rectified(Norm("batch"), rng), NoShortcut())


def residual(rng: np.random.Generator) -> Block:
    return Block(Rectified(None, rng))


def normalised(rng: np.random.Generator) -> Block:
    return Block(Rectified(Norm("batch"), rng))


def scaled(rng: np.random.Generator) -> Block:
    return Block(Rectified(Norm("batch"), rng), Scaled(0.1))


def stack(blocks: list[Block], rng: np.random.Generator) -> Whole:
    recurrent = Recurrent(blocks, injection="first", readout="last")
    return Whole(recurrent, linear(UNITS, OUTPUTS, bias=False, rng=rng))


def correlations(
    make: Callable[[np.random.Generator], Block], depths: list[int], *, outputs: int = 2, draws: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Return correlations of the gradient at the inputs, and of the last states, for networks of these depths."""
    gradients, states = np.zeros((draws, len(depths))), np.zeros((draws, len(depths)))
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        inputs = torch.as_tensor(rng.normal(size=(BATCH, UNITS)), dtype=torch.float32)
        for k, depth in enumerate(depths):
            network = stack([make(rng) for _ in range(depth)], rng)
            found = gradient_correlation(network, inputs, outputs=range(outputs))
            gradients[draw, k] = found["correlation"].sel(block=0).mean()
            states[draw, k] = found["state_correlation"][-1]
    return gradients.mean(axis=0), states.mean(axis=0)


def test_plain_layers_halve_the_correlation() -> None:
    found, _ = correlations(plain, [1, 2, 4, 8], outputs=OUTPUTS)  # 0.004 is small beside the scatter of one
    slope = np.polyfit([1, 2, 4, 8], np.log2(found), 1)[0]
    assert slope == pytest.approx(-1.0, abs=0.06)
    np.testing.assert_allclose(found[:3], [0.490, 0.248, 0.059], atol=0.02)


def test_residual_blocks_with_batch_norm_keep_a_power_of_the_depth() -> None:
    depths = [4, 14, 50]
    found, _ = correlations(normalised, depths)
    exponent = np.polyfit(np.log(depths), np.log(found), 1)[0]
    assert -0.75 < exponent < -0.45
    np.testing.assert_allclose(found[[0, -1]], [0.430, 0.090], atol=0.03)


def test_small_updates_keep_the_correlation() -> None:
    found, _ = correlations(scaled, [50])
    assert found[0] > 0.75
    assert found[0] == pytest.approx(0.808, abs=0.03)
    assert found[0] == pytest.approx((1 + 0.1**2 * 50) ** -0.5, abs=0.03)  # 1 / (beta sqrt(L)) would be 1.41


def test_residual_blocks_without_norm_leave_their_law_as_states_become_alike() -> None:
    """(3/4)^L takes states of different inputs to be uncorrelated; they are not, from some 8 blocks on."""
    depths = [1, 2, 8, 16]
    found, states = correlations(residual, depths)
    law = 0.75 ** np.array(depths)
    np.testing.assert_allclose(found[:2], law[:2], atol=0.04)
    assert found[2] > 1.5 * law[2]
    assert found[3] > 4 * law[3]
    assert np.all(np.diff(states) > 0)
    assert states[-1] > 0.6


@pytest.mark.slow
def test_whole_table_of_the_reference() -> None:
    depths = [1, 2, 4, 8, 16, 32, 50]
    table = {
        plain: [0.490, 0.248, 0.059, 0.0036, 0.001, 0.0, 0.0],
        residual: [0.745, 0.586, 0.363, 0.196, 0.080, 0.050, 0.060],
        normalised: [0.737, 0.610, 0.430, 0.305, 0.184, 0.120, 0.090],
        scaled: [0.995, 0.989, 0.980, 0.958, 0.924, 0.874, 0.808],
    }
    for make, expected in table.items():
        found, _ = correlations(make, depths, outputs=OUTPUTS, draws=10)
        print(make.__name__, np.round(found, 4))
        np.testing.assert_allclose(found, expected, atol=0.05)


def test_linear_network_has_one_gradient_for_all_inputs() -> None:
    network = stack([Block(Residual(linear(UNITS, UNITS, rng=k), UNITS)) for k in range(3)], np.random.default_rng(0))
    found = gradient_correlation(network, torch.randn(4, UNITS))
    np.testing.assert_allclose(found["correlation"], 1, atol=1e-6)
    assert found.sizes == {"block": 4, "output": OUTPUTS}
    np.testing.assert_array_equal(found["blocks_above"], [3, 2, 1, 0])
    assert list(found["name"].to_numpy()) == ["start", "recurrent.0", "recurrent.1", "recurrent.2"]


def brute_force(network: Whole, inputs: Tensor, output: int) -> float:
    """Return the mean cosine over pairs, one backward pass per input."""
    gradients = []
    for one in inputs:
        leaf = one[None].clone().requires_grad_()
        network(leaf)[0, output].backward()
        gradients.append(leaf.grad.flatten().double())
    unit = torch.stack([gradient / gradient.norm() for gradient in gradients])
    upper = torch.triu_indices(len(unit), len(unit), 1)
    return (unit @ unit.T)[upper[0], upper[1]].mean().item()


def maps(*, training: bool) -> Whole:
    torch.manual_seed(0)
    branch = nn.Sequential(nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 2, 3, padding=1))
    block = Block(Residual(branch, 2, state_dims=3))
    recurrent = Recurrent([copy.deepcopy(block) for _ in range(3)], injection="first", readout="last")
    return Whole(recurrent, nn.Sequential(nn.Flatten(), nn.Linear(32, 2))).double().train(training)


def test_maps_are_as_one_backward_pass_per_input() -> None:
    network, images = maps(training=False), torch.as_tensor(RNG.normal(size=(6, 2, 4, 4)))
    found = gradient_correlation(network, images, outputs=[1])
    assert found["correlation"][0].item() == pytest.approx(brute_force(network, images, 1), rel=1e-12)
    assert found.attrs["batch_statistics"] == "running, or none"


@pytest.mark.parametrize("norm", [Norm("batch"), Norm("batch", steps=2), Norm("batch", affine="none")])
def test_held_statistics_are_those_of_the_batch(norm: Norm) -> None:
    """Running statistics set to those that the batch has make evaluation the same function."""
    block = Block(Dense(4, norm=norm, activation=torch.relu, rng=0, dtype=torch.float64))
    with torch.no_grad():
        for parameter in block.transform.norms.parameters():  # another scale and shift at each step
            parameter.copy_(torch.as_tensor(RNG.normal(1.0, 0.5, size=parameter.shape)))
    network = Whole(Recurrent(block, steps=norm.steps, injection="first", readout="last"))
    inputs = torch.as_tensor(RNG.normal(size=(8, 4)))
    found = gradient_correlation(network, inputs, outputs=[2])
    assert found.attrs["batch_statistics"] == "of the batch, held constant"
    own, states = copy.deepcopy(network).eval(), network.chain().states(inputs)
    dense = own.recurrent.block.transform
    for step in range(norm.steps):
        before = dense.layers[0](states[step])
        with torch.no_grad():
            dense.norms[0].running_mean[step] = before.mean(0)
            dense.norms[0].running_var[step] = before.var(0, unbiased=False)
    assert found["correlation"][0].item() == pytest.approx(brute_force(own, inputs, 2), rel=1e-12)


def test_network_in_training_is_left_untouched() -> None:
    network = maps(training=True)
    before = copy.deepcopy(network.state_dict())
    found = gradient_correlation(network, torch.as_tensor(RNG.normal(size=(6, 2, 4, 4))))
    assert found.attrs["batch_statistics"] == "of the batch, held constant"
    assert network.training
    assert all(parameter.grad is None for parameter in network.parameters())
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


def test_inputs_without_a_gradient_are_left_out() -> None:
    """Of a rectifier in one dimension, gradients are 0 or the same."""
    inputs = torch.tensor([[1.0], [2.0], [-1.0]])
    assert gradient_correlation(repeated(torch.relu, 1), inputs)["correlation"][0].item() == 1
    found = gradient_correlation(repeated(torch.relu, 1), inputs[1:])["correlation"]
    assert np.isnan(found[0].item())
    assert found.attrs["undefined"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_is_the_cpu() -> None:
    network, images = maps(training=True), torch.as_tensor(RNG.normal(size=(6, 2, 4, 4)))
    here = gradient_correlation(network, images)
    there = gradient_correlation(network.cuda(), images.cuda())
    np.testing.assert_allclose(there["correlation"], here["correlation"], rtol=1e-8)


def test_one_input_is_refused() -> None:
    with pytest.raises(ArgumentError, match="between inputs"):
        gradient_correlation(repeated(torch.tanh, 2), torch.randn(1, 2))


@pytest.mark.parametrize("outputs", [[2], [-1], []])
def test_outputs_that_do_not_exist_are_refused(outputs: list[int]) -> None:
    with pytest.raises(ArgumentError, match="the network has no others"):
        gradient_correlation(repeated(torch.tanh, 2), torch.randn(3, 2), outputs=outputs)


def test_outputs_that_depend_on_nothing_are_refused() -> None:
    network = Whole(repeated(torch.tanh, 2).recurrent, nn.Linear(2, 3))
    nn.init.zeros_(network.readout.weight)
    with pytest.raises(ArgumentError, match="do not depend on the states"):
        gradient_correlation(network, torch.randn(3, 2))


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm1d(2), Norm("batch").build(2), nn.BatchNorm1d(2, track_running_stats=False).eval()]
)
def test_chain_with_batch_statistics_is_refused_without_its_network(norm: nn.Module) -> None:
    with pytest.raises(ArgumentError, match="expected its network"):
        gradient_correlation(repeated(norm, 2).chain(), torch.randn(3, 2))


def test_bare_chain_is_its_network() -> None:
    network, inputs = repeated(nn.Linear(2, 2), 2, steps=2), torch.randn(3, 2)
    one, other = (gradient_correlation(each, inputs)["correlation"] for each in (network, network.chain()))
    np.testing.assert_array_equal(one, other)


def mirrored(depth: int) -> Whole:
    rng = np.random.default_rng(0)
    return stack([Block(LooksLinear(UNITS, rng=rng), NoShortcut()) for _ in range(depth)], rng)


def test_looks_linear_network_is_linear_and_its_gradients_do_not_shatter() -> None:
    network, inputs = mirrored(200).double(), torch.as_tensor(RNG.normal(size=(8, UNITS)))
    parts = network(inputs[:4]) + 2.0 * network(inputs[4:])
    torch.testing.assert_close(network(inputs[:4] + 2.0 * inputs[4:]), parts, rtol=1e-9, atol=1e-9)
    found = gradient_correlation(network, inputs, outputs=[0, 1])
    np.testing.assert_allclose(found["correlation"], 1, atol=1e-12)


def test_looks_linear_weights_are_mirrored_and_orthogonal() -> None:
    layer = LooksLinear(6, gain=0.5, rng=3, dtype=torch.float64)
    weight, again = layer.layer.weight.detach(), LooksLinear(6, gain=0.5, rng=3, dtype=torch.float64)
    torch.testing.assert_close(weight[:, :6], -weight[:, 6:], rtol=0, atol=0)
    torch.testing.assert_close(weight[:, :6] @ weight[:, :6].T, 0.25 * torch.eye(6).double(), rtol=0, atol=1e-14)
    torch.testing.assert_close(again.layer.weight.detach(), weight, rtol=0, atol=0)
    state, drive = torch.as_tensor(RNG.normal(size=(2, 3, 6)))
    torch.testing.assert_close(layer(state, drive), state @ weight[:, :6].T + drive)
    assert "gain=0.5" in repr(layer)
    assert layer.initial_state(drive).shape == (3, 6)


def test_looks_linear_convolution_is_the_convolution_of_its_half() -> None:
    convolution = nn.Conv2d(4, 3, 3, bias=False, dtype=torch.float64)
    looks_linear_(convolution.weight, 0)
    images = torch.as_tensor(RNG.normal(size=(2, 2, 5, 5)))
    half = nn.functional.conv2d(images, convolution.weight[:, :2])
    torch.testing.assert_close(convolution(crelu(images)), half)


def test_looks_linear_on_the_meta_device_and_in_half_precision() -> None:
    assert LooksLinear(3, device="meta").layer.weight.is_meta
    assert LooksLinear(3, rng=0, dtype=torch.bfloat16).layer.weight.isfinite().all()


def test_looks_linear_needs_pairs() -> None:
    with pytest.raises(ArgumentError, match="crelu has two halves"):
        looks_linear_(torch.empty(2, 3))
    with pytest.raises(ArgumentError, match="expected 1 or more"):
        LooksLinear(0)
