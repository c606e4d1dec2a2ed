"""Files come back as they were, or not at all: round trips, damage, traps laid by strangers, interrupted writing."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import textwrap
import time
from datetime import datetime
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cortexres import io
from cortexres.errors import ArgumentError, CortexresError, DataFileError, SchemaError
from cortexres.io import atomic, netcdf
from cortexres.io.heaps import check_heaps

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
NAMES = st.text("abcXYZ_09", min_size=1, max_size=6).map(lambda name: "v" + name)
DTYPES = st.sampled_from(["f4", "f8", "i1", "i4", "i8", "u2", "u8", "bool"])


def small(seed: int = 0) -> xr.Dataset:
    values = np.random.default_rng(seed).normal(size=(6, 50))
    return xr.Dataset(
        {"a": (("x", "y"), values, {"units": "mV"})},
        {"x": np.arange(6), "name": ("x", list("abcdef")), "time": ("y", np.arange(50.0), {"units": "ms"})},
        {"model": "é", "cortexres_provenance": '{"seed": 1}'},
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.nc"


# ---- round trips


@st.composite
def datasets(draw: st.DrawFn) -> xr.Dataset:
    sizes = draw(st.dictionaries(st.sampled_from(["x", "y", "z"]), st.integers(0, 4), min_size=1))
    variables = {}
    for name in draw(st.lists(NAMES, max_size=3, unique=True)):
        dims = tuple(draw(st.lists(st.sampled_from(sorted(sizes)), unique=True)))
        shape = tuple(sizes[dim] for dim in dims)
        text = st.lists(TEXT, min_size=int(np.prod(shape)), max_size=int(np.prod(shape)))
        if draw(st.booleans()):
            values = np.array(draw(text), dtype=str).reshape(shape)
        else:
            values = draw(hnp.arrays(draw(DTYPES), shape))
        number = st.floats(allow_nan=False) | st.integers(-(2**63), 2**63 - 1)
        variables[name] = (dims, values, draw(st.dictionaries(NAMES, TEXT | number, max_size=2)))
    coords = {dim: np.arange(size) for dim, size in sizes.items() if draw(st.booleans())}
    return xr.Dataset(variables, coords, draw(st.dictionaries(NAMES, TEXT, max_size=2)))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(dataset=datasets())
def test_a_dataset_comes_back_identical(dataset: xr.Dataset, path: Path) -> None:
    io.save(dataset, path)
    loaded = io.load(path)
    xr.testing.assert_identical(loaded, dataset)
    for name in dataset.variables:
        # Text may get wider: numpy gives an empty array of text the width 1.
        if dataset[name].dtype.kind != "U":
            assert loaded[name].dtype == dataset[name].dtype


def test_what_is_loaded_can_be_saved_again(path: Path) -> None:
    io.save(small(), path)
    again = io.save(io.load(path).isel(y=slice(3)), path.with_name("again.nc"))
    xr.testing.assert_identical(io.load(again), small().isel(y=slice(3)))


def test_attributes_that_netcdf_cannot_hold_become_json(path: Path) -> None:
    attrs = {
        "dict": {"a": [1, [2]]},
        "true": True,
        "none": None,
        "path": Path("a/b"),
        "when": datetime(2020, 1, 2),
        "huge": 2**70,
        "list": [1, 2],
        "numpy": np.array([1.5, 2.5]),
        "text": np.str_("é"),
    }
    dataset = small().assign_attrs(attrs)
    io.save(dataset, path)
    loaded = io.load(path).attrs
    assert dataset.attrs["dict"] is attrs["dict"]
    assert loaded["dict"] == '{"a": [1, [2]]}'
    assert (loaded["true"], loaded["none"], loaded["path"]) == ("true", "null", '"a/b"')
    assert (loaded["when"], loaded["huge"], loaded["list"]) == ('"2020-01-02T00:00:00"', str(2**70), "[1, 2]")
    assert loaded["numpy"].tolist() == [1.5, 2.5]
    assert loaded["text"] == "é"


@pytest.mark.parametrize("units", ["seconds", "milliseconds", "days since 2000-01-01", "ms"])
def test_units_of_time_stay_text_and_values_numbers(path: Path, units: str) -> None:
    dataset = small().assign(t=("y", np.arange(50.0), {"units": units}))
    io.save(dataset, path)
    xr.testing.assert_identical(io.load(path), dataset)


class Quantity(np.ndarray):
    """Looks like Brian2's: an array with a dimension."""

    dim = "volt"


def quantity() -> Quantity:
    return np.ones(6).view(Quantity)


UNSAVEABLE: list[tuple[xr.Dataset, str]] = [
    (xr.Dataset({"v": ("x", quantity())}), "v is a Quantity, which would lose its unit"),
    (small().assign_attrs(tau=quantity()[:1]), "the Dataset, attribute tau: .* physical quantity"),
    (small().assign_attrs(thing=object()), "attribute thing: cannot write as JSON"),
    (small().assign_attrs({3: "x"}), "has an attribute named 3, expected text"),
    (small().assign_attrs(nul="a\0b"), "NUL character"),
    (small().assign_attrs(odd="\ud800"), "not valid Unicode"),
    (small().assign_coords(name=("x", np.array([1, "a", None, 2, 3, 4], dtype=object))), "holds a int among text"),
    (small().assign(z=("x", np.arange(6) * 1j)), "z has dtype complex128, expected numbers"),
    (small().assign(z=("x", np.arange(6).astype("datetime64[ns]"))), "z has dtype datetime64"),
    (small().assign(z=("x", np.zeros(6, "f2"))), "z has dtype float16"),
    (small().assign(z=("x", np.arange(6), {"scale_factor": 2})), "attribute scale_factor, which would change"),
    (small().drop_vars("name").stack(p=("x", "y")), "p is a MultiIndex"),
    (small().rename(a="b/c"), "cannot write the Dataset as netCDF"),
]


@pytest.mark.parametrize(("dataset", "message"), UNSAVEABLE)
def test_what_a_file_would_lose_is_refused(dataset: xr.Dataset, message: str, path: Path) -> None:
    with pytest.raises(SchemaError, match=message):
        io.save(dataset, path)
    assert list(path.parent.iterdir()) == []


# ---- reading what may be damaged or hostile


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"gone\.nc does not exist"):
        io.load(tmp_path / "gone.nc")
    with pytest.raises(DataFileError, match="is not a file"):
        io.load(tmp_path)
    with pytest.raises(DataFileError, match="is not a netCDF-4"):
        io.load(io.write_text(tmp_path / "text.nc", "hello"))
    with pytest.raises(ArgumentError, match="unknown kind 'brian', expected stimuli, brain"):
        io.load(tmp_path / "gone.nc", kind="brian")


def test_a_file_without_permission(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    io.save(small(), path)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataFileError, match=r"cannot read .*Permission denied"):
        io.load(path)


def test_the_schema_is_checked_and_the_file_named(path: Path) -> None:
    io.save(small(), path)
    with pytest.raises(SchemaError, match=r"file\.nc: brain: no variable response"):
        io.load(path, kind="brain")


def test_truncated_files(path: Path) -> None:
    whole = bytes(io.save(small(), path).read_bytes())
    for length in np.linspace(1, len(whole) - 1, 40).astype(int):
        path.write_bytes(whole[:length])
        with pytest.raises(DataFileError):
            io.load(path)


@pytest.mark.parametrize("only_where", ["anywhere", "outside of the numbers"])
def test_mutated_files_fail_as_ours_or_leave_the_numbers_right(path: Path, only_where: str) -> None:
    original = small()
    whole = io.save(original, path).read_bytes()
    with h5py.File(path, "r") as file:
        chunk = file["a"].id.get_chunk_info(0)
    places = np.arange(len(whole))
    if only_where != "anywhere":
        places = np.delete(places, slice(chunk.byte_offset, chunk.byte_offset + chunk.size))
        places = places[[whole[place] != 0 for place in places]]  # most of the rest is empty
    rng = np.random.default_rng(0)
    failed = 0
    for _ in range(200):
        mutated = bytearray(whole)
        for position in rng.choice(places, 3):
            mutated[position] = rng.integers(0, 256)
        path.write_bytes(mutated)
        try:
            loaded = io.load(path)
        except CortexresError:
            failed += 1
            continue
        np.testing.assert_array_equal(loaded["a"], original["a"])
    assert failed > 50


def test_a_chunk_that_damage_has_moved_is_no_nan(path: Path) -> None:
    whole = io.save(small(), path).read_bytes()
    with h5py.File(path, "r") as file:
        chunk = file["a"].id.get_chunk_info(0)
    # The key of a chunk is its packed size, the mask of filters left out, and where it starts in the array; the
    # address follows, and the key at which the index ends.
    key = whole.index(struct.pack("<IIQQQQ", chunk.size, 0, 0, 0, 0, chunk.byte_offset))
    messages = []
    for place in range(key, key + 72):
        path.write_bytes(whole[:place] + b"\x40" + whole[place + 1 :])
        try:
            np.testing.assert_array_equal(io.load(path)["a"], small()["a"])
        except DataFileError as error:
            messages.append(str(error))
    assert any("a was not written whole" in message for message in messages)
    assert len(messages) > 30


def test_arrays_that_were_never_filled_are_refused(path: Path) -> None:
    for options in ({"chunks": (2, 5)}, {}):
        with h5py.File(path, "w") as file:
            array = file.create_dataset("a", (4, 10), "f8", fillvalue=np.nan, **options)
            if options:
                array[:2] = 1.0
        with pytest.raises(DataFileError, match="a was not written whole; its writer was killed"):
            io.load(path)


@pytest.mark.parametrize("options", [{}, {"chunks": (2,)}])
def test_a_text_longer_than_its_file_is_refused(path: Path, options: dict[str, object]) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=["one", "two", "three"], dtype=h5py.string_dtype(), **options)
    assert io.load(path)["a"].values.tolist() == ["one", "two", "three"]
    with pytest.raises(DataFileError, match=r"declares \d\d bytes, expected at most 30"):
        io.load(path, max_bytes=30)
    data = bytearray(path.read_bytes())
    with h5py.File(path, "r") as file:
        space = file["a"]
        place = space.id.get_chunk_info(0).byte_offset if options else space.id.get_offset()
    data[place + 3] = 200
    path.write_bytes(data)
    with pytest.raises(DataFileError, match="a text is longer than the file"):
        io.load(path)


def test_packed_text_is_refused(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=["one"], dtype=h5py.string_dtype(), chunks=(1,), compression="gzip")
    with pytest.raises(DataFileError, match="/a is packed text"):
        io.load(path)


def a_heap(*sizes: tuple[int, int]) -> bytes:
    """A collection of 128 bytes whose chain has objects of these (index, size)."""
    objects = b"".join(struct.pack("<HHIQ", index, 1, 0, size) + bytes(8) for index, size in sizes)
    return (b"GCOL\x01\0\0\0" + struct.pack("<Q", 128) + objects).ljust(128, b"\0")


@pytest.mark.parametrize("sizes", [[(0, 112)], [(1, 8), (0, 88)], [(1, 5), (2, 0), (0, 72)], [(1, 8), (2, 2**40)]])
def test_heaps_that_end_are_left_to_the_library(path: Path, sizes: list[tuple[int, int]]) -> None:
    check_heaps(io.write_bytes(path, b"before" + a_heap(*sizes) + b"after"))
    check_heaps(io.write_bytes(path, a_heap((0, 0))[:12]))  # cut off in the header
    check_heaps(io.write_bytes(path, a_heap((0, 0))[:100]))  # and in the chain


@pytest.mark.parametrize("sizes", [[(0, 0)], [(1, 8), (0, 3)], [(1, 2**64 - 24), (0, 88)], [(1, 2**64 - 16)]])
def test_heaps_without_end_are_refused(path: Path, sizes: list[tuple[int, int]]) -> None:
    io.save(small(), path)
    path.write_bytes(path.read_bytes() + a_heap(*sizes))
    with pytest.raises(DataFileError, match="a heap of text does not end"):
        io.load(path)


def test_values_that_rot_on_the_disk_are_found(path: Path) -> None:
    io.save(small(), path)
    with h5py.File(path, "r") as file:
        chunk = file["a"].id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataFileError, match="the file is damaged"):
        io.load(path)


def lay_external_storage(file: h5py.File, secret: Path) -> None:
    file.create_dataset("a", (4,), "u1", external=[(str(secret), 0, 4)])


def lay_external_link(file: h5py.File, secret: Path) -> None:
    file["a"] = h5py.ExternalLink(str(secret), "/x")


def lay_soft_link(file: h5py.File, secret: Path) -> None:
    file["a"] = h5py.SoftLink("/a")


def lay_virtual(file: h5py.File, secret: Path) -> None:
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource(str(secret), "x", (4,))
    file.create_virtual_dataset("a", layout)


def lay_terabytes(file: h5py.File, secret: Path) -> None:
    file.create_dataset("a", (2**40,), "f8", chunks=(2**20,))


def lay_terabytes_of_text(file: h5py.File, secret: Path) -> None:
    file.create_dataset("a", (2**36,), h5py.string_dtype(), chunks=(2**10,))


def lay_group(file: h5py.File, secret: Path) -> None:
    file.create_group("inner/most")


def lay_named_type(file: h5py.File, secret: Path) -> None:
    file["a"] = np.dtype("f8")


def lay_compound(file: h5py.File, secret: Path) -> None:
    file["a"] = np.zeros(3, dtype=[("r", "f8"), ("i", "f8")])


def lay_reference(file: h5py.File, secret: Path) -> None:
    file.create_dataset("a", (3,), h5py.ref_dtype)


def lay_no_shape(file: h5py.File, secret: Path) -> None:
    file["a"] = h5py.Empty("f8")


def lay_long_attribute(file: h5py.File, secret: Path) -> None:
    file["a"] = np.arange(3)
    file["a"].attrs.create("note", np.zeros(2**22 + 1))


def lay_many_variables(file: h5py.File, secret: Path) -> None:
    for k in range(40):
        file[f"a{k}"] = k


@pytest.mark.parametrize(
    ("lay", "message"),
    [
        (lay_external_storage, "keeps its values in another file"),
        (lay_external_link, "a is a ExternalLink, which may lead out"),
        (lay_soft_link, "a is a SoftLink"),
        (lay_virtual, "keeps its values in another file"),
        (lay_terabytes, "declares 8,796,093,022,208 bytes, expected at most .* raise max_bytes"),
        (lay_terabytes_of_text, "declares .* bytes, expected at most"),
        (lay_group, "most is a group, expected variables only"),
        (lay_named_type, "a is a datatype"),
        (lay_compound, "a has the type .*, expected numbers or text"),
        (lay_reference, "a has the type object"),
        (lay_no_shape, "a has no shape"),
        (lay_long_attribute, "the attribute note has 33,554,440 bytes"),
        (lay_many_variables, "has 40 variables, expected at most 30"),
    ],
)
def test_traps_are_refused(lay: object, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cortexres.io.inspect.MAX_VARIABLES", 30)
    secret = io.write_text(tmp_path / "secret", "TOPSECRET")
    with h5py.File(tmp_path / "trap.nc", "w", libver="latest") as file:
        lay(file, secret)  # type: ignore[operator]
    with pytest.raises(DataFileError, match=message):
        io.load(tmp_path / "trap.nc")


def test_the_limit_is_an_argument(path: Path) -> None:
    io.save(small(), path)
    with pytest.raises(DataFileError, match="expected at most 100;"):
        io.load(path, max_bytes=100)


# ---- writing


def test_writing_replaces_whole_files_and_makes_folders(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "er" / "report.html"
    assert io.write_text(target, "ä") == target
    assert target.read_text(encoding="utf-8") == "ä"
    io.write_bytes(target, b"new")
    assert target.read_bytes() == b"new"
    assert [file.name for file in target.parent.iterdir()] == ["report.html"]


def test_writing_on_a_folder_or_under_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="it is a folder; give the name of a file"):
        io.write_text(tmp_path, "x")
    io.write_text(tmp_path / "file", "x")
    with pytest.raises(DataFileError, match=r"cannot write .*file/below: .*; nothing was changed"):
        io.write_text(tmp_path / "file" / "below", "x")
    with pytest.raises(DataFileError, match="null"):
        io.write_text(tmp_path / "a\0b", "x")


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, SystemExit])
def test_interruption_leaves_the_old_file_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    io.save(small(), path)

    def interrupt(_: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(error):
        io.save(small(1), path)
    monkeypatch.undo()
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    xr.testing.assert_identical(io.load(path), small())


@pytest.mark.skipif(os.name != "posix", reason="file size limits are POSIX")
def test_a_full_disk_leaves_the_old_file_alone(path: Path) -> None:
    io.save(small(), path)
    # A limit on file size fails in mid-write, as a full disk does, and needs no rights.
    code = textwrap.dedent("""
        import resource, signal, sys, numpy as np, xarray as xr
        from cortexres import io
        from cortexres.errors import DataFileError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        try:
            io.save(xr.Dataset({"a": ("x", np.random.default_rng(0).random(100_000))}), sys.argv[1])
        except DataFileError as error:
            print(error)
    """)
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert "cannot write" in done.stdout
    assert "File too large; nothing was changed" in done.stdout
    assert done.stderr == ""
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    xr.testing.assert_identical(io.load(path), small())


@pytest.mark.skipif(os.name != "posix", reason="asks whether a process lives")
def test_what_a_killed_process_left_is_removed(path: Path) -> None:
    code = textwrap.dedent("""
        import os, signal, sys
        from cortexres import io
        os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        io.write_text(sys.argv[1], "half")
    """)
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -9
    left = list(path.parent.iterdir())
    assert [file.suffix for file in left] == [".tmp"]
    living = path.with_name(f".{path.name}.{atomic._machine()}.{os.getpid()}.00000000.tmp")
    elsewhere = path.with_name(f".{path.name}.elsewhere.1.00000000.tmp")
    old = path.with_name(f".{path.name}.elsewhere.2.00000000.tmp")
    other = path.with_name(f".other.nc.{atomic._machine()}.{2**40}.00000000.tmp")
    for file in (living, elsewhere, old, other):
        file.touch()
    os.utime(old, (0, time.time() - 2 * atomic.ABANDONED_S))
    io.write_text(path, "whole")
    assert {file.name for file in path.parent.iterdir()} == {path.name, living.name, elsewhere.name, other.name}


def test_bytes_are_a_netcdf_file_that_xarray_alone_opens(tmp_path: Path) -> None:
    plain = tmp_path / "plain.nc"
    plain.write_bytes(netcdf.to_bytes(small()))
    with xr.open_dataset(plain, engine="h5netcdf") as opened:
        np.testing.assert_array_equal(opened["a"], small()["a"])
        assert opened["a"].encoding["fletcher32"]
