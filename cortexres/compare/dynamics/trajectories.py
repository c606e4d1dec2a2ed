"""Either side as trajectories: states of every stimulus over equal steps of time, or of blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr

from cortexres.compare.pairing import float_values
from cortexres.compare.windows import Window, bin_width, in_window
from cortexres.errors import ArgumentError
from cortexres.schema import check_brain, check_network

# Steps that differ by less than this share are the same: times in ms are often written with few digits.
SAME_STEP = 1e-3


@dataclass(frozen=True)
class Trajectories:
    """States over equal steps.

    Parameters
    ----------
    states : numpy.ndarray
        (stimulus, trial, step, unit); one trial where they are a network's.
    step_ms : float
        Time from one state to the next.
    axis : {"time", "block"}
        Which side it is.
    places : xarray.Variable
        Where along the axis each state lies: bin centres in ms, or numbers of blocks.
    units : str
        Of the states.
    """

    states: np.ndarray
    step_ms: float
    axis: Literal["time", "block"]
    places: xr.Variable
    units: str


def trajectories(data: xr.Dataset, *, step_ms: float | None = None, window: Window = (0.0, np.inf)) -> Trajectories:
    """Return the trajectories of a brain Dataset (with ``time``) or a network Dataset (with ``block``).

    Parameters
    ----------
    data : xarray.Dataset
        Brain or network Dataset. Of a network, all blocks are of one stage.
    step_ms : float, optional
        Time of one block in ms, for a network without ``t_ms``. Nothing in a network says how long a block
        takes; 1 counts in blocks.
    window : tuple of float
        First and last bin centre of a brain that is taken, in ms.

    Raises
    ------
    SchemaError
        If the Dataset does not keep the schema.
    ArgumentError
        If it is neither, its steps are not equal, there are fewer than 4 states, several stages, or `step_ms` is
        given for what has its own times, or missing for what has none.
    """
    sides = ("block" in data.dims, "time" in data.dims)
    if sides == (False, True):
        return _of_brain(data, step_ms, window)
    if sides == (True, False):
        return _of_network(data, step_ms)
    raise ArgumentError(
        f"got dims {sorted(map(str, data.dims))}, expected a brain Dataset with time or a network Dataset with block"
    )


def _of_brain(data: xr.Dataset, step_ms: float | None, window: Window) -> Trajectories:
    check_brain(data)
    if step_ms is not None:
        raise ArgumentError(f"got step_ms={step_ms:g} for a brain, expected none: its step is that of its time")
    kept = data.isel(time=in_window(data["time"], window, "window"))
    centres = float_values(kept["time"])
    step = _equal_step(centres, f"bins, each {bin_width(data):g} ms wide")
    states = float_values(kept["response"])
    return Trajectories(states, step, "time", kept["time"].variable, str(kept["response"].attrs["units"]))


def _of_network(data: xr.Dataset, step_ms: float | None) -> Trajectories:
    check_network(data)
    stages = np.unique(data["stage"].values)
    if len(stages) > 1:
        raise ArgumentError(
            f"got blocks of {len(stages)} stages, expected one: states of different stages are not steps of one"
            " trajectory; keep the blocks of one stage and number them from 0"
        )
    timed = "t_ms" in data.coords
    if timed and step_ms is not None:
        raise ArgumentError(f"got step_ms={step_ms:g} for a network with t_ms, expected one of the two")
    if not timed and not (step_ms is not None and 0 < step_ms < np.inf):
        raise ArgumentError(
            f"got step_ms={step_ms} for a network without t_ms, expected the time of a block in ms (1 counts in blocks)"
        )
    times = float_values(data["t_ms"]) if timed else float(step_ms or 1.0) * np.arange(data.sizes["block"])
    step = _equal_step(times, "blocks")
    states = float_values(data["response"])[:, None]
    return Trajectories(states, step, "block", data["block"].variable, str(data["response"].attrs["units"]))


def _equal_step(times: np.ndarray, what: str) -> float:
    if len(times) < 4:
        raise ArgumentError(f"got {len(times)} {what}, expected at least 4 to see a trajectory")
    steps = np.diff(times)
    step = float(steps.mean())
    if np.abs(steps - step).max() > SAME_STEP * step:
        raise ArgumentError(
            f"got steps of {steps.min():g} to {steps.max():g} ms between {what}, expected equal steps; interpolate, or"
            " select a part that has them"
        )
    return step
