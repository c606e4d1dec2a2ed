"""The map that is given, not fitted: block k is the time onset + k dt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cortexres.compare.alignment.mapping import Axes, Maps, at_times, check_inside
from cortexres.errors import ArgumentError


@dataclass(frozen=True)
class Fixed:
    """t = onset + k dt, for networks whose blocks are steps of a known size.

    Parameters
    ----------
    dt_ms : float, optional
        Time of a block in ms. The network's own ``t_ms`` by default, to which the onset is added.
    onset_ms : float
        Time of block 0 in ms.
    """

    dt_ms: float | None = None
    onset_ms: float = 0.0

    def __post_init__(self) -> None:
        if self.dt_ms is not None and not 0 < self.dt_ms < np.inf:
            raise ArgumentError(f"got dt_ms={self.dt_ms}, expected a positive duration of a block in ms")
        if not np.isfinite(self.onset_ms):
            raise ArgumentError(f"got onset_ms={self.onset_ms}, expected the time of block 0 in ms")

    @property
    def name(self) -> str:
        """Return the name of the method."""
        return "fixed"

    def maps(self, cost: np.ndarray, axes: Axes) -> Maps:
        """Return the same times for every draw.

        Raises
        ------
        ArgumentError
            If neither `dt_ms` nor the network says how long a block is, or the map is longer than the data.
        """
        if self.dt_ms is not None:
            times = self.onset_ms + self.dt_ms * axes.block
        elif axes.block_ms is not None:
            times = self.onset_ms + axes.block_ms
        else:
            raise ArgumentError(
                "Fixed: the network has no t_ms (time of each block), expected one, or Fixed(dt_ms=...)"
            )
        check_inside(times, axes, "Fixed")
        every = np.broadcast_to(times, (len(cost), times.size)).astype(float)
        return Maps(every, at_times(cost, axes.time, every))
