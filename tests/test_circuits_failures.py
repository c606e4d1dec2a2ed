"""What happens when a simulation cannot finish: no result that is wrong or half there, and one line that says why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cortexres.circuits import engines, runtime, standalone
from cortexres.circuits.connectivity import draw
from cortexres.circuits.runs import Run, Timing
from cortexres.circuits.structure_of import structure
from cortexres.definitions import Circuit
from cortexres.errors import SimulationError

TIMING = Timing(1.0, 2.0)


@pytest.fixture
def run(tiny_circuit: Circuit) -> Run:
    return Run(0, 0, np.random.SeedSequence(0), np.zeros((1, 8)))


def results(folder: Path, *, cells: int, times: int, counted: int) -> tuple[Path, dict[str, object]]:
    """The files that a binary leaves, with these numbers of entries."""
    np.zeros(cells, dtype=np.int32).tofile(folder / "i")
    np.zeros(times).tofile(folder / "t")
    np.array([counted], dtype=np.int32).tofile(folder / "N")
    return folder, {"spikes": [{"i": "i", "t": "t", "N": "N"}] * 2}


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"cells": 3, "times": 2, "counted": 3}, "wrote half its spikes"),
        ({"cells": 2, "times": 2, "counted": 3}, r"counted \[3\] spikes, wrote 2; check free disk space"),
    ],
)
def test_truncated_results_are_an_error(
    tiny_circuit: Circuit, tmp_path: Path, written: dict[str, int], message: str
) -> None:
    folder, layout = results(tmp_path, **written)
    done = subprocess.CompletedProcess([], 0, "", "")
    with pytest.raises(SimulationError, match=message):
        standalone._read_spikes(tiny_circuit.name, folder, layout, done)


def test_a_cache_that_cannot_be_made_names_the_variable(
    tiny_circuit: Circuit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CORTEXRES_CACHE", str(tmp_path / "file"))
    with pytest.raises(SimulationError, match=r"cannot make the build cache .*name another in CORTEXRES_CACHE"):
        standalone.compiled(structure(tiny_circuit, draw(tiny_circuit, np.random.SeedSequence(0)), [], TIMING), "tiny")


def test_what_brian2_raises_becomes_one_line(tiny_circuit: Circuit, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("first line\nunable to execute 'g++'")

    monkeypatch.setattr(runtime, "build", fail)
    connections = draw(tiny_circuit, np.random.SeedSequence(0))
    with pytest.raises(SimulationError, match=r"'numpy' failed: unable to execute 'g\+\+'; check") as caught:
        list(runtime.run_all(tiny_circuit, connections, [run], TIMING, target="numpy"))
    assert "\n" not in str(caught.value)


def test_an_interrupt_that_was_dropped_inside_a_run_is_raised_after_it() -> None:
    """As when Ctrl-C falls into a callback of the garbage collector, which prints the exception and goes on."""
    # A job in the background ignores the signal, and has no handler that Brian2's could call.
    outside = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), runtime._interrupt_is_kept():  # noqa: PT012
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                pass  # the callback's fate
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, outside)


def test_a_preference_file_in_the_working_directory_is_not_evaluated(tmp_path: Path) -> None:
    """Brian2 evaluates it on import; a folder of a stranger must not be able to run code."""
    (tmp_path / "brian_preferences").write_text(
        f"logging.file_log = bool(open({str(tmp_path / 'ran')!r}, 'w').write('x'))\n"
    )
    root = str(Path(__file__).resolve().parent.parent)
    command = "import os; before = os.getcwd(); import cortexres.circuits.runtime; assert os.getcwd() == before"
    subprocess.run(
        [sys.executable, "-c", command],
        cwd=tmp_path,
        check=True,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
    )
    assert not (tmp_path / "ran").exists()


def test_a_compiler_that_is_there_but_broken_does_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken-g++"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    assert not engines.has_compiler()
    with pytest.warns(UserWarning, match=r"no working C\+\+ compiler and make"):
        assert engines.choose("auto") == "numpy"


@pytest.mark.parametrize(("value", "found"), [(" ", "g++"), ("", "g++"), ("clang++ -O2", "clang++")])
def test_the_compiler_is_the_first_word(value: str, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setenv("CXX", value)
    monkeypatch.setattr(engines.shutil, "which", asked.append)
    assert not engines.has_compiler()
    assert asked == [found]
