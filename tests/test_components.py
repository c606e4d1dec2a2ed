"""Input components from spikes, against the currents that Brian2 integrates for hand-written equations."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from cortexres.circuits import components
from cortexres.circuits.components import current_paths, synaptic_currents
from cortexres.circuits.connectivity import Connections, draw
from cortexres.circuits.runs import Spikes
from cortexres.definitions import Circuit, Population, Projection, Synapse, load_circuit

DT, STEPS = 0.1, 400
UNITS = {"E": slice(0, 3), "I": slice(3, 4), "P": slice(4, 6)}

EQUATIONS = {
    "delta": "dv/dt = -v / tau_m : 1",  # a passive membrane shows what delta synapses do
    "exponential_current": "dI_{k}/dt = -I_{k} / tau : 1",
    "alpha_current": "dI_{k}/dt = (h_{k} - I_{k}) / tau : 1\ndh_{k}/dt = -h_{k} / tau : 1",
}


def lif(name: str, size: int, assemblies: int, tau_m_ms: float) -> Population:
    parameters = {"tau_m_ms": tau_m_ms, "v_rest_mV": 0.0, "v_threshold_mV": 20.0, "v_reset_mV": 10.0}
    return Population(
        name=name,
        size=size,
        assemblies=assemblies,
        neuron="lif",
        parameters={**parameters, "t_refractory_ms": 2.0},
        cell_type="pyramidal" if name == "E" else "inhibitory",
    )


def circuit(model: str, method: str) -> Circuit:
    """Excitation, inhibition, an external source and a lower area, with weights and delays of every kind."""
    synapse = Synapse(name="s", model=model, tau_ms=0.0 if model == "delta" else 3.0)
    common = {"synapse": "s", "rule": "bernoulli", "probability": 0.5}
    source = Population(
        name="P", size=6, assemblies=2, neuron="poisson", parameters={"rate_Hz": 50.0}, cell_type="external"
    )
    return Circuit(
        name="components",
        title="",
        source="",
        populations=(lif("E", 8, 3, 20.0), lif("I", 5, 1, 10.0), source),
        synapses=(synapse,),
        projections=(
            Projection(source="E", target="E", weight_mV=0.3, delay_ms=1.5, weight_cv=0.4, delay_cv=0.5, **common),
            Projection(
                source="E",
                target="E",
                synapse="s",
                in_degree=9,
                weight_mV=0.2,
                matrix=((1.0, 0.0, 0.5), (0.2, 1.0, 0.0), (0.0, 3.0, 1.0)),
                delay_matrix_ms=((0.1, 0.1, 7.0), (2.0, 0.5, 0.1), (0.0, 4.0, 0.1)),
                pathway="feedforward",
            ),
            Projection(source="E", target="I", weight_mV=0.1, delay_ms=0.0, **common),
            Projection(source="I", target="E", weight_mV=-0.7, delay_ms=0.8, weight_cv=0.1, **common),
            Projection(source="I", target="I", weight_mV=-0.7, delay_ms=0.8, delay_cv=0.5, **common),
            Projection(source="P", target="E", weight_mV=0.4, delay_ms=1.0, pathway="feedback", **common),
        ),
        dt_ms=DT,
        method=method,
    )


def random_spikes(of: Circuit, rng: np.random.Generator) -> Spikes:
    cell, step = {}, {}
    for p in of.populations:
        fired = rng.random((STEPS, p.cells)) < 0.02
        step[p.name], cell[p.name] = np.nonzero(fired)
    return Spikes(cell=cell, step=step)


@pytest.fixture(scope="module", autouse=True)
def numpy_target() -> Iterator[None]:
    import brian2

    before = brian2.prefs.codegen.target
    brian2.prefs.codegen.target = "numpy"
    yield
    brian2.prefs.codegen.target = before


def recorded(of: Circuit, made: list[Connections], spikes: Spikes, method: str) -> list[NDArray[np.float64]]:
    """The current of each projection in each target cell, (step, cell), as Brian2 integrates it."""
    import brian2
    from brian2 import NeuronGroup, SpikeGeneratorGroup, StateMonitor, Synapses, ms

    model, tau_ms = of.synapses[0].model, of.synapses[0].tau_ms
    sources = {
        p.name: SpikeGeneratorGroup(p.cells, spikes.cell[p.name], spikes.step[p.name] * DT * ms, dt=DT * ms)
        for p in of.populations
    }
    parts, monitors = [], []
    for k, (projection, connections) in enumerate(zip(of.projections, made, strict=True)):
        target = of.population(projection.target)
        tau_m = target.parameters["tau_m_ms"]
        namespace = {"tau": tau_ms * ms, "tau_m": tau_m * ms}
        text = EQUATIONS[model].format(k=k)
        group = NeuronGroup(target.cells, text, method=method, namespace=namespace, dt=DT * ms)
        variable = {"delta": "v", "exponential_current": f"I_{k}", "alpha_current": f"h_{k}"}[model]
        synapses = Synapses(
            sources[projection.source], group, "w : 1", on_pre=f"{variable}_post += w", dt=DT * ms, method=method
        )
        synapses.connect(i=connections.source, j=connections.target)
        jump = projection.weight_mV * (1.0 if model == "delta" else tau_m / tau_ms)
        synapses.w = jump * (1.0 if connections.factor is None else connections.factor)
        steps = connections.delay_steps
        synapses.delay = (projection.delay_ms if steps is None else steps * DT) * ms
        monitor = StateMonitor(group, "v" if model == "delta" else f"I_{k}", record=True, dt=DT * ms)
        parts += [group, synapses]
        monitors.append(monitor)
    network = brian2.Network(*sources.values(), *parts, *monitors)
    network.run((STEPS + 1) * DT * ms, namespace={})
    values = [np.array(getattr(m, m.record_variables[0])).T for m in monitors]
    if model != "delta":
        return [v[:STEPS] for v in values]
    # The input that would have moved the potential over the step as far as the spikes did, over and above its decay.
    taus = [of.population(q.target).parameters["tau_m_ms"] for q in of.projections]
    kept = [1.0 - DT / tau if method == "euler" else np.exp(-DT / tau) for tau in taus]
    return [(v[1:] - v[:-1] * k) * tau / DT for v, k, tau in zip(values, kept, taus, strict=True)]


@pytest.mark.parametrize("method", ["euler", "exact", "exponential_euler"])
@pytest.mark.parametrize("model", ["delta", "exponential_current", "alpha_current"])
def test_currents_from_spikes_are_the_recorded_ones(model: str, method: str) -> None:
    of = circuit(model, method)
    made = draw(of, np.random.SeedSequence(3))
    spikes = random_spikes(of, np.random.default_rng(4))
    found = synaptic_currents(current_paths(of, made), spikes, n_units=6, n_steps=STEPS, dt_ms=DT)
    expected = np.zeros_like(found)
    component = [1, 0, 1, 2, 2, 0]  # feedforward, excitatory, inhibitory
    for k, (projection, current) in enumerate(zip(of.projections, recorded(of, made, spikes, method), strict=True)):
        target = of.population(projection.target)
        mean = current.reshape(STEPS, target.assemblies, target.size).mean(axis=2)
        expected[component[k], :, UNITS[projection.target]] += mean
    assert (np.abs(expected).max(axis=1)[:, :4] > 0).sum() == 3 + 4 + 4
    scale = np.abs(expected).max(axis=1, keepdims=True)
    error = np.abs(found - expected).max(axis=1, keepdims=True) / np.where(scale > 0, scale, 1.0)
    assert error.max() < 1e-12, error


@pytest.mark.parametrize("method", ["euler", "exact"])
@pytest.mark.parametrize("model", ["delta", "exponential_current", "alpha_current"])
def test_one_spike_has_the_area_of_its_weight(model: str, method: str) -> None:
    """J tau_m for each synapse, summed over time: exactly for Euler and delta, to order dt for exact integration."""
    of = replace(circuit(model, method), projections=circuit(model, method).projections[:1])
    made = draw(of, np.random.SeedSequence(3))
    none = np.empty(0, dtype=np.int64)
    spikes = Spikes(
        cell={"E": np.array([5]), "I": none, "P": none}, step={"E": np.array([20]), "I": none, "P": none}
    )
    found = synaptic_currents(current_paths(of, made), spikes, n_units=6, n_steps=3000, dt_ms=DT)
    mine = made[0].source == 5
    assert made[0].factor is not None
    assert made[0].delay_steps is not None
    weights = np.bincount(made[0].target[mine] // 8, made[0].factor[mine], minlength=3) / 8
    tolerance = 1e-9 if method == "euler" or model == "delta" else 0.02
    np.testing.assert_allclose(found[1].sum(axis=0)[:3] * DT, 0.3 * 20.0 * weights, rtol=tolerance)
    first = 20 + made[0].delay_steps[mine].min() + {"delta": 0, "exponential_current": 1, "alpha_current": 2}[model]
    assert (found[1, :first] == 0).all()
    assert found[1, first].any()


def test_tables_in_pieces_are_the_same_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    of = circuit("exponential_current", "euler")
    made = draw(of, np.random.SeedSequence(3))
    spikes = random_spikes(of, np.random.default_rng(4))
    whole = synaptic_currents(current_paths(of, made), spikes, n_units=6, n_steps=STEPS, dt_ms=DT)
    monkeypatch.setattr(components, "_AT_ONCE", 100)
    pieces = synaptic_currents(current_paths(of, made), spikes, n_units=6, n_steps=STEPS, dt_ms=DT)
    np.testing.assert_allclose(pieces, whole, rtol=1e-12, atol=1e-13)


def test_spikes_that_arrive_after_the_end_and_silent_cells_add_nothing() -> None:
    of = circuit("exponential_current", "euler")
    made = draw(of, np.random.SeedSequence(3))
    none = np.empty(0, dtype=np.int64)
    late = Spikes(
        cell={"E": np.arange(24), "I": none, "P": none},
        step={"E": np.full(24, STEPS - 1), "I": none, "P": none},
    )
    for spikes in (late, Spikes(cell=dict.fromkeys("EIP", none), step=dict.fromkeys("EIP", none))):
        found = synaptic_currents(current_paths(of, made), spikes, n_units=6, n_steps=STEPS, dt_ms=DT)
        assert found.shape == (3, STEPS, 6)
        assert not found.any()


def test_conductances_and_empty_projections_are_no_paths() -> None:
    of = circuit("exponential_current", "euler")
    empty = replace(of, projections=tuple(replace(p, probability=0.0, in_degree=0) for p in of.projections))
    spikes = random_spikes(of, np.random.default_rng(4))
    paths = current_paths(empty, draw(empty, np.random.SeedSequence(3)))
    assert not synaptic_currents(paths, spikes, n_units=6, n_steps=STEPS, dt_ms=DT).any()
    cells = tuple(
        p if p.name == "P" else replace(p, parameters={**p.parameters, "g_leak_nS": 10.0}) for p in of.populations
    )
    conductances = replace(
        of,
        populations=cells,
        synapses=(Synapse(name="s", model="exponential_conductance", tau_ms=3.0),),
        projections=tuple(replace(p, weight_mV=0.0, conductance_nS=1.0) for p in of.projections),
        method="exponential_euler",
    )
    assert current_paths(conductances, draw(conductances, np.random.SeedSequence(3))) == []


@pytest.mark.parametrize(("compartment", "tau_m_ms"), [("soma", 16.0), ("dendrite", 7.0)])
def test_delta_synapses_count_by_the_membrane_they_act_on(compartment: str, tau_m_ms: float) -> None:
    cell = replace(load_circuit("naud_sprekeler_2018").population("E"), size=1)
    synapse = Synapse(name="s", model="delta", tau_ms=0.0, compartment=compartment)
    path = Projection(source="I", target="E", synapse="s", rule="all_to_all", weight_mV=0.5, delay_ms=1.0)
    whole = replace(
        circuit("delta", "euler"), populations=(cell, lif("I", 1, 1, 10.0)), synapses=(synapse,), projections=(path,)
    )
    nothing = np.zeros(0, dtype=np.int64)
    spikes = Spikes(
        {"E": nothing, "I": np.zeros(1, dtype=np.int64)}, {"E": nothing, "I": np.array([20], dtype=np.int64)}
    )
    paths = current_paths(whole, draw(whole, np.random.SeedSequence(0)))
    current = synaptic_currents(paths, spikes, n_units=2, n_steps=STEPS, dt_ms=DT)
    assert current.sum() * DT == pytest.approx(0.5 * tau_m_ms)
