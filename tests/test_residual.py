"""The definitions of x + F(x): closed forms, where they have no meaning, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from cortexres.errors import ArgumentError
from cortexres.residual import DEFINITIONS, decomposition


def test_balanced_amplification_in_each_space() -> None:
    """Murphy & Miller's circuit, W = [[w, -kw], [w, -kw]], at its steady state (4, 3) for input (1, 0)."""
    w, k = 30 / 7, 1.1
    found = decomposition([1.0], [w * 4], [-k * w * 3], [4.0], [1.0])
    assert float(found["excitatory_share"][0]) == pytest.approx(1 / (1 + w * 4))
    assert float(found["amplification"][0]) == pytest.approx(1 + w * 4)
    assert float(found["net_ratio"][0]) == pytest.approx(3.0)
    assert float(found["rate_gain"][0]) == pytest.approx(4.0)
    assert {n: found[n].attrs["space"] for n in found} == {n: space for n, (space, _, _) in DEFINITIONS.items()}
    assert {n: found[n].attrs["definition"] for n in found} == {n: text for n, (_, text, _) in DEFINITIONS.items()}


def test_quotients_without_meaning_are_nan() -> None:
    found = decomposition([0.0, 2.0, 0.0], [1.0, -2.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [1.0, 0.0, 2.0])
    assert np.isnan(found["excitatory_share"].values).all()
    np.testing.assert_array_equal(found["amplification"].values, [np.nan, 0.0, np.nan])
    np.testing.assert_array_equal(found["net_ratio"].values, [np.nan, -1.0, np.nan])
    np.testing.assert_array_equal(found["rate_gain"].values, [1.0, np.nan, 0.5])


def test_coordinates_stay_and_foreign_attributes_go() -> None:
    x = xr.DataArray([1.0, 2.0], dims="unit", coords={"name": ("unit", ["E", "I"])}, attrs={"units": "mV"}, name="x")
    found = decomposition(x, 2 * x, -x)
    assert found["name"].values.tolist() == ["E", "I"]
    assert set(found) == {"excitatory_share", "amplification", "net_ratio"}
    assert all(found[name].attrs["units"] == "1" for name in found)
    np.testing.assert_allclose(found["excitatory_share"], 1 / 3)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ArgumentError, match="one response is given without the other"):
        decomposition([1.0], [1.0], [1.0], [1.0])
    with pytest.raises(ArgumentError, match="expected the same for all; select or transpose"):
        decomposition([1.0], [1.0, 2.0], [1.0])
    x = xr.DataArray([1.0, 2.0], dims="unit", coords={"unit": [0, 1]})
    with pytest.raises(ArgumentError, match="different coordinates"):
        decomposition(x, x.assign_coords(unit=[1, 2]), x)
