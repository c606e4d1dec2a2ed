"""The steps that a diagnostic looks at, and whether a network has any."""

from __future__ import annotations

from cortexres.errors import ArgumentError
from cortexres.nn.chain import Chain, Chained, chain_of


def chain_with_steps(network: Chained | Chain) -> Chain:
    """Return the chain of a network, which has one step or more.

    Raises
    ------
    ArgumentError
        If the network is no chain, or has no steps.
    """
    chain = chain_of(network)
    if not chain.steps:
        raise ArgumentError("got a network without residual steps, expected one or more to look at")
    return chain
