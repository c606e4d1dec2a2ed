"""Brain and network brought to the same stimuli, units and bins, or an error that says why they cannot be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from cortexres.compare.binning import at_bins
from cortexres.compare.windows import in_window
from cortexres.errors import ArgumentError, SchemaError
from cortexres.schema import same_stimuli


def same_units(brain: xr.Dataset, network: xr.Dataset) -> None:
    """Return nothing if both hold the same units in the same order: by name where both have it, or by number.

    Raises
    ------
    SchemaError
        If they differ.
    """
    here, there = brain.sizes["unit"], network.sizes["unit"]
    names = [np.asarray(side["name"].values).astype(str) for side in (brain, network) if "name" in side.coords]
    if here != there or (len(names) == 2 and not np.array_equal(names[0], names[1])):
        shown = [", ".join(side[:3]) for side in names]
        raise SchemaError(
            f"units differ: brain has {here} ({shown[0] if shown else 'no names'}...), network has {there}"
            f" ({shown[-1] if len(shown) == 2 else 'no names'}...), expected the same units in the same"
            " order; compare"
            " networks with other units by compare.linear_map_r2 or compare.compare"
        )


def same_axes(one: xr.Dataset, other: xr.Dataset, dims: Sequence[str], what: str) -> None:
    """Return nothing if `other` has the stimuli, trials, bins or units of `one`, so that they can be subtracted.

    Raises
    ------
    ArgumentError
        If not; `what` is the other's name in the message.
    """
    for dim in dims:
        if not np.array_equal(one[dim].values, other[dim].values):
            raise ArgumentError(
                f"{what} has another {dim} ({other.sizes[dim]} against {one.sizes[dim]}), expected the same as in the"
                f" intact one, so that they can be subtracted; make both with the same {', '.join(dims)}"
            )


def paired(brain: xr.Dataset, network: xr.Dataset, *, units: bool = True) -> tuple[xr.Dataset, xr.Dataset]:
    """Return brain and binned network over the bins since onset that both have, for the same stimuli.

    Raises
    ------
    SchemaError
        If stimuli differ or, where `units` is set, the units do.
    ArgumentError
        If the network covers none of the bins since onset.
    """
    same_stimuli(brain, network)
    if units:
        same_units(brain, network)
    binned = at_bins(network, brain)
    binned = binned.isel(time=in_window(binned["time"], (0.0, np.inf), "time since onset"))
    common = np.isin(brain["time"].values, binned["time"].values)
    return brain.isel(time=common), binned


def along(data: xr.Dataset, *dims: str) -> dict[str, xr.Variable]:
    """Return the coordinates of a Dataset that are over one of these dims and no other."""
    return {str(name): c.variable for name, c in data.coords.items() if c.dims in [(dim,) for dim in dims]}


def float_values(values: xr.DataArray) -> np.ndarray:
    """Return the values in double precision."""
    return np.asarray(values.values, dtype=float)
