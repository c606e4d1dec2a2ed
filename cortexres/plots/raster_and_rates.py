"""One trial's spikes above the rates of all trials."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cortexres.errors import ArgumentError
from cortexres.plots.select import chosen_stimuli, mean_and_error, need, population_colours, populations
from cortexres.plots.style import BLACK, blank, tidy


def raster_and_rates(
    spikes: xr.Dataset,
    brain: xr.Dataset,
    *,
    stimulus: int | None = None,
    trial: int = 0,
    title: str | None = None,
) -> Figure:
    """Return a spike raster of one trial over the rates of each population, trial mean and standard error.

    Parameters
    ----------
    spikes : Dataset
        Events (spike) with time in ms, cell, unit, trial, stimulus.
    brain : Dataset
        The same simulation binned: response (stimulus, trial, time, unit) in Hz.
    stimulus : int, optional
        Id of the stimulus; that with the strongest response where it is left out.
    trial : int
        Trial of the raster.

    Raises
    ------
    ArgumentError
        If the spikes hold none of that stimulus and trial, or a Dataset lacks what is drawn.
    """
    need(spikes, "spike", "time", "cell", "unit", "trial", "stimulus")
    need(brain, "brain", "response", "population", "name")
    available = np.unique(spikes["stimulus"].to_numpy())
    known = brain.sel(stimulus=np.intersect1d(available, brain["stimulus"].to_numpy()))
    if known.sizes["stimulus"] == 0:
        raise ArgumentError("got spikes and rates that share no stimulus, expected those of one simulation")
    identity = chosen_stimuli(known, None if stimulus is None else [stimulus], count=1)[0]
    events = spikes.isel(spike=((spikes["stimulus"] == identity) & (spikes["trial"] == trial)).to_numpy())
    if events.sizes["spike"] == 0:
        raise ArgumentError(f"got no spikes of stimulus {identity}, trial {trial}, expected some: choose another")
    names = populations(brain)
    response = brain["response"].sel(stimulus=identity)
    figure = blank(height=4.2 + 1.6 * len(names), title=title or _finding(response, names))
    heights = [2.6] + [1.0] * len(names)
    upper, *lower = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    _raster(upper, events, brain, names)
    upper.set_title(f"Spikes, stimulus {identity}, trial {trial}", loc="left")
    for axes, name in zip(lower, names, strict=True):
        _rates(axes, response, name, population_colours(names)[name])
    lower[-1].set_xlabel("time after stimulus onset (ms)")
    for axes in (upper, *lower):
        axes.axvline(0, color=BLACK, lw=0.8, ls=":")
        tidy(axes)
    return figure


def _finding(response: xr.DataArray, names: list[str]) -> str:
    """Return how far each population's rate moves, in one line."""
    half = response.isel(time=slice(response.sizes["time"] // 2, None)).mean(("trial", "time"))
    parts = []
    for name in names:
        rates = half.values[response["population"].to_numpy() == name]
        parts.append(f"{name} assemblies settle at {rates.min():.0f}-{rates.max():.0f} Hz")
    return ", ".join(parts)


def _raster(axes: Axes, events: xr.Dataset, brain: xr.Dataset, names: list[str]) -> None:
    """Draw one dot per spike, cells in order, with the units' names on the left."""
    unit = events["unit"].to_numpy().astype(int)
    time, cell = events["time"].to_numpy(), events["cell"].to_numpy()
    of_unit = brain["population"].to_numpy()
    for name, colour in population_colours(names).items():
        here = of_unit[unit] == name
        axes.plot(time[here], cell[here], "o", ms=1.1, mew=0, color=colour, rasterized=True)
    centres, labels = _labels(unit, cell, brain)
    axes.set_yticks(centres, labels=labels)
    axes.set_ylabel("cell, by assembly")
    axes.set_ylim(cell.max() + 1, cell.min() - 1)


def _labels(unit: np.ndarray, cell: np.ndarray, brain: xr.Dataset) -> tuple[list[float], list[str]]:
    """Return where to write which unit's name; one name for a whole population where they would overlap."""
    name, population = brain["name"].to_numpy(), brain["population"].to_numpy()
    too_close = 0.05 * (cell.max() - cell.min())
    centres: list[float] = []
    labels: list[str] = []
    for group in populations(brain):
        members = [index for index in np.unique(unit) if population[index] == group]
        middles = [float(cell[unit == index].mean()) for index in members]
        if len(middles) > 1 and np.diff(middles).min() < too_close:
            middles = [float(np.mean(middles))]
            labels.append(f"{name[members[0]]}-{name[members[-1]]}")
        else:
            labels.extend(str(name[index]) for index in members)
        centres.extend(middles)
    return centres, labels


def _rates(axes: Axes, response: xr.DataArray, name: str, colour: str) -> None:
    """Draw each assembly thin and the population's mean thick, with its standard error over trials."""
    members = response.isel(unit=np.flatnonzero(response["population"].to_numpy() == name))
    time = response["time"].to_numpy()
    assemblies = members.mean("trial").transpose("time", "unit").to_numpy()
    axes.plot(time, assemblies, color=colour, lw=0.8, alpha=0.4)
    mean, error = (part.to_numpy() for part in mean_and_error(members.mean("unit")))
    axes.fill_between(time, mean - error, mean + error, color=colour, alpha=0.35, lw=0)
    axes.plot(time, mean, color=colour, lw=2.2)
    count = members.sizes["trial"]
    axes.set_ylabel("rate (Hz)")
    axes.set_title(f"{name}: mean ± s.e. over {count} trials (thick), each assembly (thin)", loc="left")
    axes.set_ylim(bottom=0)
