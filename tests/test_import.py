"""`import cortexres` is light, and each light part stays light: checked in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

import cortexres

HEAVY = ("brian2", "torch", "matplotlib")


def loaded_by(statement: str) -> set[str]:
    """Return which of the heavy libraries `statement` loads."""
    code = f"import sys; {statement}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import cortexres", set()),
        ("import cortexres.cli", set()),
        ("import cortexres.schema, cortexres.definitions, cortexres.stimuli, cortexres.io", set()),
        ("import cortexres.meanfield, cortexres.compare", set()),
        ("import cortexres.circuits", {"brian2"}),
        ("import cortexres.nn, cortexres.bridge", {"torch"}),
        ("import cortexres.plots, cortexres.report", {"matplotlib"}),
    ],
)
def test_a_part_loads_only_its_own_heavy_library(statement: str, allowed: set[str]) -> None:
    assert loaded_by(statement) <= allowed


def test_import_loads_nothing_but_the_standard_library() -> None:
    code = "import sys; before = set(sys.modules); import cortexres; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["cortexres"]


def test_import_takes_under_300_ms() -> None:
    # The best of five, measured inside: what a busy machine adds is not the package's.
    code = "import time; t = time.perf_counter(); import cortexres; print(time.perf_counter() - t)"
    taken = []
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        taken.append(float(done.stdout))
    assert min(taken) < 0.3


def test_help_does_not_wait_for_heavy_imports() -> None:
    start = time.perf_counter()
    code = "from cortexres.cli import main; main(['--version'])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == f"cortexres {cortexres.__version__}"
    assert time.perf_counter() - start < 5.0
