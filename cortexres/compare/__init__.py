"""Compare brain and network dynamics: similarity, alignment of block and time, updates, and what chance would do.

Datasets come in (`cortexres.schema`), Datasets come out, with ceilings and nulls beside the scores. The kernels take
numpy arrays or torch tensors; this package imports numpy, scipy and xarray only.
"""

from cortexres.compare.against import Against, SimilarityMap
from cortexres.compare.alignment.affine import Affine
from cortexres.compare.alignment.align import align
from cortexres.compare.alignment.baselines import Graded, Uniform
from cortexres.compare.alignment.fixed import Fixed
from cortexres.compare.alignment.isotonic import Isotonic
from cortexres.compare.alignment.monotone_path import MonotonePath
from cortexres.compare.alignment.soft_path import SoftPath
from cortexres.compare.alignment.state_distance import state_distance
from cortexres.compare.binning import at_bins, uniform_time
from cortexres.compare.ceilings import (
    dissimilarity_ceiling,
    paired_ceiling,
    paired_difference,
    subject_ceiling,
    trial_ceiling,
    variance_ceiling,
)
from cortexres.compare.dissimilarity_movie import dissimilarities
from cortexres.compare.dynamics.autocorrelation import intrinsic_timescale
from cortexres.compare.dynamics.dimensionality import participation_ratio
from cortexres.compare.dynamics.generator_distance import generator_distance
from cortexres.compare.dynamics.generator_floor import generator_floor
from cortexres.compare.dynamics.generators import generators
from cortexres.compare.dynamics.jacobian_scales import jacobian_scales
from cortexres.compare.dynamics.tangling import tangling
from cortexres.compare.encoding.classifiers import Classifier, max_correlation, shrinkage_lda
from cortexres.compare.encoding.encode import encode
from cortexres.compare.encoding.generalise import generalise
from cortexres.compare.encoding.generalise_across import generalise_across
from cortexres.compare.encoding.likelihood_readout import likelihood_readout, poisson_trials
from cortexres.compare.encoding.shared_maps import SharedMap, procrustes_map, ridge_map, same_units_map
from cortexres.compare.inference.clusters import Clusters
from cortexres.compare.inference.corrections import FalseDiscoveryRate, MaxStatistic
from cortexres.compare.inference.latencies import Onset, Peak
from cortexres.compare.inference.latency_depth import latency_depth
from cortexres.compare.inference.selection import best_match
from cortexres.compare.inference.significance import significance
from cortexres.compare.linear_map import linear_map_r2
from cortexres.compare.maps import compare
from cortexres.compare.measures.catalogue import METRICS
from cortexres.compare.measures.cca import canonical_correlations, mean_cca2, pwcca, svcca
from cortexres.compare.measures.cka import linear_cka, linear_cka_biased
from cortexres.compare.measures.crossnobis import crossnobis, mahalanobis
from cortexres.compare.measures.dissimilarities import one_minus_correlation, squared_euclidean
from cortexres.compare.measures.kendall_rsa import kendall_similarity, rsa_tau_a, rsa_tau_b
from cortexres.compare.measures.kernel_cka import gaussian_cka, rbf_cka, rbf_cka_biased
from cortexres.compare.measures.measure import Comparison, Measure
from cortexres.compare.measures.minibatch_cka import linear_cka_minibatch, minibatch_cka, minibatch_linear_cka
from cortexres.compare.measures.relations import Similarity
from cortexres.compare.measures.rsa import (
    representational_similarity,
    rsa,
    rsa_correlation,
    rsa_cosine,
    rsa_crossnobis,
    rsa_rho_a,
    rsa_spearman,
    rsa_whitened,
    rsa_whitened_cosine,
)
from cortexres.compare.measures.sampled_units_cka import linear_cka_sampled
from cortexres.compare.measures.shape_metrics import bures, procrustes_angle, procrustes_distance, shape_metric
from cortexres.compare.measures.stochastic_shape import stochastic_shape
from cortexres.compare.nulls import (
    CircularShift,
    Composed,
    ConstantTrace,
    LeakOnly,
    ModelNull,
    Null,
    PhaseRandomised,
    ShuffledBlocks,
    StimulusNull,
    constant_trace,
    null_scores,
    permute_stimuli,
)
from cortexres.compare.power_analysis import power
from cortexres.compare.shared_space import shared_space
from cortexres.compare.states import CURRENTS, model_nulls, state_scores
from cortexres.compare.updates import (
    components,
    iteration_indices,
    lesion_profile,
    matched_cosine,
    matched_specific,
    recurrence_index,
    update_scores,
    updates_against_velocity,
)
from cortexres.compare.verdicts.verdict import Verdict, verdict

__all__ = [
    "CURRENTS",
    "METRICS",
    "Affine",
    "Against",
    "CircularShift",
    "Classifier",
    "Clusters",
    "Comparison",
    "Composed",
    "ConstantTrace",
    "FalseDiscoveryRate",
    "Fixed",
    "Graded",
    "Isotonic",
    "LeakOnly",
    "MaxStatistic",
    "Measure",
    "ModelNull",
    "MonotonePath",
    "Null",
    "Onset",
    "Peak",
    "PhaseRandomised",
    "SharedMap",
    "ShuffledBlocks",
    "Similarity",
    "SimilarityMap",
    "SoftPath",
    "StimulusNull",
    "Uniform",
    "Verdict",
    "align",
    "at_bins",
    "best_match",
    "bures",
    "canonical_correlations",
    "compare",
    "components",
    "constant_trace",
    "crossnobis",
    "dissimilarities",
    "dissimilarity_ceiling",
    "encode",
    "gaussian_cka",
    "generalise",
    "generalise_across",
    "generator_distance",
    "generator_floor",
    "generators",
    "intrinsic_timescale",
    "iteration_indices",
    "jacobian_scales",
    "kendall_similarity",
    "latency_depth",
    "lesion_profile",
    "likelihood_readout",
    "linear_cka",
    "linear_cka_biased",
    "linear_cka_minibatch",
    "linear_cka_sampled",
    "linear_map_r2",
    "mahalanobis",
    "matched_cosine",
    "matched_specific",
    "max_correlation",
    "mean_cca2",
    "minibatch_cka",
    "minibatch_linear_cka",
    "model_nulls",
    "null_scores",
    "one_minus_correlation",
    "paired_ceiling",
    "paired_difference",
    "participation_ratio",
    "permute_stimuli",
    "poisson_trials",
    "power",
    "procrustes_angle",
    "procrustes_distance",
    "procrustes_map",
    "pwcca",
    "rbf_cka",
    "rbf_cka_biased",
    "recurrence_index",
    "representational_similarity",
    "ridge_map",
    "rsa",
    "rsa_correlation",
    "rsa_cosine",
    "rsa_crossnobis",
    "rsa_rho_a",
    "rsa_spearman",
    "rsa_tau_a",
    "rsa_tau_b",
    "rsa_whitened",
    "rsa_whitened_cosine",
    "same_units_map",
    "shape_metric",
    "shared_space",
    "shrinkage_lda",
    "significance",
    "squared_euclidean",
    "state_distance",
    "state_scores",
    "stochastic_shape",
    "subject_ceiling",
    "svcca",
    "tangling",
    "trial_ceiling",
    "uniform_time",
    "update_scores",
    "updates_against_velocity",
    "variance_ceiling",
    "verdict",
]
