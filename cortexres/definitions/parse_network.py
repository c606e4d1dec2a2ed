"""TOML text -> Network: the file's keys are the fields of the dataclass, and its variants are networks of their own.

Nothing in a file is evaluated. Unknown keys, kinds and options are reported together, with the near names.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from cortexres.definitions.names import did_you_mean
from cortexres.definitions.network import Network, Published
from cortexres.definitions.network_parts import PARTS, Kinds, Part
from cortexres.definitions.parse import read_toml
from cortexres.definitions.reader import Faults
from cortexres.errors import DefinitionError

_TEXTS = ("title", "source", "transition", "order", "activation")
_INTEGERS = ("channels", "size", "classes", "memory", "parameters")
_PER_STAGE = ("widths", "strides", "blocks")
_FIXED = ("title", "source", "parameters", "published")


def network_from_toml(text: str, *, where: str = "the definition", variant: str = "") -> Network:
    """Return the network that a TOML text defines.

    Parameters
    ----------
    text : str
        A definition as in ``models/networks/``.
    where : str
        What to call the text in errors, usually its path.
    variant : str
        Name of a table of ``[variants]``, whose values are put in place and which names the network; empty for none.

    Raises
    ------
    DefinitionError
        If the text is not TOML, has unknown or missing keys, a value of the wrong type, or parts that do not fit.
    """
    table = read_toml(text, where=where)
    faults = Faults()
    family = faults.plain(table.pop("name", None), "str", "name")
    known = faults.table(table.pop("variants", {}), "variants")
    if variant and variant not in known:
        raise DefinitionError(f"{where} has no variant {variant!r}{did_you_mean(variant, known)}")
    own = faults.table(known[variant], f"variants.{variant}") if variant else {}
    faults += [f"key {key!r} is missing" for key in ("title", "source") if key not in table]
    shared, numbers = (faults.table(place.get("published", {}), "published") for place in (table, own))
    fields = _fields({**table, **own, "published": {**shared, **numbers}}, faults)
    if variant and not numbers:  # its family says where numbers are from, but has none of it
        del fields["published"]
    if faults:
        raise DefinitionError(f"{where} cannot be used: " + "; ".join(faults))
    fields = _per_stage(fields, len(fields.get("widths", Network.widths)))
    return Network(name=variant or family, family=family, **fields)


def network_names(text: str, *, where: str = "the definition") -> list[str]:
    """Return the names of the networks that a text defines, in its order."""
    table = read_toml(text, where=where)
    return list(table.get("variants", [])) or [str(table.get("name"))]


def network_with(network: Network, values: Mapping[str, object]) -> Network:
    """Return a network with other values of its fields, as a variant has them.

    Parameters
    ----------
    network : Network
        To start from.
    values : mapping
        By field, as in a file: ``{"classes": 100, "blocks": 5, "norm": "group"}``. A part is given by its kind, or by
        a table with its kind and options. One number of blocks, widths or strides is that of every stage.

    Raises
    ------
    DefinitionError
        If a key or a value is not one that a network has, or the parts no longer fit.
    """
    if not values:
        return network
    faults = Faults()
    faults.unknown_keys(values, [key for key in _READ if key not in _FIXED], "the values given")
    fields = _fields({key: value for key, value in values.items() if key in _READ}, faults)
    if faults:
        raise DefinitionError(f"network {network.name!r} cannot be varied: " + "; ".join(faults))
    fields = _per_stage(fields, len(network.widths))
    return dataclasses.replace(network, parameters=0, published=Published(), **fields)


def _fields(table: Mapping[str, Any], faults: Faults) -> dict[str, Any]:
    """Return the fields of a network that a table has."""
    faults.unknown_keys(table, _READ, "top level")
    return {key: _READ[key](faults, value, key) for key, value in table.items() if key in _READ}


def _per_stage(fields: dict[str, Any], stages: int) -> dict[str, Any]:
    """Return the fields with a single number of blocks, widths or strides repeated for every stage."""
    given = [len(fields[key]) for key in _PER_STAGE if key in fields]
    stages = max((count for count in given if count > 1), default=stages)
    return {key: v * stages if key in _PER_STAGE and len(v) == 1 else v for key, v in fields.items()}


def _text(faults: Faults, value: object, where: str) -> str:
    return str(faults.plain(value, "str", where))


def _integer(faults: Faults, value: object, where: str) -> int:
    return int(faults.plain(value, "int", where))


def _boolean(faults: Faults, value: object, where: str) -> bool:
    return bool(faults.plain(value, "bool", where))


def _integers(faults: Faults, value: object, where: str) -> tuple[int, ...]:
    values = value if isinstance(value, list | tuple) else [value]
    return tuple(_integer(faults, v, where) for v in values)


def _published(faults: Faults, value: object, where: str) -> Published:
    table = faults.table(value, where)
    kinds = {"parameters_M": "float", "error_percent": "float", "data": "str", "source": "str"}
    faults.unknown_keys(table, kinds, where)
    return Published(**{k: faults.plain(v, kinds[k], f"{where}.{k}") for k, v in table.items() if k in kinds})


def _part(faults: Faults, value: object, where: str) -> Part:
    """Return a part from its kind, or from a table of its kind and options."""
    kinds: Kinds = PARTS[where]
    table = {"kind": value} if isinstance(value, str) else dict(faults.table(value, where))
    kind = faults.plain(table.pop("kind", None), "str", f"{where}.kind")
    if kind not in kinds:
        faults.append(f"{where}: no kind is named {kind!r}{did_you_mean(kind, kinds)}")
        return Part(kind)
    usual = kinds[kind]
    faults.unknown_keys(table, usual, where)
    given = {
        key: faults.plain(v, type(usual[key]).__name__, f"{where}.{key}") for key, v in table.items() if key in usual
    }
    return Part(kind, {**usual, **given})


_READ: dict[str, Callable[[Faults, object, str], Any]] = {
    **dict.fromkeys(_TEXTS, _text),
    **dict.fromkeys(_INTEGERS, _integer),
    **dict.fromkeys(_PER_STAGE, _integers),
    **dict.fromkeys(PARTS, _part),
    "tied": _boolean,
    "published": _published,
}
