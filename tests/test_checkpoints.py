"""Checkpoints: weights that come back, a killed training that goes on to the last bit, and files that are refused."""

from __future__ import annotations

import functools
import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import xarray as xr
from torch import Tensor

from cortexres import nn
from cortexres.definitions import FrontEnd
from cortexres.errors import ArgumentError, DataFileError, DefinitionError
from cortexres.nn.networks.create import create
from cortexres.nn.training import recipes
from cortexres.nn.training.checkpoints import load_network, load_weights, save_weights, saved_facts

OPTIMIZERS = {
    "Adam": torch.optim.Adam,
    "SGD with momentum": recipes.sgd,
    "SGD": torch.optim.SGD,  # has no state
    "AdamW": functools.partial(torch.optim.AdamW, amsgrad=True),
    "RMSprop": torch.optim.RMSprop,
}


def stimuli(n: int = 14) -> xr.Dataset:
    image = np.random.default_rng(7).random((n, 8, 8))
    coords = {"stimulus": np.arange(n), "label": ("stimulus", np.arange(n) % 3)}
    return xr.Dataset({"image": (("stimulus", "y", "x"), image)}, coords)


def network(seed: int = 0) -> torch.nn.Sequential:
    """A network with running statistics, and with dropout, which draws from torch's global state."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3, stride=2),
            torch.nn.BatchNorm2d(4),
            torch.nn.ReLU(),
            torch.nn.Dropout(0.2),
            torch.nn.Flatten(),
            torch.nn.Linear(36, 3),
        )


class CropAndFlip:
    """Cut and mirror; after so many batches the process is killed, or interrupted as by Ctrl-C."""

    def __init__(self, *, killed_after: int = -1, interrupted_after: int = -1) -> None:
        self.killed_after, self.interrupted_after = killed_after, interrupted_after
        self.batches = 0

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        if self.batches == self.killed_after:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.batches == self.interrupted_after:
            raise KeyboardInterrupt
        self.batches += 1
        return recipes.crop_and_flip(images, generator, pad=1)


def trained(net: torch.nn.Module, images: xr.Dataset | None = None, **options: Any) -> xr.Dataset:
    torch.manual_seed(5)
    defaults: dict[str, Any] = {
        "epochs": 4,
        "batch_size": 5,
        "schedule": recipes.cosine,
        "augment": CropAndFlip(),
        "held_out": stimuli(5),
        "rng": 0,
        "progress": False,
    }
    return nn.train(net, stimuli() if images is None else images, **{**defaults, **options})


def assert_same(first: torch.nn.Module, second: torch.nn.Module) -> None:
    for (name, a), b in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


# A training that is killed


def test_a_killed_training_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    # In the middle of the third epoch of three batches.
    code = (
        "import sys, test_checkpoints as t\n"
        "t.trained(t.network(), augment=t.CropAndFlip(killed_after=7), checkpoint=sys.argv[1])"
    )
    places = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    command = [sys.executable, "-c", code, str(path)]
    killed = subprocess.run(command, env={**os.environ, "PYTHONPATH": places}, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert safetensors.torch.load_file(path)["training/history"].shape == (2, 4)
    assert_goes_on_as_if_not_interrupted(path, torch.optim.Adam)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_an_interrupted_training_ends_as_if_it_had_not_been(tmp_path: Path, optimizer: Any) -> None:
    path = tmp_path / "state.safetensors"
    with pytest.raises(KeyboardInterrupt):
        trained(network(), optimizer=optimizer, augment=CropAndFlip(interrupted_after=7), checkpoint=path)
    assert_goes_on_as_if_not_interrupted(path, optimizer)


def assert_goes_on_as_if_not_interrupted(path: Path, optimizer: Any) -> None:
    whole = network()
    expected = trained(whole, optimizer=optimizer)
    for augment in (CropAndFlip(), CropAndFlip(interrupted_after=0)):  # what is finished is only read
        resumed = network(seed=9)
        history = trained(resumed, optimizer=optimizer, augment=augment, checkpoint=path)
        xr.testing.assert_identical(history, expected)
        assert_same(resumed, whole)


def test_what_a_checkpoint_holds(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    net = network()
    trained(net, epochs=2, checkpoint=path)
    fresh = load_weights(network(seed=9), path)
    assert_same(fresh, net)
    facts = saved_facts(path)
    assert facts["network"] == {"name": "Sequential"}
    assert (facts["classes"], facts["epochs"], facts["schedule"]) == ([0, 1, 2], 2, "cosine")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"epochs": 3}, "epochs was 2, is 3; give the same ones, or another checkpoint"),
        ({"learning_rate": 0.1}, r"learning_rate was 0\.005, is 0\.1; give"),
        ({"augment": None}, r'augment was "CropAndFlip", is null'),
        ({"optimizer": recipes.sgd}, r'optimizer was "Adam\(betas.* is "SGD\(momentum'),
        ({"rng": 1}, "seed was"),
        ({"held_out": None}, "held_out was .*, is null"),
        ({"images": stimuli(13)}, "stimuli was"),
        ({"net": torch.nn.Linear(1, 1)}, r'network was {"name": "Sequential"}, is {"name": "Linear"}'),
    ],
)
def test_other_options_than_those_of_the_checkpoint_are_refused(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    path = tmp_path / "state.safetensors"
    trained(network(), epochs=2, checkpoint=path)
    other = network(seed=9)
    with pytest.raises(ArgumentError, match=f"was made with other options: .*{message}"):
        trained(**{"net": other, "epochs": 2, "checkpoint": path, **changed})
    assert_same(other, network(seed=9))


def test_a_loss_that_is_not_finite_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"

    def explode(done: float) -> float:
        return 1e30 if done >= 0.5 else 1.0

    with pytest.raises(ArgumentError, match=r"got a loss of (nan|inf) in epoch 2"):
        trained(network(), schedule=explode, optimizer=torch.optim.SGD, augment=None, checkpoint=path)
    state = safetensors.torch.load_file(path)
    assert state["training/history"].shape == (2, 4)
    assert all(torch.isfinite(values).all() for values in state.values())


def test_checkpoints_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(network(), path)
    with pytest.raises(DataFileError, match=r"weights\.safetensors holds no state of a training: load its weights"):
        trained(network(), checkpoint=path)
    trained(network(), epochs=1, checkpoint=tmp_path / "state.safetensors")
    whole = safetensors.torch.load_file(tmp_path / "state.safetensors")
    for name, broken in {"generator": torch.zeros(3, dtype=torch.uint8), "history": None}.items():
        tensors = {**whole, f"training/{name}": broken}
        if broken is None:
            del tensors[f"training/{name}"]
        with safetensors.safe_open(tmp_path / "state.safetensors", "pt") as file:
            safetensors.torch.save_file(tensors, path, file.metadata())
        with pytest.raises(DataFileError, match=r"is damaged or of another version .*: remove it and start anew"):
            trained(network(), epochs=1, checkpoint=path)


# Weights


def test_weights_come_back(tmp_path: Path) -> None:
    front_end = FrontEnd(kind="random_fields", channels=6, gain_mV=4.0, seed=3)
    nets = [nn.ResidualNetwork(6, 10, 3, steps=4, tied=True, front_end=front_end, rng=k) for k in range(2)]
    history = trained(nets[0], augment=None, held_out=None)
    path = save_weights(nets[0], tmp_path / "new" / "weights.safetensors", facts=history.attrs)
    assert load_weights(nets[1], path) is nets[1]
    assert_same(*nets)
    facts = saved_facts(path)
    assert facts["network"] == {"name": "tied ResNet", "facts": json.loads(json.dumps(nets[0].facts)), "changes": {}}
    assert facts["classes"] == [0, 1, 2]


def test_a_network_by_name_comes_back(tmp_path: Path) -> None:
    changes = {"channels": 1, "classes": 3, "blocks": 2}
    net = create("resnet20_tied", rng=3, **changes)
    path = save_weights(net, tmp_path / "weights.safetensors", changes=changes)
    before = torch.get_rng_state()
    loaded = load_network(path)
    assert_same(loaded, net)
    images = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded.eval()(images), net.eval()(images))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_network_by_name_that_cannot_be_built(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(create("digits_tied", rng=0, classes=3), path)  # the changes are not told
    with pytest.raises(DataFileError, match=r"weights of this digits_tied: it has in another shape .* \(3, 64\) for"):
        load_network(path)
    save_weights(network(), path)
    with pytest.raises(DefinitionError, match="Sequential"):
        load_network(path)
    safetensors.torch.save_file(network().state_dict(), path)
    with pytest.raises(DataFileError, match="does not say which network it is of: build that one and use load_weights"):
        load_network(path)
    huge = {"widths": [900_000], "stem": {"kind": "linear", "width": 900_000}}
    save_weights(create("digits_tied", rng=0), path, changes=huge)
    with pytest.raises(DataFileError, match="in another shape"):  # and not 6 TB of memory
        load_network(path)


def test_weights_in_another_layout_or_type_come_back(tmp_path: Path) -> None:
    net = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    path = save_weights(net, tmp_path / "weights.safetensors")
    assert_same(load_weights(torch.nn.Conv2d(3, 4, 3), path), net)
    double = load_weights(torch.nn.Conv2d(3, 4, 3).double(), path)
    assert double.weight.dtype == torch.float64
    assert torch.equal(double.weight.float(), net.weight)


def test_weights_of_other_programs_are_read(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(network().state_dict(), path, {"format": "pt"})
    assert_same(load_weights(network(seed=9), path), network())
    assert saved_facts(path) == {}


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 5)), path)
    other = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.BatchNorm1d(5))
    before = other[0].weight.detach().clone()
    with pytest.raises(DataFileError) as caught:
        load_weights(other, path)
    message = str(caught.value)
    assert "it lacks 1.num_batches_tracked, 1.running_mean, 1.running_var" in message
    assert "it has in another shape 0.bias (4,) for (5,), 0.weight (4, 3) for (5, 3), 1.bias" not in message
    assert "0.weight (4, 3) for (5, 3)" in message
    assert "\n" not in message
    assert torch.equal(other[0].weight, before)
    with pytest.raises(DataFileError, match=r"it has besides 1\.bias, 1\.weight; build the network that was saved"):
        load_weights(torch.nn.Sequential(torch.nn.Linear(3, 4)), path)


def test_one_tensor_under_two_names_is_refused(tmp_path: Path) -> None:
    tied = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    with pytest.raises(ArgumentError, match=r"in which 0\.weight and 1\.weight are one tensor, expected each"):
        save_weights(tied, tmp_path / "weights.safetensors")


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {os.environ['CORTEXRES_TEST_TOUCHED']}",)


@pytest.mark.parametrize("content", ["pickle", "torch", "empty", "text", "truncated", "folder", "missing"])
def test_nothing_but_safetensors_is_opened(tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTEXRES_TEST_TOUCHED", str(tmp_path / "touched"))
    path = tmp_path / "weights.safetensors"
    if content == "pickle":
        path.write_bytes(pickle.dumps(Malicious()))
    elif content == "torch":
        torch.save({"weight": Malicious()}, path)
    elif content == "truncated":
        path.write_bytes(safetensors.torch.save(network().state_dict())[:-10])
    elif content == "folder":
        path.mkdir()
    elif content != "missing":
        path.write_text("" if content == "empty" else "hello")
    refused = "cannot read .* as safetensors: .*; no other format is opened"
    expected = "does not exist" if content == "missing" else refused
    for read in (lambda: load_weights(network(), path), lambda: saved_facts(path)):
        with pytest.raises(DataFileError, match=expected) as caught:
            read()
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "touched").exists()


def test_facts_that_are_no_json_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError):
        save_weights(network(), tmp_path / "weights.safetensors", facts={"a": object()})
    assert list(tmp_path.iterdir()) == []
