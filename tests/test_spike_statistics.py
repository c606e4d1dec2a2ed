"""Spike statistics against processes whose statistics are known, and against Elephant where it is installed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from cortexres import spike_statistics as st
from cortexres.errors import ArgumentError, SchemaError
from cortexres.spike_statistics import Trains

SECONDS = 20.0


def trains_of(times_ms: list[NDArray[np.float64]], *, stop_ms: float = SECONDS * 1e3) -> Trains:
    """One run with one train per cell."""
    return Trains(
        cell=np.repeat(np.arange(len(times_ms)), [len(t) for t in times_ms]),
        run=np.zeros(sum(map(len, times_ms)), dtype=np.int64),
        time_ms=np.concatenate(times_ms),
        cells=len(times_ms),
        runs=1,
        t_start_ms=0.0,
        t_stop_ms=stop_ms,
    )


def renewal(draw: Callable[[int], NDArray[np.float64]], cells: int) -> Trains:
    """Trains with independent intervals (in ms) from `draw`, cut to the window."""
    trains = [np.cumsum(draw(4000)) for _ in range(cells)]
    assert min(t[-1] for t in trains) > SECONDS * 1e3
    return trains_of([t[t < SECONDS * 1e3] for t in trains])


@pytest.fixture(scope="module")
def poisson() -> Trains:
    rng = np.random.default_rng(1)
    return renewal(lambda n: rng.exponential(20.0, n), 100)


def test_poisson(poisson: Trains) -> None:
    spikes = 100 * 50 * SECONDS
    assert st.rate_Hz(poisson) == pytest.approx(50.0, abs=4 * 50 / np.sqrt(spikes))
    assert st.interval_cv(poisson) == pytest.approx(1.0, abs=0.01)
    bins = SECONDS * 1e3 / 3.0
    assert st.synchrony(poisson) == pytest.approx(1.0, abs=4 * np.sqrt(2 / bins))
    assert st.silent_fraction(poisson) == 0.0
    # The mean of 4950 coefficients from 10,000 bins each
    assert st.mean_correlation(poisson) == pytest.approx(0.0, abs=4 / np.sqrt(1e4 * 4950))
    power = st.spectrum(poisson)
    assert float(power[4:-4].mean()) == pytest.approx(2 * 50 / 100, rel=0.05)
    # An event begins where no spike lies in the 16 ms before: the first of each run of spikes, with probability e^-.8
    events = st.bursts(poisson)
    alone = np.exp(-50 * 16e-3)
    assert events.event_rate_Hz == pytest.approx(50 * alone, rel=0.02)
    assert events.burst_fraction == pytest.approx(1 - alone, rel=0.02)


@pytest.mark.parametrize("shape", [0.5, 2.0, 4.0])
def test_gamma_intervals_have_cv_of_one_over_root_shape(shape: float) -> None:
    rng = np.random.default_rng(2)
    found = st.interval_cv(renewal(lambda n: rng.gamma(shape, 10.0 / shape, n), 50))
    assert found == pytest.approx(1 / np.sqrt(shape), rel=0.01)


def test_regular_trains() -> None:
    regular = trains_of([np.arange(0.0, SECONDS * 1e3, 25.0) + 0.5] * 3)
    assert st.rate_Hz(regular) == pytest.approx(40.0)
    assert st.interval_cv(regular) == pytest.approx(0.0, abs=1e-12)
    assert st.mean_correlation(regular) == pytest.approx(1.0)
    assert st.peak_Hz(st.spectrum(regular), low_Hz=10, high_Hz=70) == pytest.approx(40.0, abs=1.0)
    assert st.bursts(regular) == (pytest.approx(40.0), 0.0)
    assert st.peak_rate_Hz(regular, bin_ms=1.0) == pytest.approx(1000.0)


@pytest.mark.parametrize("frequency", [23.0, 176.0])
def test_modulated_poisson_peaks_at_its_frequency_and_is_synchronous(frequency: float) -> None:
    rng = np.random.default_rng(3)
    grid = np.arange(0.0, 4000.0, 0.1)
    chance = 20e-4 * (1 + np.sin(2 * np.pi * frequency * grid * 1e-3))
    times = [grid[rng.random(grid.size) < chance] for _ in range(100)]
    group = trains_of(times, stop_ms=4000.0)
    power = st.spectrum(group, bin_ms=0.5)
    assert st.peak_Hz(power, low_Hz=5, high_Hz=400) == pytest.approx(frequency, abs=1.5)
    assert st.synchrony(group) > 1.3 or frequency > 100
    # Half the power of 20 Hz of amplitude, spread by Hann's window
    near = np.abs(power["frequency"].values - frequency) < 12
    excess = float(power.values[near].sum() - near.sum() * 2 * 20 / 100) * 1.0
    assert excess == pytest.approx(20**2 / 2, rel=0.1)


def test_bursts_of_three() -> None:
    starts = np.arange(0.0, SECONDS * 1e3, 200.0)
    burst = np.sort(np.concatenate([starts, starts + 8.0, starts + 16.0]))
    lone = starts + 100.0
    group = trains_of([np.sort(np.concatenate([burst, lone])), lone])
    found = st.bursts(group)
    assert found.event_rate_Hz == pytest.approx(1.5 * 5)
    assert found.burst_fraction == pytest.approx(1 / 3)
    assert st.bursts(group, within_ms=5.0).burst_fraction == 0.0


def test_correlation_is_that_of_numpy() -> None:
    rng = np.random.default_rng(4)
    common = rng.uniform(0, 5000.0, 60)
    times = [np.sort(np.concatenate([common, rng.uniform(0, 5000.0, 100)])) for _ in range(6)] + [np.array([])]
    group = trains_of(times, stop_ms=5000.0)
    counts = np.stack([np.histogram(t, np.arange(0, 5001, 2.0))[0] for t in times[:6]])
    matrix = np.corrcoef(counts)
    assert st.mean_correlation(group) == pytest.approx(matrix[np.triu_indices(6, 1)].mean(), rel=1e-12)


def test_nothing_joins_two_runs_and_few_spikes_are_left_out() -> None:
    one = Trains(
        cell=np.array([0, 0, 0, 0, 0, 1]),
        run=np.array([0, 0, 0, 1, 1, 1]),
        time_ms=np.array([10.0, 20.0, 30.0, 1.0, 90.0, 5.0]),
        cells=3,
        runs=2,
        t_start_ms=0.0,
        t_stop_ms=100.0,
    )
    assert st.interval_cv(one) == 0.0
    assert np.isnan(st.interval_cv(one, min_spikes=4))
    assert st.rate_Hz(one) == pytest.approx(6 / 0.6)
    assert st.silent_fraction(one) == pytest.approx(3 / 6)
    assert st.bursts(one).event_rate_Hz == pytest.approx(4 / 0.6)
    np.testing.assert_allclose(st.population_rate_Hz(one, bin_ms=50.0) * 0.15, [[3, 0], [2, 1]])


def test_silence_is_no_number() -> None:
    silent = trains_of([np.array([])] * 2)
    assert st.rate_Hz(silent) == 0.0
    assert st.silent_fraction(silent) == 1.0
    assert st.bursts(silent)[0] == 0.0
    undefined = (st.interval_cv(silent), st.synchrony(silent), st.mean_correlation(silent), st.bursts(silent)[1])
    assert np.isnan(undefined).all()
    power = st.spectrum(silent)
    assert float(power.max()) == 0.0
    assert np.isnan(st.peak_Hz(power, low_Hz=5, high_Hz=400))


@pytest.fixture
def spikes() -> xr.Dataset:
    """Three cells of two populations, the last silent, in two trials of 100 ms after 50 ms of settling."""
    columns = {
        "time": [-20.0, 10.0, 40.0, 99.9, 5.0, 60.0],
        "cell": [0, 0, 0, 0, 1, 1],
        "unit": [0, 0, 0, 0, 0, 0],
        "trial": [0, 0, 0, 1, 0, 1],
        "stimulus": [0, 0, 0, 0, 0, 0],
    }
    dataset = xr.Dataset({name: ("spike", values) for name, values in columns.items()})
    dataset["time"].attrs["units"] = "ms"
    record = (
        '{"circuit": {"populations": [{"name": "E", "size": 2}, {"name": "I", "size": 1}]},'
        ' "settle_ms": 50.0, "duration_ms": 100.0, "trials": 2, "stimuli": {"ids": [0]}}'
    )
    return dataset.assign_attrs(cortexres_provenance=record)


def test_groups_of_a_dataset(spikes: xr.Dataset) -> None:
    groups = st.trains(spikes)
    assert {name: (g.cells, g.runs, g.cell.size) for name, g in groups.items()} == {"E": (2, 2, 5), "I": (1, 2, 0)}
    assert (groups["E"].t_start_ms, groups["E"].t_stop_ms) == (0.0, 100.0)
    whole = st.trains(spikes, by="all", t_start_ms=None)
    assert st.rate_Hz(whole["all"]) == pytest.approx(6 / (3 * 2 * 0.15))
    assert list(st.trains(spikes, by="unit")) == ["0", "1"]
    table = st.statistics(groups)
    assert table["rate"].sel(group="E") == pytest.approx(5 / (2 * 2 * 0.1))
    assert table["silent"].sel(group="I") == 1.0
    assert set(table) >= {"rate", "cv", "silent", "synchrony", "correlation", "event_rate", "burst_fraction"}
    assert table["rate"].attrs["units"] == "Hz"


def test_the_spikes_of_a_circuit_are_counted_as_simulate_counts_them() -> None:
    from dataclasses import replace

    from cortexres import circuits

    circuit = circuits.load("ei_assemblies")
    few = tuple(replace(p, size=10) for p in circuit.populations)
    circuit = replace(circuit, populations=few, projections=tuple(replace(q, in_degree=5) for q in circuit.projections))
    images = xr.Dataset(
        {"image": (("stimulus", "y", "x"), np.random.default_rng(0).random((1, 8, 8)))},
        coords={"stimulus": [4], "label": ("stimulus", [0])},
    )
    options = {"trials": 2, "duration_ms": 50.0, "rng": 3, "target": "numpy", "progress": False}
    brain = circuits.simulate(circuit, images, **options)
    found = st.trains(circuits.spikes(circuit, images, **options))
    for name, group in found.items():
        mean = brain["response"].where(brain["population"] == name, drop=True).mean()
        assert st.rate_Hz(group) == pytest.approx(float(mean))


def test_joined_groups_count_all_cells(spikes: xr.Dataset) -> None:
    groups = st.trains(spikes)
    both, whole = st.joined(list(groups.values())), st.trains(spikes, by="all")["all"]
    for name in ("cell", "run", "time_ms", "cells", "runs"):
        np.testing.assert_array_equal(getattr(both, name), getattr(whole, name))
    other = st.trains(spikes, t_start_ms=10.0)["I"]
    for wrong in ([], [groups["E"], other]):
        with pytest.raises(ArgumentError, match="groups, expected one or more with the same runs"):
            st.joined(wrong)


def test_some_runs_alone(spikes: xr.Dataset) -> None:
    group = st.trains(spikes)["E"]
    second, only = st.of_runs(group, [1]), st.trains(spikes, runs=[(0, 1)])["E"]
    for name in ("cell", "run", "time_ms", "cells", "runs"):
        np.testing.assert_array_equal(getattr(second, name), getattr(only, name))
    for wrong in ([], [1, 0], [2], [-1]):
        with pytest.raises(ArgumentError, match=r"expected increasing indices in 0..1"):
            st.of_runs(group, wrong)


def test_what_does_not_fit_is_refused(spikes: xr.Dataset, poisson: Trains) -> None:
    with pytest.raises(ArgumentError, match="by is 'colour', expected one of all, population"):
        st.trains(spikes, by="colour")
    with pytest.raises(SchemaError, match="no cell"):
        st.trains(spikes.drop_vars("cell"))
    with pytest.raises(ArgumentError, match="min_spikes is 2, expected at least 3"):
        st.interval_cv(poisson, min_spikes=2)
    with pytest.raises(ArgumentError, match="bin_ms is 0, expected above 0 and at most the window, 20000 ms"):
        st.synchrony(poisson, bin_ms=0.0)
    with pytest.raises(ArgumentError, match="a segment has 3 bins, expected at least 4"):
        st.spectrum(poisson, bin_ms=1.0, segment_ms=3.0)
    with pytest.raises(ArgumentError, match=r"no frequency lies in 900..1000 Hz, the spectrum has 0..500 Hz"):
        st.peak_Hz(st.spectrum(poisson), low_Hz=900, high_Hz=1000)


@pytest.mark.filterwarnings("ignore")
def test_elephant_agrees(poisson: Trains) -> None:
    elephant = pytest.importorskip("elephant.statistics")
    neo = pytest.importorskip("neo")
    times = [poisson.time_ms[poisson.cell == k] for k in range(poisson.cells)]
    blocks = [neo.SpikeTrain(t, units="ms", t_stop=poisson.t_stop_ms) for t in times]
    cv = np.mean([elephant.cv(elephant.isi(block)) for block in blocks])
    assert st.interval_cv(poisson) == pytest.approx(float(cv), rel=1e-9)
    rate = np.mean([float(elephant.mean_firing_rate(block).rescale("Hz")) for block in blocks])
    assert st.rate_Hz(poisson) == pytest.approx(rate, rel=1e-9)
