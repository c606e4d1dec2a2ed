"""What of the brain a ceiling is of: its state, or its velocity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr

from cortexres.compare.pairing import float_values
from cortexres.errors import ArgumentError

Of = Literal["state", "velocity"]


@dataclass(frozen=True)
class Quantity:
    """Single trials of what a ceiling is of, and the times they are at.

    Parameters
    ----------
    trials : numpy.ndarray
        (stimulus, trial, time, unit).
    time : xarray.Variable
        Bin centres, or for a velocity the middles between the bins that it is the difference of.
    lag_ms : float
        Time between those two bins; 0 for a state.
    """

    trials: np.ndarray
    time: xr.Variable
    lag_ms: float

    @property
    def after_onset(self) -> np.ndarray:
        """Mask over time."""
        return np.asarray(self.time.values >= 0)


def quantity(brain: xr.Dataset, of: Of, lag: int) -> Quantity:
    """Return the state or the velocity of the brain, trial by trial.

    The velocity is the difference of two bins `lag` bins apart over their distance, per ms, at the time in the middle:
    the form in which the update of a network averaged over the same bins comes.

    Raises
    ------
    ArgumentError
        If it is neither, or `lag` is not in 1..T-1 bins.
    """
    if of not in ("state", "velocity"):
        raise ArgumentError(f"got of={of!r}, expected 'state' or 'velocity'")
    trials, time = float_values(brain["response"]), float_values(brain["time"])
    if of == "state":
        return Quantity(trials, brain["time"].variable.to_base_variable(), 0.0)
    if not 1 <= lag < time.size:
        raise ArgumentError(
            f"got lag={lag} with {time.size} time bins, expected 1..{time.size - 1} bins between the two that a"
            " velocity is the difference of"
        )
    steps = time[lag:] - time[:-lag]
    velocity = (trials[:, :, lag:] - trials[:, :, :-lag]) / steps[:, None]
    middles = xr.Variable(("time",), (time[lag:] + time[:-lag]) / 2, dict(brain["time"].attrs))
    return Quantity(velocity, middles, float(steps.mean()))
