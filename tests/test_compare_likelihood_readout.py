"""The readout by likelihood: a closed form, what it is invariant to, chance, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
from compare_synthetic import brain, network
from scipy import stats

from cortexres.compare.encoding.likelihood_readout import likelihood_readout, poisson_trials
from cortexres.errors import ArgumentError, SchemaError

BINS, UNITS = 4, 3


def rates_of(states: np.ndarray) -> xr.Dataset:
    """Return a network of rates (stimulus, block, unit)."""
    found = network(states)
    found["response"].attrs["units"] = "Hz"
    return found


def constant(rates: np.ndarray) -> xr.Dataset:
    """Return a network whose rates (stimulus, unit) are the same at each of five blocks."""
    return rates_of(np.repeat(rates[:, None], BINS + 1, axis=1))


def silent(stimuli: int, units: int) -> xr.Dataset:
    """Return a brain that gives the stimuli, units and bins."""
    return brain(np.zeros((stimuli, BINS, units)), sd=0.0, trials=1, rng=np.random.default_rng(0))


def test_two_rates_are_told_apart_as_often_as_poisson_counts_allow() -> None:
    """The likelihood ratio test of one count: the higher rate is chosen above a threshold on the count."""
    rates, cells = np.array([[8.0], [14.0]]), 200
    low, high = rates[:, 0] * cells * 0.005
    threshold = (high - low) / np.log(high / low)
    expected = (stats.poisson.cdf(threshold, low) + stats.poisson.sf(threshold, high)) / 2
    data = poisson_trials(constant(rates), silent(2, 1), cells=cells, trials=20_000, rng=0)
    found = likelihood_readout(data, constant(rates), cells=cells)["accuracy"]
    np.testing.assert_allclose(found, expected, atol=0.006)


def test_poisson_trials_have_the_mean_and_variance_of_so_many_cells() -> None:
    rates, cells = np.array([[5.0, 40.0], [20.0, 1.0]]), np.array([500, 125])
    data = poisson_trials(constant(rates), silent(2, 2), cells=cells, trials=20_000, rng=1)["response"]
    np.testing.assert_allclose(data.mean(("trial", "time")), rates, rtol=0.01)
    np.testing.assert_allclose(data.var(("trial", "time")), rates / (cells * 0.005), rtol=0.03)


def test_poisson_trials_say_what_made_them() -> None:
    rates, data = constant(np.full((2, 2), 9.0)), silent(2, 2)
    one, same = (poisson_trials(rates, data, cells=[3, 4], trials=2, rng=rng) for rng in (5, np.random.default_rng(5)))
    np.testing.assert_array_equal(one["response"], same["response"])
    facts, others = (json.loads(made.attrs["cortexres_provenance"]) for made in (one, same))
    assert (facts["seed"], facts["cells"], facts["trials"]) == (5, [3, 4], 2)
    assert others["seed"] is None


def test_a_brain_without_noise_is_read_at_its_own_time() -> None:
    """The code of the first half is another one than that of the second: a square on the diagonal each."""
    states = np.empty((3, BINS + 1, UNITS))
    states[:, :2], states[:, 3:] = np.diag([30.0] * 3)[:, None] + 5.0, np.diag([30.0] * 3)[[1, 2, 0], None] + 5.0
    states[:, 2] = states[:, 1]  # the bin between the codes is of both
    signal = (states[:, 1:] + states[:, :-1]) / 2
    data = brain(signal, sd=0.0, trials=2, rng=np.random.default_rng(0))
    found = likelihood_readout(data, rates_of(states), cells=100)["accuracy"]
    np.testing.assert_array_equal(np.diag(found), 1.0)
    assert found.values[0, 3] == 0.0
    assert found.dims == ("time", "time_test")


def test_states_that_are_alike_are_read_at_chance_exactly() -> None:
    rng = np.random.default_rng(0)
    data = brain(rng.uniform(5, 30, (5, BINS, UNITS)), sd=1.0, trials=3, rng=rng)
    found = likelihood_readout(data, constant(np.full((5, UNITS), 10.0)), cells=100)
    np.testing.assert_allclose(found["accuracy"], 0.2)
    assert found.attrs["chance"] == 0.2


def test_a_spike_where_the_network_is_silent_is_unlikely_not_impossible() -> None:
    rates = np.array([[0.0, 20.0], [20.0, 0.0]])
    data = brain(np.repeat(rates[:, None] + 0.5, BINS, axis=1), sd=0.0, trials=1, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(likelihood_readout(data, constant(rates), cells=100)["accuracy"], 1.0)


def test_the_order_of_stimuli_and_units_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    rates = rng.uniform(5, 30, (6, UNITS))
    data = poisson_trials(constant(rates), silent(6, UNITS), cells=50, trials=5, rng=2)
    found = likelihood_readout(data, constant(rates), cells=[50, 60, 70])["accuracy"]
    order, units = rng.permutation(6), [2, 0, 1]
    moved = data.isel(stimulus=order, unit=units).assign_coords(stimulus=np.arange(6), unit=np.arange(UNITS))
    again = likelihood_readout(moved, constant(rates[order][:, units]), cells=[70, 50, 60])["accuracy"]
    np.testing.assert_allclose(again, found)


def test_more_cells_are_read_better() -> None:
    rates = np.random.default_rng(0).uniform(8, 12, (6, UNITS))

    def accuracy(cells: int) -> float:
        data = poisson_trials(constant(rates), silent(6, UNITS), cells=cells, trials=200, rng=3)
        return float(likelihood_readout(data, constant(rates), cells=cells)["accuracy"].mean())

    assert 1 / 6 < accuracy(10) < accuracy(100) < accuracy(1000)


def test_what_cannot_be_read_is_refused() -> None:
    rates = constant(np.full((2, UNITS), 10.0))
    data = silent(2, UNITS)
    with pytest.raises(ArgumentError, match=r"got cells=\[1\.0, 2\.0\], expected .* or one for each of 3 units"):
        likelihood_readout(data, rates, cells=[1, 2])
    with pytest.raises(ArgumentError, match=r"got cells=0\.0"):
        likelihood_readout(data, rates, cells=0)
    with pytest.raises(ArgumentError, match="got cells=nan"):
        likelihood_readout(data, rates, cells=np.nan)
    with pytest.raises(ArgumentError, match="got trials=0"):
        poisson_trials(rates, data, cells=1, trials=0, rng=0)
    with pytest.raises(ArgumentError, match=r"got a network in '1', expected rates in Hz"):
        likelihood_readout(data, network(np.ones((2, BINS + 1, UNITS))), cells=1)
    with pytest.raises(SchemaError, match="units differ"):
        likelihood_readout(data, constant(np.full((2, 2), 10.0)), cells=1)
