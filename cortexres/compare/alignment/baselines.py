"""The maps that the field gives to feedforward layers, without fitting any: baselines to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cortexres.compare.alignment.mapping import Axes, Maps
from cortexres.compare.alignment.soft_path import spread
from cortexres.compare.windows import Window
from cortexres.errors import ArgumentError


@dataclass(frozen=True)
class Uniform:
    """Equal shares of a window: its bins, in order, go to one block after the other, each to one block.

    Nayebi et al. (2022) map feedforward layers to 10 ms bins from 70 to 260 ms in a uniform or a graded fashion; what
    that is here is said here.

    Parameters
    ----------
    window : tuple of float, optional
        First and last bin centre in ms; all bins since onset by default.

    References
    ----------
    Nayebi, A. et al. (2022). Recurrent connections in the primate ventral visual stream mediate a trade-off between
    task performance and network size during core object recognition. Neural Computation 34, 1652-1675.
    doi:10.1162/neco_a_01506
    """

    window: Window | None = None

    @property
    def name(self) -> str:
        """Return the name of the method."""
        return "uniform"

    def maps(self, cost: np.ndarray, axes: Axes) -> Maps:
        """Return the same shares for every draw.

        Raises
        ------
        ArgumentError
            If the window is not in the recording, or has fewer bins than there are blocks.
        """
        bins = _bins(axes, self.window, "Uniform")
        blocks = axes.block.size
        shares = np.zeros((axes.time.size, blocks))
        shares[bins, np.arange(bins.size) * blocks // bins.size] = 1.0
        return _same(shares, cost, axes)


@dataclass(frozen=True)
class Graded:
    """A gradual passage through a window: every bin is shared by the two blocks between which it lies.

    The first bin belongs to the first block, the last to the last, and the weights are linear between.

    Parameters
    ----------
    window : tuple of float, optional
        First and last bin centre in ms; all bins since onset by default.

    References
    ----------
    Nayebi, A. et al. (2022), as in `Uniform`.
    """

    window: Window | None = None

    @property
    def name(self) -> str:
        """Return the name of the method."""
        return "graded"

    def maps(self, cost: np.ndarray, axes: Axes) -> Maps:
        """Return the same shares for every draw.

        Raises
        ------
        ArgumentError
            If the window is not in the recording, or has fewer bins than there are blocks.
        """
        bins = _bins(axes, self.window, "Graded")
        blocks = axes.block.size
        place = np.arange(bins.size) / max(bins.size - 1, 1) * (blocks - 1)
        shares = np.zeros((axes.time.size, blocks))
        shares[bins] = np.maximum(1 - np.abs(place[:, None] - np.arange(blocks)), 0.0)
        return _same(shares, cost, axes)


def _bins(axes: Axes, window: Window | None, what: str) -> np.ndarray:
    """Return the positions along time of the bins in a window."""
    first, last = window or (max(0.0, float(axes.time[0])), float(axes.time[-1]))
    half = axes.bin_ms / 2
    if first < axes.time[0] - half or last > axes.time[-1] + half or first > last:
        raise ArgumentError(
            f"{what}: the window {first:g}..{last:g} ms is not within the recording's bins at {axes.time[0]:g}.."
            f"{axes.time[-1]:g} ms; choose one inside"
        )
    bins = np.flatnonzero((axes.time >= first) & (axes.time <= last))
    if bins.size < axes.block.size:
        raise ArgumentError(
            f"{what}: the window {first:g}..{last:g} ms holds {bins.size} bins for {axes.block.size} blocks, expected"
            " at least one for each; use a longer window, finer bins or fewer blocks"
        )
    return bins


def _same(shares: np.ndarray, cost: np.ndarray, axes: Axes) -> Maps:
    """Return the map of shares (time, block), brought to a sum of 1 in each block, for every draw."""
    every = np.broadcast_to(shares / shares.sum(axis=0), cost.shape)
    return spread(every, cost, axes.time)
