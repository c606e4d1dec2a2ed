"""Every kind of protocol by its name in a definition: circuit and settings -> quantities by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cortexres.definitions import Circuit
from cortexres.definitions.targets import Setting
from cortexres.verify.mean_field_protocols import MEAN_FIELD_PROTOCOLS
from cortexres.verify.rate_protocols import RATE_PROTOCOLS
from cortexres.verify.spiking_protocols import SPIKING_PROTOCOLS

PROTOCOLS: dict[str, Callable[[Circuit, Mapping[str, Setting]], dict[str, float]]] = {
    **SPIKING_PROTOCOLS,
    **RATE_PROTOCOLS,
    **MEAN_FIELD_PROTOCOLS,
}
