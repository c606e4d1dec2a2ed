"""Definitions: every fault is found, named, and never evaluated; every listed circuit loads and round-trips."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cortexres.definitions import (
    Circuit,
    Profile,
    assembly_profile,
    circuit_from_toml,
    from_json,
    list_models,
    load_circuit,
    to_json,
    unit_coordinates,
)
from cortexres.definitions.quantities import parse_quantity
from cortexres.errors import DataFileError, DefinitionError

CIRCUITS = [model.name for model in list_models("circuits")]


@pytest.fixture
def text() -> str:
    return next(m.path for m in list_models("circuits") if m.name == "ei_assemblies").read_text()


@pytest.mark.parametrize("name", CIRCUITS)
def test_every_circuit_loads_names_its_source_and_round_trips(name: str) -> None:
    circuit = load_circuit(name)
    assert circuit.name == name
    assert "doi" in circuit.source
    assert from_json(to_json(circuit)) == circuit


def test_a_circuit_loads_from_a_path(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    assert load_circuit(path) == load_circuit("ei_assemblies")


def test_units_come_population_by_population() -> None:
    units = unit_coordinates(load_circuit("ei_assemblies"))
    assert list(units["name"][[0, 7, 8, 15]]) == ["E0", "E7", "I0", "I7"]
    assert list(units["assembly"]) == [*range(8), *range(8)]
    assert set(units["cell_type"][8:]) == {"inhibitory"}


def test_von_mises_profile_is_a_ring() -> None:
    profile = assembly_profile(Profile(kind="von_mises", kappa=1.0), 8, 8)
    np.testing.assert_allclose(profile.sum(axis=1), 1.0, rtol=1e-15)
    np.testing.assert_allclose(np.roll(profile[0], 3), profile[3], rtol=1e-14)
    # the ratio of nearest to farthest is exp(2 kappa) in closed form
    assert profile[0, 0] / profile[0, 4] == pytest.approx(np.exp(2.0), rel=1e-14)
    np.testing.assert_allclose(assembly_profile(Profile(), 3, 5), 0.2)


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [("20 ms", "ms", 20.0), ("0.02 s", "ms", 20.0), ("-500uV", "mV", -0.5), (" 1e-1 kHz ", "Hz", 100.0)],
)
def test_quantities(value: str, unit: str, expected: float) -> None:
    assert parse_quantity(value, unit, where="here") == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(
    "value",
    [
        20,
        "20",
        "20 mV",
        "ms",
        "2*3 ms",
        "__import__('os') ms",
        "1e999 ms",
        "9" * 100 + " ms",
        "nan ms",
        None,
        ["1 ms"],
        "\uff11 ms",
    ],
)
def test_what_is_no_quantity_is_refused(value: object) -> None:
    with pytest.raises(DefinitionError, match=r"expected a (number and a unit|finite number)"):
        parse_quantity(value, "ms", where="here")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('dt = "0.1 ms"', 'dt = "0.1 ms"\ntypo = 1', r"top level: unknown key 'typo'"),
        (
            "size = 500",
            "sise = 500",
            r"populations\.E: key 'size' is missing.*unknown key 'sise', did you mean 'size'",
        ),
        ("size = 500", "size = -500", r"population E: size is -500, expected a value in \[1, 2e\+06\] cells"),
        ("size = 500", 'size = "500"', r"populations\.E\.size is '500', expected a value of type int"),
        ("size = 500", "size = true", r"size is True, expected a value of type int"),
        ("size = 500", "size = 5000000", r"cells, expected at most"),
        ("in_degree = 200", "in_degree = 2000000", r"synapses, expected at most"),
        ('tau_m = "20 ms"', 'tau_m = "-20 ms"', r"tau_m_ms is -20, expected a value in \(0, 10000\]"),
        ('tau_m = "20 ms"', 'tau_mm = "20 ms"', r"unknown key 'tau_mm', did you mean 'tau_m'.*"),
        ('v_reset = "10 mV"', 'v_reset = "30 mV"', r"v_reset_mV is 30, expected below v_threshold_mV = 20"),
        ('noise = "5 mV"', 'noise = "-5 mV"', r"noise is -5"),
        ('neuron = "lif"', 'neuron = "liff"', r"unknown neuron model 'liff', did you mean 'lif'"),
        ('model = "exponential_current"', 'model = "expo"', r"unknown synapse model 'expo'"),
        ('source = "E"', 'source = "X"', r"projection X -> E: unknown population 'X'"),
        (
            'synapse = "excitatory"',
            'synapse = "excitatry"',
            r"unknown synapse 'excitatry', did you mean 'excitatory'",
        ),
        ('kind = "von_mises"', 'kind = "von_misses"', r"unknown profile 'von_misses'"),
        ('delay = "1 ms"', 'delay = "-1 ms"', r"delay is -1"),
        ("channels = 8", "channels = 7", r"the front end has 7 channels, expected 8"),
        ('kind = "oriented_energy"', 'kind = "oriented"', r"unknown front end 'oriented', did you mean"),
        ('targets = ["E"]', 'targets = ["Q"]', r"drive: unknown population 'Q'"),
        ('[drive]\ntargets = ["E"]', "[drive]", r"drive: key 'targets' is missing"),
        ("[drive]\n", "[drive]\nfoo = 1\n", r"drive: unknown key 'foo'"),
        ('dt = "0.1 ms"', 'dt = "9 ms"', r"dt is 9"),
        ('dt = "0.1 ms"', "dt = ", r"is not TOML"),
        ("[synapses.excitatory]", "[synapses]\nexcitatory = 3\n[synapses.other]", r"expected a table"),
    ],
)
def test_bad_definitions(text: str, old: str, new: str, message: str) -> None:
    assert old in text
    with pytest.raises(DefinitionError, match=message) as caught:
        circuit_from_toml(text.replace(old, new, 1), where="bad.toml")
    assert "\n" not in str(caught.value)


def test_projections_must_be_a_list(text: str) -> None:
    start = text.index("[[projections]]")
    broken = text[:start] + "[projections]\nsource = 'E'\n" + text[text.index("[drive]") :]
    with pytest.raises(DefinitionError, match=r"write \[\[projections\]\]"):
        circuit_from_toml(broken)


def test_all_faults_are_named_at_once(text: str) -> None:
    broken = text.replace("size = 500", "size = -1").replace('noise = "5 mV"', 'noise = "-1 mV"')
    with pytest.raises(DefinitionError, match=r"size is -1.*noise is -1.*noise is -1"):
        circuit_from_toml(broken)


def test_duplicates_and_emptiness() -> None:
    circuit = load_circuit("ei_assemblies")
    with pytest.raises(DefinitionError, match="two populations are named 'E'"):
        replace(circuit, populations=(*circuit.populations, circuit.populations[0]))
    with pytest.raises(DefinitionError, match="no population"):
        replace(circuit, populations=(), projections=())


def test_a_missing_parameter_is_named() -> None:
    circuit = load_circuit("ei_assemblies")
    e, i = circuit.populations
    parameters = {k: v for k, v in e.parameters.items() if k != "tau_m_ms"}
    with pytest.raises(DefinitionError, match=r"parameter tau_m_ms is missing"):
        replace(circuit, populations=(replace(e, parameters=parameters), i))
    with pytest.raises(DefinitionError, match="unknown parameter 'wings'"):
        replace(circuit, populations=(replace(e, parameters={**e.parameters, "wings": 2.0}), i))


def test_unknown_names_give_near_ones_and_files_are_checked(tmp_path: Path) -> None:
    with pytest.raises(
        DefinitionError, match=r"no circuit is named 'ei_asemblies', did you mean 'ei_assemblies'\?"
    ):
        load_circuit("ei_asemblies")
    with pytest.raises(DataFileError, match=r"cannot read .*nothing\.toml: No such file"):
        load_circuit(tmp_path / "nothing.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataFileError, match="not UTF-8"):
        load_circuit(tmp_path / "binary.toml")
    (tmp_path / "long.toml").write_text("#" * 1_000_001)
    with pytest.raises(DefinitionError, match="expected at most 1000000 for a definition"):
        load_circuit(tmp_path / "long.toml")


@pytest.mark.parametrize("text_", ["{", "[]", '{"name": 1}', "null"])
def test_json_that_is_no_circuit(text_: str) -> None:
    with pytest.raises(DefinitionError, match="not a circuit written by to_json"):
        from_json(text_)


def test_a_circuit_is_frozen() -> None:
    circuit: Circuit = load_circuit("ei_assemblies")
    with pytest.raises(AttributeError):
        circuit.name = "other"  # type: ignore[misc]
