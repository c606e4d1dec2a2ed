"""The tests that a scores Dataset holds: each score with its null, p-value and ceiling."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

from cortexres.compare.nulls.stimuli import permute_stimuli
from cortexres.compare.verdicts.claims import SHARED, claim_of, latency_claim

P_VALUE = re.compile(r"(?P<base>.+)_p(_(?P<suffix>.+))?")
# What a variable called p belongs to, the first of these that the Dataset has.
OF_P = ("score", "best", "rho")
INTERVAL = "95 % interval of the difference over stimuli"


@dataclass(frozen=True)
class Finding:
    """One score against one null.

    Parameters
    ----------
    score, model, null : str
        Names.
    claim : str
        What is shown if the score is hardly ever reached under the null.
    value : float
        The score; of several cells the one with the least p-value.
    where : str
        Its cell, and how many cells there are.
    p : float
        Least p-value, corrected for the cells. NaN for a null with one value only.
    corrected : str
        What it is corrected for.
    difference : tuple of float
        For a null with one value only, the ends of the 95 % interval of score less null, alike counted upwards.
    ceiling : float
        At the same place, NaN where there is none.
    """

    score: str
    model: str
    null: str
    claim: str
    value: float
    where: str
    p: float
    corrected: str
    difference: tuple[float, float] = (np.nan, np.nan)
    ceiling: float = np.nan


def findings(scores: xr.Dataset) -> list[Finding]:
    """Return what a Dataset of scores tests, as far as its variables say it by their names.

    ``NAME_p`` and ``NAME_p_NULL`` belong to ``NAME`` and the nulls in ``attrs["null"]``; ``p`` to ``score`` (with the
    dim ``null``, as `null_scores` makes it), ``best`` or ``rho``. P-values of single cells (``NAME_p_cell``) are left
    out, as a chosen cell has no p-value of its own; a map of p-values that does not say that it is corrected is
    corrected here for its cells (Bonferroni).
    """
    if "null" in scores.dims and "null_scores" in scores:
        return [_of_null(scores.isel(null=k)) for k in range(scores.sizes["null"])]
    return list(_by_name(scores))


def _of_null(scores: xr.Dataset) -> Finding:
    """Return the finding of one null of `null_scores`."""
    null = str(scores["name"].values)
    sign = 1.0 if scores.attrs["orientation"] == "similarity" else -1.0
    ends = (np.nan, np.nan)
    if scores["score"].ndim == 0:
        low, high = sorted(sign * float(scores[f"difference_{side}"]) for side in ("low", "high"))
        ends = (low, high)
    return _finding(scores, "score", scores["p"], null, str(scores["claim"].values), ends)


def _by_name(scores: xr.Dataset) -> Iterator[Finding]:
    nulls = [name for name in str(scores.attrs.get("null", "")).split(", ") if name not in ("", "none")]
    first = nulls[0] if nulls else ""
    for name, p in scores.data_vars.items():
        base, suffix = _base(scores, str(name))
        if base is None or suffix == "cell" or not np.issubdtype(p.dtype, np.floating):
            continue
        null = suffix if suffix in nulls else first or _told(p)
        yield _finding(scores, base, p, null, _claim(scores, base, p, null))


def _claim(scores: xr.Dataset, base: str, p: xr.DataArray, null: str) -> str:
    """Return what the rejection of a null shows, where the score or its p-value says more than the null's name."""
    if base == "rho":
        return latency_claim(float(scores[base]))
    if "shared_map" in scores.attrs:
        return SHARED
    return str(p.attrs.get("licenses", claim_of(null)))


def _told(p: xr.DataArray) -> str:
    """Return the null that the p-value's long name tells, where the Dataset has no attribute for it."""
    found = re.search(r"against ([^,;]+)", str(p.attrs.get("long_name", "")))
    words = found[1] if found else "its null"
    return {"permuted stimuli": permute_stimuli.name}.get(words, words)


def _base(scores: xr.Dataset, name: str) -> tuple[str | None, str]:
    """Return the score that a p-value belongs to, None where it is no p-value, and what follows ``_p_``."""
    if name == "p":
        return next((base for base in OF_P if base in scores), None), ""
    matched = P_VALUE.fullmatch(name)
    if matched is None or matched["base"] not in scores:
        return None, ""
    return matched["base"], matched["suffix"] or ""


def _finding(
    scores: xr.Dataset,
    base: str,
    p: xr.DataArray,
    null: str,
    claim: str,
    difference: tuple[float, float] = (np.nan, np.nan),
) -> Finding:
    values = scores[base]
    least, cell, cells = _least(p, values, _orientation(scores, base))
    corrected = _corrected(p) if p.size > 1 else ""
    if p.size > 1 and not corrected:
        least, corrected = min(1.0, least * cells), f"Bonferroni over {cells} cells"
    here = {dim: index for dim, index in cell.items() if dim in values.dims}
    value = float(values.isel(here)) if len(here) == values.ndim else np.nan
    return Finding(
        score=_label(scores, base),
        model=str(scores.attrs.get("model", "")),
        null=null,
        claim=claim,
        value=value,
        where=_where(p, cell, cells),
        p=least,
        corrected=corrected,
        difference=difference,
        ceiling=_ceiling(scores, base, cell),
    )


def _least(p: xr.DataArray, values: xr.DataArray, orientation: str) -> tuple[float, dict[str, int], int]:
    """Return the least p-value, its cell, and the number of defined cells; of equal ones the highest score's."""
    array = np.asarray(p.values, dtype=float)
    defined = ~np.isnan(array)
    cells = int(defined.sum())
    if cells == 0:
        # No p-value to choose by: the best score itself.
        array = np.where(np.isnan(values.values), np.nan, 0.0) if values.dims == p.dims else array
        defined = ~np.isnan(array)
    if not defined.any():
        return np.nan, dict.fromkeys(map(str, p.dims), 0), 0
    least = float(np.nanmin(array))
    best = np.asarray(values.values, dtype=float) if values.dims == p.dims else np.zeros(array.shape)
    best = best if orientation == "similarity" else -best
    place = np.unravel_index(int(np.argmax(np.where(array == least, best, -np.inf))), array.shape)
    cell = {str(dim): int(k) for dim, k in zip(p.dims, place, strict=True)}
    return (least if cells else np.nan), cell, cells


def _orientation(scores: xr.Dataset, base: str) -> str:
    return str(scores[base].attrs.get("orientation", scores.attrs.get("orientation", "similarity")))


def _corrected(p: xr.DataArray) -> str:
    """Return what a p-value says that it is corrected for; nothing where it does not say."""
    text = str(p.attrs.get("long_name", ""))
    if "licenses" in p.attrs:
        return text.removeprefix("p-value, ")
    found = re.search(r"corrected for [^,;]+", text) or re.search(r"[^,;]+ corrected for", text)
    return found[0].strip() if found else ""


def _label(scores: xr.Dataset, base: str) -> str:
    """Return the score's name with its measure, where the name does not say it."""
    measure = str(scores.attrs.get("metric", scores.attrs.get("measure", "")))
    method = str(scores.attrs.get("method", ""))
    if base not in OF_P or not measure:
        return base
    return f"{base} of {measure}" + (f" along the {method} map" if method else "")


def _where(p: xr.DataArray, cell: dict[str, int], cells: int) -> str:
    if not cell or p.size <= 1:
        return ""
    parts = []
    for dim, k in cell.items():
        label = p[dim].values[k] if dim in p.coords else k
        units = str(p[dim].attrs.get("units", "1"))
        text = f"{dim} {label:g}" if isinstance(label, float | int | np.number) else f"{dim} {label}"
        parts.append(text if units == "1" else f"{text} {units}")
    return f" at {', '.join(parts)}, of {cells} cells"


def _ceiling(scores: xr.Dataset, base: str, cell: dict[str, int]) -> float:
    """Return the ceiling at a cell, NaN where there is none."""
    name = f"{base}_ceiling"
    if name not in scores:
        return np.nan
    here = {dim: k for dim, k in cell.items() if dim in scores[name].dims}
    return float(scores[name].isel(here)) if len(here) == scores[name].ndim else np.nan
