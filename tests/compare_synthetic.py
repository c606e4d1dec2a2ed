"""Brain and network Datasets with known signal and noise, for the tests of `cortexres.compare`."""

from __future__ import annotations

import numpy as np
import xarray as xr


def brain(
    signal: np.ndarray, *, sd: float, trials: int, rng: np.random.Generator, bin_ms: float = 5.0
) -> xr.Dataset:
    """Return a brain Dataset: `signal` (stimulus, time, unit) from onset on plus Gaussian noise per trial."""
    n, times, units = signal.shape
    response = signal[:, None] + sd * rng.standard_normal((n, trials, times, units))
    coords = {
        "stimulus": np.arange(n),
        "trial": np.arange(trials),
        "time": ("time", (np.arange(times) + 0.5) * bin_ms, {"units": "ms", "bin_ms": bin_ms}),
        "unit": np.arange(units),
        "population": ("unit", ["E"] * units),
    }
    dims = ("stimulus", "trial", "time", "unit")
    return xr.Dataset({"response": (dims, response, {"units": "Hz"})}, coords=coords)


def network(states: np.ndarray, *, dt_ms: float | None = 5.0) -> xr.Dataset:
    """Return a network Dataset with `states` (stimulus, block, unit), with time where `dt_ms` is given."""
    n, blocks, units = states.shape
    update = np.diff(states, axis=1, prepend=states[:, :1])
    dims = ("stimulus", "block", "unit")
    variables = {"response": (dims, states, {"units": "1"}), "update": (dims, update, {"units": "1"})}
    coords: dict[str, object] = {
        "stimulus": np.arange(n),
        "block": np.arange(blocks),
        "unit": np.arange(units),
        "stage": ("block", np.zeros(blocks, dtype=int)),
    }
    if dt_ms is not None:
        coords["t_ms"] = ("block", np.arange(blocks) * dt_ms, {"units": "ms"})
    return xr.Dataset(variables, coords=coords, attrs={"model": "synthetic"})


def relaxation(
    n: int, units: int, times_ms: np.ndarray, rng: np.random.Generator, tau_ms: float = 20.0
) -> np.ndarray:
    """Return rates (stimulus, time, unit) that relax from 30 Hz to a level drawn per stimulus and unit."""
    gain = rng.uniform(-10.0, 20.0, (n, 1, units))
    rates: np.ndarray = 30.0 + gain * (1 - np.exp(-times_ms / tau_ms))[:, None]
    return rates
