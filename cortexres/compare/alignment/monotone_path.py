"""The map of non-decreasing times whose blocks match best together: the cheapest path through the map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cortexres.compare.alignment.mapping import Axes, Maps
from cortexres.compare.alignment.ordered_times import ordered_times
from cortexres.compare.alignment.peaks import refined
from cortexres.compare.alignment.warping import Runs, warping_runs
from cortexres.errors import ArgumentError


@dataclass(frozen=True)
class MonotonePath:
    """One time for each block, none before that of the block before, with the least mean cost of all such maps.

    By default each block counts once and the time that passes between two blocks is free, so that nothing but the
    match decides how much of the recording the network covers. Both ends are open: the time before the response and
    the plateau after it need not match any block. The times are those of the bins' centres, moved by up to half a bin
    to the peak between them where the path leaves a block at its own best bin.

    A monotone map rises by construction. That its times go along with its blocks is no evidence of anything.

    Parameters
    ----------
    band : float, optional
        Largest distance of a block from the straight line from the first bin and block to the last, as a share of
        each: |(t - t_first) / (t_last - t_first) - k / (blocks - 1)| <= band. None by default.
    open_start, open_end : bool
        Whether the first block may have a time other than the first bin, and the last block other than the last.
    step_penalty : float
        In units of the measure: what is added where two blocks have the same time; with `every_bin` for each step of
        a path that is not one of both time and block.
    every_bin : bool
        Dynamic time warping: all bins from the first block's to the last block's have to match a block too, and every
        cell of the path counts. A block's time is that of its best bin on the path. With open ends long paths cost
        more than short ones, which draws the map together.

    References
    ----------
    Sakoe, H., Chiba, S. (1978). Dynamic programming algorithm optimization for spoken word recognition. IEEE
    Transactions on Acoustics, Speech, and Signal Processing 26, 43-49. doi:10.1109/TASSP.1978.1163055
    """

    band: float | None = None
    open_start: bool = True
    open_end: bool = True
    step_penalty: float = 0.0
    every_bin: bool = False

    def __post_init__(self) -> None:
        check_band(self.band)
        if not 0 <= self.step_penalty < np.inf:
            raise ArgumentError(f"got step_penalty={self.step_penalty}, expected 0 or more, in units of the measure")

    @property
    def name(self) -> str:
        """Return the name of the method."""
        return "time_warping" if self.every_bin else "monotone_path"

    def maps(self, cost: np.ndarray, axes: Axes) -> Maps:
        """Return the best monotone map of each draw; NaN for draws without any (`band` leaves no cell to a block)."""
        allowed = banded(cost, axes.time, self.band)
        if self.every_bin:
            runs = warping_runs(
                allowed, penalty=self.step_penalty, open_start=self.open_start, open_end=self.open_end
            )
            index, totals, path = _best_of_runs(allowed, runs), runs.totals, runs.path(0)
        else:
            index, totals = ordered_times(tied(allowed, self.open_start, self.open_end), stall=self.step_penalty)
            path = index[0], np.arange(index.shape[1])
        times = np.maximum.accumulate(refined(allowed, axes.time, index), axis=1)
        costs = np.take_along_axis(allowed, index[:, None], axis=1)[:, 0]
        nowhere = ~np.isfinite(totals)
        times[nowhere] = costs[nowhere] = np.nan
        return Maps(times, costs, path=(path[0][:0], path[1][:0]) if nowhere[0] else path)


def check_band(band: float | None) -> None:
    """Raise where a band is no share of the map.

    Raises
    ------
    ArgumentError
        Then.
    """
    if band is not None and not 0 < band <= 1:
        raise ArgumentError(f"got band={band}, expected a share of the recording in (0, 1], or None for no band")


def banded(cost: np.ndarray, time: np.ndarray, band: float | None) -> np.ndarray:
    """Return the cost (draw, time, block), infinite where it is NaN or further than `band` from the straight line."""
    allowed = np.where(np.isnan(cost), np.inf, cost)
    if band is not None:
        along = (time - time[0]) / max(time[-1] - time[0], np.finfo(float).tiny)
        depth = np.arange(cost.shape[2]) / max(cost.shape[2] - 1, 1)
        allowed[:, np.abs(along[:, None] - depth) > band + 1e-9] = np.inf
    return allowed


def tied(cost: np.ndarray, open_start: bool, open_end: bool) -> np.ndarray:
    """Return the cost with the first block tied to the first bin and the last to the last, where ends are closed."""
    bound = cost.copy()
    if not open_start:
        bound[:, 1:, 0] = np.inf
    if not open_end:
        bound[:, :-1, -1] = np.inf
    return bound


def _best_of_runs(cost: np.ndarray, runs: Runs) -> np.ndarray:
    """Return each block's cheapest position within its run of times, (draw, block), the first of equals."""
    bins = np.arange(cost.shape[1])[:, None]
    within = (bins >= runs.first[:, None]) & (bins <= runs.last[:, None])
    best: np.ndarray = np.where(within, cost, np.inf).argmin(axis=1)
    return best
