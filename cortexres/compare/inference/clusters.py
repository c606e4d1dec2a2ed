"""Clusters of neighbouring cells that are each higher than the permutations allow, tested by their mass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from cortexres.compare.nulls.exceedance import exceedance
from cortexres.errors import ArgumentError

# Neighbours within a map: the time before and after, the block before and after; never another draw.
NEIGHBOURS = np.zeros((3, 3, 3), dtype=bool)
NEIGHBOURS[1] = ndimage.generate_binary_structure(2, 1)


@dataclass(frozen=True)
class Clusters:
    """Clusters of cells above a threshold, against the largest cluster of each permutation (Maris & Oostenveld 2007).

    A cell is above the threshold where fewer than a share `threshold` of all orders, the true one among them, give as
    much; its mass is its distance from their mean in standard deviations. Threshold and mass treat the true order as
    one of many, so that the test keeps its level for any threshold.

    Parameters
    ----------
    threshold : float
        Share of the orders, between 0 and 1. It chooses what is looked for (a low one broad and faint clusters),
        and has to be chosen before the result is seen.

    References
    ----------
    Maris, E., Oostenveld, R. (2007). Nonparametric statistical testing of EEG- and MEG-data. J. Neurosci. Methods
    164, 177-190. doi:10.1016/j.jneumeth.2007.03.024
    Sassenhagen, J., Draschkow, D. (2019). Cluster-based permutation tests of MEG/EEG data do not establish significance
    of effect latency or location. Psychophysiology 56, e13335. doi:10.1111/psyp.13335
    """

    threshold: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ArgumentError(f"got threshold={self.threshold}, expected a share of the permutations between 0 and 1")

    @property
    def name(self) -> str:
        """Return the name."""
        return "cluster"

    @property
    def licenses(self) -> str:
        """Return what it licenses."""
        return (
            "where any cluster has p below the level: brain and network are related somewhere in the map; not where the"
            " cluster begins or ends, nor that a given cell of it is related"
        )

    def p(self, observed: np.ndarray, null: np.ndarray) -> np.ndarray:
        """Return the p-value of the cluster that each cell is in, (time, block); 1 outside, NaN where undefined."""
        maps = np.concatenate([observed[None], null])
        defined = ~np.isnan(maps).any(axis=0)
        spread = np.where(defined, maps.std(axis=0), 1.0)
        excess = (maps - maps.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        limit = np.quantile(maps, 1 - self.threshold, axis=0, method="higher")
        above = defined & (maps >= limit) & (spread > 0) & (excess > 0)
        labels, count = ndimage.label(above, structure=NEIGHBOURS)
        masses = np.bincount(labels.ravel(), weights=np.where(above, excess, 0.0).ravel(), minlength=count + 1)
        masses[0] = 0.0
        largest = masses[labels].reshape(len(maps), -1).max(axis=1)
        p = np.where(labels[0] > 0, exceedance(masses[labels[0]], largest[1:]), 1.0)
        return np.where(np.isnan(observed), np.nan, p)
