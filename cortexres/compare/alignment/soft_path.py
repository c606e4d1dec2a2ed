"""The expected map over all monotone paths, each weighted by how well it matches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cortexres.compare.alignment.mapping import Axes, Maps
from cortexres.compare.alignment.monotone_path import banded, check_band, tied
from cortexres.compare.alignment.ordered_times import expected_times
from cortexres.compare.alignment.warping import warping_shares
from cortexres.errors import ArgumentError


@dataclass(frozen=True)
class SoftPath:
    """The mean time of each block over all monotone maps, of weights exp(-cost / gamma).

    It says how sharp a map is: the result carries the share of each time in each block. The score is the mean
    similarity under these shares, which is below that of the best map; as gamma goes to 0 it becomes `MonotonePath`.

    Parameters
    ----------
    gamma : float
        In units of the measure, summed over blocks: maps that cost this much more weigh less by a factor e. The larger
        it is, the more all times are drawn to the middle of the recording.
    band, open_start, open_end, every_bin
        As in `MonotonePath`; with `every_bin` the expected path of soft dynamic time warping.

    References
    ----------
    Cuturi, M., Blondel, M. (2017). Soft-DTW: a differentiable loss function for time-series. ICML. arXiv:1703.01541
    """

    gamma: float = 0.01
    band: float | None = None
    open_start: bool = True
    open_end: bool = True
    every_bin: bool = False

    def __post_init__(self) -> None:
        check_band(self.band)
        if not 0 < self.gamma < np.inf:
            raise ArgumentError(f"got gamma={self.gamma}, expected a positive number in units of the measure")

    @property
    def name(self) -> str:
        """Return the name of the method."""
        return "soft_time_warping" if self.every_bin else "soft_path"

    def maps(self, cost: np.ndarray, axes: Axes) -> Maps:
        """Return the expected map of each draw; NaN for draws without any path."""
        allowed = banded(cost, axes.time, self.band)
        if self.every_bin:
            shares, _ = warping_shares(allowed, self.gamma, open_start=self.open_start, open_end=self.open_end)
            shares = shares / shares.sum(axis=1, keepdims=True)
        else:
            shares, _ = expected_times(tied(allowed, self.open_start, self.open_end), self.gamma)
        return spread(shares, cost, axes.time)


def spread(shares: np.ndarray, cost: np.ndarray, time: np.ndarray) -> Maps:
    """Return the maps of mean time and mean cost under the shares of times in blocks, (draw, time, block)."""
    times = np.einsum("dtk,t->dk", shares, time)
    costs = np.sum(np.where(shares > 0, shares * np.where(shares > 0, cost, 0.0), 0.0), axis=1)
    costs[np.isnan(times)] = np.nan
    return Maps(times, costs, weights=shares[0])
