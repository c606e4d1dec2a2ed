"""The circuits room: a single neuron against its closed form, synapses against theirs, seeds, targets, bad input."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from cortexres import circuits, schema
from cortexres.circuits import engines, standalone
from cortexres.circuits.binning import Bins
from cortexres.circuits.components import current_paths, synaptic_currents
from cortexres.circuits.connectivity import Connections, draw
from cortexres.circuits.runs import Run, Spikes, Timing, child_seed
from cortexres.circuits.structure import Structure
from cortexres.circuits.structure_of import structure
from cortexres.definitions import Circuit, Population, Profile, assembly_profile
from cortexres.errors import ArgumentError, SchemaError, SimulationError


def scaled(circuit: Circuit, *, e: int = 20, i: int = 5, in_degree: tuple[int, int] = (20, 5)) -> Circuit:
    """The circuit with few cells and few synapses, for tests that need no statistics."""
    excitatory, inhibitory = circuit.populations
    populations = (replace(excitatory, size=e), replace(inhibitory, size=i))
    degree = dict(zip("EI", in_degree, strict=True))
    projections = tuple(replace(p, in_degree=degree[p.source]) for p in circuit.projections)
    return replace(circuit, name="small", populations=populations, projections=projections)


def quiet(circuit: Circuit, mean_input_mV: float) -> Circuit:
    """The circuit without noise and synapses, with the same constant input to all cells."""
    populations = tuple(replace(p, noise_mV=0.0, mean_input_mV=mean_input_mV) for p in circuit.populations)
    return replace(circuit, populations=populations, projections=())


def small_structure(circuit: Circuit) -> Structure:
    """What `numpy_run` and `compiled_run` compile by default."""
    run = Run(0, 0, np.random.SeedSequence(0), np.zeros((1, 8)))
    return structure(circuit, draw(circuit, np.random.SeedSequence(0)), [run], Timing(10.0, 20.0))


@pytest.fixture(scope="module")
def small() -> Circuit:
    return scaled(circuits.load("ei_assemblies"))


@pytest.fixture(scope="module")
def images() -> xr.Dataset:
    rng = np.random.default_rng(0)
    return xr.Dataset(
        {"image": (("stimulus", "y", "x"), rng.random((2, 8, 8)))},
        coords={"stimulus": [3, 7], "y": np.arange(8), "x": np.arange(8), "label": ("stimulus", [0, 1])},
    )


def numpy_run(circuit: Circuit, images: xr.Dataset, **options: object) -> xr.Dataset:
    arguments = {
        "trials": 1,
        "duration_ms": 20.0,
        "settle_ms": 10.0,
        "rng": 5,
        "target": "numpy",
        "progress": False,
    }
    return circuits.simulate(circuit, images, **{**arguments, **options})  # type: ignore[arg-type]


def test_lif_rate_is_the_closed_form(small: Circuit, images: xr.Dataset) -> None:
    """Without noise and synapses: 1 / (t_ref + tau ln((mu - V_r) / (mu - V_th)))."""
    mu = 25.0
    circuit = replace(
        quiet(small, mu), drive=replace(small.drive, front_end=replace(small.drive.front_end, gain_mV=0.0))
    )
    found = numpy_run(circuit, images, duration_ms=1000.0, settle_ms=100.0)["response"].mean(
        ("stimulus", "trial", "time")
    )
    for population in circuit.populations:
        p = population.parameters
        period = p["t_refractory_ms"] + p["tau_m_ms"] * np.log((mu - p["v_reset_mV"]) / (mu - p["v_threshold_mV"]))
        rate = found.where(found["population"] == population.name, drop=True).mean()
        # two steps of 0.1 ms per interspike interval, and one spike in 1000 ms
        assert float(rate) == pytest.approx(1000.0 / period, rel=0.03)


def test_dataset_keeps_the_schema_and_feedforward_is_the_front_end(small: Circuit, images: xr.Dataset) -> None:
    from cortexres.front_ends import drive

    brain = numpy_run(small, images, trials=2)
    schema.check_brain(brain)
    assert dict(brain["response"].sizes) == {"stimulus": 2, "trial": 2, "time": 4, "unit": 16}
    assert list(brain["stimulus"].values) == [3, 7]
    np.testing.assert_allclose(brain["time"].values, [2.5, 7.5, 12.5, 17.5])
    expected = drive(images, small.drive.front_end).values
    np.testing.assert_array_equal(brain["feedforward"].values[:, 1, 3, :8], expected)
    assert (brain["feedforward"].values[..., 8:] == 0).all()


def test_same_seed_same_spikes_other_seed_others(small: Circuit, images: xr.Dataset) -> None:
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    runs = [
        circuits.spikes(small, images, trials=1, duration_ms=30, settle_ms=10, rng=r, target="numpy", progress=False)
        for r in (5, 5, 6)
    ]
    xr.testing.assert_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0]["time"].values, runs[2]["time"].values)
    assert (np.random.get_state()[1] == state).all(), "the user's global random state was changed"  # noqa: NPY002


def test_a_run_does_not_depend_on_the_other_stimuli(small: Circuit, images: xr.Dataset) -> None:
    both = numpy_run(small, images)
    alone = numpy_run(small, images.isel(stimulus=[1]))
    np.testing.assert_array_equal(both["response"].values[1], alone["response"].values[0])


def test_simulate_counts_the_spikes_that_spikes_returns(small: Circuit, images: xr.Dataset) -> None:
    brain = numpy_run(small, images)
    table = circuits.spikes(
        small, images, trials=1, duration_ms=20, settle_ms=10, rng=5, target="numpy", progress=False
    )
    first = table.isel(spike=(table["stimulus"].values == 3) & (table["time"].values >= 0))
    total = (brain["response"].sel(stimulus=3).values.sum(axis=(0, 1)) * 5e-3) * np.r_[np.full(8, 20), np.full(8, 5)]
    np.testing.assert_allclose(total, np.bincount(first["unit"].values, minlength=16), atol=1e-9)
    assert table["time"].values.min() >= -10


def mean_out_degree(connections: Connections, source: Population, target: Population) -> NDArray[np.float64]:
    """Synapses from each source cell onto the average cell of each target assembly (source cell, target assembly)."""
    n_source = source.size * source.assemblies
    pair = connections.source.astype(np.int64) * target.assemblies + connections.target // target.size
    counts = np.bincount(pair, minlength=n_source * target.assemblies)
    return counts.reshape(n_source, target.assemblies) / target.size


def test_in_degrees_are_fixed_and_follow_the_profile() -> None:
    circuit = circuits.load("ei_assemblies")
    made = draw(circuit, np.random.SeedSequence(1))
    for projection, connections in zip(circuit.projections, made, strict=True):
        assert set(np.bincount(connections.target)) == {projection.in_degree}
    source, target = circuit.populations[0], circuit.populations[0]
    counts = mean_out_degree(made[0], source, target).reshape(8, source.size, 8).sum(axis=1).T / 200
    expected = assembly_profile(Profile(kind="von_mises", kappa=1.0), 8, 8)
    # binomial standard error at 500 x 200 draws per target assembly, 4.5 of them over 64 entries
    np.testing.assert_allclose(counts, expected, atol=4.5 * np.sqrt(0.25 / 100_000))


def test_drawing_is_pure_and_changing_one_projection_leaves_the_others(small: Circuit) -> None:
    seed = np.random.SeedSequence(4)
    first, again = draw(small, seed), draw(small, seed)
    altered = replace(small, projections=(replace(small.projections[0], in_degree=3), *small.projections[1:]))
    for k in range(4):
        np.testing.assert_array_equal(first[k].source, again[k].source)
        if k:
            np.testing.assert_array_equal(first[k].source, draw(altered, seed)[k].source)
    assert child_seed(seed, 2).generate_state(1) == np.random.SeedSequence(4).spawn(3)[2].generate_state(1)


def test_currents_from_spikes_equal_the_recorded_ones(small: Circuit) -> None:
    """Against Brian2's own currents, recorded in every cell: equal to rounding, not just correlated."""
    import brian2
    from brian2 import StateMonitor, ms, mV

    from cortexres.circuits import parameters, runtime
    from cortexres.circuits.build import build

    connections = draw(small, np.random.SeedSequence(2))
    run = Run(0, 0, np.random.SeedSequence(1), np.zeros((1, 8)))
    timing = Timing(5.0, 25.0)
    made = structure(small, connections, [run], timing)
    before = brian2.prefs.codegen.target
    brian2.prefs.codegen.target = "numpy"
    try:
        brian2.seed(3)
        built = build(made, parameters.synapse_pairs(made, small, connections), {}, {})
        runtime._set(built, parameters.circuit_values(made, small, timing))
        runtime._set(built, parameters.synapse_values(made, small, connections))
        recorders = [StateMonitor(g, ["I_0", "I_1"], record=True) for g in built.groups]
        for recorder in recorders:
            built.network.add(recorder)
        for group in built.groups:
            group.v = 19 * mV
        built.network.run(30 * ms, namespace={})
    finally:
        brian2.prefs.codegen.target = before
    monitors = dict(zip("EI", built.monitors, strict=True))
    spikes = Spikes(
        cell={n: np.array(m.i[:]) for n, m in monitors.items()},
        step={n: np.rint(np.array(m.t / ms) / 0.1).astype(int) for n, m in monitors.items()},
    )
    assert min(len(c) for c in spikes.cell.values()) > 20
    found = synaptic_currents(current_paths(small, connections), spikes, n_units=16, n_steps=300, dt_ms=0.1)
    assert not found[0].any(), "nothing here is feedforward"
    for kind, name in ((1, "I_0"), (2, "I_1")):
        recorded = [np.asarray(getattr(r, name) / mV).reshape(8, -1, 300).mean(axis=1) for r in recorders]
        np.testing.assert_allclose(found[kind].T, np.concatenate(recorded), atol=1e-9)


def test_one_spike_arrives_after_the_delay_with_the_right_area(small: Circuit) -> None:
    """An exponential current of area J tau_m that starts one delay after the spike."""
    connections = draw(small, np.random.SeedSequence(2))
    nothing = np.array([], dtype=int)
    one = Spikes(cell={"E": np.array([0]), "I": nothing}, step={"E": np.array([100]), "I": nothing})
    paths = current_paths(small, connections)
    current = synaptic_currents(paths, one, n_units=16, n_steps=3000, dt_ms=0.1)
    assert (current[:, :111] == 0).all()
    assert (current[2] == 0).all()
    degree = mean_out_degree(connections[0], small.populations[0], small.populations[0])[0]
    np.testing.assert_allclose(current[1, :, :8].sum(axis=0) * 0.1, 0.1 * 20.0 * degree, rtol=1e-9, atol=1e-12)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A build cache of this module's own; the one build is shared by all tests that need it."""
    if not engines.has_compiler():
        pytest.skip("no C++ compiler")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CORTEXRES_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def compiled_run(circuit: Circuit, images: xr.Dataset, **options: object) -> xr.Dataset:
    return numpy_run(circuit, images, **{"target": "cpp_standalone", "jobs": 2, **options})


@pytest.mark.usefixtures("cache")
def test_one_build_serves_seeds_stimuli_trials_and_synapses(
    small: Circuit, images: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compiled_run(small, images, trials=3)
    # from here on nothing may compile any more
    monkeypatch.setattr(standalone, "_compile_in_child", lambda *_: pytest.fail("compiled again"))
    again = compiled_run(small, images, trials=3)
    np.testing.assert_array_equal(first["response"].values, again["response"].values)
    one = compiled_run(small, images.isel(stimulus=[1]), trials=2, jobs=1)
    np.testing.assert_array_equal(first["response"].values[1:, :2], one["response"].values)
    other_noise = compiled_run(small, images, trials=3, rng=6)
    assert not np.array_equal(first["response"].values, other_noise["response"].values)
    other_synapses = compiled_run(small, images, trials=3, connectivity_rng=1)
    assert not np.array_equal(first["response"].values, other_synapses["response"].values)
    assert not np.array_equal(first["response"].values[:, 0], first["response"].values[:, 1])
    stronger = replace(small.drive, front_end=replace(small.drive.front_end, gain_mV=40.0))
    driven = compiled_run(replace(small, drive=stronger), images, trials=3)
    excess = driven["response"].mean() - first["response"].mean()
    assert float(excess) > 5.0


@pytest.mark.usefixtures("cache")
def test_targets_agree_in_statistics(small: Circuit, images: xr.Dataset) -> None:
    """Mean rates by target, within 4 standard errors of their trials."""
    runs = [run(small, images, trials=12) for run in (numpy_run, compiled_run)]
    rates = [r["response"].mean(("stimulus", "time", "unit")).values for r in runs]
    error = np.sqrt(sum(r.var(ddof=1) / len(r) for r in rates))
    assert abs(rates[0].mean() - rates[1].mean()) < 4 * error


@pytest.mark.usefixtures("cache")
def test_a_binary_that_leaves_no_results_is_an_error(
    small: Circuit, images: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled_run(small, images)
    place = standalone.compiled(small_structure(small), small.name)
    monkeypatch.setattr(standalone, "compiled", lambda *_: fake)
    fake = place.parent / "fake"
    fake.mkdir()
    (fake / "layout.json").write_text((place / "layout.json").read_text())
    (fake / "static_arrays").mkdir()
    (fake / "main").write_text("#!/bin/sh\necho Error writing output file >&2\nexit 0\n")
    (fake / "main").chmod(0o755)
    with pytest.raises(SimulationError, match="exited 0 without results: Error writing output file"):
        compiled_run(small, images)


def test_a_failed_compilation_says_why(small: Circuit, monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("CORTEXRES_CACHE", str(tmp_path))
    monkeypatch.setattr(standalone.sys, "executable", "/bin/false")
    with pytest.raises(
        SimulationError, match="compiling circuit 'small' failed: nothing was said; check that a C\\+\\+"
    ):
        standalone.compiled(small_structure(small), small.name)


def test_without_a_compiler_auto_is_numpy_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines.shutil, "which", lambda _: None)
    with pytest.warns(UserWarning, match=r"no working C\+\+ compiler and make were found"):
        assert engines.choose("auto") == "numpy"
    assert engines.choose("cython") == "cython"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": 0}, "trials is 0, expected at least 1"),
        ({"jobs": 0}, "jobs is 0"),
        ({"target": "cuda"}, "target is 'cuda', expected one of auto, cpp_standalone, cython, numpy"),
        ({"bin_ms": 0.25}, "bin_ms is 0.25, expected a multiple of dt"),
        ({"duration_ms": 22.0}, "duration_ms is 22, expected a multiple of bin_ms"),
        ({"duration_ms": float("nan")}, "duration_ms is nan"),
        ({"settle_ms": -1.0}, "settle_ms is -1"),
    ],
)
def test_bad_arguments(small: Circuit, images: xr.Dataset, options: dict[str, object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        numpy_run(small, images, **options)


def test_bad_stimuli(small: Circuit, images: xr.Dataset) -> None:
    with pytest.raises(SchemaError):
        numpy_run(small, images.rename(image="picture"))


def test_bins_average_only_what_comes_after_onset() -> None:
    bins = Bins(settle_ms=1.0, duration_ms=2.0, bin_ms=1.0, dt_ms=0.5)
    steps = np.array([9.0, 9.0, 1.0, 3.0, 5.0, 7.0])[:, None]
    np.testing.assert_allclose(bins.average(steps)[:, 0], [2.0, 6.0])
