"""How a whole network computes its steps."""

from __future__ import annotations

from torch import nn

from cortexres.errors import ArgumentError
from cortexres.nn.loops.run import Loop, check_loop
from cortexres.nn.recurrent import Recurrent


def set_loop(network: nn.Module, loop: Loop | None) -> None:
    """Set the loop of every recurrent part of a network, see `cortexres.nn.loops`; None lets each be chosen.

    Raises
    ------
    ArgumentError
        If no part is recurrent, or `loop` is no loop. One that cannot run a part raises when that is run.
    """
    check_loop(loop)
    parts = [part for part in network.modules() if isinstance(part, Recurrent)]
    if not parts:
        raise ArgumentError("got a network without a Recurrent, expected one or more")
    for part in parts:
        part.loop = loop
