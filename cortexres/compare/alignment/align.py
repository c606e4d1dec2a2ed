"""Which time of the brain is which block of the network, how sure that is, and is the match more than chance?"""

from __future__ import annotations

import numpy as np
import xarray as xr

from cortexres.compare.alignment.fit import Fit
from cortexres.compare.alignment.mapping import Axes, Method
from cortexres.compare.alignment.monotone_path import MonotonePath
from cortexres.compare.alignment.state_distance import state_distance
from cortexres.compare.alignment.variables import (
    ceiling_variables,
    map_variables,
    null_variables,
    sampled_variables,
    score_variables,
)
from cortexres.compare.ceilings import trial_ceiling
from cortexres.compare.choices import seeded
from cortexres.compare.inference.null_maps import null_maps, score_map
from cortexres.compare.inference.resampled_maps import resampled_stimuli
from cortexres.compare.measures.cka import linear_cka
from cortexres.compare.measures.measure import Comparison
from cortexres.compare.nulls import Null, permute_stimuli
from cortexres.compare.pairing import float_values, same_units
from cortexres.compare.windows import bin_width
from cortexres.errors import ArgumentError
from cortexres.provenance import provenance
from cortexres.schema import check_brain, check_network, check_scores, same_stimuli

WARNINGS = (
    "times that rise with the blocks are no evidence, as a monotone map rises by construction: judge the score against"
    " its null; permuted stimuli ask whether both sides relate the stimuli alike; shuffled blocks lose their likeness"
    " to neighbours with their order"
)


def align(
    brain: xr.Dataset,
    network: xr.Dataset,
    *,
    metric: Comparison = linear_cka,
    method: Method | None = None,
    null: Null | None = permute_stimuli,
    permutations: int = 200,
    bootstraps: int = 200,
    splits: int = 20,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return the time of each block with its interval, and the score of the map beside its null and the best possible.

    - ``similarity`` or ``distance`` (time, block), as ``attrs["orientation"]`` says: the measure of all pairs.
    - ``t_ms`` (block): the map; ``t_ms_low``, ``t_ms_high``: 95 % percentile interval, the map fitted anew to each
      bootstrap sample of the stimuli (on the wide side, as a sample has 63 % of them); ``null_t_ms_low``,
      ``null_t_ms_high``: 95 % of the times under the null.
    - ``on_map`` (block): the measure of each block at its time; ``score`` (): its mean over blocks, with
      ``score_low``, ``score_high`` by the bootstrap (drawn upwards where noise is large, as each sample's map is fitted
      to its noise: with c = .08 below, 3 in 4 hold the mean score). ``score_null_mean``, ``score_null_95`` (5th
      percentile for a distance) and ``score_p``: the map is fitted anew under each draw of the null, so that its
      freedom counts, and the true order counts as one of the draws.
    - ``best_t_ms`` (block), ``best`` (): each block in its own best bin, whatever the others'. ``loss`` (): how much
      worse the score is, never negative.
    - ``ceiling`` (time): the measure between random halves of the trials, uncorrected (`trial_ceiling`);
      ``score_ceiling`` (): its mean over the blocks' times, c; ``score_model_ceiling``: what a right model without
      noise scores against all trials, the root of 2 c / (1 + c); ``score_ratio``: score over that, not clipped. It
      passes 1 for a right model where noise is large (by .03, .12, .26 at c = .48, .19, .08), as the map is fitted to
      the noise and Spearman-Brown falls short. A warning is given where the halves share nothing.
    - ``path_time``, ``path_block`` (step): the path, of path methods. ``share`` (time, block): share of each time in
      each block, of maps that spread over times. ``slope`` (ms per block), ``intercept``, with intervals: of `Affine`.

    Values are NaN where undefined, and ``attrs["undefined"]`` says why. Blocks without relations between the stimuli,
    as a network's start, have no fitted time, and do not count in the score.

    Parameters
    ----------
    brain, network : xarray.Dataset
        With the same stimuli in the same order; with `state_distance` also the same units, in the same unit.
    metric : Comparison
        Which measure. `state_distance` tells times apart at which the geometry is the same.
    method : Method, optional
        `MonotonePath` by default; `Affine`, `Isotonic`, `SoftPath`, `Fixed`, `Uniform` or `Graded`.
    null : Null, optional
        What the score is judged against; None for nothing.
    permutations, bootstraps : int
        Number of draws of the null, and of samples of the stimuli (0 for no intervals).
    splits : int
        Number of random halves of the trials (0 for no ceiling).
    rng : int or numpy.random.Generator, optional
        Draws all three. A seed gives the same result again.

    Raises
    ------
    SchemaError
        If a Dataset does not keep the schema, the stimuli differ, or, with `state_distance`, the units do.
    ArgumentError
        If a map is longer than the data, no block has a defined value, or there are too few stimuli.
    """
    method = MonotonePath() if method is None else method
    _check(brain, network, metric, bootstraps, splits)
    seed, rng = seeded(rng)
    values = score_map(metric, brain, network)
    fit = _fit(brain, network, metric, method, values)
    observed = fit.maps(values[None])
    used = np.isfinite(observed.costs[0])
    variables = map_variables(values, observed, fit, metric.name) | score_variables(values, observed, fit, used)
    if null is not None:
        drawn = null_maps(metric, brain, network, null, draws=permutations, rng=rng)
        variables |= null_variables(fit.maps(drawn), observed, fit, used)
    if bootstraps:
        samples = resampled_stimuli(metric, brain, network, draws=bootstraps, rng=rng)
        variables |= sampled_variables(fit.maps(samples), fit, used)
    if splits:
        ceiling = trial_ceiling(brain, metric=metric, splits=splits, rng=rng)
        variables |= ceiling_variables(metric, ceiling["ceiling"].variable, observed, fit, used)
    attrs = {
        "model": str(network.attrs.get("model", "")),
        "method": method.name,
        "metric": metric.name,
        "orientation": metric.orientation,
        "n_stimuli": brain.sizes["stimulus"],
        "n_trials": brain.sizes["trial"],
        "null": "none" if null is None else null.name,
        "permutations": 0 if null is None else permutations,
        "bootstraps": bootstraps,
        "warnings": WARNINGS,
        "cortexres_provenance": provenance(metric=metric.name, method=method.name, options=method, seed=seed),
    }
    return check_scores(xr.Dataset(variables, coords=_coordinates(brain, network), attrs=attrs))


def _check(brain: xr.Dataset, network: xr.Dataset, metric: Comparison, bootstraps: int, splits: int) -> None:
    check_brain(brain)
    check_network(network)
    same_stimuli(brain, network)
    if bootstraps < 0 or splits < 0:
        raise ArgumentError(
            f"got bootstraps={bootstraps} and splits={splits}, expected numbers of samples and of halves, or 0 for none"
        )
    if metric is state_distance:
        same_units(brain, network)
        ours, theirs = (side["response"].attrs["units"] for side in (brain, network))
        if ours != theirs:
            raise ArgumentError(
                f"state_distance: the brain is in {ours}, the network in {theirs}, expected the same unit; convert one,"
                " or compare geometry by linear_cka or rsa"
            )


def _fit(brain: xr.Dataset, network: xr.Dataset, metric: Comparison, method: Method, values: np.ndarray) -> Fit:
    defined = np.flatnonzero(np.isfinite(values).any(axis=0))
    if not defined.size:
        raise ArgumentError(
            f"{metric.name}: no block has a defined value at any time, expected activity that differs between stimuli;"
            " look at both sides' responses"
        )
    axes = Axes(
        time=float_values(brain["time"]),
        bin_ms=bin_width(brain),
        block=network["block"].values[defined].astype(float),
        block_ms=float_values(network["t_ms"])[defined] if "t_ms" in network.coords else None,
    )
    return Fit(method, axes, defined, network.sizes["block"], metric.orientation)


def _coordinates(brain: xr.Dataset, network: xr.Dataset) -> dict[str, xr.Variable]:
    """Return the coordinates of time and block; the network's own times under another name than the map's."""
    coordinates = {}
    for side, dim in ((brain, "time"), (network, "block")):
        for name, values in side.coords.items():
            if values.dims == (dim,):
                coordinates["network_t_ms" if name == "t_ms" else str(name)] = values.variable
    return coordinates
