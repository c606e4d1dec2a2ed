"""Datasets as netCDF-4 files, one per Dataset: compressed, with checksums, safe to open from strangers."""

from __future__ import annotations

import io
import warnings
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
import xarray as xr
from xarray.backends import H5NetCDFStore

from cortexres.errors import ArgumentError, CortexresError, DataFileError, SchemaError
from cortexres.io.atomic import write_bytes
from cortexres.io.inspect import first_line, inspect
from cortexres.provenance import to_json
from cortexres.schema import CHECKS
from cortexres.schema_rules import check_plain

MAX_BYTES = 4 * 2**30
# Since its version 1.8 HDF5 keeps checksums of what describes the arrays, in files that older versions cannot read.
FORMAT = ("v108", "v108")
# Plain numbers stay numbers: xarray makes time differences of what has the units "seconds".
AS_IT_STANDS: dict[str, Any] = {"engine": "h5netcdf", "decode_times": False, "decode_timedelta": False}
# A checksum per chunk: a damaged file is an error when it is read, and never other numbers.
PACKING = {"zlib": True, "complevel": 1, "shuffle": True, "fletcher32": True}
# Attributes by which netCDF encodes a variable: as plain attributes they would change its values when read.
ENCODING_ATTRIBUTES = {
    "_FillValue",
    "missing_value",
    "scale_factor",
    "add_offset",
    "_Unsigned",
    "dtype",
    "coordinates",
    "calendar",
    "_Encoding",
}


def save(dataset: xr.Dataset, path: str | Path) -> Path:
    """Return `path`, which now holds `dataset` as netCDF-4; an older file stays until all is written.

    Attributes that netCDF cannot hold (dicts, booleans, None, paths, dates, nested lists) become JSON strings.

    Parameters
    ----------
    dataset : xarray.Dataset
        Of numbers, booleans and text; not changed.
    path : str or Path
        File to write or replace. Missing folders are made.

    Raises
    ------
    SchemaError
        Where the Dataset holds what the file would lose: quantities with units, dates, objects, a MultiIndex.
    DataFileError
        Where the file cannot be written; an older one stays as it was.
    """
    return write_bytes(path, to_bytes(dataset))


def load(
    path: str | Path, *, kind: str | None = None, stage: str | None = None, max_bytes: int = MAX_BYTES
) -> xr.Dataset:
    """Return the Dataset in a netCDF-4 file, in memory, checked before and after it is read.

    Parameters
    ----------
    path : str or Path
        A file, of anyone: nothing in it can run, and a file that refers to others is refused.
    kind : str or None
        ``"stimuli"``, ``"brain"``, ``"network"``, ``"scores"`` or ``"spikes"``: the schema that it must keep.
    stage : str or None
        Which one, of a file that holds one Dataset for each stage of a network; see `load_stages`.
    max_bytes : int
        Largest declared size of all arrays together.

    Raises
    ------
    DataFileError
        Where the file is missing, damaged, refers to other files or declares more than `max_bytes`; where it holds
        several stages and `stage` is None, or none of that name.
    SchemaError
        Where it does not keep the schema of `kind`.
    ArgumentError
        For an unknown `kind`.
    """
    _check_kind(kind)
    path = Path(path)
    stages = inspect(path, max_bytes)
    if stages and stage is None:
        raise DataFileError(
            f"{path} holds the stages {', '.join(stages)}, expected one Dataset: give stage= (--stage), such as "
            f"{stages[0]}, or read all with io.load_stages"
        )
    if stage is not None and stage not in stages:
        known = " or ".join(stages) or "None: it holds one Dataset"
        raise DataFileError(f"{path} has no stage {stage!r}, expected {known}")
    return _read(path, stage, kind)


def load_stages(path: str | Path, *, kind: str | None = None, max_bytes: int = MAX_BYTES) -> xr.DataTree:
    """Return all stages in a netCDF-4 file, in memory, as a tree of one Dataset each.

    Such files are written by ``nn.record(..., path=...)`` for networks whose stages, or areas, differ in width.

    Parameters
    ----------
    path, kind, max_bytes
        As in `load`; each stage must keep the schema.

    Raises
    ------
    DataFileError
        As in `load`; where the file holds no stages.
    SchemaError, ArgumentError
        As in `load`.
    """
    _check_kind(kind)
    path = Path(path)
    stages = inspect(path, max_bytes)
    if not stages:
        raise DataFileError(f"{path} holds one Dataset, expected one for each stage: use io.load")
    read = {name: _read(path, name, kind) for name in stages}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=_read(path, None, None).attrs), **read})


def _check_kind(kind: str | None) -> None:
    if kind is not None and kind not in CHECKS:
        raise ArgumentError(f"unknown kind {kind!r}, expected {', '.join(CHECKS)} or None")


def _read(path: Path, stage: str | None, kind: str | None) -> xr.Dataset:
    """Return a Dataset of a file that was inspected; its root, or a stage."""
    try:
        with warnings.catch_warnings(action="ignore"), _open(path, stage) as opened:
            dataset = plain_text(opened.load())
    # A damaged file meets h5py, h5netcdf and xarray with almost any error.
    except Exception as error:
        reason = first_line(error)
        raise DataFileError(f"cannot read {path}: {reason}; the file is damaged, make it again") from error
    if kind is not None:
        try:
            CHECKS[kind](dataset)
        except SchemaError as error:
            raise SchemaError(f"{path}: {error}") from error
    return dataset


def _open(path: Path, stage: str | None) -> xr.Dataset:
    # Files without netCDF's dimensions get them by their lengths.
    return xr.open_dataset(path, group=stage, phony_dims="sort", **AS_IT_STANDS)


def to_bytes(dataset: xr.Dataset) -> memoryview:
    """Return `dataset` as the bytes of a netCDF-4 file.

    The file is made in memory, because HDF5 neither says clearly when a disk is full nor cleans up.

    Raises
    ------
    SchemaError
        Where the Dataset holds what the file would lose.
    """
    if not isinstance(dataset, xr.Dataset):
        raise SchemaError(
            f"got a {type(dataset).__name__}, expected a Dataset: of a network of several stages save each, or record "
            "it with path="
        )
    plain = _plain_copy(dataset)
    encoding = {
        name: PACKING for name, values in plain.variables.items() if values.ndim and values.dtype.kind in "fiub"
    }
    buffer = io.BytesIO()
    try:
        with h5netcdf.File(buffer, "w", libver=FORMAT) as file:
            plain.dump_to_store(H5NetCDFStore(file), encoding=encoding)
    except (ValueError, TypeError, NotImplementedError, h5netcdf.CompatibilityError) as error:
        raise SchemaError(f"cannot write the Dataset as netCDF: {first_line(error)}; rename or convert it") from error
    return buffer.getbuffer()


def _plain_copy(dataset: xr.Dataset) -> xr.Dataset:
    """Return a copy with plain attributes and without the encoding of the file it came from."""
    for name, index in dataset.indexes.items():
        if index.nlevels > 1:
            raise SchemaError(f"{name} is a MultiIndex, which netCDF cannot hold; use reset_index({name!r})")
    for name in dataset.variables:
        _check_variable(dataset[name], str(name))
    plain = dataset.drop_encoding()
    plain.attrs = _plain_attributes(dataset.attrs, "the Dataset")
    for name in plain.variables:
        plain[name].attrs = _plain_attributes(dataset[name].attrs, str(name))
    return plain


def _check_variable(values: xr.DataArray, name: str) -> None:
    check_plain(values, "save")
    reserved = sorted(ENCODING_ATTRIBUTES & values.attrs.keys())
    if reserved:
        raise SchemaError(f"{name} has the attribute {reserved[0]}, which would change its values when read; remove it")
    kind = values.dtype.kind
    if kind not in "fiubUO" or values.dtype == np.float16 or values.dtype == np.longdouble:
        raise SchemaError(
            f"{name} has dtype {values.dtype}, expected numbers, booleans or text; convert it with astype"
        )
    if kind in "UO":
        for text in values.values.ravel():
            _check_text(text, name)


def _check_text(text: object, name: str) -> str:
    if not isinstance(text, str):
        raise SchemaError(
            f"{name} holds a {type(text).__name__} among text, expected text only; convert it with astype"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise SchemaError(f"{name} holds text that is not valid Unicode: {error.reason}") from error
    if "\0" in text:
        raise SchemaError(f"{name} holds text with a NUL character, at which the file would cut it; remove it")
    return str(text)


def _plain_attributes(attributes: Mapping[Hashable, object], name: str) -> dict[str, object]:
    plain: dict[str, object] = {}
    for key, value in attributes.items():
        if not isinstance(key, str) or not key:
            raise SchemaError(f"{name} has an attribute named {key!r}, expected text")
        _check_text(key, name)
        plain[key] = _plain_attribute(value, f"{name}, attribute {key}")
    return plain


def _plain_attribute(value: object, name: str) -> object:
    """Return what netCDF can hold of `value` and gives back as it was: text, a number or an array of numbers."""
    if isinstance(value, str):
        return _check_text(value, name)
    if isinstance(value, np.ndarray) and type(value) is np.ndarray and value.ndim == 1 and value.size > 1:
        if value.dtype.kind in "iu" or value.dtype in (np.float32, np.float64):
            return value
    # An unnamed class of number might carry a unit, and integers of Python may be too long.
    if type(value) is float or isinstance(value, np.integer) or type(value) in (np.float32, np.float64):
        return value
    if type(value) is int and -(2**63) <= value < 2**63:
        return value
    try:
        return to_json(value)
    except CortexresError as error:
        raise SchemaError(f"{name}: {error}") from error


def plain_text(dataset: xr.Dataset) -> xr.Dataset:
    """Return the Dataset with text as numpy's own, whichever way xarray read it, and no encoding."""
    changed = {name: values.astype(str) for name, values in dataset.variables.items() if values.dtype.kind in "OT"}
    return dataset.assign(changed).drop_encoding() if changed else dataset.drop_encoding()
