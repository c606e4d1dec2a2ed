"""y = x + F(x) on both sides: the feedforward input x, the recurrent input F(x), and their sum, in mV."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cortexres.errors import ArgumentError
from cortexres.plots.rates_against_blocks import shared_stimuli
from cortexres.plots.select import chosen_stimuli, mean_and_error, need, populations
from cortexres.plots.style import BLACK, BLUE, GREEN, GREY, VERMILION, blank, tidy

COMPONENTS = {
    "feedforward": ("x: feedforward", GREEN),
    "recurrent_excitatory": ("F(x), excitatory", VERMILION),
    "recurrent_inhibitory": ("F(x), inhibitory", BLUE),
}


def x_and_f(
    brain: xr.Dataset,
    network: xr.Dataset,
    *,
    stimulus: int | None = None,
    assembly: int | None = None,
    title: str | None = None,
) -> Figure:
    """Return a row per population: x, excitatory F, inhibitory F, and x + F of one assembly, line and dots.

    Parameters
    ----------
    brain, network : Dataset
        Both with feedforward, recurrent_excitatory and recurrent_inhibitory in mV, of the same units; the
        network with t_ms (block).
    stimulus : int, optional
        Id; that with the strongest response where it is left out.
    assembly : int, optional
        The one with the strongest response of the first population where it is left out.

    Raises
    ------
    ArgumentError
        If a component is missing, units or stimuli differ, or the assembly is unknown.
    """
    need(brain, "brain", "response", *COMPONENTS, "population", "assembly", "name")
    need(network, "network", *COMPONENTS, "t_ms", "name")
    wanted = None if stimulus is None else [stimulus]
    identity = chosen_stimuli(shared_stimuli(brain, network), wanted, count=1)[0]
    ours, theirs = brain.sel(stimulus=identity), network.sel(stimulus=identity)
    units = _units(ours, assembly)
    figure = blank(height=1.2 + 2.5 * len(units), title=title or _finding(brain, network))
    grid = figure.subplots(len(units), 4, sharex=True, sharey="row", squeeze=False)
    for row, unit in zip(grid, units, strict=True):
        for axes, (name, (label, colour)) in zip(row, COMPONENTS.items(), strict=False):
            _draw(axes, ours[name].isel(unit=unit), theirs[name].isel(unit=unit), colour)
            axes.set_title(label, loc="left")
        _draw(row[3], _total(ours).isel(unit=unit), _total(theirs).isel(unit=unit), BLACK)
        row[3].set_title("x + F(x)", loc="left")
        row[0].set_ylabel(f"{ours['name'].to_numpy()[unit]}, stimulus {identity}\ninput (mV)")
    for axes in grid.flat:
        axes.axhline(0, color=GREY, lw=0.6)
        tidy(axes)
    for axes in grid[-1]:
        axes.set_xlabel("time after onset (ms)")
    keys = [Line2D([], [], color=GREY, lw=4.5, alpha=0.5, label="circuit, mean ± s.e. over trials")]
    keys += [Line2D([], [], color=GREY, marker="o", ls="", ms=4, label="network, block k at t = k dt")]
    figure.legend(handles=keys, loc="outside lower center", ncols=2, frameon=False, fontsize=10)
    return figure


def _units(brain: xr.Dataset, assembly: int | None) -> list[int]:
    """Return one unit per population, all of one assembly where the population has it, else its first."""
    population, member = brain["population"].to_numpy(), brain["assembly"].to_numpy()
    names = populations(brain)
    first = np.flatnonzero(population == names[0])
    strength = brain["response"].mean(("trial", "time")).to_numpy()
    chosen = member[first[np.argmax(strength[first])]] if assembly is None else assembly
    if chosen not in member:
        raise ArgumentError(f"got assembly {assembly}, expected one of {sorted(set(member.tolist()))}")
    units = []
    for name in names:
        same = np.flatnonzero((population == name) & (member == chosen))
        units.append(int(same[0] if same.size else np.flatnonzero(population == name)[0]))
    return units


def _total(data: xr.Dataset) -> xr.DataArray:
    """Return x + F(x): the sum of the three components."""
    return data["feedforward"] + data["recurrent_excitatory"] + data["recurrent_inhibitory"]


def _draw(axes: Axes, brain: xr.DataArray, network: xr.DataArray, colour: str) -> None:
    """Draw the circuit as a line with its error band and the network's blocks as dots."""
    mean, error = mean_and_error(brain)
    axes.fill_between(brain["time"], mean - error, mean + error, color=colour, alpha=0.25, lw=0)
    axes.plot(brain["time"], mean, color=colour, lw=4.5, alpha=0.4)
    axes.plot(network["t_ms"], network, "o", color=colour, ms=2.6, mew=0)


def _finding(brain: xr.Dataset, network: xr.Dataset) -> str:
    """Return how large F is beside x once the response has settled, on both sides, in one line."""
    late = brain.sel(time=slice(0.75 * float(brain["time"][-1]), None)).mean(("trial", "time"))
    sides = []
    for side in (late, network.isel(block=-1)):
        recurrent = side["recurrent_excitatory"] + side["recurrent_inhibitory"]
        sides.append(float(recurrent.mean()))
    return f"Settled F(x), mean of all units: circuit {sides[0]:.2f} mV, network {sides[1]:.2f} mV"
