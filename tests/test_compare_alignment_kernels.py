"""Paths, ordered times, peaks and straight maps against brute force, graphs of SciPy, and published numbers."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import isotonic_regression

from cortexres.compare.alignment.affine import Affine
from cortexres.compare.alignment.baselines import Graded, Uniform
from cortexres.compare.alignment.fixed import Fixed
from cortexres.compare.alignment.isotonic import Isotonic
from cortexres.compare.alignment.mapping import Axes, at_times
from cortexres.compare.alignment.monotone_path import MonotonePath
from cortexres.compare.alignment.ordered_times import expected_times, ordered_times
from cortexres.compare.alignment.peaks import least, refined
from cortexres.compare.alignment.soft_path import SoftPath
from cortexres.compare.alignment.warping import warping_runs, warping_shares
from cortexres.errors import ArgumentError

GOLDEN = Path(__file__).parent / "golden-comparison.json"


def golden_cost() -> np.ndarray:
    """Return the squared distances (1, 30, 10) of the two series of the golden file, drawn as it says."""
    rng = np.random.default_rng(20240517)
    latent = rng.standard_normal((40, 6))
    for units in (60, 25):
        latent @ rng.standard_normal((6, units)) + rng.standard_normal((40, units))
    x = np.cumsum(rng.standard_normal((30, 3)), 0)
    y = x[::3] + 0.1 * rng.standard_normal((10, 3))
    return ((x[:, None] - y[None]) ** 2).sum(-1)[None]


def axes(times: int, blocks: int, *, bin_ms: float = 10.0, block_ms: np.ndarray | None = None) -> Axes:
    """Return bins from 0 on and blocks from 0 on."""
    return Axes(np.arange(times) * bin_ms, bin_ms, np.arange(float(blocks)), block_ms)


def every_path(times: int, blocks: int, *, open_start: bool, open_end: bool) -> list[list[tuple[int, int]]]:
    """Return all warping paths through a small map."""
    found = []

    def walk(path: list[tuple[int, int]]) -> None:
        t, k = path[-1]
        if k == blocks - 1 and (open_end or t == times - 1):
            found.append(path)
        for step in ((1, 0), (0, 1), (1, 1)):
            if t + step[0] < times and k + step[1] < blocks:
                walk([*path, (t + step[0], k + step[1])])

    for start in range(times if open_start else 1):
        walk([(start, 0)])
    return found


def path_sums(cost: np.ndarray, paths: list[list[tuple[int, int]]], penalty: float) -> np.ndarray:
    """Return what each path costs, with a penalty for steps along one side only."""
    sums = []
    for path in paths:
        straight = sum(np.sum(np.subtract(b, a)) == 1 for a, b in itertools.pairwise(path))
        sums.append(sum(cost[cell] for cell in path) + penalty * straight)
    return np.array(sums)


def test_warping_gives_the_published_distance() -> None:
    golden = json.loads(GOLDEN.read_text())
    runs = warping_runs(golden_cost())
    time, block = runs.path(0)
    assert np.sqrt(runs.totals[0]) == pytest.approx(golden["tslearn_dtw"], abs=1e-9)
    assert (time[0], block[0], time[-1], block[-1], time.size) == (0, 0, 29, 9, 30)
    assert warping_shares(golden_cost(), 0.1)[1][0] == pytest.approx(golden["tslearn_softdtw_g0.1"], abs=1e-9)


@pytest.mark.parametrize("open_start", [False, True])
@pytest.mark.parametrize("open_end", [False, True])
@pytest.mark.parametrize("penalty", [0.0, 0.3])
def test_warping_finds_the_cheapest_of_all_paths(open_start: bool, open_end: bool, penalty: float) -> None:
    rng = np.random.default_rng(0)
    cost = rng.standard_normal((20, 5, 4))  # also below 0
    cost[rng.random(cost.shape) < 0.15] = np.inf
    paths = every_path(5, 4, open_start=open_start, open_end=open_end)
    runs = warping_runs(cost, penalty=penalty, open_start=open_start, open_end=open_end)
    for draw in range(len(cost)):
        sums = path_sums(cost[draw], paths, penalty)
        if not np.isfinite(sums.min()):
            assert runs.totals[draw] == np.inf
            continue
        assert runs.totals[draw] == pytest.approx(sums.min(), abs=1e-12)
        assert list(zip(*runs.path(draw), strict=True)) == paths[int(sums.argmin())]


@pytest.mark.parametrize("open_start", [False, True])
@pytest.mark.parametrize("open_end", [False, True])
def test_expected_path_is_the_mean_over_all_paths(open_start: bool, open_end: bool) -> None:
    rng = np.random.default_rng(1)
    cost = rng.random((3, 5, 4))
    cost[0, 2, 1] = np.inf
    gamma = 0.3
    shares, totals = warping_shares(cost, gamma, open_start=open_start, open_end=open_end)
    paths = every_path(5, 4, open_start=open_start, open_end=open_end)
    for draw in range(3):
        weights = np.exp(-path_sums(cost[draw], paths, 0.0) / gamma)
        expected = np.zeros((5, 4))
        for path, weight in zip(paths, weights / weights.sum(), strict=True):
            expected[tuple(np.transpose(path))] += weight
        np.testing.assert_allclose(shares[draw], expected, atol=1e-12)
        assert totals[draw] == pytest.approx(-gamma * np.log(weights.sum()), abs=1e-12)


def test_warping_is_the_shortest_path_of_a_graph() -> None:
    rng = np.random.default_rng(2)
    times, blocks = 40, 12
    cost = rng.random((times, blocks))
    number = np.arange(times * blocks).reshape(times, blocks)
    edges = [(number[:-1], number[1:]), (number[:, :-1], number[:, 1:]), (number[:-1, :-1], number[1:, 1:])]
    start, end = (np.concatenate([pair[i].ravel() for pair in edges]) for i in (0, 1))
    graph = sparse.csr_array((cost.ravel()[end], (start, end)), shape=(number.size, number.size))
    shortest = sparse.csgraph.dijkstra(graph, indices=0)[-1] + cost[0, 0]
    assert warping_runs(cost[None]).totals[0] == pytest.approx(shortest, abs=1e-12)


def test_a_map_without_a_path_says_so() -> None:
    cost = np.ones((2, 4, 3))
    cost[0, :, 1] = np.inf
    assert warping_runs(cost).totals.tolist() == [np.inf, 5.0 - 1.0]
    shares, totals = warping_shares(cost, 0.1)
    assert np.isnan(shares[0]).all()
    assert np.isnan(totals[0])
    assert np.isfinite(totals[1])
    shares, totals = expected_times(cost, 0.1)
    assert np.isnan(shares[0]).all()
    assert np.isnan(totals[0])
    assert ordered_times(cost)[1].tolist() == [np.inf, 3.0]
    for method in (MonotonePath(), MonotonePath(every_bin=True), SoftPath(), Isotonic(), Affine()):
        maps = method.maps(cost, axes(4, 3))
        assert np.isnan(maps.times[0]).all()
        assert not np.isfinite(maps.costs[0]).any()
        assert np.isfinite(maps.times[1]).all()
        assert np.isfinite(maps.costs[1]).all()


@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_ordered_times_are_the_best_of_all_ordered_times(stall: float) -> None:
    rng = np.random.default_rng(3)
    cost = rng.standard_normal((20, 6, 4))
    cost[rng.random(cost.shape) < 0.1] = np.inf
    ordered = list(itertools.combinations_with_replacement(range(6), 4))
    index, totals = ordered_times(cost, stall=stall)
    for draw in range(len(cost)):
        sums = [
            sum(cost[draw, t, k] for k, t in enumerate(times)) + stall * sum(np.diff(times) == 0) for times in ordered
        ]
        assert totals[draw] == pytest.approx(min(sums), abs=1e-12)
        assert tuple(index[draw]) == ordered[int(np.argmin(sums))]


def test_expected_times_are_the_mean_over_all_ordered_times() -> None:
    rng = np.random.default_rng(4)
    cost = rng.random((3, 6, 4))
    cost[1, 3, 2] = np.inf
    gamma = 0.2
    shares, totals = expected_times(cost, gamma)
    ordered = list(itertools.combinations_with_replacement(range(6), 4))
    for draw in range(3):
        weights = np.exp([-sum(cost[draw, t, k] for k, t in enumerate(times)) / gamma for times in ordered])
        expected = np.zeros((6, 4))
        for times, weight in zip(ordered, weights / weights.sum(), strict=True):
            expected[list(times), range(4)] += weight
        np.testing.assert_allclose(shares[draw], expected, atol=1e-12)
        assert totals[draw] == pytest.approx(-gamma * np.log(weights.sum()), abs=1e-12)


def test_soft_paths_become_hard_ones_as_gamma_falls() -> None:
    rng = np.random.default_rng(5)
    cost = rng.random((4, 12, 5))
    for every_bin in (False, True):
        hard = MonotonePath(every_bin=every_bin).maps(cost, axes(12, 5))
        soft = SoftPath(1e-4, every_bin=every_bin).maps(cost, axes(12, 5))
        if not every_bin:
            np.testing.assert_allclose(soft.costs, hard.costs, atol=1e-9)
            assert np.abs(soft.times - hard.times).max() <= 5.0  # bins, and minima up to half a bin from them
        assert (soft.costs >= hard.costs - 1e-12).all()
        assert soft.weights is not None
        np.testing.assert_allclose(soft.weights.sum(axis=0), 1.0)


def test_draws_do_not_depend_on_each_other() -> None:
    rng = np.random.default_rng(6)
    cost = rng.random((5, 9, 4))
    where = axes(9, 4, block_ms=np.arange(4) * 20.0)
    for method in (
        MonotonePath(band=0.6), MonotonePath(every_bin=True, step_penalty=0.1), SoftPath(), Isotonic(), Affine(),
        Fixed(), Uniform(), Graded(),
    ):  # fmt: skip
        together = method.maps(cost, where)
        for draw in range(5):
            alone = method.maps(cost[draw : draw + 1], where)
            np.testing.assert_allclose(together.times[draw], alone.times[0], atol=1e-9)
            np.testing.assert_allclose(together.costs[draw], alone.costs[0], atol=1e-9)


@given(st.integers(0, 10_000))
def test_monotone_maps_are_monotone_and_never_beat_the_best(seed: int) -> None:
    cost = np.random.default_rng(seed).standard_normal((2, 8, 5))
    where = axes(8, 5)
    best = cost.min(axis=1).mean(axis=1)
    path = MonotonePath().maps(cost, where)
    for method in (MonotonePath(), MonotonePath(every_bin=True), MonotonePath(step_penalty=0.5), Isotonic()):
        maps = method.maps(cost, where)
        assert (np.diff(maps.times, axis=1) >= 0).all()
        assert maps.times.min() >= 0
        assert maps.times.max() <= 70
        assert (maps.costs.mean(axis=1) >= best - 1e-12).all()
        assert (maps.costs.mean(axis=1) >= path.costs.mean(axis=1) - 1e-12).all()


def test_the_band_is_relative_to_time_and_depth() -> None:
    cost = np.zeros((1, 11, 3))
    cost[0, [10, 0, 5], [0, 1, 2]] = -5.0  # cells far from the straight line
    maps = MonotonePath(band=0.2).maps(cost, axes(11, 3))
    assert maps.costs.tolist() == [[0.0, 0.0, 0.0]]
    np.testing.assert_array_less(np.abs(maps.times[0] / 100.0 - np.array([0.0, 0.5, 1.0])), 0.2 + 1e-9)


def test_closed_ends_tie_the_first_and_last_block() -> None:
    cost = np.random.default_rng(7).random((3, 10, 4))
    times = MonotonePath(open_start=False, open_end=False).maps(cost, axes(10, 4)).times
    assert (times[:, 0] == 0).all()
    assert (times[:, -1] == 90).all()
    soft = SoftPath(open_start=False, open_end=False).maps(cost, axes(10, 4)).times
    np.testing.assert_allclose(soft[:, [0, -1]], [[0, 90]] * 3, atol=1e-9)


def test_a_stall_costs_the_penalty() -> None:
    cost = np.ones((1, 4, 3))
    cost[0, 2] = 0.0
    assert MonotonePath().maps(cost, axes(4, 3)).times.tolist() == [[20.0] * 3]
    apart = MonotonePath(step_penalty=1.5).maps(cost, axes(4, 3)).times[0]
    assert (np.diff(apart) > 0).all()


@pytest.mark.parametrize("degree", [2, 4])
def test_minima_of_polynomials_are_found_between_unequal_bins(degree: int) -> None:
    time = np.array([0.0, 1.0, 2.5, 3.5, 5.0, 6.0, 7.5])
    truth = np.array([2.9, 3.6, 4.0])
    cost = ((time[:, None] - truth) ** 2 + (degree == 4) * 0.05 * (time[:, None] - truth) ** 4)[None]
    found = refined(cost, time, least(cost))
    np.testing.assert_allclose(found[0], truth, atol=1e-9)


def test_minima_at_the_ends_or_held_in_place_stay_at_their_bins() -> None:
    time = np.arange(6.0)
    falling = np.broadcast_to(-time[:, None], (1, 6, 3)) + 0.0
    np.testing.assert_array_equal(refined(falling, time, np.array([[5, 0, 3]])), [[5.0, 0.0, 3.0]])
    falling[0, 4, 1] = np.inf
    np.testing.assert_array_equal(refined(falling, time, np.array([[3, 3, 3]])), [[3.0, 3.0, 3.0]])
    np.testing.assert_array_equal(refined(np.ones((1, 6, 3)), time, np.array([[3, 3, 3]])), [[3.0, 3.0, 3.0]])


@given(st.integers(0, 10_000))
def test_minima_stay_within_half_a_bin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    time = np.cumsum(rng.uniform(0.5, 2.0, 9))
    cost = rng.standard_normal((3, 9, 4))
    index = least(cost)
    found = refined(cost, time, index)
    middles = np.concatenate([time[:1], (time[1:] + time[:-1]) / 2, time[-1:]])
    assert (found >= middles[index] - 1e-12).all()
    assert (found <= middles[index + 1] + 1e-12).all()


def test_times_between_bins_are_interpolated() -> None:
    rng = np.random.default_rng(8)
    time = np.cumsum(rng.uniform(0.5, 2.0, 9))
    cost = rng.standard_normal((3, 9, 4))
    at = rng.uniform(time[0] - 1, time[-1] + 1, (3, 7, 4))
    expected = [[[np.interp(at[d, c, k], time, cost[d, :, k]) for k in range(4)] for c in range(7)] for d in range(3)]
    np.testing.assert_allclose(at_times(cost, time, at), expected, atol=1e-12)
    cost[0, 3, 0] = np.inf
    cost[1, -2, 0] = np.inf
    for bin_ in (2, -1):  # the other one of the two bins around has no weight
        np.testing.assert_array_equal(at_times(cost, time, np.full((3, 4), time[bin_])), cost[:, bin_])
    assert at_times(cost, time, np.full((3, 4), (time[2] + time[3]) / 2))[0, 0] == np.inf
    assert at_times(cost[:, :1], time[:1], np.full((3, 4), 9.0)).tolist() == cost[:, 0].tolist()


@pytest.mark.parametrize("ends", [(13.7, 171.3), (150.2, 41.9), (88.8, 88.8)])
@pytest.mark.parametrize("bin_ms", [10.0, 1.0])
def test_the_straight_map_of_least_cost_is_found(ends: tuple[float, float], bin_ms: float) -> None:
    where = axes(int(200 / bin_ms), 6, bin_ms=bin_ms)  # at 1 ms more bins than the grid has times
    truth = np.linspace(*ends, 6)
    cost = 1 - np.exp(-((where.time[:, None] - truth) ** 2) / (2 * 30.0**2))
    maps = Affine().maps(cost[None], where)
    np.testing.assert_allclose(maps.times[0], truth, atol=0.03 * bin_ms)
    assert maps.parameters["slope"][0] == pytest.approx((ends[1] - ends[0]) / 5, abs=0.01 * bin_ms)
    assert maps.parameters["intercept"][0] == pytest.approx(ends[0], abs=0.03 * bin_ms)
    # Block 0 of a measure of geometry has no value: the intercept is the time that it would have.
    later = Affine().maps(cost[None], Axes(where.time, bin_ms, where.block + 1))
    expected = ends[0] - (ends[1] - ends[0]) / 5
    assert later.parameters["intercept"][0] == pytest.approx(expected, abs=0.04 * bin_ms)


def test_the_straight_map_beats_all_straight_maps_through_bins() -> None:
    rng = np.random.default_rng(9)
    where = axes(15, 5)
    cost = rng.random((260, 15, 5))  # more draws than are fitted at a time
    found = Affine().maps(cost, where).costs.mean(axis=1)
    ends = np.array(list(itertools.product(where.time, where.time)))
    place = np.linspace(0, 1, 5)
    lines = ends[:, :1] * (1 - place) + ends[:, 1:] * place
    lowest = at_times(cost, where.time, np.broadcast_to(lines, (260, *lines.shape))).mean(axis=2).min(axis=1)
    # Refined on cubics between the bins, and read off linearly: it may lose a little of what the bins gave.
    assert (found <= lowest + 0.2).all()
    assert abs(np.mean(found - lowest)) < 0.02
    assert (found >= cost.min(axis=1).mean(axis=1)).all()


def test_isotonic_times_are_the_pooled_peaks() -> None:
    rng = np.random.default_rng(10)
    cost = rng.random((4, 12, 5))
    where = axes(12, 5)
    peaks = refined(cost, where.time, least(cost))
    expected = np.stack([isotonic_regression(row).x for row in peaks])
    np.testing.assert_allclose(Isotonic().maps(cost, where).times, expected)


def test_uniform_and_graded_shares() -> None:
    where = Axes(np.arange(-2, 7) * 10.0, 10.0, np.arange(1.0, 4.0))
    cost = np.random.default_rng(11).random((2, 9, 3))
    uniform = Uniform(window=(0, 50)).maps(cost, where)
    np.testing.assert_allclose(uniform.times, [[5, 25, 45]] * 2)
    np.testing.assert_allclose(uniform.costs[1, 0], cost[1, 2:4, 0].mean())
    graded = Graded().maps(cost, where)
    np.testing.assert_allclose(graded.times[0, 1], 30.0)
    assert graded.weights is not None
    np.testing.assert_allclose(graded.weights[:, 0], np.array([0, 0, 3, 2, 1, 0, 0, 0, 0]) / 6)
    np.testing.assert_allclose(graded.weights[2:].sum(axis=0), 1.0)
    late = Axes(30.0 + np.arange(6) * 10.0, 10.0, np.arange(1.0, 4.0))  # starts after onset
    np.testing.assert_allclose(Uniform().maps(cost[:, :6], late).times, [[35, 55, 75]] * 2)


def test_fixed_times_are_given() -> None:
    cost = np.random.default_rng(12).random((2, 9, 3))
    maps = Fixed(25.0, onset_ms=10.0).maps(cost, axes(9, 3))
    np.testing.assert_allclose(maps.times, [[10, 35, 60]] * 2)
    np.testing.assert_allclose(maps.costs[:, 1], cost[:, 3:5, 1].mean(axis=1))
    own = Fixed().maps(cost, axes(9, 3, block_ms=np.array([0.0, 5.0, 30.0])))
    np.testing.assert_allclose(own.times[0], [0, 5, 30])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fixed(0.0), "positive duration"),
        (lambda: Fixed(1.0, onset_ms=np.nan), "expected the time of block 0"),
        (lambda: MonotonePath(band=1.5), "share of the recording"),
        (lambda: MonotonePath(step_penalty=-1.0), "expected 0 or more"),
        (lambda: SoftPath(0.0), "positive number"),
        (lambda: SoftPath(band=0.0), "share of the recording"),
        (lambda: Fixed().maps(np.ones((1, 9, 3)), axes(9, 3)), "no t_ms"),
        (lambda: Fixed(50.0).maps(np.ones((1, 9, 3)), axes(9, 3)), r"spans 0..100 ms.*\(-5..85 ms\)"),
        (lambda: Affine().maps(np.ones((1, 9, 1)), axes(9, 1)), "at least 2 for a slope"),
        (lambda: Uniform((0, 500)).maps(np.ones((1, 9, 3)), axes(9, 3)), "not within the recording"),
        (lambda: Graded((0, 10)).maps(np.ones((1, 9, 3)), axes(9, 3)), "2 bins for 3 blocks"),
    ],
)
def test_what_cannot_be_a_map_is_refused(make, message: str) -> None:  # noqa: ANN001
    with pytest.raises(ArgumentError, match=message):
        make()
