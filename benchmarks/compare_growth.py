"""How time x block maps grow with stimuli and units, ours and those of the reference implementations.

    python benchmarks/compare_growth.py [--only WORD] [--limit 100] [--quick] [--out FILE.json]

prints a table of CPU seconds and peak memory, with the largest difference of the maps, writes it to `--out`, and exits
1 if ours differ from the others'. Each map is made in a process of its own, one after the other, with one thread,
several times where that takes less than a second. What would take longer than `--limit` seconds, as the next smaller
size says, is not run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import machine
import numpy as np
from circuits_cost import load
from circuits_tables import Verdict, table, verdicts

from cortexres import io, provenance

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results" / "compare_growth.json"
NAMES = {
    "RSA, squared Euclidean": "rsatoolbox",
    "RSA, 1 - correlation": "rsatoolbox",
    "linear CKA, biased": "rsatoolbox, whitened cosine",
    "ridge, left-out predictions": "scikit-learn RidgeCV",
}
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
TOLERANCE = 1e-6  # of the largest value
PASSES = 2000  # units whose products take as long as all that is done with a pair beside them
Run = dict[str, Any]


class Size(NamedTuple):
    """Numbers of stimuli and of units, and how large the maps are."""

    stimuli: tuple[int, ...]
    units: tuple[int, ...]
    times: int
    blocks: int


FULL = Size(stimuli=(100, 500, 1000, 5000), units=(100, 1000, 10000), times=4, blocks=2)
QUICK = Size(stimuli=(20,), units=(10, 30), times=2, blocks=2)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 0 where every target is met."""
    options = _options(argv)
    size, described = QUICK if options.quick else FULL, machine.described()
    print(machine.line(described) + (" (quick: the figures mean nothing)" if options.quick else ""))
    rows: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="compare-growth-") as folder:
        for name in (name for name in NAMES if options.only in name):
            for n, p in product(size.stimuli, size.units):
                rows.append(_measured(name, n, p, size, rows, options.limit, Path(folder)))
                print(f"{name}, {n} x {p}: {_seconds(rows[-1], 'ours')} s, {_seconds(rows[-1], 'peer')} s", flush=True)
    judged = _judged(rows)
    print(f"\n{_table(rows)}\n\n{verdicts(judged)}")
    missed = [verdict.name for verdict in judged if not verdict.met]
    facts = {"machine": {**described, "load_after": load()}, "size": size._asdict(), "quick": options.quick}
    text = provenance.provenance(made_by="benchmarks/compare_growth.py", **facts, maps=rows, missed=missed)
    io.write_text(options.out, text + "\n")
    return int(bool(missed))


def _measured(name: str, n: int, p: int, size: Size, before: list[Run], limit: float, folder: Path) -> Run:
    """Return what both took for the maps of n stimuli and p units; None for who would take too long."""
    row: Run = {"name": name, "peer_name": NAMES[name], "stimuli": n, "units": p}
    row["data_MB"] = (size.times + size.blocks) * n * p * 8 / 1e6
    row["failed"] = False  # ours, that is; a peer may
    maps = {}
    for who in ("ours", "peer"):
        row[who] = None
        if _expected_s(who, name, n, p, before) > limit:
            continue
        out = folder / f"{who}.npy"
        arguments = [who, name, n, p, size.times, size.blocks, out]
        done = subprocess.run(
            [sys.executable, str(FOLDER / "compare_growth_map.py"), *map(str, arguments)],
            stdout=subprocess.PIPE,
            text=True,
            env=_environment(),
        )
        if done.returncode:
            print(f"{name}, {n} x {p}: {NAMES[name] if who == 'peer' else 'ours'} failed", file=sys.stderr)
            row["failed"] |= who == "ours"
            continue
        row[who], maps[who] = json.loads(done.stdout.strip().splitlines()[-1]), np.load(out)
    row["difference"] = None
    if len(maps) == 2:
        row["difference"] = float(np.abs(maps["ours"] - maps["peer"]).max() / np.abs(maps["peer"]).max())
    return row


def _environment() -> dict[str, str]:
    path = os.pathsep.join([str(FOLDER.parent), *sys.path[1:]])
    return {**os.environ, **dict.fromkeys(THREADS, "1"), "PYTHONPATH": path}


def _expected_s(who: str, name: str, n: int, p: int, before: list[Run]) -> float:
    """Return seconds, from the largest smaller work.

    Products grow as n n p, with passes over all pairs beside them; decompositions as n p times the lesser of both.
    """
    known = [row for row in before if row["name"] == name and row["stimuli"] <= n and row["units"] <= p]
    if not known:
        return 0.0

    def work(row: Run) -> float:
        a, b = row["stimuli"], row["units"]
        return float(a * b * min(a, b) if name.startswith("ridge") else a * a * (b + PASSES))

    largest = max(known, key=work)
    if largest[who] is None:
        return float("inf")
    return float(largest[who]["cpu_s"] * work({"stimuli": n, "units": p}) / work(largest))


def _judged(rows: list[Run]) -> list[Verdict]:
    """Return whether the maps are the same."""
    both = {f"{row['name']}, {row['stimuli']} x {row['units']}": row for row in rows if row["difference"] is not None}
    failed = [f"{row['name']}, {row['stimuli']} x {row['units']}" for row in rows if row["failed"]]
    judged = [Verdict("maps of ours that failed", len(failed), 0.0, True, "; ".join(failed))]
    if both:
        differences = np.array([row["difference"] for row in both.values()])
        worst = int(differences.argmax())  # which is one that is not a number, where there is one
        judged.append(
            Verdict(f"largest difference / {TOLERANCE:g}", differences[worst] / TOLERANCE, 1.0, True, list(both)[worst])
        )
    return judged


def _table(rows: list[Run]) -> str:
    cells = [
        [
            row["name"],
            f"{row['stimuli']} x {row['units']}",
            f"{row['data_MB']:.3g}",
            _seconds(row, "ours"),
            _seconds(row, "peer"),
            "" if row["difference"] is None else f"{row['peer']['cpu_s'] / row['ours']['cpu_s']:.3g}",
            _memory(row, "ours"),
            _memory(row, "peer"),
            "" if row["difference"] is None else f"{row['difference']:.1e}",
        ]
        for row in rows
    ]
    head = ["map", "stimuli x units", "data, MB", "ours, CPU s", "peer, CPU s", "times faster"]
    return table([*head, "ours, peak MB", "peer, peak MB", "largest difference"], cells)


def _seconds(row: Run, who: str) -> str:
    return "not run" if row[who] is None else f"{row[who]['cpu_s']:.3g}"


def _memory(row: Run, who: str) -> str:
    known = row[who] is not None and row[who]["peak_MB"] is not None
    return f"{row[who]['peak_MB']:.0f}" if known else ""


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD", help="only maps with this word in their name")
    parser.add_argument("--limit", type=float, default=100.0, metavar="S", help="CPU seconds of one map (default: 100)")
    parser.add_argument("--quick", action="store_true", help="little work, to see that it runs")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE", help="default: %(default)s")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
