"""Do later blocks match later times? A test that knows how alike neighbouring blocks and times are."""

from __future__ import annotations

import numpy as np
import xarray as xr

from cortexres.compare.choices import seeded
from cortexres.compare.defined import quantile_of_defined
from cortexres.compare.inference.depth_order import Alternative, naive_p, order_of, p_of, unordered
from cortexres.compare.inference.latencies import Latency, Peak
from cortexres.compare.inference.null_maps import null_maps, score_map
from cortexres.compare.inference.resampled_maps import resampled_stimuli
from cortexres.compare.measures.cka import linear_cka
from cortexres.compare.measures.measure import Comparison
from cortexres.compare.nulls.stimuli import permute_stimuli
from cortexres.compare.pairing import along
from cortexres.errors import ArgumentError
from cortexres.provenance import provenance
from cortexres.schema import check_brain, check_network, same_stimuli

# Ends of a 95 % interval.
ENDS = (0.025, 0.975)


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
        ``p_naive`` (): NaN, with the reason, where fewer than three blocks have a latency; ``null_rho`` (null, draw),
        ``name`` (null).

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
    seed, rng = seeded(rng)
    latency = latency or Peak()
    sign = 1.0 if metric.orientation == "similarity" else -1.0
    time = np.asarray(brain["time"].values, dtype=float)
    observed = sign * score_map(metric, brain, network)
    samples = sign * resampled_stimuli(metric, brain, network, draws=draws, rng=rng)
    permutations = sign * null_maps(metric, brain, network, permute_stimuli, draws=draws, rng=rng)
    latencies, resampled = latency.of(observed[None], time)[0], latency.of(samples, time)
    usable = np.isfinite(latencies)
    nulls = {
        name: order_of(latency.of(maps, time)[:, usable])
        for name, maps in (("one time course", unordered(observed, samples)), ("unrelated", permutations))
    }
    blocks = network["block"].values
    where = "" if usable.all() else f"at blocks {', '.join(str(b) for b in blocks[~usable][:5])}"
    null_attrs = {"units": "1", "long_name": "rank correlations under the nulls", "undefined": ""}
    variables = (
        _per_block(np.where(usable, latencies, np.nan), np.where(usable, resampled, np.nan), latency, where)
        | _overall(latencies[usable], resampled[:, usable], nulls, alternative)
        | {"null_rho": xr.Variable(("null", "draw"), np.stack([order[0] for order in nulls.values()]), null_attrs)}
    )
    coords = along(network, "block")
    facts = provenance(metric=metric.name, latency=latency.name, alternative=alternative, draws=draws, seed=seed)
    attrs = {
        "model": str(network.attrs.get("model", "")),
        "metric": metric.name,
        "orientation": metric.orientation,
        "latency": latency.name,
        "alternative": alternative,
        "n_stimuli": brain.sizes["stimulus"],
        "n_trials": brain.sizes["trial"],
        "draws": draws,
        "cortexres_provenance": facts,
    }
    return xr.Dataset(variables, coords=coords | {"name": xr.Variable(("null",), list(nulls))}, attrs=attrs)


def _after_onset(brain: xr.Dataset) -> xr.Dataset:
    after = np.asarray(brain["time"].values, dtype=float) >= 0
    if after.sum() < 3:
        raise ArgumentError(f"got {after.sum()} bins after the onset at 0 ms, expected at least 3 to have latencies")
    return brain.isel(time=after)


def _per_block(
    latencies: np.ndarray, resampled: np.ndarray, latency: Latency, undefined: str
) -> dict[str, xr.Variable]:
    """Return the latencies of the blocks and their intervals."""
    low, high = quantile_of_defined(resampled, ENDS)
    told = {
        "latency_ms": (latencies, f"latency of the {latency.name}"),
        "latency_ms_low": (low, "lower end of the 95 % bootstrap interval over stimuli"),
        "latency_ms_high": (high, "upper end of the 95 % bootstrap interval over stimuli"),
    }
    return {
        name: xr.Variable(("block",), values, {"units": "ms", "long_name": text, "undefined": undefined})
        for name, (values, text) in told.items()
    }


def _overall(
    latencies: np.ndarray, resampled: np.ndarray, nulls: dict[str, np.ndarray], alternative: Alternative
) -> dict[str, xr.Variable]:
    """Return rank correlation, slope and p-values of latencies (block,), those of samples being (draw, block)."""
    order = order_of(latencies[None])
    rho, slope = order[:, 0]
    low, high = quantile_of_defined(order_of(resampled)[1], ENDS)
    p, p_unrelated = (p_of(order[:, 0], drawn, alternative) for drawn in nulls.values())
    few = f"{latencies.size} blocks have a latency, which is too few for a rank correlation" if np.isnan(rho) else ""
    told = {
        "rho": (rho, "rank correlation of latency and depth", "1"),
        "p": (p, "p-value against one time course for all blocks", "1"),
        "p_unrelated": (p_unrelated, "p-value against no relation of brain and network", "1"),
        "p_naive": (
            naive_p(rho, latencies.size, alternative),
            "p-value if blocks were independent, to compare with",
            "1",
        ),
        "slope": (slope, "slope of latency over depth", "ms/block"),
        "slope_low": (low, "lower end of the 95 % bootstrap interval over stimuli", "ms/block"),
        "slope_high": (high, "upper end of the 95 % bootstrap interval over stimuli", "ms/block"),
    }
    return {
        name: xr.Variable((), value, {"units": units, "long_name": text, "undefined": few})
        for name, (value, text, units) in told.items()
    }
