"""The brain's time course moved round in a circle: does it matter when it is in a state?"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from cortexres.compare.nulls.null import Pair, both
from cortexres.errors import ArgumentError


@dataclass(frozen=True)
class CircularShift:
    """The brain's time bins moved on by a random number, those that fall off the end coming back at the start.

    One shift serves all stimuli, trials and units, so all that the brain has within itself is kept: its states,
    their relations, their order and their smoothness (but for the seam). Every shift is as likely, none included,
    which makes the p-value exact; with T bins there are T shifts, so p-values below 1/T say no more than 1/T.

    A baseline makes the null an easy one, since a shift moves it to the times of the blocks: of 400 recordings whose
    activity did not change at all after the onset, 3, 7 and 20 % had p <= .05 with 0, 2 and 10 of 30 bins before it.
    Select the times since the onset where more than the answer to it is to be shown.

    A score that has no regard for time, as the largest value of a time x block map, is the same for every shift.
    """

    name: str = "circular_shift"
    claim: str = "the brain's states come at the times that the network's blocks stand for"
    random: bool = field(default=True, init=False)

    def draw(self, brain: xr.Dataset, network: xr.Dataset, rng: np.random.Generator) -> Pair:
        """Return the brain with its time moved round, and the network as it is.

        Raises
        ------
        ArgumentError
            If the bins are not evenly spaced, or there is only one.
        """
        check_even(brain)
        shift = int(rng.integers(brain.sizes["time"]))
        moved = {
            str(name): _rolled(values.variable, shift)
            for name, values in brain.data_vars.items()
            if "time" in values.dims
        }
        return brain.assign(moved), network

    __and__ = both


def _rolled(values: xr.Variable, shift: int) -> xr.Variable:
    rolled = np.roll(values.values, shift, axis=values.dims.index("time"))
    return xr.Variable(values.dims, rolled, dict(values.attrs))


def check_even(brain: xr.Dataset) -> None:
    """Return nothing if the time bins are two or more and evenly spaced.

    Raises
    ------
    ArgumentError
        If not.
    """
    steps = np.diff(np.asarray(brain["time"].values, dtype=float))
    if steps.size == 0 or np.ptp(steps) > 1e-6 * steps.max():
        raise ArgumentError(
            f"got {steps.size + 1} time bins {steps.min(initial=np.inf):g}..{steps.max(initial=0):g} ms apart, expected"
            " two or more evenly spaced ones, as they are moved or transformed in time; select or rebin them"
        )
