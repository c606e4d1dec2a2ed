"""Residual functions against the same layers written out in torch, published sizes, and algebra."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import BatchNorm2d, Conv2d, ReLU, Sequential, functional

from cortexres import nn
from cortexres.errors import ArgumentError

BATCH = nn.Norm("batch")
CHANGING = [nn.Convolutional, nn.Bottleneck, nn.Grouped, nn.Dilated, nn.Inception]


def maps(channels: int = 4, side: int = 6) -> Tensor:
    return torch.randn(3, channels, side, side, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def size(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def sharing(transform: torch.nn.Module, oracle: Sequential) -> Sequential:
    """Return the oracle with the weights of the transform, convolution by convolution and norm by norm."""
    oracle.double()
    for name, kind in (("convolution", Conv2d), ("norm", BatchNorm2d)):
        sources = [module for path, module in transform.named_modules() if path.endswith(name)]
        for source, target in zip(sources, (m for m in oracle if isinstance(m, kind)), strict=True):
            with torch.no_grad():
                for key, parameter in target.named_parameters():
                    parameter.copy_(source.get_parameter(key).view_as(parameter).normal_())
    return oracle


def convolution(*channels: int, kernel: int = 3, stride: int = 1) -> Conv2d:
    return Conv2d(*channels, kernel, stride=stride, padding=kernel // 2, bias=False)


ORACLES: dict[str, tuple[Callable[..., torch.nn.Module], list[torch.nn.Module]]] = {
    "basic": (
        partial(nn.Convolutional, 4, 6, width=5, stride=2),
        [convolution(4, 5, stride=2), BatchNorm2d(5), ReLU(), convolution(5, 6), BatchNorm2d(6)],
    ),
    "basic, pre": (
        partial(nn.Convolutional, 4, 6, width=5, stride=2, order="pre"),
        [BatchNorm2d(4), ReLU(), convolution(4, 5, stride=2), BatchNorm2d(5), ReLU(), convolution(5, 6)],
    ),
    "bottleneck": (
        partial(nn.Bottleneck, 4, 6, width=2, stride=2),
        [
            *(convolution(4, 2, kernel=1), BatchNorm2d(2), ReLU()),
            *(convolution(2, 2, stride=2), BatchNorm2d(2), ReLU()),
            *(convolution(2, 6, kernel=1), BatchNorm2d(6)),
        ],
    ),
    "bottleneck, pre": (
        partial(nn.Bottleneck, 4, 6, width=2, stride=2, order="pre"),
        [
            *(BatchNorm2d(4), ReLU(), convolution(4, 2, kernel=1)),
            *(BatchNorm2d(2), ReLU(), convolution(2, 2, stride=2)),
            *(BatchNorm2d(2), ReLU(), convolution(2, 6, kernel=1)),
        ],
    ),
}


@pytest.mark.parametrize("name", ORACLES)
def test_layers_stand_in_the_published_order(name: str) -> None:
    made, layers = ORACLES[name]
    transform = made(norm=BATCH, rng=0, dtype=torch.float64)
    oracle = sharing(transform, Sequential(*layers))
    for training in (True, False):
        torch.testing.assert_close(transform.train(training)(maps()), oracle.train(training)(maps()))
    assert size(transform) == size(oracle)


def test_sizes_are_the_published_ones() -> None:
    """He et al.: 256-64-64-256; Xie et al., equation 4: C (256 d + 9 d d + 256 d), about 70 thousand for 32 x 4d."""
    weights = {"affine": "none"}
    norm = nn.Norm("batch", **weights)  # type: ignore[arg-type]
    assert size(nn.Bottleneck(256, norm=norm)) == 256 * 64 + 9 * 64 * 64 + 64 * 256
    assert size(nn.Grouped(256, norm=norm)) == 32 * (256 * 4 + 9 * 4 * 4 + 4 * 256) == 70_144
    assert size(nn.Convolutional(16, norm=BATCH)) == 2 * (9 * 16 * 16) + 2 * (16 + 16)
    assert size(nn.Convolutional(16, width=32)) == 2 * (9 * 16 * 32) + 32 + 16
    gate = size(nn.SqueezeExcitation(nn.Convolutional(64))) - size(nn.Convolutional(64))
    assert gate == 2 * 64 * 64 // 16 + 64 // 16 + 64
    assert size(nn.Inception(256)) == 3 * (256 + 1) * 32 + 3 * (9 * 32 + 1) * 32 + (96 + 1) * 256


@pytest.mark.parametrize("norm", [None, BATCH], ids=["plain", "batch"])
@pytest.mark.parametrize("order", ["post", "pre"])
def test_grouped_is_the_sum_of_its_branches(order: Any, norm: nn.Norm | None) -> None:
    grouped = nn.Grouped(4, 6, cardinality=3, base_width=2, stride=2, order=order, norm=norm, dtype=torch.float64)
    with torch.no_grad():
        for parameter in grouped.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(1))
    grouped(maps())  # running statistics that are not those of the start
    for training in (True, False):
        branches = grouped.train(training).split()
        assert len(branches.branches) == 3
        torch.testing.assert_close(branches(maps()), grouped(maps()), rtol=1e-12, atol=1e-12)
    alone = grouped.split()
    del alone.branches[1]
    assert not torch.allclose(alone(maps()), grouped(maps()))


def test_several_branches_add_up_and_multiply_paths() -> None:
    """n blocks of k branches that copy their input have (k + 1)^n paths, each of which brings one copy."""
    branches, blocks, x = 3, 4, maps(2, 1).flatten(1)
    copying = [nn.Dense(2, activation=lambda values: values, dtype=torch.float64) for _ in range(branches)]
    for dense in copying:
        torch.nn.init.eye_(dense.layers[0].weight)  # type: ignore[arg-type]
    network = nn.Recurrent(nn.Block(nn.MultiResidual(copying)), steps=blocks, injection="first", readout="last")
    assert torch.equal(network(x)[0], (branches + 1) ** blocks * x)
    parts = [nn.Convolutional(4, rng=seed, dtype=torch.float64) for seed in range(3)]
    torch.testing.assert_close(nn.MultiResidual(parts)(maps()), sum(part(maps()) for part in parts))
    driven = [nn.Dense(2, rng=seed, dtype=torch.float64) for seed in range(2)]
    expected = sum(dense(x, 2 * x) for dense in driven)
    torch.testing.assert_close(nn.MultiResidual(driven)(x, 2 * x), expected)


def test_gain_control_scales_by_the_mean_over_positions() -> None:
    inner = nn.Convolutional(4, rng=0, dtype=torch.float64)
    squeezed = nn.SqueezeExcitation(inner, reduction=2, rng=1, dtype=torch.float64)
    update, first, second = inner(maps()), squeezed.gate[0], squeezed.gate[2]
    hidden = torch.relu(functional.linear(update.mean(dim=(2, 3)), first.weight, first.bias))
    scale = torch.sigmoid(functional.linear(hidden, second.weight, second.bias))
    torch.testing.assert_close(squeezed(maps()), scale[:, :, None, None] * update)
    torch.nn.init.zeros_(second.weight)
    torch.testing.assert_close(squeezed(maps()), update / 2)


def test_inception_joins_three_kernels() -> None:
    transform = nn.Inception(4, width=2, rng=0, dtype=torch.float64)

    def branch(place: int, x: Tensor) -> Tensor:
        for layer in transform.branches[place]:  # type: ignore[union-attr]
            own = layer.convolution
            x = torch.relu(functional.conv2d(x, own.weight, own.bias, padding=own.weight.shape[-1] // 2))
        return x

    joined = torch.cat([branch(place, maps()) for place in range(3)], dim=1)
    expected = functional.conv2d(joined, transform.join.weight, transform.join.bias)
    torch.testing.assert_close(transform(maps()), expected)
    kernels = [[layer.convolution.kernel_size[0] for layer in branch] for branch in transform.branches]  # type: ignore
    assert kernels == [[1], [1, 3], [1, 3, 3]]


def test_dilated_chains_exchange_halves_where_they_meet() -> None:
    transform = nn.Dilated(4, width=4, rng=0, dtype=torch.float64)
    assert transform.exchange == (2,)
    assert nn.Dilated(4, dilations=(1, 2), other_dilations=(1, 2)).exchange == (1,)
    assert nn.Dilated(4, dilations=(1, 2, 4, 8), other_dilations=(4, 2, 1, 8)).exchange == (3,)

    def layer(chain: Any, place: int, x: Tensor, dilation: int) -> Tensor:
        own = chain[place].convolution
        return torch.relu(functional.conv2d(x, own.weight, own.bias, padding=dilation, dilation=dilation))

    one, other = maps(), maps()
    for place, (dilation, another) in enumerate(((1, 2), (2, 1), (4, 4))):
        one, other = layer(transform.chain, place, one, dilation), layer(transform.other, place, other, another)
        if place == 1:
            one, other = torch.cat([one[:, :2], other[:, 2:]], 1), torch.cat([other[:, :2], one[:, 2:]], 1)
    last = transform.last.convolution
    expected = functional.conv2d(torch.cat([one, other], 1), last.weight, last.bias)
    torch.testing.assert_close(transform(maps()), expected)


def test_dilated_sees_as_far_as_its_dilations_reach() -> None:
    x = maps(2, 21).requires_grad_()
    nn.Dilated(2, width=8, activation=torch.tanh, rng=0, dtype=torch.float64)(x)[:, :, 10, 10].sum().backward()
    assert x.grad is not None
    seen = (x.grad.abs().sum(dim=(0, 1)) > 0).nonzero()
    assert (seen.min(), seen.max()) == (10 - 7, 10 + 7)


def test_one_exchange_represents_what_neither_tree_can() -> None:
    """Cohen et al.: the tensor of a network with products, as a matrix of some inputs against the others.

    Eight inputs of `width` values. The tree of dilations 1, 2, 4 joins 01 23 45 67, that of 2, 1, 4 joins 02 13 46 57.
    Inputs 0 2 4 5 against the rest cut one half of each tree across its pairs (rank width^2), the other along them
    (rank width): width^3 for either tree, at most twice that for both side by side, width^4 with one exchange.
    """
    width = 3
    rng = np.random.default_rng(0)

    def joined(nodes: dict[int, NDArray[Any]], dilation: int) -> dict[int, NDArray[Any]]:
        left, right = rng.normal(size=(2, width, width))
        return {
            t: np.tensordot(left, nodes[t], 1) * np.tensordot(right, nodes[t + dilation], 1)
            for t in nodes
            if t + dilation in nodes
        }

    inputs = {t: np.eye(width).reshape(width, *(width if t == axis else 1 for axis in range(8))) for t in range(8)}
    one = joined(joined(inputs, 1), 2)
    other = joined(joined(inputs, 2), 1)
    half = width // 2
    mixed = {t: np.concatenate([one[t][:half], other[t][half:]]) for t in one.keys() & other.keys()}

    def rank(*tensors: NDArray[Any]) -> int:
        matrix = sum(tensors).transpose(0, 2, 4, 5, 1, 3, 6, 7).reshape(width**4, width**4)  # type: ignore[union-attr]
        return int(np.linalg.matrix_rank(matrix / np.abs(matrix).max()))

    first, second, third = (joined(nodes, 4)[0][0] for nodes in (one, other, mixed))
    assert rank(first) == rank(second) == width**3
    assert rank(first, second) <= 2 * width**3 < width**4 == rank(third)


@pytest.mark.parametrize("kind", CHANGING)
@pytest.mark.parametrize("side", [5, 6])
def test_shape_changes_as_the_shortcuts_do(kind: Any, side: int) -> None:
    for order, stride in itertools.product(("post", "pre"), (1, 2, 3)):
        transform = kind(4, 8, stride=stride, order=order, norm=BATCH, rng=0, dtype=torch.float64)
        assert (transform.in_channels, transform.out_channels, transform.stride) == (4, 8, stride)
        assert torch.equal(transform.initial_state(maps(1, side)), torch.zeros(3, 4, side, side, dtype=torch.float64))
        projection = nn.Projection(4, 8, stride=stride, dtype=torch.float64)
        for shortcut in (projection, nn.ZeroPadding(4, 8, stride=stride)):
            carried, added = nn.Block(transform, shortcut).parts(maps(4, side))
            assert carried.shape == added.shape == (3, 8, -(-side // stride), -(-side // stride))


def test_gaussian_maps_keep_their_size_on_the_way() -> None:
    """With He's weights, a rectified layer of unit variance follows a rectified layer of unit variance."""
    x = torch.randn(8, 64, 12, 12, generator=torch.Generator().manual_seed(0))
    inner = nn.Convolutional(64, order="pre", rng=0)(x)[:, :, 2:-2, 2:-2]  # away from the padding
    assert float(inner.detach().std()) == pytest.approx(1.0, rel=0.15)


def test_print_says_what_it_is() -> None:
    text = str(nn.Dilated(4, order="pre", norm=BATCH))
    for part in ("exchange=(2,)", "order=pre, activation=relu", "dilation=(4, 4)", "batch, 4, steps=1"):
        assert part in text
    assert "order=post, activation=None" in str(nn.Convolutional(4))


FAULTS: list[tuple[Callable[[], object], str]] = [
    (lambda: nn.Dense(0), "n_units=0, expected 1 or more"),
    (lambda: nn.Dense(2, input_size=0), "input_size=0, expected 1 or more"),
    (lambda: nn.Dense(2, layers=0), "layers=0, expected 1 or more"),
    (lambda: nn.Convolutional(4, width=0), "width=0, expected 1 or more"),
    (lambda: nn.Convolutional(4, stride=0), "stride=0, expected 1 or more"),
    (lambda: nn.Convolutional(4, kernel_size=2), "kernel_size=2, expected an odd number"),
    (lambda: nn.Convolutional(4, order="full"), "order='full', expected 'post' or 'pre'"),  # type: ignore[arg-type]
    (lambda: nn.Bottleneck(4, 0), "out_channels=0, expected 1 or more"),
    (lambda: nn.Grouped(4, cardinality=0), "cardinality=0, expected 1 or more"),
    (lambda: nn.Grouped(4, norm=nn.Norm("layer")).split(), "got layer normalisation, expected batch or none"),
    (lambda: nn.MultiResidual([]), "got no branches"),
    (lambda: nn.MultiResidual([nn.Dense(2), nn.Dense(3)]), "got branches of 2 shapes, expected one"),
    (lambda: nn.SqueezeExcitation(nn.Dense(2), reduction=0), "reduction=0, expected 1 or more"),
    (lambda: nn.Dilated(4, dilations=(0, 1, 2)), "smallest_dilation=0, expected 1 or more"),
    (lambda: nn.Dilated(4, dilations=(), other_dilations=()), "smallest_dilation=0, expected 1 or more"),
    (lambda: nn.Dilated(4, dilations=(1, 2)), "got 2 dilations and 3 others"),
    (lambda: nn.Dilated(4, exchange=(3,)), r"exchange=\(3,\), expected layers from 1 to 2"),
    (lambda: nn.Inception(0), "channels=0, expected 1 or more"),
]


@pytest.mark.parametrize(("call", "message"), FAULTS, ids=[message for _, message in FAULTS])
def test_faults_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        call()
