"""Look at an HDF5 file before anything is read from it: files of strangers can name other files or declare terabytes.

An HDF5 dataset may keep its data in any other file (external storage, external links, virtual datasets), which a
reader follows without a word; and one of a kilobyte may declare more than any memory holds.
"""

from __future__ import annotations

from pathlib import Path

import h5py

from cortexres.errors import DataFileError

VARIABLE_LENGTH_BYTES = 64  # what a text of unknown length is counted as
MAX_ATTRIBUTE_BYTES = 2**24
MAX_VARIABLES = 10_000


def inspect(path: Path, max_bytes: int) -> None:
    """Return nothing if the file holds only plain arrays of its own, of at most `max_bytes` together.

    Raises
    ------
    DataFileError
        Where it is missing, is no HDF5 file or cannot be read, where it refers to other files, has groups, types or
        links that a Dataset has no use for, or declares more than `max_bytes`.
    """
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise DataFileError(f"{path} {what}, expected a netCDF file; check the name")
    try:
        with path.open("rb"):
            pass  # HDF5 would say of a file without permission that it is no HDF5 file
    except OSError as error:
        raise DataFileError(f"cannot read {path}: {error.strerror}; check its permissions") from error
    if not h5py.is_hdf5(path):
        raise DataFileError(f"{path} is not a netCDF-4 (HDF5) file; make it with cortexres.io.save")
    try:
        with h5py.File(path, "r") as root:
            declared = _inspect_root(root, path)
    except DataFileError:
        raise
    # h5py meets a damaged file with almost any error.
    except Exception as error:
        reason = first_line(error)
        raise DataFileError(f"cannot read {path}: {reason}; the file is damaged, make it again") from error
    if declared > max_bytes:
        raise DataFileError(
            f"{path} declares {declared:,} bytes, expected at most {max_bytes:,}; if you trust it, raise max_bytes"
        )


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its class where it has none."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _inspect_root(root: h5py.File, path: Path) -> int:
    if len(root) > MAX_VARIABLES:
        raise DataFileError(f"{path} has {len(root)} variables, expected at most {MAX_VARIABLES}")
    declared = _attribute_bytes(root, path)
    for name in root:
        link = root.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise DataFileError(f"{path}: {name} is a {type(link).__name__}, which may lead out of the file; refused")
        item = root[name]
        if not isinstance(item, h5py.Dataset):
            raise DataFileError(f"{path}: {name} is a {type(item).__name__.lower()}, expected variables only")
        declared += _inspect_variable(item, name, path) + _attribute_bytes(item, path)
    return declared


def _inspect_variable(variable: h5py.Dataset, name: str, path: Path) -> int:
    """Return the bytes that a variable declares."""
    if variable.external or variable.is_virtual:
        raise DataFileError(f"{path}: {name} keeps its values in another file; refused")
    if variable.shape is None:
        raise DataFileError(f"{path}: {name} has no shape, expected an array")
    text = h5py.check_string_dtype(variable.dtype)
    enumerated = h5py.check_enum_dtype(variable.dtype)  # how netCDF keeps booleans
    if text is None and enumerated is None and variable.dtype.kind not in "fiu":
        raise DataFileError(f"{path}: {name} has the type {variable.dtype}, expected numbers or text")
    width = VARIABLE_LENGTH_BYTES if text is not None and text.length is None else variable.dtype.itemsize
    count = 1
    for length in variable.shape:
        count *= int(length)  # Python's integers do not overflow
    return count * width


def _attribute_bytes(item: h5py.Dataset | h5py.File, path: Path) -> int:
    total = 0
    for name in item.attrs:
        size = int(item.attrs.get_id(name).get_storage_size())
        if size > MAX_ATTRIBUTE_BYTES:
            raise DataFileError(
                f"{path}: the attribute {name} has {size:,} bytes, expected at most {MAX_ATTRIBUTE_BYTES:,}"
            )
        total += size
    return total
