"""The best block for each time, or the best time for each block, without the optimism of having chosen it."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr

from cortexres.compare.choices import seeded
from cortexres.compare.inference.null_maps import null_maps, score_map, scores_of
from cortexres.compare.measures.cka import linear_cka
from cortexres.compare.measures.measure import Comparison
from cortexres.compare.nulls.exceedance import exceedance, p_value
from cortexres.compare.nulls.null import Null
from cortexres.compare.nulls.stimuli import permute_stimuli
from cortexres.compare.pairing import along, float_values
from cortexres.errors import ArgumentError
from cortexres.provenance import provenance
from cortexres.schema import check_brain, check_network, same_stimuli


def best_match(
    brain: xr.Dataset,
    network: xr.Dataset,
    *,
    over: Literal["block", "time"] = "block",
    metric: Comparison = linear_cka,
    null: Null = permute_stimuli,
    permutations: int = 500,
    splits: int = 20,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return the best score over blocks for each time (or over times for each block), and what it owes to the choice.

    The largest of many scores is large by chance alone. Two ways out, side by side:

    - ``p``: the choice is made anew under the null, and the p-value is corrected for all times (blocks) as well;
      ``p_alone`` for one time (block) that was chosen before the data were seen. ``null_mean`` is what choosing
      gives where there is nothing.
    - ``nested``: chosen with one half of the stimuli and scored with the other, averaged over both directions and over
      `splits` random halves; ``chosen_half`` is the score in the half that was chosen with, and the difference of the
      two, ``optimism``, is what the choice added.

    ``best`` is the score of the choice made with all stimuli, optimism included, and ``which`` the block (or the time
    in ms) that it falls on.

    Parameters
    ----------
    brain, network : xarray.Dataset
        With the same stimuli in the same order.
    over : {"block", "time"}
        What is chosen.
    metric : Comparison
        Which measure; the best is the highest similarity or the lowest distance. One that depends on the number of
        stimuli (biased CKA) is another for the halves.
    null : Null
        A random one.
    permutations, splits : int
        Draws of the null, and random halves of the stimuli.
    rng : int or numpy.random.Generator, optional
        Draws null and halves.

    Raises
    ------
    SchemaError
        If a Dataset does not keep the schema, or the stimuli differ.
    ArgumentError
        If `over` is no dim of a map, the null is not random, or there are no splits.
    """
    check_brain(brain)
    check_network(network)
    same_stimuli(brain, network)
    if over not in ("block", "time"):
        raise ArgumentError(f"got over={over!r}, expected 'block' or 'time'")
    if not null.random:
        raise ArgumentError(f"null {null.name} has one value only, expected a random null for p-values")
    if splits < 1:
        raise ArgumentError(f"got splits={splits}, expected at least 1 random half of the stimuli")
    seed, rng = seeded(rng)
    sign = 1.0 if metric.orientation == "similarity" else -1.0
    axis = 1 if over == "block" else 0
    observed = sign * score_map(metric, brain, network)
    drawn = sign * null_maps(metric, brain, network, null, draws=permutations, rng=rng)
    best, place = _best(observed, axis)
    chance = _best(drawn, axis + 1)[0]
    alone = [float(exceedance(best[k], _reached(chance[:, k]))) for k in range(best.size)]
    nested, chosen, reason = _nested(metric, sign, brain, network, axis, splits, rng)
    values = brain["time"].values if over == "time" else network["block"].values
    which = np.where(np.isnan(best), np.nan, np.asarray(values, dtype=float)[place])
    undefined = "" if not np.isnan(best).any() else f"no {over} has a defined score"
    dim = "time" if over == "block" else "block"
    told = {
        "best": (sign * best, f"best {metric.name} over all {over}s, as chosen", "1", undefined),
        "which": (which, f"{over} of the best score", "ms" if over == "time" else "1", undefined),
        "p": (p_value(best, chance, "similarity"), f"p-value, choice and all {dim}s corrected for", "1", undefined),
        "p_alone": (np.asarray(alone), f"p-value for one {dim}, choice corrected for", "1", undefined),
        "null_mean": (sign * chance.mean(axis=0), "mean of the best score under the null", "1", undefined),
        "nested": (sign * nested, "score of what the other half of the stimuli chose", "1", reason),
        "chosen_half": (sign * chosen, "score in the half of the stimuli that chose", "1", reason),
        "optimism": (sign * (chosen - nested), "what the choice added to the score of a half", "1", reason),
    }
    variables = {
        name: ((dim,), array, {"long_name": text, "units": units, "undefined": why})
        for name, (array, text, units, why) in told.items()
    }
    coords = along(brain if dim == "time" else network, dim)
    facts = provenance(metric=metric.name, null=null.name, over=over, splits=splits, seed=seed)
    attrs = {
        "model": str(network.attrs.get("model", "")),
        "metric": metric.name,
        "orientation": metric.orientation,
        "n_stimuli": brain.sizes["stimulus"],
        "n_trials": brain.sizes["trial"],
        "null": null.name,
        "permutations": permutations,
        "cortexres_provenance": facts,
    }
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def _best(maps: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest defined value along an axis, NaN where none is, and its position."""
    filled = np.where(np.isnan(maps), -np.inf, maps)
    place = filled.argmax(axis=axis)
    best = filled.max(axis=axis)
    return np.where(np.isneginf(best), np.nan, best), place


def _reached(chance: np.ndarray) -> np.ndarray:
    """Return draws with those that are undefined counting as reaching any value."""
    return np.where(np.isnan(chance), np.inf, chance)


def _nested(
    metric: Comparison,
    sign: float,
    brain: xr.Dataset,
    network: xr.Dataset,
    axis: int,
    splits: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, str]:
    """Return scores of the other half's choice and of the half's own, each a mean over splits, and why undefined."""
    n = brain.sizes["stimulus"]
    if n // 2 < metric.minimum_stimuli:
        empty = np.full(brain.sizes["time"] if axis == 1 else network.sizes["block"], np.nan)
        return empty, empty, f"everywhere: half of {n} stimuli are fewer than {metric.minimum_stimuli}"
    trials, states = float_values(brain["response"]), float_values(network["response"])
    other, own = [], []
    for _ in range(splits):
        order = rng.permutation(n)
        halves = np.sort(order[: n // 2]), np.sort(order[n // 2 :])
        maps = [sign * scores_of(metric, trials[half], states[half]) for half in halves]
        for first, second in ((0, 1), (1, 0)):
            best, place = _best(maps[first], axis)
            own.append(best)
            other.append(np.take_along_axis(maps[second], np.expand_dims(place, axis), axis).squeeze(axis))
    nested, chosen = np.mean(other, axis=0), np.mean(own, axis=0)
    reason = "scores undefined in one of the halves" if np.isnan(nested).any() or np.isnan(chosen).any() else ""
    return nested, chosen, reason
