"""Measured beside published, as aligned text; a line can be printed as soon as it is measured."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from cortexres.definitions import Target
from cortexres.verify.run import Result

HEADER = ("protocol", "quantity", "published", "accepted", "measured", "unit", "", "seconds")
_MEASURED = 12  # characters of the longest number


def text_table(results: Sequence[Result]) -> str:
    """A line per result under a header: published, accepted range, measured, and ``ok`` or ``MISSED``.

    The seconds are those of the whole protocol, and stand on its first line.
    """
    first = [True, *(before.protocol != after.protocol for before, after in pairwise(results))]
    rows = [_row(result, first=is_first) for result, is_first in zip(results, first, strict=False)]
    widths = [max(map(len, column)) for column in zip(HEADER, *rows, strict=True)]
    return "\n".join(_aligned(row, widths) for row in (HEADER, *rows))


class Lines:
    """The same table line by line, with widths that are known from the targets before anything is measured.

    Parameters
    ----------
    targets : sequence of Target
        All that will be measured.
    """

    def __init__(self, targets: Sequence[Target]) -> None:
        columns = zip(HEADER[:4], *(_wanted(target) for target in targets), strict=True)
        units = max((len(_unit(target.unit)) for target in targets), default=0)
        self.widths = [*(max(map(len, column)) for column in columns), _MEASURED, max(units, 4), len("MISSED"), 7]

    def header(self) -> str:
        """The names of the columns."""
        return _aligned(HEADER, self.widths)

    def line(self, result: Result, *, first: bool) -> str:
        """One result; `first` of its protocol, it has the seconds."""
        return _aligned(_row(result, first=first), self.widths)


def target_lines(targets: Sequence[Target]) -> list[str]:
    """A line per target: protocol, quantity, published value, accepted range and unit."""
    rows = [(*_wanted(target), _unit(target.unit)) for target in targets]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [_aligned(row, widths) for row in rows]


def _row(result: Result, *, first: bool) -> tuple[str, ...]:
    return (
        result.protocol,
        result.quantity,
        _number(result.published),
        _range(result.low, result.high),
        _number(result.measured),
        _unit(result.unit),
        "ok" if result.met else "MISSED",
        f"{result.seconds:.1f}" if first else "",
    )


def _wanted(target: Target) -> tuple[str, ...]:
    return target.protocol, target.quantity, _number(target.value), _range(target.low, target.high)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(map(str.ljust, row, widths)).rstrip()


def _range(low: float, high: float) -> str:
    return f"{_number(low)} .. {_number(high)}"


def _number(value: float) -> str:
    return f"{value:.6g}"


def _unit(unit: str) -> str:
    return "" if unit == "1" else unit
