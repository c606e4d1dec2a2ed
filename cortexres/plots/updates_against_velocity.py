"""How alike each block's update and the brain's velocity at its time are, under the velocity's own ceiling."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from cortexres.plots.labels import ceiling_label, chosen_name, need_variables, number, p_text
from cortexres.plots.significance import LEVEL, level_label
from cortexres.plots.similarity_map import is_distance
from cortexres.plots.style import BLACK, BLUE, GREY, legend_below, name_finding, readable, tidy


def updates_against_velocity(scores: xr.Dataset, ax: Axes, *, name: str | None = None) -> Axes:
    """Return `ax` with a dot per block at its time, its ceiling and what permuted stimuli reach; full dots are p < .05.

    The title says the mean over blocks beside its ceiling: velocities are noisier than rates, so that a low score can
    be all that the recording allows.

    Parameters
    ----------
    scores : Dataset
        From `compare.updates_against_velocity`, with ``t_ms`` (block).
    ax : matplotlib.axes.Axes
        Where to draw.
    name : str, optional
        Measure to draw; may be left out where there is one only.

    Raises
    ------
    ArgumentError
        If there is no such measure, or no time of the blocks.
    """
    name = chosen_name(scores, name, {"block"})
    need_variables(scores, "updates at their times", "compare.updates_against_velocity", "t_ms", f"{name}_ceiling")
    time, values = scores["t_ms"].to_numpy(), scores[name].to_numpy()
    ceiling = scores[f"{name}_ceiling"]
    ax.plot(time, ceiling, color=BLACK, lw=2.2, label=ceiling_label(ceiling, width=48))
    if f"{name}_null" in scores:
        share = "5 %" if is_distance(scores, name) else "95 %"
        ax.plot(time, scores[f"{name}_null"], color=GREY, lw=1.8, ls=":", label=f"{share} with permuted stimuli")
    ax.plot(time, values, color=BLUE, lw=1.4)
    p = scores.get(f"{name}_p")
    significant = np.zeros(values.shape, dtype=bool) if p is None else (p < LEVEL).to_numpy()
    full = "" if p is None else level_label(p)
    for which, face, label in ((significant, BLUE, full), (~significant, "white", "not")):
        if which.any():
            ax.plot(time[which], values[which], "o", color=BLUE, mfc=face, ms=6, label=label)
    ax.axhline(0, color=GREY, lw=0.8)
    ax.set_xlabel("time of the update (ms)")
    ax.set_ylabel(f"{readable(name)} of update and dr/dt")
    name_finding(ax, _heading(scores, name))
    legend_below(ax, ax.get_legend_handles_labels()[0], columns=1)
    tidy(ax)
    return ax


def _heading(scores: xr.Dataset, name: str) -> str:
    mean = scores.get(f"{name}_mean")
    if mean is None:
        return readable(name)
    text = f"{readable(name)}: mean {number(mean)}, ceiling {number(scores.get(f'{name}_mean_ceiling'))}"
    p = p_text(scores.get(f"{name}_mean_p"))
    return f"{text}, {p}" if p else text
