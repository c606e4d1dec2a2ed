"""TOML text -> the protocols and targets by which a definition is verified."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cortexres.definitions.names import did_you_mean
from cortexres.definitions.parse import read_toml
from cortexres.definitions.quantities import any_quantity
from cortexres.definitions.reader import Faults
from cortexres.definitions.targets import Protocol, Setting, Target, Verification
from cortexres.errors import DefinitionError

_TARGET_KEYS = ("protocol", "quantity", "value", "tolerance", "relative", "low", "high", "unit", "source")


def verification_from_toml(text: str, *, where: str = "the definition") -> Verification:
    """The ``[protocols.NAME]`` and ``[[targets]]`` of a definition.

    A protocol names its ``kind``, and may name a ``variant`` and that it is ``slow``; its other keys are the
    arguments of the measurement. A target gives the published ``value`` of a ``quantity`` and what counts as
    reproduced: an absolute ``tolerance``, a ``relative`` one, or the bounds ``low`` and ``high``. One of
    ``[[target_tables]]`` gives ``values`` of a quantity ``of`` several populations, and the rest once for all.

    Raises
    ------
    DefinitionError
        If the text is not TOML, or a protocol or target is incomplete.
    """
    table = read_toml(text, where=where)
    faults = Faults()
    named = faults.table(table.get("protocols", {}), "protocols")
    protocols = tuple(_protocol(name, value, faults) for name, value in named.items())
    names = [p.name for p in protocols]
    single = faults.tables(table.get("targets", []), "targets")
    tables = faults.tables(table.get("target_tables", []), "target_tables")
    targets = (
        *(_target(value, names, faults, f"targets[{i}]") for i, value in enumerate(single)),
        *(t for i, value in enumerate(tables) for t in _target_table(value, names, faults, f"target_tables[{i}]")),
    )
    if faults:
        raise DefinitionError(f"{where} cannot be used: " + "; ".join(faults))
    return Verification(protocols=protocols, targets=targets)


def _protocol(name: str, value: object, faults: Faults) -> Protocol:
    where = f"protocols.{name}"
    table = dict(faults.table(value, where))
    kind = faults.plain(table.pop("kind", None), "str", f"{where}.kind")
    variant = faults.plain(table.pop("variant", ""), "str", f"{where}.variant")
    slow = faults.plain(table.pop("slow", False), "bool", f"{where}.slow")
    settings: dict[str, Setting] = {}
    for key, setting in table.items():
        quantity = any_quantity(setting)
        if quantity is not None:
            settings[f"{key}_{quantity[1]}"] = quantity[0]
        else:
            settings[key] = _setting(setting, faults, f"{where}.{key}")
    return Protocol(name=name, kind=kind, variant=variant, slow=slow, settings=settings)


def _setting(value: object, faults: Faults, where: str) -> Setting:
    if isinstance(value, list):
        if value and all(isinstance(v, str) for v in value):
            return tuple(str(v) for v in value)
        return tuple(float(faults.plain(v, "float", where)) for v in value)
    if isinstance(value, str):
        return value
    return float(faults.plain(value, "float", where))


def _target(value: object, protocols: list[str], faults: Faults, where: str) -> Target:
    table = faults.table(value, where)
    faults.unknown_keys(table, _TARGET_KEYS, where)
    protocol = faults.plain(table.get("protocol"), "str", f"{where}.protocol")
    if protocol not in protocols:
        faults.append(f"{where}: unknown protocol {protocol!r}{did_you_mean(protocol, protocols)}")
    published = float(faults.plain(table.get("value"), "float", f"{where}.value"))
    low, high = _bounds(table, published, faults, where)
    return Target(
        protocol=protocol,
        quantity=faults.plain(table.get("quantity"), "str", f"{where}.quantity"),
        value=published,
        low=low,
        high=high,
        unit=faults.plain(table.get("unit", "1"), "str", f"{where}.unit"),
        source=faults.plain(table.get("source", ""), "str", f"{where}.source"),
    )


def _target_table(value: object, protocols: list[str], faults: Faults, where: str) -> list[Target]:
    """One target for each population, with its own value and what they share."""
    table = dict(faults.table(value, where))
    populations = faults.texts(table.pop("of", []), f"{where}.of")
    row = faults.matrix([table.pop("values", [])], "", f"{where}.values")
    quantity = faults.plain(table.pop("quantity", None), "str", f"{where}.quantity")
    values = row[0] if row else ()
    if len(values) != len(populations):
        faults.append(f"{where}.values has {len(values)} entries, expected {len(populations)}, one for each of 'of'")
        return []
    return [
        _target({**table, "quantity": f"{quantity}.{name}", "value": v}, protocols, faults, where)
        for name, v in zip(populations, values, strict=True)
    ]


def _bounds(table: Mapping[str, Any], value: float, faults: Faults, where: str) -> tuple[float, float]:
    ways = [k for k in ("tolerance", "relative", "low") if k in table]
    if len(ways) != 1 or ("high" in table) != ("low" in table):
        got = ", ".join(ways) or "none"
        faults.append(f"{where}: give one of 'tolerance', 'relative', or 'low' with 'high', got {got}")
        return value, value
    if ways == ["low"]:
        low, high = (float(faults.plain(table[k], "float", f"{where}.{k}")) for k in ("low", "high"))
        return low, high
    spread = float(faults.plain(table[ways[0]], "float", f"{where}.{ways[0]}"))
    half = spread * abs(value) if ways == ["relative"] else spread
    return value - half, value + half
