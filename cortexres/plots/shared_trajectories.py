"""Trajectories of both sides in one space: the brain as lines, the network's blocks as dots, coloured by their time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from cortexres.errors import ArgumentError
from cortexres.plots.labels import need_variables
from cortexres.plots.style import BLACK, GREY, colour_bar, legend_below, name_finding, tidy

SHOWN = 4


def shared_trajectories(
    space: xr.Dataset, ax: Axes, *, stimuli: Sequence[int] | None = None, components: tuple[int, int] = (0, 1)
) -> Axes:
    """Return `ax` with the way of the responses to some stimuli through two dimensions.

    Parameters
    ----------
    space : Dataset
        From `compare.shared_space`.
    ax : matplotlib.axes.Axes
        Where to draw.
    stimuli : sequence of int, optional
        Ids; the first four where it is left out.
    components : (int, int)
        Dimensions across and up.

    Raises
    ------
    ArgumentError
        If there are no trajectories, or a stimulus or component is unknown.
    """
    need_variables(space, "both sides in one space", "compare.shared_space", "brain", "network", "t_ms")
    chosen = _chosen(space, stimuli, components)
    brain, network = (space[side].isel(component=list(components)) for side in ("brain", "network"))
    time, t_ms = space["time"].to_numpy(), space["t_ms"].to_numpy()
    low, high = float(time[0]), float(time[-1])
    for stimulus in chosen:
        way = brain.sel(stimulus=stimulus).to_numpy()
        pieces = np.stack([way[:-1], way[1:]], axis=1)
        lines = LineCollection(list(pieces), array=(time[1:] + time[:-1]) / 2, cmap="viridis", lw=3.0, alpha=0.7)
        lines.set_clim(low, high)
        ax.add_collection(lines)
        blocks = network.sel(stimulus=stimulus).to_numpy()
        known = np.isfinite(t_ms)
        ax.plot(*blocks.T, color=GREY, lw=0.8, zorder=2)
        across, up = blocks[known].T
        colours = {"c": t_ms[known], "cmap": "viridis", "vmin": low, "vmax": high}
        dots = ax.scatter(across, up, s=48, edgecolors=BLACK, lw=0.9, zorder=3, **colours)
        label = f": {space['label'].sel(stimulus=stimulus).item()}" if "label" in space.coords else ""
        ax.annotate(
            f"#{stimulus}{label}", way[-1], textcoords="offset points", xytext=(6, 4), fontsize=9, parse_math=False
        )
    ax.autoscale_view()
    ax.margins(0.08)
    colour_bar(ax, dots, label="time after onset (ms)")
    _name_axes(ax, space, components)
    handles = [
        Line2D([], [], color=GREY, lw=3, label="brain, mean over trials"),
        Line2D([], [], color=GREY, marker="o", mec=BLACK, lw=0.8, label="network, a dot per block"),
    ]
    legend_below(ax, handles)
    tidy(ax)
    return ax


def _chosen(space: xr.Dataset, stimuli: Sequence[int] | None, components: tuple[int, int]) -> list[int]:
    unknown = [c for c in components if not 0 <= c < space.sizes["component"]]
    if unknown:
        raise ArgumentError(f"got components {components}, expected two of 0..{space.sizes['component'] - 1}")
    ids = space["stimulus"].to_numpy().tolist()
    wanted = ids[:SHOWN] if stimuli is None else list(stimuli)
    missing = sorted(set(wanted) - set(ids))
    if missing or not wanted:
        raise ArgumentError(f"got stimulus ids {missing or 'none'}, expected some of {ids[0]}..{ids[-1]}")
    return wanted


def _name_axes(ax: Axes, space: xr.Dataset, components: tuple[int, int]) -> None:
    units = str(space["brain"].attrs.get("units", "1"))
    texts = []
    for component in components:
        share = ""
        if "variance_explained" in space:
            share = f", {100 * float(space['variance_explained'][component]):.0f} % of variance"
        texts.append(f"component {component + 1}{f' ({units})' if units != '1' else ''}{share}")
    ax.set_xlabel(texts[0])
    ax.set_ylabel(texts[1])
    # fitted or not is what a reader must know before looking at how near dots and lines are
    name_finding(ax, str(space.attrs.get("space", "")))
