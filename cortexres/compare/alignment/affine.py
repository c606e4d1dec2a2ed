"""The straight map t = a + b k that matches best, found by looking at all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from cortexres.compare.alignment.mapping import Axes, Maps, at_times, between
from cortexres.errors import ArgumentError

# Times tried for the first and for the last block; bins, where there are no more of them.
GRID = 128
# Rounds in which the best of the grid moves by a step, or the step is halved: to less than a thousandth of a bin.
ROUNDS = 24
# Draws fitted at a time: each has a cost for every pair of ends.
CHUNK = 256
MOVES = np.array([(i, j) for i in (-1.0, 0.0, 1.0) for j in (-1.0, 0.0, 1.0)])


@dataclass(frozen=True)
class Affine:
    """t = a + b k of the least mean cost, with both ends within the recording.

    The slope may be negative or 0: that its interval lies above 0 says that later blocks are like later times, which
    no monotone method can say.
    """

    @property
    def name(self) -> str:
        """Return the name of the method."""
        return "affine"

    def maps(self, cost: np.ndarray, axes: Axes) -> Maps:
        """Return the best straight map of each draw, with its ``slope`` (ms per block) and ``intercept`` (ms).

        The times of the first and the last block are taken from a grid of all pairs of bins (at most `GRID` each),
        and moved from there, in ever smaller steps, while the cost, interpolated by cubics between the bins, falls.

        Raises
        ------
        ArgumentError
            If there is one block only, which has no slope.
        """
        if axes.block.size < 2:
            raise ArgumentError(
                f"Affine: got {axes.block.size} block with a defined similarity, expected at least 2 for a slope"
            )
        grid = axes.time
        if grid.size > GRID:
            grid = np.linspace(grid[0], grid[-1], GRID)
        place = (axes.block - axes.block[0]) / (axes.block[-1] - axes.block[0])
        first, last = (side.ravel() for side in np.meshgrid(grid, grid, indexing="ij"))
        candidates = first[:, None] * (1 - place) + last[:, None] * place
        parts = []
        for start in range(0, len(cost), CHUNK):
            part = cost[start : start + CHUNK]
            totals = _totals(part, axes.time, candidates)
            best = totals.argmin(axis=1)
            found = _polished(part, axes.time, place, np.stack([first[best], last[best]], axis=1), grid)
            parts.append(np.where(np.isfinite(totals.min(axis=1))[:, None], found, np.nan))
        ends = np.concatenate(parts)
        times = ends[:, :1] * (1 - place) + ends[:, 1:] * place
        slope = (ends[:, 1] - ends[:, 0]) / (axes.block[-1] - axes.block[0])
        line = {"slope": slope, "intercept": ends[:, 0] - slope * axes.block[0]}
        return Maps(times, at_times(cost, axes.time, times), parameters=line)


def _totals(cost: np.ndarray, time: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Return the cost of each candidate map (candidate, block) in ms for each draw, (draw, candidate)."""
    draws, _, blocks = cost.shape
    low, share = between(time, candidates)
    rows, columns = np.indices(candidates.shape)
    high = np.minimum(low + 1, time.size - 1)
    row, column = np.concatenate([rows.ravel()] * 2), np.concatenate([low.ravel(), high.ravel()]) * blocks
    entries = np.concatenate([1 - share.ravel(), share.ravel()])
    used = entries > 0
    matrix = sparse.csr_array(
        (entries[used], (row[used], (column + np.tile(columns.ravel(), 2))[used])),
        shape=(len(candidates), time.size * blocks),
    )
    totals: np.ndarray = (matrix @ np.where(np.isnan(cost), np.inf, cost).reshape(draws, -1).T).T
    return totals


def _polished(cost: np.ndarray, time: np.ndarray, place: np.ndarray, ends: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Return the ends (draw, 2) moved to the least cost in reach, never out of the recording."""
    step = np.full(len(ends), (grid[-1] - grid[0]) / max(grid.size - 1, 1) / 2)
    rows = np.arange(len(ends))
    for _ in range(ROUNDS):
        tried = np.clip(ends[:, None] + step[:, None, None] * MOVES, time[0], time[-1])
        maps = tried[:, :, :1] * (1 - place) + tried[:, :, 1:] * place
        totals = _smooth(cost, time, maps).sum(axis=2)
        best = totals.argmin(axis=1)
        better = totals[rows, best] < totals[rows, len(MOVES) // 2]
        ends = np.where(better[:, None], tried[rows, best], ends)
        step = np.where(better, step, step / 2)
    return ends


def _smooth(cost: np.ndarray, time: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the cost at times (draw, candidate, block), by the cubic through the four bins around; else infinite."""
    if time.size < 4:
        return at_times(cost, time, at)
    start = np.clip(np.searchsorted(time, at, side="right") - 2, 0, time.size - 4)
    draws, blocks = np.arange(len(cost))[:, None, None], np.arange(cost.shape[2])
    total = np.zeros(at.shape)
    for j in range(4):
        weight = np.ones(at.shape)
        for m in range(4):
            if m != j:
                weight *= (at - time[start + m]) / (time[start + j] - time[start + m])
        values = cost[draws, start + j, blocks]
        total += np.where(np.isfinite(values), weight * np.where(np.isfinite(values), values, 0.0), np.inf)
    return total
