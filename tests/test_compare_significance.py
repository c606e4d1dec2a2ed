"""Corrections keep their level, find what is planted, and each says what it licenses."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from compare_synthetic import brain, network, relaxation
from scipy.stats import false_discovery_control

from cortexres.compare import linear_cka, permute_stimuli
from cortexres.compare.inference.clusters import Clusters
from cortexres.compare.inference.corrections import FalseDiscoveryRate, MaxStatistic, cell_p
from cortexres.compare.inference.null_maps import null_maps
from cortexres.compare.inference.selection import best_match
from cortexres.compare.inference.significance import significance
from cortexres.compare.measures.measure import Measure
from cortexres.compare.nulls.constant import ConstantTrace
from cortexres.compare.nulls.models import ModelNull
from cortexres.errors import ArgumentError, SchemaError

DISTANCE = Measure(
    "distance",
    lambda x: x - x.mean(1, keepdims=True),
    lambda a, b: np.sqrt(((a[:, None] - b[None]) ** 2).mean((-2, -1))),
    orientation="distance",
)


def states(n: int, blocks: int, rng: np.random.Generator) -> np.ndarray:
    """Return states (stimulus, block, 6 units) whose relations change from block to block."""
    return 30 + 3 * rng.standard_normal((n, blocks, 6))


def pair(n: int, rng: np.random.Generator, *, sd: float = 0.5) -> tuple[xr.Dataset, xr.Dataset]:
    """Return a brain of 8 times and a network with the same relations."""
    same = states(n, 8, rng)
    return brain(same, sd=sd, trials=2, rng=rng), network(same)


def test_what_is_planted_is_found_by_every_correction_and_says_what_it_means() -> None:
    rng = np.random.default_rng(0)
    data, net = pair(24, rng)
    scores = significance(data, net, permutations=199, rng=1)
    assert scores["linear_cka"].dims == ("time", "block")
    for name in ("p_cell", "p_max", "p_fdr_bh", "p_cluster"):
        p = scores[f"linear_cka_{name}"]
        assert np.diag(p).max() <= 0.05
        assert float((p > 0.05).mean()) > 0.8
        assert p.attrs["licenses"]
    assert "begins or ends" in scores["linear_cka_p_cluster"].attrs["licenses"]
    assert scores.attrs["n_stimuli"] == 24
    assert bool((scores["linear_cka_p_cell"] <= scores["linear_cka_p_max"]).all())


def test_a_distance_is_tested_from_below() -> None:
    data, net = pair(24, np.random.default_rng(1))
    scores = significance(data, net, metric=DISTANCE, permutations=99, rng=1)
    assert np.diag(scores["distance_p_max"]).max() == pytest.approx(0.01)
    assert scores["distance_p_max"].attrs["orientation"] == "distance"


def test_cell_p_and_fdr_are_those_of_scipy() -> None:
    rng = np.random.default_rng(2)
    observed, null = rng.standard_normal((4, 3)) + 1, rng.standard_normal((99, 4, 3))
    observed[1, 1] = null[0, 2, 2] = np.nan
    p = cell_p(observed, null)
    assert p[0, 0] == (1 + np.sum(null[:, 0, 0] >= observed[0, 0])) / 100
    assert np.isnan(p[1, 1])
    assert p[2, 2] == (2 + np.sum(null[1:, 2, 2] >= observed[2, 2])) / 100
    for method in ("bh", "by"):
        adjusted = FalseDiscoveryRate(method).p(observed, null)
        np.testing.assert_array_equal(np.isnan(adjusted), np.isnan(p))
        expected = false_discovery_control(p[~np.isnan(p)], method=method)
        np.testing.assert_allclose(adjusted[~np.isnan(p)], expected)
    assert "positively related" in FalseDiscoveryRate("bh").licenses
    assert "positively related" not in FalseDiscoveryRate("by").licenses


def test_clusters_join_neighbours_and_never_two_draws() -> None:
    rng = np.random.default_rng(3)
    null = rng.standard_normal((999, 6, 6))
    observed = np.zeros((6, 6)) - 1
    observed[1:4, 2] = observed[3, 3] = 3.0  # four cells that touch by their sides
    observed[5, 5] = 2.5  # one cell that touches none but by a corner
    observed[0, 0] = np.nan
    p = Clusters().p(observed, np.where(np.isnan(observed), np.nan, null))
    assert np.isnan(p[0, 0])
    assert len(np.unique(p[observed == 3.0])) == 1
    assert p[2, 2] == 0.001
    assert 0.001 < p[5, 5] <= 1
    assert p[0, 3] == 1


def test_clusters_of_constant_maps_are_none() -> None:
    p = Clusters().p(np.ones((3, 3)), np.ones((9, 3, 3)))
    np.testing.assert_array_equal(p, 1.0)


@pytest.mark.parametrize("correction", [MaxStatistic(), Clusters(), Clusters(0.2), FalseDiscoveryRate()], ids=str)
def test_the_level_is_kept_where_nothing_is_related(correction) -> None:  # noqa: ANN001
    """The least p of the map is below the level as often as it may be, with cells as like as they are in maps."""
    rng = np.random.default_rng(4)
    draws, runs = 39, 400
    smooth = np.cumsum(rng.standard_normal((runs, draws + 1, 7, 5)), axis=2)
    least = np.array([np.nanmin(correction.p(maps[0], maps[1:])) for maps in smooth])
    for level in (0.05, 0.2):
        rate = np.mean(least <= level + 1e-9)
        assert rate < level + 4 * np.sqrt(level * (1 - level) / runs)
    if correction == MaxStatistic():
        assert rate > 0.2 - 4 * np.sqrt(0.16 / runs)


def test_any_null_gives_maps_and_what_it_does_not_touch_is_not_made_again() -> None:
    rng = np.random.default_rng(5)
    data, net = pair(12, rng)
    other = ModelNull("random_weights", lambda rng: network(states(12, 8, rng)))
    maps = null_maps(linear_cka, data, net, other, draws=3, rng=np.random.default_rng(6))
    again = np.random.default_rng(6)
    mean = data["response"].mean("trial").values
    for k in range(3):
        expected = states(12, 8, again)
        assert maps[k, 2, 5] == pytest.approx(linear_cka(mean[:, 2], expected[:, 5]), abs=1e-12)
    assert null_maps(linear_cka, data, net, ConstantTrace(), draws=3, rng=rng).shape == (1, 8, 8)
    scores = significance(data, net, null=other, permutations=19, rng=0)
    assert np.diag(scores["linear_cka_p_max"]).max() == pytest.approx(0.05)
    assert scores.attrs["null"] == "random_weights"


def test_constant_activity_is_undefined_with_the_reason() -> None:
    rng = np.random.default_rng(7)
    data = brain(states(10, 8, rng), sd=1.0, trials=2, rng=rng)
    relaxing = network(relaxation(10, 4, np.arange(9) * 5.0, rng))
    scores = significance(data, relaxing, permutations=19, rng=0)
    for name in scores.data_vars:
        assert np.isnan(scores[name][:, 0]).all()
        assert np.isfinite(scores[name][:, 1:]).all()
        assert "network activity is the same for all stimuli, or for all pairs, at 0 (blocks)" in (
            scores[name].attrs["undefined"]
        )
    blind = significance(data, network(np.ones((10, 3, 4))), permutations=19, rng=0)
    assert np.isnan(blind["linear_cka_p_max"]).all()
    assert "brain" not in blind["linear_cka"].attrs["undefined"]


def test_choosing_the_best_is_corrected_and_nested_scores_have_no_optimism() -> None:
    """Unrelated data: the best of 8 is above 0, the nested score is not, and p is uniform enough."""
    rng = np.random.default_rng(8)
    best, nested, p = [], [], []
    for _ in range(150):
        data = brain(states(16, 8, rng), sd=0.5, trials=2, rng=rng)
        scores = best_match(data, network(states(16, 8, rng)), permutations=39, splits=4, rng=rng)
        best.append(float(scores["best"].mean()))
        nested.append(float(scores["nested"].mean()))
        p.append(float(scores["p"].min()))
    assert np.mean(best) > 0.1
    assert abs(np.mean(nested)) < 4 * np.std(nested) / np.sqrt(150)
    for level in (0.05, 0.2):
        assert abs(np.mean(np.array(p) <= level + 1e-9) - level) < 4 * np.sqrt(level * (1 - level) / 150)


@pytest.mark.parametrize("metric", [linear_cka, DISTANCE], ids=lambda m: m.name)
def test_the_planted_block_and_time_are_chosen(metric) -> None:  # noqa: ANN001
    data, net = pair(24, np.random.default_rng(9))
    blocks = best_match(data, net, metric=metric, permutations=39, splits=3, rng=0)
    np.testing.assert_array_equal(blocks["which"], np.arange(8))
    times = best_match(data, net, metric=metric, over="time", permutations=39, splits=3, rng=0)
    np.testing.assert_array_equal(times["which"], data["time"])
    for scores in (blocks, times):
        assert float(scores["p"].max()) == pytest.approx(1 / 40)
        assert bool((scores["p_alone"] <= scores["p"]).all())
        sign = 1 if metric is linear_cka else -1
        assert bool((sign * scores["best"] > sign * scores["null_mean"]).all())
        np.testing.assert_allclose(scores["optimism"], scores["chosen_half"] - scores["nested"])
    assert blocks["which"].dims == ("time",)
    assert times["which"].attrs["units"] == "ms"


def test_too_few_stimuli_for_halves_say_so() -> None:
    data, net = pair(6, np.random.default_rng(10))
    scores = best_match(data, net, permutations=9, rng=0)
    assert np.isnan(scores["nested"]).all()
    assert scores["nested"].attrs["undefined"] == "everywhere: half of 6 stimuli are fewer than 4"
    assert np.isfinite(scores["best"]).all()


def test_unfit_arguments_are_refused() -> None:
    data, net = pair(8, np.random.default_rng(11))
    with pytest.raises(ArgumentError, match=r"got corrections \['max', 'max'\], expected each name once"):
        significance(data, net, corrections=[MaxStatistic(), MaxStatistic()])
    for call in (significance, best_match):
        with pytest.raises(ArgumentError, match="constant_trace has one value only"):
            call(data, net, null=ConstantTrace())
        with pytest.raises(ArgumentError, match="got permutations=0"):
            call(data, net, permutations=0)
        with pytest.raises(SchemaError, match="stimulus ids differ"):
            call(data, net.assign_coords(stimulus=np.arange(8) + 1))
    with pytest.raises(ArgumentError, match="got over='unit'"):
        best_match(data, net, over="unit")
    with pytest.raises(ArgumentError, match="got splits=0"):
        best_match(data, net, splits=0)
    with pytest.raises(ArgumentError, match=r"got threshold=1\.5"):
        Clusters(1.5)
    with pytest.raises(ArgumentError, match="got method='holm'"):
        FalseDiscoveryRate("holm")
    fewer = ModelNull("short", network(states(8, 3, np.random.default_rng(0))))
    with pytest.raises(ArgumentError, match="null short has 8 times and 3 blocks"):
        null_maps(linear_cka, data, net, fewer, draws=1, rng=np.random.default_rng(0))
    assert permute_stimuli.random
