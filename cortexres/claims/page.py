"""`docs/claims.md`: made from a run of all claims, and read for the outcomes that are recorded in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from cortexres import io
from cortexres.claims.outcome import Outcome
from cortexres.claims.table import LINE_HEADER, SUITE_HEADER, line_row, markdown, suite_row
from cortexres.errors import DataFileError

PAGE = "claims.md"
FIGURES = "claims"
INTRODUCTION = """# The claims, reproduced

Each published claim that this package stands on has a script in `simulations/claims/`, which runs it at small scale
with a control in which the effect is removed. This page is written by

    cortexres claims --record

and `cortexres claims` with no name exits 0 where every outcome is the one recorded here. A claim *holds* where every
check is met and the same check fails for its control; one that does not stays here with what was found. Measured is the
mean over seeds, with the range. What a source says that could not be confirmed is marked.

"""


def write(outcomes: Sequence[Outcome], results: Path, docs: Path) -> Path:
    """Write the page and its figures, from outcomes and the folder of their results; return the page.

    Raises
    ------
    DataFileError
        If an outcome is of fewer than three seeds, a figure is not there, or a file cannot be written.
    """
    ordered = sorted(outcomes, key=lambda outcome: outcome.name)
    for outcome in ordered:
        if outcome.seeds < 3:
            raise DataFileError(
                f"got {outcome.name} of {outcome.seeds} seeds, expected 3 or more to record it; run it again without "
                "--seeds"
            )
        figure = results / outcome.name / "figure.png"
        if not figure.is_file():
            raise DataFileError(f"got no {figure}, expected the figure of {outcome.name}; run it again")
        io.write_bytes(docs / FIGURES / f"{outcome.name}.png", figure.read_bytes())
    return io.write_text(docs / PAGE, text(ordered))


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


def recorded(docs: Path) -> dict[str, bool]:
    """Return whether each claim holds by the table of the page; empty where there is no page.

    Raises
    ------
    DataFileError
        If the page has no such table.
    """
    page = docs / PAGE
    if not page.exists():
        return {}
    header = markdown(SUITE_HEADER, []).splitlines()[0]
    lines = page.read_text(encoding="utf-8").splitlines()
    if header not in lines:
        raise DataFileError(f"got {page} without the table of claims, expected the line {header!r}; record it again")
    return dict(_row(line) for line in _table(lines[lines.index(header) + 2 :]))


def recorded_minutes(docs: Path) -> dict[str, float]:
    """Return the minutes of each claim by the table of the page; empty where there is no page."""
    page = docs / PAGE
    found = page.read_text(encoding="utf-8").splitlines() if page.exists() else []
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in found if line.startswith("| ")]
    return {row[0].strip(): float(row[-1]) for row in rows if re.fullmatch(r"\s*[\d.]+\s*", row[-1])}


def _table(lines: Sequence[str]) -> list[str]:
    """The lines up to the first that is none of a table."""
    ends = [k for k, line in enumerate(lines) if not line.startswith("|")]
    return list(lines[: ends[0]] if ends else lines)


def _row(line: str) -> tuple[str, bool]:
    cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    return cells[0], cells[SUITE_HEADER.index("holds")] == "yes"
