"""What residual theory predicts of a network, measured: lesions, paths, gradients, curvature, dynamics.

Each diagnostic is one call with a network that has a chain (or a `Chain`), inputs and labels, or stimuli that have
both, and returns a Dataset.
"""

from cortexres.diagnostics.curvature import hessian_spectrum
from cortexres.diagnostics.effective_depth import effective_depth
from cortexres.diagnostics.estimation import estimation_error
from cortexres.diagnostics.fixed_points import fixed_points
from cortexres.diagnostics.grid_tensors import grid_tensor, matricisation_rank, matricised
from cortexres.diagnostics.jacobian import jacobian_spectra
from cortexres.diagnostics.landscape import loss_landscape
from cortexres.diagnostics.later_blocks import later_blocks
from cortexres.diagnostics.lesion_runs import lesion_runs
from cortexres.diagnostics.lesions import lesion, lesion_random
from cortexres.diagnostics.lyapunov import lyapunov_exponents
from cortexres.diagnostics.mode_trees import ModeTree, mode_tree
from cortexres.diagnostics.norms import residual_norms
from cortexres.diagnostics.paths import path_counts, path_spectrum
from cortexres.diagnostics.readouts import early_readout
from cortexres.diagnostics.refinement import refinement_cosine
from cortexres.diagnostics.reordering import reorder
from cortexres.diagnostics.shattering import gradient_correlation

__all__ = [
    "ModeTree",
    "early_readout",
    "effective_depth",
    "estimation_error",
    "fixed_points",
    "gradient_correlation",
    "grid_tensor",
    "hessian_spectrum",
    "jacobian_spectra",
    "later_blocks",
    "lesion",
    "lesion_random",
    "lesion_runs",
    "loss_landscape",
    "lyapunov_exponents",
    "matricisation_rank",
    "matricised",
    "mode_tree",
    "path_counts",
    "path_spectrum",
    "refinement_cosine",
    "reorder",
    "residual_norms",
]
