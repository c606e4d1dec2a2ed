"""Network states at the brain's bins: exact for what is linear between blocks, whatever the steps."""

from __future__ import annotations

import numpy as np
import pytest
from compare_synthetic import brain, network
from hypothesis import given, settings
from hypothesis import strategies as st

from cortexres.compare import at_bins, uniform_time
from cortexres.compare.binning import bin_weights, step_weights
from cortexres.errors import ArgumentError, SchemaError


def a_brain(times: int = 8, bin_ms: float = 5.0):  # noqa: ANN201
    return brain(np.ones((3, times, 2)), sd=0.0, trials=1, rng=np.random.default_rng(0), bin_ms=bin_ms)


@pytest.mark.parametrize("dt_ms", [0.5, 3.0, 5.0, 8.0])
def test_a_ramp_is_itself_at_bin_centres(dt_ms: float) -> None:
    t = np.arange(int(np.ceil(40 / dt_ms)) + 1) * dt_ms
    binned = at_bins(network(np.broadcast_to(t[:, None], (3, t.size, 2)).copy(), dt_ms=dt_ms), a_brain())
    assert binned["response"].dims == ("stimulus", "time", "unit")
    assert "update" not in binned
    np.testing.assert_allclose(binned["response"][0, :, 0], binned["time"], atol=1e-12)


@given(st.lists(st.floats(0.3, 9.0), min_size=2, max_size=9), st.floats(0.0, 0.45), st.floats(0.55, 1.0))
@settings(max_examples=50, deadline=None)
def test_weights_are_the_mean_of_the_interpolation(steps: list[float], left: float, right: float) -> None:
    knots = np.concatenate([[0.0], np.cumsum(steps)])
    values = np.sin(knots)
    a, b = left * knots[-1], right * knots[-1]
    weights = bin_weights(knots, np.array([a]), np.array([b]))
    assert weights.sum() == pytest.approx(1.0)
    assert weights.min() >= -1e-12
    grid = np.union1d(knots[(knots > a) & (knots < b)], [a, b])
    heights = np.interp(grid, knots, values)
    area = np.sum(np.diff(grid) * (heights[1:] + heights[:-1]) / 2)
    assert (weights @ values)[0] == pytest.approx(area / (b - a), abs=1e-9)


def test_only_bins_inside_the_networks_time_come_back() -> None:
    binned = at_bins(network(np.ones((3, 4, 2))), a_brain())
    np.testing.assert_allclose(binned["time"], [2.5, 7.5, 12.5])
    assert binned["time"].attrs["bin_ms"] == 5.0


def test_components_are_binned_and_unit_labels_kept() -> None:
    net = network(np.ones((3, 9, 2)))
    net["recurrent_excitatory"] = net["response"] * 2.0
    net["recurrent_excitatory"].attrs["units"] = "mV"
    net = net.assign_coords(name=("unit", ["E0", "I0"]))
    binned = at_bins(net, a_brain())
    np.testing.assert_allclose(binned["recurrent_excitatory"], 2.0)
    assert list(binned["name"].values) == ["E0", "I0"]
    assert "block" not in binned.dims


def test_uniform_time_ends_with_the_recording_and_says_so() -> None:
    timed = uniform_time(network(np.ones((3, 5, 2)), dt_ms=None), a_brain())
    np.testing.assert_allclose(timed["t_ms"], [0, 10, 20, 30, 40])
    assert "spread evenly" in timed["t_ms"].attrs["mapping"]


def test_a_network_without_usable_time_is_refused() -> None:
    untimed = network(np.ones((3, 5, 2)), dt_ms=None)
    with pytest.raises(ArgumentError, match=r"use compare\.uniform_time"):
        at_bins(untimed, a_brain())
    with pytest.raises(SchemaError, match="strictly increasing"):
        at_bins(untimed.assign_coords(t_ms=("block", np.zeros(5))), a_brain())
    with pytest.raises(ArgumentError, match=r"spans 0\.\.0 ms"):
        at_bins(network(np.ones((3, 1, 2))), a_brain())
    with pytest.raises(ArgumentError, match="holds none of the brain's bins"):
        at_bins(network(np.ones((3, 2, 2)), dt_ms=1.0), a_brain())
    with pytest.raises(ArgumentError, match="got 1 blocks"):
        uniform_time(untimed.isel(block=[0]), a_brain())


def test_step_weights_are_the_mean_of_what_is_switched_on_at_the_onset() -> None:
    """x is at its full value from the onset: the first bin holds all of it, also where a bin straddles two blocks."""
    knots = np.array([0.0, 4.0, 10.0])
    weights = step_weights(knots, np.array([0.0, 2.0]), np.array([2.0, 7.0]))
    np.testing.assert_allclose(weights, [[0.0, 1.0, 0.0], [0.0, 0.4, 0.6]])
