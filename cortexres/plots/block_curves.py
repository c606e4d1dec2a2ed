"""Similarity over time, a curve per block, under the ceiling that noise leaves it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes

from cortexres.errors import ArgumentError
from cortexres.plots.labels import beside, ceiling_label, chosen_name, onset_line
from cortexres.plots.similarity_map import is_distance
from cortexres.plots.style import BLACK, GREY, name_finding, readable, tidy

SHOWN = 6


def block_curves(
    scores: xr.Dataset,
    ax: Axes,
    *,
    name: str | None = None,
    blocks: Sequence[int] | None = None,
    ceiling: xr.Dataset | None = None,
) -> Axes:
    """Return `ax` with a curve per block, from dark (first) to bright (last), each with a marker where it matches best.

    The ceiling is a black line, named by what it is made of, or a band between its lower and upper bound; the dotted
    line is what chance reaches anywhere on the map.

    Parameters
    ----------
    scores : Dataset
        With the score over (time, block), from `compare.compare` or `compare.encode`.
    ax : matplotlib.axes.Axes
        Where to draw.
    name : str, optional
        Score to draw; may be left out where there is one only.
    blocks : sequence of int, optional
        Blocks to draw; six from the first to the last that is defined where it is left out.
    ceiling : Dataset, optional
        With ``lower`` and ``upper``, or ``ceiling`` (time), instead of the score's own.

    Raises
    ------
    ArgumentError
        If there is no such score, or a block is unknown.
    """
    name = chosen_name(scores, name, {"time", "block"})
    values = scores[name].transpose("block", "time")
    time = scores["time"].to_numpy()
    chosen = _chosen(values, blocks)
    for k, block in enumerate(chosen):
        curve = values.sel(block=block).to_numpy()
        colour = colormaps["viridis"](k / max(len(chosen) - 1, 1) * 0.9)
        ax.plot(time, curve, color=colour, lw=1.8, label=f"block {block}")
        if np.isfinite(curve).any():
            peak = int(np.nanargmin(curve) if is_distance(scores, name) else np.nanargmax(curve))
            ax.plot(time[peak], curve[peak], "v", color=colour, ms=8, mec=BLACK, mew=0.8)
    _draw_ceiling(ax, scores.get(f"{name}_ceiling"), ceiling)
    chance = beside(scores, name, "null_max")
    if chance is not None:
        share = "5 %" if is_distance(scores, name) else "95 %"
        ax.axhline(float(chance), color=GREY, lw=1.4, ls=":", label=f"chance, {share}")
    ax.set_xlim(time[0], time[-1])
    onset_line(ax)
    ax.set_xlabel("time after onset (ms)")
    what = readable(str(scores.attrs.get("metric", name)))
    ax.set_ylabel(what)
    count = scores.attrs.get("n_stimuli")
    name_finding(ax, f"{what} of each block and the brain" + (f", {count} stimuli" if count else ""))
    ax.legend(fontsize=9, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    tidy(ax)
    return ax


def _chosen(values: xr.DataArray, blocks: Sequence[int] | None) -> list[int]:
    known = values["block"].to_numpy().tolist()
    if blocks is not None:
        missing = sorted(set(blocks) - set(known))
        if missing or not blocks:
            raise ArgumentError(f"got blocks {missing or 'none'}, expected some of {known[0]}..{known[-1]}")
        return list(blocks)
    defined = [block for block in known if bool(np.isfinite(values.sel(block=block)).any())] or known
    picks = np.linspace(0, len(defined) - 1, min(SHOWN, len(defined))).round().astype(int)
    return [int(defined[pick]) for pick in picks]


def _draw_ceiling(ax: Axes, own: xr.DataArray | None, given: xr.Dataset | None) -> None:
    if given is not None and {"lower", "upper"} <= set(given.data_vars):
        lower, upper = given["lower"], given["upper"]
        ax.fill_between(given["time"], lower, upper, color=GREY, alpha=0.4, lw=0, label="ceiling, lower to upper")
        return
    line = own if given is None else given.get("ceiling")
    if given is not None and line is None:
        names = ", ".join(map(str, given.data_vars))
        raise ArgumentError(f"got a ceiling with {names}, expected ceiling, or lower and upper")
    if line is not None:
        ax.plot(line["time"], line, color=BLACK, lw=2.0, ls=(0, (4, 1.5)), label=ceiling_label(line, width=24))
