"""Which stimuli, units and colours a figure shows when it cannot show all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from cortexres.errors import ArgumentError
from cortexres.plots.style import GREY, LINES


def populations(data: xr.Dataset) -> list[str]:
    """Return the names of the populations in the order of the units."""
    return list(dict.fromkeys(str(name) for name in data["population"].to_numpy()))


def population_colours(names: Sequence[str]) -> dict[str, str]:
    """Return one colour per population, the same in every figure."""
    return {name: LINES[index] if index < len(LINES) else GREY for index, name in enumerate(names)}


def mean_and_error(trials: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the mean over `trial` and its standard error (0 where there is only one trial)."""
    count = trials.sizes["trial"]
    mean = trials.mean("trial")
    return mean, (trials.std("trial", ddof=1) / count**0.5 if count > 1 else 0 * mean)


def chosen_stimuli(brain: xr.Dataset, wanted: Sequence[int] | None, *, count: int) -> list[int]:
    """Return `wanted`, or `count` stimulus ids from the strongest to the weakest mean response.

    Raises
    ------
    ArgumentError
        If one of `wanted` is not in the Dataset, or none is asked for.
    """
    ids = brain["stimulus"].to_numpy()
    if wanted is not None:
        missing = sorted(set(wanted) - set(ids.tolist()))
        if missing or not wanted:
            raise ArgumentError(f"got stimulus ids {missing or 'none'}, expected some of {ids.min()}..{ids.max()}")
        return list(wanted)
    order = np.argsort(-brain["response"].mean(("trial", "time", "unit")).to_numpy(), kind="stable")
    picks = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return [int(ids[order[pick]]) for pick in picks]


def need(data: xr.Dataset, what: str, *names: str) -> None:
    """Raise where variables or coordinates that a figure draws are missing.

    Raises
    ------
    ArgumentError
        With the missing names.
    """
    missing = [name for name in names if name not in data.variables]
    if missing:
        raise ArgumentError(f"got a {what} Dataset without {', '.join(missing)}, expected it for this figure")
