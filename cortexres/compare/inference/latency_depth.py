"""Do later blocks match later times? A test that knows how alike neighbouring blocks and times are."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from scipy import stats

from cortexres.compare.inference.latencies import Latency, Peak
from cortexres.compare.inference.null_maps import null_maps, score_map
from cortexres.compare.inference.resampled_maps import resampled_stimuli
from cortexres.compare.measures.cka import linear_cka
from cortexres.compare.measures.measure import Comparison
from cortexres.compare.nulls.stimuli import permute_stimuli
from cortexres.errors import ArgumentError
from cortexres.provenance import provenance
from cortexres.schema import check_brain, check_network, same_stimuli

# Rank correlations and slopes closer than this are the same but for rounding.
SAME = 1e-9

Alternative = Literal["two-sided", "increasing"]


def latency_depth(
    brain: xr.Dataset,
    network: xr.Dataset,
    *,
    metric: Comparison = linear_cka,
    latency: Latency | None = None,
    alternative: Alternative = "two-sided",
    draws: int = 500,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return the latency of each block with its interval, its rank correlation with depth, and calibrated p-values.

    The rank correlation of latency and depth is usually tested as if the blocks were independent. They are not:
    neighbouring blocks of one network are alike, so that their latencies err together, and noise alone gives ordered
    latencies far more often than the nominal level says. Here the whole map is drawn anew, with one sample of the
    stimuli for all of it, and goes through the same steps; so what blocks share, and what times share, is in the null.

    - ``p``: against one time course for all blocks. The null maps are the mean curve, fitted to each block by offset
      and scale, plus the deviations of bootstrapped maps from the observed one: the errors of this many stimuli.
    - ``p_unrelated``: against no relation of brain and network at all, by permuted stimuli. It is exact for that, and
      for nothing else: where there is a relation, it can reject because of it.
    - ``p_naive``: as if the blocks were independent (t distribution), to be compared with, not to be used.

    Draws are compared by their rank correlation, and where that is the same by their slope: where blocks are much
    alike, many draws have all their latencies in order, and only how far apart these are can tell them from the truth.
    Latencies are read after the onset (0 ms) over the blocks and times that are defined.

    Parameters
    ----------
    brain, network : xarray.Dataset
        With the same stimuli in the same order.
    metric : Comparison
        Which measure.
    latency : Latency, optional
        `Peak` (default) or `Onset`.
    alternative : {"two-sided", "increasing"}
        Whether decreasing latencies would count as well.
    draws : int
        Number of permutations, and of bootstraps.
    rng : int or numpy.random.Generator, optional
        Draws them.

    Returns
    -------
    xarray.Dataset
        ``latency_ms``, ``latency_ms_low``, ``latency_ms_high`` (block): 95 % percentile interval over bootstrapped
        stimuli; ``slope``, ``slope_low``, ``slope_high`` () in ms per block; ``rho``, ``p``, ``p_unrelated``,
        ``p_naive`` (): NaN, with the reason, where fewer than three blocks
        have a latency; ``null_rho`` (null, draw), ``name`` (null).

    Raises
    ------
    SchemaError
        If a Dataset does not keep the schema, or the stimuli differ.
    ArgumentError
        If there are fewer than three times after the onset, no draws, or no such alternative.

    References
    ----------
    Kong, N. C. L., Kaneshiro, B., Yamins, D. L. K., Norcia, A. M. (2020). Time-resolved correspondences between deep
    neural network layers and EEG measurements in object processing. Vision Research 172, 27-45.
    doi:10.1016/j.visres.2020.04.005
    """
    check_brain(brain)
    check_network(network)
    same_stimuli(brain, network)
    brain = _after_onset(brain)
    if alternative not in ("two-sided", "increasing"):
        raise ArgumentError(f"got alternative={alternative!r}, expected 'two-sided' or 'increasing'")
    if draws < 1:
        raise ArgumentError(f"got draws={draws}, expected at least 1 (500 for p-values down to 0.002)")
    seed = rng if isinstance(rng, int) else None
    rng = np.random.default_rng(rng)
    latency = latency or Peak()
    sign = 1.0 if metric.orientation == "similarity" else -1.0
    time = np.asarray(brain["time"].values, dtype=float)
    observed = sign * score_map(metric, brain, network)
    samples = sign * resampled_stimuli(metric, brain, network, draws=draws, rng=rng)
    permutations = sign * null_maps(metric, brain, network, permute_stimuli, draws=draws, rng=rng)
    latencies = latency.of(observed[None], time)[0]
    usable = np.isfinite(latencies)
    order = _order(latencies[None, usable])
    rho, slope = order[:, 0]
    drawn = {
        "one time course": _order(latency.of(_unordered(observed, samples), time)[:, usable]),
        "unrelated": _order(latency.of(permutations, time)[:, usable]),
    }
    p, p_unrelated = (_p(order[:, 0], values, alternative) for values in drawn.values())
    resampled = latency.of(samples, time)
    low, high = _interval(resampled)
    (slope_low,), (slope_high,) = _interval(_order(resampled[:, usable])[1][:, None])
    reason = _reason(int(usable.sum()), rho)
    told = {
        "rho": (rho, "rank correlation of latency and depth"),
        "p": (p, "p-value against one time course for all blocks"),
        "p_unrelated": (p_unrelated, "p-value against no relation of brain and network"),
        "p_naive": (_naive(rho, int(usable.sum()), alternative), "p-value if blocks were independent, to compare with"),
    }
    where = "" if usable.all() else f"at blocks {', '.join(str(b) for b in network['block'].values[~usable][:5])}"
    times = {
        "latency_ms": (np.where(usable, latencies, np.nan), f"latency of the {latency.name}"),
        "latency_ms_low": (np.where(usable, low, np.nan), "lower end of the 95 % bootstrap interval over stimuli"),
        "latency_ms_high": (np.where(usable, high, np.nan), "upper end of the 95 % bootstrap interval over stimuli"),
    }
    slopes = {
        "slope": (slope, "slope of latency over depth"),
        "slope_low": (slope_low, "lower end of the 95 % bootstrap interval over stimuli"),
        "slope_high": (slope_high, "upper end of the 95 % bootstrap interval over stimuli"),
    }
    variables = {
        name: xr.Variable(("block",), values, {"units": "ms", "long_name": text, "undefined": where})
        for name, (values, text) in times.items()
    } | {
        name: xr.Variable((), value, {"units": "1", "long_name": text, "undefined": reason})
        for name, (value, text) in told.items()
    }
    variables |= {
        name: xr.Variable((), value, {"units": "ms/block", "long_name": text, "undefined": reason})
        for name, (value, text) in slopes.items()
    }
    attrs = {"units": "1", "long_name": "rank correlations under the nulls", "undefined": ""}
    variables["null_rho"] = xr.Variable(("null", "draw"), np.stack([values[0] for values in drawn.values()]), attrs)
    coords = {str(k): c.variable for k, c in network.coords.items() if c.dims == ("block",)}
    facts = provenance(metric=metric.name, latency=latency.name, alternative=alternative, draws=draws, seed=seed)
    return xr.Dataset(
        variables,
        coords=coords | {"name": xr.Variable(("null",), list(drawn))},
        attrs={
            "model": str(network.attrs.get("model", "")),
            "metric": metric.name,
            "orientation": metric.orientation,
            "latency": latency.name,
            "alternative": alternative,
            "n_stimuli": brain.sizes["stimulus"],
            "n_trials": brain.sizes["trial"],
            "draws": draws,
            "cortexres_provenance": facts,
        },
    )


def _after_onset(brain: xr.Dataset) -> xr.Dataset:
    after = np.asarray(brain["time"].values, dtype=float) >= 0
    if after.sum() < 3:
        raise ArgumentError(f"got {after.sum()} bins after the onset at 0 ms, expected at least 3 to have latencies")
    return brain.isel(time=after)


def rank_correlations(latencies: np.ndarray) -> np.ndarray:
    """Return Spearman's correlation with depth, (draw,), of latencies (draw, block).

    It is 0, no order, where all latencies of a draw are the same; NaN where fewer than three blocks are there. A block
    that has no latency in a draw has the middle rank there: it speaks neither for nor against an order.
    """
    blocks = latencies.shape[1]
    if blocks < 3:
        return np.full(len(latencies), np.nan)
    missing = np.isnan(latencies)
    # Missing ones are ranked last, after which the others have the ranks they have among themselves.
    ranks = stats.rankdata(np.where(missing, np.inf, latencies), axis=1)
    count = np.maximum((~missing).sum(axis=1, keepdims=True), 1)
    ranks = np.where(missing, 0.0, ranks - (count + 1) / 2)
    depth = np.arange(blocks) - (blocks - 1) / 2
    norms = np.sqrt(np.sum(ranks**2, axis=1) * np.sum(depth**2))
    rho: np.ndarray = ranks @ depth / np.where(norms > 0, norms, 1.0)
    return rho


def _unordered(observed: np.ndarray, samples: np.ndarray) -> np.ndarray:
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


def _order(latencies: np.ndarray) -> np.ndarray:
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


def _p(order: np.ndarray, drawn: np.ndarray, alternative: Alternative) -> float:
    """Return the share of draws (2, draw) that are ordered as much: by rank correlation, then by slope."""
    if np.isnan(order).any():
        return np.nan
    if alternative == "two-sided":
        order, drawn = np.abs(order), np.abs(drawn)
    same = np.abs(drawn[0] - order[0]) <= SAME
    reached = ~same & (drawn[0] > order[0]) | same & (drawn[1] >= order[1] - SAME)
    return float((1 + reached.sum()) / (1 + reached.size))


def _naive(rho: float, blocks: int, alternative: Alternative) -> float:
    """Return the p-value of Spearman's correlation by Student's t with blocks - 2 degrees of freedom."""
    if np.isnan(rho):
        return np.nan
    t = rho * np.sqrt((blocks - 2) / max((1 - rho) * (1 + rho), 1e-30))
    return float(stats.t.sf(t, blocks - 2) if alternative == "increasing" else 2 * stats.t.sf(abs(t), blocks - 2))


def _interval(latencies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 2.5th and 97.5th percentile of the draws that have a latency; NaN where none has."""
    some = np.isfinite(latencies).any(axis=0)
    low, high = np.full((2, latencies.shape[1]), np.nan)
    if some.any():
        low[some], high[some] = np.nanquantile(latencies[:, some], (0.025, 0.975), axis=0)
    return low, high


def _reason(blocks: int, rho: float) -> str:
    if np.isnan(rho):
        return f"{blocks} blocks have a latency, which is too few for a rank correlation"
    return ""
