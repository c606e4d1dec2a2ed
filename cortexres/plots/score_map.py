"""Time by block maps of similarity: what is significant, where t = k dt lies, and how high the ceiling is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cortexres.errors import ArgumentError
from cortexres.plots.style import GREY, VERMILION, blank, readable, tidy

PARTS = ("_null", "_p", "_low", "_high", "_ceiling", "_null_max")
LOWEST = -0.5
UNDEFINED = "#DDDDDD"


def score_map(scores: xr.Dataset, *, metrics: Sequence[str] | None = None, title: str | None = None) -> Figure:
    """Return one heat map (time, block) per metric, and its ceiling as a strip below, on the same scale.

    White outlines surround what is above chance over the whole map (p < .05, max-statistic); the dashed line
    is t = k dt.

    Parameters
    ----------
    scores : Dataset
        Per metric NAME (time, block) and, where known, NAME_p (time, block), NAME_ceiling (time) and
        NAME_null_max (); t_ms (block) for the line.
    metrics : sequence of str, optional
        Names to draw; all where it is left out.

    Raises
    ------
    ArgumentError
        If there is no such map in the Dataset.
    """
    names = _maps(scores, metrics)
    figure = blank(height=5.4, title=title or _finding(scores, names))
    grid = figure.subplots(2, len(names), sharex=True, squeeze=False, height_ratios=[8, 1])
    for column, name in enumerate(names):
        _panel(figure, (grid[0, column], grid[1, column]), scores, name)
    grid[0][0].set_ylabel("block k")
    outline = Line2D([], [], color="white", lw=2, label="p < .05, corrected over the whole map")
    ridge = Line2D([], [], color=VERMILION, lw=2, ls="--", label="t = k dt")
    undefined = Patch(facecolor=UNDEFINED, label="undefined")
    figure.legend(handles=[outline, ridge, undefined], loc="outside lower center", ncols=3, fontsize=10, facecolor=GREY)
    return figure


def _maps(scores: xr.Dataset, metrics: Sequence[str] | None) -> list[str]:
    """Return the names of the maps to draw."""
    maps = [str(name) for name, values in scores.data_vars.items() if set(values.dims) == {"time", "block"}]
    plain = [name for name in maps if not (name.endswith(PARTS) and name.rsplit("_", 1)[0] in maps)]
    wanted = list(plain if metrics is None else metrics)
    missing = [name for name in wanted if name not in maps]
    if missing or not wanted:
        raise ArgumentError(f"got metrics {missing or 'none'}, expected maps (time, block) among {plain or 'none'}")
    return wanted


def _panel(figure: Figure, column: Sequence[Axes], scores: xr.Dataset, name: str) -> None:
    """Draw one metric: the map, and the ceiling beneath it."""
    upper, lower = column
    values = scores[name].transpose("block", "time")
    time, block = scores["time"].to_numpy(), scores["block"].to_numpy()
    ceiling = scores.get(f"{name}_ceiling")
    finite = values.to_numpy()[np.isfinite(values)]
    low, top = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    # debiased scores have no bounds: one wild cell before the onset must not flatten the colours of the rest
    bottom = max(min(low, 0.0), LOWEST)
    extend = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[low < LOWEST, top > 1.0]
    mesh = upper.pcolormesh(time, block, values, cmap="viridis", vmin=bottom, vmax=1.0, shading="nearest")
    upper.set_facecolor(UNDEFINED)  # undefined scores (NaN) are grey, not a value
    probability = scores.get(f"{name}_p")
    if probability is not None and min(probability.shape) > 1 and _has_edge(probability):
        p = probability.transpose("block", "time").fillna(1.0)
        for colour, width in (("black", 3.2), ("white", 1.6)):  # edged, to be seen on any colour
            upper.contour(time, block, p, levels=[0.05], colors=colour, linewidths=width)
    if "t_ms" in scores.coords:
        upper.plot(scores["t_ms"], block, color=VERMILION, lw=1.6, ls="--")
    upper.set_xlim(time[0], time[-1])
    upper.set_ylim(block[0] - 0.5, block[-1] + 0.5)
    upper.set_title(_heading(scores, name), loc="left")
    if ceiling is not None:
        half = (time[-1] - time[0]) / max(len(time) - 1, 1) / 2
        extent = (time[0] - half, time[-1] + half, 0.0, 1.0)
        lower.imshow(ceiling.to_numpy()[None], cmap="viridis", vmin=bottom, vmax=1.0, extent=extent, aspect="auto")
        lower.set_facecolor(UNDEFINED)
        lower.set_ylabel("ceiling", rotation=0, ha="right", va="center")
    else:
        lower.text(0.5, 0.5, "no ceiling known", transform=lower.transAxes, ha="center", va="center")
    lower.set_yticks([])
    lower.set_xlabel("time after onset (ms)")
    figure.colorbar(mesh, ax=list(column), label=readable(name), aspect=30, extend=extend)
    for axes in column:
        tidy(axes)


def _has_edge(probability: xr.DataArray) -> bool:
    """Return whether some cells are significant and some not; else there is no outline to draw."""
    significant = (probability < 0.05).to_numpy()
    return bool(significant.any() and not significant.all())


def _heading(scores: xr.Dataset, name: str) -> str:
    """Return the metric's name with the height that chance reaches anywhere on the map."""
    chance = scores.get(f"{name}_null_max")
    text = readable(name)
    probability = scores.get(f"{name}_p")
    extent = "" if probability is None else f"; {100 * float((probability < 0.05).mean()):.0f} % of cells p < .05"
    return text if chance is None else f"{text} (chance {float(chance):.2f}{extent})"


def _finding(scores: xr.Dataset, names: Sequence[str]) -> str:
    """Return the mean score along t = k dt beside that of the map, in one line."""
    if "t_ms" not in scores.coords:
        return "Similarity of each block to each moment of the response"
    parts = []
    for name in names:
        along, off = _ridge(scores[name], scores["t_ms"])
        parts.append(f"{readable(name)} {along:.2f} ({off:.2f})")
    return "Mean where t = k dt (over the whole map): " + ", ".join(parts)


def _ridge(values: xr.DataArray, t_ms: xr.DataArray) -> tuple[float, float]:
    """Return the mean over the block nearest to each time, and over all cells."""
    distance = abs(values["time"] - t_ms)
    nearest = distance.argmin("block")
    inside = values["time"] <= float(t_ms.max()) + 1e-9
    along = values.isel(block=nearest).where(inside)
    return float(along.mean()), float(values.mean())
