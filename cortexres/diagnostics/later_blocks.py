"""The later blocks of a network as a network of their own, whose first blocks are part of what comes before."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from cortexres.errors import ArgumentError
from cortexres.nn.chain import Chain, Chained, chain_of


def later_blocks(network: Chained | Chain, *, after: int = 1) -> Chain:
    """Return the network as a chain that begins after some of its blocks, which stay where they are.

    For diagnostics that delete or shuffle blocks, where the first ones do what no other does, such as to bring the
    input to the size of the states that follow: they are then part of the stem. The blocks are those of the network,
    with the steps that they have there; running the chain is running the network.

    Parameters
    ----------
    network : network with a chain, or Chain
        It is not changed.
    after : int
        How many blocks become part of what comes before.

    Raises
    ------
    ArgumentError
        If no block would be left, or `after` is below 0; or if the network is no chain.
    """
    chain = chain_of(network)
    if not 0 <= after < len(chain.steps):
        raise ArgumentError(
            f"got after={after} for {len(chain.steps)} blocks, expected from 0 to {len(chain.steps) - 1}: one is left"
        )

    def enter(inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        state, drive = chain.enter(inputs)
        for step in chain.steps[:after]:
            state = step(state, drive)
        return state, drive

    return replace(chain, enter=enter, steps=chain.steps[after:])
