"""Named parameters: one path for every number of a circuit, to vary it without writing the circuit anew.

``populations.E.tau_m_ms``, ``populations.*.size``, ``synapses.excitatory.tau_ms``, ``projections.I->E.weight_mV``,
``projections.E->E:nmda.conductance_nS`` (where two synapses join the same populations),
``projections.E->E.profile.kappa``, ``backgrounds.E.rate_Hz``, ``drive.front_end.gain_mV``, ``dt_ms``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from fnmatch import fnmatchcase
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from cortexres.definitions.models import NEURONS
from cortexres.definitions.names import did_you_mean
from cortexres.definitions.population import Population
from cortexres.definitions.projection import Background, Projection
from cortexres.errors import DefinitionError

if TYPE_CHECKING:
    from cortexres.definitions.circuit import Circuit

Value = float | int | str | bool

_LISTS = ("populations", "synapses", "projections", "backgrounds")
#: Tables inside a part of a circuit.
_TABLES = ("start", "profile")
#: What the value of a field must be, by the field's type, and how to say so.
_KINDS: dict[str, tuple[type, str]] = {
    "float": (Real, "a number"),
    "int": (Integral, "a whole number"),
    "str": (str, "text"),
    "bool": (bool, "true or false"),
}


def with_values(circuit: Circuit, values: Mapping[str, Value]) -> Circuit:
    """The circuit with other values of named parameters.

    Parameters
    ----------
    circuit : Circuit
        Not changed.
    values : mapping of path to value
        Paths as in the head of this module; ``*`` stands for any name. Values are in the unit of the name.

    Raises
    ------
    DefinitionError
        If a path names nothing in the circuit, a value is of another kind than the parameter, or the changed circuit
        cannot be used.
    """
    changes: dict[str, Any] = {}
    for path, value in values.items():
        head, _, rest = path.partition(".")
        if head in _LISTS:
            if "." not in rest:
                raise DefinitionError(f"no parameter {path!r}: name {head}.NAME.FIELD, * stands for any name")
            parts = changes.get(head, getattr(circuit, head))
            changes[head] = _change_parts(parts, rest, value, path)
        elif head == "drive" and circuit.drive is not None:
            changes["drive"] = _change_nested(changes.get("drive", circuit.drive), rest, value, path)
        elif not rest and head in _scalars(circuit):
            changes[head] = _of_kind(value, _kind(circuit, head), path)
        else:
            raise DefinitionError(f"no parameter {path!r}{did_you_mean(path, parameter_paths(circuit))}")
    return dataclasses.replace(circuit, **changes)


def parameter_paths(circuit: Circuit) -> list[str]:
    """The paths of all parameters of `circuit`, without wildcards."""
    return list(parameter_values(circuit))


def parameter_values(circuit: Circuit) -> dict[str, Value]:
    """The value of every parameter of `circuit`, by its path without wildcards; defaults are filled in."""
    values: dict[str, Value] = {field: getattr(circuit, field) for field in _scalars(circuit)}
    for head in _LISTS:
        for part in getattr(circuit, head):
            name = f"{head}.{_names(part)[0]}"
            values |= {f"{name}.{field}": _value(part, field) for field in _fields(part)}
            for table in (t for t in _TABLES if hasattr(part, t)):
                inside = getattr(part, table)
                values |= {f"{name}.{table}.{field}": getattr(inside, field) for field in _scalars(inside)}
    if circuit.drive is not None:
        values["drive.onto"] = circuit.drive.onto
        front_end = circuit.drive.front_end
        if front_end is not None:
            values |= {f"drive.front_end.{field}": getattr(front_end, field) for field in _scalars(front_end)}
    return values


def _value(part: Any, field: str) -> Value:
    found: Value = getattr(part, field) if field in _scalars(part) else part.parameter(field)
    return found


def _change_parts(parts: tuple[Any, ...], rest: str, value: Value, path: str) -> tuple[Any, ...]:
    name, _, field = rest.rpartition(".")
    head, _, table = name.rpartition(".")
    if table in _TABLES:
        name, field = head, f"{table}.{field}"
    changed = tuple(
        _set(part, field, value, path) if any(fnmatchcase(n, name) for n in _names(part)) else part for part in parts
    )
    if all(new is old for new, old in zip(changed, parts, strict=True)):
        raise DefinitionError(f"no parameter {path!r}{did_you_mean(name, [_names(p)[0] for p in parts])}")
    return changed


def _set(part: Any, field: str, value: Value, path: str) -> Any:
    table, dot, rest = field.partition(".")
    if dot and hasattr(part, table):
        return dataclasses.replace(part, **{table: _change_nested(getattr(part, table), rest, value, path)})
    if field not in _fields(part):
        raise DefinitionError(f"no parameter {path!r}{did_you_mean(field, _fields(part))}")
    if isinstance(part, Population) and field not in _scalars(part):
        parameters: dict[str, Any] = {**part.parameters, field: _of_kind(value, "float", path)}
        return dataclasses.replace(part, parameters=parameters)
    return dataclasses.replace(part, **{field: _of_kind(value, _kind(part, field), path)})


def _change_nested(part: Any, rest: str, value: Value, path: str) -> Any:
    head, _, tail = rest.partition(".")
    if tail and getattr(part, head, None) is not None:
        return dataclasses.replace(part, **{head: _change_nested(getattr(part, head), tail, value, path)})
    if tail or head not in _scalars(part):
        raise DefinitionError(f"no parameter {path!r}{did_you_mean(head, _scalars(part))}")
    return dataclasses.replace(part, **{head: _of_kind(value, _kind(part, head), path)})


def _kind(part: Any, field: str) -> str:
    return next(str(f.type) for f in dataclasses.fields(part) if f.name == field)


def _of_kind(value: Value, name: str, path: str) -> Value:
    """`value` if it is what a field of the type of that name holds."""
    kind, expected = _KINDS[name]
    if isinstance(value, kind) and isinstance(value, bool) == (kind is bool):
        return value
    raise DefinitionError(f"{path} is {value!r:.60}, expected {expected}")


def _names(part: Any) -> list[str]:
    """What a path may call a part; the first is its full name."""
    if isinstance(part, Projection):
        return [f"{part.source}->{part.target}:{part.synapse}", f"{part.source}->{part.target}"]
    if isinstance(part, Background):
        return [f"{part.target}:{part.synapse}", part.target]
    return [part.name]


def _fields(part: Any) -> list[str]:
    names = _scalars(part)
    return [*names, *_known_parameters(part)] if isinstance(part, Population) else names


def _known_parameters(population: Population) -> list[str]:
    return list(NEURONS[population.neuron].parameters)


def _scalars(part: Any) -> list[str]:
    return [f.name for f in dataclasses.fields(part) if isinstance(getattr(part, f.name), float | int | str)]
