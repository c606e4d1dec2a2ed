"""When each block is: the map from blocks to the brain's time, as given, as fitted, or fitted anew for each null."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from cortexres.compare.binning import TOLERANCE_MS, step_weights
from cortexres.compare.windows import bin_width
from cortexres.errors import ArgumentError

BlockMap = xr.Dataset | xr.DataArray | Callable[[xr.Dataset, xr.Dataset], xr.Dataset] | None


def block_times(brain: xr.Dataset, network: xr.Dataset, mapping: BlockMap) -> np.ndarray:
    """Return the time of every block in ms, (block,); NaN where the map leaves one out.

    Parameters
    ----------
    brain, network : xarray.Dataset
        The two sides; the map must stay inside the brain's recording.
    mapping : Dataset, DataArray, callable or None
        ``t_ms`` (block), or a Dataset that holds it, such as an alignment; a function that fits one to a brain and a
        network; or None for the network's own ``t_ms``.

    Raises
    ------
    ArgumentError
        If there is no ``t_ms``, its blocks are not the network's, it falls, or it leaves the recording.
    """
    found = mapping(brain, network) if callable(mapping) else mapping
    source = network if found is None else found
    times = source if isinstance(source, xr.DataArray) else _t_ms(source)
    blocks = network["block"].values
    if times.dims != ("block",) or not np.array_equal(times["block"].values, blocks):
        raise ArgumentError(
            f"the map has dims {times.dims} and shape {times.shape}, expected t_ms of the network's {blocks.size}"
            " blocks; fit it to this network"
        )
    t_ms = np.asarray(times.values, dtype=float)
    steps = np.diff(t_ms[np.isfinite(t_ms)])
    if not np.isfinite(t_ms).any() or (steps < 0).any():
        raise ArgumentError("the map falls or is nowhere defined, expected times that do not fall with the block")
    _check_inside(t_ms, brain)
    return t_ms


def _t_ms(source: xr.Dataset) -> xr.DataArray:
    if "t_ms" not in source.variables:
        raise ArgumentError(
            "no t_ms (time of each block in ms), expected one to place the blocks in time; give mapping=, for one"
            " from compare.align, or use compare.uniform_time(network, brain)"
        )
    return source["t_ms"]


def _check_inside(t_ms: np.ndarray, brain: xr.Dataset) -> None:
    centres, width = np.asarray(brain["time"].values, dtype=float), bin_width(brain)
    start, end = centres[0] - width / 2, centres[-1] + width / 2
    low, high = np.nanmin(t_ms), np.nanmax(t_ms)
    if low < start - TOLERANCE_MS or high > end + TOLERANCE_MS:
        raise ArgumentError(
            f"the map spans {low:g}..{high:g} ms, expected times inside the recording of {start:g}..{end:g} ms; leave"
            " blocks out with .isel(block=...), or record for longer"
        )


def point_weights(knots: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return weights (point, knot) that interpolate linearly; NaN for points outside the knots."""
    inside = (at >= knots[0] - TOLERANCE_MS) & (at <= knots[-1] + TOLERANCE_MS)
    right = np.clip(np.searchsorted(knots, at), 1, max(knots.size - 1, 1))
    weights = np.zeros((at.size, knots.size))
    if knots.size == 1:
        weights[:, 0] = 1.0
    else:
        share = (at - knots[right - 1]) / (knots[right] - knots[right - 1])
        weights[np.arange(at.size), right - 1] = 1 - share
        weights[np.arange(at.size), right] = share
    weights[~inside] = np.nan
    return weights


def interval_weights(centres: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return weights (interval, centre) of means over intervals of what is constant around each of the centres.

    An interval of no length takes the value at its point (between two, their mean), one that leaves what the centres
    stand for the mean over what lies inside; NaN where its middle lies outside.
    """
    middles = (centres[1:] + centres[:-1]) / 2
    first, last = (np.ptp(centres[:2]) / 2, np.ptp(centres[-2:]) / 2) if centres.size > 1 else (np.inf, np.inf)
    bounds = np.concatenate([[centres[0] - first], middles, [centres[-1] + last]])
    middle = (left + right) / 2
    half = np.maximum((right - left) / 2, TOLERANCE_MS)
    start, end = np.maximum(middle - half, bounds[0]), np.minimum(middle + half, bounds[-1])
    inside = (middle >= bounds[0] - TOLERANCE_MS) & (middle <= bounds[-1] + TOLERANCE_MS) & (end > start)
    weights = np.full((left.size, centres.size), np.nan)
    weights[inside] = step_weights(bounds, start[inside], end[inside])[:, 1:]
    return weights
