"""Lesions of blocks against perturbations of the circuit at the mapped time: is what matters when the same?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import xarray as xr

from cortexres.compare.ceilings.split_half import half_orders
from cortexres.compare.choices import seeded
from cortexres.compare.defined import mean_of_defined, quantile_of_defined
from cortexres.compare.measures.measure import Comparison
from cortexres.compare.nulls import exceedance
from cortexres.compare.updates.at_map import score_halves
from cortexres.compare.updates.block_times import BlockMap, block_times, point_weights
from cortexres.compare.updates.lesion_effects import (
    brain_changes,
    effect_size,
    network_changes,
    profile_correlation,
    read_profile,
)
from cortexres.compare.windows import Window
from cortexres.errors import ArgumentError
from cortexres.provenance import provenance
from cortexres.schema import check_brain, check_network, same_stimuli

WrongTimes = Literal["circular", "exchange"]
PROFILES = ("pearson", "spearman")
FEW = "fewer than 4 trials: no two halves of two, or trial noise exceeds the effects"
# From this rank correlation with time on, in both profiles, most of what they share can be the trend.
TREND = 0.7
TRENDS = (
    "both profiles rise or fall on the whole (rank correlations {:.2f} and {:.2f}): any two that do so are correlated,"
    " and moving one round the circle breaks its trend, so a small p-value is no evidence that single times go together"
)
SAME = (
    "every lesion has the same effect, as in a tied network with a constant input, where deleting any block is one"
    " step less: no evidence"
)


def lesion_profile(
    brain: xr.Dataset,
    network: xr.Dataset,
    *,
    perturbed: Mapping[float, xr.Dataset],
    lesioned: Mapping[int, xr.Dataset],
    mapping: BlockMap = None,
    metrics: Sequence[Comparison] = (),
    read_ms: Window | None = None,
    wrong_times: WrongTimes = "circular",
    draws: int = 999,
    splits: int = 20,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return how the effects of lesions over blocks and of perturbations over time go together at the mapped time.

    A lesion is any change of one block: deleted, repeated, swapped with the next. A perturbation is any change of the
    circuit at one time: a pulse, a moment of silence. The effect of each is what it does to the end: to the network's
    last state, and to the brain's mean response in `read_ms`. Its size is the root mean square over stimuli and units,
    over that of the intact end; in the brain from products of different trials, so that noise adds nothing to it.

    Parameters
    ----------
    brain, network : xarray.Dataset
        Intact.
    perturbed : mapping of float to Dataset
        Time of the perturbation in ms -> brain Dataset with the stimuli, trials, bins and units of the intact one.
        Runs that share the random numbers of the intact one, trial by trial, give less noisy differences.
    lesioned : mapping of int to Dataset
        Block of the lesion -> network Dataset; only its last state is used.
    mapping : Dataset, DataArray or None
        Time of each block; see `updates_against_velocity`. A block acts midway
        between the time of its state and that of the block before.
    metrics : sequence of Comparison
        Also compare the *patterns* of change (stimulus x unit), by these.
    read_ms : tuple of float, optional
        First and last bin centre of the brain's end; the last half of the time since onset where it is left out.
    wrong_times : {"circular", "exchange"}
        The null: perturbations at other times than theirs. ``circular`` takes all shifts of the profile along the times
        given and keeps how alike neighbours are, but for the seam; ``exchange`` draws orders, which is only right where
        neighbours are not alike, since smooth profiles correlate by chance. Neither is a null for profiles with a
        trend: of unrelated random walks of 20 steps 16 % have p <= .05 with ``circular``, of profiles that both rise
        towards the end (as whatever leaks forgets what was long ago) nearly all. ``attrs["warnings"]`` says so then.
    draws : int
        Orders drawn for ``exchange``.
    splits : int
        Random splits of the trials for the ceilings.
    rng : int or numpy.random.Generator, optional
        Draws both.

    Returns
    -------
    Dataset
        ``network_effect`` (block) and ``brain_effect`` (time), their sizes; ``brain_effect_mapped`` (block), linear
        between perturbations. ``pearson`` and ``spearman`` of the two profiles over blocks, each with ``_ceiling`` (of
        the profiles of two random halves of the trials), ``_null`` (95 % quantile at wrong times) and ``_p``, the true
        times counted as one of them. Per measure NAME: ``NAME_map`` (time, block) of the patterns, ``NAME`` (block) at
        the mapped time, and ``NAME_mean`` with ``_ceiling``, ``_null`` and ``_p``.

    Raises
    ------
    SchemaError
        If a Dataset does not keep the schema, or stimuli differ.
    ArgumentError
        If there are fewer than 3 lesions at mapped times among the perturbations' times or fewer than 3 perturbations,
        a lesion of no block, runs that cannot be subtracted, or an argument is out of range.

    References
    ----------
    Veit, A., Wilber, M., Belongie, S. (2016). Residual networks behave like ensembles of relatively shallow networks.
    NeurIPS. arXiv:1605.06431
    Kietzmann, T. C. et al. (2019). Recurrence is required to capture the representational dynamics of the human visual
    system. PNAS 116, 21854-21863. doi:10.1073/pnas.1905544116 (virtual cooling of model areas)
    """
    check_brain(brain)
    check_network(network)
    same_stimuli(brain, network)
    _check_choices(wrong_times, draws, splits)
    if callable(mapping):
        raise ArgumentError("got a function as mapping, expected times: the null moves perturbations, not stimuli")
    seed, rng = seeded(rng)
    times = np.sort(np.array(list(perturbed), dtype=float))
    blocks = np.sort(np.array(list(lesioned), dtype=int))
    weights = _weights(times, blocks, block_times(brain, network, mapping), network["block"].values)
    change, end = brain_changes(brain, [perturbed[t] for t in times], read_ms)
    states, last = network_changes(network, [lesioned[b] for b in blocks])
    orders = _wrong_orders(wrong_times, times.size, draws, rng)
    network_effect = np.sqrt(np.mean(states**2, axis=(1, 2)) / np.mean(last**2))
    variables = _profiles(change, end, network_effect, weights, orders)
    for name in PROFILES:
        ceiling = _profile_ceiling(name, change, end, weights, splits, rng)
        variables[f"{name}_ceiling"] = _of((), "of the brain's profiles in two halves of the trials", ceiling, FEW)
    for metric in metrics:
        variables |= _patterns(metric, change, states, weights, orders, splits, rng)
    attrs = {
        "model": str(network.attrs.get("model", "")),
        "n_stimuli": brain.sizes["stimulus"],
        "n_trials": brain.sizes["trial"],
        "null": f"{wrong_times} wrong times",
        "draws": len(orders),
        "warnings": _trends(variables),
        "cortexres_provenance": provenance(metrics=[m.name for m in metrics], splits=splits, seed=seed),
    }
    coords = {"time": ("time", times, {"units": "ms", "long_name": "time of the perturbation"}), "block": blocks}
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def _check_choices(wrong_times: str, draws: int, splits: int) -> None:
    if wrong_times not in get_args(WrongTimes) or draws < 1 or splits < 1:
        raise ArgumentError(
            f"got wrong_times={wrong_times!r}, draws={draws} and splits={splits}, expected 'circular' or 'exchange' and"
            " at least 1 of both"
        )


def _weights(times: np.ndarray, lesions: np.ndarray, t_ms: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Return weights (lesion, perturbation) that read a profile over times at the times of the lesioned blocks."""
    unknown = np.setdiff1d(lesions, blocks[1:])
    if unknown.size:
        raise ArgumentError(
            f"got lesions of blocks {unknown.tolist()} of a network with blocks {blocks[0]}..{blocks[-1]}, expected"
            " blocks after the first, which adds nothing; give the runs under the numbers of the blocks changed in them"
        )
    at = np.searchsorted(blocks, lesions)
    weights = point_weights(times, (t_ms[at] + t_ms[at - 1]) / 2)
    inside = int(np.isfinite(weights).all(axis=1).sum())
    if times.size < 3 or inside < 3:
        raise ArgumentError(
            f"got {times.size} perturbations and {inside} lesions of blocks at times among theirs, expected at least 3"
            " of both: two points are always in line; perturb at the times of more blocks"
        )
    return weights


def _wrong_orders(wrong_times: str, n: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Return orders (draw, perturbation) of the perturbations other than the true one."""
    if wrong_times == "circular":
        return (np.arange(n) + np.arange(1, n)[:, None]) % n
    return rng.permuted(np.broadcast_to(np.arange(n), (draws, n)), axis=1)


def _profiles(
    change: np.ndarray, end: np.ndarray, network_effect: np.ndarray, weights: np.ndarray, orders: np.ndarray
) -> dict[str, xr.Variable]:
    effect = effect_size(change, end)
    mapped = read_profile(weights, effect)
    noisy = "trial noise exceeds the effect, or the block is outside the perturbations' times"
    variables = {
        "network_effect": _of("block", "change of the last state / its size", network_effect, ""),
        "brain_effect": _of("time", "change of the brain's end / its size", effect, noisy),
        "brain_effect_mapped": _of("block", "change of the brain's end at the time of the block", mapped, noisy),
    }
    constant = np.ptp(network_effect) <= 1e-9 * np.abs(network_effect).max()
    reason = SAME if constant else "fewer than 3 effects at mapped times, or all the same"
    moved = [read_profile(weights, effect[order]) for order in orders]
    for name in PROFILES:
        ranks = name == "spearman"
        value = profile_correlation(mapped, network_effect, ranks=ranks)
        null = np.array([profile_correlation(wrong, network_effect, ranks=ranks) for wrong in moved])
        variables |= _with_null(name, f"{name} correlation of the two profiles", value, null, reason)
    return variables


def _trends(profiles: dict[str, xr.Variable]) -> str:
    """Return a warning where the profiles over time and over blocks both rise, or both fall; nothing elsewhere."""
    effects = [np.asarray(profiles[name].values) for name in ("brain_effect", "network_effect")]
    first, second = (profile_correlation(np.arange(effect.size), effect, ranks=True) for effect in effects)
    return TRENDS.format(first, second) if first * second > 0 and min(abs(first), abs(second)) >= TREND else ""


def _profile_ceiling(
    name: str, change: np.ndarray, end: np.ndarray, weights: np.ndarray, splits: int, rng: np.random.Generator
) -> float:
    """Return the correlation of the profiles of two random halves of the trials at the times of the lesions."""
    n = change.shape[2]
    if n < 4:
        return np.nan
    values = []
    for _ in range(splits):
        order = rng.permutation(n)
        parts = (order[: n // 2], order[n // 2 :])
        one, other = (read_profile(weights, effect_size(change[:, :, half], end[:, half])) for half in parts)
        values.append(profile_correlation(one, other, ranks=name == "spearman"))
    return float(mean_of_defined(np.array(values)))


def _with_null(name: str, text: str, value: float, null: np.ndarray, reason: str) -> dict[str, xr.Variable]:
    quantile = quantile_of_defined(null, 0.95) if np.isfinite(value) else np.nan
    p = float(exceedance(np.asarray(value), null))
    return {
        name: _of((), text, value, reason),
        f"{name}_null": _of((), "95 % quantile with perturbations at wrong times", quantile, reason),
        f"{name}_p": _of((), "p-value against perturbations at wrong times", p, reason),
    }


def _of(dims: str | tuple[str, ...], text: str, values: object, undefined: str) -> xr.Variable:
    reason = undefined if np.isnan(np.asarray(values, dtype=float)).any() else ""
    return xr.Variable(dims, values, {"units": "1", "long_name": text, "undefined": reason})


def _patterns(
    metric: Comparison,
    change: np.ndarray,
    states: np.ndarray,
    weights: np.ndarray,
    orders: np.ndarray,
    splits: int,
    rng: np.random.Generator,
) -> dict[str, xr.Variable]:
    sign = 1.0 if metric.orientation == "similarity" else -1.0
    trials = change.transpose(1, 2, 0, 3)
    table = np.asarray(metric.scores(metric.prepared_trials(trials), metric.prepared(states)))
    mapped = read_profile(weights, table)
    null = np.array([sign * mean_of_defined(read_profile(weights, table[order])) for order in orders])
    ceiling = np.full(len(change), np.nan)
    if change.shape[2] > 1:
        pairs = half_orders(np.arange(trials.shape[1]), splits=splits, rng=rng)
        ceiling = np.mean([score_halves(metric, trials[:, one], trials[:, other]) for one, other in pairs], axis=0)
    name, text = metric.name, f"{metric.name} of the changes by lesion and perturbation"
    none = "no change, the same for all stimuli, or outside the perturbations' times"
    found = {
        f"{name}_map": _of(("time", "block"), text, table, none),
        f"{name}_ceiling": _of("time", "changes in two halves of the trials, uncorrected", ceiling, none),
        name: _of("block", f"{text} at the time of the block", mapped, none),
    } | _with_null(f"{name}_mean", f"mean over blocks of {text}", sign * mean_of_defined(mapped), null, none)
    if sign < 0:
        for key in (f"{name}_mean", f"{name}_mean_null"):
            found[key] = found[key].copy(data=-found[key].values)
    for variable in found.values():
        variable.attrs["orientation"] = metric.orientation
    return found
