"""The variables of an alignment: the map, its score, what both are under the null, and their intervals."""

from __future__ import annotations

import numpy as np
import xarray as xr

from cortexres.compare.alignment.fit import Fit, interval
from cortexres.compare.alignment.mapping import Maps, at_times
from cortexres.compare.ceilings.model_ceiling import model_ceiling, why_none
from cortexres.compare.measures.measure import Comparison
from cortexres.compare.nulls import p_value

PARAMETER_UNITS = {"slope": "ms", "intercept": "ms"}
MODEL_CEILING = "what a right model without noise scores: root of the ceiling of all trials, by Spearman-Brown"
PARAMETER_TEXTS = {"slope": "time of the map per block", "intercept": "time of the map at block 0"}

Variables = dict[str, xr.Variable]


def map_variables(values: np.ndarray, observed: Maps, fit: Fit, name: str) -> Variables:
    """Return the measure (time, block), the map, and each block's own best bin."""
    missing = left_out(values, fit)
    never = missing or ("" if np.isfinite(observed.times).all() else "no map: a block has no value within the band")
    best = fit.axes.time[fit.costs(values[None])[0].argmin(axis=0)]
    variables: Variables = {
        fit.orientation: variable(("time", "block"), values, "1", f"{name} of brain and network", missing),
        "t_ms": variable("block", fit.placed(observed.times[0]), "ms", "time of the block", never),
        "on_map": variable(
            "block", fit.placed(fit.measure(observed.costs[0])), "1", f"{name} of the block at its time", never
        ),
        "best_t_ms": variable("block", fit.placed(best), "ms", "bin in which the block matches best", missing),
    }
    if observed.path is not None:
        time, block = observed.path
        variables["path_time"] = variable("step", fit.axes.time[time], "ms", "time of the path")
        variables["path_block"] = variable("step", fit.axes.block[block], "1", "block of the path")
    if observed.weights is not None:
        share = fit.placed(observed.weights)
        variables["share"] = variable(("time", "block"), share, "1", "share of the time in the block", missing)
    for parameter, estimates in observed.parameters.items():
        variables[parameter] = variable(
            (), estimates[0], PARAMETER_UNITS[parameter], PARAMETER_TEXTS[parameter], _no_map(estimates[0])
        )
    return variables


def score_variables(values: np.ndarray, observed: Maps, fit: Fit, used: np.ndarray) -> Variables:
    """Return the score of the map, the best possible, and the loss."""
    score = fit.score(observed.costs, used)[0]
    best = fit.score(fit.costs(values[None]).min(axis=1), used)[0]
    skipped = ", ".join(f"{block:g}" for block in fit.axes.block[~used])
    reason = f"blocks {skipped} do not count: no defined value at their times" if skipped else ""
    return {
        "score": variable((), score, "1", "mean over blocks of the measure at their times", reason),
        "best": variable((), best, "1", "mean over blocks of the measure in each block's own best bin", reason),
        "loss": variable((), fit.sign * (best - score) + 0.0, "1", "how much worse the score is than the best", reason),
    }


def ceiling_variables(
    metric: Comparison, ceiling: xr.Variable, observed: Maps, fit: Fit, used: np.ndarray
) -> Variables:
    """Return the ceiling (time), what it is at the times of the blocks, and the score over what that lets one reach.

    A score against all trials is set beside what a right model reaches with all trials (`trial_ceiling`), taken from
    the mean over blocks, as single blocks may have a ceiling below 0.
    """
    values = np.asarray(ceiling.values, dtype=float)
    at = at_times(np.repeat(values[None, :, None], used.sum(), axis=2), fit.axes.time, observed.times[:1, used])
    mean = float(at.mean()) if used.any() else np.nan
    model = float(model_ceiling(metric, np.asarray(mean)))
    ratio = fit.score(observed.costs, used)[0] / model
    reason = "" if np.isfinite(mean) else str(ceiling.attrs["undefined"]) or "no block has a time"
    no_ratio = why_none(metric) or reason or "the ceiling is not above zero"
    return {
        "ceiling": ceiling,
        "score_ceiling": variable((), mean, "1", "mean over blocks of the ceiling at their times", reason),
        "score_model_ceiling": variable((), model, "1", MODEL_CEILING, "" if np.isfinite(model) else no_ratio),
        "score_ratio": variable((), ratio, "1", "score over its model ceiling", "" if np.isfinite(ratio) else no_ratio),
    }


def null_variables(null: Maps, observed: Maps, fit: Fit, used: np.ndarray) -> Variables:
    """Return the times and the score under the null, and the p-value of the score."""
    low, high = interval(null.times)
    score, drawn = fit.score(observed.costs, used)[0], fit.score(null.costs, used)
    finite = drawn[np.isfinite(drawn)]
    level = 0.95 if fit.sign > 0 else 0.05
    single = "" if len(drawn) > 1 else "the null has one value only, and no distribution"
    tail = float(np.quantile(finite, level)) if finite.size and not single else np.nan
    p = float(p_value(np.asarray(score), drawn[:, None], fit.orientation)) if not single else np.nan
    return {
        "null_t_ms_low": variable("block", fit.placed(low), "ms", "lower end of 95 % of the null's times", single),
        "null_t_ms_high": variable("block", fit.placed(high), "ms", "upper end of 95 % of the null's times", single),
        "score_null_mean": variable((), finite.mean() if finite.size else np.nan, "1", "mean score under the null"),
        "score_null_95": variable((), tail, "1", f"{100 * level:.0f}th percentile of the score under the null", single),
        "score_p": variable((), p, "1", "p-value of the score, the map fitted anew under each draw", single),
    }


def sampled_variables(sampled: Maps, fit: Fit, used: np.ndarray) -> Variables:
    """Return the intervals over bootstrap samples of the stimuli."""
    scores = fit.score(sampled.costs, used)
    missing = int((~np.isfinite(scores)).sum())
    reason = f"{missing} of {scores.size} samples have no score, and are left out" if missing else ""
    ends = dict(zip(("low", "high"), interval(sampled.times), strict=True))
    variables = {
        f"t_ms_{side}": variable("block", fit.placed(times), "ms", _end(side, "the block's time"), reason)
        for side, times in ends.items()
    }
    for name, draws in {"score": scores, **sampled.parameters}.items():
        for side, value in zip(("low", "high"), interval(draws), strict=True):
            units = PARAMETER_UNITS.get(name, "1")
            variables[f"{name}_{side}"] = variable((), value, units, _end(side, f"the {name}"), reason)
    return variables


def variable(dims: str | tuple[str, ...], values: object, units: str, text: str, undefined: str = "") -> xr.Variable:
    """Return a variable that says its unit, what it is, and why it is undefined where it is."""
    return xr.Variable(dims, values, {"units": units, "long_name": text, "undefined": undefined})


def left_out(values: np.ndarray, fit: Fit) -> str:
    """Return in words which blocks and times have no value of the measure (time, block)."""
    empty = np.setdiff1d(np.arange(fit.blocks), fit.defined)
    parts = []
    if empty.size:
        parts.append(f"blocks {', '.join(map(str, empty))}: their activity is the same for all stimuli")
    rows = ~np.isfinite(values[:, fit.defined]).all(axis=1)
    if rows.any():
        shown = ", ".join(f"{time:g}" for time in fit.axes.time[rows][:5])
        more = ", ..." if rows.sum() > 5 else ""
        parts.append(f"{shown}{more} ms: no defined value, and no block can have these times")
    return "; ".join(parts)


def _end(side: str, what: str) -> str:
    return f"{'lower' if side == 'low' else 'upper'} end of the 95 % bootstrap interval of {what} over stimuli"


def _no_map(value: float) -> str:
    return "" if np.isfinite(value) else "no straight map has a defined value in every block"
