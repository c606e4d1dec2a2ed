"""Figures, one per file: each takes Datasets and returns a matplotlib Figure, without pyplot."""

from matplotlib.figure import Figure

from cortexres.plots.model_comparison import model_comparison
from cortexres.plots.raster_and_rates import raster_and_rates
from cortexres.plots.rates_against_blocks import rates_against_blocks
from cortexres.plots.score_map import score_map
from cortexres.plots.stimulus_sheet import stimulus_sheet
from cortexres.plots.style import png
from cortexres.plots.x_and_f import x_and_f

__all__ = [
    "Figure",
    "model_comparison",
    "png",
    "raster_and_rates",
    "rates_against_blocks",
    "score_map",
    "stimulus_sheet",
    "x_and_f",
]
