"""Which time bins are scored and which are late."""

from __future__ import annotations

import numpy as np
import xarray as xr

from cortexres.errors import ArgumentError

Window = tuple[float, float]


def in_window(time: xr.DataArray, window: Window, what: str) -> np.ndarray:
    """Return a mask over the bins whose centre lies in [start, stop] ms.

    Raises
    ------
    ArgumentError
        If no bin does.
    """
    centres = np.asarray(time.values, dtype=float)
    mask = (centres >= window[0]) & (centres <= window[1])
    if not mask.any():
        raise ArgumentError(
            f"{what}: no bin centre lies in {window[0]:g}..{window[1]:g} ms, got"
            f" {centres[0]:g}..{centres[-1]:g} ms;"
            " choose a window inside"
        )
    return mask


def late_window(time: xr.DataArray, bin_ms: float) -> Window:
    """Return the last half of the time since onset, in ms: from half the end of the last bin on."""
    end = float(time.values[-1]) + bin_ms / 2
    return end / 2, end


def bin_width(brain: xr.Dataset) -> float:
    """Return the width of the brain's time bins in ms, which the schema keeps with the time."""
    return float(brain["time"].attrs["bin_ms"])
