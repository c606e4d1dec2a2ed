"""Brains and networks that have nothing of what is tested for, for the calibration of tests."""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter1d

N, TIMES, BLOCKS, UNITS, BIN_MS = 12, 8, 6, 5, 5.0


def smooth(values: np.ndarray, sd: float) -> np.ndarray:
    """Return values smoothed along axis 1 by a Gaussian, with standard deviation 1; round the circle's end."""
    values = gaussian_filter1d(values, sd, axis=1, mode="wrap") if sd else values
    return values / values.std()


def brain_of(response: np.ndarray, rng: np.random.Generator, *, sd: float = 0.3, trials: int = 4) -> xr.Dataset:
    """Return a brain Dataset about 100 Hz: response (stimulus, time, unit) plus noise in every trial."""
    n, times, units = response.shape
    noisy = 100 + response[:, None] + sd * rng.standard_normal((n, trials, times, units))
    coords = {
        "stimulus": np.arange(n),
        "trial": np.arange(trials),
        "time": ("time", (np.arange(times) + 0.5) * BIN_MS, {"units": "ms", "bin_ms": BIN_MS}),
        "unit": np.arange(units),
        "population": ("unit", ["E"] * units),
    }
    return xr.Dataset({"response": (("stimulus", "trial", "time", "unit"), noisy, {"units": "Hz"})}, coords=coords)


def network_of(states: np.ndarray, *, units: str = "1") -> xr.Dataset:
    """Return a network Dataset of states (stimulus, block, unit) with a block every bin."""
    n, blocks, cells = states.shape
    dims = ("stimulus", "block", "unit")
    update = np.diff(states, axis=1, prepend=states[:, :1])
    coords = {
        "stimulus": np.arange(n),
        "block": np.arange(blocks),
        "unit": np.arange(cells),
        "stage": ("block", np.zeros(blocks, dtype=int)),
        "t_ms": ("block", np.arange(blocks) * BIN_MS, {"units": "ms"}),
    }
    variables = {"response": (dims, states, {"units": units}), "update": (dims, update, {"units": units})}
    return xr.Dataset(variables, coords=coords, attrs={"model": "synthetic"})


def unrelated(rng: np.random.Generator, *, likeness: float = 1.0, n: int = N) -> tuple[xr.Dataset, xr.Dataset]:
    """Return a brain and a network that share nothing, each smooth along time or blocks."""
    response = smooth(rng.standard_normal((n, TIMES, UNITS)), 1.0)
    return brain_of(response, rng), network_of(smooth(rng.standard_normal((n, BLOCKS, UNITS)), likeness))


def one_course(rng: np.random.Generator, likeness: float, *, n: int = 30) -> tuple[xr.Dataset, xr.Dataset]:
    """Return a brain whose signal comes and goes, and 12 blocks that all hold it, with noise that blocks share."""
    time = (np.arange(40) + 0.5) * BIN_MS
    same = rng.standard_normal((n, 10))
    course = 3.0 * np.exp(-0.5 * ((time - 100) / 40) ** 2)
    response = filtered(rng.standard_normal((n, 40, 10)), 2.0) + course[:, None] * same[:, None]
    states = filtered(rng.standard_normal((n, 12, 10)), likeness) + same[:, None]
    return brain_of(response, rng, sd=0.1, trials=2), network_of(states)


def nothing(rng: np.random.Generator, likeness: float, *, n: int = 30) -> tuple[xr.Dataset, xr.Dataset]:
    """Return a brain of 40 bins and 12 blocks that share nothing, with noise that blocks share."""
    response = filtered(rng.standard_normal((n, 40, 10)), 2.0)
    states = filtered(rng.standard_normal((n, 12, 10)), likeness)
    return brain_of(response, rng, sd=0.1, trials=2), network_of(states)


def filtered(values: np.ndarray, sd: float) -> np.ndarray:
    """Return values smoothed along axis 1 as `smooth` does, with ends."""
    values = gaussian_filter1d(values, sd, axis=1) if sd else values
    return values / values.std()
