"""TOML text -> Circuit: the file's keys are the fields of the dataclasses, with quantities in place of suffixed floats.

Unknown keys, wrong types and bad quantities are collected and reported together, with their path in the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

from cortexres.definitions.circuit import Circuit
from cortexres.definitions.drive import Drive, FrontEnd
from cortexres.definitions.models import NEURONS
from cortexres.definitions.names import did_you_mean
from cortexres.definitions.paths import Value, with_values
from cortexres.definitions.population import Population, Start
from cortexres.definitions.projection import Background, Profile, Projection, Synapse
from cortexres.definitions.quantities import any_quantity, canonical_unit
from cortexres.definitions.reader import Faults, make, plain_fields
from cortexres.errors import DefinitionError

#: Tables of a file that do not belong to the circuit itself; see `parse_targets` and `circuit_from_toml`.
_BESIDE = ("variants", "protocols", "targets", "target_tables")
_NESTED = ("populations", "synapses", "projections", "projection_tables", "backgrounds", "drive", *_BESIDE)
_FILLED = ("probability", "in_degree", "total", "strength")


def read_toml(text: str, *, where: str) -> dict[str, Any]:
    """The tables of a TOML text.

    Raises
    ------
    DefinitionError
        If it is not TOML.
    """
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise DefinitionError(f"{where} is not TOML: {error}; correct the file at that place") from error


def circuit_from_toml(text: str, *, where: str = "the definition", variant: str = "") -> Circuit:
    """The circuit that a TOML text defines.

    Parameters
    ----------
    text : str
        A definition as in ``models/circuits/``.
    where : str
        What to call the text in errors, usually its path.
    variant : str
        Name of a table of ``[variants]``, whose paths and values are put in place; empty for none.

    Raises
    ------
    DefinitionError
        If the text is not TOML, has unknown or missing keys, a value of the wrong type or a bad quantity, or defines
        a circuit whose parts do not fit.
    """
    table = read_toml(text, where=where)
    faults = Faults()
    fields = _circuit_fields(table, faults)
    if faults:
        raise DefinitionError(f"{where} cannot be used: " + "; ".join(faults))
    circuit = Circuit(**fields)
    return _varied(circuit, table.get("variants", {}), variant, where) if variant else circuit


def variants(text: str, *, where: str = "the definition") -> list[str]:
    """The names of the variants that a definition has."""
    found = read_toml(text, where=where).get("variants", {})
    return sorted(found) if isinstance(found, Mapping) else []


def _varied(circuit: Circuit, known: object, variant: str, where: str) -> Circuit:
    if not isinstance(known, Mapping) or variant not in known:
        names = list(known) if isinstance(known, Mapping) else []
        raise DefinitionError(f"{where} has no variant {variant!r}{did_you_mean(variant, names)}")
    if not isinstance(known[variant], Mapping):
        raise DefinitionError(f"{where}: variants.{variant} is no table, expected paths and values")
    values: dict[str, Value] = {}
    for path, value in known[variant].items():
        number = any_quantity(value)
        if number is not None:
            values[f"{path}_{number[1]}"] = number[0]
        elif isinstance(value, bool | int | float | str):
            values[path] = value
        else:
            raise DefinitionError(f"{where}: variants.{variant}.{path} is {value!r:.60}, expected a number or text")
    return with_values(circuit, values)


def _circuit_fields(table: Mapping[str, Any], faults: Faults) -> dict[str, Any]:
    fields = plain_fields(Circuit, table, faults, where="top level", nested=_NESTED)
    populations = faults.table(table.get("populations", {}), "populations")
    synapses = faults.table(table.get("synapses", {}), "synapses")
    fields["populations"] = tuple(_population(name, value, faults) for name, value in populations.items())
    fields["synapses"] = tuple(_synapse(name, value, faults) for name, value in synapses.items())
    single = faults.tables(table.get("projections", []), "projections")
    tables = faults.tables(table.get("projection_tables", []), "projection_tables")
    backgrounds = faults.tables(table.get("backgrounds", []), "backgrounds")
    fields["projections"] = (
        *(_projection(value, faults, f"projections[{i}]") for i, value in enumerate(single)),
        *(p for i, value in enumerate(tables) for p in _projection_table(value, faults, f"projection_tables[{i}]")),
    )
    fields["backgrounds"] = tuple(
        _nested(Background, value, faults, f"backgrounds[{i}]") for i, value in enumerate(backgrounds)
    )
    fields["drive"] = _drive(table["drive"], faults) if "drive" in table else None
    return fields


def _population(name: str, value: object, faults: Faults) -> Population:
    where = f"populations.{name}"
    table = faults.table(value, where)
    fields = plain_fields(Population, table, faults, where=where, nested=("parameters", "start"), given=("name",))
    parameters = faults.table(table.get("parameters", {}), f"{where}.parameters")
    fields["start"] = _nested(Start, table.get("start", {}), faults, f"{where}.start")
    neuron = fields.get("neuron", "")
    keys = {_key(full): full for full in NEURONS[neuron].parameters} if neuron in NEURONS else {}
    if keys:
        faults.unknown_keys(parameters, keys, f"{where}.parameters")
    values = {
        keys[key]: _number(v, keys[key], faults, f"{where}.parameters.{key}")
        for key, v in parameters.items()
        if key in keys
    }
    return make(Population, {**fields, "name": name, "parameters": values})


def _key(field: str) -> str:
    """The key in a file of a field with its unit as suffix."""
    unit = canonical_unit(field)
    return field.removesuffix(f"_{unit}") if unit else field


def _number(value: object, field: str, faults: Faults, where: str) -> float:
    unit = canonical_unit(field)
    return faults.quantity(value, unit, where) if unit else float(faults.plain(value, "float", where))


def _synapse(name: str, value: object, faults: Faults) -> Synapse:
    where = f"synapses.{name}"
    fields = plain_fields(Synapse, faults.table(value, where), faults, where=where, given=("name",))
    return make(Synapse, {**fields, "name": name})


def _projection(value: object, faults: Faults, where: str) -> Projection:
    table = faults.table(value, where)
    fields = plain_fields(Projection, table, faults, where=where, nested=("profile",))
    fields["profile"] = _nested(Profile, table.get("profile", {}), faults, f"{where}.profile")
    return make(Projection, fields)


def _projection_table(value: object, faults: Faults, where: str) -> list[Projection]:
    """Projections of every source onto every target: rows are targets, 0 is no projection, the rest they share."""
    table = dict(faults.table(value, where))
    sources = faults.texts(table.pop("sources", []), f"{where}.sources")
    targets = faults.texts(table.pop("targets", []), f"{where}.targets")
    filled = str(table.pop("fills", ""))
    rows = faults.matrix(table.pop("values", []), "", f"{where}.values")
    if filled not in _FILLED:
        faults.append(f"{where}.fills is {filled!r}, expected one of {', '.join(_FILLED)}")
        return []
    if len(rows) != len(targets) or any(len(row) != len(sources) for row in rows):
        faults.append(f"{where}.values has {len(rows)} rows, expected {len(targets)} rows of {len(sources)} values")
        return []
    whole = filled in ("in_degree", "total")
    return [
        _projection({**table, "source": s, "target": t, filled: int(v) if whole else v}, faults, where)
        for t, row in zip(targets, rows, strict=True)
        for s, v in zip(sources, row, strict=True)
        if v
    ]


def _drive(value: object, faults: Faults) -> Drive:
    table = faults.table(value, "drive")
    fields = plain_fields(Drive, table, faults, where="drive", nested=("front_end",))
    if "front_end" in table:
        fields["front_end"] = _nested(FrontEnd, table["front_end"], faults, "drive.front_end")
    return make(Drive, fields)


def _nested(cls: type[Any], value: object, faults: Faults, where: str) -> Any:
    return make(cls, plain_fields(cls, faults.table(value, where), faults, where=where))
