"""Which loop runs where the user has not said."""

from __future__ import annotations

from cortexres.nn.loops.hand_written import HandWritten
from cortexres.nn.loops.plain import Plain
from cortexres.nn.loops.run import Loop, Run

PLAIN = Plain()
AUTOMATIC: tuple[Loop, ...] = (HandWritten(), PLAIN)


def choose(run: Run) -> Loop:
    """Return the first loop, of those that are never slower than the plain one, that does not refuse a run."""
    return next(loop for loop in AUTOMATIC if loop.refusal(run) is None)
