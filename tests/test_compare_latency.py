"""The latency-depth test: latencies are read right, order is found, and likeness of blocks does not pass for it."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from compare_synthetic import brain, network
from scipy import stats
from scipy.ndimage import gaussian_filter1d

from cortexres.compare import linear_cka, linear_cka_minibatch, rsa, rsa_whitened, svcca
from cortexres.compare.inference.depth_order import rank_correlations
from cortexres.compare.inference.latencies import Onset, Peak
from cortexres.compare.inference.latency_depth import latency_depth
from cortexres.compare.inference.null_maps import score_map
from cortexres.compare.inference.resampled_maps import resampled_stimuli, resampled_units
from cortexres.compare.measures.measure import Comparison, Measure
from cortexres.errors import ArgumentError, SchemaError

TIME = np.arange(40) * 5.0 + 2.5
DISTANCE = Measure(
    "distance",
    lambda x: x - x.mean(1, keepdims=True),
    lambda a, b: np.sqrt(((a[:, None] - b[None]) ** 2).mean((-2, -1))),
    orientation="distance",
)


def smooth(values: np.ndarray, sd: float, axis: int = 1) -> np.ndarray:
    """Return values smoothed along an axis by a Gaussian, with standard deviation 1."""
    values = gaussian_filter1d(values, sd, axis=axis) if sd else values
    return values / values.std()


def layers_and_brain(
    kind: str, likeness: float, rng: np.random.Generator, *, n: int = 30, blocks: int = 12, signal: float = 3.0
) -> tuple[xr.Dataset, xr.Dataset]:
    """Return a brain and a network: unrelated, sharing one time course, or of later and later blocks.

    `likeness` is how many blocks the noise (for later blocks: the states) is smoothed over.
    """
    response = smooth(rng.standard_normal((n, TIME.size, 10)), 2.0)
    states = smooth(rng.standard_normal((n, blocks, 10)), likeness)
    if kind == "shared":
        same = rng.standard_normal((n, 10))
        course = np.exp(-0.5 * ((TIME - 100) / 40) ** 2)
        response = response + signal * course[:, None] * same[:, None]
        states = states + same[:, None]
    if kind == "ordered":
        courses = np.exp(-0.5 * ((TIME[:, None] - np.linspace(40, 160, blocks)) / 25) ** 2)
        response = response + signal * np.einsum("tb,nbu->ntu", courses, states)
    return brain(100 + response, sd=0.1, trials=2, rng=rng), network(states)


@pytest.mark.parametrize("height", [1.0, -0.3])
def test_the_peak_of_a_parabola_is_exact_and_edges_are_edges(height: float) -> None:
    curve = height - ((TIME - 83.1) / 50) ** 2
    rising = TIME / 100
    maps = np.stack([curve, rising, -rising, np.full(40, np.nan)], axis=1)[None]
    np.testing.assert_allclose(Peak().of(maps, TIME)[0], [83.1, TIME[-1], TIME[0], np.nan])


def test_a_peak_beside_undefined_times_is_its_bin() -> None:
    curve = -np.abs(TIME - 52.5)
    curve[9] = np.nan
    assert Peak().of(curve[None, :, None], TIME)[0, 0] == 52.5


def test_the_onset_of_a_ramp_is_exact() -> None:
    ramp = np.clip((TIME - 41.0) / 80.0, 0.0, 1.0)
    assert Onset(0.5).of(ramp[None, :, None], TIME)[0, 0] == pytest.approx(81.0)
    assert Onset(0.25).of(3 + 2 * ramp[None, :, None], TIME)[0, 0] == pytest.approx(61.0)


def test_an_onset_is_the_last_one_before_the_peak_or_the_first_time() -> None:
    twice = np.zeros(40)
    twice[5:8], twice[20:25], twice[22] = 0.8, 0.9, 1.0
    falling = -TIME
    maps = np.stack([twice, falling, np.ones(40)], axis=1)[None]
    onset = Onset(0.5).of(maps, TIME)[0]
    assert TIME[19] < onset[0] < TIME[20]
    assert onset[1] == TIME[0]
    assert np.isnan(onset[2])  # nothing rises


def test_rank_correlations_are_spearmans() -> None:
    rng = np.random.default_rng(0)
    latencies = rng.integers(0, 4, (20, 6)).astype(float)
    found = rank_correlations(latencies)
    for k in range(20):
        assert found[k] == pytest.approx(stats.spearmanr(latencies[k], np.arange(6)).statistic)
    np.testing.assert_array_equal(rank_correlations(np.ones((2, 5))), 0.0)
    assert np.isnan(rank_correlations(np.ones((1, 2)))).all()
    gap = rank_correlations(np.array([[1.0, np.nan, 2.0, 3.0]]))[0]
    assert gap == pytest.approx(np.array([-1, 0, 0, 1]) @ np.array([-1.5, -0.5, 0.5, 1.5]) / np.sqrt(2 * 5))


@pytest.mark.parametrize("metric", [linear_cka, rsa], ids=lambda m: m.name)
@pytest.mark.parametrize("latency", [Peak(), Onset()], ids=lambda m: m.name)
def test_ordered_latencies_are_found(metric, latency) -> None:  # noqa: ANN001
    rng = np.random.default_rng(1)
    data, net = layers_and_brain("ordered", 1.0, rng)
    scores = latency_depth(data, net, metric=metric, latency=latency, draws=99, rng=2)
    assert float(scores["rho"]) > 0.9
    assert float(scores["p"]) <= 0.02
    assert float(scores["p_unrelated"]) <= 0.02
    assert float(scores["p_naive"]) < 1e-4
    assert 0 < float(scores["slope_low"]) < float(scores["slope"]) < float(scores["slope_high"])
    assert scores["slope"].attrs["units"] == "ms/block"
    assert bool((scores["latency_ms_low"] <= scores["latency_ms_high"]).all())
    assert scores["latency_ms"].attrs["units"] == "ms"
    assert scores["null_rho"].dims == ("null", "draw")


def test_where_blocks_are_so_alike_that_most_draws_are_in_order_the_slope_tells_the_truth_from_them() -> None:
    data, net = layers_and_brain("ordered", 4.0, np.random.default_rng(12))
    scores = latency_depth(data, net, draws=99, rng=0)
    assert float(scores["rho"]) == pytest.approx(1.0)
    in_order = np.abs(scores["null_rho"][0]) > 1 - 1e-9
    assert float(in_order.mean()) > 0.05  # which is all that ranks could tell
    assert float(scores["p"]) <= 0.02


def test_a_distance_has_its_latency_where_it_is_least() -> None:
    data, net = layers_and_brain("ordered", 1.0, np.random.default_rng(2), signal=1.0)
    scores = latency_depth(data, net, metric=DISTANCE, draws=19, rng=0)
    mean = DISTANCE.prepared(data["response"].mean("trial").values.swapaxes(0, 1))
    least = TIME[DISTANCE.scores(mean, DISTANCE.prepared(net["response"].values.swapaxes(0, 1))).argmin(axis=0)]
    assert np.abs(scores["latency_ms"] - least).max() <= 2.5
    assert scores.attrs["orientation"] == "distance"


def test_a_reversed_order_counts_unless_an_increase_was_asked_for() -> None:
    data, net = layers_and_brain("ordered", 1.0, np.random.default_rng(3))
    backwards = network(net["response"].values[:, ::-1])
    both = latency_depth(data, backwards, draws=99, rng=0)
    assert float(both["rho"]) < -0.9
    assert float(both["p"]) <= 0.02
    one = latency_depth(data, backwards, alternative="increasing", draws=99, rng=0)
    assert float(one["p"]) > 0.9
    assert float(one["p_naive"]) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("likeness", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("kind", ["unrelated", "shared"])
def test_false_positive_rate_is_the_nominal_one_however_alike_blocks_are(kind: str, likeness: float) -> None:
    """Nominal 5 %: 3 to 7 % of 1000, while the rank correlation's own test reaches half and more."""
    rng = np.random.default_rng(4)
    p, naive = [], []
    for _ in range(1000):
        data, net = layers_and_brain(kind, likeness, rng)
        scores = latency_depth(data, net, draws=99, rng=rng)
        p.append(float(scores["p"]))
        naive.append(float(scores["p_naive"]))
    assert 0.03 <= np.mean(np.array(p) <= 0.05 + 1e-9) <= 0.07
    if likeness >= 2:
        assert np.mean(np.array(naive) <= 0.05) > 0.25


@pytest.mark.parametrize("kind", ["unrelated", "shared"])
def test_likeness_of_blocks_does_not_pass_for_order(kind: str) -> None:
    rng = np.random.default_rng(5)
    p, naive = [], []
    for _ in range(60):
        data, net = layers_and_brain(kind, 3.0, rng, n=24)
        scores = latency_depth(data, net, draws=39, rng=rng)
        p.append(float(scores["p"]))
        naive.append(float(scores["p_naive"]))
    assert np.mean(np.array(naive) <= 0.05) > 0.3
    assert np.mean(np.array(p) <= 0.05 + 1e-9) < 0.15


def test_the_interval_of_a_latency_holds_it() -> None:
    """One time course with its peak at 100 ms: the 95 % interval of a block's peak holds it in most data sets."""
    rng = np.random.default_rng(6)
    hits = []
    for _ in range(30):
        data, net = layers_and_brain("shared", 0.0, rng, blocks=3)
        scores = latency_depth(data, net, draws=99, rng=rng)
        hits.append((scores["latency_ms_low"] <= 100) & (scores["latency_ms_high"] >= 100))
    assert 0.85 <= np.mean(hits) <= 1.0


def test_blocks_without_latency_are_left_out_with_the_reason() -> None:
    data, net = layers_and_brain("ordered", 1.0, np.random.default_rng(7))
    states = net["response"].values.copy()
    states[:, 0] = 1.0
    net = network(states)
    scores = latency_depth(data, net, draws=49, rng=0)
    assert np.isnan(scores["latency_ms"][0])
    assert scores["latency_ms"].attrs["undefined"] == "at blocks 0"
    assert float(scores["rho"]) > 0.9
    few = latency_depth(data, net.isel(block=[0, 1, 2]), draws=9, rng=0)
    for name in ("rho", "p", "p_unrelated", "p_naive", "slope", "slope_low"):
        assert np.isnan(few[name])
        assert few[name].attrs["undefined"].startswith("2 blocks have a latency")
    none = latency_depth(data, net.isel(block=[0]), draws=9, rng=0)
    assert np.isnan(none["latency_ms_low"]).all()


def test_only_times_after_the_onset_have_latencies() -> None:
    data, net = layers_and_brain("ordered", 1.0, np.random.default_rng(8))
    earlier = data.assign_coords(time=("time", TIME - 60.0, data["time"].attrs))
    scores = latency_depth(earlier, net, draws=9, rng=0)
    assert float(scores["latency_ms"].min()) >= 0


def test_a_seed_gives_the_same_again() -> None:
    data, net = layers_and_brain("shared", 1.0, np.random.default_rng(9))
    xr.testing.assert_equal(*(latency_depth(data, net, draws=19, rng=3) for _ in range(2)))


def test_resampled_maps_are_those_of_resampled_datasets() -> None:
    rng = np.random.default_rng(10)
    data, net = layers_and_brain("shared", 0.0, rng, n=9, blocks=3)
    mean = data["response"].mean("trial").values
    maps = resampled_stimuli(DISTANCE, data, net, draws=3, rng=np.random.default_rng(1))
    again = np.random.default_rng(1)
    again.multinomial(9, np.full(9, 1 / 9), size=3)
    halves = np.array([
        DISTANCE(mean[half, 4], net["response"].values[half, 2])
        for half in (again.choice(9, 4, replace=False) for _ in range(3))
    ])
    whole = DISTANCE(mean[:, 4], net["response"].values[:, 2])
    assert maps[:, 4, 2] == pytest.approx(whole + np.sqrt(4 / 5) * (halves - halves.mean()))
    units = resampled_units(linear_cka, data, net, draws=2, rng=np.random.default_rng(2))
    counts = np.random.default_rng(2).multinomial(10, np.full(10, 0.1), size=2)
    drawn = np.repeat(np.arange(10), counts[0])
    assert units[0, 4, 2] == pytest.approx(linear_cka(mean[:, 4][:, drawn], net["response"].values[:, 2]))


@pytest.mark.parametrize("measure", [linear_cka_minibatch, rsa_whitened, svcca(5)], ids=lambda measure: measure.name)
def test_samples_of_any_measure_lie_about_its_score(measure: Comparison) -> None:
    """Stimuli that are drawn twice would be alike to themselves: unrelated data once had intervals of .8 to .9."""
    data, net = layers_and_brain("unrelated", 0.0, np.random.default_rng(12), n=30, blocks=3)
    maps = resampled_stimuli(measure, data, net, draws=60, rng=np.random.default_rng(2))
    scores = score_map(measure, data, net)
    low, high = np.quantile(maps, (0.025, 0.975), axis=0)
    assert (low < scores).all()
    assert (scores < high).all()
    assert (high - low).max() < 0.9
    few = data.isel(stimulus=slice(0, 5)), net.isel(stimulus=slice(0, 5))
    assert np.isnan(resampled_stimuli(measure, *few, draws=2, rng=np.random.default_rng(3))).all()


def test_unfit_arguments_are_refused() -> None:
    data, net = layers_and_brain("shared", 0.0, np.random.default_rng(11), n=8, blocks=4)
    with pytest.raises(ArgumentError, match="got alternative='less'"):
        latency_depth(data, net, alternative="less")
    with pytest.raises(ArgumentError, match="got draws=0"):
        latency_depth(data, net, draws=0)
    with pytest.raises(ArgumentError, match="got 2 bins after the onset"):
        latency_depth(data.isel(time=[0, 1]), net)
    with pytest.raises(ArgumentError, match=r"got fraction=1\.0"):
        Onset(1.0)
    with pytest.raises(SchemaError, match="stimulus ids differ"):
        latency_depth(data, net.assign_coords(stimulus=np.arange(8) + 1))
