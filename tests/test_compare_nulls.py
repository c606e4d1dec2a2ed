"""Nulls keep what they say they keep and lose the rest, join by &, and give p-values that hold their level."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from compare_synthetic import brain, network, relaxation

from cortexres import schema
from cortexres.compare import linear_cka, permute_stimuli, procrustes_distance, rsa, state_scores
from cortexres.compare.against import Against, SimilarityMap
from cortexres.compare.nulls import (
    CircularShift,
    ConstantTrace,
    LeakOnly,
    ModelNull,
    PhaseRandomised,
    ShuffledBlocks,
    null_scores,
    p_value,
)
from cortexres.compare.nulls.leak import nearest_alpha, progress
from cortexres.errors import ArgumentError, SchemaError

TIMES = (np.arange(8) + 0.5) * 5.0
RANDOM = (permute_stimuli, CircularShift(), PhaseRandomised(), ShuffledBlocks())
SINGLE = (LeakOnly(), ConstantTrace())


def pair(seed: int = 0, *, stimuli: int = 12, trials: int = 3) -> tuple[xr.Dataset, xr.Dataset]:
    """Return a brain and a network of the same rotating states, the brain with noise."""
    rng = np.random.default_rng(seed)
    early, late = rng.standard_normal((2, stimuli, 6))
    turn = np.linspace(0.0, np.pi / 2, 8)[:, None]
    states = 30 + 3 * (early[:, None] * np.cos(turn) + late[:, None] * np.sin(turn))
    return brain(states, sd=0.5, trials=trials, rng=rng), network(states)


def mean_cka(data: xr.Dataset, net: xr.Dataset) -> float:
    """Return the mean over blocks of the similarity of block k and bin k."""
    return float(np.diag(SimilarityMap(linear_cka)(data, net)).mean())


@pytest.mark.parametrize("null", [*RANDOM, *SINGLE, permute_stimuli & ShuffledBlocks()], ids=lambda n: n.name)
def test_every_null_keeps_the_schema_ids_and_labels_and_leaves_its_arguments_alone(null) -> None:  # noqa: ANN001
    data, net = pair()
    copies = data.copy(deep=True), net.copy(deep=True)
    drawn = null.draw(data, net, np.random.default_rng(1))
    schema.check_brain(drawn[0])
    schema.check_network(drawn[1])
    schema.same_stimuli(*drawn)
    np.testing.assert_array_equal(drawn[1]["t_ms"], net["t_ms"])
    xr.testing.assert_identical(data, copies[0])
    xr.testing.assert_identical(net, copies[1])
    assert null.name.isidentifier()
    assert len(null.claim) > 10
    again = null.draw(data, net, np.random.default_rng(1))
    for first, second in zip(drawn, again, strict=True):
        xr.testing.assert_identical(first, second)


def test_permuted_stimuli_are_the_same_activity_under_other_ids() -> None:
    data, net = pair()
    _, moved = permute_stimuli.draw(data, net, np.random.default_rng(2))
    order = permute_stimuli.orders(12, draws=1, rng=np.random.default_rng(2))[0]
    np.testing.assert_array_equal(moved["response"].values, net["response"].values[order])
    np.testing.assert_array_equal(moved["update"].values, net["update"].values[order])
    np.testing.assert_array_equal(moved["stimulus"], net["stimulus"])


def test_a_circular_shift_moves_all_of_the_brain_alike_and_every_shift_comes() -> None:
    data, net = pair()
    rng = np.random.default_rng(3)
    found = set()
    for _ in range(100):
        moved = CircularShift().draw(data, net, rng)[0]["response"].values
        equal = [k for k in range(8) if np.array_equal(moved, np.roll(data["response"].values, k, axis=2))]
        assert len(equal) == 1
        found.add(equal[0])
    assert found == set(range(8))


@pytest.mark.parametrize("times", [7, 8])
def test_random_phases_keep_the_mean_all_spectra_and_cross_spectra(times: int) -> None:
    data, net = pair()
    data = data.isel(time=slice(0, times))
    surrogate = PhaseRandomised().draw(data, net, np.random.default_rng(4))[0]["response"].values
    original = data["response"].values

    def cross(values: np.ndarray) -> np.ndarray:
        spectrum = np.fft.fft(values, axis=2)
        return np.einsum("atfu,bsfv->atbsuvf", spectrum[:3], np.conj(spectrum[:3]))

    np.testing.assert_allclose(cross(surrogate), cross(original), rtol=0, atol=1e-9 * np.abs(cross(original)).max())
    np.testing.assert_allclose(surrogate.mean(axis=2), original.mean(axis=2), rtol=1e-12)
    assert np.abs(surrogate - original).max() > 0.5


def test_phases_that_grow_with_frequency_are_a_shift() -> None:
    from cortexres.compare.nulls.phases import _turned

    data, _ = pair()
    turns = np.exp(-2j * np.pi * 3 * np.fft.rfftfreq(8))
    moved = _turned(data["response"].variable, turns)
    np.testing.assert_allclose(moved.values, np.roll(data["response"].values, 3, axis=2), rtol=1e-12)


def test_shuffled_blocks_keep_each_blocks_state_update_and_what_it_carried_together() -> None:
    data, net = pair()
    _, moved = ShuffledBlocks().draw(data, net, np.random.default_rng(5))
    whole = [np.concatenate([n["response"], n["update"]], axis=2) for n in (net, moved)]
    np.testing.assert_array_equal(whole[0][:, 0], whole[1][:, 0])
    for k in range(1, 8):
        assert sum(np.array_equal(whole[1][:, k], whole[0][:, j]) for j in range(1, 8)) == 1
    assert not np.array_equal(*whole)
    np.testing.assert_allclose(moved["carried"] + moved["update"], moved["response"], rtol=1e-12)


def test_a_network_that_leaks_is_its_own_leak_only_network() -> None:
    rng = np.random.default_rng(6)
    alpha = 0.23
    gain = rng.uniform(-10.0, 20.0, (9, 1, 4))
    states = 30 + gain * (1 - (1 - alpha) ** np.arange(8))[:, None]
    data, net = pair(stimuli=9)[0], network(states)
    assert nearest_alpha(states) == pytest.approx(alpha, abs=1e-6)
    for null in (LeakOnly(), LeakOnly(alpha)):
        np.testing.assert_allclose(null.draw(data, net, rng)[1]["response"], states, atol=1e-5)


def test_leak_only_keeps_both_ends_and_is_the_nearest_leak() -> None:
    data, net = pair()
    states = net["response"].values
    best = LeakOnly().draw(data, net, np.random.default_rng(0))[1]["response"].values
    np.testing.assert_allclose(best[:, [0, -1]], states[:, [0, -1]], rtol=1e-12)
    errors = []
    for alpha in np.linspace(0.01, 1.0, 100):
        other = LeakOnly(float(alpha)).draw(data, net, np.random.default_rng(0))[1]["response"].values
        errors.append(np.sum((other - states) ** 2))
    assert np.sum((best - states) ** 2) <= min(errors) + 1e-9


def test_a_leak_of_one_step_holds_the_last_state_and_a_slow_one_is_a_straight_line() -> None:
    np.testing.assert_array_equal(progress(1.0, 5), [0, 1, 1, 1, 1])
    np.testing.assert_allclose(progress(1e-7, 5), np.arange(5) / 4, atol=1e-6)


def test_the_constant_trace_scores_what_the_states_oracle_does() -> None:
    rng = np.random.default_rng(7)
    states = relaxation(10, 5, TIMES, rng)
    data = brain(states, sd=1.0, trials=4, rng=rng)
    net = network(relaxation(10, 5, np.arange(9) * 5.0, rng))
    _, still = ConstantTrace().draw(data, net, rng)
    expected = float(state_scores(data, net)["constant_r2"])
    assert float(state_scores(data, still)["r2"]) == pytest.approx(expected, abs=1e-12)


def test_joined_nulls_are_one_after_the_other() -> None:
    data, net = pair()
    joined = CircularShift() & ShuffledBlocks() & permute_stimuli
    rng = np.random.default_rng(8)
    expected = permute_stimuli.draw(*ShuffledBlocks().draw(*CircularShift().draw(data, net, rng), rng), rng)
    for a, b in zip(joined.draw(data, net, np.random.default_rng(8)), expected, strict=True):
        xr.testing.assert_identical(a, b)
    assert joined.name == "circular_shift_and_shuffled_blocks_and_permute_stimuli"
    assert joined.claim.startswith("at least one of two: at least one of two: the brain's states come")
    assert joined.random
    assert not (LeakOnly() & ConstantTrace()).random
    assert (LeakOnly() & permute_stimuli).random


def test_scores_stand_beside_every_null() -> None:
    data, net = pair()
    other = ModelNull("random_weights", lambda rng: network(rng.standard_normal((12, 8, 6))))
    scores = null_scores(data, net, mean_cka, [*RANDOM, *SINGLE, other], draws=30, rng=0)
    by_name = scores.swap_dims(null="name")
    assert float(scores["score"]) == pytest.approx(mean_cka(data, net))
    assert scores["null_scores"].dims == ("null", "draw")
    for name in ("permute_stimuli", "random_weights"):
        assert float(by_name["p"].sel(name=name)) == pytest.approx(1 / 31)
    assert float(by_name["p"].sel(name="shuffled_blocks")) <= 3 / 31
    assert bool(by_name["p"].sel(name=["leak_only", "constant_trace"]).isnull().all())
    leak = by_name.sel(name="leak_only")
    assert float(leak["difference_low"]) < float(leak["difference"]) < float(leak["difference_high"])
    assert float(leak["difference"]) == pytest.approx(float(scores["score"] - leak["null_mean"]))
    assert "leak_only has one value" in scores["p"].attrs["undefined"]
    assert scores.attrs["n_stimuli"] == 12
    assert scores.attrs["warnings"] == ""
    assert by_name["claim"].sel(name="random_weights") == "the score needs what the network has beyond random_weights"
    xr.testing.assert_identical(
        scores.drop_attrs(), null_scores(data, net, mean_cka, [*RANDOM, *SINGLE, other], draws=30, rng=0).drop_attrs()
    )


def test_scores_beside_nulls_can_be_written_and_read(tmp_path: Path) -> None:
    data, net = pair()
    scores = null_scores(data, net, SimilarityMap(rsa), [permute_stimuli, LeakOnly()], draws=5, rng=0)
    assert scores["null_scores"].dims == ("null", "draw", "time", "block")
    scores.to_netcdf(tmp_path / "scores.nc")
    with xr.open_dataset(tmp_path / "scores.nc") as read:
        xr.testing.assert_identical(read.load(), scores)


def test_a_null_that_changes_nothing_is_named() -> None:
    data, net = pair()

    def best(d: xr.Dataset, n: xr.Dataset) -> float:
        return float(SimilarityMap(rsa)(d, n).max())

    scores = null_scores(data, net, best, [ShuffledBlocks(), CircularShift(), ModelNull("itself", net)], draws=5, rng=0)
    unchanged = [text.split(" leaves")[0] for text in scores.attrs["warnings"].split("; ")]
    assert unchanged == ["shuffled_blocks", "circular_shift", "itself"]
    np.testing.assert_array_equal(scores["p"], [1.0, 1.0, np.nan])
    assert float(scores["difference"][2]) == float(scores["difference_low"][2]) == 0.0


def test_p_values_of_a_map_are_corrected_by_its_extreme_cell_whichever_way_is_alike() -> None:
    drawn = np.array([[0.1, 0.5], [0.4, 0.2], [np.nan, 0.3], [np.nan, np.nan]])
    observed = np.array([0.45, 0.6])
    np.testing.assert_allclose(p_value(observed, drawn, "similarity"), [3 / 5, 2 / 5])
    np.testing.assert_allclose(p_value(-observed, -drawn, "distance"), [3 / 5, 2 / 5])
    np.testing.assert_allclose(p_value(np.array([np.nan, 0.0]), drawn, "similarity"), [np.nan, 1.0])


def test_undefined_draws_are_counted_and_said() -> None:
    data, net = pair()
    values = iter([1.0, np.nan, 0.0, np.nan])
    scores = null_scores(data, net, lambda d, n: next(values), [permute_stimuli], draws=3, rng=0)
    assert float(scores["p"][0]) == pytest.approx(3 / 4)
    assert float(scores["null_mean"][0]) == 0.0
    assert scores["null_scores"].attrs["undefined"] == "permute_stimuli: nowhere defined in 2 of 3 draws"


def test_what_the_score_says_is_undefined_is_kept() -> None:
    data, net = pair()

    def half(d: xr.Dataset, n: xr.Dataset) -> xr.DataArray:
        values = SimilarityMap(rsa)(d, n).isel(time=0, drop=True)
        return values.where(values["block"] > 0).assign_attrs(undefined="block 0: left out")

    scores = null_scores(data, net, half, [permute_stimuli, LeakOnly()], draws=3, rng=0)
    for name in ("score", "p", "null_mean", "difference"):
        assert np.isnan(scores[name].isel(block=0)).all()
        assert "block 0: left out" in scores[name].attrs["undefined"]


def test_too_few_stimuli_for_the_interval_leave_it_undefined() -> None:
    data, net = pair(stimuli=4)
    scores = null_scores(data, net, mean_cka, [LeakOnly()], rng=0)
    assert np.isnan(scores["difference_low"]).all()
    reason = scores["difference_low"].attrs["undefined"]
    assert "leak_only: too few stimuli to leave some out (linear_cka: got 3" in reason


def test_the_fast_way_of_permuting_a_map_is_the_slow_one() -> None:
    data, net = pair(1, stimuli=9)
    _, other = pair(2, stimuli=9)
    fast = Against(SimilarityMap(rsa), draws=60)(data, other, np.random.default_rng(9))
    slow = Against(lambda d, n: SimilarityMap(rsa)(d, n), draws=60)(data, other, np.random.default_rng(9))
    assert fast == slow
    assert Against(SimilarityMap(rsa), draws=60)(data, net, np.random.default_rng(9)) == pytest.approx(1 / 61)
    apart = Against(SimilarityMap(procrustes_distance), draws=19, orientation="distance")
    assert apart(data, net, np.random.default_rng(9)) == pytest.approx(1 / 20)
    assert np.isnan(Against(SimilarityMap(rsa), draws=3)(data, network(np.ones((9, 4, 2))), np.random.default_rng(0)))


def product(data: xr.Dataset, net: xr.Dataset) -> float:
    """Return the sum of products of the brain's states and the network's: linear, so any order matters to it."""
    return float(np.vdot(data["response"].values[:, 0] - 50, net["response"].values[:, 1:]))


@pytest.mark.parametrize("null", RANDOM, ids=lambda n: n.name)
def test_p_values_hold_their_level_where_the_null_is_true(null) -> None:  # noqa: ANN001
    rng = np.random.default_rng(10)
    runs, draws = 100, 19
    turns = np.exp(2j * np.pi * rng.random((runs, 5)))
    p = []
    for k in range(runs):
        # Stimuli, times and blocks are exchangeable here; the brain's smooth course has a random phase.
        wave = np.fft.irfft(np.array([0, 4, 2, 0.5, 0]) * turns[k], n=8)
        data = brain(50 + wave[None, :, None] + 0.3 * rng.standard_normal((5, 8, 3)), sd=0.0, trials=1, rng=rng)
        net = network(rng.standard_normal((5, 9, 3)))
        p.append(Against(product, null, draws)(data, net, rng))
    for level in (0.05, 0.25, 0.5):
        assert abs(np.mean(np.array(p) <= level + 1e-9) - level) < 4 * np.sqrt(level * (1 - level) / runs)


def test_a_models_network_is_brought_to_the_stimuli() -> None:
    data, net = pair()
    null = ModelNull("untied", network(np.random.default_rng(0).standard_normal((20, 8, 6))), claim="ties matter")
    drawn = null.draw(data, net, np.random.default_rng(0))[1]
    np.testing.assert_array_equal(drawn["stimulus"], net["stimulus"])
    assert not null.random
    assert null.claim == "ties matter"


def test_unfit_arguments_are_refused() -> None:
    data, net = pair()
    rng = np.random.default_rng(0)
    with pytest.raises(ArgumentError, match="expected at least one and each name once"):
        null_scores(data, net, mean_cka, [])
    with pytest.raises(ArgumentError, match="each name once"):
        null_scores(data, net, mean_cka, [permute_stimuli, permute_stimuli])
    with pytest.raises(ArgumentError, match="got draws=0"):
        null_scores(data, net, mean_cka, [permute_stimuli], draws=0)
    with pytest.raises(SchemaError, match="stimulus ids differ"):
        null_scores(data, net.assign_coords(stimulus=np.arange(12) + 1), mean_cka, [permute_stimuli])
    short = ModelNull("short", net.isel(block=slice(0, 4)))
    with pytest.raises(ArgumentError, match=r"the score has sizes \{'time': 8, 'block': 4\} under a null"):
        null_scores(data, net, SimilarityMap(linear_cka), [short])
    with pytest.raises(ArgumentError, match="null few lacks 9 of the 12 stimuli, the first with id 3"):
        ModelNull("few", net.isel(stimulus=slice(0, 3))).draw(data, net, rng)
    with pytest.raises(SchemaError, match="network"):
        ModelNull("brain", data).draw(data, net, rng)
    with pytest.raises(ArgumentError, match="got alpha=0, expected a step"):
        LeakOnly(0.0)
    with pytest.raises(ArgumentError, match=r"got alpha=1\.5"):
        LeakOnly(1.5)
    with pytest.raises(ArgumentError, match="got 2 blocks"):
        ShuffledBlocks().draw(data, net.isel(block=slice(0, 2)), rng)
    with pytest.raises(ArgumentError, match="got 1 time bins"):
        CircularShift().draw(data.isel(time=slice(0, 1)), net, rng)
    with pytest.raises(ArgumentError, match=r"7 time bins 5\.\.10 ms apart"):
        PhaseRandomised().draw(data.isel(time=[0, 1, 2, 3, 4, 5, 7]), net, rng)
    with pytest.raises(ArgumentError, match="leak_only with 199 draws, expected a random null"):
        Against(mean_cka, LeakOnly())
    with pytest.raises(ArgumentError, match="with 0 draws"):
        Against(mean_cka, permute_stimuli, draws=0)
    with pytest.raises(ArgumentError, match="got orientation='similarity' and a score that is a distance"):
        Against(SimilarityMap(procrustes_distance))(data, net, rng)
    with pytest.raises(ArgumentError, match="got orientation='similarity' and a score that is a distance"):
        null_scores(data, net, SimilarityMap(procrustes_distance), [permute_stimuli])
