"""`cortexres train`: from a name and images to weights that come back, and what it refuses in one line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cortexres import io, nn, stimuli
from cortexres.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs `cortexres train` in a folder of its own: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*argv: object) -> tuple[int, str, str]:
        code = main(["train", *map(str, argv)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Return a folder with train and test: red and blue noise images of 8 x 8 pixels."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 12), ("test", 4)):
        for channel, name in ((0, "red"), (2, "blue")):
            (tmp_path / "images" / part / name).mkdir(parents=True)
            for k in range(count):
                values = rng.integers(0, 100, (8, 8, 3), dtype=np.uint8)
                values[..., channel] += 120
                Image.fromarray(values).save(tmp_path / "images" / part / name / f"{k}.png")
    return tmp_path / "images"


def test_a_folder_of_images(run: Run, images: Path) -> None:
    command = ["resnet20_tied", "--images", images, "--epochs", 3, "--batch-size", 8, "--augment"]
    command += ["--learning-rate", 0.05, "--checkpoint", "state.safetensors", "--out", "o/w.safetensors"]
    code, out, error = run(*command)
    assert code == 0, error
    assert out.splitlines()[-2:] == ["o/w.safetensors", "o/w.history.nc"]
    history = io.load("o/w.history.nc")
    assert dict(history.sizes) == {"epoch": 3}
    assert f"held_out_accuracy  {float(history['held_out_accuracy'][-1]):.4f}" in out
    assert "cortexres_provenance" in history.attrs
    facts = nn.saved_facts("o/w.safetensors")
    assert facts["classes"] == ["blue", "red"]
    network = nn.load_network("o/w.safetensors").eval()
    others = stimuli.folder(images / "test", size=None, colour=True)
    chosen = np.array(facts["classes"])[network(torch.as_tensor(others["image"].values)).argmax(1)]
    assert (chosen == others["label"].values).mean() == pytest.approx(float(history["held_out_accuracy"][-1]))
    assert nn.saved_facts("state.safetensors")["epochs"] == 3


@pytest.mark.slow
def test_the_script_trains_on_digits(tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "simulations" / "train_network.py"
    for _ in range(2):  # the second time there is nothing left to do
        subprocess.run([sys.executable, str(script)], check=True, cwd=tmp_path, capture_output=True)
        results = tmp_path / "results" / "train_network" / "digits_tied"
        assert io.load(results / "history.nc")["held_out_accuracy"][-1] > 0.9
    assert {file.name for file in results.iterdir()} == {"history.nc", "state.safetensors", "weights.safetensors"}


def test_digits_in_bfloat16(run: Run) -> None:
    command = ["digits_tied", "--stimuli", 256, "--epochs", 3, "--schedule", "constant", "--precision", "bfloat16"]
    code, _, error = run(*command)
    assert code == 0, error
    history = io.load("weights.history.nc")
    assert history.attrs["autocast"] == "bfloat16"
    assert history["loss"][-1] < history["loss"][0]
    assert Path("weights.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["resnet21"], "resnet20"),
        (["digits_tied", "--images", "gone"], "gone does not exist, expected a folder"),
        (["digits_tied", "--precision", "float16"], "got autocast='float16' on cpu"),
        (["digits_tied", "--out", "/proc/w.safetensors"], "cannot write /proc/w.safetensors"),
        (["digits_tied", "--device", "tpu"], "got device='tpu', expected one that torch can use here"),
        (["digits_tied", "--device", "cuda:99"], "got device='cuda:99', expected one that torch can use here"),
        (["digits_tied", "--out", "w", "--checkpoint", "./w"], "got w as --checkpoint and --out, expected two files"),
        (["digits_tied", "--stimuli", 1], "got stimuli of one class only"),
    ],
)
def test_what_is_refused(run: Run, words: list[object], message: str) -> None:
    code, _, error = run(*words)
    assert code == 2
    assert len(error.strip().splitlines()) == 1
    assert message in error


def test_learning_rates_that_are_none(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("digits_tied", "--learning-rate", "0")
    assert "got '0', expected a number above 0" in capsys.readouterr().err
