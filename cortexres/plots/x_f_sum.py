"""x, F(x) and their sum block after block: how large each is on both sides, and how alike the two sides are."""

from __future__ import annotations

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from cortexres.plots.labels import axis_label, chosen_name, need_variables, number
from cortexres.plots.style import BLACK, GREEN, VERMILION, legend_below, readable, tidy

PARTS = {"x": ("x", GREEN), "recurrent": ("F(x)", VERMILION), "sum": ("x + F(x)", BLACK)}


def x_f_sum(scores: xr.Dataset, ax: Axes, *, name: str | None = None) -> Axes:
    """Return `ax` with the sizes of x, F(x) and their sum: lines for the brain, dots for the network's blocks.

    The legend says how alike the two sides are in each part, as mean over blocks, beside its ceiling.

    Parameters
    ----------
    scores : Dataset
        From `compare.components`.
    ax : matplotlib.axes.Axes
        Where to draw.
    name : str, optional
        Measure to quote; the first where it is left out.

    Raises
    ------
    ArgumentError
        If the sizes or the measure are missing.
    """
    need_variables(scores, "the parts' sizes", "compare.components", "brain_size", "network_size", "part", "t_ms")
    quoted = _quoted(scores, name)
    sides = _sides(ax, scores)
    time = scores["t_ms"].to_numpy()
    dots: list[Line2D] = []
    for part, (label, colour) in PARTS.items():
        if part not in scores["part"].to_numpy():
            continue
        here = scores.sel(part=part)
        sides[0].plot(time, here["brain_size"], color=colour, lw=4.5, alpha=0.35)
        text = "" if quoted is None else f": {readable(quoted.removesuffix('_mean'))} {number(here[quoted])}"
        if quoted is not None and f"{quoted}_ceiling" in here:
            text += f" (ceiling {number(here[f'{quoted}_ceiling'])})"
        dots += sides[1].plot(time, here["network_size"], "o", color=colour, ms=5, label=f"{label}{text}")
    for axes, size in zip(sides, ("brain_size", "network_size"), strict=True):
        axes.set_ylim(bottom=0)
        axes.set_ylabel(axis_label(scores[size], "root mean square" if sides[0] is sides[1] else readable(size)))
        tidy(axes)
    sides[1].spines["right"].set_visible(sides[0] is not sides[1])
    ax.set_xlabel("time of the block (ms)")
    ax.set_title("brain (lines) and network (dots)", loc="left")
    legend_below(ax, dots, columns=1)
    return ax


def _quoted(scores: xr.Dataset, name: str | None) -> str | None:
    """Return the name of the mean to quote; None where there is no measure."""
    if name is not None:
        return chosen_name(scores, f"{name}_mean", {"part"})
    means = [str(key) for key in scores.data_vars if str(key).endswith("_mean") and f"{key}_ceiling" in scores]
    return means[0] if means else None


def _sides(ax: Axes, scores: xr.Dataset) -> tuple[Axes, Axes]:
    """Return the axes of brain and network: the same where both are in the same units, else one scale on each side."""
    same = scores["brain_size"].attrs.get("units") == scores["network_size"].attrs.get("units")
    return ax, ax if same else ax.twinx()
