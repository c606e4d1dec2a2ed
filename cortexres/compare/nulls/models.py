"""Another network in place of the network: does what they differ in matter?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from cortexres.compare.nulls.null import Pair, both
from cortexres.errors import ArgumentError
from cortexres.schema import check_network


@dataclass(frozen=True, eq=False)  # Datasets have no single answer to being equal
class ModelNull:
    """A network that lacks one thing: shuffled, untied or random weights, no recurrence.

    The caller makes it, as a Dataset or as a function that makes another one at every call, so that comparing needs
    no knowledge of networks. A single Dataset gives one value to stand beside the score; only many networks give a
    p-value, which is the share of them that do as well.

    Parameters
    ----------
    name : str
        What it is, as ``shuffled_weights``, ``untied``, ``random_weights`` or ``no_recurrence``.
    networks : xarray.Dataset or callable
        A network Dataset, or ``networks(rng)`` that returns one.
    claim : str, optional
        What is shown by a score that the null hardly ever reaches.
    """

    name: str
    networks: xr.Dataset | Callable[[np.random.Generator], xr.Dataset]
    claim: str = ""

    def __post_init__(self) -> None:
        """Claim no more than the name says where the caller claims nothing."""
        if not self.claim:
            object.__setattr__(self, "claim", f"the score needs what the network has beyond {self.name}")

    @property
    def random(self) -> bool:
        """Whether there are many networks."""
        return not isinstance(self.networks, xr.Dataset)

    def draw(self, brain: xr.Dataset, network: xr.Dataset, rng: np.random.Generator) -> Pair:
        """Return the brain as it is, and the other network over the same stimuli.

        Raises
        ------
        SchemaError
            If the other network keeps no schema.
        ArgumentError
            If it lacks one of the stimuli.
        """
        other = self.networks if isinstance(self.networks, xr.Dataset) else self.networks(rng)
        check_network(other)
        missing = np.setdiff1d(network["stimulus"].values, other["stimulus"].values)
        if missing.size:
            raise ArgumentError(
                f"null {self.name} lacks {missing.size} of the {network.sizes['stimulus']} stimuli, the first with id"
                f" {missing[0]}; record it on the network's stimuli"
            )
        return brain, other.sel(stimulus=network["stimulus"].values)

    __and__ = both
