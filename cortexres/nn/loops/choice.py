"""Which loop runs where the user has not said."""

from __future__ import annotations

from cortexres.nn.loops.fused import Fused
from cortexres.nn.loops.hand_written import HandWritten
from cortexres.nn.loops.plain import Plain
from cortexres.nn.loops.run import Loop, Run

PLAIN = Plain()
FEW = 3  # steps that are done before it has been found out which loop is the fastest
FAST: tuple[Loop, ...] = (HandWritten(),)
FAST_ON_GPU: tuple[Loop, ...] = (Fused(), *FAST)


def choose(run: Run) -> Loop:
    """Return the first loop, of those that are made to be faster than the plain one, that does not refuse a run.

    `Plain` where the steps are few, or all others refuse: anything but one dense layer, and any run that is looked
    into (hooks, compilation, `torch.func`, autocast). `HandWritten` on a CPU, where it rounds as `Plain` does, to the
    last bit; `benchmarks/loops.py` holds it to that. On a GPU `Fused` comes before it: it rounds otherwise, within the
    bounds of its trial on that card.
    `Checkpointed`, `FixedPoint`, `Chunked`, `Graphed` and `LibraryRNN` trade time for memory, are not faster
    everywhere, or bind the caller: they run where they are asked for.
    """
    if run.steps <= FEW:
        return PLAIN
    fast = FAST_ON_GPU if run.start.device.type == "cuda" else FAST
    return next((loop for loop in fast if loop.refusal(run) is None), PLAIN)
