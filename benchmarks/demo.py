"""The whole quick demo end to end, with empty and with warm caches, and how circuits grow: time and peak memory.

    python benchmarks/demo.py [--only demo|growth] [--rounds 1] [--quick] [--out benchmarks/results/demo.json]

prints tables with the targets, writes them to `--out`, and exits 1 if a target is missed. Every run is a process of its
own, on all cores. Caches are empty in the first run: compiled circuits, and those of Brian2 and matplotlib. Memory
is the peak of all processes of a run together. ``--quick`` shrinks everything, to see that it works.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import machine
from circuits_cost import load, machine_busy_s
from circuits_tables import IDLE, Verdict, table, verdicts
from process_tree import Ran, ran

from cortexres import io, provenance

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results" / "demo.json"
COMMAND = "import sys; from cortexres.cli import main; sys.exit(main())"
COLD_s, WARM_s = 120.0, 60.0
STAGE = re.compile(r"^(?P<name>\S.*) \.\.\.\n(?:.*\n)*?  (?P<seconds>[\d.]+) s$", re.MULTILINE)

SCALES, DURATIONS_s = (0.025, 0.05, 0.1, 0.2), (0.5, 1.0, 2.0, 4.0)  # of the microcircuit, and of its simulation
AT_SCALE, AT_DURATION_s = 0.1, 1.0
Facts = dict[str, Any]


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 0 where every target is met."""
    options = _options(argv)
    described = machine.described()
    print(machine.line(described) + (" (quick: the figures mean nothing)" if options.quick else ""))
    found: Facts = {}
    judged: list[Verdict] = []
    with tempfile.TemporaryDirectory(prefix="cortexres-demo-") as folder:
        if options.only != "growth":
            found["demo"] = demo(Path(folder), options)
            judged = _judged(found["demo"])
            print(f"\n{_demo_table(found['demo'])}", flush=True)
        if options.only != "demo":
            found["growth"] = growth(Path(folder), options)
            print(f"\n{_growth_table(found['growth'])}")
    if judged:
        print(f"\n{verdicts(judged)}")
    missed = [verdict.name for verdict in judged if not verdict.met]
    facts = {"machine": {**described, "load_after": load()}, "quick": options.quick, **found, "missed": missed}
    io.write_text(options.out, provenance.provenance(made_by="benchmarks/demo.py", **facts) + "\n")
    return int(bool(missed))


def demo(folder: Path, options: argparse.Namespace) -> Facts:
    """Return what the demo takes with empty caches, and with those that the first run has filled."""
    smaller = ["--stimuli", "10", "--trials", "2"] if options.quick else []
    found: Facts = {"cold": [], "warm": []}
    for turn in range(options.rounds):
        place = folder / f"round{turn}"
        for which in ("cold", "warm"):
            command = [sys.executable, "-c", COMMAND, "demo", "--quick", *smaller, "--out", str(place / which)]
            busy = machine_busy_s()
            done = ran(command, _caches(place))
            others = (machine_busy_s() - busy - done.cpu_s) / done.wall_s
            others = None if math.isnan(others) else others
            found[which].append({**done.as_dict(), "others": others, "stages": _stages(done.output)})
    return found


def growth(folder: Path, options: argparse.Namespace) -> list[Facts]:
    """Return what simulations of the microcircuit take: of more cells, and of more seconds."""
    scales, durations = ((0.02,), (0.1,)) if options.quick else (SCALES, DURATIONS_s)
    at_scale, at_duration = (scales[0], durations[0]) if options.quick else (AT_SCALE, AT_DURATION_s)
    sizes = dict.fromkeys([*((s, at_duration) for s in scales), *((at_scale, d) for d in durations)])
    for scale in scales:  # compiles, where no other scale has: small circuits lack projections that larger ones have
        _simulated(folder, scale, 0.01)
    rows = []
    for scale, duration in sizes:
        done = _simulated(folder, scale, duration)
        rows.append({"scale": scale, "duration_s": duration, "cells": int(done.output.split()[-1]), **done.as_dict()})
        print(f"{rows[-1]['cells']} cells, {duration:g} s: {done.wall_s:.1f} s", file=sys.stderr)
    return rows


def _simulated(folder: Path, scale: float, duration_s: float) -> Ran:
    script = str(FOLDER / "circuits_growth_run.py")
    return ran([sys.executable, script, str(scale), str(duration_s)], _caches(folder / "growth"))


def _caches(place: Path) -> dict[str, str]:
    """Return an environment whose caches are in a folder: ours, matplotlib's, and Brian2's in the home."""
    path = os.pathsep.join([str(FOLDER.parent), *sys.path[1:]])
    home = {"HOME": str(place), "XDG_CACHE_HOME": str(place / "cache"), "MPLCONFIGDIR": str(place / "matplotlib")}
    place.mkdir(parents=True, exist_ok=True)
    return {"CORTEXRES_CACHE": str(place / "cortexres"), **home, "PYTHONPATH": path, "MPLBACKEND": "agg"}


def _stages(output: str) -> dict[str, float]:
    """Return the seconds of each stage, as the demo prints them."""
    return {match["name"].split(":")[0]: float(match["seconds"]) for match in STAGE.finditer(output)}


def _judged(found: Facts) -> list[Verdict]:
    judged = []
    for which, title, limit in (("cold", "empty", COLD_s), ("warm", "warm", WARM_s)):
        wall = statistics.median(run["wall_s"] for run in found[which])
        others = [run["others"] for run in found[which] if run["others"] is not None]
        busy = statistics.median(others) if others else 0.0
        note = f"machine not idle: others used {busy:.2f} cores" if busy > IDLE else ""
        judged.append(Verdict(f"quick demo, {title} caches, wall seconds", wall, limit, at_most=True, note=note))
    return judged


def _demo_table(found: Facts) -> str:
    runs = {"empty caches": found["cold"], "warm caches": found["warm"]}

    def row(name: str, of: Any, form: str = ".1f") -> list[str]:
        values = [[of(run) for run in each] for each in runs.values()]
        return [name, *("" if None in some else format(statistics.median(some), form) for some in values)]

    names = found["cold"][0]["stages"]
    stages = [row(f"- {name}, s", lambda run, name=name: run["stages"].get(name)) for name in names]
    whole = row("wall, s", lambda run: run["wall_s"])
    others = [row("CPU, s", lambda run: run["cpu_s"]), row("peak memory, MB", lambda run: run["peak_MB"], ".0f")]
    return table(["quick demo", *runs], [whole, *stages, *others])


def _growth_table(rows: list[Facts]) -> str:
    cells = [
        [
            f"{row['cells']}",
            f"{row['duration_s']:g}",
            f"{row['wall_s']:.1f}",
            f"{row['cpu_s']:.1f}",
            "" if row["peak_MB"] is None else f"{row['peak_MB']:.0f}",
        ]
        for row in rows
    ]
    return table(["microcircuit, cells", "simulated, s", "wall, s", "CPU, s", "peak memory, MB"], cells)


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("demo", "growth"), help="one part alone")
    parser.add_argument("--rounds", type=int, default=1, help="of the demo, cold and warm in turn (default: 1)")
    parser.add_argument("--quick", action="store_true", help="shrink everything; the figures mean nothing")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE", help="default: %(default)s")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
