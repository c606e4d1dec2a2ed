"""All measures of how alike two activities over the same stimuli are, ready for `compare`."""

from __future__ import annotations

from cortexres.compare.measures.cca import mean_cca2, pwcca, svcca
from cortexres.compare.measures.cka import linear_cka, linear_cka_biased
from cortexres.compare.measures.kendall_rsa import rsa_tau_a, rsa_tau_b
from cortexres.compare.measures.kernel_cka import rbf_cka, rbf_cka_biased
from cortexres.compare.measures.measure import Comparison
from cortexres.compare.measures.minibatch_cka import linear_cka_minibatch
from cortexres.compare.measures.rsa import (
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

METRICS: tuple[Comparison, ...] = (
    linear_cka,
    linear_cka_biased,
    linear_cka_sampled,
    linear_cka_minibatch,
    rbf_cka,
    rbf_cka_biased,
    rsa,
    rsa_spearman,
    rsa_rho_a,
    rsa_tau_a,
    rsa_tau_b,
    rsa_cosine,
    rsa_correlation,
    rsa_whitened,
    rsa_whitened_cosine,
    rsa_crossnobis,
    svcca(5),
    mean_cca2(),
    mean_cca2(ridge=0.1),
    pwcca,
    procrustes_angle,
    procrustes_distance,
    shape_metric(0.5),
    bures,
)
"""One of each kind. Those with a number to choose (SVCCA, ridge, alpha, kernel width, batch) are made by functions."""
