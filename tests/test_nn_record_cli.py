"""The command `record` for networks by name and for trained ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from record_models import images

from cortexres import io, nn, schema, stimuli
from cortexres.cli import main
from cortexres.io import open_stream


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*words: object) -> int:
    return main([str(word) for word in words])


def test_a_flat_network_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("record", "digits_tied", "--stimuli", 5, "--batch-size", 2) == 0
    assert capsys.readouterr().out == "network.nc\n"
    recorded = io.load("network.nc", kind="network")
    network = nn.create("digits_tied", rng=0, channels=64)
    expected = nn.record(network, stimuli.digits(5, rng=0), batch_size=2)
    np.testing.assert_array_equal(recorded["response"], expected["response"])
    assert recorded.attrs["model"] == expected.attrs["model"]


def test_a_network_of_several_stages_in_colour() -> None:
    io.save(images(3), "images.nc")
    assert run("record", "resnet20_tied", "--images", "images.nc", "--out", "deep/n.nc") == 0
    tree = open_stream("deep/n.nc")
    assert isinstance(tree, xr.DataTree)
    assert [stage.sizes["unit"] for stage in tree.children.values()] == [16 * 64, 32 * 16, 64 * 4]
    for stage in tree.children.values():
        schema.check_network(stage.to_dataset())
    tree.close()


def test_trained_weights_and_a_network_with_a_memory() -> None:
    network = nn.create("digits_tied", rng=3, channels=64)
    nn.save_weights(network, "weights.safetensors", changes={"channels": 64})
    assert run("record", "weights.safetensors", "--stimuli", 4) == 0
    expected = nn.record(network, stimuli.digits(4, rng=0))
    np.testing.assert_array_equal(io.load("network.nc", kind="network")["update"], expected["update"])
    assert run("record", "residual_memory", "--stimuli", 2, "--out", "memory.nc") == 0


def test_grey_images_for_weights_in_colour(capsys: pytest.CaptureFixture[str]) -> None:
    network = nn.create("resnet20", rng=0, blocks=1)
    nn.save_weights(network, "weights.safetensors", changes={"blocks": [1, 1, 1]})
    assert run("record", "weights.safetensors", "--stimuli", 2) == 2
    assert "got grey images (1 channel) for a network" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["digits_tied", "--device", "tpu"], "got device='tpu', expected one that torch can use here"),
        (["weights.safetensors"], r"got inputs of shape (2, 1, 8, 8), on which the StagedNetwork does not run (mat1"),
    ],
)
def test_what_is_refused(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    nn.save_weights(nn.create("digits_tied", rng=0, channels=256), "weights.safetensors", changes={"channels": 256})
    assert run("record", *words, "--stimuli", 2) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
