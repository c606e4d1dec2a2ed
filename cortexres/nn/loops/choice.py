"""Which loop runs where the user has not said."""

from __future__ import annotations

from cortexres.nn.loops.hand_written import HandWritten
from cortexres.nn.loops.plain import Plain
from cortexres.nn.loops.run import Loop, Run

PLAIN = Plain()
FAST: tuple[Loop, ...] = (HandWritten(),)
FEW = 3  # steps that are done before it has been found out which loop is the fastest


def choose(run: Run) -> Loop:
    """Return the first loop of `FAST` that does not refuse a run, the plain one where all do or the steps are few."""
    if run.steps <= FEW:
        return PLAIN
    return next((loop for loop in FAST if loop.refusal(run) is None), PLAIN)
