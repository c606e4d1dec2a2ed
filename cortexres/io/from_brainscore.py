"""Brain-Score's assemblies: dims presentation, neuroid and time_bin on one side, the brain Dataset on the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cortexres.errors import ArgumentError
from cortexres.io.recorded_brain import recorded_brain
from cortexres.io.shown_stimuli import ShownStimuli, shown_stimuli
from cortexres.schema import check_brain
from cortexres.schema_rules import join_names

DIMS = ("presentation", "time_bin", "neuroid")
# What neuroids are called there, and here.
NEUROID = {
    "neuroid_id": "name",
    "region": "area",
    "layer": "layer",
    "cell_type": "cell_type",
    "population": "population",
}


def from_brainscore(
    assembly: xr.DataArray,
    *,
    stimulus: str = "stimulus_id",
    units: str | None = None,
    signal: str | None = None,
    stimuli: Mapping[Any, int] | None = None,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return the brain Dataset of an assembly (presentation, neuroid, time_bin), in any order of these dims.

    ``region`` of a neuroid becomes ``area``, ``neuroid_id`` its ``name``, ``object_name`` of a presentation the label
    of the stimulus where its id is a number; indexes of several levels are taken apart.

    Parameters
    ----------
    assembly : xarray.DataArray
        Such as a ``NeuroidAssembly``, with repetitions as presentations, and ``time_bin_start`` and ``time_bin_end`` in
        ms.
    stimulus : str
        Coordinate of ``presentation`` that says what was shown; ``"image_id"`` in older assemblies.
    units, signal : str, optional
        Units of the values, and what they are where they are no rates, such as ``units="1", signal="z-score"``; those
        of ``assembly.attrs`` where they are left out.
    stimuli : mapping of str to int, optional
        Stimuli to take, and the id of each. Without it whole numbers are ids and other names are numbered from 0 in
        sorted order.
    rng : int or numpy.random.Generator, optional
        Draws as many presentations of each stimulus as the rarest has; without it unequal numbers are refused.

    Raises
    ------
    ArgumentError
        Where dims, coordinates or units are missing, bins differ in width, or their times are not in ms.
    SchemaError
        Where the values do not keep the schema: NaN, or rates below 0.

    References
    ----------
    Schrimpf et al. (2020), Neuron 108:413, doi:10.1016/j.neuron.2020.07.040.
    """
    if set(assembly.dims) != set(DIMS):
        raise ArgumentError(
            f"the assembly has the dims ({join_names(assembly.dims)}), expected presentation, neuroid and time_bin;"
            " where there is one time only, add it with expand_dims"
        )
    units = units or assembly.attrs.get("units")
    if units is None:
        raise ArgumentError(
            'the assembly has no units, expected them in attrs["units"]; give units="Hz" for rates, or units and signal'
        )
    start, end = (_coordinate(assembly, f"time_bin_{edge}", "time_bin").astype(float) for edge in ("start", "end"))
    shown = shown_stimuli(_coordinate(assembly, stimulus, "presentation").tolist(), stimuli=stimuli, rng=rng)
    known = {NEUROID[name]: assembly[name].values for name in NEUROID if name in assembly.coords}
    return recorded_brain(
        np.asarray(assembly.transpose(*DIMS).values, dtype=float),
        _with_objects(shown, assembly),
        time_ms=(start + end) / 2,
        bin_ms=_width(assembly, start, end),
        units=units,
        signal=signal or assembly.attrs.get("signal"),
        labels=known,
        facts={"recording": str(assembly.attrs.get("identifier", assembly.name)), "reader": "from_brainscore"},
        relative_to=assembly.attrs.get("relative_to"),
    )


def to_brainscore(brain: xr.Dataset) -> xr.DataArray:
    """Return the response as an assembly (presentation, neuroid, time_bin), a presentation per stimulus and trial.

    Coordinates are plain, so that netCDF can keep them; ``NeuroidAssembly(array)`` makes its indexes of them. As
    Brain-Score asks, ``stimulus_id`` is text; `from_brainscore` makes numbers of it again.

    Parameters
    ----------
    brain : Dataset
        As from `cortexres.circuits.simulate`, or a recording.

    Raises
    ------
    SchemaError
        Where `brain` does not keep the schema.
    """
    check_brain(brain)
    n_stimuli, n_trials, n_times, n_units = brain["response"].shape
    values = brain["response"].values.transpose(0, 1, 3, 2).reshape(-1, n_units, n_times)
    half = float(brain["time"].attrs["bin_ms"]) / 2
    trial = brain["trial"].values if "trial" in brain.coords else np.arange(n_trials)
    coords: dict[str, tuple[str, NDArray[Any]]] = {
        "stimulus_id": ("presentation", np.repeat(brain["stimulus"].values.astype(str), n_trials)),
        "repetition": ("presentation", np.tile(trial, n_stimuli)),
        "neuroid_id": ("neuroid", np.arange(n_units).astype(str)),
        "time_bin_start": ("time_bin", brain["time"].values - half),
        "time_bin_end": ("time_bin", brain["time"].values + half),
    }
    if "label" in brain.coords:
        coords["object_name"] = ("presentation", np.repeat(brain["label"].values, n_trials))
    coords |= {there: ("neuroid", brain[here].values) for there, here in NEUROID.items() if here in brain.coords}
    attrs = {**brain["response"].attrs, **brain.attrs}
    return xr.DataArray(values, coords, ("presentation", "neuroid", "time_bin"), name="response", attrs=attrs)


def _coordinate(assembly: xr.DataArray, name: str, dim: str) -> NDArray[Any]:
    if name not in assembly.coords or assembly[name].dims != (dim,):
        names = [str(key) for key, values in assembly.coords.items() if values.dims == (dim,) and key != dim]
        raise ArgumentError(f"the assembly has the coordinates {join_names(names)} of {dim}, expected {name!r}")
    return np.asarray(assembly[name].values)


def _width(assembly: xr.DataArray, start: NDArray[np.float64], end: NDArray[np.float64]) -> float:
    named = assembly["time_bin_start"].attrs.get("units", "ms")
    if named != "ms":
        raise ArgumentError(f"time_bin_start is in {named}, expected ms; convert both edges")
    widths = end - start
    if np.ptp(widths) > 1e-6 or widths[0] <= 0:
        raise ArgumentError(
            f"time bins are {widths.min():g} to {widths.max():g} ms wide, expected one width above 0; choose some"
        )
    return float(np.round(widths[0], 9))


def _with_objects(shown: ShownStimuli, assembly: xr.DataArray) -> ShownStimuli:
    """Return the stimuli with the name of their object as label, where they have no name and one object each."""
    if shown.names is not None or "object_name" not in assembly.coords:
        return shown
    objects = assembly["object_name"].values[shown.rows]
    if (objects != objects[:, :1]).any():
        return shown
    return ShownStimuli(shown.ids, objects[:, 0], shown.rows)
