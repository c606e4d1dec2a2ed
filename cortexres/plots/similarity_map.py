"""One time x block map on given axes: what is above chance, the ceiling, and the path with the band of its null."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cortexres.plots.labels import beside, chosen_name, need_variables, number, p_text
from cortexres.plots.significance import draw_outline, has_outline, outline_key, p_values, share_text
from cortexres.plots.style import (
    BLACK,
    GREY,
    UNDEFINED,
    VERMILION,
    colour_bar,
    legend_below,
    name_finding,
    readable,
    tidy,
    whole_numbers,
)

LOWEST = -0.5
NULL_EDGE = "#FFFFFF"
MAP = ("time", "block")


def similarity_map(
    scores: xr.Dataset, ax: Axes, *, name: str | None = None, alignment: xr.Dataset | None = None
) -> Axes:
    """Return `ax` with the heat map of a score over time and block, its ceiling as a strip above, and a colour bar.

    White outlines surround what is above chance (p < .05, corrected as the legend says). The dashed line is
    the time that the network itself gives its blocks. The path of an alignment is drawn with its 95 % interval, and the
    band that its null reaches; the title says its score, which is what counts: any monotone path rises.

    Parameters
    ----------
    scores : Dataset
        From `compare.compare`, or from `compare.align`, whose path is then drawn.
    ax : matplotlib.axes.Axes
        Where to draw.
    name : str, optional
        Score to draw; may be left out where there is one only.
    alignment : Dataset, optional
        From `compare.align`.

    Raises
    ------
    ArgumentError
        If there is no such score, or no path in `alignment`.
    """
    name = chosen_name(scores, name, set(MAP))
    if alignment is None and "t_ms" in scores.data_vars:
        alignment = scores
    mesh = draw_map(ax, scores, name)
    ceiling = scores.get(f"{name}_ceiling")
    if ceiling is not None:
        strip = ax.inset_axes((0, 1.02, 1, 0.06), sharex=ax)
        draw_strip(strip, ceiling, mesh)
        strip.tick_params(bottom=False, labelbottom=False)
    if alignment is not None:
        draw_path(ax, alignment)
    ax.set_xlabel("time after onset (ms)")
    ax.set_ylabel("block k")
    lines = [heading(scores, name)] + ([] if alignment is None else [path_heading(alignment)])
    name_finding(ax, *lines)
    label = readable(str(scores.attrs.get("metric", name)))
    colour_bar(ax, mesh, label=label, extend=beyond(scores[name], mesh))
    legend_below(ax, keys(scores, name, alignment), facecolor=GREY)
    tidy(ax)
    return ax


def draw_map(ax: Axes, scores: xr.Dataset, name: str) -> QuadMesh:
    """Return the mesh of a map, drawn with outlines of what is above chance; undefined scores are grey."""
    values = scores[name].transpose("block", "time")
    time, block = scores["time"].to_numpy(), scores["block"].to_numpy()
    low, high = limits(scores[name], distance=is_distance(scores, name))
    colours = "viridis_r" if is_distance(scores, name) else "viridis"  # bright is alike
    mesh = ax.pcolormesh(time, block, values, cmap=colours, vmin=low, vmax=high, shading="nearest")
    ax.set_facecolor(UNDEFINED)
    p = p_values(scores, name)
    if p is not None:
        draw_outline(ax, p.transpose("block", "time"))
    if "t_ms" in scores.coords:
        ax.plot(scores["t_ms"], block, color=VERMILION, lw=1.6, ls="--")
    ax.set_xlim(time[0], time[-1])
    ax.set_ylim(block[0] - 0.5, block[-1] + 0.5)
    whole_numbers(ax.yaxis)
    return mesh


def draw_strip(strip: Axes, ceiling: xr.DataArray, mesh: QuadMesh) -> None:
    """Draw the ceiling (time) as one row in the colours of the map."""
    time = ceiling["time"].to_numpy()
    half = (time[-1] - time[0]) / max(len(time) - 1, 1) / 2
    extent = (time[0] - half, time[-1] + half, 0.0, 1.0)
    low, high = mesh.get_clim()
    strip.imshow(ceiling.to_numpy()[None], cmap=mesh.get_cmap(), vmin=low, vmax=high, extent=extent, aspect="auto")
    strip.set_facecolor(UNDEFINED)
    strip.set_ylabel("ceiling", rotation=0, ha="right", va="center")
    strip.set_yticks([])


def draw_path(ax: Axes, alignment: xr.Dataset) -> None:
    """Draw the time of each block, its interval, and between which times the null puts it.

    Raises
    ------
    ArgumentError
        If there is no time of blocks.
    """
    need_variables(alignment, "the time of each block", "compare.align", "t_ms", "block")
    block = alignment["block"].to_numpy()
    if "null_t_ms_low" in alignment:
        low, high = alignment["null_t_ms_low"], alignment["null_t_ms_high"]
        for edge in (low, high):  # lines and no filling, which would change the colours of the map
            for colour, width in ((BLACK, 3.0), (NULL_EDGE, 1.6)):
                ax.plot(edge, block, color=colour, lw=width, ls=(0, (1.5, 1.5)), clip_on=False)
    if "t_ms_low" in alignment:
        for colour, width in ((BLACK, 2.6), (VERMILION, 1.4)):
            ax.hlines(block, alignment["t_ms_low"], alignment["t_ms_high"], color=colour, lw=width)
    for colour, width in ((BLACK, 3.8), (VERMILION, 2.2)):
        ax.plot(alignment["t_ms"], block, color=colour, lw=width, marker="o", ms=width + 2, mew=0, clip_on=False)


def keys(scores: xr.Dataset, name: str, alignment: xr.Dataset | None) -> list[Line2D | Patch]:
    """Return what the lines and areas of a map mean, for a legend."""
    found: list[Line2D | Patch] = []
    p = p_values(scores, name)
    if p is not None and has_outline(p):
        found.append(outline_key(p))
    if "t_ms" in scores.coords:
        found.append(Line2D([], [], color=VERMILION, lw=2, ls="--", label="t = k dt"))
    if alignment is not None:
        found.append(Line2D([], [], color=VERMILION, lw=2, marker="o", ms=4, label="time of the block"))
        if "t_ms_low" in alignment:
            found.append(Line2D([], [], color=VERMILION, lw=1.4, label="its 95 % interval"))
        if "null_t_ms_low" in alignment:
            found.append(Line2D([], [], color=NULL_EDGE, lw=2, ls=(0, (1.5, 1.5)), label="95 % under the null"))
    if bool(np.isnan(scores[name]).any()):
        found.append(Patch(facecolor=UNDEFINED, label="undefined"))
    return found


def heading(scores: xr.Dataset, name: str) -> str:
    """Return the score's name with the height that chance reaches anywhere on the map."""
    chance = beside(scores, name, "null_max")
    text = readable(name if name not in ("similarity", "distance") else str(scores.attrs.get("metric", name)))
    p = p_values(scores, name)
    facts = [] if chance is None else [f"chance {float(chance):.2f}"]
    facts += [] if p is None else [share_text(p)]
    return f"{text} ({'; '.join(facts)})" if facts else text


def path_heading(alignment: xr.Dataset) -> str:
    """Return how well blocks match at their times, beside what the null reaches, in one line."""
    if "score" not in alignment:
        return "time of each block"
    text = f"score of the path {number(alignment['score'])}"
    if "score_null_95" in alignment:
        edge = "5 %" if alignment.attrs.get("orientation") == "distance" else "95 %"
        text += f" (null {edge}: {number(alignment['score_null_95'])}, {p_text(alignment['score_p'])})"
    return text + (f", best possible {number(alignment['best'])}" if "best" in alignment else "")


def is_distance(scores: xr.Dataset, name: str) -> bool:
    """Return whether small values are alike."""
    return "distance" in (name, scores[name].attrs.get("orientation"), scores.attrs.get("orientation"))


def limits(values: xr.DataArray, *, distance: bool) -> tuple[float, float]:
    """Return the range of the colours: to 1 for similarities, from 0 for distances.

    Debiased scores have no bounds: one wild cell before the onset must not flatten the colours of the rest.
    """
    finite = values.to_numpy()[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return (0.0, high) if distance else (max(min(low, 0.0), LOWEST), 1.0)


def beyond(values: xr.DataArray, mesh: QuadMesh) -> str:
    """Return at which ends of the colour bar values lie beyond it: "neither", "min", "max" or "both"."""
    low, high = mesh.get_clim()
    below, above = bool((values < low).any()), bool((values > high).any())
    return {(False, False): "neither", (True, False): "min", (False, True): "max"}.get((below, above), "both")
