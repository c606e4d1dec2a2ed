"""Intrinsic time scales: known ones come out of short trials, counting noise, drift and responses to stimuli."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from compare_synthetic import brain, network
from scipy.signal import lfilter

from cortexres.compare.dynamics.autocorrelation import fit_decay, intrinsic_timescale
from cortexres.errors import ArgumentError

TAU = 40.0
STEP = 10.0


def fluctuating(
    rng: np.random.Generator, *, bins: int = 20, units: int = 12, trials: int = 40, counting: float = 0.0
) -> xr.Dataset:
    """Return rates of 3 stimuli whose trials fluctuate with time constant `TAU` around strong responses."""
    keep = np.exp(-STEP / TAU)
    shocks = rng.standard_normal((3, trials, bins + 60, units)) * np.sqrt(1 - keep**2)
    noise = lfilter([1.0], [1.0, -keep], shocks, axis=2)[:, :, 60:]
    signal = 100 + 30 * rng.standard_normal((3, 1, bins, units)).cumsum(axis=2) / bins
    response = signal + noise + counting * rng.standard_normal(noise.shape)
    data = brain(signal[:, 0], sd=0.0, trials=trials, rng=rng, bin_ms=STEP)
    return data.assign(response=(data["response"].dims, response, {"units": "Hz"}))


def test_exact_decay_is_found_exactly() -> None:
    lags = STEP * np.arange(30)
    taus = np.geomspace(2.0, 900.0, 400)
    for tau in (5.0, 40.0, 130.0):
        values = 0.6 * np.exp(-lags / tau) + 0.1
        values[0] = 1.0  # counting noise
        weights = np.where(lags > 0, 30.0 - np.arange(30), 0.0)
        found = fit_decay(lags, values, weights, taus)
        assert found.tau == pytest.approx(tau, rel=1e-6)
        assert found.amplitude == pytest.approx(0.6, rel=1e-5)
        assert found.offset == pytest.approx(0.1, rel=1e-5)


@pytest.mark.parametrize("counting", [0.0, 1.0])
def test_known_time_scale_of_short_trials(counting: float) -> None:
    """Trials of five time constants: the mean over time would take away what it is to measure."""
    found = [
        float(intrinsic_timescale(fluctuating(np.random.default_rng(seed), counting=counting), bootstraps=1)["tau_ms"])
        for seed in range(12)
    ]
    error = np.std(found, ddof=1) / np.sqrt(12)
    assert abs(np.mean(found) - TAU) < max(4 * error, 0.03 * TAU)
    assert error < 0.06 * TAU


def test_autocorrelation_is_that_of_the_process() -> None:
    data = fluctuating(np.random.default_rng(1), trials=400)
    found = intrinsic_timescale(data, bootstraps=1)
    np.testing.assert_allclose(found["autocorrelation"], np.exp(-found["lag_ms"] / TAU), atol=0.03)
    assert float(found["autocorrelation"][0]) == pytest.approx(1.0)
    np.testing.assert_allclose(found["fitted"], found["autocorrelation"], atol=0.03)


def test_drift_between_trials_is_the_offset() -> None:
    rng = np.random.default_rng(2)
    data = fluctuating(rng, trials=200)
    drift = 2.0 * rng.standard_normal((3, 200, 1, 12))
    drifting = data.assign(response=(data["response"].dims, data["response"].values + drift, {"units": "Hz"}))
    found = intrinsic_timescale(drifting, bootstraps=1)
    assert float(found["offset"]) == pytest.approx(4 / 5, abs=0.05)
    assert float(found["tau_ms"]) == pytest.approx(TAU, rel=0.25)


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(60):
        data = fluctuating(np.random.default_rng(100 + seed), units=4, trials=30)
        found = intrinsic_timescale(data, bootstraps=100, rng=seed)
        covered += bool(found["tau_ms_low"] <= TAU <= found["tau_ms_high"])
    assert 50 <= covered <= 60


def test_interval_of_two_trials_counts_what_they_say_once() -> None:
    """Deviations of two trials from their mean are the same but for the sign: resampled as two, they cover 2 in 3."""
    covered = 0
    for seed in range(60):
        data = fluctuating(np.random.default_rng(200 + seed), bins=60, units=4, trials=2)
        more = [fluctuating(np.random.default_rng(1000 * k + seed), bins=60, units=4, trials=2) for k in (1, 2, 3)]
        data = xr.concat([data, *more], "stimulus", join="override", data_vars="all")
        data = data.assign_coords(stimulus=np.arange(12))
        found = intrinsic_timescale(data, bootstraps=100, rng=seed)
        covered += bool(found["tau_ms_low"] <= TAU <= found["tau_ms_high"])
    assert 48 <= covered <= 60


def test_window_seed_and_what_the_result_says() -> None:
    data = fluctuating(np.random.default_rng(3))
    first, again = (intrinsic_timescale(data, bootstraps=20, rng=4) for _ in range(2))
    xr.testing.assert_equal(first, again)
    assert intrinsic_timescale(data, window=(0.0, 95.0), bootstraps=1).sizes["lag"] == 10
    assert (first.attrs["n_units"], first.attrs["n_trials"]) == (12, 40)
    silent = data.copy(deep=True)
    silent["response"][..., 0] = 5.0
    assert intrinsic_timescale(silent, bootstraps=1).attrs["n_units"] == 11
    silent["response"][..., 0, :] = 5.0  # a bin in which nothing varies
    found = intrinsic_timescale(silent, bootstraps=10, rng=0)
    assert np.isnan(found["autocorrelation"][-1])
    assert float(found["tau_ms"]) == pytest.approx(float(first["tau_ms"]), rel=0.3)


def test_no_decay_is_undefined() -> None:
    rng = np.random.default_rng(5)
    alternating = 100 + rng.standard_normal((3, 40, 1, 4)) * (-1.0) ** np.arange(20)[None, None, :, None]
    data = fluctuating(rng, units=4)
    data = data.assign(response=(data["response"].dims, alternating, {"units": "Hz"}))
    found = intrinsic_timescale(data, bootstraps=10, rng=0)
    assert np.isnan(found["tau_ms"])
    assert np.isnan(found["tau_ms_low"])
    assert "no decay" in found["tau_ms"].attrs["undefined"]


def test_arguments_are_checked() -> None:
    data = fluctuating(np.random.default_rng(6))
    with pytest.raises(ArgumentError, match="got 1 trial of time"):
        intrinsic_timescale(data.isel(trial=[0]))
    with pytest.raises(ArgumentError, match="got 1 trial of block"):
        intrinsic_timescale(network(np.random.default_rng(0).standard_normal((3, 9, 2))))
    with pytest.raises(ArgumentError, match="got first_lag=17 and 20 bins"):
        intrinsic_timescale(data, first_lag=17)
    with pytest.raises(ArgumentError, match="got bootstraps=0"):
        intrinsic_timescale(data, bootstraps=0)
    constant = data.assign(response=data["response"] * 0 + 1)
    constant["response"].attrs = {"units": "Hz"}
    with pytest.raises(ArgumentError, match="got no unit whose trials differ"):
        intrinsic_timescale(constant)
