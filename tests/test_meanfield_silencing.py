"""What of a response is feedforward: identities, a linear limit, and the column's thalamic share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cortexres.definitions import Circuit, load_circuit, with_values
from cortexres.errors import ArgumentError
from cortexres.meanfield import fixed_point, mean_field, silencing
from cortexres.meanfield.silencing import _at_rest


@pytest.fixture(scope="module")
def ring() -> Circuit:
    return load_circuit("ei_assemblies")


def test_parts_add_up_to_the_change_of_the_input(ring: Circuit) -> None:
    drive = 2.0 * np.eye(8)[2]
    found = silencing(ring, drive)
    field = mean_field(ring)
    rest, driven = fixed_point(field), fixed_point(field, drive=field.drive(drive))
    total = found["feedforward"] + found["recurrent_excitatory"] + found["recurrent_inhibitory"]
    np.testing.assert_allclose(total, driven.moments.mu - rest.moments.mu, atol=1e-8)
    np.testing.assert_allclose(found["response"], driven.rates - rest.rates, atol=1e-8)
    np.testing.assert_allclose(found["feedforward"].values[:8], drive)
    assert np.all(np.isnan(found["excitatory_share"].values[8:]))
    assert float(found["net_ratio"][2]) == pytest.approx(float((total / found["feedforward"])[2]) - 1.0)


def test_without_recurrence_all_is_feedforward(ring: Circuit) -> None:
    alone = with_values(ring, {"projections.*.weight_mV": 0.0})
    found = silencing(alone, 2.0).isel(unit=slice(8))
    np.testing.assert_allclose(found["excitatory_share"], 1.0)
    np.testing.assert_allclose(found["net_ratio"], 0.0, atol=1e-12)
    np.testing.assert_allclose(found["rate_gain"], 1.0)
    assert found["rate_gain"].attrs["definition"].endswith("with the recurrent input held as at rest")


def test_small_changes_are_those_of_the_linearised_circuit(ring: Circuit) -> None:
    # White noise alone: the gain by the variance is left out of this closed form.
    quiet = replace(mean_field(ring, noise="white"), pathways=())
    field = replace(
        quiet, pathways=tuple(replace(p, variance=0 * p.variance) for p in mean_field(ring).pathways), coloured=False
    )
    found = silencing(ring, 1e-3, field=field)
    gain = field.gains(fixed_point(field).moments)[0]
    weights = sum(p.mean for p in field.pathways)
    drive = field.drive(1e-3)
    rates = np.linalg.solve(np.eye(16) - gain[:, None] * weights, gain * drive)
    np.testing.assert_allclose(found["response"], rates, rtol=1e-3, atol=1e-9)
    np.testing.assert_allclose(found["response_without"], gain * drive, rtol=1e-3, atol=1e-12)


def test_thalamic_share_of_the_column() -> None:
    circuit = load_circuit("potjans_diesmann_2014")
    shares, ratios = [], []
    for rate in (1.0, 5.0, 15.0):
        found = silencing(circuit, rate).set_index(unit="name")
        assert "TH" not in found["unit"]
        shares.append([float(found["excitatory_share"].sel(unit=u)) for u in ("L4E", "L4I", "L6E")])
        ratios.append([float(found["net_ratio"].sel(unit=u)) for u in ("L4E", "L4I", "L6E")])
        # The thalamus alone would drive layer 4 several times as much as it does against the column.
        assert 0.1 < float(found["rate_gain"].sel(unit="L4E")) < 0.25
        # The thalamus does not reach layers 2/3 and 5: their response is the column's alone.
        assert np.isnan(float(found["excitatory_share"].sel(unit="L5E")))
        assert np.isnan(float(found["rate_gain"].sel(unit="L5E")))
        assert float(found["response"].sel(unit="L5E")) > 0.1
    np.testing.assert_allclose(shares, np.tile([0.485, 0.255, 0.32], (3, 1)), atol=0.01)
    np.testing.assert_allclose(ratios, np.tile([-1.05, -1.15, -0.99], (3, 1)), atol=0.015)


def test_a_circuit_without_a_stimulus_or_a_rest_is_refused(ring: Circuit) -> None:
    with pytest.raises(ArgumentError, match="'brunel_2000' has no drive, expected"):
        silencing(load_circuit("brunel_2000"), 1.0)
    restless = replace(fixed_point(mean_field(ring)), residual=3.0)
    with pytest.raises(ArgumentError, match=r"come to no rest .*still change by 3 Hz"):
        _at_rest(restless, ring)
