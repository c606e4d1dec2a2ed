"""The whole map for every bootstrap sample of the stimuli: pairs weighted by how often both stimuli were drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from cortexres.compare.inference.weighted_pairs import WeightedPairs, centring_of
from cortexres.compare.inference.weighted_ranks import rank_correlations
from cortexres.compare.measures.cka import linear_cka_biased
from cortexres.compare.measures.measure import Comparison
from cortexres.compare.measures.relations import Similarity
from cortexres.errors import ArgumentError

# Similarities of centred Gram matrices, in which a stimulus that is drawn twice is there twice, by weights too.
GRAMS: tuple[Similarity, ...] = (linear_cka_biased,)


def bootstrap_weights(n: int, *, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Return how often each of `n` stimuli (or units) is drawn in `draws` samples of n with replacement, (draws, n).

    Raises
    ------
    ArgumentError
        If there are no draws, or fewer than two stimuli.
    """
    if draws < 1 or n < 2:
        raise ArgumentError(f"got {draws} bootstraps of {n} stimuli, expected at least 1 of at least 2")
    return rng.multinomial(n, np.full(n, 1.0 / n), size=draws)


def bootstrapped(measure: Comparison, brain: Any, network: Any, weights: np.ndarray) -> Any:
    """Return the map for each bootstrap sample of the stimuli, (draw, time, block); NaN where it is undefined.

    For a `Similarity` of pairs of stimuli (debiased CKA, RSA) pair i, j counts w_i w_j times, and the pairs of a
    stimulus with its own copies not at all: they are alike for no reason that the data give. Centring and ranks
    are those of the sample, so that every draw is the measure of the drawn pairs, exactly. For measures that have no
    such pairs (biased CKA, measures of patterns) a stimulus drawn twice is there twice.

    Parameters
    ----------
    measure : Comparison
        Which measure.
    brain, network : array
        Activities (time, stimulus, unit) and (block, stimulus, unit), numpy or torch, on one device.
    weights : numpy.ndarray
        (draw, stimulus) whole numbers: how often each stimulus is in the sample (`bootstrap_weights`).

    Raises
    ------
    ArgumentError
        If the weights are not for as many stimuli, or not whole numbers from 0 on.

    References
    ----------
    Nili, H. et al. (2014). A toolbox for representational similarity analysis. PLoS Computational Biology 10,
    e1003553. doi:10.1371/journal.pcbi.1003553
    """
    weights = np.asarray(weights)
    _check(weights, brain, network)
    if isinstance(measure, Similarity):
        pairs = bootstrapped_relations(measure, measure.prepared(brain), measure.prepared(network), weights)
        if pairs is not None:
            return pairs
    xp = array_namespace(brain, network)
    where = device(brain)
    maps = []
    for counts in weights:
        drawn = xp.asarray(np.repeat(np.arange(counts.size), counts), device=where)
        sides = (measure.prepared(xp.take(side, drawn, axis=1)) for side in (brain, network))
        maps.append(measure.scores(*sides))
    return xp.stack(maps)


def bootstrapped_relations(measure: Similarity, a: Any, b: Any, weights: np.ndarray) -> Any | None:
    """Return `bootstrapped` from relations (k, n * n); None where they cannot be weighted.

    Those of a measure whose ``sample`` is "stimuli" cannot, nor those from which something unknown was taken.
    """
    n = weights.shape[1]
    if measure.sample == "stimuli" and measure not in GRAMS:
        return None
    if measure.sample == "ranks":
        return rank_correlations(a, b, weights)
    centring = centring_of(a, b, n)
    return None if centring is None else WeightedPairs(n, centring).scores(a, b, weights)


def _check(weights: np.ndarray, brain: Any, network: Any) -> None:
    n = brain.shape[1]
    whole = weights.ndim == 2 and np.issubdtype(weights.dtype, np.integer) and weights.size > 0 and weights.min() >= 0
    if not whole or weights.shape[1] != n or network.shape[1] != n:
        raise ArgumentError(
            f"got weights {weights.dtype} {weights.shape} for {n} and {network.shape[1]} stimuli, expected whole"
            " numbers from 0 on of shape (draw, stimulus); bootstrap_weights(n, draws=, rng=) makes them"
        )
