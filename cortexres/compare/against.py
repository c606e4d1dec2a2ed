"""One p-value of brain and network against one null, as a function that a power analysis can call."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from cortexres.compare.inference.null_maps import null_maps, score_map
from cortexres.compare.measures.measure import Comparison, Orientation
from cortexres.compare.nulls.exceedance import p_value
from cortexres.compare.nulls.null import Null
from cortexres.compare.nulls.scores import Score, check_orientation
from cortexres.compare.nulls.stimuli import permute_stimuli
from cortexres.errors import ArgumentError
from cortexres.schema import same_stimuli


@dataclass(frozen=True)
class SimilarityMap:
    """The bare map (time, block) of a measure, as a score: the brain against each block, and no more.

    Parameters
    ----------
    metric : Comparison
        Which measure.
    """

    metric: Comparison

    def __call__(self, brain: xr.Dataset, network: xr.Dataset) -> xr.DataArray:
        """Return the map, with time and block as coordinates."""
        values = score_map(self.metric, brain, network)
        attrs = {
            "units": "1",
            "long_name": f"{self.metric.name} of each time and block",
            "orientation": self.metric.orientation,
        }
        coords = {"time": brain["time"].values, "block": network["block"].values}
        return xr.DataArray(values, coords=coords, dims=("time", "block"), attrs=attrs)


@dataclass(frozen=True)
class Against:
    """A test of one score against one random null: a function of brain, network and rng that returns a p-value.

    The p-value of a map is that of its best cell, corrected for all cells.

    Parameters
    ----------
    score : callable
        ``score(brain, network)`` returns a number or a DataArray. What a `SimilarityMap` makes of each side is made
        anew only where the null changes it.
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
        """Return the p-value; NaN where the score is nowhere defined.

        Raises
        ------
        SchemaError
            If the stimuli differ.
        ArgumentError
            If the score says that it has the other orientation.
        """
        same_stimuli(brain, network)
        observed = xr.DataArray(self.score(brain, network))
        check_orientation(observed, self.orientation)
        p = p_value(np.asarray(observed.values, dtype=float), self._drawn(brain, network, rng), self.orientation)
        return float(np.nanmin(p)) if np.isfinite(p).any() else np.nan

    def _drawn(self, brain: xr.Dataset, network: xr.Dataset, rng: np.random.Generator) -> np.ndarray:
        if isinstance(self.score, SimilarityMap):
            return null_maps(self.score.metric, brain, network, self.null, draws=self.draws, rng=rng)
        pairs = (self.null.draw(brain, network, rng) for _ in range(self.draws))
        return np.stack([np.asarray(self.score(*pair), dtype=float) for pair in pairs])
