"""x and F(x) on both sides: what enters against the feedforward response, what F adds against what silencing takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from cortexres.compare.choices import check_metrics, check_splits, seeded
from cortexres.compare.measures.cka import linear_cka
from cortexres.compare.measures.measure import Comparison
from cortexres.compare.measures.rsa import rsa
from cortexres.compare.nulls import exceedance, permute_stimuli
from cortexres.compare.pairing import along, float_values, same_axes
from cortexres.compare.updates.against_velocity import HELD, reordered
from cortexres.compare.updates.at_map import permuted_blocks, score_at_map, score_blocks, wanted_trials
from cortexres.compare.updates.block_times import BlockMap, block_times, point_weights
from cortexres.compare.variance import explained, mean_noise
from cortexres.provenance import provenance
from cortexres.schema import check_brain, check_network, same_stimuli

PARTS = ("x", "recurrent", "sum")
MEANINGS = {"x": "x and the silenced response", "recurrent": "sum of F and intact minus silenced", "sum": "the state"}
OUTSIDE = "the map places the block outside the bin centres"


@dataclass(frozen=True)
class _Times:
    """When the blocks are: as mapped, and under each order of the stimuli where the map is fitted anew."""

    centres: np.ndarray
    t_ms: np.ndarray
    orders: np.ndarray
    refitted: list[np.ndarray] | None

    def placed(self, values: np.ndarray) -> np.ndarray:
        """Return (..., time, unit) at the times of the blocks, (..., block, unit); NaN outside the bin centres."""
        return _at_points(values, self.centres, self.t_ms)

    def placed_anew(self, values: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the same under each order, with the map of that order."""
        for times in self.refitted or [self.t_ms] * len(self.orders):
            yield _at_points(values, self.centres, times)


def components(
    brain: xr.Dataset,
    network: xr.Dataset,
    *,
    silenced: xr.Dataset,
    network_silenced: xr.Dataset | None = None,
    mapping: BlockMap = None,
    metrics: Sequence[Comparison] = (rsa, linear_cka),
    permutations: int = 500,
    splits: int = 20,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return how alike x, the sum of F up to each block, and their sum are in network and brain, over part x block.

    In the brain x is the response with recurrence silenced, and F what silencing takes: intact minus silenced, trial
    by trial. In the network x is the state without F, and the sum of F up to block k the rest of the state: with
    `network_silenced` that network's state at block k; else the state that enters, at block 0, so that the sum of F is
    the sum of all updates up to k.

    Where intact and silenced runs share random numbers, the noise of both is correlated: good for the difference,
    wrong for a ceiling that takes them as independent. The ceilings are therefore paired: a half of the trials gives
    both responses, and the difference of one half is compared with that of the other.

    Per measure NAME, over ``part`` (``x``, ``recurrent``, ``sum``): ``NAME`` (part, block) at the time of the block,
    ``NAME_ceiling``, ``NAME_null``, ``NAME_p`` and the means over blocks, ``NAME_mean`` and so on, as in
    `updates_against_velocity`; ``NAME_p`` is corrected for all blocks and parts, the others are p-values of one part.
    Where both sides have rates of the same units also ``r2`` (part): variance explained, pooled over stimulus, block
    and unit about the grand mean, with ``r2_ceiling`` (1 - sampling variance of the mean over trials, of the paired
    difference for F), ``r2_denoised``, ``r2_null`` (95 % quantile with permuted stimuli) and ``r2_p``. For pictures,
    ``brain_size`` and ``network_size`` (part, block): root mean square over stimuli and units.

    The decomposition is additive in current, not in rate: through a nonlinearity F in rates depends on x. In rates it
    says what the recurrence changes, not what it sends.

    Parameters
    ----------
    brain, silenced : xarray.Dataset
        Intact and silenced runs with the same stimuli, trials, bins and units.
    network, network_silenced : xarray.Dataset
        The network, and the same without F where there is one; the same stimuli.
    mapping : Dataset, DataArray, callable or None
        Time of each block; see `updates_against_velocity`.
    metrics : sequence of Comparison
        Each with another name.
    permutations, splits : int
        Number of permutations of the stimuli, and of random splits of the trials.
    rng : int or numpy.random.Generator, optional
        Draws both.

    Raises
    ------
    SchemaError
        If a Dataset does not keep the schema, or the stimuli differ.
    ArgumentError
        If intact and silenced runs, or the two networks, are not over the same, or as in `updates_against_velocity`.

    References
    ----------
    Lien, A. D., Scanziani, M. (2013). Tuned thalamic excitation is amplified by visual cortical circuits. Nature
    Neuroscience 16, 1315-1323. doi:10.1038/nn.3488
    """
    for side in (brain, silenced):
        check_brain(side)
    check_network(network)
    same_stimuli(brain, network)
    check_metrics(metrics)
    check_splits(splits)
    same_axes(brain, silenced, ("stimulus", "trial", "time", "unit"), "silenced")
    if network_silenced is not None:
        check_network(network_silenced)
        same_axes(network, network_silenced, ("stimulus", "block", "unit"), "network_silenced")
    seed, rng = seeded(rng)
    t_ms = block_times(brain, network, mapping)
    trials, states = _brain_parts(brain, silenced), _network_parts(network, network_silenced)
    orders = permute_stimuli.orders(brain.sizes["stimulus"], draws=permutations, rng=rng)
    anew = [block_times(brain, reordered(network, order), mapping) for order in orders] if callable(mapping) else None
    times = _Times(float_values(brain["time"]), t_ms, orders, anew)
    units = (str(brain["response"].attrs["units"]), str(network["response"].attrs["units"]))
    parts = [
        _similarities(name, trials[name], states[name], times, metrics, splits, rng)
        | _sizes(trials[name], states[name], times, units)
        | (_r2(trials[name], states[name], times) if _comparable(brain, network) else {})
        for name in PARTS
    ]
    variables = {
        key: xr.Variable(("part", *first.dims), np.stack([part[key].values for part in parts]), dict(first.attrs))
        for key, first in parts[0].items()
    }
    for metric in metrics:
        # Blocks are corrected for in each part; whoever looks for the best of all looks in three.
        variables[f"{metric.name}_p"].values = np.minimum(1.0, len(PARTS) * variables[f"{metric.name}_p"].values)
        variables[f"{metric.name}_p"].attrs["long_name"] = (
            "p-value, corrected for all blocks by the largest and for the parts by Bonferroni"
        )
    for key, variable in variables.items():
        reasons = [f"{p}: {part[key].attrs['undefined']}" for p, part in zip(PARTS, parts, strict=True)]
        variable.attrs["undefined"] = "; ".join(r for r in reasons if not r.endswith(": "))
    attrs = {
        "model": str(network.attrs.get("model", "")),
        "n_stimuli": brain.sizes["stimulus"],
        "n_trials": brain.sizes["trial"],
        "x": "the state at block 0" if network_silenced is None else "the state of the network without F",
        "null": permute_stimuli.name,
        "permutations": permutations,
        "warnings": HELD if mapping is not None and not callable(mapping) else "",
        "cortexres_provenance": provenance(metrics=[m.name for m in metrics], splits=splits, seed=seed),
    }
    coords = along(network, "block") | {
        "part": list(PARTS),
        "t_ms": xr.Variable("block", t_ms, {"units": "ms", "long_name": "time of the block"}),
    }
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def _comparable(brain: xr.Dataset, network: xr.Dataset) -> bool:
    """Return whether both sides hold rates of the same units."""
    names = [np.asarray(side["name"].values).astype(str) for side in (brain, network) if "name" in side.coords]
    same = brain.sizes["unit"] == network.sizes["unit"] and (len(names) < 2 or np.array_equal(names[0], names[1]))
    return same and all(side["response"].attrs["units"] == "Hz" for side in (brain, network))


def _brain_parts(brain: xr.Dataset, silenced: xr.Dataset) -> dict[str, np.ndarray]:
    """Return the parts (stimulus, trial, time, unit)."""
    intact, x = float_values(brain["response"]), float_values(silenced["response"])
    return {"x": x, "recurrent": intact - x, "sum": intact}


def _network_parts(network: xr.Dataset, network_silenced: xr.Dataset | None) -> dict[str, np.ndarray]:
    """Return the parts (block, stimulus, unit)."""
    state = float_values(network["response"]).swapaxes(0, 1)
    if network_silenced is None:
        x = np.broadcast_to(state[:1], state.shape)
    else:
        x = float_values(network_silenced["response"]).swapaxes(0, 1)
    return {"x": x, "recurrent": state - x, "sum": state}


def _at_points(values: np.ndarray, centres: np.ndarray, t_ms: np.ndarray) -> np.ndarray:
    """Return (..., time, unit) at the times of the blocks, (..., block, unit); NaN outside the bin centres."""
    placed: np.ndarray = np.einsum("bt,...tu->...bu", point_weights(centres, t_ms), values, optimize=True)
    return placed


def _similarities(
    name: str,
    trials: np.ndarray,
    states: np.ndarray,
    times: _Times,
    metrics: Sequence[Comparison],
    splits: int,
    rng: np.random.Generator,
) -> dict[str, xr.Variable]:
    placed = times.placed(trials)

    def permuted(metric: Comparison) -> Iterator[np.ndarray]:
        if times.refitted is None:
            yield from permuted_blocks(metric, placed, states, times.orders)
            return
        for order, anew in zip(times.orders, times.placed_anew(wanted_trials(metric, trials)), strict=True):
            yield score_blocks(metric, anew, states[:, order])

    undefined = OUTSIDE if np.isnan(placed).any() else ""
    found: dict[str, xr.Variable] = {}
    for metric in metrics:
        found |= score_at_map(
            metric, placed, states, permuted, what=MEANINGS[name], undefined=undefined, splits=splits, rng=rng
        )
    return found


def _sizes(trials: np.ndarray, states: np.ndarray, times: _Times, units: tuple[str, str]) -> dict[str, xr.Variable]:
    """Return how large the part is on both sides at each block."""
    brain = times.placed(trials.mean(axis=1)).swapaxes(0, 1)
    outside = OUTSIDE if np.isnan(brain).any() else ""
    return {
        name: xr.Variable(
            "block",
            np.sqrt(np.mean(values**2, axis=(1, 2))),
            {"units": unit, "long_name": "root mean square over stimuli and units", "undefined": undefined},
        )
        for name, values, unit, undefined in (
            ("brain_size", brain, units[0], outside),
            ("network_size", states, units[1], ""),
        )
    }


def _r2(trials: np.ndarray, states: np.ndarray, times: _Times) -> dict[str, xr.Variable]:
    placed = times.placed(trials)
    known = np.isfinite(placed).all(axis=(0, 1, 3))
    placed, predicted = placed[:, :, known], states[known].swapaxes(0, 1)
    result = explained(placed.mean(axis=1), predicted, float(mean_noise(placed).sum()), what="part of the response")
    anew = times.placed_anew(trials.mean(axis=1))
    null = np.array(
        [_plain_r2(mean[:, known], predicted[order]) for mean, order in zip(anew, times.orders, strict=True)]
    )
    flat = "" if np.isfinite(result.r2) else "the brain does not change"
    one = flat or ("one trial has no sampling variance" if trials.shape[1] < 2 else "")
    no_signal = one or ("" if np.isfinite(result.denoised) else "the ceiling is not above zero")
    values = {
        "r2": ("variance explained, pooled over stimulus, block and unit", result.r2, flat),
        "r2_ceiling": ("1 - sampling variance of the mean / total variance", result.ceiling, one),
        "r2_denoised": ("with the sampling variance taken from residual and total", result.denoised, no_signal),
        "r2_null": ("95 % quantile with permuted stimuli", np.nan if flat else np.nanquantile(null, 0.95), flat),
        "r2_p": ("p-value against permuted stimuli", float(exceedance(np.asarray(result.r2), null)), flat),
    }
    return {
        key: xr.Variable((), value, {"units": "1", "long_name": text, "undefined": reason})
        for key, (text, value, reason) in values.items()
    }


def _plain_r2(mean: np.ndarray, prediction: np.ndarray) -> float:
    known = np.isfinite(mean).all(axis=(0, 2))
    return explained(mean[:, known], prediction[:, known], np.nan, what="").r2
