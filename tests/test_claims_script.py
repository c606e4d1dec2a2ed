"""A claim's script when it is started: exit codes, what is printed, and the files that it leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

import pytest
from toy_claims import FIGURE, claim, draw, measure, sample

from cortexres.claims import Check, Sample, Setting, main
from cortexres.claims.outcome import from_json
from cortexres.errors import ArgumentError

NAME = "toy_2000"
PNG = b"\x89PNG"


def light(seed: int, setting: Setting) -> Sample:
    """Return a weight below what is wanted."""
    return sample(0.5)


def broken(seed: int, setting: Setting) -> NoReturn:
    """Say what the user did wrong."""
    raise ArgumentError("got no scales,\nexpected some")


def never(seed: int, setting: Setting) -> NoReturn:
    """Fail the test that should not have come here."""
    raise AssertionError


def test_a_claim_that_holds_exits_0_and_leaves_outcome_and_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(claim(), measure, draw, ["--out", str(tmp_path), "--setting", "quick"]) == 0
    found = from_json((tmp_path / NAME / "outcome.json").read_text(encoding="utf-8"))
    assert found.holds
    assert found.lines[0].values == (2.0, 3.0, 4.0)
    assert found.setting == "quick"
    assert (tmp_path / NAME / "figure.png").read_bytes().startswith(PNG)
    assert sorted(path.name for path in (tmp_path / NAME).iterdir()) == ["figure.png", "outcome.json"]
    said = capsys.readouterr()
    assert "toy_2000: holds in what was run (3 seeds, quick setting" in said.out
    assert FIGURE in said.out
    assert "seed 3 of 3" in said.err


def test_a_claim_that_does_not_hold_exits_1_and_leaves_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(claim(), light, draw, ["--out", str(tmp_path), "--setting", "quick"]) == 1
    assert json.loads((tmp_path / NAME / "outcome.json").read_text(encoding="utf-8"))["holds"] is False
    assert (tmp_path / NAME / "figure.png").exists()
    assert "DOES NOT HOLD" in capsys.readouterr().out


def test_a_mistake_of_the_user_is_one_line_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(claim(), broken, draw, ["--out", str(tmp_path), "--setting", "quick"]) == 2
    said = capsys.readouterr()
    assert said.err.splitlines()[-1] == "toy_2000: error: got no scales, expected some"
    assert not (tmp_path / NAME / "outcome.json").exists()


def test_the_number_of_seeds_is_an_option(tmp_path: Path) -> None:
    assert main(claim(), measure, draw, ["--out", str(tmp_path), "--setting", "quick", "--seeds", "1"]) == 0
    assert from_json((tmp_path / NAME / "outcome.json").read_text(encoding="utf-8")).seeds == 1


def test_too_few_seeds_for_a_mean_are_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of_mean = claim(Check(figure=FIGURE, at_least=0.0, of="mean", control="nothing on the scales"))
    assert main(of_mean, never, draw, ["--out", str(tmp_path), "--seeds", "2"]) == 2
    assert "got seeds=2, expected 3 or more: the mean of 'weight (kg)'" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--seeds", "0"], ["--seeds", "x"], ["--setting", "huge"], ["--seed", "3"]])
def test_a_mistyped_option_exits_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(claim(), never, draw, words)
    assert "usage: toy_2000.py" in capsys.readouterr().err


def test_the_large_setting_without_a_gpu_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(claim(), never, draw, ["--out", str(tmp_path), "--setting", "large"]) == 2
    assert "toy_2000: error: " in capsys.readouterr().err


def test_without_a_gpu_the_setting_is_quick_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    settings: list[Setting] = []

    def noted(seed: int, setting: Setting) -> Sample:
        settings.append(setting)
        return measure(seed, setting)

    assert main(claim(), noted, draw, ["--out", str(tmp_path)]) == 0
    assert settings == [Setting(large=False, device="cpu")] * 3


def test_a_folder_that_cannot_be_written_is_found_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / NAME).write_text("a file is in the way")
    assert main(claim(), never, draw, ["--out", str(tmp_path), "--setting", "quick"]) == 2
    assert "toy_2000: error: " in capsys.readouterr().err


def test_a_figure_that_cannot_be_drawn_leaves_no_outcome(tmp_path: Path) -> None:
    def bad(*_: object) -> NoReturn:
        raise ValueError("no ink")

    with pytest.raises(ValueError, match="no ink"):
        main(claim(), measure, bad, ["--out", str(tmp_path), "--setting", "quick"])
    assert not (tmp_path / NAME / "outcome.json").exists()
