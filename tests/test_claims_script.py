"""A claim's script when it is started: exit codes, what is printed, and the files that it leaves."""

from __future__ import annotations

import errno
import io as std_io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from toy_claims import FIGURE, REAL, claim, draw, measure, sample

from cortexres.claims import Check, Sample, Setting, main
from cortexres.claims.outcome import digest, from_json
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


def test_a_figure_that_cannot_be_drawn_leaves_the_outcome_and_no_older_figure(tmp_path: Path) -> None:
    def bad(*_: object) -> NoReturn:
        raise ValueError("no ink")

    words = ["--out", str(tmp_path), "--setting", "quick"]
    assert main(claim(), measure, draw, words) == 0
    with pytest.raises(ValueError, match="no ink"):
        main(claim(), light, bad, words)
    assert not from_json((tmp_path / NAME / "outcome.json").read_text(encoding="utf-8")).holds
    assert not (tmp_path / NAME / "figure.png").exists()


def test_a_terminal_of_another_alphabet_loses_letters_and_no_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = std_io.TextIOWrapper(std_io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr("sys.stdout", plain)
    far = claim(statement="What is put on scales weighs m \u2074.")
    assert main(far, measure, draw, ["--out", str(tmp_path), "--setting", "quick"]) == 0
    plain.seek(0)
    assert "weighs m ?." in plain.read()


def test_a_reader_that_leaves_costs_nothing(tmp_path: Path) -> None:
    """`| true` ends before the table is printed."""
    (tmp_path / "real_2003.py").write_text(REAL)
    command = f"{sys.executable} real_2003.py --setting quick --out out | true; echo ${{PIPESTATUS[0]}}"
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "0", done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "out" / "real_2003" / "figure.png").exists()


def test_ctrl_c_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def stopped(seed: int, setting: Setting) -> NoReturn:
        raise KeyboardInterrupt

    assert main(claim(), stopped, draw, ["--out", str(tmp_path), "--setting", "quick"]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "toy_2000: error: interrupted; what was written before stays"


def test_a_full_disk_is_no_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device", "outcome.json")

    monkeypatch.setattr("cortexres.io.write_text", full)
    assert main(claim(), measure, draw, ["--out", str(tmp_path), "--setting", "quick"]) == 2
    assert "toy_2000: error: outcome.json: No space left on device" in capsys.readouterr().err


def test_the_digest_of_a_script_is_that_of_what_it_computes(tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in "abc")
    first.write_text("x = 1\n")
    second.write_text("# of the same\nx  =  1\n")
    third.write_text("x = 2\n")
    assert digest(first) == digest(second) != digest(third)
