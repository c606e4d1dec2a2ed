"""Recordings that are written batch by batch: the same data, in whole files, without the memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import xarray as xr
from record_models import ResNet, ViT, images, randomised
from torch import Tensor, nn

from cortexres import io, schema
from cortexres import nn as crnn
from cortexres.errors import ArgumentError, DataFileError, SchemaError


def test_one_stage_is_a_file_like_any_other(tmp_path: Path) -> None:
    model, path = randomised(ViT()), tmp_path / "new" / "network.nc"
    in_memory = crnn.record(model, images(), batch_size=3)
    opened = crnn.record(model, images(), batch_size=3, path=path)
    assert not opened["response"].variable._in_memory
    loaded = io.load(path, kind="network")
    for found in (opened, loaded):
        assert isinstance(found, xr.Dataset)
        xr.testing.assert_identical(found.drop_attrs(deep=False), in_memory.drop_attrs(deep=False))
        assert found["module"].dtype.kind == "U"
        assert found.attrs.keys() == in_memory.attrs.keys()
    opened.close()
    with h5py.File(path) as file:  # a checksum per chunk, as in every file
        assert file["response"].fletcher32
        assert file["response"].chunks == (3, 1, 40)
    again = io.load(io.save(loaded, tmp_path / "again.nc"), kind="network")
    xr.testing.assert_identical(again, loaded)


def test_stages_are_groups(tmp_path: Path) -> None:
    model = randomised(ResNet(depth=1))
    in_memory = crnn.record(model, images(), batch_size=3)
    opened = crnn.record(model, images(), batch_size=3, path=tmp_path / "network.nc")
    assert isinstance(opened, xr.DataTree)
    assert list(opened.children) == ["stage_0", "stage_1"]
    assert opened.attrs["model"] == "ResNet"
    for name, stage in in_memory.children.items():
        found = schema.check_network(opened[name].to_dataset())
        xr.testing.assert_identical(found.drop_attrs(deep=False), stage.to_dataset().drop_attrs(deep=False))
    loaded = io.load_stages(tmp_path / "network.nc", kind="network")
    xr.testing.assert_identical(loaded, opened.load())
    one = io.load(tmp_path / "network.nc", kind="network", stage="stage_1")
    xr.testing.assert_identical(one, loaded["stage_1"].to_dataset())
    opened.close()


def test_stages_are_asked_for_by_name(tmp_path: Path) -> None:
    path, plain = tmp_path / "network.nc", io.save(xr.Dataset(), tmp_path / "plain.nc")
    crnn.record(randomised(ResNet(depth=1)), images(), path=path).close()
    with pytest.raises(DataFileError, match=r"holds the stages stage_0, stage_1, .* give stage= \(--stage\), such as"):
        io.load(path)
    with pytest.raises(DataFileError, match="has no stage 'stage_2', expected stage_0 or stage_1"):
        io.load(path, stage="stage_2")
    with pytest.raises(DataFileError, match="has no stage 'a', expected None: it holds one Dataset"):
        io.load(plain, stage="a")
    with pytest.raises(DataFileError, match=r"holds one Dataset, .* use io\.load"):
        io.load_stages(plain)
    with pytest.raises(SchemaError, match="got a DataTree, expected a Dataset"):
        io.save(io.load_stages(path), path)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="unknown kind 'net'"):
        io.load_stages(path, kind="net")
    with h5py.File(path, "r+") as file:
        del file["stage_0/stage"]
    with pytest.raises(SchemaError, match="stage"):
        io.load_stages(path, kind="network")


@pytest.mark.parametrize("place", ["/", "stage_0/"])
def test_traps_in_stages_are_refused(place: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "trap.nc", "w") as file:
        file.create_group("stage_0")
        file.create_dataset(f"{place}a", (2**40,), "f8", chunks=(2**20,))
    with pytest.raises(DataFileError, match=r"declares 8,796,093,022,208 bytes"):
        io.load_stages(tmp_path / "trap.nc")
    with h5py.File(tmp_path / "trap.nc", "w") as file:
        file.create_group("stage_0")
        file.create_dataset(f"{place}a", (4,), "f8", chunks=(2,))
    with pytest.raises(DataFileError, match="a was not written whole"):
        io.load_stages(tmp_path / "trap.nc")


def test_an_error_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "network.nc"
    path.write_bytes(b"older")

    def inputs(batch: xr.Dataset) -> Tensor:
        x = crnn.inputs_of(None, batch, dtype=torch.float64)
        return x / (batch["stimulus"].to_numpy().max() < 104)  # infinite in the second batch

    with pytest.raises(ArgumentError, match="NaN or infinite"):
        crnn.record(randomised(ViT()), images(), batch_size=3, inputs=inputs, path=path)
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(DataFileError, match="it is a folder"):
        crnn.record(randomised(ViT()), images(), path=tmp_path)


def test_a_file_that_cannot_be_finished_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(io.Stream, "describe", full)
    with pytest.raises(DataFileError, match=r"cannot write .*network.nc: No space left on device"):
        crnn.record(randomised(ViT()), images(), path=tmp_path / "network.nc")
    assert list(tmp_path.iterdir()) == []


class Wide(nn.Module):
    """One residual block on maps of three channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(torch.relu(x))


def test_memory_is_that_of_a_batch(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        stimuli = images(count, size=16)
        tracemalloc.start()
        try:
            crnn.record(Wide(), stimuli, batch_size=8, path=tmp_path / f"{count}.nc").close()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    state = 3 * 16 * 16 * 4  # bytes of one stimulus
    peak(8)  # what is imported and compiled once
    few, many = peak(16), peak(96)
    assert many - few < 8 * 4 * state
    assert 80 * 3 * state > 5 * (many - few)


def test_chunks_of_large_states_are_bounded(tmp_path: Path) -> None:
    with io.streamed(tmp_path / "large.nc") as stream:
        sizes = {"stimulus": 8, "block": 2, "unit": 2**18}
        values = stream.variable(
            "/", "response", sizes, piece={"stimulus": 8, "block": 1}, dtype=np.dtype("f4"), attrs={"units": "1"}
        )
        assert values.chunks == (8, 1, 2**17)
        for k in range(2):
            values[0:8, k] = np.full((8, 2**18), k, "f4")
        stream.describe("/", xr.Dataset())
    assert io.load(tmp_path / "large.nc")["response"].mean() == 0.5
