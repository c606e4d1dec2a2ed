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


def ordered_sums(cost: np.ndarray, *, stall: float = 0.0) -> np.ndarray:
    """Return the least sum of costs of blocks 0..k with block k at time t, (draw, time, block).

    Parameters
    ----------
    cost : numpy.ndarray
        (draw, time, block), infinite where a cell cannot be used.
    stall : float
        What is added where a block has the same time as the block before.
    """
    sums = cost.copy()
    for k in range(1, cost.shape[2]):
        before = sums[:, :, k - 1]
        if stall:
            moved = np.full_like(before, np.inf)
            moved[:, 1:] = np.minimum.accumulate(before, axis=1)[:, :-1]
            sums[:, :, k] += np.minimum(moved, before + stall)
        else:
            sums[:, :, k] += np.minimum.accumulate(before, axis=1)
    return sums


def ordered_times(cost: np.ndarray, *, stall: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions along time of the least sum, (draw, block), and that sum, (draw,).

    The earliest of equals. The positions of a draw whose sum is infinite mean nothing.
    """
    sums = ordered_sums(cost, stall=stall)
    draws, times, blocks = cost.shape
    rows, bins = np.arange(draws), np.arange(times)
    chosen = np.empty((draws, blocks), dtype=np.intp)
    chosen[:, -1] = sums[:, :, -1].argmin(axis=1)
    for k in range(blocks - 2, -1, -1):
        after = chosen[:, k + 1, None]
        reach = np.where(bins <= after, sums[:, :, k] + stall * (bins == after), np.inf)
        chosen[:, k] = reach.argmin(axis=1)
    return chosen, sums[rows, chosen[:, -1], -1]


def expected_times(cost: np.ndarray, gamma: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of each time in each block, (draw, time, block), and the soft least sum, (draw,).

    Every ordered set of times has the weight exp(-sum / gamma). The shares of a block are the weights of the sets in
    which it has that time, over the weight of all, and sum to 1.
    """
    forward = _soft_sums(-cost / gamma)
    # The same from the last block and the last time on: what is left of a set once block k is at time t.
    backward = _soft_sums(-cost[:, ::-1, ::-1] / gamma)[:, ::-1, ::-1]
    total = np.logaddexp.reduce(forward[:, :, -1], axis=1)
    finite = np.where(np.isfinite(total), total, np.nan)
    with np.errstate(invalid="ignore"):
        shares = np.exp(forward + backward + cost / gamma - finite[:, None, None])
    shares = np.where(np.isfinite(cost), shares, 0.0)
    shares[np.isnan(finite)] = np.nan
    return shares, -gamma * finite


def _soft_sums(gain: np.ndarray) -> np.ndarray:
    sums = gain.copy()
    for k in range(1, gain.shape[2]):
        sums[:, :, k] += np.logaddexp.accumulate(sums[:, :, k - 1], axis=1)
    return sums
