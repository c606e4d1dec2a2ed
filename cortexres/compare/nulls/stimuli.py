"""The stimuli in another order: does it matter which of them the network saw?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from cortexres.compare.nulls.null import Pair, both
from cortexres.errors import ArgumentError


@dataclass(frozen=True)
class StimulusNull:
    """A way to break the pairing of the brain's stimuli with the network's.

    Parameters
    ----------
    name : str
        Goes into the attributes of the scores.
    make : callable
        ``make(rng, draws, n)`` returns orders of the stimuli, (draws, n) integers.
    claim : str
        What is shown by a score that the null hardly ever reaches.
    """

    name: str
    make: Callable[[np.random.Generator, int, int], np.ndarray]
    claim: str = "brain and network share something of how they tell these stimuli apart"
    random: bool = field(default=True, init=False)

    def orders(self, n: int, *, draws: int, rng: np.random.Generator) -> np.ndarray:
        """Return `draws` orders of `n` stimuli, (draws, n).

        Raises
        ------
        ArgumentError
            If `draws` is below 1.
        """
        if draws < 1:
            raise ArgumentError(f"got permutations={draws}, expected at least 1 (500 for p-values down to 0.002)")
        return self.make(rng, draws, n)

    def draw(self, brain: xr.Dataset, network: xr.Dataset, rng: np.random.Generator) -> Pair:
        """Return the brain as it is, and the network with each stimulus' activity under another's id."""
        order = self.orders(network.sizes["stimulus"], draws=1, rng=rng)[0]
        moved = {
            str(name): values.variable.isel(stimulus=order)
            for name, values in network.data_vars.items()
            if "stimulus" in values.dims
        }
        return brain, network.assign(moved)

    __and__ = both


def _permutations(rng: np.random.Generator, draws: int, n: int) -> np.ndarray:
    return rng.permuted(np.broadcast_to(np.arange(n), (draws, n)), axis=1)


permute_stimuli = StimulusNull("permute_stimuli", _permutations)
"""Every order of the stimuli is as likely as the true one: which stimulus the network saw does not matter.

One order serves the whole map, so that the likeness of neighbouring times and blocks is in the null as well.
"""
