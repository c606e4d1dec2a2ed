"""Outcomes as text: the figures of one claim, and one table of all."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import zip_longest

from cortexres.claims.outcome import Line, Outcome, spread

SUITE_HEADER = ("claim", "published", "measured", "seeds", "holds", "minutes")
WIDTH = 110  # of paragraphs in a terminal
LINE_HEADER = ("figure", "published", "measured", "control", "measured there", "wanted", "")


def suite_row(outcome: Outcome) -> tuple[str, ...]:
    """Return the cells of a claim in the table of all: its first check stands for it."""
    first = outcome.lines[0]
    measured = f"{first.figure}: {spread(first.values)}"
    if first.control:
        measured += f"; {first.control}: {spread(first.control_values)}"
    return outcome.name, outcome.published, measured, str(outcome.seeds), _how_far(outcome), f"{outcome.minutes:.1f}"


def _how_far(outcome: Outcome) -> str:
    """Yes or no, and how many checks that rests on: a claim of many parts may fail in one."""
    checks = [line for line in outcome.lines if line.met is not None]
    failed = sum(not line.holds for line in checks)
    return f"no ({failed} of {len(checks)} missed)" if failed else f"yes (all of {len(checks)})"


def line_row(line: Line) -> tuple[str, ...]:
    """Return the cells of a figure in the table of its claim."""
    verdict = "" if line.met is None else ("ok" if line.holds else _what_failed(line))
    return (
        line.figure,
        line.published,
        spread(line.values),
        line.control,
        spread(line.control_values),
        line.wanted,
        verdict,
    )


def failures(outcome: Outcome) -> list[str]:
    """Return a sentence for each line of a claim that does not hold: what was measured, and what was wanted."""
    return [
        f"{outcome.name}: {line.figure}: measured {spread(line.values)}, wanted {line.wanted}"
        + (f"; {line.control}: {spread(line.control_values)}" if line.control else "")
        + f" [{_what_failed(line)}]"
        for line in outcome.lines
        if not line.holds
    ]


def _what_failed(line: Line) -> str:
    return "FAILED" if line.met is False else "CONTROL DOES NOT FAIL"


def claim_text(outcome: Outcome) -> str:
    """Return what a claim's script prints: title, source, statement, every figure, and whether it holds."""
    holds = "holds" if outcome.holds else "DOES NOT HOLD"
    run = f"{outcome.seeds} seeds, {outcome.setting} setting, {outcome.minutes:.1f} minutes"
    return "\n".join(
        [
            outcome.title,
            outcome.source,
            "",
            *textwrap.wrap(outcome.statement, WIDTH),
            *textwrap.wrap(f"Published: {outcome.published}", WIDTH),
            "",
            *(_block(line) for line in outcome.lines),
            *(["", *textwrap.wrap(outcome.remarks, WIDTH)] if outcome.remarks else []),
            "",
            f"{outcome.name}: {holds} in what was run ({run})",
        ]
    )


def suite_text(outcomes: Sequence[Outcome]) -> str:
    """Return one table of all claims, as aligned text with long cells broken."""
    rows = [suite_row(outcome) for outcome in outcomes]
    widths = [*(max(len(row[k]) for row in [SUITE_HEADER, *rows]) for k in range(len(SUITE_HEADER)))]
    widths[1], widths[2] = min(widths[1], 34), min(widths[2], 62)
    lines = [line for row in [SUITE_HEADER, *rows] for line in _broken(row, widths)]
    return "\n".join(lines)


def _broken(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """The lines of a row whose cells are broken where they are longer than their column."""
    cells = [textwrap.wrap(cell, width) or [""] for cell, width in zip(row, widths, strict=True)]
    lines = zip_longest(*cells, fillvalue="")
    return ["  ".join(part.ljust(width) for part, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def _block(line: Line) -> str:
    """A figure as a few short lines: names are too long for columns."""
    figure, published, measured, control, there, wanted, verdict = line_row(line)
    rows = [figure, f"    measured   {measured}" + (f"   [{verdict}]" if verdict else "")]
    if wanted:
        rows.append(f"    wanted     {wanted}")
    if published:
        rows.append(f"    published  {published}")
    if control:
        rows.append(f"    control    {there}   ({control})")
    return "\n".join(rows)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown; a bar in a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)
