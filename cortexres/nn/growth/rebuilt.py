"""A recurrent network of other blocks that is otherwise as it was, read where it was read."""

from __future__ import annotations

from collections.abc import Callable

from cortexres.nn.block import Block
from cortexres.nn.recurrent import Recurrent


def rebuilt(
    own: Recurrent,
    block: Block | list[Block],
    *,
    steps: int | None = None,
    noise: float = 0.0,
    moved: Callable[[int], int],
) -> Recurrent:
    """Return a network with the input, the mode and the readout of another.

    Parameters
    ----------
    own : Recurrent
        The other.
    block, steps, noise
        As of `Recurrent`.
    moved : callable
        Step that was read -> step that is read. It need not be one of the network's own: a network that is run for more
        steps may be read at one of those.
    """
    read = own.readout
    made = Recurrent(
        block,
        steps=steps,
        injection=own.injection,
        readout="all" if isinstance(read, int) else read,
        noise=noise,
        loop=own.loop,
    )
    made.readout = moved(read) if isinstance(read, int) else read
    return made.train(own.training)
