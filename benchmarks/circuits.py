"""How fast circuits run: the demo circuit against plain Brian2 scripts, the microcircuit against NEST.

    python benchmarks/circuits.py [--only demo|pd14] [--quick] [--out benchmarks/results/circuits.json]

prints tables with the targets beside the figures, writes them to `--out`, and exits 1 if a target is missed or could
not be judged. Every contender runs in a process of its own, one after the other. ``--quick`` shrinks everything, to see
that it works; its figures mean nothing. The microcircuit needs NEST: ``pip install "cortexres[benchmark]"``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import circuits_tables as tables
import numpy as np
from circuits_cortexres import images
from circuits_cost import load

from cortexres import circuits, front_ends, io, provenance

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results" / "circuits.json"


class Size(NamedTuple):
    """How much of everything is run."""

    stimuli: int
    trials: int
    rebuilds: int
    warm_runs: int
    subset: int
    duration_ms: float


FULL = Size(stimuli=50, trials=10, rebuilds=5, warm_runs=10, subset=30, duration_ms=2000.0)
QUICK = Size(stimuli=5, trials=2, rebuilds=2, warm_runs=2, subset=4, duration_ms=300.0)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 0 where every target is met."""
    options = _options(argv)
    size = QUICK if options.quick else FULL
    parts = {"demo": demo, "pd14": pd14}
    found: dict[str, Any] = {}
    for name in [options.only] if options.only else parts:
        before = load()
        found[name] = {**parts[name](size), "load_before": before, "load_after": load()}
    print(f"{os.cpu_count()} cores, {_processor()}" + (" (quick: the figures mean nothing)" if options.quick else ""))
    verdicts = []
    for name, facts in found.items():
        text, judged = tables.demo(facts) if name == "demo" else tables.pd14(facts)
        print(f"\n{text}\nload averages before {facts['load_before']}, after {facts['load_after']}")
        verdicts += judged
    print("\n" + tables.verdicts(verdicts))
    missed = [v.name for v in verdicts if not v.met]
    record = {"processor": _processor(), "cores": os.cpu_count(), "size": size._asdict(), "quick": options.quick}
    text = provenance.provenance(made_by="benchmarks/circuits.py", **record, **found, missed=missed)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    io.write_text(options.out, text + "\n")
    return int(bool(missed))


def demo(size: Size) -> dict[str, Any]:
    """The demo circuit, with cortexres and in four plain scripts."""
    shown, drive = images(size.stimuli), circuits.load("ei_assemblies").drive
    assert drive is not None
    assert drive.front_end is not None
    with tempfile.TemporaryDirectory(prefix="circuits-benchmark-") as folder:
        drives = Path(folder) / "drives.npy"
        np.save(drives, front_ends.drive(shown, drive.front_end).values)

        def plain(how: str, runs: int) -> dict[str, Any]:
            return _contender("circuits_plain_brian2.py", drives, "--how", how, "--runs", runs)

        cold_and_warm = 1 + size.warm_runs
        return {
            "stimuli": size.stimuli,
            "trials": size.trials,
            "cortexres": _contender(
                "circuits_cortexres.py",
                "demo",
                *("--stimuli", size.stimuli, "--trials", size.trials, "--subset", size.subset),
            ),
            "rebuild": plain("rebuild", size.rebuilds),
            "runtime": plain("runtime", min(cold_and_warm, size.stimuli)),
            "restore": plain("restore", min(cold_and_warm, size.stimuli)),
            "run_args": plain("run_args", min(cold_and_warm, size.stimuli)),
        }


def pd14(size: Size) -> dict[str, Any]:
    """The microcircuit at a tenth of its size, with cortexres and in NEST."""
    arguments = ("--scale", 0.1, "--duration-ms", size.duration_ms)
    has_nest = importlib.util.find_spec("nest") is not None
    return {
        "duration_ms": size.duration_ms,
        "cortexres": _contender("circuits_cortexres.py", "pd14", *arguments),
        "nest": _contender("circuits_nest.py", *arguments) if has_nest else None,
    }


def _contender(script: str, *arguments: object) -> dict[str, Any]:
    """The line of JSON that `script` prints last; one thread for the libraries that would take more."""
    print(f"running {script} {' '.join(map(str, arguments))} ...", file=sys.stderr)
    done = subprocess.run(
        [sys.executable, str(FOLDER / script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(FOLDER.parent), *sys.path[1:]])},
    )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _processor() -> str:
    """The processor's name where Linux says it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["demo", "pd14"], help="one part alone")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it works")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the figures go")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
