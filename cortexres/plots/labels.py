"""What axes are called and which variables of a scores Dataset belong together: read from names and attributes."""

from __future__ import annotations

import re
import textwrap

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from cortexres.errors import ArgumentError
from cortexres.plots.style import readable

# What stands beside a score NAME: its null, p-value, interval, ceiling and their ratio, perhaps of a null by name.
BESIDE = re.compile(r"_(null|p|low|high|ceiling|ratio)(_.*)?$")


def axis_label(values: xr.DataArray, text: str | None = None) -> str:
    """Return `text`, or the variable's long name, with its units where it has some."""
    name = text or str(values.attrs.get("long_name", readable(str(values.name))))
    units = str(values.attrs.get("units", "1"))
    return name if units in ("1", "") else f"{name} ({units})"


def ceiling_label(values: xr.DataArray, *, width: int) -> str:
    """Return what a ceiling is made of, in the words of its long name: halves of the trials are no upper bound."""
    text = readable(str(values.attrs.get("long_name", "")))
    return textwrap.fill(f"ceiling: {text}" if text else "ceiling", width=width)


def plain_names(scores: xr.Dataset, dims: set[str]) -> list[str]:
    """Return the names of the scores over `dims`, without what stands beside another one."""
    names = [str(name) for name, values in scores.data_vars.items() if set(values.dims) == dims]
    every = {str(name) for name in scores.data_vars}
    return [name for name in names if not _beside(name, every)]


def _beside(name: str, every: set[str]) -> bool:
    return any(name.startswith(other) and BESIDE.match(name[len(other) :]) for other in every if other != name)


def chosen_name(scores: xr.Dataset, name: str | None, dims: set[str]) -> str:
    """Return `name`, or the only score over `dims`.

    Raises
    ------
    ArgumentError
        If there is no such score, or several and none is named.
    """
    if name is not None and name in scores.data_vars and set(scores[name].dims) == dims:
        return name
    found = plain_names(scores, dims)
    if name is not None or len(found) != 1:
        raise ArgumentError(
            f"got name={name!r}, expected one of the scores over {' and '.join(sorted(dims))}:"
            f" {', '.join(found) or 'there is none'}"
        )
    return found[0]


def beside(scores: xr.Dataset, name: str, part: str) -> xr.DataArray | None:
    """Return the variable NAME_part, or the first NAME_part_..., or None."""
    plain = scores.get(f"{name}_{part}")
    if plain is not None:
        return plain
    others = [str(key) for key in scores.data_vars if str(key).startswith(f"{name}_{part}_")]
    return scores[others[0]] if others else None


def number(value: xr.DataArray | float | None) -> str:
    """Return a number with two digits behind the point, "n/a" where there is none."""
    return "n/a" if value is None or not np.isfinite(float(value)) else f"{float(value):.2f}"


def p_text(p: xr.DataArray | float | None) -> str:
    """Return ``p = 0.012``, ``p < 0.001``, or "" where it is not known."""
    if p is None or not np.isfinite(float(p)):
        return ""
    return "p < 0.001" if float(p) < 0.001 else f"p = {float(p):.2g}"


def need_variables(scores: xr.Dataset, what: str, made_by: str, *names: str) -> None:
    """Return nothing if the Dataset has all `names`.

    Raises
    ------
    ArgumentError
        If it has not; `made_by` is the function whose result has them.
    """
    missing = [name for name in names if name not in scores.variables]
    if missing:
        raise ArgumentError(f"got a Dataset without {', '.join(missing)}, expected {what}: the result of {made_by}")


def onset_line(ax: Axes) -> None:
    """Draw a thin line at stimulus onset, time 0, where that is inside the axis."""
    low, high = ax.get_xlim()
    if low < 0 < high:
        ax.axvline(0, color="black", lw=0.8, ls=":", zorder=1)
