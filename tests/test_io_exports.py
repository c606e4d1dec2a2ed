"""Spikes leave as Neo and NWB with every time, cell and run in its place; a file is written whole or not at all."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikes_synthetic import DT_MS, RUNS, START_MS, STOP_MS, UNIT, make_spikes, one_run, record, times_of

from cortexres import io
from cortexres.errors import ArgumentError, CortexresError, DataFileError

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
