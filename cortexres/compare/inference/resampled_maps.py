"""Bootstrapped maps of brain and network Datasets."""

from __future__ import annotations

import numpy as np
import xarray as xr

from cortexres.compare.ceilings.split_half import prepared_trials
from cortexres.compare.inference.bootstrapped_maps import bootstrap_weights, bootstrapped_relations
from cortexres.compare.inference.null_maps import prepared_brain, prepared_network, scores_of
from cortexres.compare.measures.measure import Comparison
from cortexres.compare.measures.relations import Similarity
from cortexres.compare.pairing import float_values


def resampled_stimuli(
    measure: Comparison, brain: xr.Dataset, network: xr.Dataset, *, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the maps for bootstrap samples of the stimuli, (draw, time, block); NaN where a sample is undefined.

    Pairs of stimuli are weighted where the measure allows it (see `bootstrapped`); else a stimulus that is drawn twice
    is there twice.
    """
    weights = bootstrap_weights(brain.sizes["stimulus"], draws=draws, rng=rng)
    if isinstance(measure, Similarity):
        maps = bootstrapped_relations(
            measure, prepared_brain(measure, brain), prepared_network(measure, network), weights
        )
        if maps is not None:
            return np.asarray(maps)
    trials, states = float_values(brain["response"]), float_values(network["response"])
    samples = (np.repeat(np.arange(counts.size), counts) for counts in weights)
    return np.stack([scores_of(measure, trials[sample], states[sample]) for sample in samples])


def resampled_units(
    measure: Comparison, brain: xr.Dataset, network: xr.Dataset, *, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the maps for bootstrap samples of the brain's units, (draw, time, block).

    What a population of other units would give; the network has all of its units and keeps them.
    """
    weights = bootstrap_weights(brain.sizes["unit"], draws=draws, rng=rng)
    trials, states = float_values(brain["response"]), prepared_network(measure, network)
    samples = (np.repeat(np.arange(counts.size), counts) for counts in weights)
    return np.stack([measure.scores(prepared_trials(measure, trials[..., sample]), states) for sample in samples])
