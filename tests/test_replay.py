"""Replayed populations: an open loop with the closed loop's own spikes is the closed loop, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from cortexres import circuits
from cortexres.circuits import perturb
from cortexres.definitions import Background, Circuit, Drive, Population, Projection, Start, Synapse, parameter_values
from cortexres.errors import ArgumentError, SchemaError

LIF = {"tau_m_ms": 20.0, "v_rest_mV": 0.0, "v_threshold_mV": 10.0, "v_reset_mV": 0.0, "t_refractory_ms": 2.0}
TIMES = {"trials": 2, "duration_ms": 30.0, "settle_ms": 10.0}


def joined(source: str, target: str, weight: float, synapse: str = "fast", **fields: object) -> Projection:
    of = "weight_mV" if synapse == "fast" else "conductance_nS"
    ends = {"source": source, "target": target, "synapse": synapse, "rule": "fixed_in_degree", "in_degree": 5}
    return Projection(**{**ends, "delay_ms": 1.0, of: weight, **fields})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def loop() -> Circuit:
    """Two assemblies of E, driven, and I: every projection, and noise in both."""
    return Circuit(
        name="loop",
        title="",
        source="",
        populations=(
            Population(
                name="E", size=15, assemblies=2, neuron="lif", parameters=LIF, cell_type="pyramidal",
                mean_input_mV=9.0, noise_mV=3.0, start=Start(kind="normal", mean_mV=5.0, sd_mV=2.0),
            ),
            Population(
                name="I", size=10, neuron="lif", parameters=LIF, cell_type="inhibitory", mean_input_mV=8.0, noise_mV=2.0
            ),
        ),
        synapses=(Synapse(name="fast", model="exponential_current", tau_ms=3.0),),
        projections=(
            joined("E", "E", 0.5),
            joined("I", "E", -1.0),
            joined("E", "I", 0.8),
            joined("I", "I", -0.7),
        ),
        drive=Drive(targets=("E",)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def steps() -> xr.Dataset:
    """Two stimuli: one drives the first assembly, the other both."""
    values = np.array([[[6.0, 0.0]], [[5.0, 9.0]]])
    drive = xr.DataArray(values, dims=("stimulus", "frame", "channel"), attrs={"units": "mV", "frame_ms": 1.0})
    return xr.Dataset({"drive": drive}, coords={"stimulus": [3, 7]})


@pytest.fixture(scope="module")
def recorded(loop: Circuit, steps: xr.Dataset) -> xr.Dataset:
    return spikes(loop, steps)


@pytest.fixture(scope="module")
def closed(loop: Circuit, steps: xr.Dataset) -> xr.Dataset:
    return brain(loop, steps)


def spikes(circuit: Circuit, stimuli: xr.Dataset | None, replay: xr.Dataset | None = None, **own: object) -> xr.Dataset:
    options = {"rng": 5, "target": "numpy", "progress": False, **TIMES, **own}
    return circuits.spikes(circuit, stimuli, replay=replay, **options)  # type: ignore[arg-type]


def brain(circuit: Circuit, stimuli: xr.Dataset | None, replay: xr.Dataset | None = None) -> xr.Dataset:
    return circuits.simulate(
        circuit, stimuli, rng=5, target="numpy", progress=False, replay=replay, **TIMES  # type: ignore[arg-type]
    )


def events(found: xr.Dataset, cells: range) -> list[tuple[float, ...]]:
    """Return the spikes of a range of cells, sorted: stimulus, trial, time, cell."""
    inside = np.isin(found["cell"].values, cells)
    return sorted(zip(*(found[n].values[inside].tolist() for n in ("stimulus", "trial", "time", "cell")), strict=True))


def test_the_definition_keeps_all_but_the_model_and_the_drive(loop: Circuit) -> None:
    opened = perturb.replay(loop, "E")
    assert opened.projections == loop.projections
    assert opened.population("I") == loop.population("I")
    assert opened.population("E") == replace(loop.population("E"), neuron="replay", parameters={})
    assert opened.drive is None
    assert perturb.replay(loop, "I").drive == loop.drive
    kept = {k: v for k, v in parameter_values(loop).items() if not k.startswith(("populations.E.", "drive."))}
    assert kept.items() <= parameter_values(opened).items()


@pytest.mark.parametrize("population", ["E", "I"])
def test_its_own_spikes_make_the_open_loop_the_closed_one(
    loop: Circuit, steps: xr.Dataset, recorded: xr.Dataset, population: str
) -> None:
    """Noise, starts and synapses of all others are those of the intact circuit, to the last bit."""
    opened = spikes(perturb.replay(loop, population), steps, recorded)
    for cells in (range(30), range(30, 40)):
        assert len(events(recorded, cells)) > 20
        assert events(opened, cells) == events(recorded, cells)


def test_input_components_of_the_others_are_those_of_the_closed_loop(
    loop: Circuit, steps: xr.Dataset, recorded: xr.Dataset, closed: xr.Dataset
) -> None:
    opened = brain(perturb.replay(loop, "E"), steps, recorded)
    xr.testing.assert_identical(opened["response"], closed["response"])
    inhibitory = closed["population"] == "I"
    for name in ("feedforward", "recurrent_excitatory", "recurrent_inhibitory"):
        xr.testing.assert_identical(opened[name][..., inhibitory], closed[name][..., inhibitory])
    assert float(closed["recurrent_excitatory"][..., inhibitory].min()) >= 0.0
    assert float(closed["recurrent_excitatory"][..., inhibitory].mean()) > 0.1
    assert not opened["recurrent_excitatory"][..., ~inhibitory].any()  # cells that are not simulated receive nothing


def test_recurrence_is_frozen_while_the_stimulus_changes(
    loop: Circuit, steps: xr.Dataset, recorded: xr.Dataset, closed: xr.Dataset
) -> None:
    """I replayed from stimulus 3 under stimulus 7: E receives the inhibition of 3 and the drive of 7."""
    of_three = recorded.isel(spike=recorded["stimulus"].values == 3)
    relabelled = of_three.assign(stimulus=("spike", np.full(of_three.sizes["spike"], 7)))
    frozen = brain(perturb.replay(loop, "I"), steps.sel(stimulus=[7]), relabelled)
    three, seven = (closed.sel(stimulus=s).isel(unit=slice(0, 2)) for s in (3, 7))
    found = frozen.isel(stimulus=0, unit=slice(0, 2))
    np.testing.assert_array_equal(found["recurrent_inhibitory"], three["recurrent_inhibitory"])
    np.testing.assert_array_equal(found["feedforward"], seven["feedforward"])
    assert not np.array_equal(seven["recurrent_inhibitory"], three["recurrent_inhibitory"])
    assert not np.array_equal(found["recurrent_excitatory"], three["recurrent_excitatory"])


def test_other_spikes_change_what_the_others_fire(loop: Circuit, steps: xr.Dataset, recorded: xr.Dataset) -> None:
    inhibitory = range(30, 40)
    silent = recorded.isel(spike=recorded["cell"].values >= 30)
    assert events(spikes(perturb.replay(loop, "E"), steps, silent), inhibitory) != events(recorded, inhibitory)


def test_conductances_and_their_first_states_are_those_of_the_closed_loop(loop: Circuit) -> None:
    """Recorded components go through another path, and starting conductances are drawn population by population."""
    ends = [("E", "E", "up"), ("I", "E", "down"), ("E", "I", "up"), ("I", "I", "down")]
    circuit = replace(
        loop,
        populations=tuple(replace(p, parameters={**LIF, "g_leak_nS": 10.0}) for p in loop.populations),
        synapses=(
            Synapse(name="up", model="exponential_conductance", tau_ms=3.0, reversal_mV=60.0, start_mean_nS=0.5,
                    start_sd_nS=0.3),
            Synapse(name="down", model="exponential_conductance", tau_ms=5.0, reversal_mV=-10.0, start_mean_nS=0.5,
                    start_sd_nS=0.3),
        ),
        projections=tuple(joined(source, target, 0.3, synapse) for source, target, synapse in ends),
        drive=None,
    )  # fmt: skip
    own, inhibitory = spikes(circuit, None), range(30, 40)
    opened = perturb.replay(circuit, "E")
    assert events(spikes(opened, None, own), inhibitory) == events(own, inhibitory) != []
    pair = brain(circuit, None), brain(opened, None, own)
    for name in ("recurrent_excitatory", "recurrent_inhibitory"):
        np.testing.assert_array_equal(*(b[name].sel(unit=2) for b in pair))


def test_poisson_sources_stay_feedforward_and_backgrounds_have_no_effect(loop: Circuit) -> None:
    source = Population(name="P", size=20, neuron="poisson", parameters={"rate_Hz": 50.0}, cell_type="external")
    quiet = tuple(replace(p, noise_mV=0.0) for p in loop.populations)
    circuit = replace(
        loop,
        populations=(source, *quiet),
        projections=(*loop.projections, joined("P", "I", 1.0)),
        backgrounds=(Background(target="E", synapse="fast", count=10, rate_Hz=10.0, weight_mV=0.2),),
        drive=None,
    )
    own, opened = spikes(circuit, None), perturb.replay(circuit, "P", "E")
    closed, found = brain(circuit, None), brain(opened, None, own)
    assert events(spikes(opened, None, own), range(60)) == events(own, range(60))
    for name in ("feedforward", "recurrent_excitatory", "recurrent_inhibitory"):
        np.testing.assert_array_equal(found[name].sel(unit=3), closed[name].sel(unit=3))
    assert float(found["feedforward"].sel(unit=3).mean()) > 0.1


def test_a_run_without_spikes_is_known_from_the_provenance(
    loop: Circuit, steps: xr.Dataset, recorded: xr.Dataset
) -> None:
    nothing = recorded.isel(spike=slice(0, 0))
    found = spikes(perturb.replay(loop, "E"), steps, nothing)
    assert not (found["cell"] < 30).any()


def test_what_does_not_fit_is_refused(loop: Circuit, steps: xr.Dataset, recorded: xr.Dataset) -> None:
    opened = perturb.replay(loop, "E")
    stranger = recorded.assign_attrs({})
    stranger.attrs = {}

    def changed(name: str, index: int | slice, value: float | list[float]) -> xr.Dataset:
        excitatory = stranger.isel(spike=stranger["cell"].values < 30).copy(deep=True)
        excitatory[name].values[index] = value
        return excitatory

    with pytest.raises(ArgumentError, match="loop replays E, and no recording is given"):
        spikes(opened, steps)
    with pytest.raises(ArgumentError, match="loop has no population that replays a recording"):
        spikes(loop, steps, recorded)
    with pytest.raises(ArgumentError, match=r"no spikes of stimulus 3, trial 2 \(2 of 6 runs are missing\)"):
        spikes(opened, steps, recorded, trials=3)
    with pytest.raises(ArgumentError, match=r"no spikes of stimulus 0, trial 0 \(2 of 2"):
        spikes(opened, None, recorded)
    with pytest.raises(ArgumentError, match="cells 0 to 40, expected 0 to 39"):
        spikes(opened, steps, changed("cell", slice(0, 2), [0, 40]))
    with pytest.raises(ArgumentError, match="is of 41 cells, and circuit loop has 40"):
        spikes(opened, steps, recorded.assign_attrs(cells=41))
    with pytest.raises(ArgumentError, match=r"spike at -10\.1 ms, expected none before the start of settling at -10"):
        spikes(opened, steps, changed("time", 0, -10.1))
    with pytest.raises(ArgumentError, match=r"has a spike at 3\.14 ms, expected multiples of dt = 0\.1 ms"):
        spikes(opened, steps, changed("time", 0, 3.14))
    with pytest.raises(ArgumentError, match="covers -10 to 30 ms, expected -20 to 30 ms"):
        spikes(opened, steps, recorded, settle_ms=20.0)
    with pytest.raises(ArgumentError, match="has a cell that fires twice in one step"):
        spikes(opened, steps, stranger.isel(spike=np.repeat(np.flatnonzero(stranger["cell"].values < 30), 2)))
    with pytest.raises(ArgumentError, match="no variable cell"):
        spikes(opened, steps, recorded.drop_vars("cell"))
    with pytest.raises(SchemaError):
        spikes(opened, steps, recorded.drop_vars("time"))
    with pytest.raises(ArgumentError, match="no population is named 'X'"):
        perturb.replay(loop, "X")
    with pytest.raises(ArgumentError, match="murphy_miller_2009 is one of rates and has no spikes to replay"):
        perturb.replay(circuits.load("murphy_miller_2009"), "E")
