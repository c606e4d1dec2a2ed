"""What every null offers, and how two of them are joined by ``&``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import xarray as xr

Pair = tuple[xr.Dataset, xr.Dataset]


class Null(Protocol):
    """A way to make brain and network as they would be if one thing did not matter."""

    @property
    def name(self) -> str:
        """Names the null in the scores; letters, digits and underscores."""

    @property
    def claim(self) -> str:
        """What is shown by a score that the null hardly ever reaches, and no more than that."""

    @property
    def random(self) -> bool:
        """Whether draws differ. If not, there is one value to stand beside the score, and no p-value."""

    def draw(self, brain: xr.Dataset, network: xr.Dataset, rng: np.random.Generator) -> Pair:
        """Return brain and network under the null; what it does not touch is handed through."""


def both(first: Null, second: Null) -> Composed:
    """Return the null of two things that do not matter: `first` is drawn, then `second` from what came out."""
    return Composed(first, second)


@dataclass(frozen=True)
class Composed:
    """Two nulls, one after the other. It destroys more, so a low p-value says less than that of either alone."""

    first: Null
    second: Null

    @property
    def name(self) -> str:
        """Both names."""
        return f"{self.first.name}_and_{self.second.name}"

    @property
    def claim(self) -> str:
        """Both claims, of which one or the other is shown."""
        return f"at least one of two: {self.first.claim}; or {self.second.claim}"

    @property
    def random(self) -> bool:
        """Whether one of the two is random."""
        return self.first.random or self.second.random

    def draw(self, brain: xr.Dataset, network: xr.Dataset, rng: np.random.Generator) -> Pair:
        """Return brain and network under both nulls."""
        return self.second.draw(*self.first.draw(brain, network, rng), rng)

    __and__ = both
