"""Spikes leave as Neo, SONATA and NWB with every time, cell and run in its place, silent ones among them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

from cortexres import circuits, io
from cortexres.definitions import Circuit, unit_coordinates
from cortexres.errors import ArgumentError, CortexresError, DataFileError, SchemaError
from cortexres.provenance import provenance

POPULATIONS = [
    {"name": "E", "size": 4, "assemblies": 2, "cell_type": "pyramidal", "area": "V1", "layer": "2/3"},
    {"name": "I", "size": 3, "assemblies": 1, "cell_type": "PV", "area": "V1", "layer": "4"},
    {"name": "S", "size": 2, "assemblies": 1, "cell_type": "SST", "area": "V1", "layer": "4"},
]
RUNS = [(3, 0), (3, 1), (7, 0), (7, 1)]
START_MS, STOP_MS, DT_MS = -0.3, 20.0, 0.1
UNIT = np.repeat([0, 1, 2, 3], [4, 4, 3, 2])


def make_spikes(seed: int = 0, *, with_provenance: bool = True) -> xr.Dataset:
    """Return spikes on a clock of 0.1 ms; cell 2 and the population S are silent, cell 0 fires at both edges."""
    rng = np.random.default_rng(seed)
    n = 300
    cell = rng.choice([0, 1, 3, 4, 5, 6, 7, 8, 9, 10], n)
    step = rng.integers(0, 203, n)
    cell[:2], step[:2] = 0, [0, 202]
    run = rng.integers(0, 4, n)
    run[:2] = 0
    cell, step, run = np.unique(np.stack([cell, step, run]), axis=1)
    order = rng.permutation(cell.size)
    cell, step, run = cell[order], step[order], run[order]
    dataset = xr.Dataset(
        {
            "time": ("spike", (step - 3) * DT_MS, {"units": "ms"}),
            "cell": ("spike", cell),
            "unit": ("spike", UNIT[cell]),
            "trial": ("spike", np.array(RUNS)[run, 1]),
            "stimulus": ("spike", np.array(RUNS)[run, 0]),
        },
        attrs={"model": "synthetic"},
    )
    if with_provenance:
        dataset.attrs["cortexres_provenance"] = record()
    return dataset


def record(**changes: object) -> str:
    facts: dict[str, object] = {
        "circuit": {"populations": POPULATIONS},
        "settle_ms": 0.3,
        "duration_ms": 20.0,
        "trials": 2,
        "stimuli": {"ids": [3, 7]},
    }
    return provenance(**{**facts, **changes})


def one_run(spikes: xr.Dataset, stimulus: int, trial: int) -> xr.Dataset:
    return spikes.isel(spike=np.flatnonzero((spikes["stimulus"] == stimulus) & (spikes["trial"] == trial)))


def times_of(spikes: xr.Dataset, cell: int) -> np.ndarray:
    return np.sort(spikes["time"].values[spikes["cell"].values == cell])


def rows(cell: Any, time: Any) -> list[tuple[int, float]]:
    """Return spikes as sorted rows that can be compared."""
    return sorted(zip(np.asarray(cell).tolist(), np.round(np.asarray(time), 6).tolist(), strict=True))


# --- cells ---------------------------------------------------------------------------------------------------------


def test_cells_of_a_simulation_are_numbered_as_it_numbers_them(tiny_circuit: Circuit) -> None:
    images = np.random.default_rng(0).uniform(size=(1, 8, 8))
    stimuli = xr.Dataset(
        {"image": (("stimulus", "y", "x"), images)},
        {"stimulus": [5], "y": range(8), "x": range(8), "label": ("stimulus", [0])},
    )
    spikes = circuits.spikes(
        tiny_circuit, stimuli, trials=1, duration_ms=30, settle_ms=10, rng=0, target="numpy", progress=False
    )
    assert spikes.sizes["spike"] > 20
    table = io.cell_table(spikes)  # refuses where the unit of any spike is another
    units = unit_coordinates(tiny_circuit)
    for name in ("population", "cell_type", "area", "layer"):
        np.testing.assert_array_equal(table[name], units[name][table["unit"].values])
    sizes = {p.name: p.size for p in tiny_circuit.populations}
    expected = [sizes[str(population)] for population in units["population"]]
    np.testing.assert_array_equal(np.bincount(table["unit"]), expected)


def test_cells_of_the_circuit_with_the_silent_ones(tmp_path: Path) -> None:
    table = io.cell_table(make_spikes())
    np.testing.assert_array_equal(table["cell"], np.arange(13))
    np.testing.assert_array_equal(table["unit"], UNIT)
    np.testing.assert_array_equal(table["node"], [*range(8), *range(3), *range(2)])
    np.testing.assert_array_equal(table["layer"], ["2/3"] * 8 + ["4"] * 5)
    assert io.cell_table(make_spikes(), table).identical(table)
    assert io.cell_table(io.load(io.save(make_spikes(), tmp_path / "spikes.nc"), kind="spikes")).identical(table)


def test_cells_without_a_circuit() -> None:
    spikes = make_spikes(with_provenance=False)
    found = io.cell_table(spikes)
    np.testing.assert_array_equal(found["cell"], np.unique(spikes["cell"]))
    np.testing.assert_array_equal(found["unit"], UNIT[found["cell"].values])
    np.testing.assert_array_equal(found["node"], found["cell"])
    np.testing.assert_array_equal(io.cell_table(spikes.assign(cell=spikes["cell"] - 1))["node"], np.arange(10))
    counted = io.cell_table(spikes, 15)
    np.testing.assert_array_equal(counted["unit"], [0, 0, -1, 0, 1, 1, 1, 1, 2, 2, 2, -1, -1, -1, -1])
    ids, population = [10, 9, 8, 7, 6, 5, 4, 3, 1, 0], ["b", "a"] * 5
    given = io.cell_table(spikes, xr.Dataset({"population": ("cell", population)}, {"cell": ids}))
    np.testing.assert_array_equal(given["node"], [0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    np.testing.assert_array_equal(given["unit"], UNIT[ids])


@pytest.mark.parametrize(
    "circuit",
    [
        "text",
        {"populations": []},
        {"populations": [{"name": "E", "size": "many"}]},
        {"populations": ["E"]},
        {"populations": [{"name": 3, "size": 3}]},
    ],
)
def test_a_strangers_circuit_that_is_none_is_not_followed(circuit: object) -> None:
    spikes = make_spikes()
    spikes.attrs["cortexres_provenance"] = record(circuit=circuit)
    assert io.cell_table(spikes).sizes["cell"] == 10


def table(**columns: object) -> xr.Dataset:
    return xr.Dataset({name: ("cell", values) for name, values in columns.items()}, {"cell": np.arange(13)})


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (0, "cells is 0, expected a number of cells from 1"),
        (True, "cells is a bool, expected a Dataset with the coordinate cell"),
        (xr.Dataset(), "cells is a Dataset, expected a Dataset with the coordinate cell"),
        (table(unit=np.zeros(13)), "cells: unit has dtype float64, expected integers"),
        (table().assign(layer=("other", ["4"])), r"cells: layer has dims \('other',\)"),
        (xr.Dataset(coords={"cell": [1, 1]}), "some ids occur more than once"),
        (table(node=np.zeros(13, dtype=int)), "node is negative or occurs twice"),
        (table(node=np.arange(13) - 1), "node is negative or occurs twice"),
    ],
)
def test_cells_that_are_none(cells: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        io.cell_table(make_spikes(), cells)


def test_spikes_that_do_not_fit_the_cells() -> None:
    spikes = make_spikes()
    with pytest.raises(SchemaError, match="no cell, expected the cell of every spike"):
        io.cell_table(spikes.drop_vars("cell"))
    with pytest.raises(SchemaError, match="cell 9 is none of the 9 cells"):
        io.cell_table(spikes, 9)
    with pytest.raises(SchemaError, match=r"cell \d+ has unit \d, expected \d as elsewhere"):
        io.cell_table(spikes.assign(unit=spikes["unit"] + 1))
    with pytest.raises(ArgumentError, match="there are no cells, because no cell has a spike"):
        io.cell_table(make_spikes(with_provenance=False).isel(spike=slice(0)))
    spikes.attrs["cortexres_provenance"] = record(circuit={"populations": [{"name": "E", "size": 10**15}]})
    with pytest.raises(SchemaError, match="has 1,000,000,000,000,000 cells, expected at most"):
        io.cell_table(spikes)


# --- SONATA --------------------------------------------------------------------------------------------------------


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


# --- whole or not at all -------------------------------------------------------------------------------------------

WRITERS = {"sonata": io.save_sonata, "nwb": io.save_nwb}


@pytest.mark.parametrize("kind", sorted(WRITERS))
def test_a_failed_write_leaves_the_older_file(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "nwb":
        import_pynwb()
    write: Callable[..., Path] = WRITERS[kind]
    path = tmp_path / "spikes"
    path.write_text("older")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DataFileError, match="No space left on device; nothing was changed"):
        write(make_spikes(), path, runs=[(3, 0)])
    assert [p.name for p in tmp_path.iterdir()] == ["spikes"]
    assert path.read_text() == "older"
    with pytest.raises(DataFileError, match="it is a folder"):
        write(make_spikes(), tmp_path, runs=[(3, 0)])


@pytest.mark.parametrize("package", ["neo", "pynwb"])
def test_a_missing_package_is_named(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    call = {"neo": lambda: io.to_neo(make_spikes()), "pynwb": lambda: io.save_nwb(make_spikes(), tmp_path / "s.nwb")}
    with pytest.raises(CortexresError, match=rf"needs the package {package} .*pip install 'cortexres\[interop\]'"):
        call[package]()
    assert not list(tmp_path.iterdir())


# --- Neo and Elephant ----------------------------------------------------------------------------------------------


def test_neo_has_every_run_cell_and_time() -> None:
    pytest.importorskip("neo")
    spikes = make_spikes()
    block = io.to_neo(spikes)
    assert [(s.annotations["stimulus"], s.annotations["trial"]) for s in block.segments] == RUNS
    assert block.annotations == {"model": "synthetic", "cortexres_provenance": spikes.attrs["cortexres_provenance"]}
    for segment, key in zip(block.segments, RUNS, strict=True):
        assert len(segment.spiketrains) == 13
        for cell, train in enumerate(segment.spiketrains):
            assert train.units.dimensionality.string == "ms"
            assert (float(train.t_start), float(train.t_stop)) == (START_MS, STOP_MS)
            np.testing.assert_allclose(train.magnitude, times_of(one_run(spikes, *key), cell), rtol=0, atol=1e-9)
    train = block.segments[2].spiketrains[9]
    expected = {"cell": 9, "unit": 2, "population": "I", "cell_type": "PV", "area": "V1", "layer": "4"}
    assert train.annotations == {**expected, "stimulus": 7, "trial": 0}
    assert len(block.segments[0].filter(population="I", objects="SpikeTrain")) == 3


def test_neo_runs_that_are_silent() -> None:
    pytest.importorskip("neo")
    spikes = one_run(make_spikes(), 3, 0)
    with pytest.warns(UserWarning, match=r"3 of the runs that were simulated .*\(3, 1\); give runs"):
        assert len(io.to_neo(spikes).segments) == 1
    block = io.to_neo(spikes, runs=[(7, 0), (3, 0)])
    assert [sum(train.size for train in s.spiketrains) for s in block.segments] == [0, spikes.sizes["spike"]]
    spikes.attrs["cortexres_provenance"] = record(trials=10**9)
    assert len(io.to_neo(spikes).segments) == 1  # no list of runs that nobody can have simulated


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_elephant_measures_what_numpy_does() -> None:
    pytest.importorskip("neo")
    pytest.importorskip("elephant")
    import quantities as pq
    from elephant.conversion import BinnedSpikeTrain
    from elephant.statistics import cv, isi, mean_firing_rate

    spikes = one_run(make_spikes(), 3, 0)
    trains = io.to_neo(spikes, runs=[(3, 0)], t_start_ms=0.0).segments[0].spiketrains
    expected = [times_of(spikes, cell) for cell in range(13)]
    expected = [times[times > -0.05] for times in expected]
    assert expected[2].size == 0
    for train, times in zip(trains, expected, strict=True):
        rate = mean_firing_rate(train).rescale("Hz").magnitude
        np.testing.assert_allclose(rate, times.size / 20e-3)
        if times.size > 2:
            intervals = np.diff(times)
            np.testing.assert_allclose(isi(train).rescale("ms").magnitude, intervals, atol=1e-9)
            np.testing.assert_allclose(cv(isi(train)), intervals.std() / intervals.mean())
    binned = BinnedSpikeTrain(list(trains), bin_size=5 * pq.ms, tolerance=1e-8)
    # Half a step back from the edges, so that rounding decides nothing.
    counts = [np.histogram(times + DT_MS / 2, np.arange(0, 21, 5))[0] for times in expected]
    np.testing.assert_array_equal(binned.to_array(), counts)


# --- NWB -----------------------------------------------------------------------------------------------------------


def import_pynwb() -> Any:
    """Import pynwb, whose dependencies warn of their own affairs, before warnings are errors."""
    import warnings

    with warnings.catch_warnings(action="ignore"):
        return pytest.importorskip("pynwb")


def test_nwb_has_every_cell_and_run(tmp_path: Path) -> None:
    pynwb = import_pynwb()
    spikes = make_spikes()
    path = io.save_nwb(spikes, tmp_path / "new" / "s.nwb")
    with pynwb.NWBHDF5IO(path, "r") as reader:
        file = reader.read()
        units, trials = file.units.to_dataframe(), file.trials.to_dataframe()
        assert file.notes == spikes.attrs["cortexres_provenance"]
    assert list(zip(trials["stimulus"], trials["trial"], strict=True)) == RUNS
    np.testing.assert_allclose(trials["start_time"], np.arange(4) * 20.3e-3)
    np.testing.assert_allclose(trials["stop_time"], np.arange(1, 5) * 20.3e-3)
    np.testing.assert_allclose(trials["stimulus_onset_time"] - trials["start_time"], 0.3e-3)
    assert units["cell"].tolist() == list(range(13))
    assert units["unit"].tolist() == UNIT.tolist()
    assert units["population"].tolist() == ["E"] * 8 + ["I"] * 3 + ["S"] * 2
    assert units["cell_type"].tolist() == ["pyramidal"] * 8 + ["PV"] * 3 + ["SST"] * 2
    assert (set(units["area"]), units["layer"].tolist()) == ({"V1"}, ["2/3"] * 8 + ["4"] * 5)
    for _, run in trials.iterrows():
        expected = one_run(spikes, run["stimulus"], run["trial"])
        for cell, times in enumerate(units["spike_times"]):
            assert (np.diff(times) >= 0).all()
            mine = times[(times >= run["start_time"]) & (times < run["stop_time"])] - run["stimulus_onset_time"]
            np.testing.assert_allclose(mine * 1e3, times_of(expected, cell), rtol=0, atol=1e-9)


def test_nwb_is_valid(tmp_path: Path) -> None:
    pynwb = import_pynwb()
    path = io.save_nwb(make_spikes(), tmp_path / "s.nwb", runs=[(7, 1), (9, 9)])
    with pynwb.NWBHDF5IO(path, "r") as reader:
        assert list(pynwb.validate(io=reader)) == []


def test_nwb_of_a_recording(tmp_path: Path) -> None:
    pynwb = import_pynwb()
    spikes = make_spikes(with_provenance=False)
    window = {"t_start_ms": -1.0, "t_stop_ms": 21.0}
    with pytest.raises(ArgumentError, match="session_start is None and the spikes have no provenance"):
        io.save_nwb(spikes, tmp_path / "s.nwb", **window)
    with pytest.raises(ArgumentError, match="session_start 2020-01-02T00:00:00 has no time zone"):
        io.save_nwb(spikes, tmp_path / "s.nwb", session_start=datetime(2020, 1, 2), **window)
    assert not list(tmp_path.iterdir())
    start = datetime(2020, 1, 2, tzinfo=UTC)
    names = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        data = make_spikes(seed, with_provenance=False)
        path = io.save_nwb(data, tmp_path / f"{name}.nwb", session_start=start, **window)
        with pynwb.NWBHDF5IO(path, "r") as reader:
            file = reader.read()
            names.append(file.identifier)
            assert file.session_start_time == start
            assert file.units["cell"][:].tolist() == np.unique(data["cell"]).tolist()
    assert names[0] == names[1] != names[2]
