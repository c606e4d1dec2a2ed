"""Whether latencies are ordered with depth: how much, how often draws are, and what draws without an order are."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.special import stdtr

# Rank correlations and slopes closer than this are the same but for rounding.
SAME = 1e-9

Alternative = Literal["two-sided", "increasing"]


def rank_correlations(latencies: np.ndarray) -> np.ndarray:
    """Return Spearman's correlation with depth, (draw,), of latencies (draw, block).

    It is 0, no order, where all latencies of a draw are the same; NaN where fewer than three blocks are there. A block
    that has no latency in a draw has the middle rank there: it speaks neither for nor against an order.
    """
    from scipy.stats import rankdata  # half a second to import

    blocks = latencies.shape[1]
    if blocks < 3:
        return np.full(len(latencies), np.nan)
    missing = np.isnan(latencies)
    # Missing ones are ranked last, after which the others have the ranks they have among themselves.
    ranks = rankdata(np.where(missing, np.inf, latencies), axis=1)
    count = np.maximum((~missing).sum(axis=1, keepdims=True), 1)
    ranks = np.where(missing, 0.0, ranks - (count + 1) / 2)
    depth = np.arange(blocks) - (blocks - 1) / 2
    norms = np.sqrt(np.sum(ranks**2, axis=1) * np.sum(depth**2))
    rho: np.ndarray = ranks @ depth / np.where(norms > 0, norms, 1.0)
    return rho


def unordered(observed: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Return maps (draw, time, block) without an order of the blocks, with the errors that the samples show.

    The curve that all blocks share is the mean over blocks; each has it with its own offset and scale (least squares).
    """
    defined = np.isfinite(observed)
    columns = defined.any(axis=0)
    rows = defined[:, columns].all(axis=1)
    used = observed[np.ix_(rows, columns)]
    mean = used.mean(axis=1) if used.size else np.zeros(rows.sum())
    curve = mean - mean.mean() if mean.size else mean
    power = float(curve @ curve)
    scale = curve @ used / power if power > 0 else np.zeros(used.shape[1])
    fitted = np.full(observed.shape, np.nan)
    fitted[np.ix_(rows, columns)] = (used.mean(axis=0) if used.size else 0.0) + curve[:, None] * scale
    maps: np.ndarray = fitted + (samples - observed)
    return maps


def order_of(latencies: np.ndarray) -> np.ndarray:
    """Return rank correlation and slope (2, draw) of latencies (draw, block) over depth; see `rank_correlations`."""
    blocks = latencies.shape[1]
    if blocks < 3:
        return np.full((2, len(latencies)), np.nan)
    missing = np.isnan(latencies)
    count = np.maximum((~missing).sum(axis=1, keepdims=True), 1)
    filled = np.where(missing, 0.0, latencies)
    deviations = np.where(missing, 0.0, filled - filled.sum(axis=1, keepdims=True) / count)
    depth = np.arange(blocks) - (blocks - 1) / 2
    return np.stack([rank_correlations(latencies), deviations @ depth / (depth @ depth)])


def p_of(order: np.ndarray, drawn: np.ndarray, alternative: Alternative) -> float:
    """Return the share of draws (2, draw) that are ordered as much: by rank correlation, then by slope."""
    if np.isnan(order).any():
        return np.nan
    if alternative == "two-sided":
        order, drawn = np.abs(order), np.abs(drawn)
    same = np.abs(drawn[0] - order[0]) <= SAME
    reached = ~same & (drawn[0] > order[0]) | same & (drawn[1] >= order[1] - SAME)
    return float((1 + reached.sum()) / (1 + reached.size))


def naive_p(rho: float, blocks: int, alternative: Alternative) -> float:
    """Return the p-value of Spearman's correlation by Student's t with blocks - 2 degrees of freedom."""
    if np.isnan(rho):
        return np.nan
    t = rho * np.sqrt((blocks - 2) / max((1 - rho) * (1 + rho), 1e-30))
    return float(stdtr(blocks - 2, -t) if alternative == "increasing" else 2 * stdtr(blocks - 2, -abs(t)))
