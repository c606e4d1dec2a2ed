"""Null hypotheses: stimuli in another order, and a trace that does not move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from cortexres.compare.windows import Window, bin_width, in_window, late_window
from cortexres.errors import ArgumentError
from cortexres.schema import check_brain


@dataclass(frozen=True)
class StimulusNull:
    """A way to break the pairing of the brain's stimuli with the network's.

    Parameters
    ----------
    name : str
        Goes into the attributes of the scores.
    draw : callable
        ``draw(rng, draws, n)`` returns orders of the stimuli, (draws, n) integers.
    """

    name: str
    draw: Callable[[np.random.Generator, int, int], np.ndarray]

    def orders(self, n: int, *, draws: int, rng: np.random.Generator) -> np.ndarray:
        """Return `draws` orders of `n` stimuli, (draws, n).

        Raises
        ------
        ArgumentError
            If `draws` is below 1.
        """
        if draws < 1:
            raise ArgumentError(f"got permutations={draws}, expected at least 1 (500 for p-values down to 0.002)")
        return self.draw(rng, draws, n)


def _permutations(rng: np.random.Generator, draws: int, n: int) -> np.ndarray:
    return rng.permuted(np.broadcast_to(np.arange(n), (draws, n)), axis=1)


permute_stimuli = StimulusNull("permute_stimuli", _permutations)
"""Every order of the stimuli is as likely as the true one: which stimulus the network saw does not matter.

One order serves the whole map, so that the likeness of neighbouring times and blocks is in the null as well.
"""


def exceedance(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Return (1 + number of null values that reach the observed) / (1 + draws), NaN where that is NaN.

    The 1 counts the true order as one of the permutations; without it a p-value of 0 would be possible, and
    the test would reject too often (Phipson & Smyth 2010, doi:10.2202/1544-6115.1585). The tolerance keeps an
    order that repeats the observed value (the identity) from falling below it by rounding.

    Parameters
    ----------
    observed : numpy.ndarray
        Any shape.
    null : numpy.ndarray
        (draws,).
    """
    ordered = np.sort(null)
    reach = null.size - np.searchsorted(ordered, np.asarray(observed) - 1e-12, side="left")
    return np.where(np.isnan(observed), np.nan, (1.0 + reach) / (1.0 + null.size))


def constant_trace(brain: xr.Dataset, *, late: Window | None = None) -> xr.DataArray:
    """Return the final rates held from onset on, (stimulus, time, unit): a prediction that has no dynamics.

    It is an oracle, made of the very data that it is scored on, so a network that only reaches the right
    steady states comes close to it at most.

    Parameters
    ----------
    brain : xarray.Dataset
        Brain Dataset.
    late : tuple of float, optional
        First and last bin centre in ms whose mean is the final rate; the last half of the time since onset by
        default.
    """
    check_brain(brain)
    rates = brain["response"].mean("trial", keep_attrs=True)
    window = late or late_window(brain["time"], bin_width(brain))
    final = rates.isel(time=in_window(brain["time"], window, "late")).mean("time")
    after = rates.isel(time=in_window(brain["time"], (0.0, np.inf), "time since onset"))
    return final.broadcast_like(after).transpose("stimulus", "time", "unit").assign_attrs(rates.attrs)
