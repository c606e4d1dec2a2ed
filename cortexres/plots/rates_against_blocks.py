"""The circuit's rates as lines, the network's blocks as dots at t = k dt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cortexres.errors import ArgumentError
from cortexres.plots.select import chosen_stimuli, mean_and_error, need, populations
from cortexres.plots.style import BLUE, GREEN, GREY, VERMILION, blank, tidy

RANKS = {"strongest": VERMILION, "middle": GREEN, "weakest": BLUE}


def rates_against_blocks(
    brain: xr.Dataset, network: xr.Dataset, *, stimuli: Sequence[int] | None = None, title: str | None = None
) -> Figure:
    """Return a grid, populations by stimuli: circuit mean ± s.e. as lines, blocks as dots at their time.

    Of each population three assemblies are drawn: those that respond most, in the middle, and least.

    Parameters
    ----------
    brain : Dataset
        response (stimulus, trial, time, unit) in Hz.
    network : Dataset
        response (stimulus, block, unit) of the same units, with t_ms (block).
    stimuli : sequence of int, optional
        Up to four ids; three from the strongest to the weakest response where they are left out.

    Raises
    ------
    ArgumentError
        If the network has no time step, other units or other stimuli, or an id is unknown.
    """
    need(brain, "brain", "response", "population", "name")
    need(network, "network", "response", "t_ms", "name")
    chosen = chosen_stimuli(shared_stimuli(brain, network), stimuli, count=3)
    names = populations(brain)
    figure = blank(height=1.2 + 2.5 * len(names), title=title or _finding(brain, network))
    grid = figure.subplots(len(names), len(chosen), sharex=True, sharey="row", squeeze=False)
    for row, population in zip(grid, names, strict=True):
        for axes, identity in zip(row, chosen, strict=True):
            _cell(axes, brain.sel(stimulus=identity), network.sel(stimulus=identity), population)
            label = f", label {brain['label'].sel(stimulus=identity).item()}" if "label" in brain.coords else ""
            axes.set_title(f"{population}, stimulus {identity}{label}", loc="left", parse_math=False)
            tidy(axes)
        row[0].set_ylabel("rate (Hz)")
    for axes in grid[-1]:
        axes.set_xlabel("time after onset (ms)")
    keys = [Line2D([], [], color=colour, lw=2, label=f"{rank} assembly") for rank, colour in RANKS.items()]
    keys += [Line2D([], [], color=GREY, lw=2, label="circuit, mean ± s.e.")]
    keys += [Line2D([], [], color=GREY, marker="o", ls="", ms=4, label="network, t = k dt")]
    figure.legend(handles=keys, loc="outside lower center", ncols=5, frameon=False, fontsize=9.5, columnspacing=1.2)
    return figure


def shared_stimuli(brain: xr.Dataset, network: xr.Dataset) -> xr.Dataset:
    """Return `brain` if both sides have the same stimuli and units.

    Raises
    ------
    ArgumentError
        If they do not.
    """
    if set(brain["stimulus"].to_numpy().tolist()) != set(network["stimulus"].to_numpy().tolist()):
        raise ArgumentError("got a brain and a network of other stimuli, expected the same ids: record the same images")
    ours, theirs = brain["name"].to_numpy().tolist(), network["name"].to_numpy().tolist()
    if ours != theirs:
        raise ArgumentError(
            f"got units {theirs[:3]}... in the network, expected {ours[:3]}...: use this circuit's network"
        )
    return brain


def _cell(axes: Axes, brain: xr.Dataset, network: xr.Dataset, population: str) -> None:
    """Draw one population under one stimulus."""
    members = np.flatnonzero(brain["population"].to_numpy() == population)
    mean, error = mean_and_error(brain["response"].isel(unit=members))
    order = np.argsort(-mean.mean("time").to_numpy(), kind="stable")
    picks = dict(zip(RANKS, (order[0], order[len(order) // 2], order[-1]), strict=True))
    for rank, unit in picks.items():
        line, width = mean.isel(unit=unit).to_numpy(), error.isel(unit=unit).to_numpy()
        axes.fill_between(brain["time"], line - width, line + width, color=RANKS[rank], alpha=0.25, lw=0)
        axes.plot(brain["time"], line, color=RANKS[rank], lw=1.2)
        dots = network["response"].isel(unit=members[unit])
        axes.plot(network["t_ms"], dots, "o", color=RANKS[rank], ms=3.5, mec="white", mew=0.4)


def _finding(brain: xr.Dataset, network: xr.Dataset) -> str:
    """Return how far the last block lies from the rates at that time, in one line."""
    settled = brain["response"].sel(time=slice(0.75 * float(brain["time"][-1]), None)).mean(("trial", "time"))
    last = network["response"].isel(block=-1)
    error = abs(last - settled) / settled.where(settled > 0)
    median = 100 * float(error.median())
    return f"The last block lies {median:.1f} % (median) from the circuit's settled rates"
