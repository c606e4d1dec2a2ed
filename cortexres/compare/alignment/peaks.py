"""The time of the least cost of each block, and where between the bins it lies."""

from __future__ import annotations

import numpy as np

# Points of the polynomial through a minimum and its neighbours: a quartic, whose minimum is off by a fraction of the
# bin that falls with its fourth power. A parabola, tried where a quartic has no room, is off by the square.
POINTS = (5, 3)
NEWTON_STEPS = 12


def least(cost: np.ndarray) -> np.ndarray:
    """Return the position of the least cost along time, (draw, block), the first of equals, of (draw, time, block)."""
    positions: np.ndarray = np.argmin(np.where(np.isnan(cost), np.inf, cost), axis=1)
    return positions


def refined(cost: np.ndarray, time: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return the times in ms of minima between the bins, (draw, block), within half a bin of bins `index`.

    A polynomial through the bin and its neighbours is minimised. A bin that is not less than both neighbours, as the
    first, the last, or one that another block holds in place, keeps its centre.

    Parameters
    ----------
    cost : numpy.ndarray
        (draw, time, block).
    time : numpy.ndarray
        Bin centres in ms, (time,).
    index : numpy.ndarray
        Positions along time, (draw, block).
    """
    times: np.ndarray = time[index].astype(float)
    draws, blocks = np.indices(index.shape)
    inner = (index > 0) & (index < time.size - 1)
    left, right = (cost[draws, np.clip(index + step, 0, time.size - 1), blocks] for step in (-1, 1))
    here = cost[draws, index, blocks]
    todo = inner & np.isfinite(here + left + right) & (here <= left) & (here <= right) & (left + right > 2 * here)
    for points in POINTS:
        if points > time.size or not todo.any():
            continue
        start = np.clip(index[todo] - points // 2, 0, time.size - points)
        where = start[:, None] + np.arange(points)
        values = cost[draws[todo][:, None], where, blocks[todo][:, None]]
        found = _minimum(values, time[where], time, index[todo])
        chosen = np.flatnonzero(todo.ravel())[np.isfinite(found)]
        times.ravel()[chosen] = found[np.isfinite(found)]
        todo.ravel()[chosen] = False
    return times


def _minimum(values: np.ndarray, knots: np.ndarray, time: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return the minimum within half a bin of `index` of polynomials through (m, point) values, (m,) ms, or NaN.

    Newton's method on the slope, from the vertex of the parabola through the bin and its two neighbours.
    """
    scale = (time[index + 1] - time[index - 1]) / 2
    x = (knots - time[index][:, None]) / scale[:, None]
    usable = np.isfinite(values).all(axis=1)
    level = np.where(usable[:, None], values, 0.0)
    powers = x[:, :, None] ** np.arange(x.shape[1])
    coefficients = np.linalg.solve(powers, (level - level.min(axis=1, keepdims=True))[:, :, None])[:, :, 0]
    low, high = (time[index - 1] - time[index]) / (2 * scale), (time[index + 1] - time[index]) / (2 * scale)
    at = np.clip(_vertex(x, level), low, high)
    for _ in range(NEWTON_STEPS):
        slope, curvature = _derivatives(coefficients, at)
        step = np.divide(slope, curvature, out=np.zeros_like(slope), where=curvature > 0)
        at = np.clip(at - step, low, high)
    convex = usable & (_derivatives(coefficients, at)[1] > 0)
    # A quartic through noise may fall on beyond half a bin; the parabola, the last to be tried, cannot.
    inside = (low < at) & (at < high) | (x.shape[1] == min(POINTS))
    return np.where(convex & inside, time[index] + scale * at, np.nan)


def _vertex(x: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the vertex of the parabola through the point at x = 0 and its two neighbours, (m,)."""
    rows = np.arange(len(x))
    middle = np.argmin(np.abs(x), axis=1)
    a, b = x[rows, middle - 1], x[rows, middle + 1]
    down, up = (values[rows, middle + step] - values[rows, middle] for step in (-1, 1))
    curvature = (up / b - down / a) / (b - a)
    slope = up / b - curvature * b
    vertex: np.ndarray = np.divide(-slope, 2 * curvature, out=np.zeros_like(slope), where=curvature > 0)
    return vertex


def _derivatives(coefficients: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and second derivative at `at` (m,) of polynomials with coefficients (m, power)."""
    first = coefficients[:, 1:] * np.arange(1, coefficients.shape[1])
    second = first[:, 1:] * np.arange(1, first.shape[1])
    powers = at[:, None] ** np.arange(first.shape[1])
    return np.sum(first * powers, axis=1), np.sum(second * powers[:, :-1], axis=1)
