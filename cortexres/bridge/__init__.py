"""From a circuit to the residual network it is: the only place that knows both sides."""

from cortexres.bridge.block import ResidualBlock
from cortexres.bridge.build import residual_network
from cortexres.bridge.network import CircuitNetwork
from cortexres.bridge.nulls import shuffle_weights, without_recurrence
from cortexres.bridge.transfer import Transfer
from cortexres.bridge.validity import ValidityWarning, cautions, validity

__all__ = [
    "CircuitNetwork",
    "ResidualBlock",
    "Transfer",
    "ValidityWarning",
    "cautions",
    "residual_network",
    "shuffle_weights",
    "validity",
    "without_recurrence",
]
