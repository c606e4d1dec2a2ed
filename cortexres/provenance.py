"""What made a result: versions, time and the facts a caller adds, as one JSON string that any file format keeps."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import UTC, date, datetime
from functools import cache
from importlib import metadata
from pathlib import PurePath

import numpy as np

from cortexres.errors import ArgumentError

SCHEMA_VERSION = 1
# Beyond these a text is no provenance of ours, and parsing it costs memory or the stack.
MAX_CHARACTERS = 2**22
MAX_DEPTH = 32
PACKAGES = (
    "cortexres",
    "brian2",
    "torch",
    "numpy",
    "scipy",
    "xarray",
    "h5netcdf",
    "h5py",
    "scikit-learn",
    "pillow",
)


def provenance(**facts: object) -> str:
    """Return a JSON string: schema version, package versions, Python, platform, UTC time and `facts`.

    Seeds of up to 128 bits are kept exactly, because JSON integers have no size.

    Parameters
    ----------
    **facts
        Anything that JSON can say, and dataclasses, numpy values, paths and dates.

    Raises
    ------
    ArgumentError
        Where a fact cannot be written as JSON, or takes the name of a standard entry.

    Examples
    --------
    >>> import json
    >>> json.loads(provenance(seed=3))["seed"]
    3
    """
    record: dict[str, object] = {
        "schema_version": SCHEMA_VERSION,
        "versions": versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    taken = sorted(record.keys() & facts.keys())
    if taken:
        raise ArgumentError(f"provenance facts {', '.join(taken)} are standard entries; give them other names")
    return to_json({**record, **facts})


def read(text: str) -> dict[str, object] | None:
    """Return the entries of a provenance text; None for any text that is not one, as in a stranger's file.

    Parameters
    ----------
    text : str
        Longer than `MAX_CHARACTERS` or nested deeper than `MAX_DEPTH` counts as none, as do NaN and infinities.
    """
    if len(text) > MAX_CHARACTERS:
        return None
    try:
        record = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and _is_shallow(record) else None


def indented(text: str) -> str:
    """Return a provenance text with indents for a reader, any other text as it is."""
    record = read(text)
    if record is None:
        return text
    pretty = json.dumps(record, indent=2, ensure_ascii=False)
    try:
        pretty.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which no file can hold
        return text
    return pretty


def versions() -> dict[str, str]:
    """Return the versions of those packages that are installed, without importing any of them."""
    return dict(_installed(PACKAGES))


@cache
def _installed(packages: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return (package, version), read once: the metadata takes milliseconds, and no package changes meanwhile."""
    found = []
    for name in packages:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue  # not every room is installed everywhere
    return tuple(found)


def to_json(value: object) -> str:
    """Return `value` as JSON text with sorted keys; dataclasses become objects and numpy arrays lists.

    Raises
    ------
    ArgumentError
        Where a value has no faithful form in JSON: a physical quantity, NaN, an object of another class.
    """
    try:
        return json.dumps(value, default=_plain, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"cannot write as JSON: {error}; give numbers, text, lists or dicts") from error


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text)


def _is_shallow(record: object) -> bool:
    """Return whether nothing lies deeper than `MAX_DEPTH`; without recursion, which is what it guards."""
    level = [record]
    for _ in range(MAX_DEPTH):
        inner: list[object] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.values()
            elif isinstance(item, list):
                inner += item
        level = inner
    return not level


def _plain(value: object) -> object:
    """Return what JSON can say of `value`."""
    if hasattr(value, "dim") or hasattr(value, "magnitude"):
        raise TypeError(f"{value!r} is a physical quantity, whose unit JSON would lose")
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} {value!r}")
