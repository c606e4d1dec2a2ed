"""Compare brain and network dynamics: similarity maps, states against their ceiling, updates, and nulls.

Datasets come in (`cortexres.schema`), Datasets come out. The similarity kernels take numpy arrays or torch
tensors; this package imports numpy, scipy and xarray only.
"""

from cortexres.compare.binning import at_bins, uniform_time
from cortexres.compare.linear_map import linear_map_r2
from cortexres.compare.maps import compare
from cortexres.compare.measures.cka import linear_cka, linear_cka_biased
from cortexres.compare.measures.relations import Similarity
from cortexres.compare.measures.rsa import rsa, rsa_correlation, rsa_spearman
from cortexres.compare.nulls import StimulusNull, constant_trace, permute_stimuli
from cortexres.compare.states import CURRENTS, model_nulls, state_scores
from cortexres.compare.updates import update_scores

METRICS: tuple[Similarity, ...] = (linear_cka, linear_cka_biased, rsa, rsa_spearman, rsa_correlation)

__all__ = [
    "CURRENTS",
    "METRICS",
    "Similarity",
    "StimulusNull",
    "at_bins",
    "compare",
    "constant_trace",
    "linear_cka",
    "linear_cka_biased",
    "linear_map_r2",
    "model_nulls",
    "permute_stimuli",
    "rsa",
    "rsa_correlation",
    "rsa_spearman",
    "state_scores",
    "uniform_time",
    "update_scores",
]
