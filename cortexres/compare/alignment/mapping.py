"""What an alignment method gets, a cost for every time and block, and what it returns, a time for every block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from cortexres.errors import ArgumentError


@dataclass(frozen=True)
class Axes:
    """Where the cells of a cost map are.

    Parameters
    ----------
    time : numpy.ndarray
        Bin centres in ms, (time,), increasing.
    bin_ms : float
        Width of the bins in ms.
    block : numpy.ndarray
        Numbers of the blocks that have a cost, (block,).
    block_ms : numpy.ndarray, optional
        The network's own times of these blocks in ms, (block,), where it has them.
    """

    time: np.ndarray
    bin_ms: float
    block: np.ndarray
    block_ms: np.ndarray | None = None


@dataclass(frozen=True)
class Maps:
    """One map per draw: the time of each block, and what it costs there.

    Parameters
    ----------
    times : numpy.ndarray
        ms, (draw, block); NaN where a draw has no map.
    costs : numpy.ndarray
        Cost of each block on its map, (draw, block); NaN or infinite where undefined.
    path : tuple of numpy.ndarray, optional
        Positions along time and along block of the steps of the first draw's path, both (step,).
    weights : numpy.ndarray, optional
        Share of each time in each block of the first draw, (time, block), for maps that spread over times.
    parameters : mapping of str to numpy.ndarray
        What else the method estimates, each (draw,).
    """

    times: np.ndarray
    costs: np.ndarray
    path: tuple[np.ndarray, np.ndarray] | None = None
    weights: np.ndarray | None = None
    parameters: Mapping[str, np.ndarray] = field(default_factory=dict)


class Method(Protocol):
    """A way to give each block a time, as a frozen dataclass whose fields are its options."""

    @property
    def name(self) -> str:
        """Goes into the attributes of the result."""

    def maps(self, cost: np.ndarray, axes: Axes) -> Maps:
        """Return one map per draw of `cost` (draw, time, block); infinite where a cell cannot be used."""


def at_times(cost: np.ndarray, time: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the cost at times between the bins, linear from centre to centre, in the shape of `at`.

    Linear, because the value between two bins is then never better than that of the better one. Times before the
    first and after the last centre have the value of that bin.

    Parameters
    ----------
    cost : numpy.ndarray
        (draw, time, block).
    time : numpy.ndarray
        Bin centres in ms, (time,).
    at : numpy.ndarray
        ms, (draw, ..., block); NaN gives NaN.
    """
    low, share = between(time, at)
    first, second = (_picked(cost, k) for k in (low, np.minimum(low + 1, time.size - 1)))
    # An infinite neighbour of weight 0 must not count: 0 times infinity is not a number.
    values = (1 - share) * np.where(share < 1, first, 0.0) + share * np.where(share > 0, second, 0.0)
    return np.where(np.isnan(at), np.nan, values)


def between(time: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the position of the bin centre at or before each time, and the share of the way to the next, 0..1."""
    safe = np.where(np.isnan(at), time[0], at)
    low = np.clip(np.searchsorted(time, safe, side="right") - 1, 0, max(time.size - 2, 0))
    if time.size == 1:
        return low, np.zeros(safe.shape)
    share = np.clip((safe - time[low]) / (time[low + 1] - time[low]), 0.0, 1.0)
    return low, share


def check_inside(times: np.ndarray, axes: Axes, what: str) -> None:
    """Raise where a map leaves the data: where a time lies outside all bins.

    Raises
    ------
    ArgumentError
        Then.
    """
    first, last = axes.time[0] - axes.bin_ms / 2, axes.time[-1] + axes.bin_ms / 2
    tolerance = 1e-9 * max(abs(first), abs(last), 1.0)
    if np.min(times) < first - tolerance or np.max(times) > last + tolerance:
        raise ArgumentError(
            f"{what}: the map spans {np.min(times):g}..{np.max(times):g} ms, expected times within the recording"
            f" ({first:g}..{last:g} ms); record longer, or leave blocks out"
        )


def _picked(cost: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return ``cost[draw, index, block]`` for positions along time (draw, ..., block)."""
    draws, _, blocks = cost.shape
    inner = (1,) * (index.ndim - 2)
    picked: np.ndarray = cost[
        np.arange(draws).reshape(draws, *inner, 1), index, np.arange(blocks).reshape(1, *inner, blocks)
    ]
    return picked
