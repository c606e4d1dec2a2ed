"""The time x block map: how alike brain and network represent the stimuli, at every time and every block."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from cortexres.compare.ceiling import split_half
from cortexres.compare.jackknife import interval, kept
from cortexres.compare.measures.cka import linear_cka
from cortexres.compare.measures.relations import Similarity, cosines
from cortexres.compare.measures.rsa import rsa
from cortexres.compare.nulls import StimulusNull, exceedance
from cortexres.compare.pairing import float_values
from cortexres.errors import ArgumentError
from cortexres.provenance import provenance
from cortexres.schema import check_brain, check_network, check_scores, same_stimuli

DIMS = ("time", "block")
# More groups than this narrow the jackknife's uncertainty little and cost one map each.
JACKKNIFE_GROUPS = 40
# Permuted relations held at a time, as a number of values (64 MiB).
CHUNK = 2**23


@dataclass(frozen=True)
class _Activities:
    brain: np.ndarray  # (time, stimulus, unit), mean over trials
    network: np.ndarray  # (block, stimulus, unit)
    trials: np.ndarray  # (stimulus, trial, time, unit)
    time: np.ndarray  # (time,)
    block: np.ndarray  # (block,)


def compare(
    brain: xr.Dataset,
    network: xr.Dataset,
    *,
    metrics: Sequence[Similarity] = (linear_cka, rsa),
    nulls: Sequence[StimulusNull] = (),
    rng: int | np.random.Generator | None = None,
    permutations: int = 500,
    splits: int = 20,
) -> xr.Dataset:
    """Return the scores Dataset: a map (time, block) per metric, with null, p-value, interval and ceiling.

    Per metric NAME:

    - ``NAME`` (time, block): similarity of the brain's trial mean and the network's state.
    - ``NAME_low``, ``NAME_high`` (time, block): 95 % jackknife interval over stimuli.
    - ``NAME_ceiling`` (time): similarity of two random halves of the trials, uncorrected: the reliability of
      half the data, which a right model scored against all trials can exceed. ``attrs["p"]`` says whether the
      halves share anything after onset; a warning is given where they do not.
    - with a null, ``NAME_null`` (time, block): 95th percentile over permutations, cell by cell;
      ``NAME_null_max`` (): 95th percentile of the largest value of the map;
      ``NAME_p`` (time, block): p-value corrected for the whole map, the share of permutations whose largest
      value reaches the cell's, the true order counted as one of them.

    A value is NaN where it is undefined, and ``attrs["undefined"]`` of the variable says where and why:
    activity that is the same for all stimuli (a network's block 0, for one) has no relations between stimuli,
    one trial has no halves.

    Parameters
    ----------
    brain, network : xarray.Dataset
        With the same stimuli in the same order. Units may differ in number and kind.
    metrics : sequence of Similarity
        Each with another name.
    nulls : sequence of StimulusNull
        None or one, `permute_stimuli`.
    rng : int or numpy.random.Generator, optional
        Draws splits and permutations. A seed gives the same scores again.
    permutations : int
        Number of orders; 1 / (permutations + 1) is the least p-value.
    splits : int
        Number of random splits of the trials.

    Raises
    ------
    SchemaError
        If a Dataset does not keep the schema, or the stimuli differ.
    ArgumentError
        If there are no metrics, two of one name, more than one null, too few stimuli, or no splits.
    """
    check_brain(brain)
    check_network(network)
    same_stimuli(brain, network)
    _check_choices(metrics, nulls, splits)
    seed = rng if isinstance(rng, int) else None
    rng = np.random.default_rng(rng)
    activities = _activities(brain, network)
    orders = nulls[0].orders(brain.sizes["stimulus"], draws=permutations, rng=rng) if nulls else None
    variables: dict[str, xr.Variable] = {}
    for metric in metrics:
        variables |= _map(metric, activities, orders)
        variables[f"{metric.name}_ceiling"] = _ceiling(metric, activities, splits, rng)
    coords = {
        name: c.variable
        for side, dim in ((brain, "time"), (network, "block"))
        for name, c in side.coords.items()
        if c.dims == (dim,)
    }
    attrs = {
        "model": str(network.attrs.get("model", "")),
        "n_stimuli": brain.sizes["stimulus"],
        "n_trials": brain.sizes["trial"],
        "null": nulls[0].name if nulls else "none",
        "permutations": permutations if nulls else 0,
        "cortexres_provenance": provenance(metrics=[m.name for m in metrics], splits=splits, seed=seed),
    }
    return check_scores(xr.Dataset(variables, coords=coords, attrs=attrs))


def _check_choices(metrics: Sequence[Similarity], nulls: Sequence[StimulusNull], splits: int) -> None:
    names = [metric.name for metric in metrics]
    if not names or len(set(names)) < len(names):
        raise ArgumentError(f"got metrics {names}, expected at least one and each name once")
    if len(nulls) > 1:
        raise ArgumentError(
            f"got {len(nulls)} nulls, expected none or one, as each would be called NAME_null; call compare"
            " once for each"
        )
    if splits < 1:
        raise ArgumentError(f"got splits={splits}, expected at least 1 random split of the trials")


def _activities(brain: xr.Dataset, network: xr.Dataset) -> _Activities:
    trials = float_values(brain["response"])
    return _Activities(
        brain=trials.mean(axis=1).swapaxes(0, 1),
        network=float_values(network["response"]).swapaxes(0, 1),
        trials=trials,
        time=float_values(brain["time"]),
        block=np.asarray(network["block"].values),
    )


def _map(metric: Similarity, data: _Activities, orders: np.ndarray | None) -> dict[str, xr.Variable]:
    name = metric.name
    a, b = metric.relations(data.brain), metric.relations(data.network)
    values = cosines(a, b)
    left_out = _left_out(metric, data)
    low, high = interval(values, left_out)
    undefined = _undefined(a, b, data)
    maps = {
        name: ("similarity", values),
        f"{name}_low": ("lower end of the 95 % jackknife interval over stimuli", low),
        f"{name}_high": ("upper end of the 95 % jackknife interval over stimuli", high),
    }
    if orders is not None:
        null = _permuted(a, b, orders)
        peaks = _peaks(null)
        maps[f"{name}_null"] = (
            "95th percentile of the permuted similarities",
            np.quantile(null, 0.95, axis=0),
        )
        maps[f"{name}_p"] = (
            "p-value, corrected for the whole map by its largest value",
            exceedance(values, peaks),
        )
    variables = {
        key: xr.Variable(DIMS, array, {"units": "1", "long_name": text, "undefined": undefined})
        for key, (text, array) in maps.items()
    }
    if orders is not None:
        attrs = {"units": "1", "long_name": "95th percentile of the largest permuted similarity of the map"}
        variables[f"{name}_null_max"] = xr.Variable((), np.quantile(peaks, 0.95), attrs)
    return variables


def _left_out(metric: Similarity, data: _Activities) -> np.ndarray:
    """Return the map without each group of stimuli, (group, time, block); NaN where too few remain."""
    n = data.brain.shape[1]
    groups = min(n, JACKKNIFE_GROUPS)
    if n - -(-n // groups) < metric.minimum_stimuli:
        return np.full((groups, len(data.time), len(data.block)), np.nan)
    return np.stack(
        [cosines(metric.relations(data.brain[:, k]), metric.relations(data.network[:, k])) for k in kept(n, groups)]
    )


def _permuted(a: np.ndarray, b: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Return the map under each order of the network's stimuli, (order, time, block).

    The relation matrices are symmetric, so their upper triangles, with the pairs counted twice, are enough.
    """
    n = orders.shape[1]
    rows, columns = np.triu_indices(n)
    weighted = a.reshape(-1, n, n)[:, rows, columns] * np.where(rows == columns, 1.0, 2.0)
    result = np.empty((len(orders), len(a), len(b)))
    chunk = max(1, CHUNK // (len(b) * rows.size))
    for start in range(0, len(orders), chunk):
        part = orders[start : start + chunk]
        index = part[:, rows] * n + part[:, columns]
        product = weighted @ np.take(b, index, axis=1).reshape(-1, rows.size).T
        result[start : start + chunk] = product.reshape(len(a), len(b), len(part)).transpose(2, 0, 1)
    return result


def _peaks(null: np.ndarray) -> np.ndarray:
    """Return the largest defined value of each permuted map, (order,); a cell is defined in all or none."""
    defined = null[:, ~np.isnan(null[0])]
    peaks: np.ndarray = defined.max(axis=1) if defined.size else np.full(len(null), np.nan)
    return peaks


def _ceiling(metric: Similarity, data: _Activities, splits: int, rng: np.random.Generator) -> xr.Variable:
    attrs: dict[str, str | float] = {
        "units": "1",
        "long_name": "similarity of two random halves of the trials, uncorrected",
        "undefined": "",
    }
    if data.trials.shape[1] < 2:
        attrs["undefined"] = "everywhere: one trial has no halves"
        return xr.Variable(("time",), np.full(len(data.time), np.nan), attrs)
    values, p = split_half(metric, data.trials, data.time >= 0, splits=splits, rng=rng)
    attrs["p"] = p
    constant = np.isnan(values)
    if constant.any():
        attrs["undefined"] = f"{_listed(data.time[constant], 'ms')}: half the trials are the same for all stimuli"
    if not p <= 0.05:
        warnings.warn(
            f"{metric.name}: ceiling not above zero after onset (p = {p:.2g}): two halves of the trials"
            " share no"
            " relations between stimuli, so no model can be told from another; use more trials, stimuli or"
            " contrast",
            stacklevel=3,
        )
    return xr.Variable(("time",), values, attrs)


def _undefined(a: np.ndarray, b: np.ndarray, data: _Activities) -> str:
    reasons = [
        f"{side} activity is the same for all stimuli, or for all pairs, at {_listed(axis[empty], unit)}"
        for side, axis, empty, unit in (
            ("brain", data.time, np.isnan(a[:, 0]), "ms"),
            ("network", data.block, np.isnan(b[:, 0]), "(blocks)"),
        )
        if empty.any()
    ]
    return "; ".join(reasons)


def _listed(values: np.ndarray, unit: str) -> str:
    shown = ", ".join(f"{value:g}" for value in values[:5])
    return f"{shown}{', ...' if len(values) > 5 else ''} {unit}"
