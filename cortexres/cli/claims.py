"""`cortexres claims`: rerun published claims, and say where an outcome is not the recorded one."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cortexres.claims.outcome import Outcome


def claims(arguments: argparse.Namespace) -> int:
    """One table of what was run.

    Returns 1 where a named claim does not hold, or, of all, an outcome is not the one in docs/claims.md.
    """
    from cortexres.claims import page, suite

    chosen, docs = suite.scripts(arguments.names), suite.checkout() / "docs"
    recorded = page.recorded(docs)
    if arguments.list:
        _list(chosen, recorded)
        return 0
    outcomes, failed = _run(arguments, _longest_first(chosen, page.recorded_minutes(docs)))
    if outcomes:
        from cortexres.claims.table import suite_text

        print(f"\n{suite_text(outcomes)}\n")
    for message in failed:
        print(message)
    if arguments.record:
        return _record(arguments.out, docs) if not failed else 1
    if arguments.names:
        return 0 if not failed and all(outcome.holds for outcome in outcomes) else 1
    different = suite.differences(outcomes, recorded)
    print("\n".join(different) if different else f"all {len(outcomes)} outcomes are those of docs/claims.md")
    return 1 if different or failed else 0


def _list(chosen: Mapping[str, Path], recorded: Mapping[str, bool]) -> None:
    """Print the names, and what is recorded of each claim."""
    said = {True: "holds", False: "does not hold", None: "not recorded"}
    width = max(map(len, chosen), default=0)
    for name in chosen:
        print(f"{name.ljust(width)}  {said[recorded.get(name)]}")


def _longest_first(chosen: Mapping[str, Path], minutes: Mapping[str, float]) -> dict[str, Path]:
    """The scripts in the order that keeps all cores busy to the end; those of unknown length come first."""
    return dict(sorted(chosen.items(), key=lambda item: -minutes.get(item[0], float("inf"))))


def _run(arguments: argparse.Namespace, chosen: Mapping[str, Path]) -> tuple[list[Outcome], list[str]]:
    """The outcomes by name, and a line for each script that failed; says how each ended as it does."""
    from cortexres import io
    from cortexres.claims import suite

    io.check_writable(arguments.out / "outcome.json")
    setting = arguments.setting or ("auto" if arguments.names else "quick")
    jobs = arguments.jobs or os.cpu_count() or 1
    outcomes, failed = [], []
    for ended in suite.run(chosen, out=arguments.out, setting=setting, seeds=arguments.seeds, jobs=jobs):
        if ended.outcome is None:
            failed.append(f"{ended.name} failed: {ended.message}")
            print(failed[-1], file=sys.stderr, flush=True)
            continue
        outcomes.append(ended.outcome)
        said = "holds" if ended.outcome.holds else "does not hold"
        print(f"{ended.name}: {said} ({ended.outcome.minutes:.1f} min)", file=sys.stderr, flush=True)
    return sorted(outcomes, key=lambda outcome: outcome.name), failed


def _record(out: Path, docs: Path) -> int:
    """Write the page from every outcome in `out`, also of earlier runs; 0."""
    from cortexres.claims import page

    outcomes = _outcomes_in(out)
    print(page.write(outcomes, out, docs))
    return 0


def _outcomes_in(out: Path) -> Sequence[Outcome]:
    """The outcomes of all claims in the folder.

    Raises
    ------
    DataFileError
        If one is missing.
    """
    from cortexres.claims import suite
    from cortexres.claims.outcome import FILE, from_json
    from cortexres.errors import DataFileError

    places = {name: out / name / FILE for name in suite.scripts()}
    missing = [name for name, place in places.items() if not place.is_file()]
    if missing:
        raise DataFileError(f"got no outcome of {', '.join(missing)} in {out}, expected one of every claim; run them")
    return [from_json(place.read_text(encoding="utf-8")) for place in places.values()]
