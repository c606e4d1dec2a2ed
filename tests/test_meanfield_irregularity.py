"""The coefficient of variation of the intervals, against published values, limits, quadrature and a simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import erfcx

from cortexres.meanfield import coloured_noise_shift, siegert_cv, siegert_rate

BRUNEL = {"tau_m_ms": 20.0, "t_refractory_ms": 2.0, "v_threshold_mV": 20.0, "v_reset_mV": 10.0}
PD14 = {"tau_m_ms": 10.0, "t_refractory_ms": 2.0, "v_threshold_mV": 15.0, "v_reset_mV": 0.0}


@pytest.mark.parametrize(
    ("mu", "sigma", "cv"), [(24.16, 10.94, 0.736), (21.03, 7.68, 0.675), (16.37, 3.12, 0.776)]
)
def test_published_values_of_brunel_2000(mu: float, sigma: float, cv: float) -> None:
    assert siegert_cv(mu, sigma, **BRUNEL) == pytest.approx(cv, abs=1e-3)


@pytest.mark.parametrize("mu", [-5.0, 0.0, 7.0, 12.0, 18.0, 30.0])
@pytest.mark.parametrize("shift", [0.0, 0.23])
def test_every_branch_is_the_plain_double_integral(mu: float, shift: float) -> None:
    sigma, tau = 5.0, 10.0
    low, high = -mu / sigma + shift, (15.0 - mu) / sigma + shift

    def inner(x: float) -> float:
        return quad(lambda y: erfcx(-y) ** 2 * math.exp(-(y**2)), -np.inf, x, epsrel=1e-11)[0]

    integral = quad(lambda x: math.exp(x**2) * inner(x), low, high, epsrel=1e-10)[0]
    rate = siegert_rate(mu, sigma, shift=shift, **PD14)
    expected = math.sqrt(2 * math.pi * integral) * float(rate) * tau * 1e-3
    assert siegert_cv(mu, sigma, shift=shift, **PD14) == pytest.approx(expected, rel=1e-8)


def test_far_below_threshold_a_poisson_process_and_far_above_a_clock() -> None:
    assert siegert_cv(-30.0, 5.0, **PD14) == pytest.approx(1.0, abs=1e-6)
    assert siegert_cv(60.0, 0.5, **PD14) < 0.02
    # Perturbation of the deterministic period T: variance sigma^2 / (2 tau) * int (dT/dV)^2, with V' = (mu - V) / tau.
    mu, sigma, tau = 40.0, 0.2, 10.0
    period = tau * math.log(mu / (mu - 15.0))
    noise = quad(lambda v: 1.0 / (mu - v) ** 3, 0.0, 15.0)[0] * sigma**2 * tau**2
    assert siegert_cv(mu, sigma, **PD14) == pytest.approx(math.sqrt(noise) / (period + 2.0), rel=1e-3)


def test_refractoriness_lengthens_intervals_and_leaves_their_spread() -> None:
    mu = np.linspace(-2.0, 40.0, 8)
    free = {**PD14, "t_refractory_ms": 0.0}
    spread = siegert_cv(mu, 5.0, **PD14) / siegert_rate(mu, 5.0, **PD14)
    np.testing.assert_allclose(spread, siegert_cv(mu, 5.0, **free) / siegert_rate(mu, 5.0, **free), rtol=1e-10)


def test_extreme_inputs_give_numbers() -> None:
    found = siegert_cv([-500.0, -50.0, 20.0, 500.0, 5000.0], [1.0, 0.5, 0.01, 1.0, 5.0], **PD14)
    assert np.all((found >= 0.0) & (found <= 1.0 + 1e-9))
    assert found[0] == found[1] == 1.0


def test_a_simulated_neuron() -> None:
    """Exact Ornstein-Uhlenbeck steps of 0.02 ms, with the threshold raised for them."""
    rng, dt, tau, mu, sigma = np.random.default_rng(5), 0.02, 10.0, 14.0, 4.0
    decay = math.exp(-dt / tau)
    kick = sigma * math.sqrt((1 - decay**2) / 2)
    v, last, count = np.zeros(3000), np.full(3000, np.nan), np.zeros(3000)
    threshold, total, square = 15.0 - 0.5826 * sigma * math.sqrt(dt / tau), 0.0, 0.0
    for k in range(12_000):
        v = mu + (v - mu) * decay + kick * rng.standard_normal(3000)
        fired = v > threshold
        interval = (k - last[fired]) * dt
        known = interval[~np.isnan(interval)]
        total, square, count[fired] = total + known.sum(), square + (known**2).sum(), count[fired] + 1
        v[fired], last[fired] = 0.0, k
    n = count.sum() - (count > 0).sum()
    cv = math.sqrt(square / n - (total / n) ** 2) / (total / n)
    # Long intervals are cut off by the end of the simulation: 240 ms against a mean of 25 ms.
    assert siegert_cv(mu, sigma, **{**PD14, "t_refractory_ms": 0.0}) == pytest.approx(cv, rel=0.04)


def test_another_implementation() -> None:
    exp = pytest.importorskip("nnmt.lif.exp", reason="the GPL reference is not installed")
    rng = np.random.default_rng(0)
    mu, sigma = rng.uniform(0.0, 20.0, 12), rng.uniform(3.0, 8.0, 12)
    shift = coloured_noise_shift(1.0, tau_s_ms=0.5, tau_m_ms=10.0)
    rates = exp._firing_rate_shift(mu, sigma, 0.0, 15.0, 10e-3, 2e-3, 0.5e-3)
    np.testing.assert_allclose(siegert_rate(mu, sigma, shift=shift, **PD14), rates, rtol=1e-6)
    cvs = exp._cvs(rates, mu, sigma, np.zeros(12), np.full(12, 15.0), np.full(12, 10e-3), np.full(12, 0.5e-3))
    np.testing.assert_allclose(siegert_cv(mu, sigma, shift=shift, **PD14), cvs, rtol=1e-4)
