"""Where a map is undefined, and why, in words."""

from __future__ import annotations

import numpy as np
import xarray as xr


def undefined_cells(values: np.ndarray, brain: xr.Dataset, network: xr.Dataset) -> str:
    """Return which times and blocks of a map (time, block) are undefined throughout; "" where all is defined."""
    empty = np.isnan(values)
    rows, columns = empty.all(axis=1), empty.all(axis=0)
    if empty.all():
        # Everything undefined: it is the side that is the same for all stimuli, and not the other, that is to blame.
        rows, columns = (_constant(side, dim) for side, dim in ((brain, "time"), (network, "block")))
    reasons = [
        f"{side} activity is the same for all stimuli, or for all pairs, at {listed(np.asarray(axis), unit)}"
        for side, axis, unit in (
            ("brain", brain["time"].values[rows], "ms"),
            ("network", network["block"].values[columns], "(blocks)"),
        )
        if axis.size
    ]
    rest = int((empty & ~rows[:, None] & ~columns).sum())
    if rest:
        reasons.append(f"{rest} cells whose measure has no value, such as one that divides by what is not above 0")
    return "; ".join(reasons)


def _constant(side: xr.Dataset, dim: str) -> np.ndarray:
    """Return at which times or blocks the response is the same for all stimuli."""
    response = side["response"]
    mean = response.mean("trial") if "trial" in response.dims else response
    spread = mean.max("stimulus") - mean.min("stimulus")
    others = [d for d in spread.dims if d != dim]
    return np.asarray((spread.max(others) == 0).values)


def listed(values: np.ndarray, unit: str) -> str:
    """Return the first five values and their unit."""
    shown = ", ".join(f"{value:g}" for value in values[:5])
    return f"{shown}{', ...' if len(values) > 5 else ''} {unit}"
