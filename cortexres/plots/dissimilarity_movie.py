"""The dissimilarity movie as a strip of frames: how far apart stimuli are, time after time or block after block."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from cortexres.errors import ArgumentError
from cortexres.plots.labels import axis_label, need_variables
from cortexres.plots.style import figure_of, name_finding, tidy

FRAMES = 8


def dissimilarity_movie(
    movie: xr.Dataset, ax: Axes, *, at: Sequence[float] | None = None, columns: int = FRAMES
) -> Axes:
    """Return `ax` with frames of dissimilarities (stimulus x stimulus) side by side, all in one range of colours.

    Parameters
    ----------
    movie : Dataset
        From `compare.dissimilarities`, over time or block.
    ax : matplotlib.axes.Axes
        Where to draw.
    at : sequence of float, optional
        Times in ms (the nearest bin is taken), or blocks; evenly spread ones where it is left out.
    columns : int
        Number of frames in a row; further ones come below.

    Raises
    ------
    ArgumentError
        If there are no dissimilarities, or no frame is asked for.
    """
    need_variables(movie, "dissimilarities", "compare.dissimilarities", "dissimilarity")
    values = movie["dissimilarity"]
    dim = str(values.dims[0])
    axis = movie[dim].to_numpy()
    if columns < 1 or (at is not None and not len(at)):
        raise ArgumentError(f"got at={at} and columns={columns}, expected at least one frame and one column")
    picks = _picks(axis, at)
    canvas, centres = _tiled([values.isel({dim: pick}).to_numpy() for pick in picks], columns)
    # Cross-validated dissimilarities scatter about 0 where stimuli are alike: their range is kept whole.
    finite = canvas[np.isfinite(canvas)]
    low = min(0.0, float(finite.min())) if finite.size else 0.0
    image = ax.imshow(canvas, cmap="cividis", vmin=low, vmax=float(finite.max()) if finite.size else 1.0)
    unit = " ms" if dim == "time" else ""
    for (x, y), pick in zip(centres, picks, strict=True):
        text = f"{axis[pick]:g}{unit}" if dim == "time" else f"block {axis[pick]:g}"
        ax.text(x, y, text, ha="center", va="bottom", fontsize=9.5)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    name = str(values.attrs.get("long_name", "dissimilarity")).split(":")[0]
    name_finding(ax, f"{movie.sizes['stimulus']} stimuli: {name}", pad=22)
    bar = ax.inset_axes((1.015, 0.0, 0.02, 1.0))  # as high as the frames, whose height their shape decides
    figure_of(ax).colorbar(image, cax=bar, label=axis_label(values, "dissimilarity"))
    tidy(ax)
    return ax


def _picks(axis: np.ndarray, at: Sequence[float] | None) -> list[int]:
    if at is None:
        return sorted(set(np.linspace(0, axis.size - 1, FRAMES).round().astype(int).tolist()))
    return [int(np.argmin(np.abs(axis - value))) for value in at]


def _tiled(frames: list[np.ndarray], columns: int) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Return the frames in rows on one canvas with gaps (NaN), and where each one's title goes."""
    n = len(frames[0])
    gap = max(1, n // 8)
    rows = -(-len(frames) // columns)
    above = max(gap, n // 4)
    canvas = np.full((rows * (n + above) - above, min(columns, len(frames)) * (n + gap) - gap), np.nan)
    centres = []
    for k, frame in enumerate(frames):
        y, x = (k // columns) * (n + above), (k % columns) * (n + gap)
        canvas[y : y + n, x : x + n] = frame
        centres.append((x + n / 2 - 0.5, y - 0.5 - 0.05 * n))
    return canvas, centres
