"""Spikes whose every time, cell and run is known: on a clock of 0.1 ms, with silent cells and a silent population."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from cortexres.provenance import provenance

POPULATIONS = [
    {"name": "E", "size": 4, "assemblies": 2, "cell_type": "pyramidal", "area": "V1", "layer": "2/3"},
    {"name": "I", "size": 3, "assemblies": 1, "cell_type": "PV", "area": "V1", "layer": "4"},
    {"name": "S", "size": 2, "assemblies": 1, "cell_type": "SST", "area": "V1", "layer": "4"},
]
RUNS = [(3, 0), (3, 1), (7, 0), (7, 1)]
START_MS, STOP_MS, DT_MS = -0.3, 20.0, 0.1
UNIT = np.repeat([0, 1, 2, 3], [4, 4, 3, 2])


def make_spikes(seed: int = 0, *, with_provenance: bool = True) -> xr.Dataset:
    """Return spikes on a clock of 0.1 ms; cell 2 and the population S are silent, cell 0 fires at both edges."""
    rng = np.random.default_rng(seed)
    n = 300
    cell = rng.choice([0, 1, 3, 4, 5, 6, 7, 8, 9, 10], n)
    step = rng.integers(0, 203, n)
    cell[:2], step[:2] = 0, [0, 202]
    run = rng.integers(0, 4, n)
    run[:2] = 0
    cell, step, run = np.unique(np.stack([cell, step, run]), axis=1)
    order = rng.permutation(cell.size)
    cell, step, run = cell[order], step[order], run[order]
    dataset = xr.Dataset(
        {
            "time": ("spike", (step - 3) * DT_MS, {"units": "ms"}),
            "cell": ("spike", cell),
            "unit": ("spike", UNIT[cell]),
            "trial": ("spike", np.array(RUNS)[run, 1]),
            "stimulus": ("spike", np.array(RUNS)[run, 0]),
        },
        attrs={"model": "synthetic"},
    )
    if with_provenance:
        dataset.attrs["cortexres_provenance"] = record()
    return dataset


def record(**changes: object) -> str:
    facts: dict[str, object] = {
        "circuit": {"populations": POPULATIONS},
        "settle_ms": 0.3,
        "duration_ms": 20.0,
        "trials": 2,
        "stimuli": {"ids": [3, 7]},
    }
    return provenance(**{**facts, **changes})


def one_run(spikes: xr.Dataset, stimulus: int, trial: int) -> xr.Dataset:
    return spikes.isel(spike=np.flatnonzero((spikes["stimulus"] == stimulus) & (spikes["trial"] == trial)))


def times_of(spikes: xr.Dataset, cell: int) -> np.ndarray:
    return np.sort(spikes["time"].values[spikes["cell"].values == cell])


def rows(cell: Any, time: Any) -> list[tuple[int, float]]:
    """Return spikes as sorted rows that can be compared."""
    return sorted(zip(np.asarray(cell).tolist(), np.round(np.asarray(time), 6).tolist(), strict=True))


def table(**columns: object) -> xr.Dataset:
    return xr.Dataset({name: ("cell", values) for name, values in columns.items()}, {"cell": np.arange(13)})
