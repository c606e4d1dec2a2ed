"""The spectra of generators of several systems in one plane: how fast states decay and how fast they turn."""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from cortexres.errors import ArgumentError
from cortexres.plots.labels import need_variables, number
from cortexres.plots.style import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, legend_below, name_finding, tidy

MARKS = ((VERMILION, "o"), (BLUE, "x"), (GREEN, "^"), (PURPLE, "s"), (ORANGE, "D"), (SKY, "v"))


def eigenvalue_plane(spectra: Mapping[str, xr.Dataset], ax: Axes, *, distance: xr.Dataset | None = None) -> Axes:
    """Return `ax` with the generators' eigenvalues, real parts across and imaginary parts up, a marker per system.

    Left of the line at 0 states decay, right of it they grow. Lines join the partners of a `distance`.

    Parameters
    ----------
    spectra : mapping of str to Dataset
        Name of the system -> result of `compare.generators`; up to six.
    ax : matplotlib.axes.Axes
        Where to draw.
    distance : Dataset, optional
        From `compare.generator_distance` of the first two.

    Raises
    ------
    ArgumentError
        If there are no spectra or more than six, one has no generators, or a distance is of another rank.
    """
    if not 0 < len(spectra) <= len(MARKS):
        raise ArgumentError(f"got {len(spectra)} spectra, expected 1 to {len(MARKS)}, as many as can be told apart")
    for data in spectra.values():
        need_variables(data, "a spectrum", "compare.generators", "generator_real", "generator_imag")
    if distance is not None:
        _join(spectra, ax, distance)
    marks: list[Line2D] = []
    for (name, data), (colour, marker) in zip(spectra.items(), MARKS, strict=False):
        fit = f", fit {number(data['fit'])}" if "fit" in data else ""
        label = f"{name}: {data.attrs.get('form', 'generator')}{fit}"
        places = data["generator_real"], data["generator_imag"]
        marks += ax.plot(*places, marker, color=colour, mfc="none", ms=9, mew=1.8, label=label)
    ax.axvline(0, color=GREY, lw=1.0)
    ax.axhline(0, color=GREY, lw=0.6)
    ax.set_xlabel("rate of growth (1/ms)")
    ax.set_ylabel("angular frequency (1/ms)")
    ax.margins(0.15)
    legend_below(ax, marks, columns=1)
    tidy(ax)
    return ax


def _join(spectra: Mapping[str, xr.Dataset], ax: Axes, distance: xr.Dataset) -> None:
    need_variables(distance, "matched spectra", "compare.generator_distance", "match", "generator_distance_relative")
    pair = list(spectra.values())[:2]
    match = distance["match"].to_numpy()
    if [data.sizes["generator"] for data in pair] != [match.size] * 2:
        raise ArgumentError(f"got a distance of {match.size} generators, expected that of the first two spectra")
    for k, partner in enumerate(match):
        ends = (pair[0].isel(generator=k), pair[1].isel(generator=int(partner)))
        ax.plot(*([float(end[f"generator_{part}"]) for end in ends] for part in ("real", "imag")), color=GREY, lw=1.0)
    name_finding(ax, f"relative distance {number(distance['generator_distance_relative'])}")
