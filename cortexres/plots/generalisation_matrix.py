"""Where a classifier was learned against where it was tested: times, blocks, or blocks against times."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from cortexres.errors import ArgumentError
from cortexres.plots.labels import number
from cortexres.plots.significance import draw_outline, p_values, share_text
from cortexres.plots.style import BLACK, UNDEFINED, colour_bar, name_finding, tidy, whole_numbers


def generalisation_matrix(scores: xr.Dataset, ax: Axes, *, name: str = "accuracy") -> Axes:
    """Return `ax` with the accuracy, learned at the first dim (up) and tested at the second (across).

    White outlines surround what is above chance (p < .05); the dashed diagonal is where both are the same.

    Parameters
    ----------
    scores : Dataset
        From `compare.generalise` and its like, with chance in ``attrs``.
    ax : matplotlib.axes.Axes
        Where to draw.
    name : str
        Score to draw.

    Raises
    ------
    ArgumentError
        If there is no such score over two dims.
    """
    if name not in scores.data_vars or scores[name].ndim != 2:
        found = [str(key) for key, one in scores.data_vars.items() if one.ndim == 2]
        raise ArgumentError(f"got name={name!r}, expected a score over two dims: {', '.join(found) or 'there is none'}")
    values = scores[name]
    rows, columns = (str(dim) for dim in values.dims)
    y, x = scores[rows].to_numpy(), scores[columns].to_numpy()
    chance = float(scores.attrs.get("chance", 0.0))
    mesh = ax.pcolormesh(x, y, values, cmap="viridis", vmin=chance, vmax=1.0, shading="nearest")
    ax.set_facecolor(UNDEFINED)
    p = p_values(scores, name)
    if p is not None:
        draw_outline(ax, p.transpose(rows, columns))
    if columns.removesuffix("_test") == rows:
        ax.plot([x[0], x[-1]], [x[0], x[-1]], color=BLACK, lw=1.0, ls="--")
    # learned where nothing can be told apart, accuracies fall below chance by chance: the darkest colour says so
    extend = "min" if bool(np.any(values.to_numpy() < chance)) else "neither"
    colour_bar(ax, mesh, label=f"{name} (chance {number(chance)})", extend=extend)
    ax.set_xlabel(f"tested at {_axis(scores, columns)}")
    ax.set_ylabel(f"learned at {_axis(scores, rows)}")
    facts = [str(scores.attrs[key]) for key in ("classifier",) if key in scores.attrs]
    if "n_classes" in scores.attrs:
        facts.append(f"{scores.attrs['n_classes']} classes")
    if p is not None:
        facts.append(share_text(p))
    name_finding(ax, ", ".join(facts).replace("_", " "))
    for axis, dim in ((ax.xaxis, columns), (ax.yaxis, rows)):
        if dim.startswith("block"):
            whole_numbers(axis)
    tidy(ax)
    return ax


def _axis(scores: xr.Dataset, dim: str) -> str:
    plain = dim.removesuffix("_test")
    units = str(scores[dim].attrs.get("units", "ms" if plain == "time" else ""))
    return f"{plain} ({units})" if units else plain
