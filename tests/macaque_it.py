"""The recording of macaque IT under objects at three positions (Zhang et al. 2011), for tests where it is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

FILE = Path(__file__).parents[2] / "shared/data/recordings/zhang_desimone_IT/zd_IT_tensor.npz"
needs_macaque_it = pytest.mark.skipif(not FILE.exists(), reason="the recording of macaque IT is not here")


def macaque_it() -> xr.Dataset:
    """Return the brain Dataset; a missing trial is the mean of its stimulus's others."""
    with np.load(FILE) as file:
        rates, starts = file["rates"].astype(float), file["bin_start_ms"].astype(float)
    rates = np.where(np.isnan(rates), np.nanmean(rates, axis=2, keepdims=True), rates)
    response = rates.reshape(21, 20, 132, 18).swapaxes(2, 3)
    return xr.Dataset(
        {"response": (("stimulus", "trial", "time", "unit"), response, {"units": "Hz"})},
        {
            "stimulus": np.arange(21),
            "trial": np.arange(20),
            "time": ("time", starts + 75.0, {"units": "ms", "bin_ms": 150.0}),
            "unit": np.arange(132),
            "population": ("unit", ["IT"] * 132),
        },
    )
