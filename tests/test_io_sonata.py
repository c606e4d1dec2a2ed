"""SONATA files give every spike of a run back, and the window and the runs are taken as they are given."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from spikes_synthetic import DT_MS, START_MS, make_spikes, one_run, record, rows, table

from cortexres import io
from cortexres.errors import ArgumentError, SchemaError


def read_sonata(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return times from stimulus onset and nodes of each population, by the letter of the SONATA guide."""
    found = {}
    with h5py.File(path) as file:
        assert file.attrs["magic"] == 0x0A7A
        np.testing.assert_array_equal(file.attrs["version"], [0, 1])
        for name, group in file["spikes"].items():
            sorting = h5py.check_enum_dtype(group.attrs.get_id("sorting").dtype)
            assert sorting == {"none": 0, "by_id": 1, "by_time": 2}
            assert group.attrs["sorting"] == sorting["by_time"]
            times, nodes = group["timestamps"], group["node_ids"]
            assert (times.dtype, nodes.dtype, times.attrs["units"]) == (np.float64, np.uint64, "ms")
            assert (np.diff(times[()]) >= 0).all()
            assert times[()].min(initial=0.0) >= 0  # libsonata refuses files with negative times
            found[name] = (times[()] - file.attrs["stimulus_onset_ms"], nodes[()])
    return found


def test_sonata_gives_the_same_spikes_back(tmp_path: Path) -> None:
    spikes = make_spikes()
    path = io.save_sonata(spikes, tmp_path / "new" / "spikes.h5", runs=[(3, 0)])
    found = read_sonata(path)
    assert list(found) == ["E", "I", "S"]
    assert found["S"][0].size == found["S"][1].size == 0
    first = {"E": 0, "I": 8, "S": 11}
    cell = np.concatenate([nodes.astype(int) + first[name] for name, (_, nodes) in found.items()])
    time = np.concatenate([times for times, _ in found.values()])
    expected = one_run(spikes, 3, 0)
    assert rows(cell, time) == rows(expected["cell"], expected["time"])
    with h5py.File(path) as file:
        assert (file.attrs["stimulus"], file.attrs["trial"]) == (3, 0)
        assert file.attrs["t_stop_ms"] == pytest.approx(20.3)
        assert file.attrs["cortexres_provenance"] == spikes.attrs["cortexres_provenance"]


def test_sonata_times_stand_on_the_clock_of_the_simulation(tmp_path: Path) -> None:
    """Step k is 0.1 k ms to the last digit, so that a reader who asks from 5.1 ms on gets the spike at 5.1 ms."""
    with h5py.File(io.save_sonata(make_spikes(), tmp_path / "s.h5", runs=[(7, 1)])) as file:
        times = file["spikes/E/timestamps"][()]
    np.testing.assert_array_equal(times, np.round(np.round(times / DT_MS) * DT_MS, 9))


def test_sonata_holds_one_run(tmp_path: Path) -> None:
    spikes = make_spikes()
    with pytest.raises(ArgumentError, match=r"there are 4 runs.*one file per run, with runs=\[\(3, 0\)\]"):
        io.save_sonata(spikes, tmp_path / "s.h5")
    with pytest.raises(ArgumentError, match="there are 2 runs"):
        io.save_sonata(spikes, tmp_path / "s.h5", runs=[(3, 0), (7, 1)])
    assert not list(tmp_path.iterdir())
    chosen = io.save_sonata(spikes, tmp_path / "chosen.h5", runs=np.array([[7, 1]]))  # type: ignore[arg-type]
    alone = io.save_sonata(one_run(spikes, 7, 1), tmp_path / "alone.h5")
    assert [t.tolist() for t, _ in read_sonata(alone).values()] == [t.tolist() for t, _ in read_sonata(chosen).values()]


def test_sonata_keeps_a_provenance_above_64_kb(tmp_path: Path) -> None:
    spikes = make_spikes()
    spikes.attrs["cortexres_provenance"] = record(more="x" * 100_000)
    with h5py.File(io.save_sonata(spikes, tmp_path / "s.h5", runs=[(3, 0)])) as file:
        assert len(file.attrs["cortexres_provenance"]) > 100_000


def test_sonata_of_a_recording(tmp_path: Path) -> None:
    spikes = one_run(make_spikes(with_provenance=False), 3, 0)
    path = io.save_sonata(spikes, tmp_path / "s.h5", t_start_ms=-1.0, t_stop_ms=25.0)
    assert list(read_sonata(path)) == ["default"]
    np.testing.assert_array_equal(np.sort(read_sonata(path)["default"][1]), np.sort(spikes["cell"]))
    with pytest.raises(ArgumentError, match="population 'L4/E' cannot be a name"):
        io.save_sonata(
            spikes, tmp_path / "other.h5", t_start_ms=-1.0, t_stop_ms=25.0, cells=table(population=["L4/E"] * 13)
        )
    assert [p.name for p in tmp_path.iterdir()] == ["s.h5"]


def test_libsonata_reads_it(tmp_path: Path) -> None:
    libsonata = pytest.importorskip("libsonata")
    spikes = make_spikes()
    reader = libsonata.SpikeReader(str(io.save_sonata(spikes, tmp_path / "s.h5", runs=[(3, 0)])))
    assert sorted(reader.get_population_names()) == ["E", "I", "S"]
    assert (reader["E"].sorting, reader["E"].time_units, reader["S"].get()) == ("by_time", "ms", [])
    expected = one_run(spikes, 3, 0)
    expected = expected.isel(spike=np.flatnonzero(expected["cell"] < 8))
    nodes, times = zip(*reader["E"].get(), strict=True)
    assert rows(nodes, times) == rows(expected["cell"], expected["time"] - START_MS)


# --- windows and runs, seen through SONATA, which needs no other package -------------------------------------------


def test_a_window_takes_its_start_and_leaves_its_end(tmp_path: Path) -> None:
    spikes = one_run(make_spikes(), 3, 0)
    grid = np.round(np.asarray(spikes["time"]) / DT_MS).astype(int)
    for low, high in ((0, 50), (50, 100), (-3, 200)):
        path = io.save_sonata(spikes, tmp_path / "s.h5", t_start_ms=low * DT_MS, t_stop_ms=high * DT_MS)
        count = sum(times.size for times, _ in read_sonata(path).values())
        assert count == np.count_nonzero((grid >= low) & (grid < high))


def test_what_is_not_known_must_be_given(tmp_path: Path) -> None:
    spikes = make_spikes(with_provenance=False)
    for given, message in (
        ({"t_stop_ms": 20.0}, "t_start_ms is None and the spikes have no provenance"),
        ({"t_start_ms": 0.0}, "t_stop_ms is None and the spikes have no provenance"),
        ({"t_start_ms": 5.0, "t_stop_ms": 5.0}, "the window is 5.0 to 5.0 ms, expected t_start_ms before"),
        ({"t_start_ms": 0.0, "t_stop_ms": np.inf}, "both finite"),
    ):
        with pytest.raises(ArgumentError, match=message):
            io.save_sonata(spikes, tmp_path / "s.h5", runs=[(3, 0)], **given)
    for runs, message in (
        ([3, 0], r"runs is \[3, 0\], expected pairs of stimulus and trial"),
        ([(3.5, 0)], r"runs is \[\(3.5, 0\)\], expected pairs of stimulus and trial"),
        ([(3, 0), (3, 0)], "runs holds 2 pairs, 1 of them distinct"),
    ):
        with pytest.raises(ArgumentError, match=message):
            io.save_sonata(make_spikes(), tmp_path / "s.h5", runs=runs)
    with pytest.raises(ArgumentError, match="there are no spikes, so the runs cannot be told"):
        io.save_sonata(spikes.isel(spike=slice(0)), tmp_path / "s.h5", t_start_ms=0.0, t_stop_ms=1.0, cells=3)
    with pytest.raises(SchemaError, match="spikes: no time"):
        io.save_sonata(make_spikes().drop_vars("time"), tmp_path / "s.h5")
    assert not list(tmp_path.iterdir())
