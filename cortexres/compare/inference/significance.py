"""Which cells of the time x block map are related, by several corrections of the same permutations side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from cortexres.compare.choices import seeded
from cortexres.compare.inference.clusters import Clusters
from cortexres.compare.inference.corrections import Correction, FalseDiscoveryRate, MaxStatistic, cell_p
from cortexres.compare.inference.null_maps import null_maps, score_map
from cortexres.compare.inference.undefined import undefined_cells
from cortexres.compare.measures.cka import linear_cka
from cortexres.compare.measures.measure import Comparison
from cortexres.compare.nulls.null import Null
from cortexres.compare.nulls.stimuli import permute_stimuli
from cortexres.compare.pairing import along
from cortexres.errors import ArgumentError
from cortexres.provenance import provenance
from cortexres.schema import check_brain, check_network, same_stimuli

CORRECTIONS: tuple[Correction, ...] = (MaxStatistic(), FalseDiscoveryRate(), Clusters())
ONE_CELL = "one cell, chosen before the data were seen; among all cells, a share of the level is below it by chance"


def significance(
    brain: xr.Dataset,
    network: xr.Dataset,
    *,
    metric: Comparison = linear_cka,
    null: Null = permute_stimuli,
    corrections: Sequence[Correction] = CORRECTIONS,
    permutations: int = 1000,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return the map NAME (time, block) with the p-values of several corrections, each saying what it licenses.

    ``NAME_p_cell`` is that of each cell alone, ``NAME_p_max`` (`MaxStatistic`), ``NAME_p_fdr_bh``
    (`FalseDiscoveryRate`) and ``NAME_p_cluster`` (`Clusters`) are corrected for the whole map; all from the same draws.
    ``attrs["licenses"]`` of each says what may be concluded. None of them licenses a claim about latencies: for that
    see `latency_depth`.

    Parameters
    ----------
    brain, network : xarray.Dataset
        With the same stimuli in the same order.
    metric : Comparison
        Which measure.
    null : Null
        A random one.
    corrections : sequence of Correction
        Each with another name.
    permutations : int
        Draws of the null; 1 / (permutations + 1) is the least p-value, before a correction for the false discovery
        rate.
    rng : int or numpy.random.Generator, optional
        Draws the null.

    Raises
    ------
    SchemaError
        If a Dataset does not keep the schema, or the stimuli differ.
    ArgumentError
        If the null is not random, or two corrections have one name.
    """
    check_brain(brain)
    check_network(network)
    same_stimuli(brain, network)
    names = [correction.name for correction in corrections]
    if len(set(names)) < len(names):
        raise ArgumentError(f"got corrections {names}, expected each name once")
    if not null.random:
        raise ArgumentError(f"null {null.name} has one value only, expected a random null for p-values")
    seed, rng = seeded(rng)
    observed = score_map(metric, brain, network)
    drawn = null_maps(metric, brain, network, null, draws=permutations, rng=rng)
    sign = 1.0 if metric.orientation == "similarity" else -1.0
    undefined = undefined_cells(observed, brain, network)
    attrs = {"units": "1", "undefined": undefined, "orientation": metric.orientation}
    texts = {metric.name: (observed, {"long_name": f"{metric.name} of each time and block"})}
    texts[f"{metric.name}_p_cell"] = (
        cell_p(sign * observed, sign * drawn),
        {"long_name": "p-value of each cell alone", "licenses": ONE_CELL},
    )
    for correction in corrections:
        texts[f"{metric.name}_p_{correction.name}"] = (
            correction.p(sign * observed, sign * drawn),
            {"long_name": f"p-value, {correction.name}", "licenses": correction.licenses},
        )
    variables = {name: (("time", "block"), values, attrs | extra) for name, (values, extra) in texts.items()}
    facts = provenance(metric=metric.name, null=null.name, corrections=names, seed=seed)
    return xr.Dataset(
        variables,
        coords=along(brain, "time") | along(network, "block"),
        attrs={
            "model": str(network.attrs.get("model", "")),
            "n_stimuli": brain.sizes["stimulus"],
            "n_trials": brain.sizes["trial"],
            "null": null.name,
            "permutations": permutations,
            "cortexres_provenance": facts,
        },
    )
