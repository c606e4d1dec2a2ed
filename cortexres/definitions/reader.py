"""Tables of a TOML file into dataclasses: every fault is kept with its path in the file, and reading goes on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from cortexres.definitions.names import did_you_mean
from cortexres.definitions.quantities import canonical_unit, parse_quantity
from cortexres.errors import DefinitionError

_T = TypeVar("_T")

_TYPES: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool}

# Whoever writes these expects equations to be run, which a file from a stranger must not be able to ask for.
_EQUATIONS = ("equations", "equation", "eqs", "model_equations", "threshold", "reset", "on_pre", "on_post", "code")


class Faults(list[str]):
    """Collects the faults of a file; a reader goes on after each so that all are reported."""

    def table(self, value: object, where: str) -> Mapping[str, Any]:
        """`value` if it is a table, an empty one otherwise."""
        if isinstance(value, Mapping):
            return value
        self.append(f"{where} is {value!r:.60}, expected a table")
        return {}

    def tables(self, value: object, where: str) -> list[Any]:
        """`value` if it is a list of tables, an empty one otherwise."""
        if isinstance(value, list):
            return value
        self.append(f"{where} is one table, expected a list of them: write [[{where}]]")
        return []

    def unknown_keys(self, table: Mapping[str, Any], known: Iterable[str], where: str) -> None:
        """A fault for each key of `table` that is not `known`."""
        known = list(known)
        for key in table:
            if key in known:
                continue
            if key in _EQUATIONS:
                self.append(f"{where}: a file cannot give equations ({key!r}); name a neuron or synapse model instead")
            else:
                self.append(f"{where}: unknown key {key!r}{did_you_mean(key, known)}")

    def quantity(self, value: object, unit: str, where: str) -> float:
        """The number of `unit` in a text such as ``"20 ms"``."""
        try:
            return parse_quantity(value, unit, where=where)
        except DefinitionError as error:
            self.append(str(error))
            return 0.0

    def plain(self, value: object, kind: str, where: str) -> Any:
        """`value` if it is of the type of that name."""
        expected = _TYPES[kind]
        if isinstance(value, int) and not isinstance(value, bool) and expected is float:
            return float(value)
        if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
            self.append(f"{where} is {value!r:.60}, expected a value of type {kind}")
            return expected()
        return value

    def texts(self, value: object, where: str) -> tuple[str, ...]:
        """A list of texts."""
        if not isinstance(value, list):
            self.append(f"{where} is {value!r:.60}, expected a list of texts")
            return ()
        return tuple(self.plain(v, "str", f"{where}[{k}]") for k, v in enumerate(value))

    def matrix(self, value: object, unit: str, where: str) -> tuple[tuple[float, ...], ...]:
        """A list of lists of numbers, or of quantities where there is a `unit`."""
        if not isinstance(value, list) or not all(isinstance(row, list) for row in value):
            self.append(f"{where} is {value!r:.60}, expected a list of rows")
            return ()
        def number(entry: object) -> float:
            return self.quantity(entry, unit, where) if unit else float(self.plain(entry, "float", where))

        return tuple(tuple(number(entry) for entry in row) for row in value)


def plain_fields(
    cls: type[Any],
    table: Mapping[str, Any],
    faults: Faults,
    *,
    where: str,
    nested: tuple[str, ...] = (),
    given: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The fields of `cls` that are numbers, quantities, texts or lists; `nested` and `given` are read elsewhere."""
    found: dict[str, Any] = {}
    keys: list[str] = list(nested)
    for item in dataclasses.fields(cls):
        if item.name in nested or item.name in given:
            continue
        unit = canonical_unit(item.name) or ""
        key = item.name.removesuffix(f"_{unit}") if unit else item.name
        # The gain of a front end comes in two units: the second keeps its own in the key.
        key = item.name if key in keys else key
        keys.append(key)
        if key not in table:
            if item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
                faults.append(f"{where}: key {key!r} is missing")
            continue
        value, place, kind = table[key], f"{where}.{key}", str(item.type)
        if kind == "Matrix":
            found[item.name] = faults.matrix(value, unit, place)
        elif kind == "tuple[str, ...]":
            found[item.name] = faults.texts(value, place)
        elif unit:
            found[item.name] = faults.quantity(value, unit, place)
        else:
            found[item.name] = faults.plain(value, kind, place)
    faults.unknown_keys(table, keys, where)
    return found


def make(cls: type[_T], fields: dict[str, Any]) -> _T:
    """`cls` from its fields; missing ones are filled, because their absence is already among the faults."""
    blank = {"str": "", "int": 0, "float": 0.0, "dict[str, float]": {}, "tuple[str, ...]": ()}
    for item in dataclasses.fields(cls):  # type: ignore[arg-type]
        if item.name not in fields and item.default is dataclasses.MISSING:
            if item.default_factory is dataclasses.MISSING:
                fields[item.name] = blank[str(item.type)]
    return cls(**fields)
