"""Every script of `simulations/claims`: loads without running, says what it claims and from where, and is recorded."""

from __future__ import annotations

import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from cortexres.claims import Claim, page, suite
from cortexres.claims.outcome import from_json

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "simulations" / "claims").glob("*.py"))
RECORDED = page.recorded(ROOT / "docs")
CHEAP_SECONDS = 35.0  # of one seed, by the page


@pytest.fixture
def loaded(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return a script as a module, as it is before anything is measured."""
    path: Path = request.param
    spec = importlib.util.spec_from_file_location(f"claim_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


each_script = pytest.mark.parametrize("loaded", SCRIPTS, indirect=True, ids=[path.stem for path in SCRIPTS])


@each_script
def test_a_script_is_of_the_form_of_claims(loaded: ModuleType) -> None:
    claim, path = loaded.CLAIM, Path(str(loaded.__file__))
    assert isinstance(claim, Claim)
    assert claim.name == path.stem
    assert claim.seeds >= max(3, *(check.least_seeds for check in claim.checks))
    assert re.search(r"arXiv:\d{4}\.\d{5}|10\.\d{4,}/\S+", claim.source), claim.source
    assert any(check.control for check in claim.checks)
    for words in (claim.title, claim.statement, str(claim.published), claim.remarks):
        assert words == words.strip()
        assert "\n" not in words  # each is a cell of a table, or a paragraph
    assert len({(check.figure, check.control) for check in claim.checks}) == len(claim.checks)
    assert list(inspect.signature(loaded.measure).parameters) == ["seed", "setting"]
    assert len(inspect.signature(loaded.draw).parameters) == 2
    assert f"python simulations/claims/{path.name}" in (loaded.__doc__ or "")


@pytest.mark.skipif(not RECORDED, reason="docs/claims.md is not written yet: cortexres claims --record")
@each_script
def test_a_script_is_recorded_with_its_figure(loaded: ModuleType) -> None:
    name = loaded.CLAIM.name
    assert name in RECORDED
    assert (ROOT / "docs" / page.FIGURES / f"{name}.png").is_file()
    section = (ROOT / "docs" / page.PAGE).read_text(encoding="utf-8").split(f"## {name}\n")[1].split("\n## ")[0]
    for words in (loaded.CLAIM.source, loaded.CLAIM.statement, loaded.CLAIM.remarks):
        assert words in section, "the page is older than the script: cortexres claims --record"


def test_nothing_is_recorded_that_has_no_script() -> None:
    assert set(RECORDED) <= {path.stem for path in SCRIPTS}
    assert suite.scripts() == {path.stem: path for path in SCRIPTS}


@pytest.mark.slow
@each_script
def test_a_cheap_claim_gives_an_outcome_at_one_seed(loaded: ModuleType, tmp_path: Path) -> None:
    claim, path = loaded.CLAIM, str(loaded.__file__)
    minutes = RECORDED[claim.name].minutes if claim.name in RECORDED else 999.0
    seconds = 60 * minutes / claim.seeds
    if seconds > CHEAP_SECONDS or max(check.least_seeds for check in claim.checks) > 1:
        pytest.skip("takes longer, or is judged by its spread over seeds: cortexres claims runs it")
    words = ["--seeds", "1", "--setting", "quick", "--out", str(tmp_path)]
    done = subprocess.run([sys.executable, path, *words], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    place = tmp_path / claim.name / "outcome.json"
    assert place.exists(), done.stderr  # a script that breaks exits 1 too
    outcome = from_json(place.read_text(encoding="utf-8"))
    assert (outcome.name, outcome.seeds) == (claim.name, 1)
    assert done.returncode == int(not outcome.holds)
    if RECORDED[claim.name].holds:
        assert outcome.holds, done.stdout
