"""The steps that a diagnostic looks at, and whether a network has any."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from cortexres.errors import ArgumentError
from cortexres.nn.chain import Chain, Chained, chain_of


@runtime_checkable
class _Chained(Chained, Protocol):
    """A network that can be seen as a chain."""


def chain_with_steps(network: Chained | Chain) -> Chain:
    """Return the chain of a network, which has one step or more.

    Raises
    ------
    ArgumentError
        If the network is no chain, or has no steps.
    """
    if not isinstance(network, Chain | _Chained):
        raise ArgumentError(
            f"got a {type(network).__name__}, which is no chain of residual steps, expected a network with chain(), or "
            "a Chain of its parts; the states of other networks can be had from nn.record"
        )
    chain = chain_of(network)
    if not chain.steps:
        raise ArgumentError("got a network without residual steps, expected one or more to look at")
    return chain
