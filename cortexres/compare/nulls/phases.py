"""Surrogate trajectories with random phases: does the time course matter beyond its spectra?"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from cortexres.compare.nulls.null import Pair, both
from cortexres.compare.nulls.shifts import check_even


@dataclass(frozen=True)
class PhaseRandomised:
    """The brain's time course with a random phase added at each frequency (Prichard & Theiler 1994).

    The same phases serve all stimuli, trials and units: the mean over time, every power spectrum and every cross
    spectrum, and with them all auto- and cross-correlations of the trajectories round the circle, are kept. What is
    lost is when things happen: the onset, the order of states. A circular shift is the special case of phases that
    grow with frequency.

    The transform takes time as a circle, so a response that ends elsewhere than it began has a jump there, whose
    energy is spread over all surrogates. Rates of a surrogate may be negative; ``relative_to`` says so.

    References
    ----------
    Prichard, D., Theiler, J. (1994). Generating surrogate data for time series with several simultaneously measured
    variables. Physical Review Letters 73:951. doi:10.1103/PhysRevLett.73.951
    """

    name: str = "phase_randomised"
    claim: str = "the brain's trajectory matters beyond its mean, spectra and cross-spectra"
    random: bool = field(default=True, init=False)

    def draw(self, brain: xr.Dataset, network: xr.Dataset, rng: np.random.Generator) -> Pair:
        """Return the brain with random phases, and the network as it is.

        Raises
        ------
        ArgumentError
            If the time bins are not evenly spaced, or there is only one.
        """
        check_even(brain)
        turns = _turns(brain.sizes["time"], rng)
        surrogate = {
            str(name): _turned(values.variable, turns)
            for name, values in brain.data_vars.items()
            if "time" in values.dims
        }
        return brain.assign(surrogate), network

    __and__ = both


def _turns(times: int, rng: np.random.Generator) -> np.ndarray:
    """Return a factor of size 1 per frequency of the real transform; real where the transform is real."""
    turns: np.ndarray = np.exp(2j * np.pi * rng.random(times // 2 + 1))
    turns[0] = 1.0
    if times % 2 == 0:
        turns[-1] = rng.choice([-1.0, 1.0])
    return turns


def _turned(values: xr.Variable, turns: np.ndarray) -> xr.Variable:
    axis = values.dims.index("time")
    spectrum = np.fft.rfft(np.moveaxis(np.asarray(values.values, dtype=float), axis, -1), axis=-1)
    back = np.fft.irfft(spectrum * turns, n=values.sizes["time"], axis=-1)
    attrs = {"relative_to": "nothing: a surrogate with random phases", **values.attrs}
    return xr.Variable(values.dims, np.moveaxis(back, -1, axis), attrs)
