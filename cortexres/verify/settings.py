"""The arguments of a protocol, taken from its definition one by one; what nobody asks for is a mistake."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from cortexres.definitions import Circuit
from cortexres.definitions.names import did_you_mean
from cortexres.definitions.targets import Setting
from cortexres.errors import DataFileError, DefinitionError

#: Names the folder of a user's data where the setting `data_folder` does not.
DATA_VARIABLE = "CORTEXRES_DATA"
#: Settings that `verify` adds to those of the definition: the seed, the engine, and the folder of a user's data.
ADDED = ("seed", "target", "data_folder")


def number(settings: Mapping[str, Setting], name: str, default: float | None = None) -> float:
    """The number of that name; a default where it may be left out.

    Raises
    ------
    DefinitionError
        If it is missing, or no number.
    """
    value = settings.get(name, default)
    if isinstance(value, float | int):
        return float(value)
    raise _refused(name, value, "a number, with its unit where the name has one")


def numbers(settings: Mapping[str, Setting], name: str) -> tuple[float, ...]:
    """The list of numbers of that name, at least one; errors as in `number`."""
    value = settings.get(name)
    if not isinstance(value, tuple) or not value or not all(isinstance(v, float | int) for v in value):
        raise _refused(name, value, "a list of numbers")
    return tuple(float(v) for v in value)


def whole(settings: Mapping[str, Setting], name: str, default: int | None = None) -> int:
    """The whole number above 0 of that name; errors as in `number`."""
    value = number(settings, name, default)
    if value != round(value) or value < 1:
        raise _refused(name, value, "a whole number above 0")
    return round(value)


def text(settings: Mapping[str, Setting], name: str, default: str | None = None) -> str:
    """The text of that name; errors as in `number`."""
    value = settings.get(name, default)
    if isinstance(value, str):
        return value
    raise _refused(name, value, "text")


def seed(settings: Mapping[str, Setting]) -> int:
    """The seed of everything random."""
    return round(number(settings, "seed", 0))


def data_folder(circuit: Circuit, settings: Mapping[str, Setting]) -> str:
    """The folder of data that a user supplies.

    Raises
    ------
    DataFileError
        If neither the setting nor the environment names one.
    """
    folder = str(settings.get("data_folder") or os.environ.get(DATA_VARIABLE, ""))
    if not folder:
        raise DataFileError(
            f"circuit {circuit.name} needs anatomical data that is not part of the package: give the folder of an"
            f" *fln*.csv and a *hierarchy*.csv with --data, or in the environment variable {DATA_VARIABLE}"
        )
    return folder


def allow(settings: Mapping[str, Setting], known: Iterable[str]) -> None:
    """Return nothing if all settings are `known` (or added by `verify`).

    Raises
    ------
    DefinitionError
        If one is not: it is misspelt, or a setting of another kind of protocol.
    """
    known = sorted(known)
    for name in settings:
        if name not in (*known, *ADDED):
            raise DefinitionError(f"protocol setting {name!r} has no meaning{did_you_mean(name, known)}")


def _refused(name: str, value: object, expected: str) -> DefinitionError:
    got = "missing" if value is None else repr(value)
    return DefinitionError(f"protocol setting {name} is {got}, expected {expected}")
