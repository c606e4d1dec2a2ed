"""Dynamic time warping of a map of costs, hard and soft, for all draws at once.

A path goes from cell to cell by one time, one block, or one of both, and every cell on it counts. On a path each block
has a run of times; what a run costs is a difference of cumulative sums, so that a whole block is one cumulative
minimum over time. SciPy's shortest paths take one graph at a time and no negative costs.

References
----------
Sakoe, H., Chiba, S. (1978). Dynamic programming algorithm optimization for spoken word recognition. IEEE Transactions
on Acoustics, Speech, and Signal Processing 26, 43-49. doi:10.1109/TASSP.1978.1163055
Cuturi, M., Blondel, M. (2017). Soft-DTW: a differentiable loss function for time-series. ICML. arXiv:1703.01541
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Runs:
    """The cheapest path of each draw, as the run of times that each block has on it.

    Parameters
    ----------
    first, last : numpy.ndarray
        Positions along time, (draw, block).
    totals : numpy.ndarray
        What the path costs, (draw,); infinite for draws without a path, whose runs mean nothing.
    """

    first: np.ndarray
    last: np.ndarray
    totals: np.ndarray

    def path(self, draw: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions along time and along block of the steps of one draw's path, both (step,)."""
        lengths = self.last[draw] - self.first[draw] + 1
        block = np.repeat(np.arange(lengths.size), lengths)
        before = np.repeat(np.cumsum(lengths) - lengths, lengths)
        return np.repeat(self.first[draw], lengths) + np.arange(block.size) - before, block


def warping_runs(
    cost: np.ndarray, *, penalty: float = 0.0, open_start: bool = False, open_end: bool = False
) -> Runs:
    """Return the cheapest path of each draw of `cost`, (draw, time, block), infinite where a cell cannot be used.

    Parameters
    ----------
    penalty : float
        What is added for each step that is not one of both time and block.
    open_start, open_end : bool
        Whether the path may begin at any time of the first block, and end at any time of the last.
    """
    finite, limit = _finite(cost)
    entries, sums = _scan(finite, penalty=penalty, open_start=open_start)
    draws, times, blocks = cost.shape
    bins, rows = np.arange(times), np.arange(draws)
    first, last = np.empty((draws, blocks), dtype=np.intp), np.empty((draws, blocks), dtype=np.intp)
    last[:, -1] = sums[-1].argmin(axis=1) if open_end else times - 1
    for k in range(blocks - 1, -1, -1):
        first[:, k] = np.where(bins <= last[:, k, None], entries[k], np.inf).argmin(axis=1)
        if k:
            here = sums[k - 1, rows, first[:, k]] + penalty
            before = sums[k - 1, rows, np.maximum(first[:, k] - 1, 0)]
            last[:, k - 1] = first[:, k] - ((before <= here) & (first[:, k] > 0))
    totals = sums[-1, rows, last[:, -1]]
    return Runs(first, last, np.where(totals < limit, totals, np.inf))


def warping_shares(
    cost: np.ndarray, gamma: float, *, open_start: bool = False, open_end: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return how much of all paths goes through each cell, (draw, time, block), and the soft least sum, (draw,).

    A path has the weight exp(-sum / gamma). The shares are the gradient of the soft least sum: the expected path.
    Both are NaN for draws without a path.
    """
    finite, limit = _finite(cost)
    _, forward = _scan(finite, open_start=open_start, gamma=gamma)
    # The same from the last block and time on: what is left of a path once it is at a cell.
    backward = _scan(finite[::-1, :, ::-1], open_start=open_end, gamma=gamma)[1][::-1, :, ::-1]
    total = -gamma * np.logaddexp.reduce(-forward[-1] / gamma, axis=1) if open_end else forward[-1, :, -1]
    shares = np.moveaxis(np.exp(-(forward + backward - finite - total[:, None]) / gamma), 0, 2)
    shares = np.where(np.isfinite(cost), shares, 0.0)
    shares[total >= limit] = np.nan
    return shares, np.where(total < limit, total, np.nan)


def _finite(cost: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the cost as (block, draw, time), and the sum from which on a path has a cell that cannot be used.

    Such cells have a large number for their cost, as infinite ones have no differences.
    """
    usable = np.isfinite(cost)
    largest = float(np.abs(cost[usable]).max(initial=0.0))
    limit = (cost.shape[1] + cost.shape[2]) * (largest + 1.0)
    return np.ascontiguousarray(np.moveaxis(np.where(usable, cost, 2 * limit), 2, 0)), limit


def _scan(
    cost: np.ndarray, *, penalty: float = 0.0, open_start: bool = False, gamma: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each cell the sum at its block's entry less the run up to there, and the least sum of a path to it.

    With m_s the sum before block k is entered at time s, and C the cumulative cost of waiting in it, the least sum at
    time t is C_t + min over s <= t of (m_s + c_s - C_s). All are (block, draw, time).
    """
    entries, sums = np.empty_like(cost), np.empty_like(cost)
    entered = np.full(cost.shape[1:], np.inf)
    entered[:, : cost.shape[2] if open_start else 1] = 0.0
    for k in range(len(cost)):
        waited = np.cumsum(cost[k] + penalty, axis=1)
        entries[k] = entered + cost[k] - waited
        sums[k] = waited + _running_least(entries[k], gamma)
        entered = sums[k] + penalty
        entered[:, 1:] = _lesser(entered[:, 1:], sums[k, :, :-1], gamma)
    return entries, sums


def _running_least(values: np.ndarray, gamma: float | None) -> np.ndarray:
    """Return the hard or soft cumulative minimum over time of (draw, time)."""
    if gamma is None:
        return np.minimum.accumulate(values, axis=1)
    least: np.ndarray = -gamma * np.logaddexp.accumulate(-values / gamma, axis=1)
    return least


def _lesser(a: np.ndarray, b: np.ndarray, gamma: float | None) -> np.ndarray:
    """Return the hard or soft minimum of two arrays."""
    lesser: np.ndarray = np.minimum(a, b) if gamma is None else -gamma * np.logaddexp(-a / gamma, -b / gamma)
    return lesser
