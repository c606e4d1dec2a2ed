"""Representational similarity analysis as cosines of what is made of dissimilarity matrices."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from cortexres.compare.measures.crossnobis import crossnobis
from cortexres.compare.measures.dissimilarities import one_minus_correlation, squared_euclidean
from cortexres.compare.measures.measure import as_double
from cortexres.compare.measures.pair_comparisons import (
    PairComparison,
    cosine,
    pearson,
    rho_a,
    spearman,
    whitened_cosine,
    whitened_pearson,
)
from cortexres.compare.measures.relations import Similarity


def representational_similarity(
    name: str,
    *,
    dissimilarity: Callable[[Any], Any] = squared_euclidean,
    comparison: PairComparison = pearson,
    dissimilarity_of_trials: Callable[[Any], Any] | None = None,
) -> Similarity:
    """Return the similarity that compares dissimilarities of the brain's patterns with those of the network's.

    Parameters
    ----------
    name : str
        Names the variables in the scores Dataset.
    dissimilarity : callable
        Maps activity (..., n, p) to dissimilarities (..., n, n): `squared_euclidean`, `one_minus_correlation`.
    comparison : PairComparison
        `pearson`, `spearman`, `rho_a`, `cosine`, `whitened_cosine` or `whitened_pearson`.
    dissimilarity_of_trials : callable, optional
        Maps trials (n, trial, time, p) to dissimilarities (time, n, n) for the brain's side: `crossnobis`,
        `mahalanobis`. Without it the brain's are of the mean over trials.

    References
    ----------
    Kriegeskorte, N., Mur, M., Bandettini, P. (2008). Representational similarity analysis. Frontiers in Systems
    Neuroscience 2:4. doi:10.3389/neuro.06.004.2008
    """
    trials = dissimilarity_of_trials and partial(_related, dissimilarity=dissimilarity_of_trials, comparison=comparison)
    return Similarity(
        name,
        partial(_related, dissimilarity=dissimilarity, comparison=comparison),
        relation_of_trials=trials,
        size=comparison.size,
        sample=comparison.sample,
        chance_is_zero=comparison.chance_is_zero,
    )


def _related(values: Any, *, dissimilarity: Callable[[Any], Any], comparison: PairComparison) -> Any:
    return comparison.relation(dissimilarity(as_double(values) if comparison.double else values))


rsa = representational_similarity("rsa")
"""Pearson correlation, over pairs of stimuli, of squared Euclidean distances (Kriegeskorte et al. 2008).

A linear relation of the distances is what one linear read-out expects. Trial noise adds to a squared distance the sum
of both stimuli's noise variances. Where those are alike the correlation is only lowered by it. Where they are not, as
with counts of spikes, the sums of the rates show as geometry (correlation with the true distances .48 in bins of 5 ms
at up to 20 Hz and 10 trials, .90 in bins of 25 ms; stimuli of unequal noise and the same mean correlate by .92 between
halves of trials): then use `rsa_crossnobis` or `linear_cka`, which have no such term.
"""

rsa_spearman = representational_similarity("rsa_spearman", comparison=spearman)
"""Spearman correlation, over pairs of stimuli, of squared Euclidean distances."""

rsa_rho_a = representational_similarity("rsa_rho_a", comparison=rho_a)
"""Spearman correlation with ties broken at random, on average, of squared Euclidean distances."""

rsa_cosine = representational_similarity("rsa_cosine", comparison=cosine)
"""Cosine, over pairs of stimuli, of squared Euclidean distances: high for any two, as all distances are positive."""

rsa_correlation = representational_similarity("rsa_correlation", dissimilarity=one_minus_correlation)
"""Pearson correlation, over pairs of stimuli, of 1 - r between patterns: blind to the size of a response."""

rsa_whitened = representational_similarity("rsa_whitened", comparison=whitened_pearson)
"""Whitened correlation of squared Euclidean distances: counts that distances with a stimulus in common covary."""

rsa_whitened_cosine = representational_similarity("rsa_whitened_cosine", comparison=whitened_cosine)
"""Whitened cosine of squared Euclidean distances, which is `linear_cka_biased` by another way."""

rsa_crossnobis = representational_similarity("rsa_crossnobis", dissimilarity_of_trials=crossnobis)
"""Pearson correlation of the brain's crossnobis distances, which trial noise does not bias, and squared Euclidean ones.

Each trial is a fold, and the noise is that of all times. Where a side has no trials both are squared Euclidean.
"""
