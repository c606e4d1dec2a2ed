"""Updates at the mapped time: exact where the network is the brain, a ceiling in closed form, calibrated p-values."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from compare_synthetic import brain, network
from macaque_it import macaque_it, needs_macaque_it

from cortexres.compare import linear_cka, rsa, rsa_crossnobis
from cortexres.compare.alignment.align import align
from cortexres.compare.measures.cka import u_centred_gram
from cortexres.compare.measures.dissimilarities import one_minus_correlation
from cortexres.compare.measures.measure import Measure
from cortexres.compare.measures.pair_comparisons import centre_pairs
from cortexres.compare.measures.relations import Similarity, centre_stimuli
from cortexres.compare.updates import matched_cosine, matched_specific, updates_against_velocity
from cortexres.compare.updates.block_times import interval_weights, point_weights
from cortexres.errors import ArgumentError

N, UNITS, TIMES = 12, 8, 14
ALL = (rsa, linear_cka, matched_cosine, matched_specific)
distance = Measure(
    "distance", lambda x: x, lambda a, b: ((a[:, None] - b[None]) ** 2).sum((-2, -1)), orientation="distance"
)


def waves(rng: np.random.Generator, t: np.ndarray, units: int = UNITS) -> np.ndarray:
    """Return rates (stimulus, time, unit) whose velocity turns: every stimulus and unit has its own phase."""
    phase, size = rng.uniform(0, 2 * np.pi, (N, 1, units)), rng.uniform(2, 6, (N, 1, units))
    rates: np.ndarray = 20 + size * np.sin(2 * np.pi * t[:, None] / 70 + phase)
    return rates


def pair(*, sd: float = 0.0, trials: int = 4, seed: int = 0) -> tuple[xr.Dataset, xr.Dataset]:
    """Return a brain, and the network whose state k is its mean at the k-th bin centre."""
    rng = np.random.default_rng(seed)
    centres = (np.arange(TIMES) + 0.5) * 5.0
    signal = waves(rng, centres)
    net = network(signal, dt_ms=5.0).assign_coords(t_ms=("block", centres))
    return brain(signal, sd=sd, trials=trials, rng=rng), net


def test_updates_at_the_right_time_are_the_velocity() -> None:
    scores = updates_against_velocity(*pair(), metrics=ALL, permutations=99, rng=0)
    for metric in ALL:
        np.testing.assert_allclose(scores[metric.name], 1.0, atol=1e-9)
        np.testing.assert_allclose(np.diagonal(scores[f"{metric.name}_map"]), 1.0, atol=1e-9)
        assert float(scores[f"{metric.name}_mean_p"]) == pytest.approx(1 / 100)
        np.testing.assert_allclose(scores[f"{metric.name}_mean_ceiling"], 1.0, atol=1e-9)
        np.testing.assert_allclose(scores[f"{metric.name}_mean_ratio"], scores[f"{metric.name}_mean"])
    np.testing.assert_allclose(scores["time"], np.arange(1, TIMES) * 5.0)
    np.testing.assert_allclose(scores["t_ms"], np.arange(1, TIMES) * 5.0)


def test_a_map_that_stands_still_takes_the_velocity_at_its_point() -> None:
    data, net = pair()
    times = np.repeat(np.arange(1, TIMES // 2 + 1) * 5.0, 2)
    scores = updates_against_velocity(
        data, net, mapping=net["t_ms"].copy(data=times), metrics=[matched_cosine], permutations=1
    )
    velocity = data["response"].mean("trial").diff("time").values
    update = net["response"].diff("block").values
    for block in range(0, TIMES - 1, 2):  # from t to the same t, which is the edge number block // 2
        a, b = velocity[:, block // 2], update[:, block]
        expected = np.vdot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)
        assert float(scores["cosine"][block]) == pytest.approx(expected)
    assert "held" in scores.attrs["warnings"]


def test_the_wrong_time_is_worse_and_the_map_is_what_says_so() -> None:
    data, net = pair()
    late = net["t_ms"].copy(data=np.minimum(net["t_ms"].values + 17.5, 70.0))
    right, wrong = (
        updates_against_velocity(data, net, mapping=m, metrics=[matched_specific], permutations=1) for m in (None, late)
    )
    # A quarter of the period later the velocity is at right angles to itself.
    assert float(right["specific"][:6].mean()) > 0.99
    assert abs(float(wrong["specific"][:6].mean())) < 0.2


@pytest.mark.parametrize("lag", [1, 3])
def test_ceiling_is_the_reliability_of_half_the_trials(lag: int) -> None:
    trials, sd = 8, 1.5
    signal = pair()[0]["response"].values[:, :1]
    values = []
    for seed in range(30):
        data, net = pair(trials=trials)
        data["response"].values[:] = signal + sd * np.random.default_rng(seed).standard_normal(data["response"].shape)
        scores = updates_against_velocity(
            data, net, metrics=[matched_cosine], lag=lag, permutations=1, splits=4, rng=seed
        )
        values.append(scores["cosine_map_ceiling"].values.mean())
    velocity = signal[:, 0, lag:] - signal[:, 0, :-lag]
    power, noise = np.mean(velocity**2, axis=(0, 2)), 2 * sd**2 / (trials / 2)
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    # A mean of ratios, over few units, differs from the ratio of means by about 1 / entries.
    assert abs(np.mean(values) - np.mean(power / (power + noise))) < 4 * error + 1 / (N * UNITS)


@pytest.mark.filterwarnings("ignore:linear_cka. ceiling")  # of two trials in a few of the data sets
@pytest.mark.parametrize("refit", [False, True])
def test_an_unrelated_network_is_found_as_often_as_it_should_be(refit: bool) -> None:
    """With the map chosen for the best score of the true order, fitting it anew keeps the level."""

    def best_shift(data: xr.Dataset, net: xr.Dataset) -> xr.Dataset:
        a = data["response"].mean("trial").values.swapaxes(0, 1)
        table = linear_cka.scores(linear_cka.prepared(a), linear_cka.prepared(net["response"].values.swapaxes(0, 1)))
        shift = max(range(5), key=lambda s: np.trace(table[s:]))
        return xr.Dataset(coords={"block": net["block"], "t_ms": ("block", (np.arange(6) + shift + 0.5) * 5.0)})

    p = []
    for seed in range(40 if refit else 100):
        data, _ = pair(sd=1.0, trials=2, seed=seed)
        _, net = pair(seed=1000 + seed)
        data, net = data.isel(time=slice(0, 11), stimulus=slice(8)), net.isel(block=slice(6), stimulus=slice(8))
        scores = updates_against_velocity(
            data, net, mapping=best_shift if refit else None, metrics=[linear_cka], permutations=19, splits=1, rng=seed
        )
        p.append([float(scores["linear_cka_mean_p"]), float(scores["linear_cka_p"].min())])
    for column in np.array(p).T:
        for level in (0.05, 0.25, 0.5):
            share = np.mean(column <= level + 1e-9)
            assert abs(share - level) < 4 * np.sqrt(level * (1 - level) / len(p))


def test_a_map_that_is_fitted_anew_still_finds_the_network() -> None:
    def fitted(one: xr.Dataset, other: xr.Dataset) -> xr.Dataset:
        return align(one, other, null=None, bootstraps=0, splits=0)

    data, net = pair(sd=0.5)
    scores = updates_against_velocity(data, net, mapping=fitted, metrics=[linear_cka], permutations=19, rng=0)
    assert float(scores["linear_cka_mean"]) > 0.7
    assert float(scores["linear_cka_mean_p"]) == pytest.approx(0.05)
    assert scores.attrs["warnings"] == ""
    held = updates_against_velocity(data, net, mapping=fitted(data, net), metrics=[linear_cka], permutations=1)
    np.testing.assert_array_equal(held["linear_cka"], scores["linear_cka"])
    # A fit that always gives the same map has the null of that map.
    same = [
        updates_against_velocity(data, net, mapping=m, metrics=[linear_cka], permutations=19, rng=0)
        for m in (net["t_ms"], lambda one, other: other)
    ]
    for name in ("linear_cka_null", "linear_cka_mean_null", "linear_cka_mean_null_mean", "linear_cka_p"):
        np.testing.assert_allclose(same[0][name], same[1][name], rtol=1e-9)


def test_distances_count_downwards() -> None:
    data, net = pair()
    data, net = data.copy(), net.copy()
    for name in ("response", "update"):  # an update over 5 ms is then as large as the velocity
        net[name] = (net[name] / 5.0).assign_attrs(units="1")
    scores = updates_against_velocity(data, net, metrics=[distance], permutations=99, rng=0)
    assert float(scores["distance_mean"]) < float(scores["distance_mean_null"])
    assert float(scores["distance_mean_p"]) == pytest.approx(0.01)
    assert scores["distance"].attrs["orientation"] == "distance"


def test_blocks_outside_the_velocities_are_nan_with_the_reason() -> None:
    data, net = pair()
    early = net["t_ms"].copy(data=np.concatenate([[0.0, 3.0], np.arange(2, TIMES) * 5.0]))
    scores = updates_against_velocity(data, net, mapping=early, metrics=[rsa], permutations=9)
    assert np.isnan(scores["rsa"][0])
    assert np.isfinite(scores["rsa"][1:]).all()
    assert "outside the velocities" in scores["rsa"].attrs["undefined"]
    one, _ = pair(trials=1)
    alone = updates_against_velocity(one, net, metrics=[rsa], permutations=9)
    assert np.isnan(alone["rsa_mean_ceiling"])
    assert alone["rsa_mean_ceiling"].attrs["undefined"] == "one trial has no halves"
    assert alone["rsa_mean_ratio"].attrs["undefined"] == "no ceiling above 0"
    still = net.copy()
    still["response"] = xr.full_like(net["response"], 3.0)
    still["update"] = xr.zeros_like(net["update"])
    flat = updates_against_velocity(data, still, metrics=[rsa], permutations=9)
    assert np.isnan(flat["rsa_mean"])
    assert np.isnan(flat["rsa_mean_p"])
    assert flat["rsa_mean"].attrs["undefined"] == "activity is the same for all stimuli"


def test_noise_alone_warns() -> None:
    data, net = pair(sd=200.0)
    data["response"] = data["response"].copy(data=np.abs(data["response"].values))
    with pytest.warns(UserWarning, match="ceiling of update and velocity not above zero"):
        updates_against_velocity(data, net, metrics=[rsa], permutations=9, splits=2, rng=1)


def test_unfit_arguments_are_refused() -> None:
    data, net = pair()
    for bad, match in (
        ({"metrics": []}, "got metrics"),
        ({"metrics": [rsa, rsa]}, "each name once"),
        ({"splits": 0}, "got splits=0"),
        ({"lag": 0}, "got lag=0"),
        ({"lag": TIMES}, f"got lag={TIMES}"),
        ({"mapping": net["t_ms"] * 2}, "expected times inside the recording"),
        ({"mapping": net["t_ms"][::-1].copy(data=net["t_ms"].values)}, "expected t_ms of the network's"),
        ({"mapping": -net["t_ms"] + 70}, "the map falls"),
        ({"mapping": net["t_ms"] * np.nan}, "nowhere defined"),
    ):
        with pytest.raises(ArgumentError, match=match):
            updates_against_velocity(data, net, **bad)
    with pytest.raises(ArgumentError, match="no t_ms"):
        updates_against_velocity(data, net.drop_vars("t_ms"))
    with pytest.raises(ArgumentError, match="got 1 block"):
        updates_against_velocity(data, net.isel(block=[0]))
    with pytest.raises(ArgumentError, match="a cosine needs the same units"):
        updates_against_velocity(data, net.isel(unit=slice(0, 3)), metrics=[matched_cosine])


def test_weights_interpolate_and_average_what_is_linear() -> None:
    knots = np.array([0.0, 2.0, 3.0, 7.0])
    line = 3 * knots - 1
    np.testing.assert_allclose(point_weights(knots, np.array([0.0, 1.0, 6.5, 7.0])) @ line, [-1, 2, 18.5, 20])
    assert np.isnan(point_weights(knots, np.array([-0.1, 7.1]))).all()
    assert point_weights(np.array([4.0]), np.array([4.0])).tolist() == [[1.0]]
    # Constant from 0 to 2, 2 to 4 and 4 to 6; intervals over two, within one, at a point, and over the ends.
    left, right = np.array([1.0, 2.5, 2.0, -3.0, 5.0, 6.5]), np.array([4.0, 3.0, 2.0, 4.0, 8.0, 9.0])
    means = interval_weights(np.array([1.0, 3.0, 5.0]), left, right) @ np.array([10.0, 20.0, 60.0])
    np.testing.assert_allclose(means[:4], [(10 + 2 * 20) / 3, 20, 15, 15])
    assert np.isnan(means[4:]).all()
    assert interval_weights(np.array([4.0]), np.array([3.0]), np.array([9.0])).tolist() == [[1.0]]


@pytest.mark.parametrize("measure", [matched_cosine, matched_specific])
def test_matched_measures_keep_their_claims(measure: Measure) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, N, UNITS)) + 0.5
    assert measure(x, x) == pytest.approx(1.0)
    assert measure(x, y) == pytest.approx(measure(y, x))
    assert measure(x, 3 * y) == pytest.approx(measure(x, y))
    assert abs(measure(x, x[:, ::-1]) - 1) > 0.1  # units are matched: another order of them is another activity
    shifted = measure(x + 2, y)
    assert (shifted == pytest.approx(measure(x, y))) == (measure is matched_specific)
    assert float(measure(torch.tensor(x), torch.tensor(y))) == pytest.approx(measure(x, y), abs=1e-12)
    if measure is matched_specific:
        assert np.isnan(measure(np.ones((N, UNITS)), y))
    order = rng.permutation(N)
    np.testing.assert_allclose(measure.reordered(measure.prepared(x[None]), order), measure.prepared(x[None, order]))


@pytest.mark.parametrize("measure", [matched_cosine, matched_specific])
def test_matched_measures_on_a_gpu(measure: Measure) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    x, y = np.random.default_rng(0).standard_normal((2, N, UNITS))
    found = measure(torch.tensor(x, device="cuda"), torch.tensor(y, device="cuda"))
    assert found == pytest.approx(measure(x, y), abs=1e-12)


def test_the_grams_are_of_the_velocity() -> None:
    """An independent computation: CKA of the differences, by its definition."""
    data, net = pair(sd=1.0)
    scores = updates_against_velocity(data, net, metrics=[linear_cka], permutations=1)
    v = data["response"].mean("trial").diff("time").values[:, 3]
    u = net["response"].diff("block").values[:, 5]
    a, b = u_centred_gram(v), u_centred_gram(u)
    expected = np.vdot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)
    assert float(scores["linear_cka_map"][3, 5]) == pytest.approx(expected)


def test_crossnobis_of_velocities_takes_the_trials() -> None:
    """Distances between velocities over folds of trials are right on average where those of means hold their noise."""
    data, net = pair(sd=2.0, trials=8)
    scores = updates_against_velocity(data, net, metrics=[rsa_crossnobis], permutations=9, splits=2, rng=0)
    velocity = (data["response"].diff("time") / 5.0).transpose("stimulus", "trial", "time", "unit").values
    a = rsa_crossnobis.relations_of_trials(velocity)
    b = rsa_crossnobis.prepared(net["response"].diff("block").values.swapaxes(0, 1))
    np.testing.assert_allclose(scores["rsa_crossnobis_map"], a @ b.T, atol=1e-12)
    np.testing.assert_allclose(scores["rsa_crossnobis"], np.diagonal(a @ b.T), atol=1e-12)
    with pytest.raises(ArgumentError, match="trial"):
        updates_against_velocity(data.isel(trial=[0]), net, metrics=[rsa_crossnobis], permutations=1)


@needs_macaque_it
@pytest.mark.parametrize(
    ("lag", "listed"),
    [
        (1, [0.51, 0.58, 0.53, 0.32, 0.13, 0.11, 0.06, 0.09]),
        (3, [0.23, 0.62, 0.75, 0.69, 0.31, 0.26, 0.21, 0.19]),
    ],
)
def test_velocity_ceilings_of_inferotemporal_cortex(lag: int, listed: list[float]) -> None:
    """Split-half correlation of dissimilarities (1 - r, after the mean over objects) of rate differences."""
    data = macaque_it()
    seen = data.isel(time=slice(9, 12))
    net = network(seen["response"].mean("trial").values).assign_coords(t_ms=("block", seen["time"].values))
    specific = Similarity("specific_rdm", lambda x: centre_pairs(one_minus_correlation(centre_stimuli(x))))
    scores = updates_against_velocity(data, net, metrics=[specific], lag=lag, permutations=1, splits=150, rng=0)
    first = {1: 50.0, 3: 0.0}[lag]
    found = scores["specific_rdm_map_ceiling"].sel(time=slice(first, None)).values[: len(listed)]
    np.testing.assert_allclose(found, listed, atol=0.03)
