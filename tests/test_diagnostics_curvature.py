"""Hessian spectra against the closed forms of deep linear networks with shortcuts (Li et al. 2016)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from chain_examples import Whole, identity
from torch import Tensor, nn

from cortexres.diagnostics.curvature import hessian_spectrum
from cortexres.errors import ArgumentError
from cortexres.nn import Block, Dense, Norm, Recurrent

DEPTHS = (1, 2, 4, 8, 12)
RNG = np.random.default_rng(0)
INPUTS = torch.as_tensor(RNG.normal(size=(64, 3)))
TARGET = torch.as_tensor(RNG.normal(size=(3, 3)))


def half_square(output: Tensor, labels: Tensor) -> Tensor:
    return ((output - labels) ** 2).sum(dim=1).mean() / 2


def deep_linear(depth: int, layers: int, *, tied: bool = False) -> Whole:
    """Return h + W_s ... W_1 h, L times, at W = 0."""
    made = [
        Block(Dense(3, layers=layers, activation=identity, bias=False, rng=0, dtype=torch.float64))
        for _ in range(1 if tied else depth)
    ]
    for parameter in nn.ModuleList(made).parameters():
        nn.init.zeros_(parameter)
    return Whole(Recurrent(made[0] if tied else made, steps=depth, injection="first", readout="last"))


def spectrum(depth: int, layers: int, *, tied: bool = False, target: Tensor = TARGET, **options: object):  # noqa: ANN201
    network = deep_linear(depth, layers, tied=tied)
    return hessian_spectrum(network, INPUTS, INPUTS @ target.T, loss=half_square, **options)


def mismatch(target: Tensor = TARGET) -> np.ndarray:
    """Return the gradient with respect to the network's map at the identity: (I - R) times the inputs' covariance."""
    covariance = INPUTS.T @ INPUTS / len(INPUTS)
    return ((torch.eye(3, dtype=torch.float64) - target) @ covariance).numpy()


@pytest.mark.parametrize("depth", DEPTHS)
def test_two_layers_have_singular_values_of_the_mismatch_at_any_depth(depth: int) -> None:
    """The loss is <A, sum W_2 W_1> to second order: eigenvalues ± the singular values of A, 3 L times each."""
    found = spectrum(depth, 2)
    singular = np.linalg.svd(mismatch(), compute_uv=False)
    expected = np.sort(np.repeat(np.concatenate([singular, -singular]), 3 * depth))[::-1]
    np.testing.assert_allclose(found["eigenvalue"], expected, rtol=0, atol=1e-12)
    assert found["condition_number"].item() == pytest.approx(singular[0] / singular[-1], rel=1e-9)
    assert found["gradient_norm"].item() == 0
    assert found.attrs["method"] == "exact"


def test_tied_two_layers_are_steeper_by_the_depth_and_no_worse_conditioned() -> None:
    one = spectrum(1, 2)
    for depth in DEPTHS:
        found = spectrum(depth, 2, tied=True)
        assert found["lambda_max"].item() == pytest.approx(depth * one["lambda_max"].item(), rel=1e-12)
        assert found["condition_number"].item() == pytest.approx(one["condition_number"].item(), rel=1e-9)


@pytest.mark.parametrize("depth", DEPTHS)
def test_one_layer_has_its_closed_form(depth: int) -> None:
    """1/2 |S X|^2 + <A, sum over l > m of W_l W_m>, S the sum of all W: every pair of blocks is coupled."""
    a, covariance = mismatch(), (INPUTS.T @ INPUTS / len(INPUTS)).numpy()
    order = np.tril(np.ones((depth, depth)), -1)  # block l comes after block m
    eye = np.eye(3)
    products = np.einsum("lm,ij,kp->likmpj", order, a, eye)
    squares = np.einsum("lm,ip,kj->likmpj", np.ones((depth, depth)), eye, covariance)
    size = 9 * depth
    crossed = products.reshape(size, size)
    expected = np.linalg.eigvalsh(squares.reshape(size, size) + crossed + crossed.T)[::-1]
    np.testing.assert_allclose(spectrum(depth, 1)["eigenvalue"], expected, rtol=0, atol=1e-11)


def test_largest_eigenvalue_with_one_layer_is_linear_in_depth() -> None:
    largest = np.array([spectrum(depth, 1)["lambda_max"].item() for depth in DEPTHS])
    slopes = np.diff(largest) / np.diff(DEPTHS)
    np.testing.assert_allclose(slopes, slopes[-1], rtol=0.05)
    assert largest[-1] > 8 * largest[0]


@pytest.mark.parametrize("method", ["exact", "lanczos"])
def test_three_layers_are_flat(method: str) -> None:
    found = spectrum(4, 3, method=method)
    np.testing.assert_array_equal(found["eigenvalue"], 0)
    assert np.isnan(found["condition_number"])
    assert found["condition_number"].attrs["undefined"]


def test_flat_direction_of_a_rotation_is_counted_not_conditioned_on() -> None:
    """A rotation in odd dimension has an axis, on which R - I is 0; its other two singular values are equal."""
    orthogonal, _ = torch.linalg.qr(TARGET)
    rotation = orthogonal * torch.linalg.det(orthogonal)
    root = torch.linalg.cholesky(INPUTS.T @ INPUTS / len(INPUTS))
    whitened = torch.linalg.solve_triangular(root, INPUTS.T, upper=False)
    found = hessian_spectrum(deep_linear(2, 2), whitened.T, whitened.T @ rotation.T, loss=half_square)
    assert found["n_zero"].item() == 12
    assert found["n_negative"].item() == 12
    assert found["condition_number"].item() == pytest.approx(1.0, abs=1e-9)


def test_lanczos_finds_both_ends_of_the_exact_spectrum() -> None:
    exact = spectrum(8, 1)["eigenvalue"].to_numpy()
    found = spectrum(8, 1, method="lanczos", n_eigenvalues=6, rng=1)
    np.testing.assert_allclose(found["eigenvalue"], [*exact[:3], *exact[-3:]], rtol=1e-8)
    assert found.attrs["method"] == "lanczos"
    assert np.isnan(found["condition_number"])
    assert np.isnan(found["n_zero"])


class Free(nn.Module):
    """Parameters that are the output."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.ones(count, dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.values


def test_lanczos_is_content_with_many_eigenvalues_near_zero() -> None:
    """As overparametrised networks have them: no end of the spectrum stands out there."""
    expected = torch.logspace(0, -14, 100, dtype=torch.float64)
    found = hessian_spectrum(
        Free(100), torch.zeros(1, 1), expected, method="lanczos", n_eigenvalues=4, rng=0,
        loss=lambda values, scale: 0.5 * (scale * values**2).sum(),
    )  # fmt: skip
    np.testing.assert_allclose(found["eigenvalue"], expected[[0, 1, -2, -1]], atol=1e-6)


def test_many_parameters_choose_lanczos() -> None:
    torch.manual_seed(0)
    network = nn.Linear(40, 40, dtype=torch.float64)
    inputs = torch.as_tensor(RNG.normal(size=(8, 40)))
    found = hessian_spectrum(network, inputs, torch.arange(8), n_eigenvalues=4, rng=0)
    assert found.attrs["method"] == "lanczos"
    assert found.sizes["rank"] == 4
    assert found["lambda_max"] > 0


def test_quadratic_loss_has_its_matrix() -> None:
    """Least squares: the Hessian is the covariance of the inputs, and of the bias, for each output."""
    network = nn.Linear(3, 2, dtype=torch.float64)
    found = hessian_spectrum(network, INPUTS, torch.zeros(64, 2, dtype=torch.float64), loss=half_square)
    design = np.hstack([INPUTS.numpy(), np.ones((64, 1))])
    expected = np.repeat(np.linalg.eigvalsh(design.T @ design / 64)[::-1], 2)
    np.testing.assert_allclose(found["eigenvalue"], expected, rtol=1e-12)


def test_batch_norm_in_training_and_convolutions_leave_the_network_untouched() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)).double()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    images = torch.as_tensor(RNG.normal(size=(5, 1, 4, 4)))
    found = hessian_spectrum(network, images, torch.tensor([0, 1, 2, 0, 1]))
    assert found.sizes["rank"] == sum(parameter.numel() for parameter in network.parameters())
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)
    assert network.training
    assert all(parameter.grad is None for parameter in network.parameters())


def test_norms_per_step_and_frozen_parameters() -> None:
    norm = Norm("batch", steps=2)
    network = Whole(Recurrent(Block(Dense(3, norm=norm, rng=0)), steps=2, readout="last")).double()
    network.recurrent.block.transform.norms[0].requires_grad_(False)
    assert hessian_spectrum(network, INPUTS, torch.arange(64) % 3).attrs["n_parameters"] == 12


def test_single_precision_counts_its_rounding_as_zero() -> None:
    network = nn.Linear(3, 2)  # softmax does not see a shift common to both outputs
    found = hessian_spectrum(network, INPUTS.float(), torch.arange(64) % 2)
    assert found["n_zero"].item() == 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("method", ["exact", "lanczos"])
def test_cuda_is_the_cpu(method: str) -> None:
    network = deep_linear(2, 1)
    labels = INPUTS @ TARGET.T
    here = hessian_spectrum(network, INPUTS, labels, loss=half_square, method=method, n_eigenvalues=4, rng=0)
    there = hessian_spectrum(
        network.cuda(), INPUTS.cuda(), labels.cuda(), loss=half_square, method=method, n_eigenvalues=4, rng=0
    )
    np.testing.assert_allclose(there["eigenvalue"], here["eigenvalue"], rtol=1e-8)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"method": "newton"}, "expected 'auto', 'exact' or 'lanczos'"),
        ({"method": "lanczos", "n_eigenvalues": 1}, "expected 2 or more"),
        ({"method": "lanczos", "n_eigenvalues": 18}, "expected fewer; or use method='exact'"),
        ({"tolerance": 1.0}, "fraction of the largest modulus"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], match: str) -> None:
    with pytest.raises(ArgumentError, match=match):
        spectrum(2, 1, **options)


def test_network_without_parameters_is_refused() -> None:
    with pytest.raises(ArgumentError, match="without trainable parameters"):
        hessian_spectrum(nn.Identity(), INPUTS, torch.arange(64) % 3)


def test_lanczos_that_does_not_converge_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.sparse.linalg import ArpackNoConvergence

    def never(*_: object, **__: object) -> None:
        raise ArpackNoConvergence("no", np.zeros(0), np.zeros(0))

    monkeypatch.setattr("cortexres.diagnostics.curvature.eigsh", never)
    with pytest.raises(ArgumentError, match="no convergence"):
        spectrum(2, 1, method="lanczos", n_eigenvalues=2)


@pytest.mark.parametrize(
    ("loss", "match"),
    [
        (lambda output, labels: (output - labels) ** 2, "expected one number"),
        (lambda output, labels: output.sum() * torch.nan, "expected a finite one"),
        (lambda output, labels: torch.rand(()), "switch off dropout"),
    ],
)
def test_losses_that_are_no_function_of_the_parameters_are_refused(loss, match: str) -> None:  # noqa: ANN001
    with pytest.raises(ArgumentError, match=match):
        hessian_spectrum(deep_linear(1, 1), INPUTS, INPUTS, loss=loss)
