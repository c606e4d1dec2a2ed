"""The times of the best match of each block, pooled where their order is not that of the blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from cortexres.compare.alignment.mapping import Axes, Maps, at_times
from cortexres.compare.alignment.peaks import least, refined


@dataclass(frozen=True)
class Isotonic:
    """The non-decreasing times that are nearest, in squares, to the blocks' own best times.

    It looks at each block's best time only, not at how much worse other times are: quick and simple, but a block
    that matches all times alike counts as much as one with a sharp peak. `MonotonePath` weighs them.

    References
    ----------
    Barlow, R. E. et al. (1972). Statistical inference under order restrictions. Wiley.
    """

    @property
    def name(self) -> str:
        """Return the name of the method."""
        return "isotonic"

    def maps(self, cost: np.ndarray, axes: Axes) -> Maps:
        """Return the pooled best times of each draw; NaN for draws in which a block has no match at all."""
        peaks = refined(cost, axes.time, least(cost))
        peaks[~np.isfinite(cost).any(axis=1).all(axis=1)] = np.nan
        times = np.stack([row if np.isnan(row).any() else isotonic_regression(row).x for row in peaks])
        return Maps(times, at_times(cost, axes.time, times))
