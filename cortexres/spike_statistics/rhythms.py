"""Rhythms of a group: the power spectrum of its population rate and where that has its peak."""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.signal import welch

from cortexres.errors import ArgumentError
from cortexres.spike_statistics.rates import population_rate_Hz
from cortexres.spike_statistics.spike_trains import Trains


def spectrum(group: Trains, *, bin_ms: float = 1.0, segment_ms: float = 250.0) -> xr.DataArray:
    """The power spectrum of the population rate: Welch's mean over segments (half overlapping) and runs.

    Parameters
    ----------
    group : Trains
        One group of cells.
    bin_ms : float
        Sampling of the population rate; frequencies go to 1 / (2 bin).
    segment_ms : float
        Length of a segment, cut at the window; the resolution is about 1.5 / segment.

    Returns
    -------
    DataArray (`frequency`,)
        One-sided, in Hz^2 / Hz; independent Poisson trains of rate r in n cells have 2 r / n at all frequencies.
    """
    rate = population_rate_Hz(group, bin_ms=bin_ms)
    length = int(min(round(segment_ms / bin_ms), rate.shape[1]))
    if length < 4:
        raise ArgumentError(
            f"a segment has {length} bins, expected at least 4; give a smaller bin_ms or a longer segment_ms and window"
        )
    # Zero padding places a peak more finely than one frequency per segment.
    frequency, power = welch(rate, fs=1e3 / bin_ms, nperseg=length, nfft=4 * length, detrend="constant", axis=1)
    return xr.DataArray(
        power.mean(axis=0),
        dims="frequency",
        coords={"frequency": ("frequency", frequency, {"units": "Hz"})},
        name="power",
        attrs={"units": "Hz^2/Hz", "long_name": "power spectrum of the population rate"},
    )


def peak_Hz(power: xr.DataArray, *, low_Hz: float, high_Hz: float) -> float:
    """The frequency of the largest power between `low_Hz` and `high_Hz`; NaN where there is none, as without spikes.

    Raises
    ------
    ArgumentError
        If no frequency of the spectrum lies between them.
    """
    frequency = power["frequency"].values
    inside = (frequency >= low_Hz) & (frequency <= high_Hz)
    if not inside.any():
        raise ArgumentError(
            f"no frequency lies in {low_Hz:g}..{high_Hz:g} Hz, the spectrum has 0..{frequency[-1]:g} Hz; "
            "give another band or a smaller bin_ms"
        )
    found = power.values[inside]
    return float(frequency[inside][np.argmax(found)]) if found.max() > 0 else float("nan")
