"""What all tests share: a circuit small enough for Brian2's numpy target, and Datasets made from it once."""

from __future__ import annotations

import os

# Tests are thousands of small computations: more threads would only wait for each other, and for those of others on
# the machine. Read by numpy and torch as they are imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from hypothesis import settings

from cortexres.definitions import Circuit, load_circuit

# Shared machines stall: a slow example is not a wrong one, and the same examples are drawn each time.
settings.register_profile("cortexres", deadline=None, derandomize=True)
settings.load_profile("cortexres")


@pytest.fixture(scope="session")
def tiny_circuit() -> Circuit:
    """Return `ei_assemblies` with a tenth of the cells and synapses."""
    circuit = load_circuit("ei_assemblies")
    return replace(
        circuit,
        name="tiny",
        populations=tuple(replace(p, size=max(p.size // 10, 1)) for p in circuit.populations),
        projections=tuple(replace(p, in_degree=p.in_degree // 10) for p in circuit.projections),
    )


@pytest.fixture
def brain_and_network() -> tuple[xr.Dataset, xr.Dataset]:
    """Return a brain and a network Dataset that agree but for trial noise: 12 stimuli, 4 trials, 4 units."""
    rng = np.random.default_rng(0)
    strength = rng.uniform(5.0, 30.0, (12, 1, 4))
    course = 1.0 - np.exp(-np.arange(7)[None, :, None] * 10.0 / 20.0)
    states = 5.0 + strength * course
    middle = (states[:, 1:] + states[:, :-1]) / 2
    noise = rng.normal(0.0, 0.3, (12, 4, 6, 4))
    units = {
        "unit": np.arange(4),
        "name": ("unit", ["E0", "E1", "I0", "I1"]),
        "population": ("unit", ["E", "E", "I", "I"]),
        "cell_type": ("unit", ["pyramidal", "pyramidal", "inhibitory", "inhibitory"]),
        "assembly": ("unit", [0, 1, 0, 1]),
    }
    stimuli = {"stimulus": np.arange(12), "label": ("stimulus", np.arange(12) % 3)}
    brain = xr.Dataset(
        {"response": (("stimulus", "trial", "time", "unit"), middle[:, None] + noise, {"units": "Hz"})},
        coords={
            "trial": np.arange(4),
            "time": ("time", np.arange(6) * 10.0 + 5.0, {"units": "ms", "bin_ms": 10.0}),
            **stimuli,
            **units,
        },
        attrs={"model": "synthetic"},
    )
    update = np.diff(states, axis=1, prepend=states[:, :1])
    dims = ("stimulus", "block", "unit")
    network = xr.Dataset(
        {"response": (dims, states, {"units": "Hz"}), "update": (dims, update, {"units": "Hz"})},
        coords={
            "block": np.arange(7),
            "stage": ("block", np.zeros(7, dtype=int)),
            "t_ms": ("block", np.arange(7) * 10.0, {"units": "ms"}),
            **stimuli,
            **units,
        },
        attrs={"model": "synthetic network"},
    )
    return brain, network
