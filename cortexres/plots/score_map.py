"""Time by block maps of similarity: what is significant, where t = k dt lies, and how high the ceiling is."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cortexres.errors import ArgumentError
from cortexres.plots.labels import plain_names
from cortexres.plots.similarity_map import MAP, beyond, draw_map, draw_path, draw_strip, heading, keys
from cortexres.plots.style import GREY, blank, readable, tidy


def score_map(
    scores: xr.Dataset,
    *,
    metrics: Sequence[str] | None = None,
    alignment: xr.Dataset | None = None,
    title: str | None = None,
) -> Figure:
    """Return one heat map (time, block) per metric, and its ceiling as a strip below, on the same scale.

    White outlines surround what is above chance over the whole map (p < .05, corrected as the legend says); the dashed
    line is t = k dt.

    Parameters
    ----------
    scores : Dataset
        Per metric NAME (time, block) and, where known, NAME_p (time, block), NAME_ceiling (time) and
        NAME_null_max (); t_ms (block) for the line.
    metrics : sequence of str, optional
        Names to draw; all where it is left out.
    alignment : Dataset, optional
        From `compare.align`: its path is drawn over each map, with its interval and the band of its null.

    Raises
    ------
    ArgumentError
        If there is no such map in the Dataset.
    """
    names = _maps(scores, metrics)
    figure = blank(height=5.4, title=title or _finding(scores, names))
    grid = figure.subplots(2, len(names), sharex=True, squeeze=False, height_ratios=[8, 1])
    for column, name in enumerate(names):
        _panel(figure, (grid[0, column], grid[1, column]), scores, name, alignment)
    grid[0][0].set_ylabel("block k")
    handles = {key.get_label(): key for name in names for key in keys(scores, name, alignment)}
    figure.legend(handles=list(handles.values()), loc="outside lower center", ncols=3, fontsize=10, facecolor=GREY)
    return figure


def _maps(scores: xr.Dataset, metrics: Sequence[str] | None) -> list[str]:
    """Return the names of the maps to draw."""
    maps = [str(name) for name, values in scores.data_vars.items() if set(values.dims) == set(MAP)]
    plain = plain_names(scores, set(MAP))
    wanted = list(plain if metrics is None else metrics)
    missing = [name for name in wanted if name not in maps]
    if missing or not wanted:
        raise ArgumentError(f"got metrics {missing or 'none'}, expected maps (time, block) among {plain or 'none'}")
    return wanted


def _panel(
    figure: Figure, column: Sequence[Axes], scores: xr.Dataset, name: str, alignment: xr.Dataset | None
) -> None:
    """Draw one metric: the map, and the ceiling beneath it."""
    upper, lower = column
    mesh = draw_map(upper, scores, name)
    if alignment is not None:
        draw_path(upper, alignment)
    upper.set_title(heading(scores, name), loc="left")
    ceiling = scores.get(f"{name}_ceiling")
    if ceiling is not None:
        draw_strip(lower, ceiling, mesh)
    else:
        lower.text(0.5, 0.5, "no ceiling known", transform=lower.transAxes, ha="center", va="center")
    lower.set_yticks([])
    lower.set_xlabel("time after onset (ms)")
    figure.colorbar(mesh, ax=list(column), label=readable(name), aspect=30, extend=beyond(scores[name], mesh))
    for axes in column:
        tidy(axes)


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
