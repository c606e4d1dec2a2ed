"""One standalone build, many runs of its binary: every stimulus, trial, seed and draw of the synapses.

The binary is kept in the user's cache under a hash of everything that is compiled in, so that a second demo starts at
once. A binary can exit 0 without having written its results, so the files are what counts.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import cortexres
from cortexres.circuits.connectivity import Connections
from cortexres.circuits.runs import Run, Spikes, Timing, cell_drive, first_potentials, noise_seed
from cortexres.definitions import Circuit, to_json
from cortexres.errors import SimulationError


def run_all(
    circuit: Circuit, connections: list[Connections], runs: list[Run], timing: Timing, *, jobs: int
) -> Iterator[tuple[Run, Spikes]]:
    """Each run with its spikes, in order, `jobs` binaries at a time.

    Raises
    ------
    SimulationError
        If the circuit does not compile, or a binary fails or leaves no results.
    """
    binary = compiled(circuit, timing)
    layout = json.loads((binary / "layout.json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="cortexres-runs-") as folder:
        work = Path(folder)
        _write_synapses(work / "static_arrays", connections, layout)
        pool = ThreadPoolExecutor(jobs)
        waiting: deque[tuple[Run, Future[Spikes]]] = deque()
        try:
            for run in runs:
                waiting.append((run, pool.submit(_run_one, circuit, binary / "main", layout, work, run)))
                if len(waiting) > 2 * jobs:  # the spikes of all runs at once would fill the memory
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:  # also where the caller stops early or presses Ctrl-C: what has not begun must not begin
            pool.shutdown(wait=True, cancel_futures=True)


def compiled(circuit: Circuit, timing: Timing) -> Path:
    """The folder of the compiled binary of `circuit`, built now unless the cache has it.

    Raises
    ------
    SimulationError
        If it does not compile, with the last line of what the compiler said.
    """
    circuit = _without_drive(circuit)
    place = _cache() / _key(circuit, timing)
    if _complete(place):
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SimulationError(
            f"cannot make the build cache {place.parent}: {error.strerror}; name another in CORTEXRES_CACHE"
        ) from error
    with tempfile.TemporaryDirectory(prefix="build-", dir=place.parent) as folder:
        _compile_in_child(circuit, timing, Path(folder))
        _keep(Path(folder), place)
    return place


def _compile_in_child(circuit: Circuit, timing: Timing, folder: Path) -> None:
    code, empty = folder / "code", folder / "empty"
    empty.mkdir()
    request = {
        "circuit": to_json(circuit),
        "folder": str(code),
        "settle_ms": timing.settle_ms,
        "total_ms": timing.total_ms,
    }
    # The child must find this package where it is, also when it is used from a checkout without being installed.
    root = str(Path(cortexres.__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    child = subprocess.run(
        [sys.executable, "-m", "cortexres.circuits.standalone_build"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        cwd=empty,
        env={**os.environ, "PYTHONPATH": path, "MPLBACKEND": "Agg"},
        check=False,
    )
    if child.returncode != 0 or not (code / "layout.json").exists():
        said = (child.stderr.strip().splitlines() or ["nothing was said"])[-1]
        raise SimulationError(
            f"compiling circuit {circuit.name!r} failed: {said[:300]}; "
            "check that a C++ compiler and make work, or choose target='numpy'"
        )


def _keep(folder: Path, place: Path) -> None:
    """Move what a run needs into the cache, the rest goes; another process may have been faster."""
    kept = folder / "kept"
    kept.mkdir()
    for name in ("main", "layout.json"):
        shutil.move(folder / "code" / name, kept / name)
    if place.exists() and not _complete(place):  # something cleaned the cache, but not all of it
        shutil.rmtree(place, ignore_errors=True)
    try:
        os.replace(kept, place)
    except OSError:
        if not _complete(place):
            raise


def _complete(place: Path) -> bool:
    return (place / "layout.json").exists() and (place / "main").exists()


def _run_one(circuit: Circuit, binary: Path, layout: dict[str, Any], work: Path, run: Run) -> Spikes:
    with tempfile.TemporaryDirectory(prefix="run-", dir=work) as folder:
        results = Path(folder)
        values = {"x": cell_drive(circuit, run), "v": first_potentials(circuit, run)}
        arguments = []
        for variable, by_population in values.items():
            for population, array in by_population.items():
                path = results / f"in_{population}_{variable}.dat"
                array.tofile(path)
                arguments.append(f"{layout['groups'][population]}.{variable}={path}")
        done = subprocess.run(
            [str(binary), "--results_dir", f"{results}{os.sep}", *arguments],
            cwd=work,
            capture_output=True,
            text=True,
            env={**os.environ, "CORTEXRES_SEED": str(noise_seed(run))},
            check=False,
        )
        return _read_spikes(circuit, results, layout, done)


def _read_spikes(
    circuit: Circuit, results: Path, layout: dict[str, Any], done: subprocess.CompletedProcess[str]
) -> Spikes:
    cell, step = {}, {}
    for population, files in layout["spikes"].items():
        paths = [results / files["i"], results / files["t"]]
        if done.returncode != 0 or not all(p.exists() for p in paths):
            said = (done.stderr or done.stdout).strip().splitlines() or ["nothing was said"]
            raise SimulationError(
                f"a run of circuit {circuit.name!r} exited {done.returncode} without results: {said[-1][:200]}; "
                "check free disk space, or choose target='numpy'"
            )
        if paths[0].stat().st_size * 2 != paths[1].stat().st_size:  # int32 cells, float64 times
            raise SimulationError(
                f"a run of circuit {circuit.name!r} wrote half its spikes ({paths[0].stat().st_size} bytes of cells, "
                f"{paths[1].stat().st_size} of times); check free disk space"
            )
        cell[population] = np.fromfile(paths[0], dtype=np.int32).astype(np.int64)
        step[population] = np.rint(np.fromfile(paths[1]) / (circuit.dt_ms * 1e-3)).astype(np.int64)
        _check_count(circuit, results / files["N"], len(cell[population]))
    return Spikes(cell, step)


def _check_count(circuit: Circuit, path: Path, found: int) -> None:
    """The monitor counts its spikes in a file of its own: a full disk that cut the others short shows there."""
    counted = np.fromfile(path, dtype=np.int32) if path.exists() else np.array([])
    if len(counted) != 1 or int(counted[0]) != found:
        raise SimulationError(
            f"a run of circuit {circuit.name!r} counted {counted.tolist()} spikes, wrote {found}; check free disk space"
        )


def _write_synapses(folder: Path, connections: list[Connections], layout: dict[str, Any]) -> None:
    folder.mkdir()
    for files, made in zip(layout["synapses"], connections, strict=True):
        made.source.tofile(folder / files["sources"])
        made.target.tofile(folder / files["targets"])


def _without_drive(circuit: Circuit) -> Circuit:
    """The gain of the front end arrives with each run: it is not compiled in, and must not force a new build."""
    if circuit.drive is None or circuit.drive.front_end is None:
        return circuit
    front_end = replace(circuit.drive.front_end, gain_mV=0.0, seed=0)
    return replace(circuit, drive=replace(circuit.drive, front_end=front_end))


def _key(circuit: Circuit, timing: Timing) -> str:
    versions = [importlib.metadata.version(p) for p in ("brian2", "numpy")]
    source = "".join(
        (Path(__file__).parent / f"{m}.py").read_text(encoding="utf-8")
        for m in ("brian", "neurons", "synapses", "build", "standalone_build")
    )
    # Brian2 compiles for the processor at hand, and a home folder may be shared by several machines.
    machine = [platform.node(), platform.machine(), sys.version, *(os.environ.get(v, "") for v in ("CXX", "CXXFLAGS"))]
    text = json.dumps([to_json(circuit), timing, versions, machine, source])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _cache() -> Path:
    chosen = os.environ.get("CORTEXRES_CACHE")
    if chosen:
        return Path(chosen) / "builds"
    shared = os.environ.get("XDG_CACHE_HOME")
    try:
        base = Path(shared) if shared else Path.home() / ".cache"
    except RuntimeError:  # an account without a home, as in some containers
        base = Path(tempfile.gettempdir()) / f"cache-{os.getuid()}"
    return base / "cortexres" / "builds"
