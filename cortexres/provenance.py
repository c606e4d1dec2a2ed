"""What made a result: versions, time and the facts a caller adds, as one JSON string that any file format keeps."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import UTC, date, datetime
from importlib import metadata
from pathlib import PurePath

import numpy as np

from cortexres.errors import ArgumentError

SCHEMA_VERSION = 1
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


def versions() -> dict[str, str]:
    """Return the versions of those packages that are installed, without importing any of them."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # not every room is installed everywhere
    return found


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
