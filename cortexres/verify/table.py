"""Measured beside published, as aligned text; a line can be printed as soon as it is measured."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from cortexres.definitions import Target
from cortexres.verify.run import Result

HEADER = ("protocol", "quantity", "published", "accepted", "measured", "unit", "", "seconds")
_MEASURED = 12  # characters of the longest number


class Lines:
    """The table line by line, with widths that are known from the targets before anything is measured.

    Parameters
    ----------
    targets : sequence of Target or Result
        All that will be measured.
    """

    def __init__(self, targets: Sequence[Target | Result]) -> None:
        columns = zip(HEADER[:4], *(_wanted(target) for target in targets), strict=True)
        units = max((len(_unit(target.unit)) for target in targets), default=0)
        self.widths = [*(max(map(len, column)) for column in columns), _MEASURED, max(units, 4), len("MISSED"), 7]

    def header(self) -> str:
        """The names of the columns."""
        return _aligned(HEADER, self.widths)

    def line(self, result: Result, *, first: bool) -> str:
        """Published, accepted range, measured, ``ok`` or ``MISSED``; the `first` of its protocol has the seconds."""
        measured = (_number(result.measured), _unit(result.unit), "ok" if result.met else "MISSED")
        return _aligned((*_wanted(result), *measured, f"{result.seconds:.1f}" if first else ""), self.widths)


def text_table(results: Sequence[Result]) -> str:
    """A line per result under a header, as `Lines` has them.

    The seconds are those of the whole protocol, and stand on its first line.
    """
    lines = Lines(results)
    first = [True, *(before.protocol != after.protocol for before, after in pairwise(results))]
    body = (lines.line(result, first=is_first) for result, is_first in zip(results, first, strict=False))
    return "\n".join([lines.header(), *body])


def target_lines(targets: Sequence[Target]) -> list[str]:
    """A line per target: protocol, quantity, published value, accepted range and unit."""
    rows = [(*_wanted(target), _unit(target.unit)) for target in targets]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [_aligned(row, widths) for row in rows]


def _wanted(target: Target | Result) -> tuple[str, ...]:
    published = target.published if isinstance(target, Result) else target.value
    return target.protocol, target.quantity, _number(published), _range(target.low, target.high)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(map(str.ljust, row, widths)).rstrip()


def _range(low: float, high: float) -> str:
    return f"{_number(low)} .. {_number(high)}"


def _number(value: float) -> str:
    return f"{value:.6g}"


def _unit(unit: str) -> str:
    return "" if unit == "1" else unit
