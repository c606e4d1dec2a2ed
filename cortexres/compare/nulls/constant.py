"""A trace that does not move: the brain's final rates, held from the onset on."""

from __future__ import annotations

import numpy as np
import xarray as xr

from cortexres.compare.windows import Window, bin_width, in_window, late_window
from cortexres.schema import check_brain


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
