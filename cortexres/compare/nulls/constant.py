"""A trace that does not move: the brain's final rates, held from the onset on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from cortexres.compare.nulls.null import Pair, both
from cortexres.compare.pairing import along
from cortexres.compare.windows import Window, bin_width, in_window, late_window
from cortexres.schema import check_brain


@dataclass(frozen=True)
class ConstantTrace:
    """A network whose every state is the brain's final rates: right in the end, and without dynamics.

    It is an oracle, made of the very data that it is scored on (see `constant_trace`), with the brain's units and
    the network's blocks.

    Parameters
    ----------
    late : tuple of float, optional
        First and last bin centre in ms whose mean is the final rate; the last half of the time since onset by
        default.
    """

    late: Window | None = None
    name: str = "constant_trace"
    claim: str = "the network has dynamics of the brain, not only its final rates"
    random: bool = field(default=False, init=False)

    def draw(self, brain: xr.Dataset, network: xr.Dataset, rng: np.random.Generator) -> Pair:
        """Return the brain as it is, and the network that does not move; nothing is random."""
        rates = constant_trace(brain, late=self.late).isel(time=0)
        states = np.repeat(np.asarray(rates.values, dtype=float)[:, None], network.sizes["block"], axis=1)
        dims = ("stimulus", "block", "unit")
        attrs = dict(brain["response"].attrs)
        variables = {"response": (dims, states, attrs), "update": (dims, np.zeros_like(states), attrs)}
        blocks = {str(name): c.variable for name, c in network.coords.items() if "unit" not in c.dims}
        units = along(brain, "unit")
        return brain, xr.Dataset(variables, coords=blocks | units, attrs={**network.attrs, "model": self.name})

    __and__ = both


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
