"""The linter, the types and the contracts on who imports whom: part of the tests, so that one command checks all."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import cortexres

ROOT = Path(__file__).resolve().parent.parent
TOOLS = {
    "lint-imports": [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
    "ruff": [sys.executable, "-m", "ruff", "check", "--no-cache", "."],
    "mypy": [sys.executable, "-m", "mypy"],
}


@pytest.mark.parametrize("tool", TOOLS)
def test_tool_finds_no_fault(tool: str) -> None:
    done = subprocess.run(TOOLS[tool], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"\n{done.stdout}{done.stderr}"


def test_changelog_citation_and_package_name_the_same_version() -> None:
    assert f"version: {cortexres.__version__}" in (ROOT / "CITATION.cff").read_text()
    assert f"## {cortexres.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_constraints_pin_every_direct_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    names = {line.split(">")[0].split("<")[0].strip() for line in wanted}
    # a GPU build of torch pins the Triton that it is made for: another pin could not be installed beside it
    assert names - pinned == {"triton"}


def test_readme_lines_are_one_command_each() -> None:
    readme = (ROOT / "README.md").read_text()
    for heading, last in (("Run it", "cortexres demo"), ("Test it", "-m pytest")):
        block = readme.split(f"## {heading}\n", 1)[1].split("```")[1].strip()
        assert len(block.splitlines()) == 1
        assert block.startswith("python3 -m venv .venv && ")
        assert block.endswith(last)
