"""Many claims at once and `cortexres claims`: toy scripts that hold, fail and break, in a checkout of their own."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from toy_claims import claim, samples, script

from cortexres.claims import Outcome, judge, page, suite
from cortexres.claims.outcome import from_json
from cortexres.cli import main
from cortexres.errors import ArgumentError, DataFileError

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a checkout with a claim that holds, one that does not, and one that breaks."""
    folder = tmp_path / "simulations" / "claims"
    folder.mkdir(parents=True)
    (folder / "heavy_2000.py").write_text(script("heavy_2000"))
    (folder / "light_2001.py").write_text(script("light_2001", value=0.5))
    (folder / "broken_2002.py").write_text("raise ValueError('the scales\\nare broken')")
    (tmp_path / "cortexres").mkdir()
    monkeypatch.setattr("cortexres.__file__", str(tmp_path / "cortexres" / "__init__.py"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(checkout: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs `cortexres claims` in the checkout: exit code, stdout, stderr."""

    def call(*words: str) -> tuple[int, str, str]:
        try:
            code = main(["claims", *words])
        except SystemExit as stop:
            code = int(str(stop.code))
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def without(checkout: Path, *names: str) -> None:
    """Remove scripts from the checkout."""
    for name in names:
        (checkout / "simulations" / "claims" / f"{name}.py").unlink()


def test_each_script_ends_with_its_outcome_or_with_what_it_said_last(checkout: Path) -> None:
    out = checkout / "out"
    stale = out / "broken_2002" / "outcome.json"
    stale.parent.mkdir(parents=True)
    stale.write_text(judge(claim(name="broken_2002"), samples([2.0] * 3), minutes=0.0).to_json())
    ended = {one.name: one for one in suite.run(suite.scripts(), out=out, setting="quick", seeds=1, jobs=2)}
    assert set(ended) == {"heavy_2000", "light_2001", "broken_2002"}
    heavy, light = ended["heavy_2000"].outcome, ended["light_2001"].outcome
    assert heavy is not None
    assert heavy.holds
    assert heavy.seeds == 1
    assert light is not None
    assert not light.holds
    assert ended["broken_2002"].outcome is None  # an older one is there, and stays
    assert stale.exists()
    assert ended["broken_2002"].message == f"are broken (all it said: {out / 'broken_2002' / 'log.txt'})"
    assert "Traceback" in (out / "broken_2002" / "log.txt").read_text()
    assert (out / "heavy_2000" / "log.txt").read_text() == "measured\n"


def test_one_table_of_all_and_the_outcomes_that_are_not_recorded(checkout: Path, run: Run) -> None:
    without(checkout, "broken_2002")
    code, out, err = run("--out", "out", "--jobs", "2")
    assert code == 1
    assert "heavy_2000  9.8 N per kg" in out
    assert "light_2001 does not hold; docs/claims.md has no outcome of it" in out
    assert "light_2001: weight (kg): measured 0.5, wanted >= 1; nothing on the scales: 0 [FAILED]" in out
    assert "heavy_2000: holds" in err
    assert from_json((checkout / "out" / "light_2001" / "outcome.json").read_text()).setting == "quick"

    assert run("--out", "out", "--record", "light_2001", "--setting", "quick")[0] == 0
    recorded = {name: record.holds for name, record in page.recorded(checkout / "docs").items()}
    assert recorded == {"heavy_2000": True, "light_2001": False}

    code, out, _ = run("--out", "out", "--seeds", "1")
    assert (code, out.splitlines()[-1]) == (0, "all 2 outcomes are those of docs/claims.md")

    (checkout / "simulations" / "claims" / "light_2001.py").write_text(script("light_2001"))
    code, out, _ = run("--out", "out", "--seeds", "1")
    assert (code, out.splitlines()[-1]) == (1, "light_2001 holds; recorded: does not hold")


def test_a_script_that_breaks_is_told_and_exits_1(run: Run) -> None:
    code, out, err = run("broken_2002", "heavy_2000", "--out", "out", "--setting", "quick")
    assert code == 1
    assert "broken_2002: failed: are broken (all it said: out/broken_2002/log.txt)" in err
    assert "broken_2002" not in out
    assert "heavy_2000: holds in what was run" in out


def test_a_named_claim_exits_by_whether_it_holds(run: Run) -> None:
    assert run("heavy_2000", "--out", "out", "--setting", "quick")[0] == 0
    assert run("light_2001", "--out", "out", "--setting", "quick")[0] == 1


def test_nothing_is_recorded_while_an_outcome_is_missing(checkout: Path, run: Run) -> None:
    code, _, err = run("heavy_2000", "--out", "out", "--setting", "quick", "--record")
    assert code == 2
    assert "got no outcome of broken_2002, light_2001 in out, expected one of every claim" in err
    assert not (checkout / "docs").exists()


def test_the_list_says_what_is_recorded(checkout: Path, run: Run) -> None:
    code, out, _ = run("--list")
    assert code == 0
    assert out.splitlines() == [f"{n}  not recorded" for n in ("broken_2002", "heavy_2000 ", "light_2001 ")]
    outcome = judge(claim(name="heavy_2000"), samples([2.0] * 3), minutes=0.0)
    (checkout / "r" / "heavy_2000").mkdir(parents=True)
    (checkout / "r" / "heavy_2000" / "figure.png").write_bytes(b"")
    page.write([outcome], checkout / "r", checkout / "docs")
    assert "heavy_2000   holds" in run("--list")[1]
    without(checkout, "broken_2002", "heavy_2000", "light_2001")
    assert run("--list")[:2] == (0, "")


def test_an_unknown_claim_is_one_line_with_the_known_ones(run: Run) -> None:
    code, _, err = run("heavy_2001")
    assert code == 2
    assert err.strip() == (
        "cortexres: error: got heavy_2001, expected claims of this list: broken_2002, heavy_2000, light_2001"
    )


def test_without_a_checkout_the_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cortexres.__file__", str(tmp_path / "cortexres" / "__init__.py"))
    assert main(["claims"]) == 2
    said = capsys.readouterr().err
    assert "expected a checkout: clone the repository" in said
    assert len(said.strip().splitlines()) == 1
    with pytest.raises(ArgumentError, match="expected a checkout"):
        suite.scripts()


def test_what_scripts_cannot_do_exits_2(
    checkout: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    for words in (["--setting", "large"], ["--record", "--setting", "large"]):
        code, _, err = run("heavy_2000", "--out", "out", *words)
        assert (code, len(err.strip().splitlines())) == (2, 1), err
    (checkout / "simulations" / "claims" / "broken_2002.py").write_text(
        "import sys\nprint('broken_2002: error: got seeds=1', file=sys.stderr)\nsys.exit(2)\n"
    )
    code, _, err = run("broken_2002", "--out", "out", "--setting", "quick")
    assert (code, err.strip()) == (2, "broken_2002: failed: got seeds=1 (all it said: out/broken_2002/log.txt)")


def test_no_script_is_left_behind_where_the_command_ends(checkout: Path) -> None:
    slow = checkout / "simulations" / "claims" / "broken_2002.py"
    slow.write_text(
        "import os, time\nfrom pathlib import Path\nPath('process').write_text(str(os.getpid()))\ntime.sleep(60)\n"
    )
    running = suite.run(suite.scripts(), out=checkout / "out", setting="quick", seeds=None, jobs=3)
    names = {next(running).name, next(running).name}
    assert names == {"heavy_2000", "light_2001"}
    while not (checkout / "process").exists():
        time.sleep(0.02)
    running.close()
    process = int((checkout / "process").read_text() or 0)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_a_request_to_end_is_taken_as_ctrl_c_and_the_table_printed(
    checkout: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = suite.run

    def stopping(*words: Any, **options: Any) -> Generator[suite.Ended]:
        running = real(*words, **options)
        yield next(running)
        running.close()
        os.kill(os.getpid(), signal.SIGTERM)
        yield next(running)

    monkeypatch.setattr(suite, "run", stopping)
    without(checkout, "broken_2002")
    code, out, err = run("--out", "out", "--jobs", "1")
    assert code == 130
    assert "heavy_2000" in out
    assert "interrupted" in err


def test_outcomes_of_an_older_script_or_another_setting_are_not_recorded(checkout: Path, run: Run) -> None:
    without(checkout, "broken_2002")
    assert run("--out", "out", "--record", "--jobs", "2")[0] == 0
    place = checkout / "simulations" / "claims" / "light_2001.py"
    place.write_text(place.read_text() + "x = 1\n")
    code, _, err = run("heavy_2000", "--out", "out", "--record")
    assert code == 2
    assert "got outcomes of light_2001 in out from before their scripts were changed" in err
    place.write_text(script("light_2001", setting="large"))
    code, _, err = run("light_2001", "--out", "out", "--record")
    assert code == 2
    assert "got light_2001 in the large setting, expected the quick one" in err


@pytest.mark.parametrize("words", [["--jobs", "0"], ["--seeds", "-1"], ["--setting", "huge"], ["--recrod"]])
def test_a_mistyped_option_exits_2(run: Run, words: list[str]) -> None:
    assert run(*words)[0] == 2


def test_a_page_that_is_broken_is_told_before_anything_runs(checkout: Path, run: Run) -> None:
    (checkout / "docs").mkdir()
    (checkout / "docs" / "claims.md").write_text("no table")
    code, _, err = run("--out", "out")
    assert code == 2
    assert "without the table of claims" in err
    assert not (checkout / "out").exists()
    with pytest.raises(DataFileError, match="without the table of claims"):
        page.recorded(checkout / "docs")


def test_differences_name_what_changed_what_is_new_and_what_is_gone() -> None:
    def one(name: str, value: float) -> Outcome:
        return judge(claim(name=name), samples([value] * 3), minutes=0.0)

    outcomes = [one("a", 2.0), one("b", 0.0), one("c", 2.0)]
    found = suite.differences(outcomes, {"a": True, "b": True, "d": False})
    assert found == [
        "b does not hold; recorded: holds",
        "c holds; docs/claims.md has no outcome of it",
        "d gave no outcome; recorded: does not hold",
    ]
    assert suite.differences(outcomes[:1], {"a": True}) == []
