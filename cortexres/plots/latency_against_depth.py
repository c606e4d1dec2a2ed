"""When each block matches the brain best, against its depth, with the calibrated p-value beside the naive one."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from cortexres.plots.labels import axis_label, need_variables, number, p_text
from cortexres.plots.style import BLUE, GREY, name_finding, readable, tidy, whole_numbers


def latency_against_depth(scores: xr.Dataset, ax: Axes) -> Axes:
    """Return `ax` with a dot per block at its latency, its 95 % interval as a bar, and the test in the title.

    The small panel holds the rank correlations under the null and, as a line, the one that was found.

    Parameters
    ----------
    scores : Dataset
        From `compare.latency_depth`.
    ax : matplotlib.axes.Axes
        Where to draw.

    Raises
    ------
    ArgumentError
        If there are no latencies.
    """
    need_variables(scores, "latencies of blocks", "compare.latency_depth", "latency_ms", "rho", "p", "p_naive")
    block, latency = scores["block"].to_numpy(), scores["latency_ms"].to_numpy()
    if "latency_ms_low" in scores:
        ax.vlines(block, scores["latency_ms_low"], scores["latency_ms_high"], color=GREY, lw=2.0)
    ax.plot(block, latency, "o", color=BLUE, ms=7)
    if "null_rho" in scores:
        _small_panel(ax, scores)
    measure = readable(str(scores.attrs.get("metric", ""))).strip()
    whole_numbers(ax.xaxis)
    ax.set_xlabel("block k")
    ax.set_ylabel(axis_label(scores["latency_ms"]))
    found = f"rank correlation {number(scores['rho'])}, {p_text(scores['p']) or 'no p'}"
    naive = f"(as if blocks were independent: {p_text(scores['p_naive']) or 'no p'})"
    name_finding(ax, f"{measure + ': ' if measure else ''}{found}", naive)
    tidy(ax)
    return ax


def _small_panel(ax: Axes, scores: xr.Dataset) -> None:
    """Draw the histogram of the first null's rank correlations."""
    null = scores["null_rho"].isel(null=0).to_numpy()
    panel = ax.inset_axes((1.04, 0.0, 0.18, 1.0))
    panel.hist(null[np.isfinite(null)], bins=20, range=(-1, 1), orientation="horizontal", color=GREY)
    if np.isfinite(float(scores["rho"])):
        panel.axhline(float(scores["rho"]), color=BLUE, lw=2.2)
    panel.set_ylim(-1, 1)
    panel.set_yticks([-1, 0, 1])
    panel.yaxis.tick_right()  # away from the latencies
    panel.yaxis.set_label_position("right")
    panel.set_xticks([])
    panel.set_xlabel("draws", fontsize=9)
    panel.set_ylabel("rank correlation under the null", fontsize=9, labelpad=0)
    panel.spines[["top", "left", "bottom"]].set_visible(False)
