"""Threshold integration against the Siegert rate, its slope, and the free membrane."""

import numpy as np
import pytest

from cortexres.meanfield import linear_response, response_time, response_time_table, siegert_gain_mean, siegert_rate

CELL = {"tau_m_ms": 20.0, "t_refractory_ms": 2.0, "v_threshold_mV": 20.0, "v_reset_mV": 10.0}
MU = np.array([4.0, 8.0, 12.0, 16.0, 20.0, 30.0, 50.0])


def test_stationary_rate_is_the_siegert_rate() -> None:
    found = linear_response(MU, 5.0, omega_per_ms=0.01, **CELL).rate
    np.testing.assert_allclose(found, siegert_rate(MU, 5.0, **CELL), rtol=5e-5)


def test_slow_response_is_the_slope_of_the_rate() -> None:
    found = linear_response(MU, 5.0, omega_per_ms=1e-4, **CELL).response
    np.testing.assert_allclose(found.real, siegert_gain_mean(MU, 5.0, **CELL), rtol=1e-4)


def test_second_order_in_the_voltage_step() -> None:
    exact = linear_response(12.0, 5.0, omega_per_ms=0.05, steps=3200, **CELL).response
    coarse, fine = (
        abs(linear_response(12.0, 5.0, omega_per_ms=0.05, steps=n, **CELL).response - exact) for n in (100, 200)
    )
    assert coarse / fine == pytest.approx(4.0, rel=0.1)


def test_fast_response_falls_as_the_root_of_frequency_and_lags_by_45_degrees() -> None:
    """Brunel et al. 2001: r1 -> r0 / sigma * sqrt(2 / (i omega tau)) for modulated current and white noise."""
    omega = 50.0
    found = linear_response(18.0, 5.0, omega_per_ms=omega, steps=6000, **CELL)
    assert np.angle(found.response) == pytest.approx(-np.pi / 4, abs=0.03)
    assert abs(found.response) == pytest.approx(found.rate / 5.0 * np.sqrt(2.0 / (omega * 20.0)), rel=0.05)


def test_response_times_of_the_reference_neuron() -> None:
    rates = np.array([0.5, 7.0, 20.0, 47.0])
    mu = np.interp(rates, siegert_rate(np.linspace(0, 40, 400), 5.0, **CELL), np.linspace(0, 40, 400))
    times = response_time(mu, 5.0, **CELL)
    assert 15.0 <= times[0] <= 18.0
    assert times[1] == pytest.approx(8.0, abs=0.5)
    assert times[2] == pytest.approx(3.0, abs=0.3)
    assert times[3] == pytest.approx(0.0, abs=0.3)


def test_response_time_scales_with_the_membrane() -> None:
    fast = {**CELL, "tau_m_ms": 10.0, "t_refractory_ms": 1.0}
    np.testing.assert_allclose(2 * response_time(MU, 5.0, **fast), response_time(MU, 5.0, **CELL), rtol=1e-3, atol=1e-3)


def test_far_below_threshold_the_rate_follows_the_membrane() -> None:
    assert response_time(-4.0, 5.0, **CELL) == pytest.approx(20.0, rel=0.05)


def test_table_is_exact_at_its_nodes_and_close_between_them() -> None:
    table = response_time_table(**CELL, sigma_range_mV=(4.0, 7.0))
    rng = np.random.default_rng(0)
    mu, sigma = rng.uniform(0.0, 40.0, 50), rng.uniform(4.0, 7.0, 50)
    np.testing.assert_allclose(table(mu, sigma), response_time(mu, sigma, **CELL), atol=0.03)
    node = 20.0 - table.distance[60] * table.sigma[3]
    assert table(node, table.sigma[3]) == pytest.approx(table.tau_ms[60, 3], abs=1e-9)


def test_table_holds_its_edge_outside() -> None:
    table = response_time_table(**CELL, sigma_range_mV=(4.0, 7.0))
    assert table(1e3, 7.0) == pytest.approx(table.tau_ms[0, -1])
    assert table(-1e3, 50.0) == pytest.approx(table(20.0 - 6.0 * 50.0, 7.0))
