"""`docs/claims.md`: made from a run of all claims, and read for the outcomes that are recorded in it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cortexres import io
from cortexres.claims.outcome import FIGURE, Outcome
from cortexres.claims.table import LINE_HEADER, SUITE_HEADER, line_row, markdown, suite_row
from cortexres.errors import DataFileError

PAGE = "claims.md"
FIGURES = "claims"
LEAST_SEEDS = 3
INTRODUCTION = """# The claims, reproduced

Each published claim that this package stands on has a script in `simulations/claims/`, which runs it at small scale
with a control in which the effect is removed. This page is written by

    cortexres claims --record

and `cortexres claims` with no name exits 0 where every outcome is the one recorded here. A claim *holds* where every
check is met and the same check fails for its control; one that does not stays here with what was found, and with the
number of checks that are missed. Measured is the mean over seeds, with the range. What a source says that could not be
confirmed is marked.

"""


def write(outcomes: Sequence[Outcome], results: Path, docs: Path) -> Path:
    """Write the page and its figures, from outcomes and the folder of their results; return the page.

    Raises
    ------
    DataFileError
        If an outcome cannot be recorded (see `why_not`), or a file cannot be written.
    """
    ordered = sorted(outcomes, key=lambda outcome: outcome.name)
    for outcome in ordered:
        reason = why_not(outcome, results)
        if reason is not None:
            raise DataFileError(f"got {outcome.name} {reason}; run it again")
    for outcome in ordered:
        figure = (results / outcome.name / FIGURE).read_bytes()
        io.write_bytes(docs / FIGURES / f"{outcome.name}.png", figure)
    return io.write_text(docs / PAGE, text(ordered))


def why_not(outcome: Outcome, results: Path) -> str | None:
    """Return why an outcome cannot be recorded; None where it can."""
    if outcome.seeds < LEAST_SEEDS:
        return f"of {outcome.seeds} seeds, expected {LEAST_SEEDS} or more, without --seeds"
    if outcome.setting != "quick":
        return f"in the {outcome.setting} setting, expected the quick one, which everybody can run"
    if not (results / outcome.name / FIGURE).is_file():
        return f"without its figure in {results / outcome.name}, expected one"
    return None


def text(outcomes: Sequence[Outcome]) -> str:
    """Return the page: one table of all claims, then a section for each."""
    table = markdown(SUITE_HEADER, [suite_row(outcome) for outcome in outcomes])
    return INTRODUCTION + "\n\n".join([table, *map(_section, outcomes)]) + "\n"


def _section(outcome: Outcome) -> str:
    parts = [
        f"## {outcome.name}",
        f"**{outcome.title}.** {outcome.source}",
        outcome.statement,
        f"Published: {outcome.published}",
        f"**{'Holds' if outcome.holds else 'Does not hold'}** in what was run: {outcome.seeds} seeds, "
        f"{outcome.minutes:.1f} minutes, `python simulations/claims/{outcome.name}.py`.",
        markdown(LINE_HEADER, [line_row(line) for line in outcome.lines]),
        outcome.remarks,
        f"![{outcome.title}]({FIGURES}/{outcome.name}.png)",
    ]
    return "\n\n".join(part for part in parts if part)


@dataclass(frozen=True)
class Record:
    """What the page says of a claim."""

    holds: bool
    minutes: float


def recorded(docs: Path) -> dict[str, Record]:
    """Return the record of each claim in the table of the page; empty where there is no page.

    Raises
    ------
    DataFileError
        If the page cannot be read, or has no such table, or a row that is none, as after a merge that failed.
    """
    page = docs / PAGE
    if not page.exists():
        return {}
    header = markdown(SUITE_HEADER, []).splitlines()[0]
    try:
        lines = page.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataFileError(f"got {page}, which is not UTF-8 ({error}), expected a page; record it again") from error
    if header not in lines:
        raise DataFileError(f"got {page} without the table of claims, expected the line {header!r}; record it again")
    rows = itertools.takewhile(str.strip, lines[lines.index(header) + 2 :])
    return dict(_row(line, page) for line in rows)


def _row(line: str, page: Path) -> tuple[str, Record]:
    """The name and the record of a row."""
    cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)]
    name, *_, holds, minutes = cells[1:-1] if len(cells) == len(SUITE_HEADER) + 2 else [""] * len(SUITE_HEADER)
    verdict = re.fullmatch(r"(yes|no) \(.+\)", holds)
    if not name or verdict is None or not re.fullmatch(r"\d+(\.\d+)?", minutes):
        raise DataFileError(
            f"got the row {line[:60]!r} in {page}, expected {len(SUITE_HEADER)} cells that end in yes or no and in "
            "minutes; record it again"
        )
    return name, Record(verdict[1] == "yes", float(minutes))
