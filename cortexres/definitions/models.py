"""The neuron and synapse models a definition may name, and the parameters each takes, with their bounds.

The equations live in `cortexres.circuits.neurons`; only names, units and ranges are needed to check a file.
"""

from __future__ import annotations

from typing import NamedTuple


class Bounds(NamedTuple):
    """A closed or, where `open_low`, left-open interval."""

    low: float
    high: float
    open_low: bool = False

    def contains(self, value: float) -> bool:
        """True where `value` lies inside."""
        return (self.low < value if self.open_low else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        return f"{'(' if self.open_low else '['}{self.low:g}, {self.high:g}]"


# Wide enough for any cell ever recorded, narrow enough that a file from a stranger cannot ask for a year of simulation.
TIME_MS = Bounds(0.0, 10_000.0, open_low=True)
VOLTAGE_MV = Bounds(-200.0, 200.0)
MAX_CELLS = 2_000_000
MAX_SYNAPSES = 500_000_000

NEURONS: dict[str, dict[str, Bounds]] = {
    "lif": {
        "tau_m_ms": TIME_MS,
        "v_rest_mV": VOLTAGE_MV,
        "v_threshold_mV": VOLTAGE_MV,
        "v_reset_mV": VOLTAGE_MV,
        "t_refractory_ms": Bounds(0.0, 1_000.0),
    },
}

SYNAPSES: tuple[str, ...] = ("exponential_current",)

PROFILES: tuple[str, ...] = ("uniform", "von_mises")

FRONT_ENDS: tuple[str, ...] = ("oriented_energy", "random_fields")
