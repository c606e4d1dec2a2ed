"""Every number of a circuit has a path; variants are paths and values; what a path does not name is refused."""

from __future__ import annotations

import pytest

from cortexres.definitions import circuit_from_toml, list_models, load_circuit, parameter_paths, with_values
from cortexres.errors import DefinitionError

CIRCUITS = [model.name for model in list_models("circuits")]
VARIANTS = [f"{model.name}:{variant}" for model in list_models("circuits") for variant in model.variants]


def text_of(name: str) -> str:
    return next(m.path for m in list_models("circuits") if m.name == name).read_text()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("populations.E.tau_m_ms", 15.0),
        ("populations.E.size", 100),
        ("populations.E.start.kind", "normal"),
        ("synapses.excitatory.tau_ms", 3.0),
        ("projections.E->E.profile.kappa", 1.5),
        ("projections.I->E.weight_mV", -0.7),
        ("projections.I->E:inhibitory.delay_ms", 2.0),
        ("drive.front_end.gain_mV", 2.0),
        ("drive.onto", "mean_input"),
        ("dt_ms", 0.05),
        ("method", "euler"),
    ],
)
def test_a_path_changes_one_number(path: str, value: float | str) -> None:
    circuit = load_circuit("ei_assemblies")
    changed = with_values(circuit, {path: value})
    before, after = ({p: read(c, p) for p in parameter_paths(c)} for c in (circuit, changed))
    differing = [p for p in before if before[p] != after[p]]
    assert len(differing) <= 1
    full = [p for p in after if p.split(".")[-1] == path.split(".")[-1] and after[p] == value]
    assert full


def read(circuit: object, path: str) -> object:
    """The value that a path of `parameter_paths` names, found independently."""
    head, _, rest = path.partition(".")
    if not rest:
        return getattr(circuit, head)
    if head == "drive":
        found = circuit.drive  # type: ignore[attr-defined]
        for name in rest.split("."):
            found = getattr(found, name)
        return found
    name, _, field = rest.rpartition(".")
    name, _, table = name.rpartition(".") if name.endswith((".start", ".profile")) else (name, "", "")
    for part in getattr(circuit, head):
        names = {
            "populations": lambda p: p.name,
            "synapses": lambda p: p.name,
            "projections": lambda p: f"{p.source}->{p.target}:{p.synapse}",
            "backgrounds": lambda p: f"{p.target}:{p.synapse}",
        }[head](part)
        if names == name:
            part = getattr(part, table) if table else part
            values = getattr(part, "parameters", {})
            return values.get(field, getattr(part, field, None))
    raise AssertionError(path)


def test_a_star_stands_for_any_name() -> None:
    changed = with_values(load_circuit("ei_assemblies"), {"projections.I->*.weight_mV": -1.0})
    assert [p.weight_mV for p in changed.projections] == [0.1, 0.1, -1.0, -1.0]


def test_values_are_checked_like_a_definition() -> None:
    with pytest.raises(DefinitionError, match="tau_m_ms is -1"):
        with_values(load_circuit("ei_assemblies"), {"populations.E.tau_m_ms": -1.0})


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("populations.X.size", r"no parameter 'populations.X.size' \(known: E, I\)"),
        ("populations.E.tau_mm_ms", "no parameter 'populations.E.tau_mm_ms', did you mean 'tau_m_ms'"),
        ("projections.E->X.weight_mV", "no parameter 'projections.E->X.weight_mV'"),
        ("populations.E.start.colour", "no parameter 'populations.E.start.colour'"),
        ("drive.front_end.gian_mV", "no parameter 'drive.front_end.gian_mV', did you mean 'gain_mV'"),
        ("drive.back_end.gain_mV", "no parameter 'drive.back_end.gain_mV'"),
        ("dt_mss", "no parameter 'dt_mss', did you mean 'dt_ms'"),
        ("dt", "no parameter 'dt', did you mean 'dt_ms'"),
        ("front.gian_mV", "no parameter 'front.gian_mV', did you mean 'drive.front_end.gain_mV'"),
        ("wieght_cv", r"no parameter 'wieght_cv', did you mean 'projections\.E->E:excitatory\.weight_cv'"),
        ("tau_ms", r"no parameter 'tau_ms', did you mean 'synapses\.excitatory\.tau_ms' or 'synapses\."),
        ("populations", r"no parameter 'populations': name populations\.NAME\.FIELD"),
        ("synapses.excitatory", r"no parameter 'synapses.excitatory': name synapses\.NAME\.FIELD"),
        ("", r"no parameter '' \(known: ([^,]+, ){11}[^,]+ and \d+ more\)$"),
    ],
)
def test_unknown_paths(path: str, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        with_values(load_circuit("ei_assemblies"), {path: 1.0})


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("populations.E.size", 1.5, "a whole number"),
        ("populations.E.size", True, "a whole number"),
        ("populations.E.tau_m_ms", "20", "a number"),
        ("populations.E.neuron", 4, "text"),
        ("populations.E.silenced", 1, "true or false"),
        ("populations.E.start.mean_mV", "low", "a number"),
        ("drive.front_end.channels", 2.5, "a whole number"),
        ("dt_ms", "short", "a number"),
    ],
)
def test_values_of_another_kind_are_refused(path: str, value: float | str, expected: str) -> None:
    with pytest.raises(DefinitionError, match=f"^{path} is {value!r}, expected {expected}$"):
        with_values(load_circuit("ei_assemblies"), {path: value})


@pytest.mark.parametrize("name", CIRCUITS)
def test_every_number_of_every_circuit_has_a_path(name: str) -> None:
    circuit = load_circuit(name)
    paths = parameter_paths(circuit)
    assert len(paths) == len(set(paths))
    same = with_values(circuit, {p: value for p in paths if isinstance(value := read(circuit, p), float | int)})
    assert same == circuit


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_loads_and_changes_numbers_only(name: str) -> None:
    varied, base = load_circuit(name), load_circuit(name.split(":", maxsplit=1)[0])
    assert parameter_paths(varied) == parameter_paths(base)


def test_unknown_variants_give_the_known_ones() -> None:
    with pytest.raises(DefinitionError, match=r"has no variant 'feedbak', did you mean 'feedback'"):
        load_circuit("area_hierarchy:feedbak")
    with pytest.raises(DefinitionError, match=r"has no variant 'x' \(known: none\)"):
        load_circuit("ei_assemblies:x")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("x = 3", "variants.x is no table"),
        ('x = {"dt" = [1]}', r"variants.x.dt is \[1\], expected a number or text"),
        ('x = {"populations.E.noise" = "3 pA"}', "no parameter 'populations.E.noise_pA'"),
    ],
)
def test_bad_variants(table: str, message: str) -> None:
    text = text_of("ei_assemblies") + f"\n[variants]\n{table}\n"
    with pytest.raises(DefinitionError, match=message):
        circuit_from_toml(text, variant="x")


def test_a_variant_sets_quantities_numbers_and_texts() -> None:
    table = '"populations.E.noise" = "3 mV"\n"populations.E.size" = 50\n"populations.I.cell_type" = "PV"'
    made = circuit_from_toml(text_of("ei_assemblies") + f"\n[variants.x]\n{table}\n", variant="x")
    assert (made.population("E").noise_mV, made.population("E").size) == (3.0, 50)
    assert made.population("I").cell_type == "PV"
