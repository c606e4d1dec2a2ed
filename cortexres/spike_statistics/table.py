"""All measures of every group, as one Dataset."""

from __future__ import annotations

import numpy as np
import xarray as xr

from cortexres.spike_statistics.correlations import mean_correlation, synchrony
from cortexres.spike_statistics.intervals import bursts, interval_cv
from cortexres.spike_statistics.rates import rate_Hz, silent_fraction
from cortexres.spike_statistics.spike_trains import Trains


def statistics(groups: dict[str, Trains], *, min_spikes: int = 6) -> xr.Dataset:
    """All measures of every group, with their default bins.

    Parameters
    ----------
    groups : dict of str to Trains
        From `trains`.
    min_spikes : int
        See `interval_cv`.

    Returns
    -------
    Dataset (`group`,)
        `rate`, `cv`, `silent`, `synchrony`, `correlation`, `event_rate` and `burst_fraction`.
    """
    rows = [
        (
            rate_Hz(t),
            interval_cv(t, min_spikes=min_spikes),
            silent_fraction(t),
            synchrony(t),
            mean_correlation(t),
            *bursts(t),
        )
        for t in groups.values()
    ]
    names = ("rate", "cv", "silent", "synchrony", "correlation", "event_rate", "burst_fraction")
    columns = zip(names, np.array(rows).T, strict=True)
    units = {"rate": "Hz", "event_rate": "Hz"}
    return xr.Dataset(
        {name: ("group", values, {"units": units.get(name, "1")}) for name, values in columns},
        coords={"group": list(groups)},
    )
