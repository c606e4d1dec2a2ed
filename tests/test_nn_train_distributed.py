"""Several processes train as one does: torchrun on the CPU, with gloo. As a script, this is what each of them does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from cortexres import io, nn
from cortexres.definitions import FrontEnd
from cortexres.errors import ArgumentError
from cortexres.nn.training import recipes
from cortexres.nn.training.checkpoints import load_weights, save_weights, saved_facts
from cortexres.nn.training.distributed import World, is_first, part

PROCESSES = 2


def stimuli(n: int = 21) -> xr.Dataset:
    image = np.random.default_rng(7).random((n, 8, 8))
    coords = {"stimulus": np.arange(n), "label": ("stimulus", np.arange(n) % 3)}
    return xr.Dataset({"image": (("stimulus", "y", "x"), image)}, coords)


def shared(seed: int = 0) -> nn.ResidualNetwork:
    """One block that is applied six times."""
    front_end = FrontEnd(kind="random_fields", channels=6, gain_mV=4.0, seed=3)
    return nn.ResidualNetwork(6, 10, 3, steps=6, tied=True, front_end=front_end, rng=seed)


def convolutional(*, normalised: bool) -> torch.nn.Sequential:
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm2d(4) if normalised else torch.nn.Identity()
    layers = (torch.nn.Conv2d(1, 4, 3, stride=2), norm, torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(36, 3))
    return torch.nn.Sequential(*layers).double()


def trained(network: torch.nn.Module, **options: Any) -> xr.Dataset:
    # The last batch has 5 stimuli: 3 for one process and 2 for the other.
    defaults: dict[str, Any] = {"epochs": 3, "batch_size": 8, "rng": 0, "held_out": stimuli(7), "progress": False}
    return nn.train(network, stimuli(), **{**defaults, **options})


class CropAndFlip:
    """Cut and mirror; where asked, the second process dies in the third epoch, as its machine might."""

    def __init__(self, *, dies: bool = False) -> None:
        self.batches, self.dies = 0, dies

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        self.batches += 1
        if self.dies and self.batches == 7 and not is_first():
            os.kill(os.getpid(), signal.SIGKILL)
        return recipes.crop_and_flip(images, generator, pad=1)


# What each process does


def train_and_save(folder: Path) -> None:
    rank = int(os.environ["RANK"])
    network = shared(seed=rank)  # the first one's weights count
    history = trained(network, checkpoint=folder / "state.safetensors")
    save_weights(network, folder / f"shared{rank}.safetensors", facts={"first": is_first()})
    io.save(history, folder / f"shared{rank}.nc")
    for normalised in (False, True):
        network = convolutional(normalised=normalised)
        trained(network, augment=CropAndFlip())
        save_weights(network, folder / f"{'normalised' if normalised else 'maps'}{rank}.safetensors")
    for options in ({"batch_size": 10}, {"checkpoint": folder / f"own{rank}.safetensors"}):
        try:
            trained(shared(), **options)
        except ArgumentError as error:
            (folder / f"{next(iter(options))}{rank}.txt").write_text(str(error))
    part()
    threads = [thread.read_text() for thread in Path("/proc/self/task").glob("*/comm")]
    (folder / f"threads{rank}.txt").write_text("".join(threads))


def die_or_go_on(folder: Path) -> None:
    network = convolutional(normalised=False)
    trained(network, augment=CropAndFlip(dies="dies" in sys.argv), checkpoint=folder / "state.safetensors")
    if is_first():
        save_weights(network, folder / "done.safetensors")


def torchrun(*words: object) -> int:
    """Run this file as `PROCESSES` processes; return the exit code."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(PROCESSES)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, __file__, *map(str, words)], env=environment, check=False, timeout=200)
    return done.returncode


# Tests


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder into which several processes have written."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "own0.safetensors").write_bytes(b"")  # where only the first process looks for one
    assert torchrun("train_and_save", folder) == 0
    return folder


def assert_close(first: torch.nn.Module, second: torch.nn.Module) -> None:
    for (name, a), b in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("rank", range(PROCESSES))
def test_several_processes_end_with_the_weights_of_one(folder: Path, rank: int) -> None:
    alone = shared()
    history = trained(alone)
    assert_close(load_weights(shared(seed=9), folder / f"shared{rank}.safetensors"), alone)
    xr.testing.assert_allclose(io.load(folder / f"shared{rank}.nc"), history, rtol=1e-9)
    alone = convolutional(normalised=False)
    trained(alone, augment=CropAndFlip())
    assert_close(load_weights(convolutional(normalised=False), folder / f"maps{rank}.safetensors"), alone)


@pytest.mark.slow
def test_the_first_process_writes_and_all_hold_the_same(folder: Path) -> None:
    assert [saved_facts(folder / f"shared{rank}.safetensors")["first"] for rank in range(PROCESSES)] == [True, False]
    assert saved_facts(folder / "state.safetensors")["processes"] == PROCESSES
    first, second = (
        load_weights(convolutional(normalised=True), folder / f"normalised{rank}.safetensors")
        for rank in range(PROCESSES)
    )
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.slow
@pytest.mark.parametrize("rank", range(PROCESSES))
def test_all_processes_say_what_is_wrong(folder: Path, rank: int) -> None:
    refused = "got a batch of 1 (21 stimuli in batches of 10), expected one"
    assert refused in (folder / f"batch_size{rank}.txt").read_text()
    assert "only some processes see the checkpoint" in (folder / f"checkpoint{rank}.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("rank", range(PROCESSES))
def test_no_thread_is_left_that_could_abort_the_process_at_its_end(folder: Path, rank: int) -> None:
    threads = (folder / f"threads{rank}.txt").read_text()
    assert threads
    assert "gloo" not in threads


@pytest.mark.slow
def test_a_run_whose_process_died_goes_on(tmp_path: Path) -> None:
    assert torchrun("die_or_go_on", tmp_path, "dies") != 0
    assert not (tmp_path / "done.safetensors").exists()
    assert torchrun("die_or_go_on", tmp_path) == 0
    alone = convolutional(normalised=False)
    trained(alone, augment=CropAndFlip())
    assert_close(load_weights(convolutional(normalised=False), tmp_path / "done.safetensors"), alone)


def test_shares_are_every_stimulus_once() -> None:
    batch = torch.arange(11)
    shares = [World(rank, 3).share(batch) for rank in range(3)]
    assert [len(share) for share in shares] == [4, 4, 3]
    assert torch.equal(torch.cat(shares).sort().values, batch)


def test_a_batch_with_fewer_stimuli_than_processes_is_refused() -> None:
    World(0, 4).check_shares(20, 8)
    with pytest.raises(ArgumentError, match=r"got a batch of 1 \(17 stimuli in batches of 8\), .* each of 4 processes"):
        World(0, 4).check_shares(17, 8)


def test_each_of_several_processes_has_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert World(3, 4).device(torch.device("cuda")) == torch.device("cuda", 3)
    assert World(3, 4).device(torch.device("cuda", 1)) == torch.device("cuda", 1)
    assert World().device(torch.device("cuda")) == torch.device("cuda")


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"train_and_save": train_and_save, "die_or_go_on": die_or_go_on}[sys.argv[1]](Path(sys.argv[2]))
