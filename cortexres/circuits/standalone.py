"""One standalone build, many runs of its binary: every stimulus, trial, seed, draw of the synapses and other number.

The binary is kept in the user's cache under a hash of everything that is compiled in, so that a second demo starts at
once. A binary can exit 0 without having written its results, so the files are what counts.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import pickle
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cortexres
from cortexres.circuits import build_cache
from cortexres.circuits.connectivity import Connections
from cortexres.circuits.parameters import Values, circuit_values, synapse_pairs, synapse_values
from cortexres.circuits.run_parameters import frame_values, replay_values, run_values
from cortexres.circuits.runs import Activity, Run, Timing, noise_seed
from cortexres.circuits.samples import population_spikes, unit_samples
from cortexres.circuits.structure import Structure
from cortexres.circuits.structure_of import structure
from cortexres.definitions import Circuit
from cortexres.errors import SimulationError

#: Files whose text decides what is compiled.
_COMPILED_FROM = (
    *("backgrounds", "brian", "build", "gating", "neurons", "recorded"),
    *("standalone_build", "structure", "synapses"),
)


def run_all(
    circuit: Circuit, connections: list[Connections], runs: list[Run], timing: Timing, *, jobs: int
) -> Iterator[tuple[Run, Activity]]:
    """Each run with its activity, in order, `jobs` binaries at a time.

    Raises
    ------
    SimulationError
        If the circuit does not compile, or a binary fails or leaves no results.
    """
    made = structure(circuit, connections, runs, timing)
    binary = compiled(made, circuit.name)
    with tempfile.TemporaryDirectory(prefix="cortexres-runs-") as folder:
        work = _Work(Path(folder), binary, made, circuit)
        work.prepare(connections, timing)
        pool = ThreadPoolExecutor(jobs)
        waiting: deque[tuple[Run, Future[Activity]]] = deque()
        try:
            for run in runs:
                waiting.append((run, pool.submit(work.carry_out, run)))
                if len(waiting) > 2 * jobs:  # the spikes of all runs at once would fill the memory
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:  # also where the caller stops early or presses Ctrl-C: what has not begun must not begin
            pool.shutdown(wait=True, cancel_futures=True)


def compiled(made: Structure, name: str) -> Path:
    """The folder of the compiled binary of a structure, built now unless the cache has it.

    Raises
    ------
    SimulationError
        If it does not compile, with the last line of what the compiler said about the circuit `name`.
    """
    place = build_cache.folder() / _key(made)
    if build_cache.use(place):
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SimulationError(
            f"cannot make the build cache {place.parent}: {error.strerror}; name another in CORTEXRES_CACHE"
        ) from error
    build_cache.tidy(place.parent, now=time.time())
    with tempfile.TemporaryDirectory(prefix=build_cache.UNFINISHED, dir=place.parent) as folder:
        _compile_in_child(made, name, Path(folder))
        build_cache.keep(Path(folder), place)
    return place


def _compile_in_child(made: Structure, name: str, folder: Path) -> None:
    code, empty = folder / "code", folder / "empty"
    empty.mkdir()
    # The child must find this package where it is, also when it is used from a checkout without being installed.
    root = str(Path(cortexres.__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    child = subprocess.run(
        [sys.executable, "-m", "cortexres.circuits.standalone_build", str(code)],
        input=pickle.dumps(made),
        capture_output=True,
        cwd=empty,
        env={**os.environ, "PYTHONPATH": path, "MPLBACKEND": "Agg"},
        check=False,
    )
    if child.returncode != 0 or not (code / "layout.json").exists():
        said = (child.stderr.decode(errors="replace").strip().splitlines() or ["nothing was said"])[-1]
        raise SimulationError(
            f"compiling circuit {name!r} failed: {said[:300]}; "
            "check that a C++ compiler and make work, or choose target='numpy'"
        )


class _Work:
    """The runs of one binary in a folder of their own."""

    def __init__(self, folder: Path, binary: Path, made: Structure, circuit: Circuit) -> None:
        self.folder, self.binary, self.made, self.circuit = folder, binary / "main", made, circuit
        self.layout = json.loads((binary / "layout.json").read_text(encoding="utf-8"))
        self.arguments: list[str] = []
        self.seconds = "0"
        shutil.copytree(binary / "static_arrays", folder / "static_arrays")

    def prepare(self, connections: list[Connections], timing: Timing) -> None:
        """Write what all runs share: synapses, and the numbers of the circuit."""
        pairs = synapse_pairs(self.made, self.circuit, connections)
        for files, (source, target) in zip(self.layout["synapses"], pairs, strict=True):
            source.tofile(self.folder / "static_arrays" / files[0])
            target.tofile(self.folder / "static_arrays" / files[1])
        values = circuit_values(self.made, self.circuit, timing)
        values |= synapse_values(self.made, self.circuit, connections)
        self.arguments = _arguments(values, self.folder)
        self.seconds = repr(timing.seconds(self.circuit.dt_ms))

    def carry_out(self, run: Run) -> Activity:
        """One run, in a folder that is removed when its results are read."""
        with tempfile.TemporaryDirectory(prefix="run-", dir=self.folder) as folder:
            results = Path(folder)
            frames: Values = {
                f"frames_{k}.values": v for k, v in frame_values(self.made, self.circuit, run).items()
            }
            own = _arguments(run_values(self.made, self.circuit, run) | frames, results)
            self._lay_out_arrays(results / "static_arrays", run)
            done = subprocess.run(
                [str(self.binary), "--results_dir", f"{results}{os.sep}", *self.arguments, *own],
                cwd=results,
                capture_output=True,
                text=True,
                env={**os.environ, "CORTEXRES_SEED": str(noise_seed(run)), "CORTEXRES_SECONDS": self.seconds},
                check=False,
            )
            spikes = _read_spikes(self.circuit.name, results, self.layout, done)
            samples = _read_samples(self.made, results, self.layout)
            return Activity(population_spikes(self.made, self.circuit, spikes), unit_samples(self.made, samples))


    def _lay_out_arrays(self, folder: Path, run: Run) -> None:
        """The arrays that a binary reads where it starts: those of all runs, and the run's own recordings."""
        recordings = replay_values(self.made, self.circuit, run)
        if not recordings:
            folder.symlink_to(self.folder / "static_arrays")
            return
        folder.mkdir()
        for shared in (self.folder / "static_arrays").iterdir():
            (folder / shared.name).symlink_to(shared)
        for k, arrays in recordings.items():
            for name, array in zip(self.layout["replay"][str(k)], arrays, strict=True):
                array.tofile(folder / name)


def _arguments(values: Values, folder: Path) -> list[str]:
    """Arguments of a binary that set its variables: numbers as text, arrays as files in `folder`."""
    arguments = []
    for name, value in values.items():
        if isinstance(value, float):
            arguments.append(f"{name}={value!r}")
        else:
            path = folder / f"in_{name}.dat"
            value.tofile(path)
            arguments.append(f"{name}={path}")
    return arguments


def _read_spikes(
    name: str, results: Path, layout: dict[str, Any], done: subprocess.CompletedProcess[str]
) -> list[tuple[NDArray[np.int32], NDArray[np.float64]]]:
    """The cells and times in seconds of the spikes of each group, from a run of the circuit `name`."""
    # What cannot be set from the command line, or read from a file, is only complained of.
    complaint = [line for line in (done.stderr + done.stdout).splitlines() if "rror" in line or "ould not" in line]
    spikes = []
    for files in layout["spikes"]:
        paths = [results / files["i"], results / files["t"]]
        if done.returncode != 0 or complaint or not all(p.exists() for p in paths):
            said = complaint or (done.stderr or done.stdout).strip().splitlines() or ["nothing was said"]
            raise SimulationError(
                f"a run of circuit {name!r} exited {done.returncode} without results: {said[-1][:200]}; "
                "check free disk space, or choose target='numpy'"
            )
        if paths[0].stat().st_size * 2 != paths[1].stat().st_size:  # int32 cells, float64 times
            raise SimulationError(
                f"a run of circuit {name!r} wrote half its spikes ({paths[0].stat().st_size} bytes of cells, "
                f"{paths[1].stat().st_size} of times); check free disk space"
            )
        spikes.append((np.fromfile(paths[0], dtype=np.int32), np.fromfile(paths[1])))
        _check_count(name, results / files["N"], len(spikes[-1][0]))
    return spikes


def _check_count(name: str, path: Path, found: int) -> None:
    """The monitor counts its spikes in a file of its own: a full disk that cut the others short shows there."""
    counted = np.fromfile(path, dtype=np.int32) if path.exists() else np.array([])
    if len(counted) != 1 or int(counted[0]) != found:
        raise SimulationError(
            f"a run of circuit {name!r} counted {counted.tolist()} spikes, wrote {found}; check free disk space"
        )


def _read_samples(made: Structure, results: Path, layout: dict[str, Any]) -> dict[int, dict[str, NDArray[np.float64]]]:
    """The sums of each component over every unit, (sample, unit), by group."""
    found = {}
    for k, files in layout["samples"].items():
        units = made.groups[int(k)].units
        found[int(k)] = {name: np.fromfile(results / file).reshape(-1, units) for name, file in files.items()}
    return found


def _key(made: Structure) -> str:
    versions = [importlib.metadata.version(p) for p in ("brian2", "numpy")]
    source = "".join((Path(__file__).parent / f"{m}.py").read_text(encoding="utf-8") for m in _COMPILED_FROM)
    # Brian2 compiles for the processor at hand, and a home folder may be shared by several machines.
    machine = [platform.node(), platform.machine(), sys.version, *(os.environ.get(v, "") for v in ("CXX", "CXXFLAGS"))]
    return hashlib.sha256(json.dumps([repr(made), versions, machine, source]).encode()).hexdigest()[:32]
