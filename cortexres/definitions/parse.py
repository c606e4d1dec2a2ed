"""TOML text -> Circuit: the file's keys are the fields of the dataclasses, with quantities in place of suffixed floats.

Unknown keys, wrong types and bad quantities are collected and reported together, with their path in the file.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from cortexres.definitions.circuit import Circuit, Drive, FrontEnd, Population, Profile, Projection, Synapse
from cortexres.definitions.models import NEURONS
from cortexres.definitions.names import did_you_mean
from cortexres.definitions.quantities import canonical_unit, parse_quantity
from cortexres.errors import DefinitionError

_T = TypeVar("_T")

_TYPES: dict[str, type] = {"str": str, "int": int, "float": float}


class _Faults(list[str]):
    """Collects the faults of a file; a reader goes on after each so that all are reported."""

    def table(self, value: object, where: str) -> Mapping[str, Any]:
        if isinstance(value, Mapping):
            return value
        self.append(f"{where} is {value!r:.60}, expected a table")
        return {}

    def unknown_keys(self, table: Mapping[str, Any], known: Iterable[str], where: str) -> None:
        known = list(known)
        self.extend(
            f"{where}: unknown key {key!r}{did_you_mean(key, known)}" for key in table if key not in known
        )

    def quantity(self, value: object, unit: str, where: str) -> float:
        try:
            return parse_quantity(value, unit, where=where)
        except DefinitionError as error:
            self.append(str(error))
            return 0.0

    def plain(self, value: object, kind: str, where: str) -> Any:
        expected = _TYPES[kind]
        if isinstance(value, int) and not isinstance(value, bool) and expected is float:
            return float(value)
        if not isinstance(value, expected) or isinstance(value, bool):
            self.append(f"{where} is {value!r:.60}, expected a value of type {kind}")
            return expected()
        return value


def circuit_from_toml(text: str, *, where: str = "the definition") -> Circuit:
    """The circuit that a TOML text defines.

    Parameters
    ----------
    text : str
        A definition as in ``models/circuits/``.
    where : str
        What to call the text in errors, usually its path.

    Raises
    ------
    DefinitionError
        If the text is not TOML, has unknown or missing keys, a value of the wrong type or a bad quantity, or defines
        a circuit whose parts do not fit.
    """
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise DefinitionError(f"{where} is not TOML: {error}; correct the file at that place") from error
    faults = _Faults()
    fields = _circuit_fields(table, faults)
    if faults:
        raise DefinitionError(f"{where} cannot be used: " + "; ".join(faults))
    return Circuit(**fields)


def _circuit_fields(table: Mapping[str, Any], faults: _Faults) -> dict[str, Any]:
    nested = ("populations", "synapses", "projections", "drive")
    fields = _plain_fields(Circuit, table, faults, where="top level", nested=nested)
    populations = faults.table(table.get("populations", {}), "populations")
    synapses = faults.table(table.get("synapses", {}), "synapses")
    projections = table.get("projections", [])
    if not isinstance(projections, list):
        faults.append("projections is one table, expected a list of them: write [[projections]]")
        projections = []
    fields["populations"] = tuple(_population(name, value, faults) for name, value in populations.items())
    fields["synapses"] = tuple(
        _named(Synapse, name, value, faults, f"synapses.{name}") for name, value in synapses.items()
    )
    fields["projections"] = tuple(_projection(i, value, faults) for i, value in enumerate(projections))
    fields["drive"] = _drive(table.get("drive"), faults)
    return fields


def _population(name: str, value: object, faults: _Faults) -> Population:
    where = f"populations.{name}"
    table = faults.table(value, where)
    fields = _plain_fields(Population, table, faults, where=where, nested=("parameters",), given=("name",))
    parameters = faults.table(table.get("parameters", {}), f"{where}.parameters")
    units = {full.rsplit("_", 1)[0]: full for full in NEURONS.get(fields.get("neuron", ""), {})}
    if units:
        faults.unknown_keys(parameters, units, f"{where}.parameters")
    values = {
        units[key]: faults.quantity(v, units[key].rsplit("_", 1)[1], f"{where}.parameters.{key}")
        for key, v in parameters.items()
        if key in units
    }
    return _make(Population, {**fields, "name": name, "parameters": values})


def _projection(index: int, value: object, faults: _Faults) -> Projection:
    where = f"projections[{index}]"
    table = faults.table(value, where)
    fields = _plain_fields(Projection, table, faults, where=where, nested=("profile",))
    profile = faults.table(table.get("profile", {}), f"{where}.profile")
    fields["profile"] = _make(Profile, _plain_fields(Profile, profile, faults, where=f"{where}.profile"))
    return _make(Projection, fields)


def _drive(value: object, faults: _Faults) -> Drive:
    table = faults.table({} if value is None else value, "drive")
    fields = _plain_fields(Drive, table, faults, where="drive", nested=("front_end",))
    front_end = faults.table(table.get("front_end", {}), "drive.front_end")
    parsed = _plain_fields(FrontEnd, front_end, faults, where="drive.front_end")
    return _make(Drive, {**fields, "front_end": _make(FrontEnd, parsed)})


def _named(cls: type[_T], name: str, value: object, faults: _Faults, where: str) -> _T:
    fields = _plain_fields(cls, faults.table(value, where), faults, where=where, given=("name",))
    return _make(cls, {**fields, "name": name})


def _plain_fields(
    cls: type[Any],
    table: Mapping[str, Any],
    faults: _Faults,
    *,
    where: str,
    nested: tuple[str, ...] = (),
    given: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Read the fields of `cls` that are numbers, quantities or texts; `nested` and `given` are read elsewhere."""
    found: dict[str, Any] = {}
    keys: list[str] = list(nested)
    for item in dataclasses.fields(cls):
        if item.name in nested or item.name in given:
            continue
        unit = canonical_unit(item.name)
        key = item.name.removesuffix(f"_{unit}") if unit else item.name
        keys.append(key)
        if key not in table:
            if item.default is dataclasses.MISSING:
                faults.append(f"{where}: key {key!r} is missing")
        elif unit:
            found[item.name] = faults.quantity(table[key], unit, f"{where}.{key}")
        else:
            found[item.name] = faults.plain(table[key], str(item.type), f"{where}.{key}")
    faults.unknown_keys(table, keys, where)
    return found


def _make(cls: type[_T], fields: dict[str, Any]) -> _T:
    """`cls` from its fields; missing ones are filled, because their absence is already among the faults."""
    blank = {"str": "", "int": 0, "float": 0.0, "dict[str, float]": {}}
    for item in dataclasses.fields(cls):  # type: ignore[arg-type]
        if item.name not in fields and item.default is dataclasses.MISSING:
            if item.default_factory is dataclasses.MISSING:
                fields[item.name] = blank[str(item.type)]
    return cls(**fields)
