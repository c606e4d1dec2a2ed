"""Quantities such as ``"20 ms"``, parsed by a rule and never evaluated: a definition may come from a stranger."""

from __future__ import annotations

import math
import re

from cortexres.errors import DefinitionError

_QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?)\s*([A-Za-z]+)\s*", re.ASCII)

# canonical unit -> accepted unit -> factor
UNITS: dict[str, dict[str, float]] = {
    "ms": {"us": 1e-3, "ms": 1.0, "s": 1e3},
    "mV": {"uV": 1e-3, "mV": 1.0, "V": 1e3},
    "Hz": {"Hz": 1.0, "kHz": 1e3},
    "nS": {"pS": 1e-3, "nS": 1.0, "uS": 1e3},
    "pF": {"pF": 1.0, "nF": 1e3},
    "pA": {"pA": 1.0, "nA": 1e3},
    "mM": {"mM": 1.0},
    "deg": {"deg": 1.0},
}


def canonical_unit(field: str) -> str | None:
    """The unit in a field's name (``tau_m_ms`` -> ``ms``), or None where it has none."""
    suffix = field.rsplit("_", 1)[-1]
    return suffix if suffix in UNITS else None


def parse_quantity(value: object, unit: str, *, where: str) -> float:
    """The number of `unit` in a text such as ``"20 ms"``.

    Raises
    ------
    DefinitionError
        If `value` is not a text of a number and a unit of the same dimension, or is not finite.
    """
    accepted = UNITS[unit]
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) and len(value) <= 60 else None
    if match is None or match[2] not in accepted:
        raise DefinitionError(
            f"{where} is {value!r:.80}, expected a number and a unit in quotes, one of {', '.join(accepted)} "
            f'(as in "1.5 {unit}")'
        )
    number = float(match[1]) * accepted[match[2]]
    if not math.isfinite(number):
        raise DefinitionError(f"{where} is {value!r:.80}, expected a finite number")
    return number


def any_quantity(value: object) -> tuple[float, str] | None:
    """The number and the canonical unit of a text such as ``"20 ms"``; None for whatever is no quantity."""
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) and len(value) <= 60 else None
    if match is None:
        return None
    for unit, accepted in UNITS.items():
        if match[2] in accepted:
            number = float(match[1]) * accepted[match[2]]
            return (number, unit) if math.isfinite(number) else None
    return None
