"""Look at an HDF5 file before anything is read from it: files of strangers can name other files or declare terabytes.

An HDF5 dataset may keep its data in any other file (external storage, external links, virtual datasets), which a
reader follows without a word; and one of a kilobyte may declare more than any memory holds.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import product
from math import prod
from pathlib import Path

import h5py

from cortexres.errors import DataFileError
from cortexres.io.heaps import check_heaps, text_bytes

MAX_TEXT_BYTES = 2**30  # of pointers to text; more is counted, and not followed
MAX_ATTRIBUTE_BYTES = 2**24
MAX_VARIABLES = 10_000


def inspect(path: Path, max_bytes: int) -> list[str]:
    """Return the groups of a file that holds only plain arrays of its own, of at most `max_bytes` together.

    Raises
    ------
    DataFileError
        Where it is missing, is no HDF5 file or cannot be read, where it refers to other files, has groups in groups,
        types or links that a Dataset has no use for, or declares more than `max_bytes`.
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
    check_heaps(path)
    try:
        with h5py.File(path, "r") as root:
            groups = [name for name in root if isinstance(root.get(name, getlink=True), h5py.HardLink)]
            groups = [name for name in groups if isinstance(root[name], h5py.Group)]
            declared = _inspect_group(root, path, inner=groups)
            if declared <= max_bytes:
                for group in (root, *(root[name] for name in groups)):
                    _check_written(group, path)
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
    return groups


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its class where it has none."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _inspect_group(group: h5py.Group, path: Path, *, inner: Collection[str] = ()) -> int:
    """Return the bytes that a group declares, with those of its `inner` groups."""
    if len(group) > MAX_VARIABLES:
        raise DataFileError(f"{path} has {len(group)} variables, expected at most {MAX_VARIABLES}")
    declared = _attribute_bytes(group, path)
    for name in group:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise DataFileError(f"{path}: {name} is a {type(link).__name__}, which may lead out of the file; refused")
        item = group[name]
        if name in inner:
            declared += _inspect_group(item, path)
            continue
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
    count = prod(int(length) for length in variable.shape)  # Python's integers do not overflow
    declared = count * int(variable.id.get_type().get_size())
    if text is not None and text.length is None and declared <= MAX_TEXT_BYTES:
        declared += text_bytes(variable, path)
    return declared


def _check_written(group: h5py.Group, path: Path) -> None:
    for name, variable in group.items():
        if not isinstance(variable, h5py.Dataset):
            continue
        if variable.size and not _is_bare_dimension(variable) and not _is_written(variable):
            raise DataFileError(f"{path}: {name} was not written whole; its writer was killed or the file is damaged")


def _is_bare_dimension(variable: h5py.Dataset) -> bool:
    """Return whether this is the mark that netCDF leaves for a dimension without coordinate: a shape without values."""
    label = variable.attrs.get("NAME", b"")
    return isinstance(label, bytes) and bytes(label).startswith(b"This is a netCDF dimension but not")


def _is_written(variable: h5py.Dataset) -> bool:
    """Return whether all values stand in the file; HDF5 reads what does not as the fill value, NaN, without a word."""
    if variable.chunks is None:
        return int(variable.id.get_storage_size()) > 0
    counts = [-(-length // step) for length, step in zip(variable.shape, variable.chunks, strict=True)]
    if variable.id.get_num_chunks() != prod(counts):
        return False
    # Each is looked up as a reader does it: in a damaged index a chunk may be counted and yet not be found.
    return all(_is_found(variable, position) for position in product(*map(range, counts)))


def _is_found(variable: h5py.Dataset, position: tuple[int, ...]) -> bool:
    start = tuple(k * step for k, step in zip(position, variable.chunks, strict=True))
    mask, packed = variable.id.read_direct_chunk(start)
    # The mask says which filters a chunk was written without, the checksum's among them.
    return mask == 0 and len(packed) > 0


def _attribute_bytes(item: h5py.Dataset | h5py.Group, path: Path) -> int:
    total = 0
    for name in item.attrs:
        size = int(item.attrs.get_id(name).get_storage_size())
        if size > MAX_ATTRIBUTE_BYTES:
            raise DataFileError(
                f"{path}: the attribute {name} has {size:,} bytes, expected at most {MAX_ATTRIBUTE_BYTES:,}"
            )
        total += size
    return total
