"""Which loop runs where the user has not said."""

from __future__ import annotations

import torch

from cortexres.nn.loops.convolutional import HandWrittenMaps
from cortexres.nn.loops.fused import Fused
from cortexres.nn.loops.hand_written import HandWritten
from cortexres.nn.loops.plain import Plain
from cortexres.nn.loops.run import Loop, Run

PLAIN = Plain()
FEW = 3  # steps that are done before it has been found out which loop is the fastest
FAST: tuple[Loop, ...] = (HandWritten(),)
FAST_ON_GPU: tuple[Loop, ...] = (Fused(), *FAST)
MAPS = HandWrittenMaps()


def choose(run: Run) -> Loop:
    """Return the first loop, of those that are made to be faster than the plain one, that does not refuse a run.

    `Plain` where the steps are few, or all others refuse, as they do any run that is looked into (hooks, compilation,
    `torch.func`, autocast). On a CPU `HandWritten` for one dense layer, and `HandWrittenMaps` for convolutions where
    it was found to pay, see there. Both round forward as `Plain` does, to the last bit, but for a movie that goes
    through weights of its own, which it does in one product; their gradients equal its to rounding, and
    `benchmarks/loops.py` holds them to their speed. On a GPU `Fused` comes first: it rounds otherwise, within the
    bounds of its trial on that card. `Checkpointed`, `FixedPoint`, `Chunked`, `Graphed` and `LibraryRNN` trade time for
    memory, are not faster everywhere, or bind the caller: they run where they are asked for.
    """
    if run.steps <= FEW or torch.compiler.is_compiling():
        return PLAIN
    if MAPS.pays(run):
        return MAPS if MAPS.refusal(run) is None else PLAIN
    fast = FAST_ON_GPU if run.start.device.type == "cuda" else FAST
    return next((loop for loop in fast if loop.refusal(run) is None), PLAIN)
