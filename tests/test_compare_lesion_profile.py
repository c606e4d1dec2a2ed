"""Lesions against perturbations: one system has one profile, tied lesions say nothing, wrong times keep the level."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from compare_synthetic import brain, network

from cortexres.compare import rsa
from cortexres.compare.measures.measure import Measure
from cortexres.compare.updates import lesion_profile, matched_cosine
from cortexres.errors import ArgumentError

N, UNITS, STEPS, DT = 8, 5, 16, 5.0
distance = Measure(
    "distance", lambda x: x, lambda a, b: ((a[:, None] - b[None]) ** 2).sum((-2, -1)), orientation="distance"
)


def driven(skip: int | None = None) -> np.ndarray:
    """Return states (stimulus, block, unit) of a leaky system with two bursts of input; step `skip` does nothing."""
    rng = np.random.default_rng(7)
    weights, drive = rng.standard_normal((UNITS, UNITS)) * 0.1, rng.uniform(1, 3, (N, 2, UNITS))
    state, kept = np.full((N, UNITS), 10.0), []
    for step in range(STEPS + 1):
        kept.append(state)
        size = np.exp(-((step - 3) ** 2) / 3), 1.5 * np.exp(-((step - 11) ** 2) / 4)
        pushed = 2 * (size[0] * drive[:, 0] + size[1] * drive[:, 1])
        if step + 1 != skip:
            state = state + 0.08 * (10 - state) + 0.1 * (state - 10) @ weights.T + pushed
    return np.stack(kept, axis=1)


def as_brain(states: np.ndarray, *, sd: float, trials: int, seed: int = 0) -> xr.Dataset:
    """Return a recording whose end is the last state, in a bin after the steps; seeds give the same noise again."""
    signal = np.repeat(states[:, -1:], 2 * STEPS, axis=1)
    return brain(signal, sd=sd, trials=trials, rng=np.random.default_rng(seed))


def experiment(*, sd: float = 0.0, trials: int = 6, paired: bool = True) -> dict[str, object]:
    """Return both sides of the same system: step k is left out by the lesion of block k and by a pause at its time."""
    steps = range(1, STEPS + 1)
    pauses = {k: as_brain(driven(k), sd=sd, trials=trials, seed=0 if paired else k) for k in steps}
    return {
        "brain": as_brain(driven(), sd=sd, trials=trials),
        "network": network(driven(), dt_ms=DT),
        "perturbed": {(k - 0.5) * DT: run for k, run in pauses.items()},
        "lesioned": {k: network(driven(k), dt_ms=DT) for k in steps},
    }


def test_the_same_system_has_the_same_profile() -> None:
    scores = lesion_profile(**experiment(), metrics=[rsa, matched_cosine], splits=2, rng=0)
    np.testing.assert_allclose(scores["network_effect"], scores["brain_effect"], rtol=1e-9)
    for name in ("pearson", "spearman"):
        assert float(scores[name]) == pytest.approx(1.0)
        assert float(scores[f"{name}_ceiling"]) == pytest.approx(1.0)
        assert float(scores[f"{name}_p"]) == pytest.approx(1 / STEPS)
    for metric in (rsa, matched_cosine):
        np.testing.assert_allclose(np.diagonal(scores[f"{metric.name}_map"]), 1.0)
        np.testing.assert_allclose(scores[metric.name], 1.0)
        assert float(scores[f"{metric.name}_mean_p"]) == pytest.approx(1 / STEPS)
        np.testing.assert_allclose(scores[f"{metric.name}_ceiling"], 1.0)


def test_effects_are_those_of_the_differences() -> None:
    given = experiment()
    scores = lesion_profile(**given)
    last, without = driven()[:, -1], driven(4)[:, -1]
    expected = np.sqrt(np.mean((without - last) ** 2)) / np.sqrt(np.mean(last**2))
    assert float(scores["network_effect"].sel(block=4)) == pytest.approx(expected)
    # Perturbations are read between their times, linearly.
    sparse = {**given, "perturbed": {t: run for t, run in given["perturbed"].items() if t % 20 == 2.5}}
    half = lesion_profile(**sparse)
    known = half["brain_effect"]
    weighted = 0.75 * float(known.sel(time=2.5)) + 0.25 * float(known.sel(time=22.5))
    assert float(half["brain_effect_mapped"].sel(block=2)) == pytest.approx(weighted)


def test_a_map_moves_the_profile() -> None:
    given = experiment()
    given["lesioned"] = {k: run for k, run in given["lesioned"].items() if k <= 10}
    late = given["network"]["t_ms"].copy(data=np.minimum(np.arange(STEPS + 1) + 4, STEPS) * DT)
    right, wrong = (lesion_profile(**given, mapping=m) for m in (None, late))
    assert float(right["pearson"]) == pytest.approx(1.0)
    assert float(wrong["pearson"]) < 0.3


def test_trial_noise_adds_nothing_to_an_effect() -> None:
    """The root mean square of the mean change over trials holds its noise as well; products of trials do not."""
    truth = lesion_profile(**experiment())["brain_effect"].values
    paired = lesion_profile(**experiment(sd=3.0), splits=2, rng=0)["brain_effect"].values
    np.testing.assert_allclose(paired, truth, rtol=0.01)
    strong, found, plain = truth > 0.03, [], []
    for seed in range(20):
        given = experiment()
        given["brain"] = as_brain(driven(), sd=4.0, trials=4, seed=1000 + seed)
        times = np.array(list(given["perturbed"]))[strong]
        given["perturbed"] = {
            t: as_brain(driven(int(t // DT) + 1), sd=4.0, trials=4, seed=100 * seed + int(t)) for t in times
        }
        found.append(lesion_profile(**given, splits=1, rng=0)["brain_effect"].values)
        ends = [
            run["response"].isel(time=slice(STEPS, None)).mean(("trial", "time")).values
            for run in (given["brain"], *given["perturbed"].values())
        ]
        plain.append([np.sqrt(np.mean((end - ends[0]) ** 2) / np.mean(ends[0] ** 2)) for end in ends[1:]])
    error = np.std(found, axis=0) / np.sqrt(len(found))
    assert (np.abs(np.mean(found, axis=0) - truth[strong]) < 4 * error).all()
    assert np.mean(plain - truth[strong]) > 0.004


def smooth(rng: np.random.Generator) -> np.ndarray:
    """Return a profile (step,) above 0 that is smooth and has no beginning, as a circular null assumes."""
    waves = np.exp(-(np.minimum(np.arange(STEPS), STEPS - np.arange(STEPS)) ** 2) / 8)
    profile = np.real(np.fft.ifft(np.fft.fft(waves) * np.fft.fft(rng.standard_normal(STEPS))))
    scaled: np.ndarray = 2 + profile / profile.std() * 0.4
    return scaled


def unrelated(seed: int) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    base, pattern = np.full((N, 2, UNITS), 20.0), rng.standard_normal((N, 1, UNITS))
    one, other = smooth(rng), smooth(rng)
    net = network(np.full((N, STEPS + 1, UNITS), 20.0), dt_ms=DT)
    lesioned = {}
    for k in range(1, STEPS + 1):
        lesioned[k] = net.copy(deep=True)
        lesioned[k]["response"][:, -1] += one[k - 1] * pattern[:, 0]
        lesioned[k]["update"][:, -1] += one[k - 1] * pattern[:, 0]
    wide = brain(base, sd=0.0, trials=2, rng=rng, bin_ms=40.0)
    perturbed = {
        (k + 0.5) * DT: brain(base + other[k] * pattern, sd=0.0, trials=2, rng=rng, bin_ms=40.0) for k in range(STEPS)
    }
    return {"brain": wide, "network": net, "perturbed": perturbed, "lesioned": lesioned}


def test_smooth_profiles_correlate_by_chance_and_the_circular_null_knows() -> None:
    p = {"circular": [], "exchange": []}
    for seed in range(40):
        given = unrelated(seed)
        for null, found in p.items():
            if null == "exchange" and seed % 2:
                continue
            scores = lesion_profile(**given, wrong_times=null, draws=39, splits=1, rng=seed)
            found.append([float(scores["pearson_p"]), float(scores["spearman_p"])])
    level = 2 / STEPS
    assert np.abs(np.mean(np.array(p["circular"]) <= level + 1e-9, axis=0) - level).max() < 4 * np.sqrt(0.11 / 40)
    assert np.mean(np.array(p["exchange"]) <= level) > 1.5 * level


def test_profiles_that_only_rise_are_warned_about_as_their_p_value_is_small_by_construction() -> None:
    given, rng = unrelated(0), np.random.default_rng(1)
    assert lesion_profile(**given, splits=1, rng=0).attrs["warnings"] == ""
    pattern = rng.standard_normal((N, UNITS))
    for k in range(STEPS):  # of two leaky systems that share nothing but that they forget
        states = given["network"]["response"].values.copy()
        states[:, -1] += np.exp((k - STEPS) / 3) * pattern
        given["lesioned"][k + 1] = network(states, dt_ms=DT)
        time = (k + 0.5) * DT
        given["perturbed"][time] = given["brain"].assign(response=given["brain"]["response"] + np.exp((k - STEPS) / 9))
        given["perturbed"][time]["response"].attrs.update(given["brain"]["response"].attrs)
    scores = lesion_profile(**given, splits=1, rng=0)
    assert float(scores["pearson_p"]) == pytest.approx(1 / STEPS)
    assert "both profiles rise or fall on the whole (rank correlations 1.00 and 1.00)" in scores.attrs["warnings"]


def test_lesions_of_a_tied_network_say_nothing() -> None:
    given = experiment()
    given["lesioned"] = {k: given["lesioned"][5] for k in given["lesioned"]}
    scores = lesion_profile(**given, rng=0)
    for name in ("pearson", "pearson_p", "pearson_null", "spearman"):
        assert np.isnan(scores[name])
        assert "as in a tied network" in scores[name].attrs["undefined"]


def test_distances_and_the_other_order() -> None:
    given = experiment()
    given["lesioned"] = dict(reversed(given["lesioned"].items()))
    scores = lesion_profile(**given, metrics=[distance], wrong_times="exchange", draws=99, splits=1, rng=0)
    assert float(scores["distance_mean"]) == pytest.approx(0.0, abs=1e-9)
    assert float(scores["distance_mean_null"]) > 0
    assert float(scores["distance_mean_p"]) == pytest.approx(0.01)
    assert scores["block"].values.tolist() == list(range(1, STEPS + 1))


def test_what_has_no_value_is_nan_with_the_reason() -> None:
    given = experiment(trials=3)
    given["perturbed"] = {t: run for t, run in given["perturbed"].items() if t > 30}
    given["perturbed"][77.5] = given["brain"]
    scores = lesion_profile(**given, metrics=[rsa])
    assert np.isnan(scores["brain_effect_mapped"][:3]).all()
    assert np.isfinite(scores["pearson"])
    assert np.isnan(scores["pearson_ceiling"])
    assert "fewer than 4 trials" in scores["pearson_ceiling"].attrs["undefined"]
    assert np.isnan(scores["rsa_map"].sel(time=77.5)).all()
    assert "no change" in scores["rsa_map"].attrs["undefined"]
    # It is missing where it is read, and nowhere else.
    assert np.flatnonzero(np.isnan(scores["rsa"])).tolist() == [0, 1, 2, 3, 4, 5, STEPS - 1]


def test_unfit_arguments_are_refused() -> None:
    given = experiment()
    few = dict(list(given["perturbed"].items())[:2])
    shorter = {t: run.isel(trial=slice(0, 2)) for t, run in given["perturbed"].items()}
    narrow = {k: run.isel(unit=slice(0, 2)) for k, run in given["lesioned"].items()}
    for change, match in (
        ({"wrong_times": "random"}, "got wrong_times='random'"),
        ({"draws": 0}, "draws=0"),
        ({"mapping": lambda a, b: b}, "got a function as mapping"),
        ({"lesioned": {0: given["network"]}}, r"got lesions of blocks \[0\]"),
        ({"network": given["network"].isel(block=[0])}, "of a network with blocks 0..0"),
        ({"perturbed": few}, "got 2 perturbations"),
        ({"perturbed": shorter}, "a perturbed run has another trial"),
        ({"lesioned": narrow}, "a lesioned network has 2 units"),
    ):
        with pytest.raises(ArgumentError, match=match):
            lesion_profile(**{**given, **change})
