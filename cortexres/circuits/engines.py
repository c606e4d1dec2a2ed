"""Which engine carries out the runs: the compiled binary where there is a compiler, Brian2's own loop otherwise."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from cortexres.circuits import standalone
from cortexres.circuits.connectivity import Connections
from cortexres.circuits.runs import Activity, Run, Timing
from cortexres.definitions import Circuit
from cortexres.errors import ArgumentError

TARGETS = ("auto", "cpp_standalone", "cython", "numpy")


def choose(target: str) -> str:
    """The engine that ``"auto"`` stands for on this machine, or `target` itself.

    Raises
    ------
    ArgumentError
        If `target` is none of `TARGETS`.
    """
    if target not in TARGETS:
        raise ArgumentError(f"target is {target!r}, expected one of {', '.join(TARGETS)}")
    if target != "auto":
        return target
    if has_compiler():
        return "cpp_standalone"
    warnings.warn(
        "no working C++ compiler and make were found: simulating with numpy, about 5 times slower; "
        "install g++ and make for speed",
        stacklevel=2,
    )
    return "numpy"


def has_compiler() -> bool:
    """True where make and the C++ compiler that Brian2 would call are on the path, and the compiler works."""
    compiler = (os.environ.get("CXX", "").split() or ["g++"])[0]
    return shutil.which(compiler) is not None and shutil.which("make") is not None and _compiles(compiler)


def _compiles(compiler: str) -> bool:
    """True where `compiler` makes a program; one without its standard library, say, is on the path but useless."""
    with tempfile.TemporaryDirectory(prefix="cortexres-compiler-") as folder:
        command = [compiler, "-x", "c++", "-", "-o", str(Path(folder) / "probe")]
        program = "#include <vector>\nint main() { return 0; }\n"
        return subprocess.run(command, input=program, text=True, capture_output=True, check=False).returncode == 0


def run_all(
    circuit: Circuit,
    connections: list[Connections],
    runs: list[Run],
    timing: Timing,
    *,
    target: str,
    jobs: int,
) -> Iterator[tuple[Run, Activity]]:
    """Each run with its activity, in order, by the engine `target` (see `choose`)."""
    if target == "cpp_standalone":
        return standalone.run_all(circuit, connections, runs, timing, jobs=jobs)
    from cortexres.circuits import runtime  # loads brian2, which a compiled run never needs in this process

    return runtime.run_all(circuit, connections, runs, timing, target=target)
