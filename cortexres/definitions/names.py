"""The hint that goes with an unknown name: the near names, or all of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``", did you mean 'a' or 'b'?"``, or the whole list of `known` where none is near."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if near:
        return ", did you mean " + " or ".join(repr(n) for n in near) + "?"
    return f" (known: {', '.join(known) or 'none'})"
