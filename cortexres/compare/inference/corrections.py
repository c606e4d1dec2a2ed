"""Ways to test every cell of a map at once, and what a small p-value of each allows one to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from cortexres.compare.nulls.exceedance import p_value
from cortexres.errors import ArgumentError


class Correction(Protocol):
    """A way to turn an observed map and its permutations into p-values, as a frozen dataclass of its options."""

    @property
    def name(self) -> str:
        """Names the variable of p-values."""

    @property
    def licenses(self) -> str:
        """What may be said of the cells whose p-value is small, and what not."""

    def p(self, observed: np.ndarray, null: np.ndarray) -> np.ndarray:
        """Return p-values (time, block) of similarities, those of the permutations being (draw, time, block)."""


def cell_p(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Return the p-value of each cell alone, (time, block): right for one cell chosen before the data were seen."""
    reach = np.sum(~(null < observed - 1e-12), axis=0)  # an undefined draw counts as reaching
    return np.where(np.isnan(observed), np.nan, (1.0 + reach) / (1.0 + len(null)))


@dataclass(frozen=True)
class MaxStatistic:
    """Each cell against the largest value of the permuted maps (Westfall & Young 1993): any likeness of cells is in."""

    @property
    def name(self) -> str:
        """Return the name."""
        return "max"

    @property
    def licenses(self) -> str:
        """Return what it licenses."""
        return (
            "each cell with p below the level: brain at that time and network at that block are related; the chance of"
            " one or more false cells in the whole map is below the level"
        )

    def p(self, observed: np.ndarray, null: np.ndarray) -> np.ndarray:
        """Return p-values (time, block), corrected for the whole map."""
        return p_value(observed, null, "similarity")


@dataclass(frozen=True)
class FalseDiscoveryRate:
    """Each cell's own p-value, adjusted so that the expected share of false cells among those found is bounded.

    The least p-value of a cell is 1 / (permutations + 1), and of a lone cell it is multiplied by the number of cells:
    fewer permutations than cells / level find broad effects only.

    Parameters
    ----------
    method : {"bh", "by"}
        Benjamini & Hochberg (1995), for cells that are independent or positively related, as neighbouring times and
        blocks are; or Benjamini & Yekutieli (2001), for any relation, at the price of a factor of about log(cells).

    References
    ----------
    Benjamini, Y., Hochberg, Y. (1995). J. R. Stat. Soc. B 57, 289-300. doi:10.1111/j.2517-6161.1995.tb02031.x
    Benjamini, Y., Yekutieli, D. (2001). Annals of Statistics 29, 1165-1188. doi:10.1214/aos/1013699998
    """

    method: Literal["bh", "by"] = "bh"

    def __post_init__(self) -> None:
        if self.method not in ("bh", "by"):
            raise ArgumentError(f"got method={self.method!r}, expected 'bh' or 'by'")

    @property
    def name(self) -> str:
        """Return the name."""
        return f"fdr_{self.method}"

    @property
    def licenses(self) -> str:
        """Return what it licenses."""
        assumed = " where cells are independent or positively related" if self.method == "bh" else ""
        return (
            "the set of all cells with p below the level: at most that share of them is false on average"
            f"{assumed}; nothing about any one cell, or about the first or last of them"
        )

    def p(self, observed: np.ndarray, null: np.ndarray) -> np.ndarray:
        """Return adjusted p-values (time, block)."""
        from scipy.stats import false_discovery_control  # half a second to import

        cells = cell_p(observed, null)
        defined = ~np.isnan(cells)
        if defined.any():
            cells[defined] = false_discovery_control(cells[defined], method=self.method)
        return cells
