"""How a wired network unfolds in time: the order of areas within a step, and when an input reaches which area."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from cortexres.errors import ArgumentError
from cortexres.nn.areas.adjacency import Wire


def order_of(names: Sequence[str], wires: Sequence[Wire], inputs: str) -> tuple[str, ...]:
    """Return the areas such that each comes after those that it needs within the same step (delay 0).

    Raises
    ------
    ArgumentError
        If areas need one another within a step; the loop is named.
    """
    within = [wire for wire in wires if not wire.delay and wire.source != inputs]
    needs = {name: {wire.source for wire in within if wire.target == name} for name in names}
    order: list[str] = []
    while len(order) < len(names):
        ready = [name for name in names if name not in order and needs[name] <= set(order)]
        if not ready:
            loop = _loop({name: needs[name] - set(order) for name in names if name not in order})
            raise ArgumentError(
                f"got a loop without delay, {' -> '.join(loop)}, expected a delay of 1 or more in it"
            )
        order.append(ready[0])
    return tuple(order)


def _loop(needs: dict[str, set[str]]) -> list[str]:
    """Return a loop of areas each of which needs the one before, in the direction of the connections."""
    path = [next(iter(needs))]
    while path[-1] not in path[:-1]:
        path.append(min(needs[path[-1]]))
    return path[path.index(path[-1]) :][::-1]


def reached(
    order: Sequence[str], wires: Sequence[Wire], inputs: str, *, injection: Literal["every", "first"], steps: int
) -> dict[str, list[bool]]:
    """Return for every area whether its state depends on the input: at the start, and after each of `steps` steps.

    Parameters
    ----------
    order : sequence of str
        Areas in an order that `order_of` returns.
    wires : sequence of Wire
        All connections.
    inputs : str
        Name of the input.
    injection : {"every", "first"}
        Whether the input enters at each step, or is added to the first state and does not enter again.
    """
    afferents = {name: [wire for wire in wires if wire.target == name] for name in order}
    entering = {wire.target for wire in wires if wire.source == inputs}
    rows = {name: [injection == "first" and name in entering] for name in order}
    for row in range(1, steps + 1):
        for name in order:
            seen = injection == "every" and name in entering
            for wire in afferents[name]:
                if wire.source != inputs and row >= wire.delay:
                    seen = seen or rows[wire.source][row - wire.delay]
            rows[name].append(seen)
    return rows
