"""The comparison against its peers, the same work in one run: how many times faster, and how far apart.

    python benchmarks/compare.py [--only WORD] [--rounds 3] [--quick] [--out FILE.json]

prints a table, writes it to `--out`, and exits 1 if a target is missed. A peer that is not installed is left out and
named; `pip install -e '.[peers]'` brings them. Seconds are CPU seconds of one thread; a peer that would take hours
does a part of the work, and its time is multiplied by the number in the table.
"""

from __future__ import annotations

import os

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")  # set before numpy is imported

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from circuits_tables import Verdict, table, verdicts
from compare_contest import FULL, QUICK, Contest
from compare_contests import CONTESTS

from cortexres import io, provenance

RESULTS = Path(__file__).parent / "results" / "compare.json"
LONG_s = 20.0  # a peer that takes longer is timed once


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 0 where every target is met."""
    options = _options(argv)
    size = QUICK if options.quick else FULL
    if options.quick:
        print("quick: the figures mean nothing")
    found: list[dict[str, Any]] = []
    judged: list[Verdict] = []
    for make in CONTESTS:
        try:
            contest = make(size, np.random.default_rng(0))
        except ModuleNotFoundError as missing:
            print(f"left out, as {missing.name} is not installed: pip install -e '.[peers]'")
            continue
        if options.only and options.only not in contest.name:
            continue
        facts = measured(contest, rounds=options.rounds)
        print(f"{facts['name']}: {facts['ours_s']:.3g} s, peer {facts['peer_s']:.4g} s", flush=True)
        found.append(facts)
        judged += _judged(contest, facts)
    print(f"\n{_table(found)}\n\n{verdicts(judged)}")
    missed = [verdict.name for verdict in judged if not verdict.met]
    facts = {"size": size._asdict(), "quick": options.quick, "contests": found, "missed": missed}
    io.write_text(options.out, provenance.provenance(made_by="benchmarks/compare.py", **facts) + "\n")
    return int(bool(missed) or not found)


def measured(contest: Contest, *, rounds: int) -> dict[str, Any]:
    """Return the median seconds of both, the ratio within rounds, and the largest difference of what they find."""
    ours_s, peer_s = [], []
    contest.ours()  # what happens only the first time, as compiling, is not of interest
    if _timed(contest.peer)[0] > LONG_s:
        rounds = 1
    for _ in range(rounds):
        seconds, ours = _timed(contest.ours)
        ours_s.append(seconds)
        seconds, peer = _timed(contest.peer)
        peer_s.append(seconds * contest.parts)
    difference = None
    if contest.tolerance is not None:
        difference = float(np.max(np.abs(ours - peer)) / np.max(np.abs(peer)))
    return {
        "name": contest.name,
        "peer": contest.peer_name,
        "parts": contest.parts,
        "ours_s": statistics.median(ours_s),
        "peer_s": statistics.median(peer_s),
        "times": statistics.median(p / o for p, o in zip(peer_s, ours_s, strict=True)),
        "difference": difference,
    }


def _timed(call: Any) -> tuple[float, np.ndarray]:
    start = time.process_time()
    values = np.asarray(call())
    return time.process_time() - start, values


def _judged(contest: Contest, facts: dict[str, Any]) -> list[Verdict]:
    judged = [Verdict(f"{contest.name}: times faster", facts["times"], contest.least)]
    if contest.tolerance is not None:
        apart = facts["difference"] / contest.tolerance
        judged.append(Verdict(f"{contest.name}: difference / {contest.tolerance:g}", apart, 1.0, at_most=True))
    return judged


def _table(found: list[dict[str, Any]]) -> str:
    rows = [
        [
            facts["name"],
            f"{facts['ours_s']:.3g}",
            facts["peer"],
            f"{facts['peer_s']:.3g}" + (f" ({facts['parts']} x a part)" if facts["parts"] > 1 else ""),
            f"{facts['times']:.3g}",
            "" if facts["difference"] is None else f"{facts['difference']:.1e}",
        ]
        for facts in found
    ]
    return table(["work", "ours, CPU s", "peer", "peer, CPU s", "times faster", "largest difference"], rows)


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD", help="only what has this word in its name")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is timed (default: 3)")
    parser.add_argument("--quick", action="store_true", help="little work, to see that it runs")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE", help="default: %(default)s")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
