"""The residual update of each block against dr/dt at its time, by any measure, beside the velocity's own ceiling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from cortexres.compare.ceilings.quantity import quantity
from cortexres.compare.ceilings.split_half import half_orders
from cortexres.compare.choices import check_metrics, check_splits, seeded
from cortexres.compare.measures.cka import linear_cka
from cortexres.compare.measures.measure import Comparison
from cortexres.compare.measures.rsa import rsa
from cortexres.compare.nulls import permute_stimuli
from cortexres.compare.pairing import along, float_values
from cortexres.compare.updates.at_map import permuted_blocks, score_at_map, score_blocks, score_halves, wanted_trials
from cortexres.compare.updates.block_times import BlockMap, block_times, interval_weights
from cortexres.errors import ArgumentError
from cortexres.provenance import provenance
from cortexres.schema import check_brain, check_network, same_stimuli

OUTSIDE = "the map places the block outside the velocities, which lie between bin centres"
HELD = (
    "the map was held while stimuli were permuted: p-values are exact for a map that was chosen without these"
    " responses; give the function that fits the map to have it fitted anew"
)


def updates_against_velocity(
    brain: xr.Dataset,
    network: xr.Dataset,
    *,
    mapping: BlockMap = None,
    metrics: Sequence[Comparison] = (rsa, linear_cka),
    lag: int = 1,
    permutations: int = 500,
    splits: int = 20,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return how alike the update of block k and the brain's velocity are, over time x block and at the block's time.

    The velocity is the change between bins `lag` apart, over their distance, at the time midway between them. The
    update of block k is ``h_k - h_(k-1)``, and its time the interval from t_(k-1) to t_k: the velocity there is the
    mean over the interval, which is what the rates change by in it, or the value at the point where the map stands
    still. Per measure NAME:

    - ``NAME_map`` (time, block): update of each block against the velocity at each time.
    - ``NAME_map_ceiling`` (time): the same between the velocities of two random halves of the trials, uncorrected.
      Differences of noisy rates are noisier than the rates, so this ceiling is far below that of the states.
    - ``NAME`` (block): at the time of the block, with ``NAME_ceiling``, ``NAME_null`` (95 % quantile with permuted
      stimuli; 5 % of a distance) and ``NAME_p``, corrected for all blocks by the largest value of each permutation.
    - ``NAME_mean`` (): mean over blocks, ``NAME_mean_ceiling``, ``NAME_mean_ratio`` (their quotient, not clipped),
      ``NAME_mean_null``, ``NAME_mean_null_mean`` and ``NAME_mean_p``.

    Permuted stimuli say whether the updates tell these stimuli apart as the velocity does; nearly any network that
    is driven by them does. Evidence for one network needs other networks beside it: weights shuffled, W = 0.

    Parameters
    ----------
    brain, network : xarray.Dataset
        The same stimuli; units may differ, but for `matched_cosine` and `matched_specific`.
    mapping : Dataset, DataArray, callable or None
        Time of each block: an alignment or any ``t_ms`` (block), the network's own where it is None. A function
        ``mapping(brain, network)`` that fits one is called again for every permutation, so that what the choice of the
        map brings about is in the null.
    metrics : sequence of Comparison
        Each with another name.
    lag : int
        Distance, in bins, of the two rates that make a velocity. Take bins that do not overlap, or a lag as long as
        the overlap: neighbouring velocities share noise otherwise.
    permutations, splits : int
        Number of permutations of the stimuli, and of random splits of the trials.
    rng : int or numpy.random.Generator, optional
        Draws both.

    Raises
    ------
    SchemaError
        If a Dataset does not keep the schema, or the stimuli differ.
    ArgumentError
        If there is no block to compare, no time of the blocks, a map that leaves the recording, no measure or two of
        one name, no split, or a lag that the recording does not hold.

    References
    ----------
    Chen, R. T. Q. et al. (2018). Neural ordinary differential equations. arXiv:1806.07366 (an update as a velocity)
    """
    check_brain(brain)
    check_network(network)
    same_stimuli(brain, network)
    check_metrics(metrics)
    check_splits(splits)
    seed, rng = seeded(rng)
    velocity = quantity(brain, "velocity", lag)
    times, trials = np.asarray(velocity.time.values), velocity.trials
    updates = _updates(network)
    t_ms = block_times(brain, network, mapping)
    orders = permute_stimuli.orders(brain.sizes["stimulus"], draws=permutations, rng=rng)
    placed = at_intervals(trials, times, t_ms)

    def permuted(metric: Comparison) -> Iterator[np.ndarray]:
        if not callable(mapping):
            yield from permuted_blocks(metric, placed, updates, orders)
            return
        of_brain = wanted_trials(metric, trials)
        for order in orders:
            refitted = block_times(brain, reordered(network, order), mapping)
            yield score_blocks(metric, at_intervals(of_brain, times, refitted), updates[:, order])

    undefined = OUTSIDE if np.isnan(placed).any() else ""
    variables: dict[str, xr.Variable] = {}
    for metric in metrics:
        variables |= _map(metric, trials, updates, splits, rng)
        variables |= score_at_map(
            metric, placed, updates, permuted, what="update and velocity", undefined=undefined, splits=splits, rng=rng
        )
    attrs = {
        "model": str(network.attrs.get("model", "")),
        "n_stimuli": brain.sizes["stimulus"],
        "n_trials": brain.sizes["trial"],
        "null": permute_stimuli.name,
        "permutations": permutations,
        "velocity_lag_ms": velocity.lag_ms,
        "warnings": HELD if mapping is not None and not callable(mapping) else "",
        "cortexres_provenance": provenance(metrics=[m.name for m in metrics], splits=splits, seed=seed),
    }
    block_coords = {name: c[1:] for name, c in along(network, "block").items()}
    coords = block_coords | {
        "time": xr.Variable("time", times, {"units": "ms", "long_name": "time of the velocity"}),
        "t_ms": xr.Variable("block", (t_ms[1:] + t_ms[:-1]) / 2, {"units": "ms", "long_name": "time of the update"}),
    }
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def at_intervals(velocity: np.ndarray, times: np.ndarray, t_ms: np.ndarray) -> np.ndarray:
    """Return velocities (..., time, unit) over the interval of each block, (..., block, unit); NaN outside them."""
    weights = interval_weights(times, t_ms[:-1], t_ms[1:])
    placed: np.ndarray = np.einsum("bt,...tu->...bu", weights, velocity, optimize=True)
    return placed


def reordered(network: xr.Dataset, order: np.ndarray) -> xr.Dataset:
    """Return the network with its responses under other stimulus ids."""
    kept = {str(k): c.variable for k, c in network.coords.items() if "stimulus" in c.dims}
    return network.isel(stimulus=order).assign_coords(kept)


def _updates(network: xr.Dataset) -> np.ndarray:
    """Return the updates (block, stimulus, unit) from block 1 on."""
    if network.sizes["block"] < 2:
        raise ArgumentError(f"got {network.sizes['block']} block, expected block 0 and at least one that adds to it")
    updates: np.ndarray = float_values(network["response"].diff("block")).swapaxes(0, 1)
    return updates


def _map(
    metric: Comparison, trials: np.ndarray, updates: np.ndarray, splits: int, rng: np.random.Generator
) -> dict[str, xr.Variable]:
    values = metric.scores(metric.prepared_trials(trials), metric.prepared(updates))
    ceiling, undefined = np.full(trials.shape[2], np.nan), "one trial has no halves"
    if trials.shape[1] > 1:
        pairs = half_orders(np.arange(trials.shape[1]), splits=splits, rng=rng)
        ceiling = np.mean([score_halves(metric, trials[:, one], trials[:, other]) for one, other in pairs], axis=0)
        undefined = "half the trials do not change, or alike for all stimuli" if np.isnan(ceiling).any() else ""
    attrs = {"units": "1", "orientation": metric.orientation}
    name, text = metric.name, f"{metric.name} of update and velocity"
    still = "no change, or the same for all stimuli" if np.isnan(values).any() else ""
    return {
        f"{name}_map": xr.Variable(("time", "block"), values, attrs | {"long_name": text, "undefined": still}),
        f"{name}_map_ceiling": xr.Variable(
            "time", ceiling, attrs | {"long_name": "velocities of two halves of the trials", "undefined": undefined}
        ),
    }
