"""State scores against closed forms: what is scored is known, so what must come out is known too."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from compare_synthetic import brain, network, relaxation

from cortexres.compare import at_bins, constant_trace, model_nulls, state_scores
from cortexres.compare.variance import mean_noise
from cortexres.errors import ArgumentError, SchemaError

STIMULI, UNITS, TIMES, TRIALS, SD = 10, 5, 20, 5, 4.0
LATE_BINS = 10


def truth() -> tuple[np.ndarray, xr.Dataset]:
    """Return the bin means of a network, (stimulus, time, unit), and that network."""
    rng = np.random.default_rng(100)
    net = network(relaxation(STIMULI, UNITS, np.arange(TIMES + 1) * 5.0, rng))
    empty = brain(np.zeros((STIMULI, TIMES, UNITS)), sd=0.0, trials=1, rng=rng)
    return at_bins(net, empty)["response"].values, net


def squares(values: np.ndarray) -> float:
    return float(np.sum((values - values.mean()) ** 2))


def runs(net: xr.Dataset, repeats: int = 150) -> xr.Dataset:
    signal, _ = truth()
    rng = np.random.default_rng(0)
    scores = [state_scores(brain(signal, sd=SD, trials=TRIALS, rng=rng), net) for _ in range(repeats)]
    return xr.concat(scores, "run")


def within(values: xr.DataArray, expected: float) -> None:
    error = float(values.std(ddof=1)) / np.sqrt(values.size)
    assert abs(float(values.mean()) - expected) < 4 * error, (float(values.mean()), expected, error)


def test_the_true_network_scores_the_ceiling_and_one_without_noise() -> None:
    signal, net = truth()
    scores = runs(net)
    n, noise = signal.size, SD**2 / TRIALS
    ceiling = 1 - n * noise / (squares(signal) + (n - 1) * noise)
    within(scores["r2"], ceiling)
    within(scores["r2_ceiling"], ceiling)
    within(scores["r2_denoised"], 1.0)


def test_the_shape_has_its_own_noise() -> None:
    signal, net = truth()
    scores = runs(net)
    shape = signal - signal[:, LATE_BINS:].mean(axis=1, keepdims=True)
    # Sum over bins of the variance of bin minus late mean, and what the grand mean takes away of it.
    spread = SD**2 / TRIALS * STIMULI * UNITS * (TIMES + TIMES / LATE_BINS - 2)
    of_mean = SD**2 / TRIALS * (TIMES / LATE_BINS - 1)
    ceiling = 1 - spread / (squares(shape) + spread - of_mean)
    within(scores["shape_r2"], ceiling)
    within(scores["shape_ceiling"], ceiling)
    within(scores["shape_denoised"], 1.0)


def test_a_wrong_network_scores_its_noise_free_variance() -> None:
    signal, net = truth()
    wrong = net.assign(response=net["response"] * 1.1)
    wrong = wrong.assign(update=net["update"] * 1.1)
    wrong["response"].attrs["units"] = wrong["update"].attrs["units"] = "Hz"
    scores = runs(wrong)
    within(scores["r2_denoised"], 1 - np.sum((0.1 * signal) ** 2) / squares(signal))
    shape = signal - signal[:, LATE_BINS:].mean(axis=1, keepdims=True)
    within(scores["shape_denoised"], 1 - np.sum((0.1 * shape) ** 2) / squares(shape))


def test_noise_shared_by_bins_is_estimated_from_the_trials() -> None:
    signal, net = truth()
    rng = np.random.default_rng(1)
    results = []
    for _ in range(150):
        data = brain(signal, sd=0.5, trials=TRIALS, rng=rng)
        # An offset per trial moves all bins alike: it is noise of the rates, and none of the shape.
        data["response"] = data["response"] + 4.0 * rng.standard_normal((STIMULI, TRIALS, 1, UNITS))
        data["response"].attrs["units"] = "Hz"
        results.append(state_scores(data, net))
    scores = xr.concat(results, "run")
    shape = signal - signal[:, LATE_BINS:].mean(axis=1, keepdims=True)
    spread = 0.25 / TRIALS * STIMULI * UNITS * (TIMES + TIMES / LATE_BINS - 2)
    within(scores["shape_ceiling"], 1 - spread / (squares(shape) + spread - 0.25 / TRIALS))
    within(scores["shape_denoised"], 1.0)
    within(scores["r2_denoised"], 1.0)


def test_noise_free_data_score_one_and_steady_errors_are_exact() -> None:
    signal, net = truth()
    data = brain(signal, sd=0.0, trials=2, rng=np.random.default_rng(2))
    scores = state_scores(data, net)
    for name in ("r2", "r2_ceiling", "r2_denoised", "shape_r2", "shape_ceiling", "shape_denoised"):
        assert float(scores[name]) == pytest.approx(1.0, abs=1e-12)
    assert float(scores["steady_error_p90"]) == pytest.approx(0.0, abs=1e-12)
    off = net.assign(response=net["response"] * np.where(np.arange(UNITS) < 3, 1.02, 1.3)).drop_vars("update")
    off["update"] = off["response"].diff("block").reindex(block=off["block"], fill_value=0.0)
    off["response"].attrs["units"] = off["update"].attrs["units"] = "1"
    scores = state_scores(data, off)
    assert float(scores["steady_error_median"]) == pytest.approx(0.02)
    assert float(scores["steady_error_p90"]) == pytest.approx(0.3)


def test_constant_trace_is_the_late_mean_and_its_score_is_pooled() -> None:
    signal, net = truth()
    data = brain(signal, sd=0.0, trials=2, rng=np.random.default_rng(3))
    final = signal[:, LATE_BINS:].mean(axis=1, keepdims=True)
    constant = constant_trace(data)
    assert constant.dims == ("stimulus", "time", "unit")
    np.testing.assert_allclose(constant, np.broadcast_to(final, signal.shape))
    expected = 1 - np.sum((signal - final) ** 2) / squares(signal)
    assert float(state_scores(data, net)["constant_r2"]) == pytest.approx(expected)
    assert 0 < expected < 1
    last = constant_trace(data, late=(95.0, 100.0))
    np.testing.assert_allclose(last[:, 0], signal[:, -1])


def test_windows_choose_the_bins() -> None:
    signal, net = truth()
    data = brain(signal, sd=0.0, trials=2, rng=np.random.default_rng(4))
    scores = state_scores(data, net, window=(-20.0, 40.0), late=(80.0, 100.0))
    assert scores.attrs["window_ms"] == [2.5, 37.5]
    part = signal[:, :8]
    final = signal[:, 16:].mean(axis=1, keepdims=True)
    assert float(scores["constant_r2"]) == pytest.approx(1 - np.sum((part - final) ** 2) / squares(part))


def test_bins_before_onset_do_not_count() -> None:
    signal, net = truth()
    data = brain(
        np.concatenate([signal + 50, signal], axis=1), sd=0.0, trials=2, rng=np.random.default_rng(5)
    )
    time = data["time"].variable
    data = data.assign_coords(time=("time", time.values - 100.0, time.attrs))
    assert float(state_scores(data, net)["r2"]) == pytest.approx(1.0)
    assert constant_trace(data).sizes["time"] == TIMES


def test_currents_are_scored_where_both_sides_have_them() -> None:
    signal, net = truth()
    data = brain(signal, sd=0.0, trials=2, rng=np.random.default_rng(6))
    assert "currents_excitatory_r2" not in state_scores(data, net)
    for side in (data, net):
        side["recurrent_excitatory"] = side["response"] * 0.1
        side["recurrent_inhibitory"] = side["response"] * -0.2
        side["recurrent_excitatory"].attrs["units"] = side["recurrent_inhibitory"].attrs["units"] = "mV"
    net["recurrent_inhibitory"] = net["recurrent_inhibitory"] * 1.1
    net["recurrent_inhibitory"].attrs["units"] = "mV"
    scores = state_scores(data, net)
    assert float(scores["currents_excitatory_r2"]) == pytest.approx(1.0)
    expected = 1 - np.sum((0.1 * signal) ** 2) / squares(signal)
    assert float(scores["currents_inhibitory_r2"]) == pytest.approx(expected)


def test_one_trial_has_no_ceiling() -> None:
    signal, net = truth()
    scores = state_scores(brain(signal, sd=1.0, trials=1, rng=np.random.default_rng(7)), net)
    assert np.isfinite(scores["r2"])
    assert np.isnan(scores["r2_ceiling"])
    assert np.isnan(scores["r2_denoised"])
    assert np.isnan(mean_noise(np.ones((2, 1, 3)))).all()


def test_a_ceiling_not_above_zero_is_warned_about_and_denoised_is_nan() -> None:
    _, net = truth()
    flat = np.full((STIMULI, TIMES, UNITS), 30.0)
    # Trials that differ, with a mean that hardly does: noise is estimated above the variance of the mean.
    data = brain(flat, sd=0.0, trials=2, rng=np.random.default_rng(8))
    data["response"][:, 0] += 1.0
    data["response"][:, 1] -= 1.0
    data["response"][0, 0, 0, 0] += 0.1
    with (
        pytest.warns(UserWarning, match="rates: ceiling not"),
        pytest.warns(UserWarning, match="shape: ceiling not"),
    ):
        scores = state_scores(data, net, window=(0.0, 50.0))
    assert np.isnan(scores["r2_denoised"])
    assert float(scores["r2_ceiling"]) < 0


def test_constant_and_silent_brains_are_nan_not_numbers() -> None:
    _, net = truth()
    data = brain(np.zeros((STIMULI, TIMES, UNITS)), sd=0.0, trials=2, rng=np.random.default_rng(9))
    scores = state_scores(data, net)
    assert np.isnan(scores["r2"])
    assert np.isnan(scores["steady_error_median"])
    assert scores.attrs["silent"] == STIMULI * UNITS


def test_model_nulls_stand_along_model_with_their_names() -> None:
    signal, net = truth()
    data = brain(signal, sd=1.0, trials=4, rng=np.random.default_rng(10))
    flat = network(np.broadcast_to(net["response"].values[:, :1], (STIMULI, TIMES + 1, UNITS)).copy())
    scores = model_nulls(data, {"derived": net, "no dynamics": flat})
    assert scores["r2"].dims == ("model",)
    assert list(scores["name"].values) == ["derived", "no dynamics"]
    assert float(scores["r2"][0]) > 0.9 > float(scores["r2"][1])
    assert float(scores["r2"][0]) == float(state_scores(data, net)["r2"])
    current = data["response"].copy(data=0.1 * data["response"].values).assign_attrs(units="mV")
    own = net["response"].copy(data=0.1 * net["response"].values).assign_attrs(units="mV")
    part = model_nulls(
        data.assign(recurrent_excitatory=current), {"a": net, "b": net.assign(recurrent_excitatory=own)}
    )
    np.testing.assert_array_equal(np.isnan(part["currents_excitatory_r2"]), [True, False])
    with pytest.raises(ArgumentError, match="got no networks"):
        model_nulls(data, {})


def test_a_network_that_ends_early_is_scored_as_far_as_it_goes_and_warned_about() -> None:
    signal, net = truth()
    data = brain(signal, sd=0.0, trials=2, rng=np.random.default_rng(11))
    with pytest.warns(UserWarning, match="covers 10 of the 20 bins"):
        scores = state_scores(data, net.isel(block=slice(0, 11)))
    assert scores.attrs["late_ms"] == [25.0, 50.0]
    assert float(scores["r2"]) == pytest.approx(1.0)


def test_unfit_input_is_refused() -> None:
    signal, net = truth()
    data = brain(signal, sd=0.0, trials=2, rng=np.random.default_rng(12))
    with pytest.raises(SchemaError, match=r"units differ: brain has 5 .*compare.linear_map_r2"):
        state_scores(data, net.isel(unit=[0, 1]))
    names = [f"E{k}" for k in range(UNITS)]
    named = data.assign_coords(name=("unit", names)), net.assign_coords(name=("unit", names[::-1]))
    with pytest.raises(SchemaError, match=r"units differ.*E0, E1, E2.*E4, E3, E2"):
        state_scores(*named)
    with pytest.raises(SchemaError, match="stimulus ids differ"):
        state_scores(data, net.isel(stimulus=slice(1, None)))
    with pytest.raises(ArgumentError, match=r"late: no bin centre lies in 300..400 ms"):
        state_scores(data, net, late=(300.0, 400.0))
