"""The blocks in another order: does it matter which block comes when, and beside which?"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from cortexres.compare.nulls.null import Pair, both
from cortexres.errors import ArgumentError


@dataclass(frozen=True)
class ShuffledBlocks:
    """The network's blocks 1..T in a random order, each with the state it carried, its update and its state after.

    What a block holds stays together, only its place changes; the times and names of the places stay. Block 0, the
    start, stays. These are the recorded states in another order, not the states of a network that was run in another
    order (for that, make it and pass `ModelNull`), which for a weight-shared network is the same network.

    Neighbouring blocks are alike, and shuffled ones are not: the null lacks both the order and the likeness. A map
    that is fitted to alike blocks scores otherwise than one fitted to shuffled blocks, even where brain and network
    share nothing: of 1000 unrelated pairs (10 blocks, noise smoothed over 0, 1, 2 and 3 of them) the score of a
    monotone path had p <= .05 in 4, 23, 40 and 45 %, that of a fixed map in 4, 6, 7 and 8 %. For order alone take
    `CircularShift`, which leaves all likeness in place (1 % and 2 to 3 % of the same pairs).

    A score that has no regard for the blocks' order, as the largest value of a time x block map, stays the same.
    """

    name: str = "shuffled_blocks"
    claim: str = "the order of the network's blocks, or that neighbouring ones are alike, matters"
    random: bool = field(default=True, init=False)

    def draw(self, brain: xr.Dataset, network: xr.Dataset, rng: np.random.Generator) -> Pair:
        """Return the brain as it is, and the network with its blocks shuffled.

        Raises
        ------
        ArgumentError
            If there are fewer than two blocks to shuffle.
        """
        blocks = network.sizes["block"]
        if blocks < 3:
            raise ArgumentError(f"got {blocks} blocks (0 is the start), expected at least 3 to shuffle; record more")
        order = np.concatenate([[0], 1 + rng.permutation(blocks - 1)])
        whole = {str(name): values.variable for name, values in network.data_vars.items()}
        whole.setdefault("carried", _carried(network))
        moved = {name: values.isel(block=order) for name, values in whole.items() if "block" in values.dims}
        return brain, network.assign(moved)

    __and__ = both


def _carried(network: xr.Dataset) -> xr.Variable:
    """Return the state before each block: beside shuffled states, it is not the one at the place before."""
    response, update = network["response"].variable, network["update"].variable
    return xr.Variable(response.dims, response.values - update.values, dict(response.attrs))
