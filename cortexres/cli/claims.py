"""`cortexres claims`: rerun published claims, and say where an outcome is not the recorded one."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cortexres.errors import ArgumentError, DataFileError

if TYPE_CHECKING:
    from types import FrameType

    from cortexres.claims.outcome import Outcome
    from cortexres.claims.page import Record
    from cortexres.claims.suite import Ended


def claims(arguments: argparse.Namespace) -> int:
    """One table of what was run.

    Returns 1 where a script failed, a named claim does not hold, or, of all, an outcome is not the one recorded in
    docs/claims.md; with ``--record`` only where a script failed. 2 where scripts were asked for what they cannot do.
    """
    from cortexres.claims import page, suite

    chosen, docs = suite.scripts(arguments.names), suite.checkout() / "docs"
    recorded = page.recorded(docs)
    if arguments.list:
        _list(chosen, recorded)
        return 0
    _check(arguments)
    outcomes: list[Outcome] = []
    failed: list[Ended] = []
    try:
        with _stoppable():
            _run(arguments, _longest_first(chosen, recorded), outcomes, failed)
    finally:  # after Ctrl-C too: what ended has taken minutes
        _print_table(sorted(outcomes, key=lambda outcome: outcome.name), whole=bool(arguments.names))
    if failed:
        return suite.MISTAKE if all(ended.mistake for ended in failed) else 1
    if arguments.record:
        print(page.write(_outcomes_in(arguments.out), arguments.out, docs))
        return 0
    if arguments.names:
        return 0 if all(outcome.holds for outcome in outcomes) else 1
    different = suite.differences(outcomes, {name: record.holds for name, record in recorded.items()})
    print("\n".join(different) if different else f"all {len(outcomes)} outcomes are those of docs/claims.md")
    return 1 if different else 0


def _list(chosen: Mapping[str, Path], recorded: Mapping[str, Record]) -> None:
    """Print the names, and what is recorded of each claim."""
    width = max(map(len, chosen), default=0)
    for name in chosen:
        said = "not recorded" if name not in recorded else "holds" if recorded[name].holds else "does not hold"
        print(f"{name.ljust(width)}  {said}")


def _check(arguments: argparse.Namespace) -> None:
    """Raise what every script would, once and before any is started."""
    from cortexres import io

    io.check_writable(arguments.out / "outcome.json")
    if arguments.setting == "large":
        if arguments.record:
            raise ArgumentError("got --record with --setting large, expected the quick setting: everybody can run it")
        from cortexres.nn.device import usable_device

        usable_device("cuda")


def _longest_first(chosen: Mapping[str, Path], recorded: Mapping[str, Record]) -> dict[str, Path]:
    """The scripts in the order that keeps all cores busy to the end; those of unknown length come first."""

    def minutes(name: str) -> float:
        return recorded[name].minutes if name in recorded else float("inf")

    return dict(sorted(chosen.items(), key=lambda item: -minutes(item[0])))


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Take a request to end (SIGTERM) as Ctrl-C is taken: scripts are ended too, and the table is printed."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(
    arguments: argparse.Namespace, chosen: Mapping[str, Path], outcomes: list[Outcome], failed: list[Ended]
) -> None:
    """Fill the lists of what ended with an outcome and of what failed, and say how each ended as it does."""
    from cortexres.claims import suite

    quick = arguments.record or not arguments.names
    setting = arguments.setting or ("quick" if quick else "auto")
    jobs = arguments.jobs or len(os.sched_getaffinity(0))
    running = suite.run(chosen, out=arguments.out, setting=setting, seeds=arguments.seeds, jobs=jobs)
    with contextlib.closing(running):
        for ended in running:
            if ended.outcome is None:
                failed.append(ended)
                said = f"failed: {ended.message}"
            else:
                outcomes.append(ended.outcome)
                holds = "holds" if ended.outcome.holds else "does not hold"
                said = f"{holds} ({ended.outcome.minutes:.1f} min)"
            print(f"{ended.name}: {said}", file=sys.stderr, flush=True)


def _print_table(outcomes: Sequence[Outcome], *, whole: bool) -> None:
    """Print each claim `whole`, or what failed in those that do not hold; then one table."""
    if not outcomes:
        return
    from cortexres.claims.table import claim_text, failures, suite_text

    for outcome in outcomes:
        if whole:
            print(f"{claim_text(outcome)}\n")
    print(f"\n{suite_text(outcomes)}\n")
    if not whole:
        for line in (line for outcome in outcomes for line in failures(outcome)):
            print(line)


def _outcomes_in(out: Path) -> Sequence[Outcome]:
    """The outcomes of all claims in the folder, also of earlier runs.

    Raises
    ------
    DataFileError
        If one is missing, or is of a script that has changed since.
    """
    from cortexres.claims import suite
    from cortexres.claims.outcome import FILE, digest, from_json

    scripts = suite.scripts()
    places = {name: out / name / FILE for name in scripts}
    missing = [name for name, place in places.items() if not place.is_file()]
    if missing:
        raise DataFileError(f"got no outcome of {', '.join(missing)} in {out}, expected one of every claim; run them")
    outcomes = [from_json(place.read_text(encoding="utf-8")) for place in places.values()]
    old = [outcome.name for outcome in outcomes if outcome.script != digest(scripts[outcome.name])]
    if old:
        raise DataFileError(
            f"got outcomes of {', '.join(old)} in {out} from before their scripts were changed, expected those of the "
            "scripts as they are; run them again"
        )
    return outcomes
