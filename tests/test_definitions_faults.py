"""Bad circuits are refused when they are defined: each fault of rules, conductances, rates, delays and methods."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cortexres.definitions import (
    Background,
    Circuit,
    Drive,
    FrontEnd,
    Population,
    Profile,
    Projection,
    Start,
    Synapse,
    circuit_from_toml,
    from_json,
    list_models,
    load_circuit,
    to_json,
)
from cortexres.errors import DefinitionError

LIF = {"tau_m_ms": 20.0, "v_rest_mV": 0.0, "v_threshold_mV": 20.0, "v_reset_mV": 10.0, "t_refractory_ms": 2.0}


def cells(name: str = "E", **changes: Any) -> Population:
    standard = {"size": 10, "neuron": "lif", "parameters": LIF, "cell_type": "pyramidal"}
    return Population(name=name, **{**standard, **changes})


def circuit(**changes: Any) -> Circuit:
    """E excites itself through a current synapse."""
    standard: dict[str, Any] = {
        "name": "test",
        "title": "test",
        "source": "test",
        "populations": (cells(),),
        "synapses": (Synapse(name="s", model="exponential_current", tau_ms=5.0),),
        "projections": (projection(),),
    }
    return Circuit(**{**standard, **changes})


def projection(**changes: Any) -> Projection:
    standard = {"source": "E", "target": "E", "synapse": "s", "in_degree": 2, "weight_mV": 0.1, "delay_ms": 1.0}
    return Projection(**{**standard, **changes})


def rates(**changes: Any) -> Circuit:
    parts: dict[str, Any] = {
        "populations": (Population(name="E", size=1, neuron="linear", parameters={"tau_ms": 20.0}, cell_type="p"),),
        "synapses": (Synapse(name="s", model="rate"),),
        "projections": (Projection(source="E", target="E", synapse="s", rule="all_to_all", strength=0.5),),
    }
    return circuit(**{**parts, **changes})


BAD_PROJECTIONS = [
    ({"rule": "bernouli"}, "unknown rule 'bernouli', did you mean 'bernoulli'"),
    ({"rule": "bernoulli", "probability": 1.5}, r"probability is 1.5, expected a value in \[0, 1\]"),
    ({"pathway": "sideways"}, "unknown pathway 'sideways'"),
    ({"total": -1}, "total is -1"),
    ({"weight_cv": -0.1}, "weight_cv is -0.1"),
    ({"delay_cv": float("nan")}, "delay_cv is nan"),
    ({"delay_ms": 0.05}, r"delay is 0.05 ms, below dt = 0.1 ms; use 0 \(felt at the next step\) or at least dt"),
    ({"delay_matrix_ms": ((0.05,),)}, "delay is 0.05 ms, below dt"),
    ({"delay_matrix_ms": ((1.0, 2.0),)}, "delay_matrix has 1 rows, expected 1 rows of 1"),
    ({"matrix": ((1.0,), (2.0,))}, "matrix has 2 rows, expected 1 rows of 1"),
    ({"matrix": ((float("inf"),),)}, "matrix holds a value that is not finite"),
    ({"matrix": ((-1.0,),)}, "matrix holds negative factors, expected 0 or more"),
    ({"rule": "fixed_total", "probability": 1.0}, "joins every pair with probability 1, .* use 'all_to_all'"),
    ({"conductance_nS": 1.0}, "conductance_nS is 1, and a synapse of model 'exponential_current' takes weight_mV"),
    ({"strength": 1.0}, "strength is 1, and a synapse of model 'exponential_current' takes weight_mV"),
    ({"profile": Profile(kind="gaussian")}, "width is 0 deg, expected above 0"),
    ({"profile": Profile(kind="cosine", depth=2.0)}, r"depth is 2, expected a value in \[-1, 1\]"),
    ({"profile": Profile(kind="rectangle")}, "unknown profile 'rectangle'"),
    ({"rule": "all_to_all", "source": "X"}, "unknown population 'X'"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_PROJECTIONS)
def test_bad_projections(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message) as caught:
        circuit(projections=(projection(**changes),))
    assert "\n" not in str(caught.value)


def test_what_fits_is_not_refused() -> None:
    assert not circuit().is_rate
    assert rates().is_rate
    assert circuit(projections=(projection(delay_ms=0.0),)).projections[0].delay_ms == 0.0


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"populations": (cells(start=Start(kind="gamma")),)}, "unknown start 'gamma'"),
        ({"populations": (cells(start=Start(kind="normal", sd_mV=-1.0)),)}, "start.sd is -1"),
        ({"populations": (cells(expected_rate_Hz=-1.0),)}, "expected_rate is -1"),
        ({"populations": (cells(assembly_areas=("V1", "V2")),)}, "2 assembly_areas, expected 1"),
        (
            {"populations": (cells(), cells("F", size=3)), "projections": (projection(target="F", rule="one_to_one"),)},
            "rule 'one_to_one' joins 10 to 3 cells",
        ),
        (
            {
                "populations": (cells(), cells("F", assemblies=2)),
                "projections": (projection(target="F", profile=Profile(kind="same")),),
            },
            "profile 'same' joins 1 to 2 assemblies",
        ),
        ({"synapses": (Synapse(name="s", model="exponential_current"),)}, r"tau is 0, expected a value in"),
        ({"synapses": (Synapse(name="s", model="delta", tau_ms=1.0),)}, "tau_ms is 1, and model 'delta' has none"),
        (
            {"synapses": (Synapse(name="s", model="exponential_current", tau_ms=5.0, compartment="axon"),)},
            "unknown compartment 'axon'",
        ),
        (
            {"synapses": (Synapse(name="s", model="exponential_current", tau_ms=5.0, compartment="dendrite"),)},
            "synapse 's' lies on a dendrite, and cells of E .* have none",
        ),
        (
            {
                "synapses": (Synapse(name="s", model="exponential_conductance", tau_ms=5.0),),
                "projections": (projection(weight_mV=0.0, conductance_nS=1.0),),
            },
            "a conductance needs g_leak of the cells of E",
        ),
        (
            {"backgrounds": (Background(target="X", synapse="s", count=1, rate_Hz=1.0),)},
            "background of X: unknown population 'X'",
        ),
        (
            {"backgrounds": (Background(target="E", synapse="t", count=1, rate_Hz=1.0),)},
            "background of E: unknown synapse 't'",
        ),
        ({"backgrounds": (Background(target="E", synapse="s", count=-1, rate_Hz=1.0),)}, "count is -1"),
        (
            {
                "synapses": (Synapse(name="s", model="nmda", tau_ms=100.0, tau_rise_ms=2.0, gating_Hz=500.0),),
                "populations": (cells(parameters={**LIF, "g_leak_nS": 10.0}),),
                "projections": (),
                "backgrounds": (Background(target="E", synapse="s", count=1, rate_Hz=1.0, conductance_nS=1.0),),
            },
            "is gated by its presynaptic cell",
        ),
        (
            {"populations": (cells(), Population(name="P", size=1, neuron="poisson", parameters={}, cell_type="x")),
             "projections": (projection(target="P"),)},
            "P consists of Poisson sources, which receive nothing",
        ),
        ({"drive": Drive(targets=())}, "targets is empty"),
        ({"drive": Drive(targets=("E",), onto="threshold")}, "unknown onto 'threshold'"),
        ({"drive": Drive(targets=("E",), onto="rate")}, "onto is 'rate' and E is of kind 'spiking'"),
        ({"drive": Drive(targets=("E",), onto="background")}, "onto is 'background', and E has none"),
        (
            {"populations": (cells(), cells("F", assemblies=2)), "drive": Drive(targets=("E", "F"))},
            "targets E, F have different numbers of assemblies",
        ),
        (
            {"drive": Drive(targets=("E",), front_end=FrontEnd(kind="random_fields", channels=1, gain_Hz=-1.0))},
            "gain_Hz is -1",
        ),
        ({"method": "rk4"}, "method is 'rk4', expected one of euler, exact, exponential_euler"),
        (
            {"method": "exponential_euler", "populations": (cells(noise_mV=1.0),)},
            "'exponential_euler' cannot integrate noise",
        ),
        ({"method": "exact", "populations": (cells(noise_mV=1.0),)}, "'exact' needs 'lif' cells without noise"),
        (
            {
                "method": "exact",
                "populations": (cells(parameters={**LIF, "g_leak_nS": 10.0}),),
                "synapses": (Synapse(name="s", model="exponential_conductance", tau_ms=5.0),),
                "projections": (),
            },
            "'exact' needs current synapses",
        ),
        (
            {"method": "exact", "synapses": (Synapse(name="s", model="exponential_current", tau_ms=20.0),)},
            r"tau_m of E equals tau of synapse s \(20 ms\), where Brian2's own exact integration gives NaN; "
            r"change one by 0.1 %",
        ),
    ],
)
def test_bad_parts(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message) as caught:
        circuit(**parts)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"populations": (*rates().populations, cells("F"))}, "kinds rate, spiking are mixed"),
        (
            {"populations": (replace(rates().populations[0], size=5),)},
            "population E is a rate, expected size = 1",
        ),
        (
            {"projections": (replace(rates().projections[0], rule="bernoulli", probability=0.1),)},
            "joins rates, expected rule = 'all_to_all'",
        ),
        ({"projections": (replace(rates().projections[0], delay_ms=1.0),)}, "without delays"),
        ({"synapses": (Synapse(name="s", model="delta"),)}, "does not fit neuron model 'linear'"),
        ({"method": "exact"}, "method is 'exact', expected one of rk4, euler"),
    ],
)
def test_bad_rate_circuits(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        rates(**parts)


@pytest.mark.parametrize("key", ["equations", "threshold", "on_pre", "code"])
def test_a_file_cannot_give_equations(key: str) -> None:
    text = next(m.path for m in list_models("circuits") if m.name == "ei_assemblies").read_text()
    with pytest.raises(DefinitionError, match=rf"a file cannot give equations \('{key}'\); name a neuron"):
        circuit_from_toml(text.replace("size = 500", f'size = 500\n{key} = "dv/dt = 1 : volt"', 1))


def test_projection_tables_are_projections() -> None:
    made = load_circuit("vogels_abbott_cuba").projections
    assert [(p.source, p.target, p.probability, p.weight_mV) for p in made] == [
        ("E", "E", 0.02, 0.405),
        ("E", "I", 0.02, 0.405),
        ("I", "E", 0.02, -4.5),
        ("I", "I", 0.02, -4.5),
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('fills = "probability"', 'fills = "size"', "fills is 'size', expected one of probability, in_degree"),
        ("values = [[0.02], [0.02]]", "values = [[0.02]]", "values has 1 rows, expected 2 rows of 1 values"),
        ("values = [[0.02], [0.02]]", "values = 3", "values is 3, expected a list of rows"),
        ("values = [[0.02], [0.02]]", 'values = [["x"], [0.02]]', "values is 'x', expected a value of type float"),
        ('sources = ["E"]', 'sources = "E"', "sources is 'E', expected a list of texts"),
        ("[[projection_tables]]", "[projection_tables]", "is not TOML"),
    ],
)
def test_bad_projection_tables(old: str, new: str, message: str) -> None:
    text = next(m.path for m in list_models("circuits") if m.name == "vogels_abbott_cuba").read_text()
    with pytest.raises(DefinitionError, match=message):
        circuit_from_toml(text.replace(old, new, 1))


def test_circuits_written_with_one_driven_population_are_still_read() -> None:
    text = to_json(load_circuit("ei_assemblies"))
    old = text.replace('"onto": "mean_input", "targets": ["E"]', '"target": "E"')
    assert old != text
    assert from_json(old) == load_circuit("ei_assemblies")


def test_signs_and_defaults() -> None:
    assert projection().sign == 1.0
    assert projection(weight_mV=-0.1).sign == -1.0
    assert projection(weight_mV=0.0).sign == 0.0
    assert rates().populations[0].parameter("start") == 0.0
    with pytest.raises(KeyError):
        replace(rates().populations[0], neuron="poisson", parameters={}).parameter("tau_ms")
