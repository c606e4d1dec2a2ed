"""The sums behind one time for each block, none before that of the block before: hard (least) and soft (expected).

Every block counts once, whatever time passes between two of them, so that a map that covers more of the recording
does not cost more. This is the recursion of open-ended warping with an asymmetric step (Tormene et al. 2009), one
block at a time for all draws at once.

References
----------
Tormene, P. et al. (2009). Matching incomplete time series with dynamic time warping: an algorithm and an application
to post-stroke rehabilitation. Artificial Intelligence in Medicine 45, 11-34. doi:10.1016/j.artmed.2008.11.007
"""

from __future__ import annotations

import numpy as np


def ordered_times(cost: np.ndarray, *, stall: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions along time of the least sum of costs, (draw, block), and that sum, (draw,).

    Parameters
    ----------
    cost : numpy.ndarray
        (draw, time, block), infinite where a cell cannot be used.
    stall : float
        What is added where a block has the same time as the block before.

    Notes
    -----
    The earliest of equals. The positions of a draw whose sum is infinite mean nothing.
    """
    sums = _by_block(cost)
    for k in range(1, len(sums)):
        sums[k] += _least_before(sums[k - 1], stall)
    draws, times, blocks = cost.shape
    bins = np.arange(times)
    chosen = np.empty((draws, blocks), dtype=np.intp)
    chosen[:, -1] = sums[-1].argmin(axis=1)
    for k in range(blocks - 2, -1, -1):
        after = chosen[:, k + 1, None]
        chosen[:, k] = np.where(bins <= after, sums[k] + stall * (bins == after), np.inf).argmin(axis=1)
    return chosen, sums[-1, np.arange(draws), chosen[:, -1]]


def expected_times(cost: np.ndarray, gamma: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of each time in each block, (draw, time, block), and the soft least sum, (draw,).

    Every ordered set of times has the weight exp(-sum / gamma). The shares of a block are the weights of the sets in
    which it has that time, over the weight of all, and sum to 1. Both are NaN for draws without any such set.
    """
    gain = _by_block(-cost / gamma)
    forward = _soft_sums(gain)
    # The same from the last block and the last time on: what is left of a set once block k is at time t.
    backward = _soft_sums(gain[::-1, :, ::-1])[::-1, :, ::-1]
    total = np.logaddexp.reduce(forward[-1], axis=1)
    total = np.where(np.isfinite(total), total, np.nan)
    with np.errstate(invalid="ignore"):  # infinities of cells that cannot be used
        shares = np.moveaxis(np.exp(forward + backward - gain - total[:, None]), 0, 2)
    shares = np.where(np.isfinite(cost), shares, 0.0)
    shares[np.isnan(total)] = np.nan
    return shares, -gamma * total


def _by_block(cost: np.ndarray) -> np.ndarray:
    """Return a copy (block, draw, time), whose cumulative sums run through memory in order."""
    return np.array(np.moveaxis(cost, 2, 0), dtype=float, order="C")


def _least_before(sums: np.ndarray, stall: float) -> np.ndarray:
    """Return the least sum (draw, time) at this time, for which `stall` is added, or before."""
    least: np.ndarray = np.minimum.accumulate(sums, axis=1)
    if stall:
        moved = np.full_like(sums, np.inf)
        moved[:, 1:] = least[:, :-1]
        least = np.minimum(moved, sums + stall)
    return least


def _soft_sums(gain: np.ndarray) -> np.ndarray:
    """Return the logarithms of the weights of all ordered sets of blocks 0..k with block k at time t."""
    sums = gain.copy()
    for k in range(1, len(gain)):
        sums[k] += np.logaddexp.accumulate(sums[k - 1], axis=1)
    return sums
