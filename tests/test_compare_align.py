"""Known maps come out, noise gives nothing, and the score says by its null what the slope of a map cannot."""

from __future__ import annotations

import json
import warnings
from functools import partial

import numpy as np
import pytest
import xarray as xr
from compare_synthetic import brain, network
from scipy import stats
from scipy.integrate import solve_ivp
from scipy.ndimage import gaussian_filter1d

from cortexres import io
from cortexres.compare.alignment.affine import Affine
from cortexres.compare.alignment.align import align
from cortexres.compare.alignment.baselines import Graded, Uniform
from cortexres.compare.alignment.fixed import Fixed
from cortexres.compare.alignment.isotonic import Isotonic
from cortexres.compare.alignment.mapping import Method
from cortexres.compare.alignment.monotone_path import MonotonePath
from cortexres.compare.alignment.soft_path import SoftPath
from cortexres.compare.alignment.state_distance import state_distance
from cortexres.compare.measures.cka import linear_cka
from cortexres.compare.measures.crossnobis import crossnobis
from cortexres.compare.measures.pair_comparisons import rho_a
from cortexres.compare.measures.rsa import representational_similarity, rsa, rsa_rho_a
from cortexres.compare.nulls import ShuffledBlocks
from cortexres.errors import ArgumentError, SchemaError
from cortexres.schema import check_scores

METHODS: tuple[Method, ...] = (
    MonotonePath(), MonotonePath(every_bin=True), SoftPath(), Affine(), Isotonic(), Fixed(10.0, onset_ms=5.0),
    Uniform(), Graded(),
)  # fmt: skip


def in_hz(net: xr.Dataset) -> xr.Dataset:
    """Return a network whose states are rates."""
    for name in ("response", "update"):
        net[name].attrs["units"] = "Hz"
    return net


def turning(n: int, times: np.ndarray, rng: np.random.Generator, units: int = 20) -> np.ndarray:
    """Return states (stimulus, time, unit) whose geometry turns from 0 to 100 ms, and is still before and after."""
    early, late = rng.standard_normal((2, n, units))
    turn = np.pi / 2 * np.clip(times / 100.0, 0, 1)[:, None]
    return 30 + 3 * (early[:, None] * np.cos(turn) + late[:, None] * np.sin(turn))


def turned(*, sd: float, seed: int = 0, n: int = 30) -> tuple[xr.Dataset, xr.Dataset, np.ndarray]:
    """Return a brain from -60 to 160 ms that is silent about the stimuli before 0, a network, and its true times."""
    rng = np.random.default_rng(seed)
    time = np.arange(-57.5, 160.0, 5.0)
    truth = np.array([2.5, 12.5, 32.5, 47.5, 67.5, 87.5, 97.5])
    both = turning(n, np.concatenate([time, truth]), rng)
    both[:, : time.size][:, time < 0] = 30.0
    data = brain(both[:, : time.size], sd=sd, trials=8, rng=rng)
    data["time"] = ("time", time, data["time"].attrs)
    return data, network(both[:, time.size :], dt_ms=None), truth


@pytest.mark.parametrize("method", [MonotonePath(), Isotonic(), SoftPath(1e-4)], ids=lambda m: m.name)
@pytest.mark.parametrize("alpha", [0.1, 0.25])
def test_a_leaky_network_has_its_times_in_closed_form(method: Method, alpha: float) -> None:
    rng = np.random.default_rng(0)
    tau, dt = 20.0, 0.25
    steps = np.arange(11)
    truth = -steps * tau * np.log(1 - alpha)
    level = rng.uniform(5.0, 40.0, (12, 1, 6))
    time = np.arange(int(70 / dt)) * dt
    data = brain(level * (1 - np.exp(-time / tau))[:, None], sd=0.0, trials=1, rng=rng, bin_ms=dt)
    data["time"] = ("time", time, data["time"].attrs)
    net = in_hz(network(level * (1 - (1 - alpha) ** steps)[:, None]))
    aligned = align(data, net, metric=state_distance, method=method, permutations=20, bootstraps=5, rng=0)
    tolerance = dt if isinstance(method, SoftPath) else 1e-6
    np.testing.assert_allclose(aligned["t_ms"], truth, atol=tolerance)
    assert aligned.attrs["orientation"] == "distance"
    assert float(aligned["score_p"]) == pytest.approx(1 / 21)
    assert float(aligned["score"]) < float(aligned["score_null_95"]) < float(aligned["score_null_mean"])
    # The interval is over stimuli, and every one of them says the same.
    np.testing.assert_allclose(aligned["t_ms_low"], aligned["t_ms_high"], atol=tolerance)


def test_the_straight_map_of_a_leaky_network_has_its_slope() -> None:
    rng = np.random.default_rng(1)
    alpha, tau, steps = 0.1, 20.0, np.arange(11)
    level = rng.uniform(5.0, 40.0, (12, 1, 6))
    time = np.arange(140) * 0.5
    data = brain(level * (1 - np.exp(-time / tau))[:, None], sd=0.0, trials=1, rng=rng, bin_ms=0.5)
    data["time"] = ("time", time, data["time"].attrs)
    net = in_hz(network(level * (1 - (1 - alpha) ** steps)[:, None]))
    aligned = align(data, net, metric=state_distance, method=Affine(), null=None, bootstraps=20, rng=0)
    assert float(aligned["slope"]) == pytest.approx(-tau * np.log(1 - alpha), abs=0.01)
    assert float(aligned["slope_low"]) <= float(aligned["slope"]) <= float(aligned["slope_high"])
    assert float(aligned["intercept"]) == pytest.approx(0.0, abs=0.05)
    assert "score_p" not in aligned
    assert aligned.attrs["null"] == "none"


@pytest.mark.parametrize(("gain", "step_ms", "bin_ms"), [(0.8, 2.0, 2.0), (1.5, 5.0, 5.0), (1.5, 2.0, 5.0)])
def test_an_euler_network_lies_on_its_differential_equation(gain: float, step_ms: float, bin_ms: float) -> None:
    rng = np.random.default_rng(2)
    n, units, tau = 20, 10, 20.0
    weights, drive = gain * rng.standard_normal((units, units)) / np.sqrt(units), rng.standard_normal((n, units))

    def velocity(rates: np.ndarray) -> np.ndarray:
        return (np.logaddexp(0.0, rates @ weights.T + drive) - rates) / tau

    def flat(_: float, y: np.ndarray) -> np.ndarray:
        return velocity(y.reshape(n, units)).ravel()

    time = (np.arange(int(100 / bin_ms)) + 0.5) * bin_ms
    solved = solve_ivp(flat, (0, 100), np.zeros(n * units), t_eval=time, rtol=1e-9, atol=1e-11).y
    states = [np.zeros((n, units))]
    for _ in range(int(60 / step_ms)):  # Euler's lag grows with time: by 1 + h / 2 tau for a leak alone
        states.append(states[-1] + step_ms * velocity(states[-1]))
    data = brain(solved.T.reshape(time.size, n, units).swapaxes(0, 1), sd=0.0, trials=1, rng=rng, bin_ms=bin_ms)
    net = in_hz(network(np.stack(states, axis=1), dt_ms=step_ms))
    aligned = align(data, net, metric=state_distance, permutations=20, bootstraps=0, rng=0)
    assert float(np.abs(aligned["t_ms"] - aligned["network_t_ms"]).max()) <= bin_ms
    assert float(aligned["score_p"]) == pytest.approx(1 / 21)
    if gain < 1:  # by geometry alone, which in Euler's network lags a little behind
        aligned = align(data, net, metric=linear_cka, null=None, bootstraps=0)
        assert float(np.abs(aligned["t_ms"] - aligned["network_t_ms"]).max()) <= bin_ms
        assert np.isnan(float(aligned["t_ms"][0]))
        assert "blocks 0: " in aligned["t_ms"].attrs["undefined"]


@pytest.mark.parametrize(("sd", "above"), [(1.0, 0.02), (4.0, 0.08)])
def test_a_right_model_reaches_its_ceiling_whatever_the_noise(sd: float, above: float) -> None:
    """Over the ceiling of half the trials, the same scores would be 1.04 and 1.7."""
    time, truth = np.arange(2.5, 120.0, 5.0), np.array([12.5, 32.5, 47.5, 67.5, 87.5])
    ratios = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        both = 200 + turning(30, np.concatenate([time, truth]), rng)
        data = brain(both[:, : time.size], sd=sd, trials=8, rng=rng)
        net = network(both[:, time.size :], dt_ms=None)
        ratios.append(float(align(data, net, null=None, bootstraps=0, rng=seed)["score_ratio"]))
    assert -0.01 < np.mean(ratios) - 1 < above


@pytest.mark.parametrize("metric", [linear_cka, rsa], ids=lambda m: m.name)
def test_a_turn_between_baseline_and_plateau_is_found(metric) -> None:  # noqa: ANN001
    data, net, truth = turned(sd=2.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        aligned = align(data, net, metric=metric, permutations=99, bootstraps=200, rng=0)
    # The first and the last state are those of the baseline's end and of the whole plateau.
    np.testing.assert_allclose(aligned["t_ms"][1:-1], truth[1:-1], atol=10.0)
    assert float(aligned["t_ms"][-1]) >= 85
    inside = (aligned["t_ms_low"] <= truth + 2.5) & (aligned["t_ms_high"] >= truth - 2.5)
    assert int(inside.sum()) >= 6
    assert float(aligned["score_p"]) == pytest.approx(0.01)
    assert float(aligned["score"]) > float(aligned["score_null_95"]) > float(aligned["score_null_mean"])
    assert float(aligned["score_low"]) <= float(aligned["score"]) <= float(aligned["score_high"])
    assert 0 <= float(aligned["loss"]) < 0.05
    half = float(aligned["score_ceiling"])
    assert float(aligned["score_model_ceiling"]) == pytest.approx(np.sqrt(2 * half / (1 + half)))
    assert float(aligned["score_ratio"]) == pytest.approx(float(aligned["score"] / aligned["score_model_ceiling"]))
    # The null's maps rise just as well.
    assert float(aligned["null_t_ms_high"][-1]) > float(aligned["null_t_ms_low"][0])


@pytest.mark.parametrize("method", METHODS, ids=lambda m: f"{m.name}")
def test_every_method_gives_a_score_that_can_be_read_off_its_map(method: Method) -> None:
    data, net, _ = turned(sd=2.0)
    aligned = align(data.sel(time=slice(0, 160)), net, method=method, permutations=20, bootstraps=20, rng=0)
    check_scores(aligned)
    blocks = aligned["similarity"].sizes["block"]
    if "share" in aligned:
        read = (aligned["share"] * aligned["similarity"]).sum("time")
        np.testing.assert_allclose(aligned["t_ms"], (aligned["share"] * aligned["time"]).sum("time"))
    elif "path_time" in aligned:
        on_path = [
            aligned["similarity"].sel(time=aligned["path_time"][aligned["path_block"] == k], block=k).max()
            for k in range(blocks)
        ]
        read = xr.DataArray(on_path, dims="block")
    else:
        columns = [aligned["similarity"].isel(block=k).interp(time=aligned["t_ms"][k]) for k in range(blocks)]
        read = xr.DataArray([float(column) for column in columns], dims="block")
    np.testing.assert_allclose(aligned["on_map"], read, atol=1e-12)
    assert float(aligned["score"]) == pytest.approx(float(read.mean()), abs=1e-12)
    assert float(aligned["best"]) == pytest.approx(float(aligned["similarity"].max("time").mean()), abs=1e-12)
    assert float(aligned["loss"]) == pytest.approx(float(aligned["best"] - aligned["score"]), abs=1e-12)
    assert float(aligned["loss"]) >= 0
    for name, values in aligned.data_vars.items():
        assert {"units", "long_name", "undefined"} <= set(values.attrs), name
    assert aligned.attrs["method"] == method.name
    assert aligned.attrs["n_stimuli"] == 30
    assert "no evidence" in aligned.attrs["warnings"]
    facts = json.loads(aligned.attrs["cortexres_provenance"])
    assert facts["seed"] == 0
    assert facts["method"] == method.name
    again = align(data.sel(time=slice(0, 160)), net, method=method, permutations=20, bootstraps=20, rng=0)
    xr.testing.assert_identical(again.drop_attrs(deep=False), aligned.drop_attrs(deep=False))


def test_an_alignment_can_be_saved_and_loaded(tmp_path) -> None:  # noqa: ANN001
    data, net, _ = turned(sd=2.0)
    for method in (MonotonePath(), Affine(), SoftPath()):
        aligned = align(data.sel(time=slice(0, 160)), net, method=method, permutations=5, bootstraps=5, rng=0)
        xr.testing.assert_identical(io.load(io.save(aligned, tmp_path / f"{method.name}.nc")), aligned)


def test_where_the_best_bins_are_in_order_nothing_is_lost() -> None:
    data, net, _ = turned(sd=0.5)
    aligned = align(data.sel(time=slice(0, 160)), net, null=None, bootstraps=0, splits=0)
    assert (np.diff(aligned["best_t_ms"]) >= 0).all()
    assert float(aligned["loss"]) == 0.0
    np.testing.assert_array_equal(aligned["path_time"], aligned["best_t_ms"])
    assert float(np.abs(aligned["t_ms"] - aligned["best_t_ms"]).max()) <= 2.5
    assert "ceiling" not in aligned


def test_the_order_of_the_blocks_is_judged_against_shuffled_blocks() -> None:
    data, net, _ = turned(sd=2.0)
    data = data.sel(time=slice(0, 160))
    order = align(data, net, null=ShuffledBlocks(), permutations=99, bootstraps=0, rng=0)
    assert float(order["score_p"]) <= 0.05
    mixed = net.copy()
    shuffle = [0, 4, 1, 6, 3, 5, 2]
    mixed["response"] = net["response"].isel(block=shuffle).assign_coords(block=net["block"])
    mixed["update"] = (net["update"].dims, np.diff(mixed["response"], axis=1, prepend=mixed["response"][:, :1]),
                       net["update"].attrs)  # fmt: skip
    stimuli = align(data, mixed, permutations=99, bootstraps=0, rng=0)
    blocks = align(data, mixed, null=ShuffledBlocks(), permutations=99, bootstraps=0, rng=0)
    # Permuted stimuli are passed by any network that relates them as the brain does, in whatever order.
    assert float(stimuli["score_p"]) == pytest.approx(0.01)
    assert float(blocks["score_p"]) > 0.05
    assert float(stimuli["loss"]) > 0.05


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int, int], width: float) -> np.ndarray:
    """Return noise (stimulus, time or block, unit) smoothed along its second axis."""
    return 30 + gaussian_filter1d(rng.standard_normal(shape), width, axis=1)


@pytest.mark.filterwarnings("ignore:.*ceiling not above zero")
def test_on_noise_the_path_rises_and_the_p_value_is_uniform() -> None:
    rng = np.random.default_rng(3)
    p, rises = [], []
    for _ in range(200):
        data = brain(smooth_noise(rng, (10, 30, 8), 3.0), sd=0.0, trials=1, rng=rng)
        net = network(smooth_noise(rng, (10, 8, 8), 1.0))
        aligned = align(data, net, permutations=39, bootstraps=0, splits=0, rng=rng)
        p.append(float(aligned["score_p"]))
        if float(aligned["t_ms"].std()) > 0:
            rises.append(np.corrcoef(aligned["t_ms"], aligned["block"])[0, 1])
    assert np.mean(rises) > 0.7
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert 0.02 <= np.mean(np.array(p) <= 0.05) <= 0.09


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*ceiling not above zero")
@pytest.mark.parametrize("metric", [linear_cka, state_distance], ids=lambda m: m.name)
@pytest.mark.parametrize("method", METHODS, ids=lambda m: f"{m.name}")
def test_the_p_value_of_every_method_is_uniform_on_noise(method: Method, metric) -> None:  # noqa: ANN001
    rng = np.random.default_rng(4)
    p = []
    for _ in range(500):
        data = brain(smooth_noise(rng, (10, 30, 8), 3.0), sd=0.0, trials=1, rng=rng)
        net = in_hz(network(smooth_noise(rng, (10, 8, 8), 1.0)))
        aligned = align(data, net, metric=metric, method=method, permutations=39, bootstraps=0, splits=0, rng=rng)
        p.append(float(aligned["score_p"]))
    assert stats.kstest(p, "uniform").pvalue > 0.005
    assert 0.025 <= np.mean(np.array(p) <= 0.05) <= 0.085


def test_permuted_stimuli_give_nothing() -> None:
    data, net, _ = turned(sd=2.0)
    order = np.random.default_rng(5).permutation(30)
    for name in ("response", "update"):
        net[name] = (net[name].dims, net[name].values[order], net[name].attrs)
    aligned = align(data.sel(time=slice(0, 160)), net, permutations=99, bootstraps=0, rng=0)
    assert float(aligned["score_p"]) > 0.05
    assert float(aligned["t_ms"][-1]) >= float(aligned["t_ms"][0])


def test_times_without_relations_are_nobodys() -> None:
    data, net, _ = turned(sd=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        aligned = align(data, net, permutations=10, bootstraps=0, rng=0)
        fixed = align(data, net, method=Fixed(30.0, onset_ms=-30.0), permutations=10, bootstraps=0, rng=0)
    assert float(aligned["t_ms"].min()) > 0
    assert "-57.5, -52.5" in aligned["t_ms"].attrs["undefined"]
    assert np.isnan(fixed["on_map"][:2]).all()
    assert "blocks 0, 1 do not count" in fixed["score"].attrs["undefined"]
    assert float(fixed["score"]) == pytest.approx(float(fixed["on_map"][2:].mean()))
    assert np.isfinite(float(fixed["score_p"]))


def test_few_stimuli_leave_samples_out_and_say_so() -> None:
    data, net, _ = turned(sd=1.0, n=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        aligned = align(data.sel(time=slice(0, 160)), net, permutations=10, bootstraps=60, rng=0)
    assert "samples have no score" in aligned["score_low"].attrs["undefined"]
    assert np.isfinite(aligned["t_ms_low"]).all()


def test_one_draw_of_a_null_is_no_distribution() -> None:
    data, net, _ = turned(sd=1.0)
    aligned = align(data.sel(time=slice(0, 160)), net, permutations=1, bootstraps=0, splits=0, rng=0)
    assert np.isnan(float(aligned["score_p"]))
    assert "one value only" in aligned["score_p"].attrs["undefined"]


def test_state_distance_is_the_mean_squared_difference_in_numpy_and_torch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(6)
    x, y = rng.standard_normal((3, 5, 4)) + 100, rng.standard_normal((2, 5, 4)) + 100
    expected = ((x[:, None] - y[None]) ** 2).mean(axis=(2, 3))
    np.testing.assert_allclose(state_distance.scores(x, y), expected, rtol=1e-12)
    np.testing.assert_allclose(state_distance.scores(torch.tensor(x), torch.tensor(y)).numpy(), expected, rtol=1e-12)
    np.testing.assert_array_equal(np.diag(state_distance.scores(x, x)), 0.0)
    np.testing.assert_allclose(state_distance.scores(x, y), state_distance.scores(y, x).T)
    assert state_distance(x[0], x[0] + 2.0) == pytest.approx(4.0)  # unlike the geometry, it sees a shift
    order = rng.permutation(5)
    np.testing.assert_array_equal(state_distance.reordered(x, order), x[:, order])
    x[1, 2, 3] = np.nan
    assert np.isnan(state_distance.scores(x, y)[1]).all()


@pytest.mark.skipif("not __import__('torch').cuda.is_available()")
def test_state_distance_on_cuda() -> None:
    torch = pytest.importorskip("torch")
    x = torch.randn(3, 5, 4, dtype=torch.float64)
    expected = state_distance.scores(x, x + 1)
    np.testing.assert_allclose(state_distance.scores(x.cuda(), x.cuda() + 1).cpu(), expected, rtol=1e-12)


def test_samples_of_stimuli_are_those_of_trials_where_the_measure_wants_trials() -> None:
    """Louder trials to some stimuli, larger states to the same: alike in distances of means, not in crossnobis."""
    rng = np.random.default_rng(7)
    loud = np.linspace(0.2, 3.0, 24)[:, None, None]
    data = brain(np.full((24, 10, 30), 30.0), sd=0.0, trials=6, rng=rng)
    data["response"] = data["response"] + loud[..., None] * rng.standard_normal((24, 6, 10, 30))
    data["response"].attrs["units"] = "Hz"
    net = network(loud * rng.standard_normal((24, 4, 200)))
    of_trials = partial(crossnobis, noise="white")
    unbiased = representational_similarity("any", comparison=rho_a, dissimilarity_of_trials=of_trials)
    options = {"method": Uniform(), "null": None, "bootstraps": 20, "splits": 0, "rng": 0}
    plain, aligned = (align(data, net, metric=metric, **options) for metric in (rsa_rho_a, unbiased))
    assert float(plain["score_low"]) > 0.5
    assert float(aligned["score_low"]) < float(aligned["score"]) < float(aligned["score_high"]) < 0.4


def _with(data: xr.Dataset, **changes: object) -> xr.Dataset:
    return data.assign_coords(changes)


def test_what_cannot_be_aligned_is_refused() -> None:
    data, net, _ = turned(sd=1.0)
    data = data.sel(time=slice(0, 160))
    cheap = {"permutations": 2, "bootstraps": 0, "splits": 0}
    with pytest.raises(SchemaError, match="stimulus ids differ"):
        align(data, _with(net, stimulus=np.arange(30) + 1), **cheap)
    with pytest.raises(SchemaError, match="another order"):
        align(data, net.isel(stimulus=slice(None, None, -1)), **cheap)
    with pytest.raises(SchemaError, match='t_ms has units \'s\', expected "ms"'):
        align(data, _with(net, t_ms=("block", np.arange(7) * 0.01, {"units": "s"})), **cheap)
    with pytest.raises(ArgumentError, match=r"Fixed: the map spans 0..240 ms, expected times within the recording"):
        align(data, net, method=Fixed(40.0), **cheap)
    with pytest.raises(ArgumentError, match="Fixed: the network has no t_ms"):
        align(data, net, method=Fixed(), **cheap)
    with pytest.raises(ArgumentError, match="the brain is in Hz, the network in 1"):
        align(data, net, metric=state_distance, **cheap)
    with pytest.raises(SchemaError, match="units differ"):
        align(data, in_hz(net.isel(unit=slice(5))), metric=state_distance, **cheap)
    with pytest.raises(ArgumentError, match="got bootstraps=-1 and splits=0"):
        align(data, net, permutations=2, bootstraps=-1, splits=0)
    with pytest.raises(ArgumentError, match="permutations=0"):
        align(data, net, permutations=0, bootstraps=0)
    with pytest.raises(ArgumentError, match="got 3 stimuli, expected at least 4"):
        align(data.isel(stimulus=slice(3)), net.isel(stimulus=slice(3)), **cheap)
    with pytest.raises(ArgumentError, match="no block has a defined value at any time"):
        align(data, network(np.ones((30, 7, 20)), dt_ms=None), **cheap)
    with pytest.raises(ArgumentError, match=r"state_distance: got \(5, 4\) and \(5, 3\) stimuli and units"):
        state_distance(np.ones((5, 4)), np.ones((5, 3)))
