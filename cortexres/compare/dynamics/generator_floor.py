"""How far apart the generators of one recording come out by trial noise alone: what no model can be told from."""

from __future__ import annotations

import numpy as np
import xarray as xr

from cortexres.compare.choices import seeded
from cortexres.compare.dynamics.generator_distance import generator_distance
from cortexres.compare.dynamics.generators import generators
from cortexres.compare.windows import Window
from cortexres.errors import ArgumentError
from cortexres.provenance import provenance

MINIMUM_TRIALS = 4
NAMES = ("generator_distance", "generator_distance_relative")


def generator_floor(
    brain: xr.Dataset,
    *,
    rank: int,
    delays: int = 1,
    window: Window = (0.0, np.inf),
    splits: int = 20,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return the distance between the generators of two halves of a brain's trials, for the same options.

    It is that of *half* the trials, so the same system scores below it with all of them. A network at a distance
    below it is not told from the brain by this measure; one above its 95th percentile is.

    Parameters
    ----------
    brain : xarray.Dataset
        Brain Dataset with 4 trials or more.
    rank, delays, window
        As in `generators`.
    splits : int
        Number of random halves.
    rng : int or numpy.random.Generator, optional
        Draws them.

    Returns
    -------
    xarray.Dataset
        ``generator_distance_floor``, ``generator_distance_relative_floor``, the means over splits, and the same with
        ``_95`` for ``_floor``, their 95th percentiles.

    Raises
    ------
    SchemaError
        If the Dataset does not keep the schema.
    ArgumentError
        If there are fewer than 4 trials, no splits, or fewer components than `rank` move in a half.
    """
    trials = brain.sizes.get("trial", 1)
    if trials < MINIMUM_TRIALS or splits < 1:
        raise ArgumentError(
            f"got {trials} trials and splits={splits}, expected {MINIMUM_TRIALS} trials or more, as each half needs"
            " two, and at least 1 split"
        )
    seed, rng = seeded(rng)
    rows = []
    for _ in range(splits):
        order = rng.permutation(trials)
        spectra = [
            generators(brain.isel(trial=half), rank=rank, delays=delays, window=window)
            for half in (order[: trials // 2], order[trials // 2 :])
        ]
        distance = generator_distance(*spectra)
        rows.append([float(distance[name]) for name in NAMES])
    values = np.array(rows)
    facts = {"rank": rank, "delays": delays, "splits": splits, "n_trials": trials}
    variables = {}
    for name, units, column in zip(NAMES, ("1/ms", "1"), values.T, strict=True):
        text = f"{name.replace('_', ' ')} of two halves of the trials"
        mean, high = float(column.mean()), float(np.quantile(column, 0.95))
        variables[f"{name}_floor"] = xr.Variable((), mean, {"units": units, "long_name": text})
        variables[f"{name}_95"] = xr.Variable((), high, {"units": units, "long_name": f"95th percentile of {text}"})
    return xr.Dataset(
        variables,
        attrs={
            "model": str(brain.attrs.get("model", "")),
            "n_stimuli": brain.sizes["stimulus"],
            **facts,
            "cortexres_provenance": provenance(measure="generator_floor", seed=seed, **facts),
        },
    )
