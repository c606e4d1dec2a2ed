"""A network's states averaged over the brain's time bins, so that both sides speak of the same time."""

from __future__ import annotations

import numpy as np
import xarray as xr

from cortexres.compare.windows import bin_width
from cortexres.errors import ArgumentError
from cortexres.schema import check_brain, check_network

TOLERANCE_MS = 1e-6


def at_bins(network: xr.Dataset, brain: xr.Dataset) -> xr.Dataset:
    """Return the network's states averaged over the brain's time bins, (stimulus, time, unit).

    A state is taken as piecewise linear in time between the blocks, and its mean over each bin is exact. Only
    bins that lie inside the network's time are returned. `update` is left out: the difference of two bins of
    the result, divided by their distance, is the mean update per ms, in the form in which the brain's
    velocity can be measured.

    Parameters
    ----------
    network : xarray.Dataset
        Network Dataset with ``t_ms`` (block), strictly increasing, 0 at stimulus onset. Where it has no time
        step, use `uniform_time` first.
    brain : xarray.Dataset
        Brain Dataset; only its time bins are used.

    Returns
    -------
    xarray.Dataset
        The network's variables over the bins, float64; ``time.attrs`` as in the brain.

    Raises
    ------
    ArgumentError
        If the network has no time, or no bin lies inside it.
    """
    check_brain(brain)
    check_network(network)
    knots = _knots(network)
    width = bin_width(brain)
    centres = np.asarray(brain["time"].values, dtype=float)
    inside = (centres - width / 2 >= knots[0] - TOLERANCE_MS) & (centres + width / 2 <= knots[-1] + TOLERANCE_MS)
    if not inside.any():
        raise ArgumentError(
            f"network {network.attrs.get('model', '')!s} spans {knots[0]:g}..{knots[-1]:g} ms, which holds"
            " none of the"
            f" brain's bins of {width:g} ms at {centres[0]:g}..{centres[-1]:g} ms; record more blocks"
        )
    centres = centres[inside]
    smooth = bin_weights(knots, centres - width / 2, centres + width / 2)
    steps = step_weights(knots, centres - width / 2, centres + width / 2)
    binned = {
        str(name): (
            ("stimulus", "time", "unit"),
            np.einsum(
                "tb,sbu->stu",
                steps if name == "feedforward" else smooth,
                np.asarray(values.values, dtype=float),
                optimize=True,
            ),
            dict(values.attrs),
        )
        for name, values in network.data_vars.items()
        if values.dims == ("stimulus", "block", "unit") and name != "update"
    }
    kept = {str(name): c for name, c in network.coords.items() if "block" not in c.dims}
    time = brain["time"].isel(time=inside).variable
    return xr.Dataset(binned, coords=kept | {"time": time}, attrs=dict(network.attrs))


def bin_weights(knots: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return weights (bin, knot) that turn values at knots into bin means of their interpolation."""
    areas = _areas(knots, right) - _areas(knots, left)
    weights: np.ndarray = areas / (right - left)[:, None]
    return weights


def step_weights(knots: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return weights (bin, knot) of bin means where the value at a knot holds since the knot before it.

    The input of a stimulus is of this kind: it is switched on at the onset and does not ramp up during a block.
    """
    overlap = np.minimum(right[:, None], knots[None, 1:]) - np.maximum(left[:, None], knots[None, :-1])
    weights = np.zeros((len(left), len(knots)))
    weights[:, 1:] = np.maximum(overlap, 0.0) / (right - left)[:, None]
    return weights


def _areas(knots: np.ndarray, until: np.ndarray) -> np.ndarray:
    """Return the integral from the first knot to `until` of each knot's hat function, (until, knot)."""
    steps = np.diff(knots)
    passed = np.clip((until[:, None] - knots[:-1]) / steps, 0.0, 1.0)
    areas = np.zeros((until.size, knots.size))
    areas[:, :-1] += steps * (passed - passed**2 / 2)
    areas[:, 1:] += steps * passed**2 / 2
    return areas


def uniform_time(network: xr.Dataset, brain: xr.Dataset) -> xr.Dataset:
    """Return the network with its blocks spread evenly from onset to the end of the recording, as ``t_ms``.

    The simplest assumption for a network that has no time step of its own. It is an assumption, and the
    result says so in ``t_ms.attrs``.

    Raises
    ------
    ArgumentError
        If the network has fewer than two blocks, or the brain's recording ends before the onset.
    """
    blocks = network.sizes["block"]
    end = float(brain["time"].values[-1]) + bin_width(brain) / 2
    if blocks < 2 or end <= 0:
        raise ArgumentError(
            f"got {blocks} blocks and a recording that ends at {end:g} ms, expected at least 2 blocks (0"
            " and 1) and an"
            " end after the onset at 0 ms"
        )
    attrs = {"units": "ms", "mapping": "blocks spread evenly from onset to the end of the recording"}
    return network.assign_coords(t_ms=("block", np.linspace(0.0, end, blocks), attrs))


def _knots(network: xr.Dataset) -> np.ndarray:
    if "t_ms" not in network.coords:
        raise ArgumentError(
            "network has no t_ms (time of each block in ms), expected one to average over time bins; use"
            " compare.uniform_time(network, brain), or assign_coords(t_ms=('block', times))"
        )
    return np.asarray(network["t_ms"].values, dtype=float)
