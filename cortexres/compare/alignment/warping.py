"""Dynamic time warping of a map of costs, hard and soft, for all draws at once.

A path goes from cell to cell by one time, one block, or one of both, and every cell on it counts. SciPy's shortest
paths take one graph at a time and no negative costs; these are whole diagonals of the map, of all draws, in turn.

References
----------
Sakoe, H., Chiba, S. (1978). Dynamic programming algorithm optimization for spoken word recognition. IEEE Transactions
on Acoustics, Speech, and Signal Processing 26, 43-49. doi:10.1109/TASSP.1978.1163055
Cuturi, M., Blondel, M. (2017). Soft-DTW: a differentiable loss function for time-series. ICML. arXiv:1703.01541
"""

from __future__ import annotations

import numpy as np


def warped_sums(
    cost: np.ndarray, *, penalty: float = 0.0, open_start: bool = False, gamma: float | None = None
) -> np.ndarray:
    """Return the least sum of costs of a path that has come to each cell, (draw, time, block).

    Parameters
    ----------
    cost : numpy.ndarray
        (draw, time, block), infinite where a cell cannot be used.
    penalty : float
        What is added for each step that is not one of both.
    open_start : bool
        Whether a path may begin at any time of the first block.
    gamma : float, optional
        Temperature of the soft least sum; hard by default.
    """
    draws, times, blocks = cost.shape
    # Along the diagonal d = t + k the cells do not depend on each other; they lie at skew[:, d, k].
    skew = np.full((draws, times + blocks - 1, blocks), np.inf)
    for k in range(blocks):
        skew[:, k : k + times, k] = cost[:, :, k]
    sums = np.full((draws, times + blocks + 1, blocks + 1), np.inf)  # two diagonals and one block of nothing before
    for d in range(times + blocks - 1):
        before, two_before = sums[:, d + 1], sums[:, d]
        ways = [before[:, 1:] + penalty, before[:, :-1] + penalty, two_before[:, :-1]]
        if d == 0 or (open_start and d < times):
            start = np.full((draws, blocks), np.inf)
            start[:, 0] = 0.0
            ways.append(start)
        sums[:, d + 2, 1:] = skew[:, d] + _least(ways, gamma)
    result = np.empty_like(cost)
    for k in range(blocks):
        result[:, :, k] = sums[:, 2 + k : 2 + k + times, k + 1]
    return result


def warping_paths(
    cost: np.ndarray, *, penalty: float = 0.0, open_start: bool = False, open_end: bool = False
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the cheapest path of each draw, (step, 2) positions along time and block, and its sum, (draw,).

    Of paths that cost the same the one with steps of both is taken. A draw without any has an empty path and an
    infinite sum.
    """
    sums = warped_sums(cost, penalty=penalty, open_start=open_start)
    last = sums[:, :, -1]
    ends = last.argmin(axis=1) if open_end else np.full(len(cost), cost.shape[1] - 1)
    totals = last[np.arange(len(cost)), ends]
    paths = [
        _back(sums[i], cost[i], int(ends[i]), penalty, open_start) if np.isfinite(totals[i]) else np.empty((0, 2), int)
        for i in range(len(cost))
    ]
    return paths, totals


def warping_shares(
    cost: np.ndarray, gamma: float, *, open_start: bool = False, open_end: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return how much of all paths goes through each cell, (draw, time, block), and the soft least sum, (draw,).

    A path has the weight exp(-sum / gamma). The shares are the gradient of the soft least sum, its expected path.
    """
    forward = warped_sums(cost, open_start=open_start, gamma=gamma)
    backward = warped_sums(cost[:, ::-1, ::-1], open_start=open_end, gamma=gamma)[:, ::-1, ::-1]
    last = forward[:, :, -1]
    total = _least([last[:, t] for t in range(last.shape[1])], gamma) if open_end else last[:, -1]
    finite = np.where(np.isfinite(total), total, np.nan)
    with np.errstate(invalid="ignore"):
        shares = np.exp(-(forward + backward - cost - finite[:, None, None]) / gamma)
    shares = np.where(np.isfinite(cost), shares, 0.0)
    shares[np.isnan(finite)] = np.nan
    return shares, finite


def _least(ways: list[np.ndarray], gamma: float | None) -> np.ndarray:
    """Return the hard or soft minimum of arrays of one shape."""
    if gamma is None:
        least: np.ndarray = np.minimum.reduce(ways)
        return least
    total = np.logaddexp.reduce([-way / gamma for way in ways])
    soft: np.ndarray = -gamma * total
    return soft


def _back(sums: np.ndarray, cost: np.ndarray, end: int, penalty: float, open_start: bool) -> np.ndarray:
    """Return the path (step, 2) that made the sum at the last block and time `end`."""
    t, k = end, cost.shape[1] - 1
    path = [(t, k)]
    while True:
        ways = [
            (sums[t - 1, k - 1] if t and k else np.inf, t - 1, k - 1),
            (sums[t - 1, k] + penalty if t else np.inf, t - 1, k),
            (sums[t, k - 1] + penalty if k else np.inf, t, k - 1),
        ]
        if k == 0 and (t == 0 or open_start):
            ways.insert(0, (0.0, -1, -1))
        _, t, k = min(ways, key=lambda way: way[0])
        if k < 0:
            return np.array(path[::-1])
        path.append((t, k))
