"""What all figures share: colours, a blank figure, and the way to a PNG, without global state."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from cortexres.errors import ArgumentError

# Okabe & Ito (2008), https://jfly.uni-koeln.de/color/: told apart with any colour vision
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
GREY = "#8A8A8A"
UNDEFINED = "#DDDDDD"  # cells of a map that have no value
LINES = (VERMILION, BLUE, GREEN, PURPLE, ORANGE, SKY)
WIDTH_INCHES = 10.0
LETTERS_PER_INCH = 12  # of titles
NARROW_INCHES = 3.0  # too narrow for legends in columns


def blank(*, height: float, title: str) -> Figure:
    """Return an empty figure, 10 inches wide, with its finding as title; legible at 1000 pixels."""
    figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
    lines = textwrap.fill(title, width=95)
    figure.suptitle(lines, fontsize=13, x=0.01, ha="left", fontweight="bold")
    return figure


def readable(metric: str) -> str:
    """Return the name of a score as people write it: ``linear_cka`` is linear CKA."""
    words = metric.replace("_", " ")
    return words.replace("r2", "R²").replace("cka", "CKA").replace("rsa", "RSA")


def colour_bar(axes: Axes, image: ScalarMappable, *, label: str, extend: str = "neither") -> None:
    """Draw the colours' values beside the axes."""
    figure_of(axes).colorbar(image, ax=axes, label=label, aspect=30, extend=extend)


def figure_of(axes: Axes) -> Figure:
    """Return the figure that the axes belong to.

    Raises
    ------
    ArgumentError
        If they belong to none.
    """
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ArgumentError("got axes that belong to no figure, expected those of one: figure.subplots()")
    return figure


def name_finding(axes: Axes, *lines: str, pad: float | None = None) -> None:
    """Write the lines above the axes, from the left, broken where they are longer than the axes are wide."""
    letters = max(20, int(LETTERS_PER_INCH * _inches(axes)))
    kept = [re.sub(" ([=<]) ", "\u00a0\\1\u00a0", line) for line in lines]  # "p = 0.01" stays on one line
    text = "\n".join(textwrap.fill(line, width=letters) for line in kept)
    axes.set_title(text.replace("\u00a0", " "), loc="left", pad=pad)


def legend_below(axes: Axes, handles: Sequence[Artist], *, columns: int = 2, facecolor: str | None = None) -> None:
    """Draw the legend below the label of the x axis, whatever the height of the figure."""
    drop = ScaledTranslation(0.0, -40 / 72, figure_of(axes).dpi_scale_trans)
    axes.legend(
        handles=list(handles),
        loc="upper left",
        bbox_to_anchor=(0.0, 0.0),
        bbox_transform=axes.transAxes + drop,
        ncols=columns if _inches(axes) > NARROW_INCHES else 1,
        fontsize=9,
        facecolor=facecolor,
        frameon=facecolor is not None,
        borderaxespad=0.0,
    )


def whole_numbers(axis: Axis) -> None:
    """Put ticks of an axis that counts blocks at whole numbers only."""
    axis.set_major_locator(MaxNLocator(integer=True))


def _inches(axes: Axes) -> float:
    """Return about how wide the axes are; their last width is known only when they are drawn."""
    return float(axes.get_position().width * figure_of(axes).get_figwidth())


def tidy(axes: Axes) -> None:
    """Remove the frame's upper and right lines and set text sizes that stay legible."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=10)
    axes.xaxis.label.set_fontsize(11)
    axes.yaxis.label.set_fontsize(11)
    axes.title.set_fontsize(11)


def png(figure: Figure, *, width_px: int = 1400) -> bytes:
    """Return the figure as a PNG image, `width_px` wide; the same figure gives the same bytes."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=width_px / figure.get_figwidth(), metadata={"Software": None})
    return buffer.getvalue()
