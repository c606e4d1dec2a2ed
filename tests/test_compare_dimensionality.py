"""Participation ratio: known dimensions from few stimuli, units and trials, and sums written out by hand."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
import xarray as xr
from compare_synthetic import brain, network
from macaque_it import macaque_it, needs_macaque_it

from cortexres.compare.dynamics.dimensionality import participation_ratio, plain_moments, ratio, unbiased_moments
from cortexres.errors import ArgumentError


def mixed(n: int, p: int, d: int, rng: np.random.Generator, draws: int = 1) -> np.ndarray:
    """Return activities (draws, n, p): d equal dimensions, seen by random units."""
    return rng.standard_normal((draws, n, d)) @ rng.standard_normal((draws, d, p))


def test_plain_ratio_of_known_spectra() -> None:
    basis = np.linalg.qr(np.column_stack([np.ones(12), np.random.default_rng(0).standard_normal((12, 5))]))[0][:, 1:]
    assert ratio(plain_moments(basis[None]))[0] == pytest.approx(5.0)
    assert ratio(plain_moments(basis[None, :, :1] + 7.0))[0] == pytest.approx(1.0)
    values = np.array([3.0, 2.0, 1.0, 1.0, 0.5])
    expected = values.sum() ** 2 / np.sum(values**2)
    wide = (basis * np.sqrt(values)) @ np.linalg.qr(np.random.default_rng(1).standard_normal((60, 5)))[0].T
    assert ratio(plain_moments(wide[None]))[0] == pytest.approx(expected)


@pytest.mark.parametrize("sampled", [True, False])
def test_unbiased_moments_are_means_over_four_different_stimuli(sampled: bool) -> None:
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((2, 6, 3))
    traces, squares = [], []
    for i, j, r, s in permutations(range(6), 4):
        first = np.outer(a[i] - a[j], b[i] - b[j]) / 2
        second = np.outer(a[r] - a[s], b[r] - b[s]) / 2
        outer = np.outer(np.diag(first), np.diag(second))
        inner = first * second
        keep = ~np.eye(3, dtype=bool) if sampled else np.ones((3, 3), dtype=bool)
        traces.append(outer[keep].sum())
        squares.append(inner[keep].sum())
    found = unbiased_moments(a[None], b[None], sampled=sampled)
    assert found.squared_trace[0] == pytest.approx(np.mean(traces), rel=1e-10)
    assert found.trace_of_square[0] == pytest.approx(np.mean(squares), rel=1e-10)


@pytest.mark.parametrize(("n", "p"), [(20, 15), (60, 200)])
def test_dimension_comes_out_of_few_stimuli_and_units(n: int, p: int) -> None:
    data = mixed(n, p, 10, np.random.default_rng(3), draws=400)
    parts = unbiased_moments(data, data, sampled=True)
    corrected = parts.squared_trace.mean() / parts.trace_of_square.mean()
    plain = ratio(plain_moments(data)).mean()
    assert corrected == pytest.approx(10.0, rel=0.05)
    assert 1 / plain == pytest.approx(1 / 10 + 1 / n + 1 / p, rel=0.1)  # Chun et al. 2025


def test_all_units_of_a_network_are_no_sample() -> None:
    """Seven independent units are seven dimensions, and would be many more if they stood for a population."""
    data = np.random.default_rng(4).standard_normal((300, 12, 7))
    parts = unbiased_moments(data, data, sampled=False)
    assert parts.squared_trace.mean() / parts.trace_of_square.mean() == pytest.approx(7.0, rel=0.05)
    parts = unbiased_moments(data, data, sampled=True)
    assert abs(parts.trace_of_square.mean()) < 0.05 * parts.squared_trace.mean()


def test_trial_noise_adds_dimensions_to_the_plain_ratio_only() -> None:
    rng = np.random.default_rng(5)
    signal = 100 + 3 * mixed(40, 60, 4, rng)[0][:, None, :].repeat(30, axis=1)
    data = brain(signal, sd=20.0, trials=6, rng=rng)
    found = participation_ratio(data, rng=0)
    assert float(found["participation_ratio"].mean()) > 7
    assert float(found["participation_ratio_corrected"].mean()) == pytest.approx(4.0, rel=0.2)
    assert found.attrs["bias"] == ""
    again = participation_ratio(data, rng=0)
    xr.testing.assert_equal(found, again)
    one = participation_ratio(data.isel(trial=[0]))
    assert "adds dimensions" in one.attrs["bias"]
    assert float(one["participation_ratio_corrected"].mean()) > 6


def test_network_side_and_what_is_undefined() -> None:
    rng = np.random.default_rng(6)
    states = np.stack([np.zeros((30, 20)), mixed(30, 20, 3, rng)[0], mixed(30, 20, 8, rng)[0]], axis=1)
    found = participation_ratio(network(states), units="all")
    assert found["participation_ratio"].dims == ("block",)
    assert np.isnan(found["participation_ratio"][0])
    assert np.isnan(found["participation_ratio_corrected"][0])
    assert found["participation_ratio_corrected"][2] > found["participation_ratio_corrected"][1]
    assert "t_ms" in found.coords


def test_torch_says_the_same_as_numpy_on_every_device() -> None:
    data = mixed(15, 9, 4, np.random.default_rng(7), draws=3)
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        tensor = torch.from_numpy(data).to(device)
        for sampled in (True, False):
            here = ratio(unbiased_moments(data, data, sampled=sampled))
            there = ratio(unbiased_moments(tensor, tensor, sampled=sampled))
            np.testing.assert_allclose(there.cpu().numpy(), here, rtol=1e-9)
        np.testing.assert_allclose(ratio(plain_moments(tensor)).cpu().numpy(), ratio(plain_moments(data)))


def test_arguments_are_checked(brain_and_network: tuple[xr.Dataset, xr.Dataset]) -> None:
    data, _ = brain_and_network
    with pytest.raises(ArgumentError, match="got 3 stimuli, expected at least 4"):
        participation_ratio(data.isel(stimulus=slice(3)))
    with pytest.raises(ArgumentError, match="got units='some' and splits=20"):
        participation_ratio(data, units="some")
    with pytest.raises(ArgumentError, match="expected a brain Dataset with time or a network Dataset with block"):
        participation_ratio(data.isel(time=0))


@needs_macaque_it
def test_recorded_objects_differ_in_few_dimensions_and_in_none_before_they_are_shown() -> None:
    data = macaque_it()
    starts = data["time"].values - 75.0
    found = participation_ratio(data, splits=10, rng=0)
    plain, corrected = (found[name].values for name in ("participation_ratio", "participation_ratio_corrected"))
    before, after = starts <= -150, starts >= 50
    assert plain[before].min() > 10.6
    assert plain[starts < 0].max() < 13.3
    assert plain[after].min() > 5.4
    assert plain[after].max() < 6.6
    assert np.isnan(corrected[before]).any()  # there are no dimensions to count
    assert ((corrected[after] > 5) & (corrected[after] < 9)).all()
