"""Drives as stimuli, and what any stimuli make the channels of a circuit receive."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from cortexres import io, schema, stimuli
from cortexres.circuits.drives import drive_frames, drive_unit
from cortexres.definitions import Circuit, Drive, load_circuit
from cortexres.errors import ArgumentError, SchemaError
from cortexres.front_ends import drive as front_end_drive


@pytest.fixture(scope="module")
def circuit() -> Circuit:
    """Return `ei_assemblies`, which takes 8 channels in mV, or images."""
    return load_circuit("ei_assemblies")


# Making drives


def test_a_drive_keeps_the_schema_and_survives_a_file(tmp_path: Path) -> None:
    values = np.arange(24.0).reshape(2, 3, 4)
    made = stimuli.drives(values, frame_ms=20.0, units="Hz", labels=["a", "b"])
    assert schema.check_stimuli(made) is made
    np.testing.assert_array_equal(made["drive"], values)
    assert made["drive"].attrs == {"units": "Hz", "frame_ms": 20.0}
    assert made["label"].values.tolist() == ["a", "b"]
    io.save(made, tmp_path / "drives.nc")
    read = schema.check_stimuli(io.load(tmp_path / "drives.nc"))
    np.testing.assert_array_equal(read["drive"], values)
    assert read["drive"].attrs["frame_ms"] == 20.0


def test_steps_hold_their_amplitude() -> None:
    made = stimuli.steps([2.0, 0.5], units="Hz")
    np.testing.assert_array_equal(made["drive"], [[[2.0]], [[0.5]]])
    assert made["label"].values.tolist() == ["2 Hz", "0.5 Hz"]
    wide = stimuli.steps([[1.0, 2.0, 3.0]])
    assert wide["drive"].shape == (1, 1, 3)
    assert wide["label"].values.tolist() == ["drive 0"]


@pytest.mark.parametrize(("start", "duration"), [(0.0, 250.0), (30.0, 40.0), (2.5, 1.0), (0.1, 0.3)])
def test_pulses_are_on_between_start_and_end(start: float, duration: float) -> None:
    made = stimuli.pulses([3.0, -1.0], start_ms=start, duration_ms=duration)
    frame = made["drive"].attrs["frame_ms"]
    fine = np.arange(0.05, start + duration + 50.0, 0.1)  # the middle of every step
    index = np.minimum((fine // frame).astype(int), made.sizes["frame"] - 1)
    on = (fine > start) & (fine < start + duration)
    np.testing.assert_array_equal(made["drive"].values[:, index, 0], np.array([[3.0], [-1.0]]) * on)


def test_ramps_follow_their_line() -> None:
    made = stimuli.ramps([[4.0, 8.0]], duration_ms=20.0, frame_ms=5.0)
    np.testing.assert_allclose(made["drive"][0, :, 0], [0.5, 1.5, 2.5, 3.5, 4.0])
    # The area under the frames is that under the line.
    assert made["drive"][0, :4, 1].sum() * 5.0 == pytest.approx(8.0 * 20.0 / 2)


def test_what_is_no_drive() -> None:
    with pytest.raises(ArgumentError, match=r"values have shape \(2, 3\), expected \(stimulus, frame, channel\)"):
        stimuli.drives(np.zeros((2, 3)), frame_ms=1.0)
    with pytest.raises(ArgumentError, match="values hold NaN or infinity, expected finite numbers"):
        stimuli.drives(np.full((1, 1, 1), np.nan), frame_ms=1.0)
    with pytest.raises(ArgumentError, match="frame_ms is 0, expected a duration above 0 ms"):
        stimuli.drives(np.zeros((1, 1, 1)), frame_ms=0.0)
    with pytest.raises(ArgumentError, match="units are 'V', expected one of mV, pA, nA, Hz, 1"):
        stimuli.steps([1.0], units="V")
    with pytest.raises(ArgumentError, match="got 3 labels, expected 2, one per stimulus"):
        stimuli.steps([1.0, 2.0], labels=["a", "b", "c"])
    with pytest.raises(ArgumentError, match=r"amplitudes have shape \(1, 1, 1\), expected \(stimulus,\) or"):
        stimuli.steps(np.zeros((1, 1, 1)))
    for start, duration in ((0.0, 0.0), (-1.0, 5.0), (np.nan, 5.0)):
        with pytest.raises(ArgumentError, match="expected a start of 0 or more and a duration of a microsecond"):
            stimuli.pulses([1.0], start_ms=start, duration_ms=duration)
    with pytest.raises(ArgumentError, match="the drive has 100000001 frames, expected at most 1000000; use"):
        stimuli.pulses([1.0], start_ms=100_000.0, duration_ms=0.001)
    for frame in (3.0, 0.0, 40.0):
        with pytest.raises(ArgumentError, match="duration_ms is 20, expected a multiple of frame_ms"):
            stimuli.ramps([1.0], duration_ms=20.0, frame_ms=frame)


def test_drives_that_break_the_schema() -> None:
    good = stimuli.steps([1.0, 2.0])
    turned = good.transpose("frame", "stimulus", "channel")
    with pytest.raises(SchemaError, match=r"drive has dims .* expected .stimulus, frame, channel."):
        schema.check_stimuli(turned)
    for key, value, message in (
        ("units", "kg", 'drive has units .kg., expected "mV" or'),
        ("frame_ms", 0.0, r"drive\.attrs\['frame_ms'\] is 0\.0, expected the duration of a frame in ms"),
        ("frame_ms", None, "is None, expected the duration of a frame"),
    ):
        bad = good.copy(deep=True)
        bad["drive"].attrs[key] = value
        with pytest.raises(SchemaError, match=message):
            schema.check_stimuli(bad)


# What circuits receive


def test_images_pass_through_the_front_end(circuit: Circuit) -> None:
    images = stimuli.patterns(3, rng=0)
    found = drive_frames(circuit, images)
    assert circuit.drive is not None
    assert circuit.drive.front_end is not None
    np.testing.assert_array_equal(found.values[:, 0], front_end_drive(images, circuit.drive.front_end))
    assert found.values.shape == (3, 1, 8)
    np.testing.assert_array_equal(found.ids, [0, 1, 2])
    np.testing.assert_array_equal(found.labels, images["label"])


def test_a_movie_is_one_drive_per_frame(circuit: Circuit) -> None:
    images = stimuli.patterns(4, rng=0)["image"].values.reshape(2, 2, 16, 16).transpose(0, 2, 3, 1)
    movie = xr.Dataset({"image": (("stimulus", "y", "x", "frame"), images, {"frame_ms": 20.0})}, {"stimulus": [7, 3]})
    found = drive_frames(circuit, movie)
    still = drive_frames(circuit, stimuli.patterns(4, rng=0))
    np.testing.assert_allclose(found.values.reshape(4, 8), still.values[:, 0])
    assert found.frame_ms == 20.0
    assert found.ids.tolist() == [7, 3]
    assert found.labels.tolist() == ["7", "3"]


def test_drives_are_taken_as_they_are(circuit: Circuit) -> None:
    values = np.random.default_rng(0).normal(size=(2, 5, 8))
    found = drive_frames(circuit, stimuli.drives(values, frame_ms=0.5))
    np.testing.assert_array_equal(found.values, values)
    assert found.frame_ms == 0.5


def test_no_stimuli_are_one_blank(circuit: Circuit) -> None:
    for c, channels in ((circuit, 8), (replace(circuit, drive=None), 0)):
        found = drive_frames(c, None)
        assert found.ids.tolist() == [0]
        assert found.labels.tolist() == ["blank"]
        np.testing.assert_array_equal(found.values, np.zeros((1, 1, channels)))


@pytest.mark.parametrize(
    ("name", "unit"),
    [("ei_assemblies", "mV"), ("hennequin_2018", "mV"), ("murphy_miller_2009", "Hz"), ("wong_wang_2006", "Hz")],
)
def test_the_unit_of_a_drive_is_that_of_the_model(name: str, unit: str) -> None:
    assert drive_unit(load_circuit(name)) == unit
    assert drive_unit(replace(load_circuit(name), drive=None)) == "1"


def test_what_a_circuit_cannot_take(circuit: Circuit) -> None:
    images, undriven = stimuli.patterns(1, rng=0), replace(circuit, drive=None)
    with pytest.raises(ArgumentError, match="circuit ei_assemblies has no drive, so it takes no stimuli; give None"):
        drive_frames(undriven, images)
    with pytest.raises(ArgumentError, match="the drive has 3 channels, expected 8, one per assembly of E in"):
        drive_frames(circuit, stimuli.steps([[1.0, 2.0, 3.0]]))
    with pytest.raises(ArgumentError, match="the drive is in Hz, and circuit ei_assemblies takes mV; convert it"):
        drive_frames(circuit, stimuli.steps(np.ones((1, 8)), units="Hz"))
    with pytest.raises(ArgumentError, match=r"frame_ms is 0\.25, expected a multiple of dt = 0\.1 ms of circuit"):
        drive_frames(circuit, stimuli.drives(np.ones((1, 2, 8)), frame_ms=0.25))
    with pytest.raises(ArgumentError, match=r"has no front end, so it takes no images; make drives in Hz with stimuli"):
        drive_frames(load_circuit("murphy_miller_2009"), images)
    assert circuit.drive is not None
    assert circuit.drive.front_end is not None
    in_hz = replace(circuit.drive.front_end, gain_mV=0.0, gain_Hz=9.0)
    silent = replace(circuit, drive=Drive(targets=("E",), front_end=in_hz))
    with pytest.raises(ArgumentError, match="ei_assemblies is in mV, and its front end has no gain_mV; set it"):
        drive_frames(silent, images)
    with pytest.raises(SchemaError, match=r"stimuli: got list, expected an xarray\.Dataset"):
        drive_frames(circuit, [1.0])  # type: ignore[arg-type]


def test_spikes_cannot_be_taken_from_a_background() -> None:
    wang = load_circuit("wang_2002")  # adds its drive to the background
    frames = drive_frames(wang, stimuli.steps([[0.0, 40.0]], units="Hz"))
    np.testing.assert_array_equal(frames.values, [[[0.0, 40.0]]])
    with pytest.raises(ArgumentError, match="the drive goes down to -40 Hz, expected 0 or more"):
        drive_frames(wang, stimuli.steps([[40.0, -40.0]], units="Hz"))
