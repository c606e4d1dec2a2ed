"""What a circuit must reproduce: protocols that measure it, and published values with their tolerance."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

Setting = float | str | tuple[float, ...] | tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One measurement of a circuit.

    Parameters
    ----------
    name : str
        What targets refer to.
    kind : str
        A key of `cortexres.verify.PROTOCOLS`.
    variant : str
        Variant of the circuit that is measured; empty for the circuit as it stands.
    slow : bool
        Takes more than about ten seconds.
    settings : dict
        Arguments of the measurement (``duration_ms``, ``trials`` ...), numbers or text.
    """

    name: str
    kind: str
    variant: str = ""
    slow: bool = False
    settings: dict[str, Setting] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Target:
    """A published value.

    Parameters
    ----------
    protocol : str
        Name of the protocol that measures it.
    quantity : str
        One of the quantities that the protocol returns, e.g. ``"rate.E"``.
    value : float
        As published.
    low, high : float
        What counts as reproduced.
    unit : str
        ``"Hz"``, ``"ms"``, ``"1"`` ...
    source : str
        Where the value comes from, where not the circuit's own source.
    """

    protocol: str
    quantity: str
    value: float
    low: float
    high: float
    unit: str = "1"
    source: str = ""

    def met_by(self, measured: float) -> bool:
        """True where `measured` lies in the tolerance."""
        return math.isfinite(measured) and self.low <= measured <= self.high


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The protocols and targets of one definition."""

    protocols: tuple[Protocol, ...] = ()
    targets: tuple[Target, ...] = ()
