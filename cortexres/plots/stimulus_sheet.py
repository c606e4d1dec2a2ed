"""The stimuli as thumbnails with their labels."""

from __future__ import annotations

import xarray as xr
from matplotlib.figure import Figure

from cortexres.plots.select import need
from cortexres.plots.style import blank


def stimulus_sheet(stimuli: xr.Dataset, *, limit: int = 40, title: str | None = None) -> Figure:
    """Return the first `limit` images, ten a row, each with its label and its id."""
    need(stimuli, "stimulus", "image")
    images = stimuli["image"].isel(stimulus=slice(limit))
    if "frame" in images.dims:
        images = images.isel(frame=0)
    shown, total = images.sizes["stimulus"], stimuli.sizes["stimulus"]
    rows = -(-shown // 10)
    share = f"{shown} of {total}" if shown < total else f"all {total}"
    figure = blank(height=0.6 + 1.15 * rows, title=title or f"The stimuli ({share})")
    grid = figure.subplots(rows, 10, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image in zip(grid.flat, images, strict=False):
        label = f"{image['label'].item()}" if "label" in image.coords else ""
        axes.imshow(image.transpose("y", "x"), cmap="gray", vmin=0, vmax=1)
        # plain text, so that a label of a stranger's folder is not read as mathematics
        axes.set_title(f"{label[:12]}  (#{image['stimulus'].item()})", fontsize=8, parse_math=False)
    return figure
