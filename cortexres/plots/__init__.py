"""Figures, one per file, without pyplot.

Those of one job take Datasets and return a matplotlib Figure; those of a comparison take a scores Dataset and the axes
to draw on, which they return.
"""

from matplotlib.figure import Figure

from cortexres.plots.block_curves import block_curves
from cortexres.plots.dissimilarity_movie import dissimilarity_movie
from cortexres.plots.eigenvalue_plane import eigenvalue_plane
from cortexres.plots.generalisation_matrix import generalisation_matrix
from cortexres.plots.latency_against_depth import latency_against_depth
from cortexres.plots.lesion_profiles import lesion_profiles
from cortexres.plots.model_comparison import model_comparison
from cortexres.plots.raster_and_rates import raster_and_rates
from cortexres.plots.rates_against_blocks import rates_against_blocks
from cortexres.plots.score_map import score_map
from cortexres.plots.shared_trajectories import shared_trajectories
from cortexres.plots.similarity_map import similarity_map
from cortexres.plots.stimulus_sheet import stimulus_sheet
from cortexres.plots.style import png
from cortexres.plots.updates_against_velocity import updates_against_velocity
from cortexres.plots.x_and_f import x_and_f
from cortexres.plots.x_f_sum import x_f_sum

__all__ = [
    "Figure",
    "block_curves",
    "dissimilarity_movie",
    "eigenvalue_plane",
    "generalisation_matrix",
    "latency_against_depth",
    "lesion_profiles",
    "model_comparison",
    "png",
    "raster_and_rates",
    "rates_against_blocks",
    "score_map",
    "shared_trajectories",
    "similarity_map",
    "stimulus_sheet",
    "updates_against_velocity",
    "x_and_f",
    "x_f_sum",
]
