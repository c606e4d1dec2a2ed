"""Loss landscapes against a parabola, and the invariance that filter normalisation is for."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from chain_examples import Whole
from torch import Tensor, nn

from cortexres.diagnostics.curvature import hessian_spectrum
from cortexres.diagnostics.landscape import loss_landscape
from cortexres.errors import ArgumentError
from cortexres.nn import Block, Dense, Norm, Recurrent

RNG = np.random.default_rng(0)
INPUTS = torch.as_tensor(RNG.normal(size=(32, 3)))
IMAGES = torch.as_tensor(RNG.normal(size=(12, 1, 5, 5)))
CLASSES = torch.arange(12) % 3


def mean_square(output: Tensor, labels: Tensor) -> Tensor:
    return ((output - labels) ** 2).mean()


def regression() -> tuple[nn.Linear, Tensor]:
    torch.manual_seed(0)
    return nn.Linear(3, 2, dtype=torch.float64), torch.as_tensor(RNG.normal(size=(32, 2)))


def convolutional(eps: float = 1e-12) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, eps=eps), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3)
    ).double()


def test_least_squares_is_a_parabola_in_a_plane() -> None:
    network, labels = regression()
    found = loss_landscape(network, INPUTS, labels, loss=mean_square, points=7, span=2.0, rng=0)
    x, y = np.meshgrid(found["first"], found["second"], indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x**2, x * y, y**2], axis=-1).reshape(-1, 6)
    fit, _, rank, _ = np.linalg.lstsq(terms, found["loss"].to_numpy().ravel(), rcond=None)
    assert rank == 6
    np.testing.assert_allclose(terms @ fit, found["loss"].to_numpy().ravel(), rtol=1e-12)
    assert found["loss"][3, 3].item() == pytest.approx(found["centre"].item(), rel=1e-14)
    assert fit[0] == pytest.approx(mean_square(network(INPUTS), labels).item(), rel=1e-12)


def test_curvature_along_a_weight_is_that_of_the_hessian() -> None:
    """Along one weight the second derivative is 2/outputs times the mean square of its input."""
    network, labels = regression()
    along = torch.zeros(2, 3, dtype=torch.float64)
    along[0, 1] = 1.0
    options = {"loss": mean_square, "dims": 1, "points": 3, "normalisation": "none"}
    found = loss_landscape(network, INPUTS, labels, directions=[{"weight": along}], **options)
    second = np.diff(found["loss"], 2).item()
    assert second == pytest.approx((INPUTS[:, 1] ** 2).mean().item(), rel=1e-12)
    assert second <= hessian_spectrum(network, INPUTS, labels, loss=mean_square)["lambda_max"].item()
    assert found["length"].item() == 1
    assert found.attrs["directions"] == "given"


def test_line_between_two_networks_ends_in_the_other() -> None:
    network, labels = regression()
    other = nn.Linear(3, 2, dtype=torch.float64)
    way = {name: value.detach() - network.get_parameter(name).detach() for name, value in other.named_parameters()}
    found = loss_landscape(
        network, INPUTS, labels, loss=mean_square, dims=1, normalisation="none", directions=[way], rng=0
    )
    assert found["loss"][-1].item() == pytest.approx(mean_square(other(INPUTS), labels).item(), rel=1e-12)


def rescaled(network: nn.Sequential, factors: Tensor) -> nn.Sequential:
    """Return the network with each filter of the convolution before the norm multiplied by a factor of its own."""
    made = copy.deepcopy(network)
    with torch.no_grad():
        made[0].weight.mul_(factors[:, None, None, None])
        made[0].bias.mul_(factors)
    return made


def test_rescaling_a_normalised_layer_leaves_the_landscape() -> None:
    """What is scaled before batch normalisation computes the same; only filter normalisation makes it look the same."""
    network = convolutional()
    scaled = rescaled(network, torch.tensor([0.01, 0.5, 7.0, 100.0]).double())
    torch.testing.assert_close(scaled(IMAGES), network(IMAGES))
    for normalisation, same in (("filter", True), ("none", False)):
        options = {"points": 5, "span": 0.5, "normalisation": normalisation, "rng": 3}
        one, other = (loss_landscape(each, IMAGES, CLASSES, **options)["loss"] for each in (network, scaled))
        assert np.allclose(one, other, rtol=1e-5) == same


def test_each_filter_of_a_direction_has_the_norm_of_the_networks() -> None:
    network = convolutional()
    found = loss_landscape(network, IMAGES, CLASSES, points=3, rng=0)
    weights = [network[0].weight, network[4].weight]
    expected = torch.cat([weight.detach().flatten() for weight in weights]).norm().item()
    np.testing.assert_allclose(found["length"], expected, rtol=1e-12)
    assert abs(found["cosine"].item()) < 0.4


def test_filter_of_zeros_does_not_move() -> None:
    network = nn.Linear(3, 2, bias=False, dtype=torch.float64)
    with torch.no_grad():
        network.weight[0] = 0
    found = loss_landscape(network, INPUTS, torch.zeros(32, 2).double(), loss=mean_square, dims=1, points=3, rng=0)
    assert found["length"].item() == pytest.approx(network.weight[1].norm().item(), rel=1e-12)


def test_filter_that_a_direction_leaves_out_does_not_move() -> None:
    network, labels = regression()
    along = torch.zeros(2, 3, dtype=torch.float64)
    along[1] = torch.tensor([1.0, -2.0, 0.5])
    options = {"loss": mean_square, "dims": 1, "points": 3}
    found = loss_landscape(network, INPUTS, labels, directions=[{"weight": along}], **options)
    assert found["length"].item() == pytest.approx(network.weight[1].norm().item(), rel=1e-12)
    assert np.isfinite(found["loss"]).all()


def test_norms_per_step_do_not_move() -> None:
    """Their parameters are stacked over steps, two dims as a weight has."""
    network = Whole(Recurrent(Block(Dense(3, norm=Norm("batch", steps=2), rng=0)), steps=2, readout="last")).double()
    found = loss_landscape(network, INPUTS, torch.arange(32) % 3, points=3, dims=1, rng=0)
    weight = network.recurrent.block.transform.layers[0].weight
    assert found["length"].item() == pytest.approx(weight.norm().item(), rel=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_network_is_left_untouched(training: bool) -> None:
    network = convolutional().train(training)
    before = copy.deepcopy(network.state_dict())
    loss_landscape(network, IMAGES, CLASSES, points=3, rng=0)
    assert network.training == training
    assert all(parameter.grad is None for parameter in network.parameters())
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


def test_seed_gives_the_same_directions_and_leaves_the_global_state() -> None:
    network, labels = regression()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    options = {"loss": mean_square, "dims": 1, "points": 3}
    one, same, other = (
        loss_landscape(network, INPUTS, labels, rng=rng, **options)["loss"]
        for rng in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_is_the_cpu() -> None:
    network = convolutional()
    here = loss_landscape(network, IMAGES, CLASSES, points=3, rng=0)
    there = loss_landscape(network.cuda(), IMAGES.cuda(), CLASSES.cuda(), points=3, rng=0)
    np.testing.assert_allclose(there["loss"], here["loss"], rtol=1e-8)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"dims": 3}, "a line, or 2, a plane"),
        ({"points": 2}, "3 or more along each direction"),
        ({"span": 0.0}, "positive multiple"),
        ({"normalisation": "layer"}, "expected 'filter' or 'none'"),
        ({"directions": [{}]}, "got 1 directions, expected 2"),
        ({"directions": [{"weight": torch.zeros(3)}] * 2}, "a trainable parameter's name and its shape"),
        ({"directions": [{"bias": torch.ones(2)}] * 2}, "direction of length 0"),
    ],
)
def test_options_that_give_no_landscape_are_refused(options: dict[str, object], match: str) -> None:
    network, labels = regression()
    with pytest.raises(ArgumentError, match=match):
        loss_landscape(network, INPUTS, labels, loss=mean_square, rng=0, **options)


def test_dropout_in_training_is_refused() -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.Dropout()).double()
    with pytest.raises(ArgumentError, match="switch off dropout"):
        loss_landscape(network, INPUTS, torch.zeros(32, 2).double(), loss=mean_square, rng=0)
