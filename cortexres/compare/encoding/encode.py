"""The encoding map: how well each block predicts each unit at each time, for stimuli that were left out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import xarray as xr

from cortexres.compare.choices import seeded
from cortexres.compare.encoding.encoding_scores import correlation_scores, p_values, variance_scores
from cortexres.compare.encoding.fitted_blocks import fitted, null_peaks
from cortexres.compare.encoding.folds import dealt, given
from cortexres.compare.encoding.reliability import reliability, same_for_all
from cortexres.compare.encoding.ridge import PENALTIES, check_ridge, in_fewest_units
from cortexres.compare.nulls import permute_stimuli
from cortexres.compare.pairing import along, float_values
from cortexres.errors import ArgumentError
from cortexres.provenance import provenance
from cortexres.schema import check_brain, check_network, check_scores, same_stimuli


def encode(
    brain: xr.Dataset,
    network: xr.Dataset,
    *,
    folds: int | np.ndarray = 5,
    penalties: Sequence[float] = PENALTIES,
    permutations: int = 0,
    splits: int = 20,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return how well ridge maps of every block predict every unit at every time, beside what noise lets them reach.

    Stimuli are left out in folds. Among the others, each unit at each time gets the penalty of least leave-one-out
    error, so no left-out stimulus has a part in the choice. A block's features are decomposed once per fold for all
    times and units.

    The correlation of response and prediction is taken within the stimuli that were left out together, and its mean
    over folds is the score: for an unrelated network 0 on average. Pooled over folds it would be below 0, as what is
    left out is missing in what is learned. Within few stimuli it falls short of the ceiling, which is over all of them:
    for a right map and 60 stimuli in folds of 12, 5 and 3 its ratio was .96, .91 and .84, that of explained variance
    .92 in all, so take folds of ten or more where there are as many stimuli. Explained variance is that between
    stimuli, as in `linear_map_r2`, and a little below 0 for an unrelated network.

    Parameters
    ----------
    brain, network : xarray.Dataset
        With the same stimuli. Neither units nor times need to match.
    folds : int or numpy.ndarray
        Number of parts the stimuli are dealt into, or the part of each stimulus, (stimulus,) integers.
    penalties : sequence of float
        Tried penalties, in units of the mean eigenvalue of the features' Gram matrix.
    permutations : int
        Orders of the brain's stimuli for which everything is computed again, choices included; 0 for no p-values.
    splits : int
        Random splits of the trials for the reliability.
    rng : int or numpy.random.Generator, optional
        Deals the stimuli, draws splits and permutations.

    Returns
    -------
    xarray.Dataset
        Raw values, ceilings and their ratio apart; nothing is clipped.

        - ``encoding_r_unit`` (time, block, unit): correlation; ``encoding_r_unit_ceiling`` (time, unit): square root of
          ``reliability`` (time, unit), which is of split halves stepped up by Spearman-Brown;
          ``encoding_r_unit_ratio`` (time, block, unit).
        - ``encoding_r`` (time, block): median over units; ``encoding_r_ceiling`` (time): square root of the median
          reliability; ``encoding_r_ratio`` (time, block): of the two, so that no unit is left out for its reliability.
        - ``encoding_r2`` (time, block): 1 - squared error / variance between stimuli, both summed over units;
          ``encoding_r2_ceiling`` (time): 1 - trial sampling variance / variance between stimuli;
          ``encoding_r2_ratio`` (time, block). ``encoding_r2_unit`` (time, block, unit).
        - ``encoding_r_best`` (time), ``encoding_r_best_ratio`` (time): of the block chosen in each fold, at each time,
          by its leave-one-out error among the stimuli learned from: the fair value to quote of a selected block,
          where the largest of the map is too high. ``encoding_best_block`` (time, fold): the choices.
        - with permutations, ``encoding_r_p`` (time, block) and ``encoding_r_best_p`` (time), corrected for the map
          and all times by their largest value; ``encoding_r_null_max``, ``encoding_r_best_null_max`` (): 95th
          percentiles of those.

    Raises
    ------
    SchemaError
        If a Dataset does not keep the schema, or the stimuli differ.
    ArgumentError
        If there are too few stimuli for the folds, no positive penalties, or no splits.

    References
    ----------
    Schoppe, O. et al. (2016). Measuring the performance of neural models. Frontiers in Computational Neuroscience 10.
    doi:10.3389/fncom.2016.00010
    """
    check_brain(brain)
    check_network(network)
    same_stimuli(brain, network)
    seed, rng = seeded(rng)
    fold = _folds(folds, brain.sizes["stimulus"], penalties, rng)
    _check_size(fold)
    _check_draws(permutations, splits)
    trials = float_values(brain["response"])
    states = float_values(network["response"]).swapaxes(0, 1)
    blocks = [in_fewest_units(block) for block in states]
    response = trials.mean(axis=1)
    fit = fitted(blocks, response[None], fold, penalties)
    repeats = reliability(trials, splits=splits, rng=rng)
    variables = correlation_scores(fit, repeats) | variance_scores(fit, trials)
    _explain(variables, trials.shape[1], [int(k) for k in network["block"].values[same_for_all(states)]])
    if permutations:
        orders = permute_stimuli.orders(len(trials), draws=permutations, rng=rng)
        variables |= p_values(variables, null_peaks(blocks, response, orders, fold, penalties))
    _warn_without_ceiling(variables["encoding_r2_ceiling"].values, float_values(brain["time"]))
    coords = along(brain, "time", "unit") | along(network, "block")
    attrs = {
        "model": str(network.attrs.get("model", "")),
        "n_stimuli": brain.sizes["stimulus"],
        "n_trials": brain.sizes["trial"],
        "n_units": brain.sizes["unit"],
        "measure": "encoding",
        "orientation": "similarity",
        "null": permute_stimuli.name if permutations else "none",
        "permutations": permutations,
        "cortexres_provenance": provenance(
            folds=fold.tolist(), penalties=list(penalties), splits=splits, seed=seed
        ),
    }
    return check_scores(xr.Dataset(variables, coords=coords, attrs=attrs))


def _folds(folds: int | np.ndarray, n: int, penalties: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    if isinstance(folds, int | np.integer):
        check_ridge(n, int(folds), penalties)
        return dealt(n, int(folds), rng)
    fold = given(folds, n, "stimuli")
    check_ridge(n, int(np.unique(fold).size), penalties)
    return fold


def _check_size(fold: np.ndarray) -> None:
    smallest = int(np.unique(fold, return_counts=True)[1].min())
    if smallest < 3:
        raise ArgumentError(
            f"got {fold.size} stimuli and a fold of {smallest}, expected 3 or more in every fold, which a correlation"
            " needs; use fewer folds or more stimuli"
        )


def _check_draws(permutations: int, splits: int) -> None:
    if permutations < 0 or splits < 1:
        raise ArgumentError(
            f"got permutations={permutations} and splits={splits}, expected 0 or more orders of the stimuli and at"
            " least 1 split of the trials"
        )


def _explain(variables: dict[str, xr.Variable], trials: int, constant: list[int]) -> None:
    """Write where and why values are NaN into the attributes of `variables`."""
    for name, variable in variables.items():
        if not np.isnan(variable.values).any():
            continue
        reasons = [f"blocks {constant} are the same for all stimuli"] if constant and "block" in variable.dims else []
        if name == "reliability" or name.endswith(("_ceiling", "_ratio")):
            reasons.append("one trial has no ceiling" if trials < 2 else "where the ceiling is not above zero")
        reasons.append("where the brain does not differ between stimuli")
        variable.attrs["undefined"] = "; ".join(reasons)


def _warn_without_ceiling(ceiling: np.ndarray, time: np.ndarray) -> None:
    """Warn where no bin since onset holds variance beyond the trial noise."""
    known = ceiling[(time >= 0) & ~np.isnan(ceiling)]
    if known.size and not (known > 0).any():
        warnings.warn(
            f"encoding: ceiling not above zero after onset (at most {known.max():.2g}): the trial noise is as large as"
            " the differences between stimuli; use more trials, stimuli or contrast",
            stacklevel=3,
        )
