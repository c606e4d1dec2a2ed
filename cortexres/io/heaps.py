"""Find the damage on which the HDF5 library does not return: loops and lengths in the heap that holds text.

HDF5 keeps values of variable length in collections marked ``GCOL``, each a chain of objects that starts with an index
(2 bytes), a count of references (2), 4 reserved bytes and a size (8). Index 0 marks free space, whose size counts its
own header; the library steps on by that size, and by nothing where damage has made it 0 (HDF5 1.14.6, H5HG.c).

References
----------
HDF5 File Format Specification, III.E. Disk Format: Level 1E - Global Heap.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

import h5py
import numpy as np

from cortexres.errors import DataFileError

COLLECTION = b"GCOL\x01"
COLLECTION_HEADER = 16
OBJECT_HEADER = 16
POINTER = np.dtype([("length", "<u4"), ("address", "<u8"), ("index", "<u4")])
OBJECT = struct.Struct("<HHIQ")


def check_heaps(path: Path) -> None:
    """Return nothing if every chain of objects in the file's heaps comes to an end.

    Raises
    ------
    DataFileError
        Where one does not.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        # Collections do not overlap, so all chains together are no longer than the file.
        steps = len(data) // OBJECT_HEADER
        start = data.find(COLLECTION)
        while start >= 0:
            steps -= _chain_length(data, start, steps, path)
            start = data.find(COLLECTION, start + 1)


def text_bytes(variable: h5py.Dataset, path: Path) -> int:
    """Return the bytes of all texts of a variable together, as its pointers declare them, without following any.

    Raises
    ------
    DataFileError
        Where the pointers are packed, so that they cannot be looked at first.
    """
    if variable.chunks is None:
        offset, size = variable.id.get_offset(), variable.id.get_storage_size()
        if offset is None:
            return 0  # nothing was written, or a few values in the header, which has a checksum
        with path.open("rb") as file:
            file.seek(offset)
            return _lengths(file.read(size), path)
    if variable.id.get_create_plist().get_nfilters():
        raise DataFileError(f"{path}: {variable.name} is packed text, expected plain text; save it without compression")
    chunks = (variable.id.get_chunk_info(k) for k in range(variable.id.get_num_chunks()))
    return sum(_lengths(variable.id.read_direct_chunk(chunk.chunk_offset)[1], path) for chunk in chunks)


def _lengths(pointers: bytes, path: Path) -> int:
    whole = pointers[: len(pointers) // POINTER.itemsize * POINTER.itemsize]
    lengths = np.frombuffer(whole, POINTER)["length"]
    if lengths.max(initial=0) > path.stat().st_size:
        raise DataFileError(f"cannot read {path}: a text is longer than the file; the file is damaged, make it again")
    return int(lengths.sum(dtype=np.uint64))


def _chain_length(data: mmap.mmap, start: int, most: int, path: Path) -> int:
    """Return the number of objects in the collection at `start`."""
    if start + COLLECTION_HEADER > len(data):
        return 0
    (size,) = struct.unpack_from("<Q", data, start + 8)
    end = start + size
    if end > len(data):
        return 0  # the library refuses what goes beyond the file, and in packed numbers the mark may stand by chance
    position, length = start + COLLECTION_HEADER, 0
    while position + OBJECT_HEADER <= end:
        index, _, _, size = OBJECT.unpack_from(data, position)
        step = size if index == 0 else OBJECT_HEADER + (size + 7) // 8 * 8
        length += 1
        # The library adds sizes of 64 bits, so that a very large one leads back.
        if step < OBJECT_HEADER or step >= 2**63 or length > most:
            raise DataFileError(f"cannot read {path}: a heap of text does not end; the file is damaged, make it again")
        position += step
    return length
