"""The ways to run T steps of a network: one that is always right, and faster or smaller ones that equal it."""

from cortexres.nn.loops.checkpointed import Checkpointed
from cortexres.nn.loops.choice import choose
from cortexres.nn.loops.chunked import Chunked
from cortexres.nn.loops.convolutional import HandWrittenMaps
from cortexres.nn.loops.fixed_point import FixedPoint
from cortexres.nn.loops.fused import Fused
from cortexres.nn.loops.graphed import Graphed
from cortexres.nn.loops.hand_written import HandWritten
from cortexres.nn.loops.library_rnn import LibraryRNN
from cortexres.nn.loops.plain import Plain
from cortexres.nn.loops.run import Loop, Run

__all__ = [
    "Checkpointed",
    "Chunked",
    "FixedPoint",
    "Fused",
    "Graphed",
    "HandWritten",
    "HandWrittenMaps",
    "LibraryRNN",
    "Loop",
    "Plain",
    "Run",
    "choose",
]
