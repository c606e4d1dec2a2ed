"""The ceiling over subjects of whom there are matrices of dissimilarities, and no activity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from cortexres.compare.measures.pair_comparisons import PairComparison, pearson, rho_a, spearman
from cortexres.compare.measures.pair_ranks import rank_pairs
from cortexres.errors import ArgumentError

PAIR_DIMS = ("stimulus", "stimulus_2")
# Their subjects are averaged as ranks; those of the others, divided by what the comparison divides by.
BY_RANK = (spearman, rho_a)


def dissimilarity_ceiling(
    dissimilarities: xr.DataArray, *, comparison: PairComparison | Callable[[Any, Any], Any] = pearson
) -> xr.Dataset:
    """Return the lower and upper noise ceiling over subjects (Nili et al. 2014) of dissimilarities.

    ``lower`` is the mean over subjects of the comparison with the mean of the others, ``each`` (subject) its values,
    and ``upper`` that with the mean of all, themselves included; over whatever further dims there are, such as time.
    For the mean, dissimilarities are made comparable between subjects: as ranks where the comparison is one of ranks
    (Kendall's tau too, for which their mean is only near to the best), and by their size otherwise.

    Parameters
    ----------
    dissimilarities : xarray.DataArray
        (subject, ..., stimulus, stimulus_2), symmetric.
    comparison : PairComparison or callable
        Maps matrices (k, n, n) and (l, n, n) to values (k, l): one of `measures.pair_comparisons`, or `tau_a` or
        `tau_b`.

    Raises
    ------
    ArgumentError
        If the dims are others, or there are fewer than two subjects.

    References
    ----------
    Nili, H. et al. (2014). A toolbox for representational similarity analysis. PLoS Computational Biology
    10:e1003553. doi:10.1371/journal.pcbi.1003553
    """
    dims = tuple(str(dim) for dim in dissimilarities.dims)
    if dims[:1] != ("subject",) or dims[-2:] != PAIR_DIMS or dissimilarities.sizes["subject"] < 2:
        raise ArgumentError(
            f"got dissimilarities with sizes {dict(dissimilarities.sizes)}, expected (subject, ..., stimulus,"
            " stimulus_2) with two or more subjects; join them with xarray.concat(..., 'subject') and transpose"
        )
    values = np.asarray(dissimilarities.values, dtype=float)
    between = values.shape[1:-2]
    flat = values.reshape(len(values), -1, *values.shape[-2:])
    each = np.stack([_leave_one_out(flat[:, k], comparison) for k in range(flat.shape[1])], axis=1)
    upper = np.stack([_to_mean(flat[:, k], comparison) for k in range(flat.shape[1])], axis=1)
    coords = {name: c for name, c in dissimilarities.coords.items() if not set(c.dims) & set(PAIR_DIMS)}
    meanings = {
        "lower": (dims[1:-2], each.mean(axis=0).reshape(between), "mean of the comparison with the mean of the others"),
        "upper": (dims[1:-2], upper.mean(axis=0).reshape(between), "mean of the comparison with the mean of all"),
        "each": (dims[:-2], each.reshape(len(values), *between), "comparison of each with the mean of the others"),
    }
    variables = {
        name: xr.Variable(over, array, {"units": "1", "long_name": text, "undefined": _undefined(array)})
        for name, (over, array, text) in meanings.items()
    }
    attrs = {
        "measure": str(getattr(comparison, "name", getattr(comparison, "__name__", comparison))),
        "orientation": "similarity",
        "n_subjects": len(values),
        "n_stimuli": dissimilarities.sizes["stimulus"],
    }
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def _leave_one_out(subjects: np.ndarray, comparison: PairComparison | Callable[[Any, Any], Any]) -> np.ndarray:
    """Return each subject's (n, n) against the mean of the others, (subject,)."""
    ready = _comparable(subjects, comparison)
    others = (ready.sum(axis=0) - ready) / (len(ready) - 1)
    pairs = zip(subjects, others, strict=True)
    return np.array([comparison(one[None], mean[None])[0, 0] for one, mean in pairs])


def _to_mean(subjects: np.ndarray, comparison: PairComparison | Callable[[Any, Any], Any]) -> np.ndarray:
    """Return each subject's (n, n) against the mean of all, (subject,)."""
    return np.asarray(comparison(subjects, _comparable(subjects, comparison).mean(axis=0)[None])[:, 0])


def _comparable(subjects: np.ndarray, comparison: PairComparison | Callable[[Any, Any], Any]) -> np.ndarray:
    """Return dissimilarities (subject, n, n) in the same currency for all subjects."""
    if not isinstance(comparison, PairComparison) or comparison in BY_RANK:
        return np.asarray(rank_pairs(subjects))
    sizes = comparison.size(subjects, comparison.relation(subjects))[..., None]
    scaled: np.ndarray = subjects / np.where(sizes > 0, sizes, np.nan)
    return scaled


def _undefined(values: np.ndarray) -> str:
    return "where a subject's dissimilarities are all the same, or not known" if np.isnan(values).any() else ""
