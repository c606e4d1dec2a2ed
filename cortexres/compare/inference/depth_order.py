"""Whether latencies are ordered with depth: how much, how often draws are, and what draws without an order are."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.special import stdtr

# Rank correlations and slopes that agree in so many decimals are the same but for rounding.
DIGITS = 9

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


def errors(observed: np.ndarray, samples: np.ndarray, left_out: np.ndarray) -> np.ndarray:
    """Return the deviations (draw, time, block) of bootstrapped maps, with the variance that the jackknife finds.

    A measure of pairs of stimuli varies with single stimuli, by L, and with single pairs, by Q. In bootstrap samples
    pairs vary three times as much as they should, and the variance is L + 3 Q; that of the jackknife is L + 2 Q, above
    L + Q as well (it is never too small on average), but less. One factor serves the whole map.

    Parameters
    ----------
    observed : numpy.ndarray
        (time, block).
    samples, left_out : numpy.ndarray
        (draw, time, block) of bootstrap samples, and (stimulus, time, block) without each stimulus.

    References
    ----------
    Efron, B., Stein, C. (1981). The jackknife estimate of variance. Annals of Statistics 9, 586-596.
    doi:10.1214/aos/1176345462
    """
    deviations: np.ndarray = samples - observed
    cells = np.isfinite(observed) & np.isfinite(left_out).all(axis=0)
    draws = np.isfinite(samples[:, cells]).all(axis=1)
    jackknife = (len(left_out) - 1) * left_out[:, cells].var(axis=0).sum()
    bootstrap = samples[draws][:, cells].var(axis=0).sum() if draws.any() else 0.0
    share = jackknife / bootstrap if bootstrap > 0 else 1.0
    return deviations * float(np.sqrt(np.clip(share, 2 / 3, 1.0)))


def unordered(observed: np.ndarray, deviations: np.ndarray, time: np.ndarray, slope: float) -> np.ndarray:
    """Return maps (draw, time, block) without an order of the blocks, with the deviations that errors bring about.

    The curve that all blocks share is the mean over blocks after each was moved back by `slope`, in ms per block: the
    mean of blocks that do follow one another would be flatter than the curve of any, and a flat curve has its peak
    anywhere. Each block has it with its own offset and scale (least squares).
    """
    defined = np.isfinite(observed)
    columns = defined.any(axis=0)
    rows = defined[:, columns].all(axis=1)
    used = _moved_back(observed[np.ix_(rows, columns)], time[rows], slope)
    mean = used.mean(axis=1) if used.size else np.zeros(rows.sum())
    curve = mean - mean.mean() if mean.size else mean
    power = float(curve @ curve)
    scale = curve @ used / power if power > 0 else np.zeros(used.shape[1])
    fitted = np.full(observed.shape, np.nan)
    fitted[np.ix_(rows, columns)] = (used.mean(axis=0) if used.size else 0.0) + curve[:, None] * scale
    maps: np.ndarray = fitted + deviations
    return maps


def _moved_back(curves: np.ndarray, time: np.ndarray, slope: float) -> np.ndarray:
    """Return curves (time, block), each earlier by `slope` times its depth from the middle one; ends are held."""
    blocks = curves.shape[1]
    if curves.size == 0 or not np.isfinite(slope):
        return curves
    shifts = slope * (np.arange(blocks) - (blocks - 1) / 2)
    return np.stack([np.interp(time + shift, time, curves[:, k]) for k, shift in enumerate(shifts)], axis=1)


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
    """Return the p-value of an order (2,) among draws (2, draw), by rank correlation and by slope, whichever is rarer.

    Rank correlations tell little where blocks are so alike that many draws are in order (equal ones are told apart by
    their slope), and slopes little where some latencies are far off. That the rarer of both is taken is corrected for:
    every draw has its own share of draws that reach it, by either, and the p-value is that of the smaller share.
    """
    if np.isnan(order).any():
        return np.nan
    both = np.concatenate([order[:, None], drawn], axis=1)
    both = np.round(np.abs(both) if alternative == "two-sided" else both, DIGITS)
    rarer = np.minimum(_reaching(both), _reaching(both[1:]))
    return float(np.mean(rarer <= rarer[0]))


def _reaching(keys: np.ndarray) -> np.ndarray:
    """Return the share of columns (draw,) that are as large as each or larger, by the first row and then the next."""
    _, place, counts = np.unique(keys, axis=1, return_inverse=True, return_counts=True)
    share: np.ndarray = (counts[::-1].cumsum()[::-1] / counts.sum())[place.ravel()]
    return share


def naive_p(rho: float, blocks: int, alternative: Alternative) -> float:
    """Return the p-value of Spearman's correlation by Student's t with blocks - 2 degrees of freedom."""
    if np.isnan(rho):
        return np.nan
    t = rho * np.sqrt((blocks - 2) / max((1 - rho) * (1 + rho), 1e-30))
    return float(stdtr(blocks - 2, -t) if alternative == "increasing" else 2 * stdtr(blocks - 2, -abs(t)))
