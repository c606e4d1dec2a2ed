"""What MNE and pynapple hold comes in with their own numbers: their averages and their counts are the oracle."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortexres import io, schema
from cortexres.errors import ArgumentError

pytestmark = pytest.mark.filterwarnings("ignore")  # the packages warn of their own affairs


def import_quietly(name: str) -> Any:
    with warnings.catch_warnings(action="ignore"):
        return pytest.importorskip(name)


def epochs(mne: Any, *, baseline: tuple[float | None, float] | None = None, counts: tuple[int, int] = (3, 3)) -> Any:
    """Return epochs of 5 channels of three kinds at 200 Hz, -0.1 to 0.3 s, faces and cars in turn."""
    rng = np.random.default_rng(0)
    info = mne.create_info(["M1", "M2", "G1", "E1", "E2"], 200.0, ["mag", "mag", "grad", "eeg", "eeg"])
    codes = [7] * counts[0] + [2] * counts[1]
    events = np.array([[100 * k + 50, 0, code] for k, code in enumerate(codes)])
    raw = mne.io.RawArray(rng.normal(size=(5, 100 * len(codes) + 100)), info, verbose=False)
    tables = import_quietly("pandas")
    metadata = tables.DataFrame({"image": [f"im{k % 3}" for k in range(len(codes))]})
    return mne.Epochs(
        raw, events, {"face": 7, "car": 2}, -0.1, 0.3, baseline=baseline, metadata=metadata, preload=True, verbose=False
    )


def test_epochs_are_what_mne_says() -> None:
    mne = import_quietly("mne")
    made = epochs(mne)
    brain = io.from_mne(made, picks="eeg")
    assert brain["stimulus"].values.tolist() == [2, 7]
    assert brain["label"].values.tolist() == ["car", "face"]
    assert (brain["response"].attrs["units"], brain["response"].attrs["signal"]) == ("V", "EEG")
    assert (brain["name"].values.tolist(), set(brain["population"].values)) == (["E1", "E2"], {"eeg"})
    np.testing.assert_allclose(brain["time"], made.times * 1e3)
    assert brain["time"].attrs["bin_ms"] == 5.0
    for code, name in ((2, "car"), (7, "face")):
        evoked = made[name].average(picks="eeg").data
        np.testing.assert_allclose(brain["response"].sel(stimulus=code).mean("trial").T, evoked)
    assert schema.check_brain(brain) is brain


def test_bins_of_epochs_do_not_mix_before_and_after() -> None:
    mne = import_quietly("mne")
    made = epochs(mne)
    brain = io.from_mne(made, picks="mag", bin_ms=30.0)
    fine = io.from_mne(made, picks="mag")
    assert brain["time"].values.tolist() == pytest.approx([-77.5 + 30 * k for k in range(13)])
    expected = fine["response"].sel(time=slice(-0.1, 29.9)).mean("time")  # 0, 5, ... 25 ms
    np.testing.assert_allclose(brain["response"].sel(time=12.5), expected)
    with pytest.raises(ArgumentError, match=r"bin_ms is 12 and samples are 5 ms apart, expected a .*; give 10"):
        io.from_mne(made, picks="mag", bin_ms=12.0)
    with pytest.raises(ArgumentError, match="hold no whole bin"):
        io.from_mne(made, picks="mag", bin_ms=500.0)


def test_channels_of_several_units_are_refused() -> None:
    mne = import_quietly("mne")
    made = epochs(mne)
    with pytest.raises(ArgumentError, match=r"kinds eeg, grad, mag, expected some of .*all in the same units"):
        io.from_mne(made)
    misc = made.copy().set_channel_types({"E1": "misc"}, verbose=False)
    with pytest.raises(ArgumentError, match="kinds eeg, misc, expected some of"):
        io.from_mne(misc, picks=["E1", "E2"])


def test_metadata_baseline_and_unequal_trials_of_epochs() -> None:
    mne = import_quietly("mne")
    brain = io.from_mne(epochs(mne, baseline=(-0.1, 0.0)), picks="grad", stimulus="image", stimuli={"im2": 0, "im0": 5})
    assert (brain["label"].values.tolist(), brain["stimulus"].values.tolist()) == (["im2", "im0"], [0, 5])
    assert brain["response"].attrs["relative_to"] == "mean from -100 ms to 0 ms"
    with pytest.raises(ArgumentError, match="metadata image, expected 'object'"):
        io.from_mne(epochs(mne), picks="grad", stimulus="object")
    unequal = epochs(mne, counts=(5, 2))
    with pytest.raises(ArgumentError, match="shown 2 to 5 times, expected equally often"):
        io.from_mne(unequal, picks="grad")
    assert io.from_mne(unequal, picks="grad", rng=0).sizes["trial"] == 2
    whole = io.from_mne(epochs(mne, baseline=(None, 0)), picks="grad")
    assert whole["response"].attrs["relative_to"] == "mean from -100 ms to 0 ms"


def test_epochs_of_a_file(tmp_path: Path) -> None:
    mne = import_quietly("mne")
    made = epochs(mne)
    made.save(tmp_path / "s-epo.fif", verbose=False)
    read = mne.read_epochs(tmp_path / "s-epo.fif", preload=False, verbose=False)
    ours, theirs = io.from_mne(made, picks="eeg"), io.from_mne(read, picks="eeg")
    np.testing.assert_allclose(ours["response"], theirs["response"], rtol=1e-6)


def test_spikes_are_counted_as_pynapple_counts() -> None:
    nap = import_quietly("pynapple")
    rng = np.random.default_rng(1)
    support = nap.IntervalSet(0, 60)
    trains = {k: nap.Ts(np.sort(rng.uniform(0, 60, 900))) for k in (4, 9)}
    group = nap.TsGroup(trains, time_support=support, metadata={"area": ["V1", "LM"], "response": [1, 2]})
    starts = np.arange(1.0, 59.0, 1.5)[:38]
    shown = ["grey", "grating"] * 19
    intervals = nap.IntervalSet(starts, starts + 0.2, metadata={"image": shown})
    brain = io.from_pynapple(group, intervals, bin_ms=20.0, stimulus="image")
    assert brain["response"].shape == (2, 19, 10, 2)
    assert (brain["label"].values.tolist(), brain["area"].values.tolist()) == (["grating", "grey"], ["V1", "LM"])
    assert brain["name"].values.tolist() == ["4", "9"]
    counts = np.stack([group.count(0.02, ep=intervals[k]).values for k in range(38)]) / 0.02
    np.testing.assert_allclose(brain["response"].sel(stimulus=1), counts[::2])
    np.testing.assert_allclose(brain["response"].sel(stimulus=0), counts[1::2])
    onsets = nap.Tsd(t=starts, d=np.tile([3, 8], 19))
    again = io.from_pynapple(group, onsets, bin_ms=20.0, window_ms=(0, 200))
    assert again["stimulus"].values.tolist() == [3, 8]
    np.testing.assert_array_equal(again["response"][0], brain["response"].sel(stimulus=1))
    for trials, column in ((intervals, None), (onsets, "image"), (nap.Ts(t=starts), None)):
        with pytest.raises(ArgumentError, match=f"stimulus={column!r} with trials in a {type(trials).__name__}, expec"):
            io.from_pynapple(group, trials, bin_ms=20.0, stimulus=column)
    with pytest.raises(ArgumentError, match="metadata image, expected 'object'"):
        io.from_pynapple(group, intervals, bin_ms=20.0, stimulus="object")
    with pytest.raises(ArgumentError, match="have no duration, so the window cannot be told"):
        io.from_pynapple(group, onsets, bin_ms=20.0)
    with pytest.raises(ArgumentError, match=r"signal='dF/F' and units=None with a TsGroup, expected both for samples"):
        io.from_pynapple(group, onsets, bin_ms=20.0, signal="dF/F")


def test_samples_of_pynapple_are_averaged() -> None:
    nap = import_quietly("pynapple")
    times = np.arange(0, 20, 0.01)
    values = np.stack([times, -times], axis=1)
    frame = nap.TsdFrame(t=times, d=values, columns=["a", "b"], metadata={"area": ["V1", "V2"]})
    onsets = nap.Tsd(t=np.array([5.0, 10.0, 19.95]), d=np.array([1, 2, 2]))
    how: dict[str, Any] = {"bin_ms": 20.0, "window_ms": (-20.0, 60.0), "signal": "dF/F", "units": "1"}
    with pytest.warns(UserWarning, match="1 of 3 trials are left out, the first of them trial 2"):
        brain = io.from_pynapple(frame, onsets, **how)
    np.testing.assert_allclose(brain["response"][0, 0, :, 0], [4.985, 5.005, 5.025, 5.045])
    np.testing.assert_allclose(brain["response"][1, 0, :, 1], [-9.985, -10.005, -10.025, -10.045])
    assert (brain["name"].values.tolist(), brain["area"].values.tolist()) == (["a", "b"], ["V1", "V2"])
    assert brain["response"].attrs["signal"] == "dF/F"
    single = io.from_pynapple(nap.Tsd(t=times, d=times), onsets[:2], **how)
    np.testing.assert_allclose(single["response"][..., 0], brain["response"][..., 0])
    tensor = io.from_pynapple(nap.TsdTensor(t=times, d=values[:, None]), onsets[:2], **how)
    np.testing.assert_allclose(tensor["response"], brain["response"])
    with pytest.raises(ArgumentError, match=r"signal=None and units='V' with a TsdFrame, expected both for samples"):
        io.from_pynapple(frame, onsets, bin_ms=20.0, units="V")
