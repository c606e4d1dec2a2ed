"""Where a cell's presynaptic partners may lie: the profile of a projection over assemblies, or over single cells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cortexres.definitions import Population, Profile, Projection, ring_weight


@dataclass(frozen=True)
class Places:
    """Positions on a ring, `size` cells in each: the assemblies of a population, or the cells of a single assembly."""

    count: int
    size: int

    @property
    def cells(self) -> int:
        """Cells of all places."""
        return self.count * self.size


class Summary(NamedTuple):
    """Of the weights of each target place, as arrays (target place,): their sum, largest, and number above 0."""

    total: NDArray[np.float64]
    largest: NDArray[np.float64]
    admitted: NDArray[np.int64]


class Partners:
    """The weight of every source place for every target place: the profile, and 0 where the matrix is 0.

    A profile that depends on position is one of assemblies where a population has several, and of single cells where
    it is one assembly. The table (target place, source place) can be larger than the synapses: it is made row by row.
    """

    def __init__(self, projection: Projection, source: Population, target: Population) -> None:
        self.profile: Profile = projection.profile
        positional = self.profile.kind not in ("uniform", "same")
        self.target, self.source = (_places(p, single_cells=positional) for p in (target, source))
        #: True where the weight is the same for all pairs of cells.
        self.flat = self.profile.kind == "uniform" and all(v != 0 for row in projection.matrix for v in row)
        self.by_cell = positional and 1 in (source.assemblies, target.assemblies)
        self._admitted: NDArray[np.bool_] | None = None
        if any(v == 0 for row in projection.matrix for v in row):
            # A population that is one assembly has one row or column, whatever the number of its places.
            shape = (self.target.count, self.source.count)
            self._admitted = np.broadcast_to(np.asarray(projection.matrix) != 0, shape)
        # The rows of two rings of cells repeat, shifted: with as many cells on both sides, all are shifts of the first.
        shifted = self.by_cell and self._admitted is None
        self.repeats = math.gcd(self.target.count, self.source.count) if shifted else 1
        self.distinct = self.target.count // self.repeats
        self.shift = self.source.count // self.repeats

    def row(self, place: int) -> NDArray[np.float64]:
        """The weights of the source places for the target place `place`, not normalised."""
        position = place / self.target.count - np.arange(self.source.count) / self.source.count
        weight = ring_weight(self.profile, position)
        return weight if self._admitted is None else weight * self._admitted[place]

    def weight(self, target: NDArray[np.int32], source: NDArray[np.int32]) -> NDArray[np.float64]:
        """The weight of each pair of cells."""
        at, of = target // self.target.size, source // self.source.size
        weight = ring_weight(self.profile, at / self.target.count - of / self.source.count)
        return weight if self._admitted is None else weight * self._admitted[at, of]

    def admits(self, target: NDArray[np.int32], source: NDArray[np.int32]) -> NDArray[np.bool_]:
        """True for each pair of cells whose entry of the matrix is not 0."""
        if self._admitted is None:
            return np.ones(len(target), dtype=np.bool_)
        found: NDArray[np.bool_] = self._admitted[target // self.target.size, source // self.source.size]
        return found

    @cached_property
    def summary(self) -> Summary:
        """Sum, largest and number above 0 of every row."""
        if self.flat:  # by far the most frequent case, and the one with the most rows
            one = np.ones(self.target.count)
            return Summary(one * self.source.count, one, one.astype(np.int64) * self.source.count)
        found = np.array([(w.sum(), w.max(), np.count_nonzero(w)) for w in map(self.row, range(self.distinct))])
        total, largest, admitted = np.tile(found, (self.repeats, 1)).T
        return Summary(total, largest, admitted.astype(np.int64))

    def scale(self) -> NDArray[np.float64]:
        """What makes weights relative, (target place,): to their mean over admitted partners if normalised, else 1."""
        if not self.profile.normalised:
            return np.ones(self.target.count)
        total, _, admitted = self.summary
        return np.divide(admitted, total, out=np.zeros_like(total), where=total > 0)


def _places(population: Population, *, single_cells: bool) -> Places:
    if single_cells and population.assemblies == 1:
        return Places(population.size, 1)
    return Places(population.assemblies, population.size)
