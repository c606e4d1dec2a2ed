"""A netCDF file written piece by piece, for what does not fit into memory, and opened without being read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
import xarray as xr
from xarray.backends import H5NetCDFStore

from cortexres.io.atomic import replacing
from cortexres.io.netcdf import AS_IT_STANDS, FORMAT, PACKING, plain_text

MAX_CHUNK = 2**20  # values; a chunk is packed, and read, as a whole


class Stream:
    """A file being written: variables first, each filled part by part, then what describes them."""

    def __init__(self, file: h5netcdf.File) -> None:
        self._file = file

    def _group(self, name: str) -> h5netcdf.Group:
        if name == "/":
            return self._file
        return self._file[name] if name in self._file else self._file.create_group(name)

    def variable(
        self, group: str, name: str, sizes: Mapping[str, int], *, piece: Mapping[str, int], dtype: np.dtype[Any],
        attrs: Mapping[str, str],
    ) -> Any:  # fmt: skip
        """Return a new variable, to be filled by assigning to slices of it.

        Parameters
        ----------
        group : str
            Group of the file, ``"/"`` for the file itself.
        name : str
            Name of the variable.
        sizes : mapping of str to int
            Its dims, in order.
        piece : mapping of str to int
            How much of each dim is written at a time.
        dtype : dtype
            Of its values.
        attrs : mapping of str to str
            Its attributes.
        """
        place = self._group(group)
        for dim, size in sizes.items():
            if dim not in place.dimensions:
                place.dimensions[dim] = size
        chunks = [min(piece.get(dim, size), size) for dim, size in sizes.items()]
        chunks[-1] = max(min(chunks[-1], MAX_CHUNK // int(np.prod(chunks[:-1]))), 1)
        packing = {"compression": "gzip", "compression_opts": PACKING["complevel"], "shuffle": True, "fletcher32": True}
        variable = place.create_variable(name, tuple(sizes), dtype, chunks=tuple(chunks), **packing)
        for key, text in attrs.items():
            variable.attrs[key] = text
        return variable

    def describe(self, group: str, described: xr.Dataset) -> None:
        """Write the coordinates and attributes of a group."""
        described.dump_to_store(H5NetCDFStore(self._group(group)))


@contextmanager
def streamed(path: str | Path) -> Iterator[Stream]:
    """Yield a `Stream` whose file takes the name `path` where the block ends without an error.

    Raises
    ------
    DataFileError
        Where the file cannot be written; an older one stays as it was.
    """
    with replacing(path) as temporary, h5netcdf.File(temporary, "w", libver=FORMAT) as file:
        yield Stream(file)


def open_stream(path: str | Path) -> xr.Dataset | xr.DataTree:
    """Return what a file of ours holds without reading its values: a Dataset, or a DataTree where it has groups.

    It is open until ``close()``. For files of others use `load`, which looks at them before anything is read.
    """
    with h5netcdf.File(path, "r") as file:
        has_groups = bool(file.groups)
    if not has_groups:
        dataset = xr.open_dataset(path, **AS_IT_STANDS)
        plain = plain_text(dataset)
        plain.set_close(dataset.close)
        return plain
    tree = xr.open_datatree(path, **AS_IT_STANDS)
    plain_tree = tree.map_over_datasets(plain_text)
    plain_tree.set_close(tree.close)  # a new tree would not close what this one opened
    return plain_tree
