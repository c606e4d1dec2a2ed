"""Scores of several models side by side, each under the ceiling that trial noise leaves it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cortexres.errors import ArgumentError
from cortexres.plots.style import BLACK, GREEN, GREY, LINES, ORANGE, SKY, VERMILION, blank, readable, tidy

FLOOR = -0.3


def model_comparison(
    results: Mapping[str, xr.Dataset], *, metrics: Sequence[str] | None = None, title: str | None = None
) -> Figure:
    """Return a panel of bars per metric, a bar per model; the ceiling is a line over each bar.

    Bars below -0.3 are cut there and say their value; a score that does not exist for a model reads "n/a".

    Parameters
    ----------
    results : mapping of str to Dataset
        Model name -> scalar scores; the first is the model under test, the rest its alternatives. The
        ceiling of NAME is NAME_ceiling, or STEM_ceiling where NAME is STEM_r2.
    metrics : sequence of str, optional
        Scores to draw; all that have a ceiling in any Dataset where it is left out.

    Raises
    ------
    ArgumentError
        If there is no model, no score to draw, or one that is not a scalar.
    """
    names = list(metrics) if metrics is not None else _with_ceiling(results)
    if not results or not names:
        raise ArgumentError(
            f"got {len(results)} models and scores {names}, expected a model with a score and its ceiling"
        )
    height = 1.3 + 0.42 * len(results) * -(-len(names) // 3)
    figure = blank(height=max(height, 3.2), title=title or _finding(results, names[0]))
    columns = min(3, len(names))
    grid = figure.subplots(-(-len(names) // columns), columns, sharey=True, squeeze=False)
    for axes in grid.flat[len(names) :]:
        axes.set_axis_off()
    for axes, name in zip(grid.flat, names, strict=False):
        _panel(axes, results, name)
    return figure


def _panel(axes: Axes, results: Mapping[str, xr.Dataset], metric: str) -> None:
    """Draw one metric: a horizontal bar per model, so that long names stay readable."""
    for row, scores in enumerate(results.values()):
        value, ceiling = _scalar(scores, metric), _scalar(scores, _ceiling_name(scores, metric))
        if math.isfinite(value):
            axes.barh(row, max(value, FLOOR), color=_colour(row), height=0.68)
            text = f"{value:.2f}" if value >= FLOOR else f"{value:.2f} (cut)"
        else:
            text = "n/a"
        inside = math.isfinite(value) and value > 0.5
        place = (value if inside else max(value, 0.0)) if math.isfinite(value) else 0.0
        axes.text(
            place + (-0.015 if inside else 0.015),
            row,
            text,
            va="center",
            ha="right" if inside else "left",
            fontsize=10,
            fontweight="bold" if inside else "normal",
        )
        if math.isfinite(ceiling):
            axes.plot([ceiling, ceiling], [row - 0.42, row + 0.42], color=BLACK, lw=2.2)
    axes.set_yticks(range(len(results)), labels=list(results), parse_math=False)
    axes.set_ylim(len(results) - 0.4, -0.6)
    axes.set_xlim(FLOOR, 1.05)
    axes.axvline(0, color=GREY, lw=0.8)
    axes.set_xlabel(f"{readable(metric)}  (black line: ceiling)")
    tidy(axes)


def _with_ceiling(results: Mapping[str, xr.Dataset]) -> list[str]:
    """Return the scores that have a ceiling in any of the Datasets, in order."""
    found: dict[str, None] = {}
    for scores in results.values():
        for name in scores.data_vars:
            if not str(name).endswith(("_ceiling", "_denoised")) and _ceiling_name(scores, str(name)) in scores:
                found[str(name)] = None
    return list(found)


def _ceiling_name(scores: xr.Dataset, metric: str) -> str:
    """Return the name under which a score's ceiling is kept."""
    plain = f"{metric}_ceiling"
    return plain if plain in scores else f"{metric.removesuffix('_r2')}_ceiling"


def _scalar(scores: xr.Dataset, name: str) -> float:
    """Return a scalar variable as a float, NaN where there is none."""
    if name not in scores:
        return math.nan
    if scores[name].ndim:
        raise ArgumentError(f"got {name} with dims {scores[name].dims}, expected a scalar: average it first")
    return float(scores[name])


def _colour(row: int) -> str:
    """Return the bar's colour: the model under test stands out."""
    return VERMILION if row == 0 else (SKY, GREEN, ORANGE, *LINES[3:4], GREY)[(row - 1) % 5]


def _finding(results: Mapping[str, xr.Dataset], metric: str) -> str:
    """Return the first model's score beside its ceiling and the best of the others, in one line."""
    (model, scores), *others = results.items()
    value, ceiling = _scalar(scores, metric), _scalar(scores, _ceiling_name(scores, metric))
    text = f"{model}: {readable(metric)} {value:.2f}"
    if math.isfinite(ceiling):
        text += f" of a possible {ceiling:.2f}"
    rest = {name: _scalar(data, metric) for name, data in others if math.isfinite(_scalar(data, metric))}
    if rest:
        best = max(rest, key=lambda name: rest[name])
        text += f"; best other network ({best}) {rest[best]:.2f}"
    return text
