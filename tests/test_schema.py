"""The schema accepts what keeps it and says, for each way to break it, what was got and what to do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from cortexres import schema
from cortexres.errors import SchemaError

Change = Callable[[xr.Dataset], xr.Dataset]


def stimuli_dataset() -> xr.Dataset:
    image = np.linspace(0, 1, 3 * 4 * 4).reshape(3, 4, 4)
    return xr.Dataset(
        {"image": (("stimulus", "y", "x"), image)},
        {"stimulus": [4, 7, 9], "label": ("stimulus", ["a", "b", "c"])},
    )


def brain_dataset() -> xr.Dataset:
    dims = ("stimulus", "trial", "time", "unit")
    values = np.arange(3 * 2 * 4 * 5, dtype=float).reshape(3, 2, 4, 5)
    return xr.Dataset(
        {
            "response": (dims, values, {"units": "Hz"}),
            "feedforward": (dims, values, {"units": "mV"}),
            "recurrent_inhibitory": (dims, -values, {"units": "mV"}),
        },
        {
            "stimulus": [4, 7, 9],
            "time": ("time", [2.5, 7.5, 12.5, 17.5], {"units": "ms", "bin_ms": 5.0}),
            "population": ("unit", list("EEEII")),
            "label": ("stimulus", ["a", "b", "c"]),
        },
    )


def network_dataset() -> xr.Dataset:
    dims = ("stimulus", "block", "unit")
    state = np.cumsum(np.ones((3, 4, 5)), axis=1)
    return xr.Dataset(
        {
            "response": (dims, state, {"units": "Hz"}),
            "update": (dims, np.diff(state, axis=1, prepend=state[:, :1]), {"units": "Hz"}),
        },
        {
            "stimulus": [4, 7, 9],
            "block": np.arange(4),
            "stage": ("block", np.zeros(4, int)),
            "t_ms": ("block", np.arange(4) * 5.0),
        },
    )


def scores_dataset() -> xr.Dataset:
    return xr.Dataset(
        {
            "cka": (("time", "block"), np.full((2, 3), np.nan)),
            "cka_p": (("time", "block"), np.full((2, 3), 0.5)),
            "cka_ceiling": (("time",), [0.5, 0.6]),
            "cka_null_max": ((), 0.2),
        },
        {"time": [2.5, 7.5], "block": [0, 1, 2]},
    )


def spikes_dataset() -> xr.Dataset:
    return xr.Dataset(
        {
            "time": ("spike", [1.0, 0.5], {"units": "ms"}),
            "cell": ("spike", [3, 4]),
            "unit": ("spike", [0, 1]),
            "trial": ("spike", [0, 0]),
            "stimulus": ("spike", [4, 4]),
        }
    )


MAKERS = {
    "stimuli": stimuli_dataset,
    "brain": brain_dataset,
    "network": network_dataset,
    "scores": scores_dataset,
    "spikes": spikes_dataset,
}


@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_what_keeps_the_schema_comes_back_unchanged(kind: str) -> None:
    dataset = MAKERS[kind]()
    before = dataset.copy(deep=True)
    assert schema.CHECKS[kind](dataset) is dataset
    assert dataset.identical(before)


def test_moving_stimuli_have_their_frames_last() -> None:
    moving = stimuli_dataset().expand_dims(frame=2, axis=-1)
    schema.check_stimuli(moving.drop_vars("label").assign_coords(label=("stimulus", [0, 1, 2])))


def test_rates_may_be_negative_from_a_named_baseline() -> None:
    brain = brain_dataset()
    brain["response"] = -brain["response"]
    brain["response"].attrs = {"units": "Hz", "relative_to": "baseline"}
    assert schema.check_brain(brain) is brain


def signal(**attrs: str) -> Change:
    def change(brain: xr.Dataset) -> xr.Dataset:
        brain["response"] = -brain["response"]
        brain["response"].attrs = attrs
        return brain

    return change


def test_a_named_signal_has_units_of_its_own() -> None:
    for units, name in (("V", "EEG"), ("1", "z-score"), ("T", "MEG")):
        brain = signal(units=units, signal=name)(brain_dataset())
        assert schema.check_brain(brain) is brain


def test_bins_may_overlap() -> None:
    brain = brain_dataset()
    brain["time"].attrs["bin_ms"] = 150.0
    assert schema.check_brain(brain) is brain


def test_no_spikes_at_all_is_fine() -> None:
    schema.check_spikes(spikes_dataset().isel(spike=slice(0)))


def with_value(name: str, value: float, **where: int) -> Change:
    def change(dataset: xr.Dataset) -> xr.Dataset:
        dataset = dataset.copy(deep=True)
        dataset[name][where] = value
        return dataset

    return change


def with_units(name: str, units: str | None) -> Change:
    def change(dataset: xr.Dataset) -> xr.Dataset:
        dataset[name].attrs = {} if units is None else {"units": units}
        return dataset

    return change


class Quantity(np.ndarray):
    """Looks like Brian2's: an array with a dimension."""

    dim = "volt"


def with_quantity(dataset: xr.Dataset) -> xr.Dataset:
    data = dataset["response"].values.view(Quantity)
    array = xr.DataArray(data, dims=dataset["response"].dims, attrs={"units": "Hz"})
    assert isinstance(array.variable._data, Quantity)
    return dataset.assign(response=array)


BROKEN: list[tuple[str, Change, str]] = [
    ("stimuli", lambda d: d["image"], "got DataArray, expected an xarray.Dataset"),
    ("stimuli", lambda d: d.rename(image="picture"), "no variable image, got picture"),
    ("stimuli", lambda d: d.drop_vars("stimulus"), "no coordinate stimulus"),
    (
        "stimuli",
        lambda d: d.transpose("y", "x", "stimulus"),
        r"dims \(y, x, stimulus\), expected \(stimulus, y, x\)",
    ),
    ("stimuli", lambda d: d.isel(stimulus=[]), r"has no stimulus \(size 0\)"),
    ("stimuli", lambda d: d.assign_coords(stimulus=[0, 1, 1]), "stimulus ids 1 occur more than once"),
    (
        "stimuli",
        lambda d: d.assign_coords(stimulus=["a", "b", "c"]),
        "stimulus has dtype <U1, expected integers",
    ),
    (
        "stimuli",
        lambda d: d.assign_coords(label=("x", np.arange(4))),
        r"label has dims \(x\), expected \(stimulus\)",
    ),
    (
        "stimuli",
        lambda d: d.assign(image=d["image"] * 255),
        r"image values are 0..255, expected 0..1; divide",
    ),
    (
        "stimuli",
        with_value("image", np.nan, stimulus=1, y=2, x=3),
        "1 values that are NaN .* stimulus=7, y=2, x=3",
    ),
    (
        "stimuli",
        lambda d: d.assign(image=d["image"].astype(str)),
        "image has dtype <U.*, expected real numbers",
    ),
    ("brain", lambda d: d.drop_vars("population"), "no coordinate population"),
    (
        "brain",
        lambda d: d.assign_coords(population=("stimulus", list("abc"))),
        r"population has dims \(stimulus\)",
    ),
    ("brain", with_units("response", None), 'response has no units, expected "Hz"'),
    ("brain", with_units("feedforward", "V"), "feedforward has units 'V', expected \"mV\" or .* or \"1\"; convert"),
    ("brain", with_units("feedforward", "nA"), "feedforward in nA, recurrent_inhibitory in mV, expected one unit"),
    ("brain", with_units("time", "s"), "time has units 's', expected \"ms\""),
    ("brain", with_units("time", "ms"), r"bin_ms'\] is None, expected the width"),
    ("brain", with_units("response", "V"), 'response has units \'V\', expected "Hz"; convert, or'),
    ("brain", signal(units="V", signal=""), r"attrs\['signal'\] is '', expected what was recorded"),
    ("brain", signal(signal="EEG"), "response has no units"),
    ("brain", signal(units="Hz", signal="multi-unit activity"), "negative rates"),
    (
        "brain",
        lambda d: d.assign_coords(time=("time", [0.0, 0.005, 0.01, 0.015], {"units": "ms", "bin_ms": 5.0})),
        "steps of 0.005 and bins are 5 wide, a thousand times apart: one of them is in s",
    ),
    (
        "network",
        lambda d: d.assign_coords(t_ms=("block", np.arange(4) * 5e-3, {"units": "s"})),
        "t_ms has units 's', expected \"ms\"",
    ),
    (
        "brain",
        with_value("response", -1.0, stimulus=0, trial=1, time=0, unit=2),
        "1 negative rates .* trial=1, time=2.5",
    ),
    (
        "brain",
        with_value("feedforward", np.inf, stimulus=0, trial=1, time=0, unit=2),
        "feedforward has 1 values",
    ),
    (
        "brain",
        lambda d: d.isel(time=[0, 2, 1, 3]),
        "time goes from 12.5 to 7.5 at position 2, expected strictly",
    ),
    ("brain", lambda d: d.assign_coords(trial=[1, 1]), "trial ids 1 occur more than once"),
    ("brain", with_quantity, "response is a Quantity, which would lose its unit"),
    ("network", lambda d: d.drop_vars("update"), "no variable update"),
    ("network", lambda d: d.drop_vars("stage"), "no coordinate stage"),
    ("network", with_units("update", None), 'update has no units; set .* "1" where it has no dimension'),
    ("network", lambda d: d.isel(block=[1, 2, 3]), "block is 1, 2, 3, expected 0, 1, ... 2"),
    ("network", lambda d: d.assign_coords(t_ms=("block", [0, 5, 5, 6])), "t_ms goes from 5 to 5"),
    ("network", lambda d: d.assign_coords(t_ms=("block", [0, 5, np.nan, 6])), "t_ms holds NaN or infinity"),
    (
        "network",
        with_value("update", 1.0, stimulus=0, block=0, unit=0),
        "update at block 0 is not 0 for 1 of 15",
    ),
    (
        "network",
        with_value("update", 1.1, stimulus=1, block=2, unit=3),
        "1 of 45 values, .* stimulus=7, block=2, unit=3",
    ),
    (
        "network",
        lambda d: d.assign(response=(d["response"] - 9).assign_attrs(units="Hz")),
        "60 negative rates",
    ),
    (
        "scores",
        lambda d: d[["cka_ceiling"]].assign_coords(block=[0]),
        "got cka_ceiling, expected at least one",
    ),
    (
        "scores",
        lambda d: d.assign(bad=d["cka"].T),
        r"bad has dims \(block, time\), expected time and block first",
    ),
    ("scores", lambda d: d.assign(bad=d["cka"].astype(str)), "bad has dtype <U.*, expected real numbers"),
    ("scores", with_value("cka", np.inf, time=0, block=0), "cka holds infinity"),
    ("scores", with_value("cka_p", 1.5, time=0, block=0), "cka_p holds values outside 0..1"),
    ("scores", lambda d: d.isel(block=[1, 0]), "block goes from 1 to 0"),
    (
        "spikes",
        lambda d: d.drop_vars(["unit", "trial"]),
        "no unit, trial, expected time, unit, trial, stimulus",
    ),
    ("spikes", lambda d: d.assign(unit=d["unit"] * 0.5), "unit has dtype float64, expected integers"),
    ("spikes", with_value("time", np.nan, spike=1), "time has 1 values that are NaN .* spike=1"),
    ("spikes", with_units("time", "s"), 'expected "ms"'),
]


@pytest.mark.parametrize(("kind", "change", "message"), BROKEN)
def test_what_breaks_the_schema_is_told_so(kind: str, change: Change, message: str) -> None:
    with pytest.raises(SchemaError, match=message) as caught:
        schema.CHECKS[kind](change(MAKERS[kind]()))
    assert "\n" not in str(caught.value)


def test_float32_rounding_of_the_update_is_no_error() -> None:
    state = np.random.default_rng(0).uniform(0, 100, (3, 4, 5)).cumsum(axis=1)
    update = np.diff(state, axis=1, prepend=state[:, :1])
    network = network_dataset()
    network["response"].values = state.astype("float32")
    network["update"].values = update.astype("float32")
    schema.check_network(network)


def test_a_network_without_dimension_may_be_negative() -> None:
    network = network_dataset()
    network["response"] = (network["response"] - 9).assign_attrs(units="1")
    schema.check_network(network)


def test_same_stimuli() -> None:
    a, b = stimuli_dataset(), brain_dataset()
    schema.same_stimuli(a, b)
    with pytest.raises(SchemaError, match="9 only in the first; make both"):
        schema.same_stimuli(a, b.isel(stimulus=[0, 1]))
    with pytest.raises(SchemaError, match="4 only in the first; 5 only in the second"):
        schema.same_stimuli(a, b.assign_coords(stimulus=[5, 7, 9]))
    many = xr.Dataset(coords={"stimulus": np.arange(11)})
    with pytest.raises(SchemaError, match=r"0, 1, 2, 3, 5, \.\.\. \(8 in all\) only in the second"):
        schema.same_stimuli(a.drop_vars("label"), many)
    with pytest.raises(SchemaError, match="another order"):
        schema.same_stimuli(a, b.isel(stimulus=[1, 0, 2]))
    with pytest.raises(SchemaError, match="labels differ at ids 7"):
        schema.same_stimuli(a, b.assign_coords(label=("stimulus", ["a", "z", "c"])))
