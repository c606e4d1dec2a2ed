"""When each block is most like the brain, or begins to be: one latency per block of every map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cortexres.errors import ArgumentError


class Latency(Protocol):
    """A way to read a time off the curve of each block, as a frozen dataclass of its options."""

    @property
    def name(self) -> str:
        """Goes into the attributes of the result."""

    def of(self, maps: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Return latencies in ms, (draw, block), of similarities (draw, time, block); NaN where undefined."""


@dataclass(frozen=True)
class Peak:
    """The time of the largest similarity, between bins by the parabola through it and its two neighbours."""

    @property
    def name(self) -> str:
        """Return the name."""
        return "peak"

    def of(self, maps: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Return peak latencies in ms, (draw, block)."""
        filled, top, height = _tops(maps)
        inner = (top > 0) & (top < time.size - 1)
        before, after = (_at(filled, np.clip(top + step, 0, time.size - 1)) for step in (-1, 1))
        usable = inner & np.isfinite(before) & np.isfinite(after)
        before, after, top_height = (np.where(usable, values, 0.0) for values in (before, after, height))
        bend = before + after - 2 * top_height
        shift = np.where(bend < 0, (before - after) / np.where(bend < 0, 2 * bend, 1.0), 0.0)
        width = np.where(shift > 0, time[np.clip(top + 1, 0, time.size - 1)] - time[top], time[top] - time[top - 1])
        return np.where(np.isfinite(height), time[top] + shift * np.where(inner, width, 0.0), np.nan)


@dataclass(frozen=True)
class Onset:
    """The time before the peak from which on the similarity stays above a fraction of its height.

    The height is counted from the lowest similarity of the block. Where it never was below, the first time stands for
    the onset.

    Parameters
    ----------
    fraction : float
        Between 0 and 1.

    References
    ----------
    Kiesel, A., Miller, J., Jolicoeur, P., Brisson, B. (2008). Measurement of ERP latency differences: a comparison of
    single-participant and jackknife-based scoring methods. Psychophysiology 45, 250-274.
    doi:10.1111/j.1469-8986.2007.00618.x
    """

    fraction: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.fraction < 1:
            raise ArgumentError(f"got fraction={self.fraction}, expected a share of the peak between 0 and 1")

    @property
    def name(self) -> str:
        """Return the name."""
        return f"onset at {self.fraction:g} of the peak"

    def of(self, maps: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Return onset latencies in ms, (draw, block)."""
        filled, top, height = _tops(maps)
        lowest = np.where(np.isnan(maps), np.inf, maps).min(axis=1)
        rises = np.isfinite(height) & (height > lowest)
        low_end, high_end = (np.where(rises, end, 0.0) for end in (lowest, height))
        level = low_end + self.fraction * (high_end - low_end)
        steps = np.arange(time.size)[None, :, None]
        below = (filled < level[:, None]) & (steps < top[:, None])
        last = np.where(below, steps, -1).max(axis=1)
        low = np.maximum(last, 0)
        here, there = _at(filled, low), _at(filled, np.minimum(low + 1, time.size - 1))
        usable = (last >= 0) & np.isfinite(here)
        here, there = (np.where(usable & np.isfinite(there), values, 0.0) for values in (here, there))
        share = np.where(there > here, (level - here) / np.where(there > here, there - here, 1.0), 0.0)
        onset = time[low] + share * (time[np.minimum(low + 1, time.size - 1)] - time[low])
        return np.where(rises, onset, np.nan)


def _tops(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return maps with -inf for NaN, and position and value of the largest along time, (draw, block)."""
    filled = np.where(np.isnan(maps), -np.inf, maps)
    top = filled.argmax(axis=1)
    return filled, top, _at(filled, top)


def _at(maps: np.ndarray, position: np.ndarray) -> np.ndarray:
    values: np.ndarray = np.take_along_axis(maps, position[:, None], axis=1)[:, 0]
    return values
