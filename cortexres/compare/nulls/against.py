"""One p-value of brain and network against one null, as a function that a power analysis can call."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from cortexres.compare.inference.permuted_maps import permuted
from cortexres.compare.measures.measure import Comparison, Orientation
from cortexres.compare.nulls.exceedance import p_value
from cortexres.compare.nulls.null import Null
from cortexres.compare.nulls.scores import Score
from cortexres.compare.nulls.stimuli import StimulusNull, permute_stimuli
from cortexres.compare.pairing import float_values
from cortexres.errors import ArgumentError
from cortexres.schema import same_stimuli


@dataclass(frozen=True)
class SimilarityMap:
    """The bare map (time, block) of a measure, as a score: the trial mean against each block, and no more.

    Parameters
    ----------
    metric : Comparison
        Which measure.
    """

    metric: Comparison

    def __call__(self, brain: xr.Dataset, network: xr.Dataset) -> xr.DataArray:
        """Return the map, with time and block as coordinates."""
        a, b = self.prepared(brain, network)
        attrs = {"units": "1", "long_name": f"{self.metric.name} of trial mean and block"}
        coords = {"time": brain["time"].values, "block": network["block"].values}
        return xr.DataArray(self.metric.scores(a, b), coords=coords, dims=("time", "block"), attrs=attrs)

    def prepared(self, brain: xr.Dataset, network: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
        """Return what the measure makes of each time of the brain's trial mean, and of each block."""
        states = float_values(brain["response"]).mean(axis=1).swapaxes(0, 1)
        return self.metric.prepared(states), self.metric.prepared(float_values(network["response"]).swapaxes(0, 1))


@dataclass(frozen=True)
class Against:
    """A test of one score against one random null: a function of brain, network and rng that returns a p-value.

    The p-value of a map is that of its best cell, corrected for all cells.

    Parameters
    ----------
    score : callable
        ``score(brain, network)`` returns a number or a DataArray. The orders of the stimuli of a `SimilarityMap` are
        permuted without computing the relations anew.
    null : Null, optional
        `permute_stimuli` by default.
    draws : int
        Draws of the null.
    orientation : {"similarity", "distance"}
        Whether alike means high or low.
    """

    score: Score
    null: Null = permute_stimuli
    draws: int = 199
    orientation: Orientation = "similarity"

    def __post_init__(self) -> None:
        """Refuse nulls that have no distribution.

        Raises
        ------
        ArgumentError
            Then, and where there are no draws.
        """
        if not self.null.random or self.draws < 1:
            raise ArgumentError(
                f"got null {self.null.name} with {self.draws} draws, expected a random null and at least 1 draw; a null"
                " with one value has no p-value"
            )

    def __call__(self, brain: xr.Dataset, network: xr.Dataset, rng: np.random.Generator) -> float:
        """Return the p-value; NaN where the score is nowhere defined."""
        same_stimuli(brain, network)
        if isinstance(self.score, SimilarityMap) and isinstance(self.null, StimulusNull):
            a, b = self.score.prepared(brain, network)
            orders = self.null.orders(brain.sizes["stimulus"], draws=self.draws, rng=rng)
            observed, drawn = self.score.metric.scores(a, b), permuted(self.score.metric, a, b, orders)
        else:
            observed = np.asarray(self.score(brain, network), dtype=float)
            drawn = np.stack(
                [
                    np.asarray(self.score(*self.null.draw(brain, network, rng)), dtype=float)
                    for _ in range(self.draws)
                ]
            )
        p = p_value(observed, drawn, self.orientation)
        return float(np.nanmin(p)) if np.isfinite(p).any() else np.nan
