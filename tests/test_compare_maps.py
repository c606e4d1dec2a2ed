"""The time x block map: planted structure is found, none is found where there is none, and NaN says why."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr
from compare_synthetic import brain, network, relaxation
from scipy import stats

from cortexres.compare import METRICS, compare, linear_cka, linear_cka_biased, permute_stimuli, rsa, rsa_spearman
from cortexres.compare.ceilings.split_half import halves
from cortexres.compare.jackknife import interval, kept
from cortexres.compare.measures.measure import Measure
from cortexres.compare.measures.rsa import rsa_crossnobis
from cortexres.compare.nulls import exceedance
from cortexres.compare.nulls.models import ModelNull
from cortexres.errors import ArgumentError, SchemaError
from cortexres.schema import check_scores

TIMES = (np.arange(8) + 0.5) * 5.0


def rotating(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return states (stimulus, 8 times, 6 units) whose relations between stimuli change with time."""
    early, late = rng.standard_normal((2, n, 6))
    turn = np.linspace(0.0, np.pi / 2, 8)[:, None]
    return 30 + 3 * (early[:, None] * np.cos(turn) + late[:, None] * np.sin(turn))


def test_planted_time_course_is_found_on_the_diagonal() -> None:
    rng = np.random.default_rng(0)
    states = rotating(30, rng)
    scores = compare(
        brain(states, sd=1.0, trials=10, rng=rng),
        network(states),
        nulls=[permute_stimuli],
        rng=1,
        permutations=200,
    )
    check_scores(scores)
    assert scores["linear_cka"].dims == ("time", "block")
    for name in ("linear_cka", "rsa"):
        np.testing.assert_array_equal(scores[name].argmax("block"), np.arange(8))
        assert np.diag(scores[f"{name}_p"]).max() == pytest.approx(1 / 201)
        assert float(scores[f"{name}_null_max"]) >= float(scores[f"{name}_null"].max())
        assert bool((scores[f"{name}_low"] < scores[name]).all())
        assert bool((scores[f"{name}_high"] > scores[name]).all())
        assert scores[f"{name}_ceiling"].dims == ("time",)
    assert "t_ms" in scores.coords
    assert scores.attrs["null"] == "permute_stimuli"


def test_map_cells_are_the_metric_on_two_arrays() -> None:
    rng = np.random.default_rng(1)
    states = rotating(12, rng)
    data, net = brain(states, sd=1.0, trials=4, rng=rng), network(states)
    scores = compare(data, net, metrics=METRICS, rng=0, splits=1)
    mean = data["response"].mean("trial")
    for metric in METRICS:
        assert scores[metric.name].attrs["orientation"] == metric.orientation
        if metric is rsa_crossnobis:  # of the trials, and not of their mean
            trials = metric.relations_of_trials(data["response"].values)[3]
            expected = float(trials @ metric.prepared(states[None, :, 6])[0])
        else:
            expected = metric(mean[:, 3].values, states[:, 6])
        assert float(scores[metric.name][3, 6]) == pytest.approx(expected, abs=1e-12, nan_ok=True)
        assert f"{metric.name}_p" not in scores


def test_false_positive_rate_of_the_whole_map_is_the_nominal_one() -> None:
    rng = np.random.default_rng(3)
    runs = 150
    least = []
    for _ in range(runs):
        data = brain(rotating(14, rng), sd=0.5, trials=2, rng=rng)
        scores = compare(
            data,
            network(rotating(14, rng)),
            metrics=[linear_cka],
            nulls=[permute_stimuli],
            rng=rng,
            permutations=59,
            splits=1,
        )
        least.append(float(scores["linear_cka_p"].min()))
    p = np.array(least)
    for level in (0.05, 0.2, 0.5):
        assert abs(np.mean(p <= level + 1e-9) - level) < 4 * np.sqrt(level * (1 - level) / runs)


def test_exceedance_counts_the_true_order_and_equal_values() -> None:
    null = np.array([0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(exceedance(np.array([0.5, 0.4, 0.05, np.nan]), null), [0.2, 0.4, 1.0, np.nan])
    assert exceedance(np.asarray(0.4 + 1e-15), null) == pytest.approx(0.4)


def test_a_seed_gives_the_same_scores_again() -> None:
    rng = np.random.default_rng(4)
    states = rotating(10, rng)
    data = brain(states, sd=1.0, trials=4, rng=rng)
    first, second = (
        compare(data, network(states), nulls=[permute_stimuli], rng=7, permutations=20) for _ in range(2)
    )
    for name in first.data_vars:
        xr.testing.assert_equal(first[name], second[name])


def test_ceiling_grows_with_trials_towards_one_and_is_half_the_data() -> None:
    rng = np.random.default_rng(5)
    states = rotating(30, rng)
    means = [
        float(
            compare(brain(states, sd=4.0, trials=k, rng=rng), network(states), rng=0)[
                "linear_cka_ceiling"
            ].mean()
        )
        for k in (4, 16, 64)
    ]
    assert means[0] < means[1] < means[2] < 1
    assert means[2] > 0.85


def test_halves_share_no_trial_and_use_all() -> None:
    trials = np.eye(5)[None]  # trial k is the k-th unit vector, so a mean shows which trials it holds
    for first, second in halves(trials, splits=10, rng=np.random.default_rng(6)):
        assert (first[0] > 0).sum() == 2
        assert (second[0] > 0).sum() == 3
        assert np.all((first > 0) != (second > 0))


def test_jackknife_of_a_mean_is_students_interval() -> None:
    x = np.random.default_rng(7).standard_normal(15)
    low, high = interval(np.asarray(x.mean()), np.array([x[k].mean() for k in kept(15, 15)]))
    expected = stats.t.interval(0.95, 14, x.mean(), stats.sem(x))
    np.testing.assert_allclose([low, high], expected, rtol=1e-12)


def test_jackknife_groups_are_interleaved_and_complete() -> None:
    left_out = [np.setdiff1d(np.arange(10), k) for k in kept(10, 4)]
    np.testing.assert_array_equal(left_out[1], [1, 5, 9])
    np.testing.assert_array_equal(np.sort(np.concatenate(left_out)), np.arange(10))


def test_jackknife_interval_covers_the_value_over_all_stimuli() -> None:
    rng = np.random.default_rng(8)
    mixing = rng.standard_normal((6, 5))
    noise = 1.5
    big = rng.standard_normal((20000, 6))
    x, y = big, big @ mixing + noise * rng.standard_normal((20000, 5))
    cross, xx, yy = (a.T @ b for a, b in ((x, y), (x, x), (y, y)))
    truth = np.sum(cross**2) / np.sqrt(np.sum(xx**2) * np.sum(yy**2))
    hits = 0
    for _ in range(200):
        x = rng.standard_normal((30, 6))
        y = x @ mixing + noise * rng.standard_normal((30, 5))
        left_out = np.array([linear_cka(x[k], y[k]) for k in kept(30, 30)])
        low, high = interval(np.asarray(linear_cka(x, y)), left_out)
        hits += bool(low <= truth <= high)
    assert 0.88 <= hits / 200 <= 0.99


def test_constant_activity_is_nan_with_the_reason() -> None:
    rng = np.random.default_rng(9)
    states = relaxation(10, 4, np.arange(9) * 5.0, rng)
    data = brain(relaxation(10, 4, TIMES, rng), sd=1.0, trials=4, rng=rng)
    data["response"][:, :, 2] = 12.0
    scores = compare(data, network(states), nulls=[permute_stimuli], rng=0, permutations=20)
    for name in ("linear_cka", "linear_cka_low", "linear_cka_p", "linear_cka_null", "rsa"):
        empty = np.isnan(scores[name])
        assert bool(empty[:, 0].all())
        assert bool(empty[2].all())
        assert int(empty.sum()) == 9 + 8 - 1
        assert (
            "brain activity is the same for all stimuli, or for all pairs, at 12.5 ms"
            in scores[name].attrs["undefined"]
        )
        assert "at 0 (blocks)" in scores[name].attrs["undefined"]
    assert "12.5 ms" in scores["rsa_ceiling"].attrs["undefined"]


def test_a_map_without_any_relations_is_all_nan() -> None:
    rng = np.random.default_rng(10)
    data = brain(relaxation(10, 4, TIMES, rng), sd=1.0, trials=4, rng=rng)
    scores = compare(data, network(np.ones((10, 3, 4))), nulls=[permute_stimuli], rng=0, permutations=20)
    assert np.isnan(scores["linear_cka_p"]).all()
    assert np.isnan(scores["linear_cka_null_max"])


def test_one_trial_and_few_stimuli_leave_out_what_they_cannot_give() -> None:
    rng = np.random.default_rng(11)
    states = rotating(4, rng)
    scores = compare(brain(states, sd=0.1, trials=1, rng=rng), network(states), rng=0)
    assert np.isnan(scores["rsa_ceiling"]).all()
    assert scores["rsa_ceiling"].attrs["undefined"] == "everywhere: one trial has no halves"
    assert np.isnan(scores["linear_cka_low"]).all()
    assert np.isfinite(scores["rsa_low"]).all()


def test_noise_without_signal_is_warned_about() -> None:
    rng = np.random.default_rng(12)
    noise = brain(np.full((20, 8, 6), 30.0), sd=1.0, trials=6, rng=rng)
    with pytest.warns(UserWarning, match="linear_cka of the state: ceiling not above zero after onset"):
        compare(noise, network(rotating(20, rng)), metrics=[linear_cka], rng=0)


def test_a_signal_is_not_warned_about() -> None:
    rng = np.random.default_rng(13)
    states = rotating(20, rng)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compare(brain(states, sd=2.0, trials=6, rng=rng), network(states), rng=0)


def test_unfit_arguments_are_refused() -> None:
    rng = np.random.default_rng(14)
    states = rotating(6, rng)
    data, net = brain(states, sd=0.1, trials=2, rng=rng), network(states)
    with pytest.raises(ArgumentError, match="expected at least one and each name once"):
        compare(data, net, metrics=[])
    with pytest.raises(ArgumentError, match="each name once"):
        compare(data, net, metrics=[rsa, rsa])
    with pytest.raises(ArgumentError, match=r"got nulls .*expected each name once"):
        compare(data, net, nulls=[permute_stimuli, permute_stimuli])
    with pytest.raises(ArgumentError, match="got splits=0"):
        compare(data, net, splits=0)
    with pytest.raises(ArgumentError, match="got permutations=0"):
        compare(data, net, nulls=[permute_stimuli], permutations=0)
    with pytest.raises(SchemaError, match="stimulus ids differ"):
        compare(data, net.assign_coords(stimulus=np.arange(6) + 1))
    with pytest.raises(SchemaError, match="another order"):
        compare(data, net.isel(stimulus=[1, 0, 2, 3, 4, 5]))


DISTANCE = Measure(
    "distance",
    lambda x: x - x.mean(1, keepdims=True),
    lambda a, b: np.sqrt(((a[:, None] - b[None]) ** 2).mean((-2, -1))),
    orientation="distance",
)


def test_several_nulls_stand_side_by_side_and_the_first_has_the_plain_name() -> None:
    rng = np.random.default_rng(15)
    states = rotating(20, rng)
    data, net = brain(states, sd=1.0, trials=4, rng=rng), network(states)
    other = ModelNull("random_weights", lambda rng: network(rotating(20, rng)))
    one = ModelNull("no_recurrence", network(rotating(20, rng)))
    scores = compare(
        data, net, metrics=[linear_cka], nulls=[permute_stimuli, other, one], rng=0, permutations=39, splits=2
    )
    assert scores.attrs["null"] == "permute_stimuli, random_weights, no_recurrence"
    for suffix in ("", "_random_weights"):
        assert np.diag(scores[f"linear_cka_p{suffix}"]).max() == pytest.approx(1 / 40)
        assert float(scores[f"linear_cka_null_max{suffix}"]) >= float(scores[f"linear_cka_null{suffix}"].max())
    assert "linear_cka_p_no_recurrence" not in scores
    mean = data["response"].mean("trial").values
    expected = linear_cka(mean[:, 2], one.networks["response"].values[:, 5])
    assert float(scores["linear_cka_null_no_recurrence"][2, 5]) == pytest.approx(expected, abs=1e-12)
    alone = compare(data, net, metrics=[linear_cka], nulls=[one], rng=0, splits=2)
    assert float(alone["linear_cka_null"][2, 5]) == pytest.approx(expected, abs=1e-12)
    assert "linear_cka_p" not in alone
    assert {scores[name].attrs.get("part_of") for name in scores.data_vars} == {None, "linear_cka"}


def test_a_distance_is_low_where_alike_and_has_no_ratio() -> None:
    rng = np.random.default_rng(16)
    states = rotating(20, rng)
    data, net = brain(states, sd=0.5, trials=4, rng=rng), network(states)
    scores = compare(data, net, metrics=[DISTANCE], nulls=[permute_stimuli], rng=0, permutations=39, splits=3)
    np.testing.assert_array_equal(scores["distance"].argmin("block"), np.arange(8))
    assert np.diag(scores["distance_p"]).max() == pytest.approx(1 / 40)
    assert float(scores["distance_null_max"]) <= float(scores["distance_null"].min())
    assert scores["distance"].attrs["orientation"] == "distance"
    assert "distance_ratio" not in scores
    biased = compare(data, net, metrics=[linear_cka_biased], rng=0, splits=3)
    assert "linear_cka_biased_ceiling" in biased
    assert "linear_cka_biased_ratio" not in biased  # chance is not 0, so halves say nothing of what is reached


def test_the_ratio_is_not_clipped_and_undefined_where_there_is_no_ceiling() -> None:
    rng = np.random.default_rng(17)
    states = rotating(20, rng)
    data, net = brain(states, sd=3.0, trials=4, rng=rng), network(states)
    data["response"][:, :, :4] = 30 + rng.standard_normal((20, 4, 4, 6))  # no signal in the first bins
    scores = compare(data, net, metrics=[linear_cka], rng=0, splits=20)
    ratio, ceiling = scores["linear_cka_ratio"], scores["linear_cka_ceiling"]
    assert float(ratio.max()) > 1
    above = (ceiling > 0).values
    model = np.sqrt((2 * ceiling / (1 + ceiling)).where(ceiling > 0))
    np.testing.assert_allclose(scores["linear_cka_model_ceiling"][above], model[above])
    np.testing.assert_allclose(ratio[above], (scores["linear_cka"] / model)[above])
    assert np.isnan(ratio[~above]).all()
    assert 0 < (~above[:4]).sum() <= 4
    assert "reliability not above zero" in ratio.attrs["undefined"]


@pytest.mark.parametrize("over", ["stimulus", "unit"])
def test_intervals_by_bootstrap_hold_the_score_and_say_so(over: str) -> None:
    rng = np.random.default_rng(18)
    states = rotating(30, rng)
    data, net = brain(states, sd=1.0, trials=4, rng=rng), network(states)
    scores = compare(data, net, metrics=[linear_cka, rsa_spearman], rng=0, splits=1, bootstraps=100, over=over)
    for name in ("linear_cka", "rsa_spearman"):
        assert f"100 bootstrap samples of the {over}s" in scores[f"{name}_low"].attrs["long_name"]
        assert bool((scores[f"{name}_low"] < scores[f"{name}_high"]).all())
        inside = (scores[f"{name}_low"] <= scores[name]) & (scores[name] <= scores[f"{name}_high"])
        assert float(inside.mean()) > 0.5
    assert scores.attrs["bootstraps"] == 100


def test_bootstraps_of_undefined_cells_are_undefined() -> None:
    rng = np.random.default_rng(19)
    states = relaxation(10, 4, np.arange(5) * 5.0, rng)
    data = brain(relaxation(10, 4, TIMES, rng), sd=1.0, trials=4, rng=rng)
    scores = compare(data, network(states), metrics=[linear_cka], rng=0, splits=1, bootstraps=20)
    assert np.isnan(scores["linear_cka_low"][:, 0]).all()
    assert np.isfinite(scores["linear_cka_low"][:, 1:]).all()
    with pytest.raises(ArgumentError, match="got over='unit' with bootstraps=0"):
        compare(data, network(states), over="unit")
