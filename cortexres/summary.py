"""One network against one recording: every score that both sides allow, and the rows of the table."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping

import numpy as np
import xarray as xr

from cortexres import compare, schema

Row = Mapping[str, object]

HEADER_WIDTH = 10
LEAST_FOR_MAP = 10  # stimuli: two in each of the five folds

#: Column of the table -> the score it shows.
COLUMNS = {
    "state R2": "r2",
    "state R2, denoised": "r2_denoised",
    "shape R2, denoised": "shape_denoised",
    "steady error, median": "steady_error_median",
    "E current R2": "currents_excitatory_r2",
    "I current R2": "currents_inhibitory_r2",
    "update r": "update_specific",
    "linear map R2": "linear_map_r2",
    "CKA": "linear_cka_diagonal",
    "RSA": "rsa_diagonal",
}


def score(brain: xr.Dataset, network: xr.Dataset, *, rng: int | None = None, permutations: int = 500) -> xr.Dataset:
    """The scores Dataset of one network: the time x block maps, and scalars for all that both sides allow.

    States, currents and updates are scored where the network has the brain's units and a time step; the
    cross-validated linear map where there are stimuli enough; the similarity maps always.

    Parameters
    ----------
    brain, network : Dataset
        Of the same stimuli.
    rng : int, optional
        Seed of permutations, splits and folds.
    permutations : int
        Number of permuted orders of the stimuli.

    Raises
    ------
    SchemaError
        If a Dataset does not keep the schema, or the stimuli differ.
    """
    scores = compare.compare(
        brain,
        network,
        metrics=[compare.linear_cka, compare.rsa],
        nulls=[compare.permute_stimuli],
        rng=rng,
        permutations=permutations,
    )
    for metric in (compare.linear_cka, compare.rsa):
        scores[f"{metric.name}_diagonal"] = _diagonal(scores[metric.name], brain, network)
    found = [scores]
    if brain.sizes["stimulus"] >= LEAST_FOR_MAP:
        found.append(compare.linear_map_r2(brain, network, rng=rng))
    if is_same_circuit(brain, network):
        found.append(_without_empty_currents(compare.state_scores(brain, network), network))
        updates = compare.update_scores(brain, network, rng=rng, permutations=permutations)
        found.append(updates.rename({name: f"update_{name}" for name in updates.data_vars}))
    merged = xr.merge(found, join="outer", compat="no_conflicts", combine_attrs="override")
    return schema.check_scores(merged.transpose("time", "block", ...))


def is_same_circuit(brain: xr.Dataset, network: xr.Dataset) -> bool:
    """Whether the network stands for the brain's own units at known times, so that states can be compared."""
    if "t_ms" not in network.coords or "name" not in network.coords or "name" not in brain.coords:
        return False
    return bool(brain["name"].values.tolist() == network["name"].values.tolist())


def row(model: str, scores: xr.Dataset) -> dict[str, object]:
    """One row of the table: the model's name and each score that it has."""
    values = {column: float(scores[name]) for column, name in COLUMNS.items() if name in scores}
    return {"model": model, **values}


def reference_rows(scores: xr.Dataset) -> list[dict[str, object]]:
    """The rows that need no network: final rates held constant, permuted stimuli, and what noise leaves.

    The two last are not the same: trial noise limits what a right model can score; two halves of the trials are both
    noisy, so a right model may score above them.
    """
    permuted = {"CKA": "linear_cka_null_max", "RSA": "rsa_null_max", "update r": "update_specific_null"}
    ceiling = {"state R2": "r2_ceiling", "linear map R2": "linear_map_ceiling"}
    halves = {
        column: float(scores[name].where(scores["time"] >= 0).mean())
        for column, name in (("CKA", "linear_cka_ceiling"), ("RSA", "rsa_ceiling"))
    }
    rows = {
        "final rates, constant": _existing(scores, {"state R2": "constant_r2"}),
        "permuted stimuli, 95 %": _existing(scores, permuted),
        "ceiling (trial noise)": _existing(scores, ceiling),
        "half the trials, the other": _existing(scores, {"update r": "update_specific_ceiling"}) | halves,
    }
    return [{"model": model, **values} for model, values in rows.items() if values]


def text_table(rows: Iterable[Row]) -> str:
    """The rows as aligned text under a header of as many lines as it needs; a score that a row lacks is a dash."""
    rows = list(rows)
    columns = list(dict.fromkeys(column for each in rows for column in each))
    headers = [textwrap.wrap(column, HEADER_WIDTH, break_long_words=False) for column in columns]
    height = max(map(len, headers), default=0)
    header = [[*[""] * (height - len(lines)), *lines] for lines in headers]
    cells = [
        *map(list, zip(*header, strict=True)),
        *([_cell(each.get(column)) for column in columns] for each in rows),
    ]
    widths = [max(len(line[k]) for line in cells) for k in range(len(columns))]
    lines = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in cells]
    return "\n".join([*lines[:height], "-" * len(lines[0]), *lines[height:]])


def _existing(scores: xr.Dataset, names: Mapping[str, str]) -> dict[str, object]:
    return {column: float(scores[name]) for column, name in names.items() if name in scores}


def _without_empty_currents(scores: xr.Dataset, network: xr.Dataset) -> xr.Dataset:
    """The scores less those of currents that the network does not have: 0 against a current is no prediction."""
    empty = [n for n, part in compare.CURRENTS.items() if part in network and not network[part].values.any()]
    return scores.drop_vars([f"{name}_r2" for name in empty], errors="ignore")


def _diagonal(similarity: xr.DataArray, brain: xr.Dataset, network: xr.Dataset) -> xr.DataArray:
    """Mean similarity of each block and the time it stands for; without a time step, blocks are spread evenly."""
    timed = network if "t_ms" in network.coords else compare.uniform_time(network, brain)
    times, moments = brain["time"].values, timed["t_ms"].values[1:]
    # A block ends where two bins meet: the mean of both, and not the earlier one, is the similarity at its time.
    values = np.array([np.interp(t, times, similarity.values[:, k]) for k, t in enumerate(moments, start=1)])
    mean = float(np.nanmean(values)) if np.isfinite(values).any() else np.nan
    return xr.DataArray(mean, attrs={"units": "1", "long_name": "mean similarity of block k and time k dt"})


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
