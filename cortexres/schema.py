"""The Dataset contracts: dims, coordinates, units and values, with errors that say what to do.

Each `check_*` returns the Dataset it was given, unchanged, so that it can be wrapped round any expression::

    brain = schema.check_brain(io.load("brain.nc"))

| Dataset | dims, in order              | variables                                               |
| ------- | --------------------------- | ------------------------------------------------------- |
| stimuli | stimulus, y, x (, frame)    | image, 0..1; in colour (stimulus, channel, y, x)        |
| stimuli | stimulus, frame, channel    | drive, in mV, pA, nA, Hz or 1                           |
| brain   | stimulus, trial, time, unit | response in Hz, or a named signal; known components     |
| network | stimulus, block, unit       | response, update (0 at block 0); carried, sum; as above |
| scores  | time, block, what remains   | one per metric; its null, p-value, interval, ceiling    |
| spikes  | spike                       | time in ms, unit, trial, stimulus (and cell)            |
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from cortexres.errors import SchemaError
from cortexres.schema_rules import (
    DRIVE_UNITS,
    as_integers,
    as_numbers,
    check_blocks,
    check_dims,
    check_drive,
    check_finite,
    check_ids,
    check_increasing,
    check_label_dims,
    check_rates,
    check_response,
    check_same_units,
    check_score,
    check_time,
    check_units,
    check_update,
    check_values,
    components,
    join_names,
    name_first,
    need,
)

STIMULI_DIMS = ("stimulus", "y", "x")
COLOUR_DIMS = ("stimulus", "channel", "y", "x")
DRIVE_DIMS = ("stimulus", "frame", "channel")
BRAIN_DIMS = ("stimulus", "trial", "time", "unit")
NETWORK_DIMS = ("stimulus", "block", "unit")
PLACE_COORDINATES = ("channel", "y", "x", "token", "feature")  # of units that are maps or tokens, flattened
UNIT_COORDINATES = ("name", "population", "cell_type", "area", "layer", "assembly")


def check_stimuli(stimuli: xr.Dataset) -> xr.Dataset:
    """Return `stimuli` unchanged if it keeps the stimulus schema.

    Parameters
    ----------
    stimuli : xarray.Dataset
        ``image`` (stimulus, y, x), (stimulus, channel, y, x) in colour, or (stimulus, y, x, frame) where it moves,
        with values in 0..1; or ``drive`` (stimulus, frame, channel) with its ``units`` and the duration of a frame in
        ``drive.attrs["frame_ms"]``.

    Raises
    ------
    SchemaError
        Where it does not.
    """
    what = "stimuli"
    if isinstance(stimuli, xr.Dataset) and "drive" in stimuli.data_vars and "image" not in stimuli.data_vars:
        return _check_drives(stimuli, what)
    need(stimuli, what, ("image",), ("stimulus",))
    dims: tuple[str, ...] = STIMULI_DIMS
    if "frame" in stimuli["image"].dims:
        dims = (*STIMULI_DIMS, "frame")
    elif "channel" in stimuli["image"].dims:
        dims = COLOUR_DIMS
    check_dims(stimuli["image"], what, dims)
    check_ids(stimuli, what, ("stimulus", "y", "x"))
    check_label_dims(stimuli, what, {"label": "stimulus"})
    values = check_values(stimuli["image"], what)
    low, high = float(values.min()), float(values.max())
    if low < 0.0 or high > 1.0:
        raise SchemaError(
            f"{what}: image values are {low:g}..{high:g}, expected 0..1; divide by the largest possible value"
        )
    return stimuli


def _check_drives(stimuli: xr.Dataset, what: str) -> xr.Dataset:
    need(stimuli, what, ("drive",), ("stimulus",))
    check_dims(stimuli["drive"], what, DRIVE_DIMS)
    check_ids(stimuli, what, DRIVE_DIMS)
    check_label_dims(stimuli, what, {"label": "stimulus"})
    check_values(stimuli["drive"], what)
    check_drive(stimuli["drive"], what)
    return stimuli


def check_brain(brain: xr.Dataset) -> xr.Dataset:
    """Return `brain` unchanged if it keeps the schema of simulated or recorded activity.

    Parameters
    ----------
    brain : xarray.Dataset
        ``response`` (stimulus, trial, time, unit) in Hz and, where known, the input components, all in the same of
        mV, pA, nA, Hz and 1; ``time`` holds bin centres in ms, with the width in ``time.attrs["bin_ms"]``. Rates
        may be negative where ``response.attrs["relative_to"]`` names what they are counted from. Where the recording
        is no rate, ``response.attrs["signal"]`` names it (``"EEG"``, ``"dF/F"``, ``"z-score"``) and it has units of
        its own (``"V"``, ``"1"``).

    Raises
    ------
    SchemaError
        Where it does not.
    """
    what = "brain"
    need(brain, what, ("response",), ("stimulus", "time", "population"))
    for name in ("response", *components(brain)):
        check_dims(brain[name], what, BRAIN_DIMS)
        if name != "response":
            check_units(brain[name], what, DRIVE_UNITS)
        check_values(brain[name], what)
    check_same_units([brain[name] for name in components(brain)], what)
    check_ids(brain, what, ("stimulus", "trial", "unit"))
    check_label_dims(brain, what, {"label": "stimulus", **dict.fromkeys(UNIT_COORDINATES, "unit")})
    check_time(brain, what)
    check_response(brain["response"], what)
    return brain


def check_network(network: xr.Dataset) -> xr.Dataset:
    """Return `network` unchanged if it keeps the schema of network activity.

    Parameters
    ----------
    network : xarray.Dataset
        ``response`` and ``update`` (stimulus, block, unit) and, where they exist, ``carried``, ``sum`` and the input
        components, each with a ``units`` attribute (``"1"`` where it has none); ``block`` is 0..T, ``stage`` (block)
        its stage, ``module`` and ``kind`` (block) where it is in the network and how it carries its state.

        The state after a block is ``response``. Without ``carried``, ``update`` is its change. With it,
        ``carried + update`` is ``sum``, which is left out in a stage where it is the response: where no activation
        or norm follows the addition. At block 0 all but ``update`` are the state that enters.

    Raises
    ------
    SchemaError
        Where it does not.
    """
    what = "network"
    need(network, what, ("response", "update"), ("stimulus", "block", "stage"))
    terms = [name for name in ("carried", "sum") if name in network.data_vars]
    for name in ("response", "update", *terms, *components(network)):
        check_dims(network[name], what, NETWORK_DIMS)
        check_units(network[name], what, None)
        check_values(network[name], what)
    check_ids(network, what, ("stimulus", "unit"))
    labels = {
        "label": "stimulus",
        "stage": "block",
        "t_ms": "block",
        "module": "block",
        "kind": "block",
        **dict.fromkeys((*UNIT_COORDINATES, *PLACE_COORDINATES), "unit"),
    }
    check_label_dims(network, what, labels)
    check_blocks(network, what)
    if network["response"].attrs["units"] == "Hz":
        check_rates(network["response"], what)
    check_update(network, what)
    return network


def check_scores(scores: xr.Dataset) -> xr.Dataset:
    """Return `scores` unchanged if it keeps the schema of scores; NaN (undefined) may occur, infinity not.

    Parameters
    ----------
    scores : xarray.Dataset
        At least one variable over (time, block, ...); the others may lack dims, but keep their order.

    Raises
    ------
    SchemaError
        Where it does not.
    """
    what = "scores"
    need(scores, what, (), ("time", "block"))
    maps = [name for name, values in scores.data_vars.items() if values.dims[:2] == ("time", "block")]
    if not maps:
        raise SchemaError(
            f"{what}: got {join_names(scores.data_vars)}, expected at least one variable whose first dims are"
            " (time, block); make it with compare.compare"
        )
    for name, values in scores.data_vars.items():
        check_score(str(name), values, what)
    check_increasing(as_numbers(scores["time"], what), what, "time")
    check_increasing(as_integers(scores["block"], what), what, "block")
    return scores


def check_spikes(spikes: xr.Dataset) -> xr.Dataset:
    """Return `spikes` unchanged if it keeps the schema of spikes: one entry per spike, in any order.

    Parameters
    ----------
    spikes : xarray.Dataset
        ``time`` (ms, with a ``units`` attribute), ``unit``, ``trial``, ``stimulus`` and, where known, ``cell``,
        each over the one dim ``spike``.

    Raises
    ------
    SchemaError
        Where it does not.
    """
    what = "spikes"
    needed = ("time", "unit", "trial", "stimulus")
    missing = [name for name in needed if name not in spikes.variables]
    if missing:
        raise SchemaError(
            f"{what}: no {join_names(missing)}, expected {join_names(needed)} over the dim spike"
        )
    for name in (*needed, "cell"):
        if name not in spikes.variables:
            continue
        check_dims(spikes[name], what, ("spike",))
        if name == "time":
            check_units(spikes[name], what, "ms")
            check_finite(as_numbers(spikes[name], what), spikes[name], what)
        else:
            as_integers(spikes[name], what)
    return spikes


def same_stimuli(a: xr.Dataset, b: xr.Dataset) -> None:
    """Return nothing if `a` and `b` hold the same stimuli in the same order.

    Raises
    ------
    SchemaError
        Where ids are missing on one side (the first few are named), stand in another order, or carry another
        label.
    """
    ids_a, ids_b = as_integers(a["stimulus"], "first"), as_integers(b["stimulus"], "second")
    only_a, only_b = np.setdiff1d(ids_a, ids_b), np.setdiff1d(ids_b, ids_a)
    if only_a.size or only_b.size:
        parts = [
            f"{name_first(ids)} only in the {side}"
            for ids, side in ((only_a, "first"), (only_b, "second"))
            if ids.size
        ]
        raise SchemaError(
            f"stimulus ids differ: {'; '.join(parts)}; make both Datasets from the same stimuli, or keep the"
            " common ones with .sel(stimulus=...)"
        )
    if not np.array_equal(ids_a, ids_b):
        raise SchemaError(
            "stimulus ids are the same but in another order; reorder with second.sel(stimulus=first.stimulus)"
        )
    if "label" in a.coords and "label" in b.coords:
        differ = a["label"].values.astype(str) != b["label"].values.astype(str)
        if differ.any():
            raise SchemaError(
                f"stimulus labels differ at ids {name_first(ids_a[differ])}: the ids are the same but the"
                " images are not; make both Datasets from the same stimuli"
            )


# What each kind of file is checked with; spikes are events, the others arrays.
CHECKS: dict[str, Callable[[xr.Dataset], xr.Dataset]] = {
    "stimuli": check_stimuli,
    "brain": check_brain,
    "network": check_network,
    "scores": check_scores,
    "spikes": check_spikes,
}
