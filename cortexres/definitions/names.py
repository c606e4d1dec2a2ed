"""The hint that goes with an unknown name: the near names, or all of them as long as they are few."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

SHOWN = 12  # names; a circuit has hundreds of parameters


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``", did you mean 'a' or 'b'?"``, or the first of `known` where none is near.

    Near is what reads alike, or a dotted path whose last part is the name, perhaps with a unit after it.
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if not near or "." not in name:  # who leaves out the dots means a last part
        near = _same_last_part(name, known)[:3] or near
    if near:
        return ", did you mean " + " or ".join(repr(n) for n in near) + "?"
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    return f" (known: {', '.join(known[:SHOWN]) or 'none'}{more})"


def _same_last_part(name: str, known: list[str]) -> list[str]:
    last = name.rpartition(".")[2]
    if not last:
        return []
    parts = {path: path.rpartition(".")[2] for path in known}
    same = [path for path, part in parts.items() if part == last or part.startswith(f"{last}_")]
    alike = difflib.get_close_matches(last, sorted(set(parts.values())), n=1, cutoff=0.75)
    return same or [path for path, part in parts.items() if part in alike and part != path]
