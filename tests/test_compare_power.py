"""Power is that of closed forms, its interval is the binomial one, and without an effect it is the level."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from compare_synthetic import brain, network
from scipy import stats

from cortexres.compare import linear_cka, permute_stimuli
from cortexres.compare.against import Against, SimilarityMap
from cortexres.compare.power_analysis import power
from cortexres.errors import ArgumentError

Pair = tuple[xr.Dataset, xr.Dataset]


def shifted(n: int, trials: int, rng: np.random.Generator) -> Pair:
    """Return a brain whose one unit has 50.5 Hz on average at noise of 1 Hz, and a network of no importance."""
    return brain(np.full((n, 1, 1), 50.5), sd=1.0, trials=trials, rng=rng), network(np.zeros((n, 2, 1)))


def t_test(data: xr.Dataset, net: xr.Dataset, rng: np.random.Generator) -> float:
    """Return the p-value of Student's test of the mean over trials being 50 Hz, stimuli as the sample."""
    return float(stats.ttest_1samp(data["response"].values.mean(axis=1).ravel(), 50.0).pvalue)


def t_power(n: int, trials: int, level: float) -> float:
    """Return the power of that test by the noncentral t distribution."""
    shift = 0.5 * np.sqrt(n * trials)
    limit = stats.t.ppf(1 - level / 2, n - 1)
    return float(stats.nct.sf(limit, n - 1, shift) + stats.nct.cdf(-limit, n - 1, shift))


def test_power_is_the_one_of_the_noncentral_t_distribution() -> None:
    stimuli, trials = (5, 10, 20), (1, 3)
    found = power(shifted, test=t_test, stimuli=stimuli, trials=trials, draws=120, rng=0)
    expected = np.array([[t_power(n, k, 0.05) for k in trials] for n in stimuli])
    np.testing.assert_allclose(found["power"], expected, atol=0.13)
    inside = (found["power_low"] <= expected) & (expected <= found["power_high"])
    assert int(inside.sum()) >= 5
    assert found["power"].dims == ("n_stimuli", "n_trials")
    np.testing.assert_array_equal(found["n_stimuli"], stimuli)


def test_without_an_effect_the_power_is_the_level() -> None:
    def nothing(n: int, trials: int, rng: np.random.Generator) -> Pair:
        data, net = shifted(n, trials, rng)
        data["response"] -= 0.5
        return data, net

    found = power(nothing, test=t_test, stimuli=(8,), trials=(2,), draws=400, level=0.1, rng=1)
    assert float(found["power"][0, 0]) == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / 400))


def test_the_interval_is_the_exact_binomial_one() -> None:
    values = iter([0.01] * 7 + [0.5] * 13 + [0.9] * 20 + [0.0] * 20)
    found = power(shifted, test=lambda a, b, rng: next(values), stimuli=(3, 4, 5), trials=(1,), draws=20, rng=0)
    np.testing.assert_allclose(found["power"][:, 0], [0.35, 0.0, 1.0])
    for k, hits in enumerate((7, 0, 20)):
        expected = stats.binomtest(hits, 20).proportion_ci(method="exact")
        np.testing.assert_allclose([found["power_low"][k, 0], found["power_high"][k, 0]], expected, atol=1e-12)


def test_the_needed_number_is_the_least_from_which_on_the_target_is_reached() -> None:
    share = {(3, 1): 0.9, (4, 1): 0.5, (5, 1): 0.8, (6, 1): 1.0, (3, 2): 0.1, (4, 2): 0.2, (5, 2): 0.9, (6, 2): 0.7}
    seen: dict[tuple[int, int], int] = {}

    def test(data: xr.Dataset, net: xr.Dataset, rng: np.random.Generator) -> float:
        key = (data.sizes["stimulus"], data.sizes["trial"])
        seen[key] = seen.get(key, 0) + 1
        return 0.0 if seen[key] <= round(10 * share[key]) else 1.0

    found = power(shifted, test=test, stimuli=(3, 4, 5, 6), trials=(1, 2), draws=10, rng=0)
    np.testing.assert_array_equal(found["needed_stimuli"], [5, np.nan])
    assert found["needed_stimuli"].attrs["undefined"] == "none of [3, 4, 5, 6] stimuli reaches a power of 0.8"


def test_power_of_a_similarity_grows_with_stimuli_and_trials_and_a_seed_repeats_it() -> None:
    def rotated(n: int, trials: int, rng: np.random.Generator) -> Pair:
        states = 3 * rng.standard_normal((n, 3, 5)) + 60
        return brain(states, sd=8.0, trials=trials, rng=rng), network(states)

    test = Against(SimilarityMap(linear_cka), permute_stimuli, draws=19)
    first, again = (power(rotated, test=test, stimuli=(6, 24), trials=(1, 8), draws=25, rng=3) for _ in range(2))
    xr.testing.assert_equal(first, again)
    values = first["power"].values
    assert values[0, 0] < 0.5
    assert values[1, 1] > 0.9
    assert values[0, 0] <= values[1, 0] <= values[1, 1]


def test_an_undefined_p_value_finds_nothing_and_is_counted() -> None:
    found = power(shifted, test=lambda a, b, rng: np.nan, stimuli=(3,), trials=(1,), draws=4, rng=0)
    assert float(found["power"][0, 0]) == 0.0
    assert found["p"].attrs["undefined"] == "4 experiments"


def test_unfit_arguments_are_refused() -> None:
    def call(**changed: object) -> xr.Dataset:
        options = {"test": t_test, "stimuli": (4,), "trials": (2,), "draws": 2, "rng": 0, "simulate": shifted} | changed
        simulate = options.pop("simulate")
        return power(simulate, **options)  # type: ignore[arg-type]

    with pytest.raises(ArgumentError, match=r"got stimuli=\[\], expected one or more increasing"):
        call(stimuli=())
    with pytest.raises(ArgumentError, match=r"got trials=\[3, 3\]"):
        call(trials=(3, 3))
    with pytest.raises(ArgumentError, match=r"got stimuli=\[0\]"):
        call(stimuli=(0,))
    with pytest.raises(ArgumentError, match=r"got draws=0, level=0\.05"):
        call(draws=0)
    with pytest.raises(ArgumentError, match="level=1 and"):
        call(level=1.0)
    with pytest.raises(ArgumentError, match="target=0, expected"):
        call(target=0.0)
    with pytest.raises(ArgumentError, match="returned a brain with 5 stimuli and 2 trials and a network with 5"):
        call(simulate=lambda n, k, rng: shifted(n + 1, k, rng))
    with pytest.raises(ArgumentError, match=r"test returned 1\.5, expected a p-value"):
        call(test=lambda a, b, rng: 1.5)
