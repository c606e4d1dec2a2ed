"""Training: what a step does, what is measured, what options do, and every error."""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from cortexres import io, nn
from cortexres.definitions import FrontEnd
from cortexres.errors import ArgumentError, DivergedError
from cortexres.nn.training import recipes

FRONT_END = FrontEnd(kind="random_fields", channels=6, gain_mV=4.0, seed=3)


def stimuli(n: int = 12, *, classes: int = 3, seed: int = 1) -> xr.Dataset:
    """Noise images around one mean image per class."""
    label = np.arange(n) % classes
    means = np.random.default_rng(7).random((classes, 8, 8))
    image = np.clip(means[label] + 0.05 * np.random.default_rng(seed).normal(size=(n, 8, 8)), 0, 1)
    coords = {"stimulus": np.arange(n), "label": ("stimulus", label)}
    return xr.Dataset({"image": (("stimulus", "y", "x"), image)}, coords)


def residual(*, tied: bool = True) -> nn.ResidualNetwork:
    return nn.ResidualNetwork(6, 10, 3, steps=5, tied=tied, front_end=FRONT_END, rng=0)


def linear(*, dtype: torch.dtype = torch.float64) -> torch.nn.Sequential:
    layer = torch.nn.Linear(64, 3, dtype=dtype)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(3, 64, generator=torch.Generator().manual_seed(0)) / 8)
        layer.bias.zero_()
    return torch.nn.Sequential(torch.nn.Flatten(), layer)


def convolutional() -> torch.nn.Sequential:
    """A plain torch network in float32 with batch normalisation and dropout."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Sequential(
            torch.nn.Conv2d(1, 8, 3, stride=2),
            torch.nn.BatchNorm2d(8),
            torch.nn.ReLU(),
            torch.nn.Dropout(0.1),
            torch.nn.Flatten(),
            torch.nn.Linear(72, 3),
        )


def trained(network: torch.nn.Module, images: xr.Dataset | None = None, **options: Any) -> xr.Dataset:
    return nn.train(network, stimuli() if images is None else images, progress=False, **options)


# What a step does


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_steps_of_gradient_descent_are_those_by_hand(smoothing: float) -> None:
    network = linear()
    weight, bias = (p.detach().numpy().copy() for p in network.parameters())
    images = stimuli()
    x, label = images["image"].values.reshape(12, 64), images["label"].values
    wanted = (1 - smoothing) * np.eye(3)[label] + smoothing / 3
    velocity = [np.zeros_like(weight), np.zeros_like(bias)]
    losses = []
    for factor in (1.0, 0.5):  # half a cosine: 1 at the start, 1/2 in the middle
        logits = x @ weight.T + bias
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        losses.append(-(wanted * np.log(p)).sum(axis=1).mean())
        error = (p - wanted) / 12
        for k, gradient in enumerate((error.T @ x + 0.01 * weight, error.sum(axis=0) + 0.01 * bias)):
            velocity[k] = 0.9 * velocity[k] + gradient
        weight, bias = weight - 0.3 * factor * velocity[0], bias - 0.3 * factor * velocity[1]
    history = trained(
        network,
        images,
        epochs=2,
        learning_rate=0.3,
        optimizer=functools.partial(recipes.sgd, weight_decay=0.01),
        schedule=recipes.cosine,
        max_gradient_norm=None,
        label_smoothing=smoothing,
    )
    np.testing.assert_allclose(network[1].weight.detach(), weight, rtol=1e-12)
    np.testing.assert_allclose(network[1].bias.detach(), bias, rtol=1e-12, atol=1e-16)
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-12)


def test_a_long_gradient_is_shortened() -> None:
    network = linear()
    before = [p.detach().clone() for p in network.parameters()]
    trained(network, epochs=1, learning_rate=1.0, optimizer=torch.optim.SGD, max_gradient_norm=0.01)
    moved = torch.cat([(p - q).flatten() for p, q in zip(network.parameters(), before, strict=True)])
    assert float(moved.detach().norm()) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize(("batch_size", "epochs"), [(None, 150), (5, 40)])
@pytest.mark.parametrize("tied", [True, False])
def test_training_learns_and_repeats(tied: bool, batch_size: int | None, epochs: int) -> None:
    before = torch.get_rng_state()
    histories = [
        trained(residual(tied=tied), stimuli(30), epochs=epochs, batch_size=batch_size, rng=1) for _ in range(2)
    ]
    assert histories[0].identical(histories[1])
    assert histories[0]["loss"][0] == pytest.approx(np.log(3), rel=0.5)
    assert histories[0]["loss"][-1] < 0.2 * histories[0]["loss"][0]
    assert histories[0]["accuracy"][-1] == 1
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_seed_the_order_is_that_of_torch() -> None:
    histories = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        histories.append(trained(linear(), epochs=2, batch_size=5))
    assert histories[0].identical(histories[1])
    assert not histories[0].equals(histories[2])


def test_training_starts_from_the_cross_entropy_of_the_logits() -> None:
    model = residual()
    p = torch.softmax(model(model.inputs(stimuli())), dim=1).detach().numpy()
    expected = -np.log(p[np.arange(12), np.arange(12) % 3]).mean()
    assert trained(model, epochs=1)["loss"][0] == pytest.approx(expected, rel=1e-12)


# What is measured and kept


def test_held_out_stimuli_are_measured_in_evaluation_mode() -> None:
    network, images, others = convolutional(), stimuli(30), stimuli(7, seed=5)
    history = trained(network, images, epochs=3, batch_size=10, rng=0, held_out=others)
    network.eval()
    logits = network(torch.as_tensor(others["image"].values, dtype=torch.float32)[:, None])
    label = torch.as_tensor(others["label"].values)
    expected = torch.nn.functional.cross_entropy(logits, label).item()
    assert history["held_out_loss"][-1] == pytest.approx(expected, rel=1e-5)
    right = (logits.argmax(1) == label).float().mean().item()
    assert history["held_out_accuracy"][-1] == pytest.approx(right)
    assert history["held_out_loss"].attrs["units"] == "nat"


def test_held_out_stimuli_do_not_change_the_training() -> None:
    one, other = convolutional(), convolutional()
    torch.manual_seed(0)
    trained(one, epochs=2, rng=0)
    torch.manual_seed(0)
    trained(other, epochs=2, rng=0, held_out=stimuli(5))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_the_history_says_how_and_can_be_saved(tmp_path: Any) -> None:
    images = stimuli()
    named = images.assign_coords(label=("stimulus", np.array(["c", "a", "b"])[images["label"].to_numpy()]))
    crop = functools.partial(recipes.crop_and_flip, pad=1)
    history = trained(convolutional(), named, epochs=2, batch_size=5, augment=crop, rng=0)
    assert history.attrs["classes"] == ["a", "b", "c"]
    assert (history.attrs["model"], history.attrs["batch_size"]) == ("Sequential", 5)
    assert (history.attrs["augment"], history.attrs["schedule"]) == ("crop_and_flip(pad=1)", "constant")
    assert history.attrs["optimizer"].startswith("Adam(betas=(0.9, 0.999), ")
    io.save(history, tmp_path / "history.nc")
    xr.testing.assert_equal(io.load(tmp_path / "history.nc"), history)


def test_modes_are_as_before() -> None:
    network = convolutional()
    network[1].eval()
    modes = [module.training for module in network.modules()]
    trained(network, epochs=1, held_out=stimuli())
    assert [module.training for module in network.modules()] == modes
    network[5].weight.data.fill_(torch.nan)
    with pytest.raises(ArgumentError, match="got a loss of nan"):
        trained(network.eval(), epochs=1)
    assert not any(module.training for module in network.modules())


# Precision and devices


def test_bfloat16_is_close_to_float32() -> None:
    losses = {
        lower: trained(linear(dtype=torch.float32), stimuli(30), epochs=20, learning_rate=0.01, autocast=lower)["loss"]
        for lower in (None, "bfloat16")
    }
    full, lower = losses[None].values, losses["bfloat16"].values
    assert not np.array_equal(full, lower)
    np.testing.assert_allclose(lower, full, rtol=0.02)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("autocast", [None, "bfloat16", "float16"])
def test_cuda_trains_as_the_cpu_does(autocast: Any, tmp_path: Any) -> None:
    histories = [
        trained(
            linear(dtype=torch.float32),
            stimuli(30),
            epochs=20,
            batch_size=10,
            learning_rate=0.01,
            rng=0,
            autocast=lower,
            device=device,
            held_out=stimuli(10, seed=3),
            checkpoint=tmp_path / f"{device}.safetensors",
        )
        for device, lower in (("cpu", None), ("cuda", autocast))
    ]
    for name in ("loss", "held_out_loss"):
        np.testing.assert_allclose(*(history[name] for history in histories), rtol=1e-4 if autocast is None else 0.03)


# Errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs=0, expected 1 or more"),
        ({"learning_rate": 0.0}, r"learning_rate=0\.0, expected a positive"),
        ({"batch_size": 0}, "batch_size=0, expected 1 or more"),
        ({"max_gradient_norm": 0.0}, r"max_gradient_norm=0\.0, expected a positive number, or None"),
        ({"label_smoothing": 1.0}, r"label_smoothing=1\.0, expected 0 or more, below 1"),
        ({"autocast": "float8"}, "autocast='float8', expected bfloat16 or float16, or None"),
        ({"autocast": "float16"}, "autocast='float16' on cpu, expected CUDA: take bfloat16"),
        ({"autocast": "bfloat16"}, r"autocast='bfloat16' for a float64 network, .* use network\.float\(\) first"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        trained(residual(), **options)


def test_faults_of_the_labels_are_named() -> None:
    with pytest.raises(ArgumentError, match="without labels, expected the coordinate label"):
        trained(residual(), stimuli().drop_vars("label"))
    with pytest.raises(ArgumentError, match=r"one class only \(12 stimuli, classes \[0\]\), expected two"):
        trained(residual(), stimuli(classes=1))
    with pytest.raises(ArgumentError, match="got 4 classes in the labels, expected at most 3"):
        trained(residual(), stimuli(classes=4))
    with pytest.raises(ArgumentError, match=r"held-out stimuli of the classes \[3\], expected those of the training"):
        trained(residual(), held_out=stimuli(classes=4))


@pytest.mark.parametrize("shape", [(12, 3, 1), (6, 6)])
def test_outputs_that_are_no_logits(shape: tuple[int, ...]) -> None:
    class Reshaped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = linear()

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.inside(images)
            return logits.reshape(shape)

    with pytest.raises(ArgumentError, match=r"got outputs of shape .* for 12 stimuli, expected logits, \(12, classes"):
        trained(Reshaped(), epochs=1)


def test_networks_that_cannot_be_trained() -> None:
    class Pair(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = linear()

        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            logits: Tensor = self.inside(images)
            return logits, images

    with pytest.raises(ArgumentError, match="got a network that returns a tuple, expected logits: train a module that"):
        trained(Pair(), epochs=1)
    with pytest.raises(ArgumentError, match="got a Flatten without trainable parameters, expected some to train"):
        trained(torch.nn.Flatten(), epochs=1)
    with pytest.raises(ArgumentError, match="got device='tpu', expected one that torch can use here"):
        trained(linear(), epochs=1, device="tpu")


def test_a_loss_that_is_not_finite_stops_the_training_before_the_weights_are_lost() -> None:
    model = residual()
    torch.nn.init.constant_(model.readout.bias, torch.nan)
    before = copy.deepcopy(model.encoder.weight)
    with pytest.raises(DivergedError, match="got a loss of nan in epoch 0, expected a finite one"):
        trained(model)
    assert torch.equal(model.encoder.weight, before)


def test_steps_that_training_never_ran_are_named() -> None:
    block = nn.Block(nn.PreactivatedDense(4, norm=nn.Norm("batch", steps=5), rng=0))
    area = nn.Recurrent(block, steps=3, injection="first", readout="last")
    pixels = torch.nn.Sequential(torch.nn.Flatten(), nn.LinearStem(64, 4, rng=0), nn.Stage(None, area))
    with pytest.warns(UserWarning, match=r"for 5 steps, and training has run 3 of them; give Norm\(steps=3\)"):
        trained(pixels, epochs=1)

