"""Maps of brain and network Datasets: as they are, and under any null."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from cortexres.compare.inference.permuted_maps import permuted
from cortexres.compare.measures.measure import Comparison
from cortexres.compare.nulls.null import Null
from cortexres.compare.nulls.stimuli import StimulusNull
from cortexres.compare.pairing import float_values
from cortexres.errors import ArgumentError


def prepared_brain(measure: Comparison, brain: xr.Dataset) -> Any:
    """Return what the measure makes of the brain alone, (time, ...): of its trials, or of their mean."""
    return measure.prepared_trials(float_values(brain["response"]))


def prepared_network(measure: Comparison, network: xr.Dataset) -> Any:
    """Return what the measure makes of the network alone, (block, ...)."""
    return measure.prepared(float_values(network["response"]).swapaxes(0, 1))


def score_map(measure: Comparison, brain: xr.Dataset, network: xr.Dataset) -> np.ndarray:
    """Return the scores (time, block)."""
    return scores_of(measure, float_values(brain["response"]), float_values(network["response"]))


def scores_of(measure: Comparison, trials: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Return the scores (time, block) of trials (stimulus, trial, time, unit) and states (stimulus, block, unit)."""
    return np.asarray(measure.scores(measure.prepared_trials(trials), measure.prepared(states.swapaxes(0, 1))))


def null_maps(
    measure: Comparison,
    brain: xr.Dataset,
    network: xr.Dataset,
    null: Null,
    *,
    draws: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the maps under a null, (draw, time, block); one draw where the null is not random.

    Orders of the stimuli need no new relations, so they are quick; any other null makes Datasets, draw by draw.

    Raises
    ------
    ArgumentError
        If there are no draws, or the null changes the number of times or blocks.
    """
    if draws < 1:
        raise ArgumentError(f"got permutations={draws}, expected at least 1 (500 for p-values down to 0.002)")
    if isinstance(null, StimulusNull):
        orders = null.orders(brain.sizes["stimulus"], draws=draws, rng=rng)
        a, b = prepared_brain(measure, brain), prepared_network(measure, network)
        return np.asarray(permuted(measure, a, b, orders))
    shape = brain.sizes["time"], network.sizes["block"]
    a, b = prepared_brain(measure, brain), prepared_network(measure, network)
    maps = np.empty((draws if null.random else 1, *shape))
    for k in range(len(maps)):
        drawn_brain, drawn_network = null.draw(brain, network, rng)
        drawn = drawn_brain.sizes["time"], drawn_network.sizes["block"]
        if drawn != shape:
            raise ArgumentError(
                f"null {null.name} has {drawn[0]} times and {drawn[1]} blocks, expected {shape[0]} and {shape[1]} as in"
                " the data; give networks with as many blocks"
            )
        # Most nulls touch one side, and what is made of the other need not be made again.
        side_a = a if drawn_brain is brain else prepared_brain(measure, drawn_brain)
        side_b = b if drawn_network is network else prepared_network(measure, drawn_network)
        maps[k] = measure.scores(side_a, side_b)
    return maps
