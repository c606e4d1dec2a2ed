"""What a diagnostic of blocks looks at: a network as a chain of steps, and inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import xarray as xr
from torch import Tensor

from cortexres.diagnostics.datasets import attributes, blocks, seen
from cortexres.diagnostics.steps import chain_with_steps
from cortexres.errors import ArgumentError
from cortexres.nn.chain import Chain, Chained


@dataclass(frozen=True)
class Subject:
    """A network, its chain, and what it is given, (stimulus, ...)."""

    network: Chained | Chain
    chain: Chain
    inputs: Tensor

    def over_blocks(self, variables: Mapping[str, Any], *, states: bool = False, **facts: str | float) -> xr.Dataset:
        """Return a Dataset with the coordinates of the steps, or with `states` of the states; `facts` as attributes."""
        return self.dataset(variables, blocks(self.chain, states=states), **facts)

    def dataset(self, variables: Mapping[str, Any], coords: Mapping[str, Any], **facts: str | float) -> xr.Dataset:
        """Return a Dataset that says what made it."""
        return xr.Dataset(variables, coords, attributes(self.network, n_stimuli=len(self.inputs), **facts))


def subject(network: Chained | Chain, inputs: Tensor | xr.Dataset) -> Subject:
    """Return what a diagnostic looks at.

    Parameters
    ----------
    network : network with a chain, or Chain
        In evaluation mode: in training, running it would change its batch statistics.
    inputs : Tensor or Dataset
        What the network takes, (stimulus, ...), or stimuli.

    Raises
    ------
    ArgumentError
        If the network is no chain, has no steps or is in training mode, or there are no inputs.
    """
    chain = chain_with_steps(network)
    if any(step.block.training for step in chain.steps):
        raise ArgumentError(
            "got a network in training mode, expected evaluation: running it would change its batch statistics; "
            "call network.eval() before"
        )
    return Subject(network, chain, seen(network, inputs))
