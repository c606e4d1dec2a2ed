"""Recordings come in as brain Datasets: what was written comes back, counted by hand; what does not fit is refused."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from spikes_synthetic import RUNS, make_spikes, one_run, times_of

from cortexres import io, schema
from cortexres.errors import ArgumentError, CortexresError, DataFileError, SchemaError
from cortexres.io.event_windows import common_window, covered, event_bins, sample_means, spike_rates, warn_of_uncovered
from cortexres.io.shown_stimuli import shown_stimuli

BIN_MS = 0.7  # 29 bins in the runs of 20.3 ms, whose edges all lie on spikes' clock of 0.1 ms


def by_hand(spikes: xr.Dataset) -> np.ndarray:
    """Return the rates (stimulus, trial, time, cell), counted on the clock of whole steps."""
    rates = np.empty((2, 2, 29, 13))
    for k, (stimulus, trial) in enumerate(RUNS):
        run = one_run(spikes, stimulus, trial)
        for cell in range(13):
            step = np.round((times_of(run, cell) + 0.3) / 0.1).astype(int)
            rates[k // 2, k % 2, :, cell] = np.bincount(step // 7, minlength=29) / 0.7e-3
    return rates


def check_round_trip(brain: xr.Dataset, spikes: xr.Dataset) -> None:
    np.testing.assert_allclose(brain["response"], by_hand(spikes), rtol=1e-12)
    assert brain["response"].sum() * 0.7e-3 == pytest.approx(spikes.sizes["spike"])
    np.testing.assert_allclose(brain["time"], -0.3 + 0.7 * (np.arange(29) + 0.5))
    assert brain["stimulus"].values.tolist() == [3, 7]
    assert "label" not in brain.coords
    assert brain["population"].values.tolist() == ["E"] * 8 + ["I"] * 3 + ["S"] * 2
    assert (set(brain["area"].values), brain["layer"].values.tolist()) == ({"V1"}, ["2/3"] * 8 + ["4"] * 5)
    assert schema.check_brain(brain) is brain


# --- which stimulus, which trial -----------------------------------------------------------------------------------


def test_whole_numbers_are_ids_and_names_are_numbered() -> None:
    shown = shown_stimuli([7, 3, 7, 3])
    assert (shown.ids.tolist(), shown.names, shown.rows.tolist()) == ([3, 7], None, [[1, 3], [0, 2]])
    assert shown_stimuli(["7", 3.0, np.int32(7), b"3"]).rows.tolist() == [[1, 3], [0, 2]]
    named = shown_stimuli(["kiwi", None, "car", float("nan"), "kiwi", "car", ""])
    assert named.names is not None
    assert (named.ids.tolist(), named.names.tolist()) == ([0, 1], ["car", "kiwi"])
    assert named.rows.tolist() == [[2, 5], [0, 4]]
    degrees = shown_stimuli(["100", 22.5, "9.5"])
    assert degrees.names is not None
    assert degrees.names.tolist() == ["9.5", "22.5", "100"]  # by size, not by letters


def test_a_mapping_chooses_stimuli_and_their_ids() -> None:
    shown = shown_stimuli(["a", "b", "c", "a", "c"], stimuli={"c": 4, "a": 9})
    assert shown.names is not None
    assert (shown.ids.tolist(), shown.names.tolist(), shown.rows.tolist()) == ([4, 9], ["c", "a"], [[2, 4], [0, 3]])
    with pytest.raises(ArgumentError, match="stimuli names 'd', expected some of a, b, c"):
        shown_stimuli(["a", "b", "c"], stimuli={"d": 1})
    with pytest.raises(ArgumentError, match=r"ids \[1, 1\], expected another integer for each label"):
        shown_stimuli(["a", "b"], stimuli={"a": 1, "b": 1})
    with pytest.raises(ArgumentError, match="3 trials without a stimulus, expected labels"):
        shown_stimuli([None, "", float("nan")])


def test_unequal_trials_are_drawn_or_refused() -> None:
    labels = ["a"] * 5 + ["b"] * 3
    with pytest.raises(ArgumentError, match="shown 3 to 5 times, expected equally often; give rng to draw 3 trials"):
        shown_stimuli(labels)
    drawn = np.array([shown_stimuli(labels, rng=seed).rows for seed in range(400)])
    assert (drawn[:, 1] == [5, 6, 7]).all()
    assert (np.diff(drawn[:, 0]) > 0).all()
    counts = np.bincount(drawn[:, 0].ravel(), minlength=5)  # each trial with probability 3/5
    assert np.abs(counts - 240).max() < 5 * np.sqrt(400 * 0.6 * 0.4)
    np.testing.assert_array_equal(shown_stimuli(labels, rng=1).rows, drawn[1])


# --- bins around events --------------------------------------------------------------------------------------------


def test_bins_fill_the_window() -> None:
    bins = event_bins((-0.3, 20.0), 0.7)
    assert bins.count == 29
    for window, width in (((0, 10), 3), ((0, 1), 2)):
        with pytest.raises(ArgumentError, match="expected a whole number of bins; end it at"):
            event_bins(window, width)
    for window, width in (((5, 5), 1), ((0, 5), 0), ((0, np.inf), 1)):
        with pytest.raises(ArgumentError, match="expected a start before the stop"):
            event_bins(window, width)


def test_a_spike_on_an_edge_belongs_to_the_bin_behind() -> None:
    onsets = np.array([0.1, 0.2]) * 1e3 * 3  # 300.00000000000006 and 600.0000000000001
    rates = spike_rates([np.array([0.3, 0.301, 0.302, 0.61]) * 1e3], onsets, event_bins((0, 3), 1))
    np.testing.assert_array_equal(rates[:, :, 0], [[1000, 1000, 1000], [0, 0, 0]])


def test_samples_are_averaged() -> None:
    times = np.arange(0, 100, 2.0)
    samples = np.stack([times, -times], axis=1)

    def means(width: float) -> np.ndarray:
        before: Callable[[np.ndarray], np.ndarray] = lambda t: np.searchsorted(times, t)  # noqa: E731
        return sample_means(lambda a, b: samples[a:b], before, np.array([10.0, 51.0]), event_bins((-4, 8), width))

    np.testing.assert_allclose(means(4.0)[0], [[7, -7], [11, -11], [15, -15]])
    np.testing.assert_allclose(means(4.0)[1, :, 0], [49, 53, 57])  # 48 and 50, 52 and 54, 56 and 58
    with pytest.raises(ArgumentError, match="bins of 1 ms hold no sample at some times"):
        means(1.0)


def test_trials_of_one_duration_give_the_window() -> None:
    assert common_window(np.array([-0.3, -0.3]), np.array([20.0, 20.0 + 1e-9])) == (-0.3, 20.0)
    with pytest.raises(ArgumentError, match="expected one duration; give window_ms"):
        common_window(np.zeros(2), np.array([20.0, 21.0]))
    with pytest.raises(ArgumentError, match="events have no duration"):
        common_window(np.zeros(2), np.full(2, np.nan))


def test_events_outside_the_recording_are_left_out_with_a_word() -> None:
    bins = event_bins((-10, 50), 10)
    inside = covered(np.array([5.0, 10.0, 450.0, 451.0]), bins, np.array([[0.0, 100.0], [400.0, 500.0]]))
    assert inside.tolist() == [False, True, True, False]
    with pytest.warns(UserWarning, match="2 of 4 trials are left out, the first of them trial 0"):
        warn_of_uncovered(inside, stacklevel=2)
    with pytest.raises(ArgumentError, match="covers the window of none of 4 trials"):
        warn_of_uncovered(np.zeros(4, dtype=bool), stacklevel=2)


# --- NWB -----------------------------------------------------------------------------------------------------------


def import_pynwb() -> Any:
    """Import pynwb, whose dependencies warn of their own affairs, before warnings are errors."""
    with warnings.catch_warnings(action="ignore"):
        return pytest.importorskip("pynwb")


def test_nwb_comes_back(tmp_path: Path) -> None:
    import_pynwb()
    spikes = make_spikes()
    path = io.save_nwb(spikes, tmp_path / "s.nwb")
    brain = io.read_nwb(path, bin_ms=BIN_MS)
    check_round_trip(brain, spikes)
    assert brain["assembly"].values.tolist() == [0] * 4 + [1] * 4 + [2] * 3 + [3] * 2
    part = io.read_nwb(path, bin_ms=BIN_MS, window_ms=(0.4, 7.4), stimuli={7: 70})
    np.testing.assert_allclose(part["response"], by_hand(spikes)[1:, :, 1:11], rtol=1e-12)
    assert (part["stimulus"].item(), part["label"].item()) == (70, "7")
    io.save(brain, tmp_path / "brain.nc")
    assert io.load(tmp_path / "brain.nc").drop_attrs().identical(brain.drop_attrs())


def empty_session(pynwb: Any) -> Any:
    start = datetime(2020, 1, 2, tzinfo=UTC)
    return pynwb.NWBFile(session_description="d", identifier="id", session_start_time=start)


def session(pynwb: Any) -> Any:
    """Return a file with what DANDI's files have: electrodes, observed intervals, images, fluorescence, a field."""
    file = empty_session(pynwb)
    probe = file.create_device(name="probe")
    group = file.create_electrode_group(name="g", description="d", location="V1", device=probe)
    for place in ("VISp", "VISl", "VISal"):
        file.add_electrode(location=place, group=group)
    file.add_unit_column(name="quality", description="d")
    for electrode, quality in ((2, "good"), (0, "noise")):
        times = np.arange(0.005 * (electrode + 1), 10, 0.1)
        file.add_unit(spike_times=times, electrodes=[electrode], quality=quality, obs_intervals=[[0.0, 9.6]])
    images = pynwb.epoch.TimeIntervals(name="images", description="d")
    images.add_column(name="image", description="d")
    for k in range(10):
        images.add_row(start_time=float(k), stop_time=k + 0.25, image="ab"[k % 2])
    file.add_time_intervals(images)
    field = pynwb.ecephys.ElectricalSeries(
        name="LFP", data=np.tile(np.arange(10_000.0)[:, None], 2), rate=1000.0, starting_time=0.0, conversion=1e-3,
        electrodes=file.create_electrode_table_region(region=[1, 2], description="d"),
    )  # fmt: skip
    file.add_acquisition(field)
    traces = pynwb.TimeSeries(name="roi", data=np.arange(200.0), timestamps=np.arange(200) * 0.05, unit="n.a.")
    file.add_acquisition(pynwb.behavior.BehavioralTimeSeries(name="DfOverF", time_series=traces))
    return file


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_nwb_of_a_session(tmp_path: Path) -> None:
    pynwb = import_pynwb()
    path = tmp_path / "s.nwb"
    with pynwb.NWBHDF5IO(path, "w") as writer:
        writer.write(session(pynwb))
    how: dict[str, Any] = {"table": "images", "stimulus": "image"}
    with pytest.warns(UserWarning, match="1 of 10 trials are left out, the first of them trial 0: the rec") as told:
        brain = io.read_nwb(path, bin_ms=50, window_ms=(-100, 400), rng=0, **how)
    assert told[0].filename == __file__
    assert brain["response"].shape == (2, 4, 10, 2)
    assert brain["label"].values.tolist() == ["a", "b"]
    assert (brain["area"].values.tolist(), brain["quality"].values.tolist()) == (["VISal", "VISp"], ["good", "noise"])
    np.testing.assert_array_equal(brain["response"].values[0, 0], np.tile([[20, 20], [0, 0]], (5, 1)))
    lfp = io.read_nwb(path, bin_ms=50, series="LFP", **how)
    assert lfp["response"].attrs["units"] == "volts"
    assert lfp["response"].attrs["signal"] == "LFP"
    assert lfp["area"].values.tolist() == ["VISl", "VISal"]
    np.testing.assert_allclose(lfp["response"][1, 2, :, 0], 5.0245 + 0.05 * np.arange(5))  # the image of t = 5 s
    roi = io.read_nwb(path, bin_ms=50, series="roi", **how)
    held = io.read_nwb(path, bin_ms=50, series="DfOverF", **how)
    np.testing.assert_array_equal(roi["response"], held["response"])
    assert roi["response"].attrs["units"] == "1"
    np.testing.assert_allclose(roi["response"][0, 1, :, 0], 40 + np.arange(5))
    faults = {
        r"tables images, expected 'trials'": {},
        r"columns start_time, stop_time, image, expected 'stimulus'": {"table": "images"},
        r"series is 'EEG', found 0 so named, expected one of LFP, roi": {"series": "EEG", **how},
        r"whole number of bins": {"window_ms": (0, 70), **how},
        r"shown 4 to 5 times": {"window_ms": (-100, 400), **how},
    }
    for message, arguments in faults.items():
        with warnings.catch_warnings(action="ignore"), pytest.raises(ArgumentError, match=message):
            io.read_nwb(path, bin_ms=50, **arguments)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_nwb_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pynwb = import_pynwb()
    with pytest.raises(DataFileError, match=r"none.nwb: .*; expected an NWB file"):
        io.read_nwb(tmp_path / "none.nwb", bin_ms=1)
    (tmp_path / "text.nwb").write_text("no")
    xr.Dataset({"a": 1}).to_netcdf(tmp_path / "other.nwb")
    for name in ("text.nwb", "other.nwb"):
        with pytest.raises(DataFileError, match="expected an NWB file"):
            io.read_nwb(tmp_path / name, bin_ms=1)
    file = empty_session(pynwb)
    file.add_trial_column(name="stimulus", description="d")
    file.add_trial(start_time=0.0, stop_time=1.0, stimulus=1)
    with pynwb.NWBHDF5IO(tmp_path / "empty.nwb", "w") as writer:
        writer.write(file)
    with pytest.raises(ArgumentError, match="no units with spike times, expected some; name a time series"):
        io.read_nwb(tmp_path / "empty.nwb", bin_ms=1)
    monkeypatch.setitem(sys.modules, "pynwb", None)
    with pytest.raises(CortexresError, match=r"read_nwb needs the package pynwb .*pip install 'cortexres\[interop\]'"):
        io.read_nwb(tmp_path / "s.nwb", bin_ms=1)


# --- Neo -----------------------------------------------------------------------------------------------------------


def test_neo_comes_back() -> None:
    neo = pytest.importorskip("neo")
    spikes = make_spikes()
    block = io.to_neo(spikes)
    check_round_trip(io.from_neo(block, bin_ms=BIN_MS), spikes)
    with pytest.raises(ArgumentError, match=r"annotations stimulus, trial, expected 'image', what was shown"):
        io.from_neo(block, bin_ms=BIN_MS, stimulus="image")
    with pytest.raises(ArgumentError, match="events is 'onsets' and the block has nothing, expected one"):
        io.from_neo(block, bin_ms=BIN_MS, events="onsets")
    block.segments[2].spiketrains.pop()
    with pytest.raises(ArgumentError, match=r"segment 2 has 12 units .* segment 0 has 13 .*expected the same in all"):
        io.from_neo(block, bin_ms=BIN_MS)
    with pytest.raises(ArgumentError, match="the block has no segments, expected one per trial"):
        io.from_neo(neo.Block(), bin_ms=BIN_MS)
    block.segments.insert(0, neo.Segment(stimulus=3))
    with pytest.raises(ArgumentError, match="no spike trains, expected one per unit"):
        io.from_neo(block, bin_ms=BIN_MS)


def continuous() -> Any:
    """Return a block of two segments with events, as a recording system's files have them."""
    import neo
    import quantities as pq

    block = neo.Block()
    for k in range(2):
        segment = neo.Segment()
        segment.spiketrains.append(neo.SpikeTrain(np.array([1.0, 1.02, 2.0]) * pq.s, t_stop=3 + k, name="u"))
        onsets = np.array([1.0, 2.0]) * pq.s
        more = {"array_annotations": {"image": np.array([5, 8])}}
        segment.events.append(neo.Event(onsets, labels=np.array(["b", "a"]), name="shown", **more))
        segment.epochs.append(neo.Epoch(onsets, durations=np.array([60, 60]) * pq.ms, labels=["a", "b"], name="on"))
        wave = np.arange(6000.0).reshape(-1, 2) * pq.uV
        names = {"array_annotations": {"channel_names": np.array(["x", "y"])}}
        segment.analogsignals.append(neo.AnalogSignal(wave, sampling_rate=1 * pq.kHz, name="lfp", **names))
        block.segments.append(segment)
    return block


def test_neo_of_events() -> None:
    neo = pytest.importorskip("neo")
    block = continuous()
    brain = io.from_neo(block, bin_ms=20, events="shown", window_ms=(-20, 40))
    assert brain["label"].values.tolist() == ["a", "b"]
    np.testing.assert_array_equal(brain["response"][..., 0], [[[0, 50, 0]] * 2, [[0, 50, 50]] * 2])
    assert brain["name"].values.tolist() == ["u"]
    epochs = io.from_neo(block, bin_ms=20, events="on")
    np.testing.assert_array_equal(epochs["response"][0, 0, :, 0], [50, 50, 0])
    numbered = io.from_neo(block, bin_ms=20, events="shown", stimulus="image", window_ms=(0, 40))
    assert numbered["stimulus"].values.tolist() == [5, 8]
    lfp = io.from_neo(block, bin_ms=10, events="on", signal="lfp")
    assert (lfp["response"].attrs["units"], lfp["response"].attrs["signal"]) == ("uV", "lfp")
    assert lfp["name"].values.tolist() == ["x", "y"]
    np.testing.assert_allclose(lfp["response"][0, 1, 0], [2009.0, 2010.0])  # samples 1000 to 1009
    with pytest.warns(UserWarning, match="1 of 4 trials are left out, the first of them trial 1") as told:
        late = io.from_neo(block, bin_ms=20, events="shown", window_ms=(0, 1500 - 20), rng=0)
    assert (late.sizes["trial"], told[0].filename) == (1, __file__)
    with pytest.raises(ArgumentError, match="have no duration, so the window cannot be told"):
        io.from_neo(block, bin_ms=20, events="shown")
    with pytest.raises(ArgumentError, match="signal is 'eeg', found 0 so named in a segment with lfp"):
        io.from_neo(block, bin_ms=20, events="on", signal="eeg")
    block.segments[0].epochs[0].name = "shown"
    with pytest.raises(ArgumentError, match="a segment has 2 events or epochs named 'shown', expected one; rename"):
        io.from_neo(block, bin_ms=20, events="shown", window_ms=(0, 40))
    block.segments[0].epochs[0].name = "on"
    times = block.segments[0].events[0].times
    block.segments[0].events[0] = neo.Event(times, name="shown")
    with pytest.raises(ArgumentError, match="'shown' have 0 labels for 2 times, expected one each"):
        io.from_neo(block, bin_ms=20, events="shown", window_ms=(0, 40))


# --- Brain-Score ---------------------------------------------------------------------------------------------------


def brain_dataset(**attrs: str) -> xr.Dataset:
    rng = np.random.default_rng(0)
    response = rng.uniform(0, 9, (3, 4, 5, 6))
    coords = {
        "stimulus": [2, 5, 9],
        "trial": np.arange(4),
        "time": ("time", np.arange(5) * 20.0 + 10, {"units": "ms", "bin_ms": 20.0}),
        "unit": np.arange(6),
        "population": ("unit", ["E"] * 4 + ["I"] * 2),
        "name": ("unit", [f"site {k}" for k in range(6)]),
        "area": ("unit", ["V4"] * 3 + ["IT"] * 3),
        "label": ("stimulus", ["face", "car", "face"]),
    }
    return xr.Dataset({"response": (schema.BRAIN_DIMS, response, {"units": "Hz", **attrs})}, coords)


@pytest.mark.parametrize("indexed", [False, True])
def test_assemblies_come_back(indexed: bool) -> None:
    brain = brain_dataset()
    assembly = io.to_brainscore(brain)
    assert assembly.dims == ("presentation", "neuroid", "time_bin")
    assert assembly["stimulus_id"].values.tolist()[:5] == ["2"] * 4 + ["5"]
    assert assembly["repetition"].values.tolist() == [0, 1, 2, 3] * 3
    assert assembly["region"].values.tolist() == ["V4"] * 3 + ["IT"] * 3
    assert (assembly["time_bin_start"].values[0], assembly["time_bin_end"].values[-1]) == (0, 100)
    assert float(assembly[5, 2, 3]) == float(brain["response"][1, 1, 3, 2])
    if indexed:  # as the class of Brain-Score keeps its coordinates
        levels = {
            dim: [name for name, c in assembly.coords.items() if c.dims == (dim,)] for dim in assembly.dims
        }
        assembly = assembly.set_index(levels)
    back = io.from_brainscore(assembly.transpose("time_bin", "presentation", "neuroid"))
    assert back.drop_attrs().identical(brain.drop_attrs())
    assert back["time"].attrs == {"units": "ms", "bin_ms": 20.0}


def test_assemblies_by_name_and_in_other_units() -> None:
    rng = np.random.default_rng(0)
    names = np.repeat(["im_b", "im_a"], 3)
    assembly = xr.DataArray(
        rng.normal(size=(6, 2, 1)),
        {
            "image_id": ("presentation", names),
            "object_name": ("presentation", names),
            "time_bin_start": ("time_bin", [70]),
            "time_bin_end": ("time_bin", [170]),
        },
        ("presentation", "neuroid", "time_bin"),
    )
    how: dict[str, Any] = {"stimulus": "image_id", "units": "1", "signal": "z-score"}
    brain = io.from_brainscore(assembly, **how)
    assert (brain["time"].item(), brain["time"].attrs["bin_ms"]) == (120.0, 100.0)
    assert brain["label"].values.tolist() == ["im_a", "im_b"]
    np.testing.assert_array_equal(brain["response"][0, :, 0], assembly[3:, :, 0])
    assert io.from_brainscore(io.to_brainscore(brain))["response"].attrs == brain["response"].attrs
    stored = assembly.assign_coords(region=("neuroid", np.array([b"V4", b"IT"])))  # as HDF5 gives text
    assert io.from_brainscore(stored, **how)["area"].values.tolist() == ["V4", "IT"]
    mixed = assembly.assign_coords({"image_id": ("presentation", [1] * 3 + [2] * 3)})
    mixed = mixed.assign_coords({"object_name": ("presentation", list("aabccc"))})
    assert "label" not in io.from_brainscore(mixed, **how).coords
    faults: list[tuple[xr.DataArray, dict[str, Any], str]] = [
        (assembly[..., 0], how, "dims .presentation, neuroid., expected presentation, neuroid and time_bin"),
        (assembly, {**how, "units": None}, "no units, expected them in attrs"),
        (assembly, {**how, "stimulus": "stimulus_id"}, "image_id, object_name of presentation, expected 'stim"),
        (assembly.assign_coords(time_bin_end=("time_bin", [70])), how, "0 to 0 ms wide, expected one width above 0"),
        (assembly.drop_vars("time_bin_end"), how, "time_bin_start of time_bin, expected 'time_bin_end'"),
        (
            assembly.assign_coords(time_bin_start=("time_bin", [0.07], {"units": "s"})),
            how,
            "time_bin_start is in s, expected ms; convert both edges",
        ),
    ]
    for broken, arguments, message in faults:
        with pytest.raises(ArgumentError, match=message):
            io.from_brainscore(broken, **arguments)
    with pytest.raises(SchemaError, match="negative rates"):
        io.from_brainscore(assembly, stimulus="image_id", units="Hz")
    with pytest.raises(SchemaError, match="NaN"):
        io.from_brainscore(assembly * np.nan, **how)
