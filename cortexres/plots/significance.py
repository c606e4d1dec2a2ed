"""What is above chance: which p-values are drawn, the outline of their cells, and what a legend says of them."""

from __future__ import annotations

import textwrap

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from numpy.typing import NDArray

LEVEL = 0.05
LABEL_WIDTH = 32


def p_values(scores: xr.Dataset, name: str) -> xr.DataArray | None:
    """Return the p-values of a score: NAME_p, else the first corrected NAME_p_..., else those of each cell alone."""
    if f"{name}_p" in scores:
        return scores[f"{name}_p"]
    others = [str(key) for key in scores.data_vars if str(key).startswith(f"{name}_p_")]
    others.sort(key=lambda key: key == f"{name}_p_cell")  # a stable sort: these come last
    return scores[others[0]] if others else None


def share_text(p: xr.DataArray) -> str:
    """Return in how many cells p is below the level."""
    return f"{100 * float((p < LEVEL).mean()):.0f} % of cells p < .05"


def level_label(p: xr.DataArray) -> str:
    """Return what a p-value below the level means, in the words of its long name: those say what is corrected."""
    text = str(p.attrs.get("long_name", "p-value")).replace("_", " ").replace("p-value", "p < .05", 1)
    return textwrap.fill(text if "p < .05" in text else f"p < .05, {text}", width=LABEL_WIDTH)


def has_outline(p: xr.DataArray) -> bool:
    """Return whether some cells are significant and some not; else there is no outline to draw."""
    significant = (p < LEVEL).to_numpy()
    return bool(significant.any() and not significant.all())


def outline_key(p: xr.DataArray) -> Line2D:
    """Return the legend's entry of an outline."""
    return Line2D([], [], color="white", lw=2, label=level_label(p))


def draw_outline(ax: Axes, p: xr.DataArray) -> None:
    """Draw lines along the edges between cells with p below the level and cells without, p being (row, column).

    A contour of p would be drawn through the cells, at places that depend on how p falls between their centres.
    """
    inside = (p < LEVEL).to_numpy()
    y, x = (_edges(p[dim].to_numpy()) for dim in p.dims)
    across, up = np.argwhere(inside[:, 1:] != inside[:, :-1]), np.argwhere(inside[1:] != inside[:-1])
    pieces = [((x[j + 1], y[i]), (x[j + 1], y[i + 1])) for i, j in across]
    pieces += [((x[j], y[i + 1]), (x[j + 1], y[i + 1])) for i, j in up]
    for colour, width in (("black", 3.2), ("white", 1.6)):  # edged, to be seen on any colour
        ax.add_collection(LineCollection(pieces, colors=colour, linewidths=width, capstyle="projecting"), autolim=False)


def _edges(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the edges of cells that meet halfway between their centres."""
    if centres.size == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])
