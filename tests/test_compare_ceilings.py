"""Ceilings are what simulation says they are: of states and velocities, trials, sessions, subjects and paired runs."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from compare_synthetic import brain, network
from macaque_it import macaque_it, needs_macaque_it
from scipy.io import loadmat

from cortexres.compare import compare, linear_cka, rsa, rsa_correlation, rsa_crossnobis, rsa_spearman
from cortexres.compare.ceilings import (
    dissimilarity_ceiling,
    halves,
    paired_ceiling,
    paired_difference,
    subject_ceiling,
    trial_ceiling,
    variance_ceiling,
)
from cortexres.compare.ceilings.quantity import quantity
from cortexres.compare.measures.dissimilarities import squared_euclidean
from cortexres.compare.measures.kendall_rsa import tau_a
from cortexres.compare.measures.measure import Measure
from cortexres.compare.measures.pair_comparisons import cosine, pearson, rho_a, spearman
from cortexres.errors import ArgumentError, SchemaError

RECORDINGS = Path(__file__).parents[2] / "shared/data/recordings"
distance = Measure(
    "distance", lambda x: x, lambda a, b: ((a[:, None] - b[None]) ** 2).mean((-2, -1)) ** 0.5, orientation="distance"
)


def rotating(n: int, rng: np.random.Generator, units: int = 6, times: int = 8) -> np.ndarray:
    """Return states (stimulus, time, unit) whose relations between stimuli change with time."""
    early, late = rng.standard_normal((2, n, units))
    turn = np.linspace(0.0, np.pi / 2, times)[:, None]
    return 30 + 3 * (early[:, None] * np.cos(turn) + late[:, None] * np.sin(turn))


def test_the_state_ceiling_is_the_one_of_the_map() -> None:
    rng = np.random.default_rng(0)
    states = rotating(12, rng)
    data = brain(states, sd=4.0, trials=6, rng=rng)
    expected = compare(data, network(states), metrics=[rsa], rng=0)["rsa_ceiling"]
    found = trial_ceiling(data, metric=rsa, rng=0)
    np.testing.assert_allclose(found["ceiling"], expected, rtol=1e-12)
    assert found.attrs["p"] == pytest.approx(expected.attrs["p"])
    assert found["ceiling"].dims == ("time",)
    assert found.attrs["measure"] == "rsa"
    assert found.attrs["n_stimuli"] == 12


def test_a_velocity_is_the_difference_over_the_distance_at_the_time_between() -> None:
    rng = np.random.default_rng(1)
    slope = rng.uniform(-1.0, 1.0, (5, 1, 4))
    data = brain(50 + slope * ((np.arange(8) + 0.5) * 5.0)[:, None], sd=0.0, trials=3, rng=rng)
    for lag in (1, 3):
        found = quantity(data, "velocity", lag)
        np.testing.assert_allclose(found.trials, np.broadcast_to(slope[:, None], (5, 3, 8 - lag, 4)), rtol=1e-9)
        np.testing.assert_allclose(found.time.values, (np.arange(8 - lag) + 0.5 + lag / 2) * 5.0)
        assert found.lag_ms == pytest.approx(5.0 * lag)


def test_the_velocity_ceiling_is_below_the_state_one_where_the_noise_is_white() -> None:
    rng = np.random.default_rng(2)
    data = brain(rotating(20, rng), sd=3.0, trials=10, rng=rng)
    state = trial_ceiling(data, rng=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        velocity = trial_ceiling(data, of="velocity", rng=0)
    assert velocity.sizes["time"] == 7
    assert float(velocity["ceiling"].max()) < 0.5 * float(state["ceiling"].min())
    assert velocity.attrs["lag_ms"] == 5.0


def simulated_ceilings(sd: float, seed: int) -> np.ndarray:
    """Return means of: ceiling, model_ceiling, score of the true response, reliability, score of a repetition."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(10):
        states = rotating(40, rng, units=40, times=2) + 100
        data, other = (brain(states, sd=sd, trials=8, rng=rng) for _ in range(2))
        result = trial_ceiling(data, splits=10, permutations=19, rng=rng)
        means = [side["response"].mean("trial").values for side in (data, other)]
        right, again = (
            [linear_cka(means[0][:, k], values[:, k]) for k in range(2)] for values in (states, means[1])
        )
        found.append([*(result[name] for name in ("ceiling", "model_ceiling")), right, result["reliability"], again])
    return np.mean(found, axis=(0, 2))


def test_corrected_ceilings_are_what_the_true_response_and_a_repetition_score() -> None:
    half, root, right, reliability, again = simulated_ceilings(2.0, 3)
    assert half == pytest.approx(0.81, abs=0.02)
    assert root == pytest.approx(right, abs=0.01)
    assert reliability == pytest.approx(again, abs=0.015)
    assert half < again - 0.05


def test_corrected_ceilings_are_too_low_where_noise_is_large_as_documented() -> None:
    half, root, right, reliability, again = simulated_ceilings(6.0, 4)
    assert half == pytest.approx(0.25, abs=0.03)
    assert right - 0.08 < root < right - 0.02
    assert again - 0.08 < reliability < again - 0.02


def test_sessions_stay_together_and_their_drift_counts_as_noise() -> None:
    rng = np.random.default_rng(5)
    states = rotating(20, rng)
    data = brain(states, sd=0.5, trials=12, rng=rng)
    session = np.repeat(np.arange(4), 3)
    drift = 4 * rng.standard_normal((20, 4, 1, 6))
    data["response"] = data["response"] + drift[:, session] + 20
    data = data.assign_coords(session=("trial", session))
    data["response"].attrs["units"] = "Hz"
    mixed, kept = trial_ceiling(data, rng=0), trial_ceiling(data, by="session", rng=0)
    assert float(kept["ceiling"].mean()) < float(mixed["ceiling"].mean()) - 0.1
    assert kept.attrs["halves"] == "of sessions"


def test_the_p_value_holds_its_level_without_signal_and_finds_the_times_with_signal() -> None:
    rng = np.random.default_rng(6)
    p = []
    for _ in range(200):
        noise = brain(np.full((10, 4, 5), 30.0), sd=1.0, trials=4, rng=rng)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            p.append(trial_ceiling(noise, splits=1, permutations=19, rng=rng))
    over_all = np.array([each.attrs["p"] for each in p])
    least = np.array([float(each["p"].min()) for each in p])
    for level in (0.05, 0.5):
        for found in (over_all, least):
            assert abs(np.mean(found <= level + 1e-9) - level) < 4 * np.sqrt(level * (1 - level) / 200)
    signal = np.full((20, 8, 6), 30.0)
    signal[:, 4:] += 2 * rng.standard_normal((20, 1, 6))
    found = trial_ceiling(brain(signal, sd=1.0, trials=8, rng=rng), rng=0)
    np.testing.assert_array_equal(found["p"] <= 0.05, np.arange(8) >= 4)


def test_several_splits_do_not_make_noise_look_reliable() -> None:
    rng = np.random.default_rng(7)
    p = []
    for _ in range(120):
        noise = brain(np.full((8, 1, 5), 30.0), sd=1.0, trials=4, rng=rng)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            p.append(trial_ceiling(noise, splits=12, permutations=19, rng=rng).attrs["p"])
    assert np.mean(np.array(p) <= 0.1 + 1e-9) < 0.1 + 4 * np.sqrt(0.09 / 120)


def test_noise_is_warned_about_one_trial_and_flat_times_say_why() -> None:
    rng = np.random.default_rng(8)
    noise = brain(np.full((20, 8, 6), 30.0), sd=1.0, trials=6, rng=rng)
    with pytest.warns(UserWarning, match="linear_cka of the velocity: ceiling not above zero after onset"):
        trial_ceiling(noise, of="velocity", rng=0)
    states = rotating(10, rng)
    one = trial_ceiling(brain(states, sd=1.0, trials=1, rng=rng), rng=0)
    assert np.isnan(one["ceiling"]).all()
    assert one["ceiling"].attrs["undefined"] == "everywhere: one trial has no halves"
    three = trial_ceiling(brain(states, sd=1.0, trials=3, rng=rng), metric=rsa_crossnobis, rng=0)
    assert three["ceiling"].attrs["undefined"] == "everywhere: rsa_crossnobis needs 4 trials for two halves, got 3"
    data = brain(states, sd=1.0, trials=4, rng=rng)
    data["response"][:, :, 2] = 12.0
    flat = trial_ceiling(data, rng=0)
    assert int(np.isnan(flat["ceiling"]).sum()) == 1
    assert flat["p"].attrs["undefined"] == "12.5 ms: half the trials are the same for all stimuli"


def test_stimuli_that_differ_in_noise_alone_have_a_ceiling_in_raw_distances_and_none_in_debiased_cka() -> None:
    rng = np.random.default_rng(17)
    sd = rng.uniform(0.5, 3.0, (20, 1, 1, 1))
    data = brain(np.full((20, 10, 30), 50.0), sd=0.0, trials=10, rng=rng)
    data["response"] = data["response"] + sd * rng.standard_normal(data["response"].shape)
    data["response"].attrs["units"] = "Hz"
    assert float(trial_ceiling(data, metric=rsa, rng=0)["ceiling"].mean()) > 0.5
    with pytest.warns(UserWarning, match="linear_cka of the state: ceiling not above zero"):
        assert abs(float(trial_ceiling(data, rng=0)["ceiling"].mean())) < 0.05


def test_what_is_not_above_zero_has_no_root_and_is_not_clipped() -> None:
    rng = np.random.default_rng(9)
    with pytest.warns(UserWarning, match="ceiling not above zero"):
        found = trial_ceiling(brain(np.full((12, 30, 6), 30.0), sd=1.0, trials=4, rng=rng), splits=1, rng=0)
    low = found["ceiling"] <= 0
    assert bool(low.any())
    np.testing.assert_array_equal(np.isnan(found["model_ceiling"]), low)
    assert bool((found["reliability"] < 0).any())
    assert "reliability not above zero" in found["model_ceiling"].attrs["undefined"]


def test_a_distance_has_a_floor_and_no_correction() -> None:
    rng = np.random.default_rng(10)
    found = trial_ceiling(brain(rotating(10, rng), sd=1.0, trials=8, rng=rng), metric=distance, rng=0)
    assert found.attrs["orientation"] == "distance"
    # Two means of four trials each differ by the root of 2/4 of the noise's standard deviation.
    np.testing.assert_allclose(found["ceiling"], np.sqrt(0.5), atol=0.15)
    assert found.attrs["p"] == pytest.approx(1 / 200)
    assert np.isnan(found["reliability"]).all()
    assert "a distance has no Spearman-Brown" in found["model_ceiling"].attrs["undefined"]


def test_the_variance_ceiling_is_the_r2_of_the_true_response() -> None:
    rng = np.random.default_rng(11)
    states = rotating(30, rng, units=20)
    data = brain(states, sd=4.0, trials=5, rng=rng)
    found = variance_ceiling(data)
    mean = data["response"].mean("trial").values
    centred, truth = mean - mean.mean(0), states - states.mean(0)
    r2 = 1 - np.sum((centred - truth) ** 2, axis=(0, 2)) / np.sum(centred**2, axis=(0, 2))
    np.testing.assert_allclose(found["ceiling"], r2, atol=0.08)
    assert float(found["ceiling"].mean()) == pytest.approx(float(r2.mean()), abs=0.02)
    assert found["total"].attrs["units"] == "(Hz)2"
    velocity = variance_ceiling(data, of="velocity")
    assert float(velocity["ceiling"].max()) < float(found["ceiling"].min())
    assert velocity["noise"].attrs["units"] == "(Hz ms-1)2"
    assert np.isnan(variance_ceiling(data.isel(trial=[0]))["ceiling"]).all()
    noise = brain(np.full((4, 2, 3), 30.0), sd=0.0, trials=6, rng=rng)
    noise["response"] = noise["response"] + (np.arange(6) % 2)[:, None, None]
    noise["response"].attrs["units"] = "Hz"
    noise["response"][:, :, 0, 0] += xr.DataArray([0.1, 0.0, 0.0, 0.0], dims="stimulus")
    with pytest.warns(UserWarning, match="explained variance of the state: ceiling not above zero at any time"):
        variance_ceiling(noise)


def subjects(seed: int, *, count: int = 4, sd: float = 2.0, shared: bool = True) -> dict[str, xr.Dataset]:
    """Return brains whose units differ and whose relations between stimuli are the same, but for noise."""
    rng = np.random.default_rng(seed)
    states = rotating(15, rng, units=10)
    result = {}
    for k in range(count):
        own = states if shared else rotating(15, rng, units=10)
        mixed = own @ np.linalg.qr(rng.standard_normal((10, 10)))[0]
        data = brain(mixed - mixed.min() + 1, sd=0.0, trials=2, rng=rng)
        data["response"] = data["response"] + sd * rng.standard_normal((15, 1, 8, 10))
        data["response"].attrs.update(units="Hz", relative_to="the mean")
        result[f"s{k}"] = data
    return result


def test_a_right_model_lies_between_the_bounds_over_subjects() -> None:
    rng = np.random.default_rng(12)
    truth = rotating(15, np.random.default_rng(12), units=10)
    inside = []
    for seed in range(12, 22):
        truth = rotating(15, np.random.default_rng(seed), units=10)
        people = subjects(seed)
        found = subject_ceiling(people, rng=rng, permutations=19)
        assert bool((found["lower"] < found["upper"]).all())
        np.testing.assert_allclose(found["each"].mean("subject"), found["lower"], rtol=1e-12)
        scores = [[rsa(p["response"].values[:, 0, t], truth[:, t]) for p in people.values()] for t in range(8)]
        inside.append([found["lower"].values, np.mean(scores, axis=1), found["upper"].values])
    low, right, high = np.mean(inside, axis=(0, 2))
    assert low < right < high
    assert found.attrs["p"] == pytest.approx(1 / 20)
    assert found.attrs["n_subjects"] == 4
    assert list(found["name"].values) == ["s0", "s1", "s2", "s3"]


def test_no_model_passes_the_upper_bound_even_one_made_for_it() -> None:
    people = subjects(30)
    found = subject_ceiling(people, rng=0, permutations=19)
    relations = np.stack([rsa.relations(p["response"].values[:, 0, 3][None])[0] for p in people.values()])
    rng = np.random.default_rng(0)
    best = relations.mean(0) / np.linalg.norm(relations.mean(0))
    assert float(np.mean(relations @ best)) == pytest.approx(float(found["upper"][3]), abs=1e-12)
    for _ in range(200):
        other = best + 0.05 * rng.standard_normal(best.size)
        assert np.mean(relations @ other) / np.linalg.norm(other) <= float(found["upper"][3])


def test_subjects_that_share_nothing_are_warned_about_and_hold_the_level() -> None:
    p = []
    for seed in range(60):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            p.append(subject_ceiling(subjects(seed, count=3, shared=False), permutations=19, rng=seed).attrs["p"])
    assert np.mean(np.array(p) <= 0.1 + 1e-9) < 0.1 + 4 * np.sqrt(0.09 / 60)
    with pytest.warns(UserWarning, match="rsa of the velocity over subjects: ceiling not above zero"):
        subject_ceiling(subjects(3, count=3, shared=False), of="velocity", rng=1)


def test_a_subject_without_relations_makes_the_bounds_undefined() -> None:
    people = subjects(40)
    people["s1"]["response"][:, :, 2] = 5.0
    found = subject_ceiling(people, rng=0, permutations=19)
    np.testing.assert_array_equal(np.isnan(found["lower"]), np.arange(8) == 2)
    assert found["lower"].attrs["undefined"] == "a subject has no relations between stimuli"


@pytest.mark.parametrize("metric", [rsa, rsa_correlation, rsa_spearman], ids=lambda m: m.name)
def test_bounds_of_activities_and_of_their_dissimilarities_agree(metric) -> None:  # noqa: ANN001
    people = subjects(50)
    found = subject_ceiling(people, metric=metric, rng=0, permutations=19)
    if metric is rsa_correlation:
        from cortexres.compare.measures.dissimilarities import one_minus_correlation as dissimilarity
    else:
        dissimilarity = squared_euclidean
    stacked = np.stack([dissimilarity(p["response"].values[:, 0].swapaxes(0, 1)) for p in people.values()])
    movie = xr.DataArray(stacked, dims=("subject", "time", "stimulus", "stimulus_2"))
    other = dissimilarity_ceiling(movie, comparison=spearman if metric is rsa_spearman else pearson)
    for name in ("lower", "upper", "each"):
        # The mean of ranks is ranked again there, which costs a little.
        np.testing.assert_allclose(found[name], other[name], atol=0.03 if metric is rsa_spearman else 1e-12)
    assert other["lower"].dims == ("time",)


def human_it() -> np.ndarray:
    """Return the dissimilarities (subject 4, session 2, 92, 92) of human IT, or skip."""
    found = sorted(RECORDINGS.glob("rsatoolbox92/**/92_brainRDMs.mat"))
    if not found:
        pytest.skip("the 92 images' recordings are not here")
    table = loadmat(found[0])["RDMs"]
    return np.array([[table[0, s, k]["RDM"] for k in range(2)] for s in range(4)], dtype=float)


@pytest.mark.parametrize(
    ("comparison", "lower", "upper"),
    [(pearson, 0.3944, 0.6804), (rho_a, 0.3723, 0.6657), (tau_a, 0.2539, 0.4767), (cosine, 0.9881, 0.9933)],
    ids=["pearson", "rho_a", "tau_a", "cosine"],
)
def test_ceilings_of_human_it_are_the_listed_ones(comparison, lower: float, upper: float) -> None:  # noqa: ANN001
    subjects_mean = human_it().mean(axis=1)
    movie = xr.DataArray(subjects_mean, dims=("subject", "stimulus", "stimulus_2"))
    found = dissimilarity_ceiling(movie, comparison=comparison)
    assert float(found["lower"]) == pytest.approx(lower, abs=5e-5)
    assert float(found["upper"]) == pytest.approx(upper, abs=5e-5)


def test_sessions_of_human_it_are_as_reliable_as_listed() -> None:
    sessions = human_it()
    values = [float(spearman(each[0][None], each[1][None])[0, 0]) for each in sessions]
    np.testing.assert_allclose(values, [0.277, 0.095, 0.383, 0.120], atol=6e-4)


@needs_macaque_it
def test_reliability_of_macaque_it_is_the_listed_one() -> None:
    found = trial_ceiling(macaque_it(), metric=rsa_correlation, splits=40, rng=0)
    assert float(found["ceiling"][:9].max()) < 0.15
    listed = [0.353, 0.726, 0.847, 0.857, 0.833, 0.830, 0.814, 0.792]
    # Listed from a few splits, which differ among themselves by .09 at first and .03 to .05 later.
    np.testing.assert_allclose(found["ceiling"][10:], listed, atol=0.065)
    np.testing.assert_allclose(found["ceiling"][11:15], listed[1:5], atol=0.02)
    assert bool((found["p"][10:] <= 0.05).all())


def paired_runs(rng: np.random.Generator, shared: float, trials: int = 12) -> tuple[xr.Dataset, xr.Dataset]:
    """Return intact and silenced runs whose noise is correlated by `shared`."""
    intact, silenced = rotating(15, rng), rotating(15, rng)
    common, *own = 3 * rng.standard_normal((3, 15, trials, 8, 6))
    runs = []
    for states, noise in zip((intact, silenced), own, strict=True):
        data = brain(states + 50, sd=0.0, trials=trials, rng=rng)
        data["response"] = data["response"] + np.sqrt(shared) * common + np.sqrt(1 - shared) * noise
        data["response"].attrs["units"] = "Hz"
        runs.append(data)
    return runs[0], runs[1]


def test_a_paired_ceiling_knows_what_noise_the_runs_share() -> None:
    rng = np.random.default_rng(13)
    intact, silenced = paired_runs(rng, 0.6)
    found = paired_ceiling(intact, silenced, rng=0)
    np.testing.assert_allclose(found["noise_correlation"], 0.6, atol=0.06)
    # The true R2 of the true difference: its noise is 2 (1 - .6) 9 / 12 per value.
    difference = (intact["response"] - silenced["response"]).mean("trial").values
    total = np.sum((difference - difference.mean(0)) ** 2, axis=(0, 2))
    noise = 2 * 0.4 * 9 / 12 * 14 * 6
    np.testing.assert_allclose(found["variance_ceiling"], 1 - noise / total, atol=0.02)
    np.testing.assert_allclose(found["variance_ceiling_independent"], 1 - noise / 0.4 / total, atol=0.04)
    assert float(found.attrs["p"]) <= 0.05
    direct = trial_ceiling(paired_difference(intact, silenced), rng=0)
    np.testing.assert_array_equal(found["ceiling"], direct["ceiling"])


def test_without_shared_noise_both_variance_ceilings_agree() -> None:
    intact, silenced = paired_runs(np.random.default_rng(14), 0.0)
    found = paired_ceiling(intact, silenced, rng=0)
    np.testing.assert_allclose(found["variance_ceiling"], found["variance_ceiling_independent"], atol=0.02)
    np.testing.assert_allclose(found["noise_correlation"], 0.0, atol=0.1)
    one = paired_ceiling(intact.isel(trial=[0]), silenced.isel(trial=[0]))
    for name in ("variance_ceiling", "noise_correlation", "ceiling"):
        assert np.isnan(one[name]).all()
        assert one[name].attrs["undefined"]


def test_halves_of_an_odd_number_are_all_trials_once() -> None:
    trials = np.eye(5)[None]
    for first, second in halves(trials, splits=5, rng=np.random.default_rng(15)):
        assert np.all((first > 0) != (second > 0))
        assert (first[0] > 0).sum() == 2


def test_unfit_arguments_are_refused() -> None:
    rng = np.random.default_rng(16)
    data = brain(rotating(6, rng), sd=0.1, trials=2, rng=rng)
    with pytest.raises(ArgumentError, match="got splits=0"):
        trial_ceiling(data, splits=0)
    with pytest.raises(ArgumentError, match="got of='speed'"):
        trial_ceiling(data, of="speed")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="got lag=8 with 8 time bins"):
        trial_ceiling(data, of="velocity", lag=8)
    with pytest.raises(ArgumentError, match=r"got by='session', expected a coordinate over trial \(there is trial\)"):
        trial_ceiling(data, by="session")
    with pytest.raises(ArgumentError, match="got 1 subjects, expected at least 2"):
        subject_ceiling({"a": data})
    with pytest.raises(ArgumentError, match="subject b has 7 bins"):
        subject_ceiling({"a": data, "b": data.isel(time=slice(1, None))})
    with pytest.raises(ArgumentError, match="got permutations=18, expected at least 19"):
        trial_ceiling(data, permutations=18)
    with pytest.raises(ArgumentError, match="got permutations=0"):
        subject_ceiling({"a": data, "b": data}, permutations=0)
    with pytest.raises(SchemaError, match="stimulus ids differ"):
        subject_ceiling({"a": data, "b": data.isel(stimulus=slice(1, None))})
    with pytest.raises(ArgumentError, match=r"silenced has another trial \(1 against 2\)"):
        paired_difference(data, data.isel(trial=[1]))
    with pytest.raises(SchemaError, match="units differ"):
        paired_difference(data, data.isel(unit=slice(1, None)))
    matrices = xr.DataArray(np.zeros((2, 3, 3)), dims=("subject", "stimulus", "stimulus_2"))
    with pytest.raises(ArgumentError, match="with two or more subjects"):
        dissimilarity_ceiling(matrices[:1])
    with pytest.raises(ArgumentError, match="got dissimilarities with sizes"):
        dissimilarity_ceiling(matrices.transpose("stimulus", ...))
    undefined = dissimilarity_ceiling(matrices)
    assert np.isnan(undefined["lower"])
    assert undefined["lower"].attrs["undefined"]
