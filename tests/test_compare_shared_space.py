"""One space for both sides: projection where units are the same, the known rotation found where they are not."""

from __future__ import annotations

import compare_pictures as small
import numpy as np
import pytest
import xarray as xr

from cortexres.compare.shared_space import shared_space
from cortexres.errors import ArgumentError


@pytest.fixture(scope="module")
def sides() -> tuple[xr.Dataset, xr.Dataset]:
    weights, drive = small.circuit()
    return small.brain(weights, drive), small.network(weights, drive)


def foreign(network: xr.Dataset, change: np.ndarray, shift: float = 0.0) -> xr.Dataset:
    """Return the network in other units: its states through a matrix."""
    states = network["response"].values @ change + shift
    update = np.diff(states, axis=1, prepend=states[:, :1])
    dims = ("stimulus", "block", "unit")
    coords = {name: c for name, c in network.coords.items() if "unit" not in c.dims}
    return xr.Dataset({"response": (dims, states, {"units": "1"}), "update": (dims, update, {"units": "1"})}, coords)


def test_same_units_are_projected(sides: tuple[xr.Dataset, xr.Dataset]) -> None:
    brain, network = sides
    space = shared_space(brain, network, components=3)
    assert space["brain"].dims == ("stimulus", "time", "component")
    flat = brain["response"].mean("trial").values.reshape(-1, small.UNITS)
    _, vectors = np.linalg.eigh(np.cov(flat.T))
    axes = vectors[:, ::-1][:, :3]
    ours = (flat - flat.mean(axis=0)) @ axes
    sign = np.sign(np.sum(ours * space["brain"].values.reshape(-1, 3), axis=0))
    np.testing.assert_allclose(space["brain"].values.reshape(-1, 3), ours * sign, atol=1e-9)
    theirs = (network["response"].values - flat.mean(axis=0)) @ axes * sign
    np.testing.assert_allclose(space["network"], theirs, atol=1e-9)
    shares = np.var(ours, axis=0) / np.var(flat, axis=0).sum()
    np.testing.assert_allclose(space["variance_explained"], shares)
    assert (space["t_ms"].values == network["t_ms"].values).all()
    assert space.attrs["warnings"] == ""


def test_a_rotation_is_undone(sides: tuple[xr.Dataset, xr.Dataset]) -> None:
    network = sides[1]
    clean = network["response"].values[:, :, :4] * np.array([4.0, 3.0, 2.0, 1.0])
    few = network.isel(unit=slice(4)).assign(
        response=(network["response"].dims, clean, {"units": "Hz"}),
        update=(network["response"].dims, np.diff(clean, axis=1, prepend=clean[:, :1]), {"units": "Hz"}),
    )
    recorded = xr.Dataset(  # a recording that is the network, exactly, at the times of its blocks
        {"response": (("stimulus", "trial", "time", "unit"), clean[:, None], {"units": "Hz"})},
        {
            "stimulus": few["stimulus"].values,
            "time": ("time", few["t_ms"].values, {"units": "ms", "bin_ms": 5.0}),
            "population": ("unit", ["E"] * 4),
        },
    )
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(7, 4)))[0].T
    space = shared_space(recorded, foreign(few, 0.2 * rotation, shift=3.0), components=2)
    np.testing.assert_allclose(space["network"].values, space["brain"].values, atol=1e-9)
    assert "fitted" in space.attrs["space"]
    assert "nearness is no evidence" in space.attrs["warnings"]


def test_what_cannot_be_drawn_is_refused(sides: tuple[xr.Dataset, xr.Dataset]) -> None:
    brain, network = sides
    with pytest.raises(ArgumentError, match="components=0, expected 1 to 20, the dimensions of the brain's states"):
        shared_space(brain, network, components=0)
    with pytest.raises(ArgumentError, match="the brain's states are all the same, expected some"):
        shared_space(brain.assign(response=xr.full_like(brain["response"], 3.0)), network)
    one = foreign(network, np.ones((small.UNITS, 1)))
    with pytest.raises(ArgumentError, match="components=2, expected 1 to 1, the dimensions of the network's states"):
        shared_space(brain, one)
    other = foreign(network, np.eye(small.UNITS))
    single = xr.DataArray(np.where(np.arange(13) == 3, 20.0, np.nan), dims="block", coords={"block": np.arange(13)})
    with pytest.raises(ArgumentError, match="got 1 blocks at times of the recording, expected 2 or more"):
        shared_space(brain, other, mapping=single)
