"""The mean squared difference of states in the same units: where on the brain's course is the network's state?"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from cortexres.compare.measures.measure import Measure
from cortexres.compare.measures.relations import ROUNDING_OF_RELATIONS
from cortexres.errors import ArgumentError


def _flat(activity: Any) -> Any:
    return activity


def _mean_squares(a: Any, b: Any) -> Any:
    """Return mean squared differences (k, l) of states (k, n, p) and (l, n, p)."""
    xp = array_namespace(a, b)
    if a.shape[1:] != b.shape[1:]:
        raise ArgumentError(
            f"state_distance: got {tuple(a.shape[1:])} and {tuple(b.shape[1:])} stimuli and units, expected the same;"
            " compare states of other units by linear_cka or rsa"
        )
    size = a.shape[1] * a.shape[2]
    x, y = xp.reshape(a, (-1, size)), xp.reshape(b, (-1, size))
    # What both have in common cancels from the difference, and would cost digits in the products.
    common = xp.mean(y, axis=0, keepdims=True)
    x, y = x - common, y - common
    squares = xp.sum(x * x, axis=1)[:, None] + xp.sum(y * y, axis=1)[None, :]
    values = squares - 2 * xp.matmul(x, xp.matrix_transpose(y))
    rounding = ROUNDING_OF_RELATIONS * xp.finfo(values.dtype).eps
    return xp.where(values <= rounding * squares, xp.zeros_like(values), values) / size


state_distance = Measure(
    "state_distance", _flat, _mean_squares, orientation="distance", minimum_stimuli=1, chance_is_zero=False
)
"""Mean over stimuli and units of the squared difference of two states: 0 where they are the same state.

Unlike the measures of geometry it sees how far a response has come, so that it tells times apart at which the relations
of the stimuli are the same. It needs the same units on both sides, in the same unit of measurement.

Trial noise adds the variance of the mean to it. Where that is the same at all times no map is moved. Where it grows
with the rate, as with counts of spikes, times of low rates look nearer: blocks come out 7 to 12 ms too early with 30
single cells, bins of 5 ms, 10 trials and rates that rise from 5 to 5-65 Hz with 20 ms, and the interval, which is over
stimuli, does not show it. Average over populations, take more trials or wider bins, or use a measure of geometry.
"""
