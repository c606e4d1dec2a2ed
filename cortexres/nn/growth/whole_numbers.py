"""Places and counts that are whole numbers of any kind: of Python, numpy or torch."""

from __future__ import annotations

import operator

from cortexres.errors import ArgumentError


def whole(name: str, value: object) -> int:
    """Return an argument, given with its name, as an int.

    Raises
    ------
    ArgumentError
        If it is no whole number; 1.0 is none either.
    """
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise ArgumentError(f"got {name}={value!r}, expected a whole number") from None
