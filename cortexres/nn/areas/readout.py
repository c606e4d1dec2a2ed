"""When a network of several states is read, and whether an input can be seen there by then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from cortexres.errors import ArgumentError

Readout = Literal["all", "last"] | int | Sequence[int]


def check_readout(readout: Readout, steps: int) -> None:
    """Raise where `readout` names no steps of a network of `steps` steps.

    Raises
    ------
    ArgumentError
        If it is neither ``"all"``, ``"last"``, a step, nor several steps in order.
    """
    if readout in ("all", "last"):
        return
    rows = (readout,) if isinstance(readout, str | int) else tuple(readout)
    if not rows or list(rows) != sorted({row for row in rows if row in range(1, steps + 1)}):
        raise ArgumentError(
            f"got readout={readout!r}, expected 'all', 'last', a step from 1 to {steps}, or several in order"
        )


def read_rows(readout: Readout, count: int) -> tuple[int, ...]:
    """Return the steps after which a run of `count` steps is read.

    Raises
    ------
    ArgumentError
        If the run is too short.
    """
    if readout == "all":
        return tuple(range(1, count + 1))
    if readout == "last":
        return (count,)
    rows = (readout,) if isinstance(readout, int) else tuple(int(row) for row in readout)
    if count < rows[-1]:
        raise ArgumentError(f"got steps={count}, expected {rows[-1]} or more: the network is read after that step")
    return rows


def check_seen(readout: Readout, count: int, seen: Sequence[bool], where: str) -> None:
    """Raise where no input can change the output of a run from rest.

    Parameters
    ----------
    readout : as in `MultiState`
        When it is read.
    count : int
        Steps of the run.
    seen : sequence of bool
        Whether the state that is read depends on the input, at the start and after each step, for as many steps as an
        input may take to get there.
    where : str
        The input and the area that is read, for the message.

    Raises
    ------
    ArgumentError
        If it cannot be seen at a step that is read, or, where all are, at none of them; the message says when it can.
    """
    rows = read_rows(readout, count)
    visible = [seen[row] for row in rows]
    if all(visible) or (readout == "all" and any(visible)):
        return
    if not any(seen[1:]):
        raise ArgumentError(f"got no way {where} that takes a step or more, expected connections that lead there")
    when = [row for row, visible in enumerate(seen) if visible and row > 0]
    steps = f"{when[0]} or more" if all(seen[when[0] :]) else ", ".join(map(str, when))
    raise ArgumentError(
        f"got steps={count} and readout={readout!r}, expected a readout after {steps} steps: an input takes so many "
        f"{where}, and without it the output is the same for all inputs"
    )
