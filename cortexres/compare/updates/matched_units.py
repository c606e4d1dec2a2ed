"""How alike two activities are where their units are the same, unit by unit: a cosine, and one of what is specific."""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from cortexres.compare.measures.measure import Measure
from cortexres.compare.measures.relations import centre_stimuli
from cortexres.errors import ArgumentError


def _directed(activity: Any) -> Any:
    """Return activity (k, n, p) of norm 1 over stimuli and units together; NaN where it is 0."""
    xp = array_namespace(activity)
    norms = xp.sqrt(xp.sum(activity * activity, axis=(-2, -1), keepdims=True))
    return activity / xp.where(norms > 0, norms, xp.full_like(norms, float("nan")))


def _specific(activity: Any) -> Any:
    return _directed(centre_stimuli(activity))


def _inner(a: Any, b: Any) -> Any:
    xp = array_namespace(a, b)
    if a.shape[1:] != b.shape[1:]:
        raise ArgumentError(
            f"got {tuple(a.shape[1:])} and {tuple(b.shape[1:])} stimuli and units, expected the same of both: a cosine"
            " needs the same units; compare others by relations between stimuli (rsa, linear_cka)"
        )
    rows, columns = (xp.reshape(x, (x.shape[0], -1)) for x in (a, b))
    return xp.matmul(rows, xp.matrix_transpose(columns))


matched_cosine = Measure("cosine", _directed, _inner, minimum_stimuli=1)
"""Cosine of two activities of the same units, over stimuli and units; what all stimuli share counts, as at onset."""

matched_specific = Measure("specific", _specific, _inner, minimum_stimuli=2)
"""The same after taking the mean over stimuli from each unit: only what tells stimuli apart counts."""
