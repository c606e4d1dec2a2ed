"""x, F and their sum: exact where the network is the circuit, ceilings that are paired, p-values that hold."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from compare_synthetic import brain, network

from cortexres.compare import linear_cka, rsa
from cortexres.compare.updates import components
from cortexres.errors import ArgumentError

N, UNITS, BLOCKS, DT = 10, 7, 12, 5.0


def states(*, recurrent: bool, seed: int = 0) -> np.ndarray:
    """Return states (stimulus, block, unit) of dr/dt = -r + W r + u by Euler steps; W = 0 without recurrence."""
    rng = np.random.default_rng(seed)
    drive, weights = rng.uniform(5, 25, (N, UNITS)), rng.standard_normal((UNITS, UNITS)) * 0.15
    state, kept = np.full((N, UNITS), 10.0), []
    for _ in range(BLOCKS):
        kept.append(state)
        state = state + 0.25 * (drive - state + (state @ weights.T if recurrent else 0.0))
    return np.stack(kept, axis=1)


def both(*, sd: float = 0.0, trials: int = 6, shared: float = 1.0, seed: int = 0) -> dict[str, xr.Dataset]:
    """Return intact and silenced brains, whose noise is shared by the part `shared`, and the two networks."""
    rng = np.random.default_rng(seed)
    intact, feedforward = states(recurrent=True), states(recurrent=False)
    noise, own = sd * rng.standard_normal((2, N, trials, BLOCKS, UNITS))
    centres = ("time", (np.arange(BLOCKS) + 0.5) * DT, {"units": "ms", "bin_ms": DT})
    found = {}
    for name, signal, error in (
        ("brain", intact, noise),
        ("silenced", feedforward, shared * noise + np.sqrt(1 - shared**2) * own),
    ):
        data = brain(signal, sd=0.0, trials=trials, rng=rng).assign_coords(time=centres)
        data["response"] = data["response"] + 20.0 + error
        data["response"].attrs["units"] = "Hz"
        found[name] = data
    for name, signal in (("network", intact), ("network_silenced", feedforward)):
        net = network(signal + 20.0, dt_ms=DT).assign_coords(t_ms=("block", centres[1]))
        net["response"].attrs["units"] = "Hz"
        found[name] = net
    return found


def test_the_circuit_itself_is_found_part_by_part() -> None:
    scores = components(**both(), permutations=99, splits=2, rng=0)
    assert scores["part"].values.tolist() == ["x", "recurrent", "sum"]
    for name in ("r2", "r2_ceiling", "r2_denoised"):
        np.testing.assert_allclose(scores[name], 1.0, atol=1e-12)
    np.testing.assert_allclose(scores["r2_p"], 0.01)
    for metric in ("rsa", "linear_cka"):
        # At block 0 all stimuli are alike; F first differs two blocks later.
        np.testing.assert_allclose(scores[metric][:, 2:], 1.0, atol=1e-9)
        np.testing.assert_allclose(scores[f"{metric}_mean_p"], 0.01)
        assert float(scores[f"{metric}_p"].min()) == pytest.approx(0.03)  # the best of three parts
        assert "same for all stimuli" in scores[metric].attrs["undefined"]
    np.testing.assert_allclose(scores["brain_size"], scores["network_size"])
    assert scores.attrs["x"] == "the state of the network without F"


def test_without_a_silenced_network_x_is_what_enters_and_f_the_sum_of_updates() -> None:
    given = both()
    rng = np.random.default_rng(1)
    given["network"] = network(states(recurrent=True) + rng.standard_normal((N, 1, UNITS)), dt_ms=DT)
    given["network"] = given["network"].assign_coords(t_ms=("block", (np.arange(BLOCKS) + 0.5) * DT))
    del given["network_silenced"]
    scores = components(**given, metrics=[rsa], permutations=1, rng=0)
    updates = given["network"]["update"].cumsum("block")
    sizes = np.sqrt((updates**2).mean(("stimulus", "unit")))
    np.testing.assert_allclose(scores["network_size"].sel(part="recurrent"), sizes)
    assert float(scores["network_size"].sel(part="x").std()) == pytest.approx(0.0, abs=1e-12)
    assert "r2" not in scores  # the states are no rates
    assert scores.attrs["x"] == "the state at block 0"


@pytest.mark.filterwarnings("ignore:rsa. ceiling")  # of independent noise, as large as the difference
@pytest.mark.parametrize("shared", [1.0, 0.6, 0.0])
def test_the_ceiling_of_the_difference_is_paired(shared: float) -> None:
    """The noise of intact minus silenced is 2 sd^2 (1 - shared): nothing where all of it is shared."""
    sd, trials = 3.0, 8
    scores = [
        components(**both(sd=sd, trials=trials, shared=shared, seed=s), metrics=[rsa], permutations=1, splits=1, rng=s)
        for s in range(20)
    ]
    difference = states(recurrent=True) - states(recurrent=False)
    noise = 2 * sd**2 * (1 - shared) / trials
    expected = 1 - noise / (difference.var() + noise)
    found = np.mean([float(s["r2_ceiling"].sel(part="recurrent")) for s in scores])
    assert found == pytest.approx(expected, abs=0.02)
    denoised = np.mean([float(s["r2_denoised"].sel(part="recurrent")) for s in scores])
    assert denoised == pytest.approx(1.0, abs=0.02)
    if shared == 1.0:
        np.testing.assert_allclose(scores[0]["rsa_ceiling"].sel(part="recurrent")[3:], 1.0, atol=1e-6)


def test_a_network_without_recurrence_has_x_but_not_f() -> None:
    given = both(sd=0.5)
    given["network"] = given["network_silenced"]
    scores = components(**given, permutations=99, splits=2, rng=0)
    assert float(scores["r2"].sel(part="x")) > 0.98
    assert float(scores["r2"].sel(part="recurrent")) < 0.0
    assert np.isnan(scores["rsa_mean"].sel(part="recurrent"))
    assert float(scores["network_size"].sel(part="recurrent").max()) == 0.0


def test_a_fit_that_gives_the_same_map_has_the_null_of_that_map() -> None:
    given = both(sd=1.0)
    scores = [
        components(**given, mapping=m, metrics=[linear_cka], permutations=19, splits=2, rng=0)
        for m in (given["network"]["t_ms"], lambda one, other: other)
    ]
    for name in ("r2_null", "r2_p", "linear_cka_null", "linear_cka_mean_null_mean"):
        np.testing.assert_allclose(scores[0][name], scores[1][name], rtol=1e-9)
    assert "held" in scores[0].attrs["warnings"]
    assert scores[1].attrs["warnings"] == ""


@pytest.mark.filterwarnings("ignore:.*ceiling")
@pytest.mark.parametrize("refit", [False, True])
def test_unrelated_stimuli_are_found_as_often_as_they_should_be(refit: bool) -> None:
    p = []
    for seed in range(20 if refit else 40):
        given = both(sd=1.0, trials=2, seed=seed)
        order = np.random.default_rng(seed).permutation(N)
        for name in ("network", "network_silenced"):
            given[name] = given[name].isel(stimulus=order).assign_coords(stimulus=np.arange(N))
        own = given["network"]["t_ms"]
        mapping = (lambda b, n, own=own: xr.Dataset(coords={"t_ms": own})) if refit else None
        scores = components(**given, mapping=mapping, metrics=[linear_cka], permutations=19, splits=1, rng=seed)
        p.append([*scores["r2_p"].values, *scores["linear_cka_mean_p"].values])
    for level in (0.1, 0.5):
        share = np.mean(np.array(p) <= level + 1e-9, axis=0)
        assert np.abs(share - level).max() < 4 * np.sqrt(level * (1 - level) / len(p))


def test_stillness_and_one_trial_are_nan_with_the_reason() -> None:
    given = both(trials=1)
    scores = components(**given, metrics=[rsa], permutations=1)
    assert np.isnan(scores["r2_ceiling"]).all()
    assert "one trial has no sampling variance" in scores["r2_ceiling"].attrs["undefined"]
    given["silenced"] = given["brain"]
    still = components(**given, metrics=[rsa], permutations=1)
    assert np.isnan(still["r2"].sel(part="recurrent"))
    assert np.isnan(still["r2_p"].sel(part="recurrent"))
    assert still["r2"].attrs["undefined"] == "recurrent: the brain does not change"
    early = components(**both(), mapping=both()["network"]["t_ms"] - 2.5, metrics=[rsa], permutations=1)
    assert np.isnan(early["brain_size"][:, 0]).all()
    assert "outside the bin centres" in early["brain_size"].attrs["undefined"]


def test_runs_that_cannot_be_subtracted_are_refused() -> None:
    given = both()
    with pytest.raises(ArgumentError, match="silenced has another trial"):
        components(**{**given, "silenced": given["silenced"].isel(trial=slice(0, 3))})
    with pytest.raises(ArgumentError, match="network_silenced has another block"):
        components(**{**given, "network_silenced": given["network_silenced"].isel(block=slice(0, 5))})
    with pytest.raises(ArgumentError, match="got metrics"):
        components(**given, metrics=[])
