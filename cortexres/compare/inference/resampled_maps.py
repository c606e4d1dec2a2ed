"""Bootstrapped maps of brain and network Datasets."""

from __future__ import annotations

import numpy as np
import xarray as xr

from cortexres.compare.defined import mean_of_defined
from cortexres.compare.inference.bootstrapped_maps import bootstrap_weights, bootstrapped_relations
from cortexres.compare.inference.null_maps import prepared_brain, prepared_network, scores_of
from cortexres.compare.measures.measure import Comparison
from cortexres.compare.measures.relations import Similarity
from cortexres.compare.pairing import float_values


def resampled_stimuli(
    measure: Comparison, brain: xr.Dataset, network: xr.Dataset, *, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the maps for samples of the stimuli, (draw, time, block), that vary as other stimuli would make them.

    Pairs of stimuli are weighted as in a bootstrap, where the measure allows it (see `bootstrapped`). Else a stimulus
    drawn twice would be alike to itself for no reason that the data give, and lift the score: on unrelated data of 30
    stimuli debiased CKA in batches, -.01, had an interval of .81 to .93. For those measures each draw has one half of
    the stimuli, once each. Deviations of halves vary as the score does; they are added to the map of all stimuli,
    whose bias that of a half can exceed.

    NaN where a sample is undefined, and everywhere where half of the stimuli are too few for the measure.

    References
    ----------
    Politis, D. N., Romano, J. P. (1994). Large sample confidence regions based on subsamples under minimal
    assumptions. Annals of Statistics 22, 2031-2050. doi:10.1214/aos/1176325770
    """
    n = brain.sizes["stimulus"]
    weights = bootstrap_weights(n, draws=draws, rng=rng)
    if isinstance(measure, Similarity):
        maps = bootstrapped_relations(
            measure, prepared_brain(measure, brain), prepared_network(measure, network), weights
        )
        if maps is not None:
            return np.asarray(maps)
    return _halves(measure, brain, network, draws, rng)


def _halves(
    measure: Comparison, brain: xr.Dataset, network: xr.Dataset, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the map of all stimuli plus the deviations of halves, scaled to the variance of all stimuli."""
    n = brain.sizes["stimulus"]
    half = n // 2
    if half < measure.minimum_stimuli:
        return np.full((draws, brain.sizes["time"], network.sizes["block"]), np.nan)
    trials, states = float_values(brain["response"]), float_values(network["response"])
    samples = (np.sort(rng.choice(n, half, replace=False)) for _ in range(draws))
    maps = np.stack([scores_of(measure, trials[sample], states[sample]) for sample in samples])
    deviations = maps - mean_of_defined(maps)
    whole: np.ndarray = scores_of(measure, trials, states) + np.sqrt(half / (n - half)) * deviations
    return whole


def resampled_units(
    measure: Comparison, brain: xr.Dataset, network: xr.Dataset, *, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the maps for bootstrap samples of the brain's units, (draw, time, block).

    What a population of other units would give; the network has all of its units and keeps them.
    """
    weights = bootstrap_weights(brain.sizes["unit"], draws=draws, rng=rng)
    trials, states = float_values(brain["response"]), prepared_network(measure, network)
    samples = (np.repeat(np.arange(counts.size), counts) for counts in weights)
    return np.stack([measure.scores(measure.prepared_trials(trials[..., sample]), states) for sample in samples])
