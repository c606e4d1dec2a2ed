"""The Siegert rate against published values, its closed-form slopes and its limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import erfcx

from cortexres.meanfield import (
    coloured_noise_shift,
    discrete_time_threshold,
    siegert_gain_mean,
    siegert_gain_sigma,
    siegert_rate,
)

CELL = {"tau_m_ms": 10.0, "t_refractory_ms": 2.0, "v_threshold_mV": 15.0, "v_reset_mV": 0.0}
BRUNEL = {"tau_m_ms": 20.0, "t_refractory_ms": 2.0, "v_threshold_mV": 20.0, "v_reset_mV": 10.0}

# mu, sigma -> rate with white noise, rate with all noise filtered by a synapse of 0.5 ms; 30-digit arithmetic.
PUBLISHED = [
    (0.0, 5.0, 0.0195355502479, 0.00504682474644),
    (5.0, 5.0, 1.72587869695, 0.753234751533),
    (10.0, 5.0, 16.7602092467, 11.6571269013),
    (14.0, 2.0, 22.8782892532, 18.8235456544),
    (15.0, 5.0, 43.3619791234, 37.0212611044),
    (20.0, 5.0, 69.6489980255, 63.8059824766),
    (30.0, 1.0, 112.067759766, 111.102036201),
    (-10.0, 8.0, 0.00953046226914, 0.00231279968627),
    (7.0, 5.5, 7.65585650815, 4.41302258952),
]


@pytest.mark.parametrize(("mu", "sigma", "white", "coloured"), PUBLISHED)
def test_published_values(mu: float, sigma: float, white: float, coloured: float) -> None:
    shift = coloured_noise_shift(1.0, tau_s_ms=0.5, tau_m_ms=10.0)
    assert siegert_rate(mu, sigma, **CELL) == pytest.approx(white, rel=1e-11)
    assert siegert_rate(mu, sigma, shift=shift, **CELL) == pytest.approx(coloured, rel=1e-11)


@pytest.mark.parametrize(
    ("mu", "sigma", "rate"), [(21.025, 7.683, 37.94938401), (24.159, 10.94, 55.84222282), (16.371, 3.115, 6.518527406)]
)
def test_fixed_points_of_brunel_2000(mu: float, sigma: float, rate: float) -> None:
    assert siegert_rate(mu, sigma, **BRUNEL) == pytest.approx(rate, rel=1e-9)


@given(mu=st.floats(-20, 60), sigma=st.floats(1.0, 12.0))
@settings(max_examples=60, deadline=None)
def test_every_branch_is_the_plain_integral(mu: float, sigma: float) -> None:
    low, high = (10.0 - mu) / sigma, (20.0 - mu) / sigma
    if high > 12:
        return
    integral = quad(lambda u: erfcx(-u), low, high, epsabs=0, epsrel=1e-12, limit=200)[0]
    expected = 1e3 / (2.0 + 20.0 * np.sqrt(np.pi) * integral)
    assert siegert_rate(mu, sigma, **BRUNEL) == pytest.approx(expected, rel=1e-9)


@given(mu=st.floats(-10, 60), sigma=st.floats(1.0, 12.0), step=st.floats(0.01, 5.0))
@settings(max_examples=60, deadline=None)
def test_rate_rises_with_mean_and_stays_below_the_refractory_limit(mu: float, sigma: float, step: float) -> None:
    low, high = siegert_rate([mu, mu + step], sigma, **BRUNEL)
    assert 0.0 <= low <= high < 500.0


def test_slopes_are_the_derivatives() -> None:
    mu = np.linspace(-5.0, 40.0, 19)
    h = 1e-4
    by_mu = (siegert_rate(mu + h, 5.0, **CELL) - siegert_rate(mu - h, 5.0, **CELL)) / (2 * h)
    by_sigma = (siegert_rate(mu, 5.0 + h, **CELL) - siegert_rate(mu, 5.0 - h, **CELL)) / (2 * h)
    np.testing.assert_allclose(siegert_gain_mean(mu, 5.0, **CELL), by_mu, rtol=1e-6)
    np.testing.assert_allclose(siegert_gain_sigma(mu, 5.0, **CELL), by_sigma, rtol=1e-6, atol=1e-8)


def test_noiseless_limit_is_the_deterministic_period() -> None:
    period = 2.0 + 20.0 * np.log((30.0 - 10.0) / (30.0 - 20.0))
    assert siegert_rate(30.0, 0.01, **BRUNEL) == pytest.approx(1e3 / period, rel=1e-5)


def test_extreme_inputs_give_finite_rates() -> None:
    rates = siegert_rate([-500.0, -50.0, 500.0, 5000.0], [1.0, 0.5, 1.0, 5.0], **BRUNEL)
    assert np.all(np.isfinite(rates))
    assert rates[0] == 0.0
    assert rates[-1] == pytest.approx(500.0, rel=0.05)


def test_discrete_time_shift_is_that_of_a_random_walk() -> None:
    threshold = discrete_time_threshold(20.0, noise_mV=5.0, dt_ms=0.1, tau_m_ms=20.0)
    assert threshold - 20.0 == pytest.approx(0.5826 * 5.0 * np.sqrt(0.1 / 20.0), rel=1e-4)


def test_discrete_time_shift_predicts_a_simulated_neuron() -> None:
    """A quarter of a million exact Ornstein-Uhlenbeck steps of many neurons, looked at every 0.5 ms."""
    rng, dt, tau, mu, sigma = np.random.default_rng(3), 0.5, 20.0, 18.0, 5.0
    decay = np.exp(-dt / tau)
    noise = sigma * np.sqrt((1 - decay**2) / 2)
    v, hold, spikes, steps = np.full(2000, 10.0), np.zeros(2000), 0, 2400
    for k in range(steps):
        free = hold <= 0
        v = np.where(free, mu + (v - mu) * decay + noise * rng.standard_normal(2000), v)
        fired = free & (v > 20.0)
        spikes += int(fired.sum()) if k >= 400 else 0
        v, hold = np.where(fired, 10.0, v), np.where(fired, 4, hold - 1)
    measured = spikes / 2000 / ((steps - 400) * dt * 1e-3)
    cell = {**BRUNEL, "v_threshold_mV": discrete_time_threshold(20.0, noise_mV=sigma, dt_ms=dt, tau_m_ms=tau)}
    corrected, plain = siegert_rate(mu, sigma, **cell), siegert_rate(mu, sigma, **BRUNEL)
    assert abs(corrected / measured - 1) < 0.025
    assert abs(plain / measured - 1) > 0.08
