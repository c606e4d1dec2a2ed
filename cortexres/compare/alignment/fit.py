"""A method applied to maps of a measure: what is a cost, which blocks count, and what the result is in the measure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cortexres.compare.alignment.mapping import Axes, Maps, Method
from cortexres.compare.measures.measure import Orientation


@dataclass(frozen=True)
class Fit:
    """A method with the axes of the blocks that have values, and the orientation of the measure.

    Parameters
    ----------
    method : Method
        Fits the maps.
    axes : Axes
        Of the blocks in `defined`.
    defined : numpy.ndarray
        Positions along block of those that have a value at some time.
    blocks : int
        Number of blocks of the network.
    orientation : {"similarity", "distance"}
        Whether alike means high or low.
    """

    method: Method
    axes: Axes
    defined: np.ndarray
    blocks: int
    orientation: Orientation

    @property
    def sign(self) -> float:
        """Return 1 where high values are good, -1 where low ones are."""
        return 1.0 if self.orientation == "similarity" else -1.0

    def maps(self, values: np.ndarray) -> Maps:
        """Return one map for each draw of the measure, (draw, time, block)."""
        return self.method.maps(self.costs(values), self.axes)

    def costs(self, values: np.ndarray) -> np.ndarray:
        """Return 1 - similarity, or the distance, (draw, time, defined block), infinite where undefined."""
        cost = values[:, :, self.defined]
        cost = 1 - cost if self.orientation == "similarity" else cost
        return np.where(np.isfinite(cost), cost, np.inf)

    def measure(self, costs: np.ndarray) -> np.ndarray:
        """Return the measure from costs; NaN where a cost is not finite."""
        finite = np.where(np.isfinite(costs), costs, np.nan)
        return 1 - finite if self.orientation == "similarity" else finite

    def score(self, costs: np.ndarray, used: np.ndarray) -> np.ndarray:
        """Return the mean measure over the `used` blocks of costs (draw, defined block), (draw,); NaN without any."""
        if not used.any():
            return np.full(len(costs), np.nan)
        means: np.ndarray = self.measure(costs)[:, used].mean(axis=1)
        return means

    def placed(self, values: np.ndarray) -> np.ndarray:
        """Return (..., block) from (..., defined block), NaN for the other blocks."""
        result = np.full((*values.shape[:-1], self.blocks), np.nan)
        result[..., self.defined] = values
        return result


def interval(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 2.5th and 97.5th percentile over the draws (draw, ...) that are defined; NaN without two of them."""
    finite = np.isfinite(draws)
    enough = finite.sum(axis=0) > 1
    safe = np.where(enough, np.where(finite, draws, np.nan), 0.0)
    low, high = np.nanquantile(safe, (0.025, 0.975), axis=0)
    return np.where(enough, low, np.nan), np.where(enough, high, np.nan)
