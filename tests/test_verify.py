"""Every circuit reproduces its published values; and what `verify` says where one does not."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from cortexres import verify as verification
from cortexres.circuits import downscaled
from cortexres.cli import main
from cortexres.definitions import (
    Circuit,
    Protocol,
    Target,
    list_models,
    load_circuit,
    load_verification,
    verification_from_toml,
)
from cortexres.errors import DataFileError, DefinitionError
from cortexres.verify import spiking_protocols
from cortexres.verify.settings import DATA_VARIABLE, allow, number, seed, text, whole

NEEDS_DATA = ("area_peaks", "area_peaks_spiking")


def cases() -> list[object]:
    """Return a parameter set for every protocol of every circuit; a circuit is tested by being listed."""
    found = []
    for model in list_models("circuits"):
        definition = load_verification(model.path)
        for protocol in definition.protocols:
            targets = [t for t in definition.targets if t.protocol == protocol.name]
            marks = [pytest.mark.slow, pytest.mark.timeout(3000)] if protocol.slow else []
            found.append(pytest.param(model.name, protocol, targets, id=f"{model.name}-{protocol.name}", marks=marks))
    return found


@pytest.mark.parametrize(("name", "protocol", "targets"), cases())
def test_circuit_reproduces_its_targets(name: str, protocol: Protocol, targets: list[Target]) -> None:
    if protocol.kind in NEEDS_DATA and DATA_VARIABLE not in os.environ:
        pytest.skip(f"needs data that users supply: name their folder in {DATA_VARIABLE}")
    assert targets, "a protocol without targets verifies nothing"
    results = list(verification.measure(name, protocol, targets))
    assert all(result.met for result in results), "\n" + verification.text_table(results)


# What verify says of a circuit of one protocol


HEAD = """
name = "two"
title = "Two rates"
source = "none"
dt = "0.1 ms"
method = "rk4"
synapses.rate = { model = "rate" }
[populations.E]
cell_type = "pyramidal"
size = 1
neuron = "linear"
parameters = { tau = "20 ms" }
[[projections]]
source = "E"
target = "E"
synapse = "rate"
rule = "all_to_all"
strength = 0.5
[drive]
targets = ["E"]
[variants.strong]
"projections.E->E.strength" = 0.8
"""

TARGETS = """
[protocols.step]
kind = "steady_states"
drives = [1.0]
[protocols.strong]
kind = "steady_states"
variant = "strong"
slow = true
drives = [1.0]
[[targets]]
protocol = "step"
quantity = "rate.E@1"
value = 2.0
tolerance = 1e-6
unit = "Hz"
[[targets]]
protocol = "strong"
quantity = "rate.E@1"
value = 5.0
relative = 1e-6
unit = "Hz"
source = "the geometric series"
"""

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def definition(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the definition with some text replaced."""

    def write(old: str = "", new: str = "") -> Path:
        whole_text = HEAD + TARGETS
        assert old in whole_text
        path = tmp_path / "two.toml"
        path.write_text(whole_text.replace(old, new, 1) if old else whole_text)
        return path

    return write


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs `cortexres verify`: exit code, stdout, stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        code = main(["verify", *map(str, words)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_results_hold_measured_and_published(definition: Callable[..., Path]) -> None:
    results = verification.verify(definition())
    assert [(r.protocol, r.quantity, r.published, r.met) for r in results] == [
        ("step", "rate.E@1", 2.0, True),
        ("strong", "rate.E@1", 5.0, True),
    ]
    assert [r.measured for r in results] == [pytest.approx(2.0), pytest.approx(5.0)]
    assert results[1].source == "the geometric series"
    assert [r.protocol for r in verification.verify(definition(), slow=False)] == ["step"]
    assert [r.protocol for r in verification.verify(f"{definition()}:strong")] == ["strong"]


def test_the_command_prints_a_line_per_target(definition: Callable[..., Path], command: Command) -> None:
    code, out, error = command(definition())
    assert (code, error) == (0, "")
    header, first, second, last = out.splitlines()
    assert header.split() == ["protocol", "quantity", "published", "accepted", "measured", "unit", "seconds"]
    assert first.split()[:-1] == ["step", "rate.E@1", "2", "2", "..", "2", "2", "Hz", "ok"]
    assert second.split()[0] == "strong"
    assert last == "2 of 2 targets reproduced"
    quick = command(definition(), "--quick")[1].splitlines()
    assert quick[-1] == "1 of 1 targets reproduced; 1 slow protocols were not run"


def test_a_missed_target_is_said_and_ends_with_1(definition: Callable[..., Path], command: Command) -> None:
    path = definition("value = 2.0\ntolerance = 1e-6", "value = 2.1\ntolerance = 0.05")
    code, out, _ = command(path)
    assert code == 1
    assert next(line.split() for line in out.splitlines() if "MISSED" in line)[:8] == [
        *("step", "rate.E@1", "2.1", "2.05", "..", "2.15", "2", "Hz")
    ]
    assert out.splitlines()[-1] == "1 of 2 targets reproduced"
    table = verification.text_table(verification.verify(path))
    assert ["MISSED" in line for line in table.splitlines()] == [False, True, False]
    # The library's table is the command's, but for the seconds, which are never the same.
    printed = [re.sub(r" +[\d.]+$", "", line) for line in out.splitlines()[:3]]
    assert [re.sub(r" +[\d.]+$", "", line) for line in table.splitlines()] == printed


def test_what_is_undefined_is_missed() -> None:
    target = Target(protocol="p", quantity="q", value=1.0, low=0.0, high=2.0)
    assert not target.met_by(float("nan"))
    assert not target.met_by(float("inf"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('kind = "steady_states"', 'kind = "steady_state"', "of kind 'steady_state', did you mean 'steady_states'?"),
        ('quantity = "rate.E@1"', 'quantity = "rate.X@1"', "protocol step does not measure 'rate.X@1', did you mean"),
        ("drives = [1.0]", "drive = [1.0]", "protocol setting 'drive' has no meaning, did you mean 'drives'?"),
        ("drives = [1.0]", 'drives = "all"', "protocol setting drives is 'all', expected a list of numbers"),
        ('variant = "strong"', 'variant = "strange"', "no variant 'strange'"),
        ('protocol = "step"', 'protocol = "stop"', "unknown protocol 'stop'"),
        ("tolerance = 1e-6", "", "give one of 'tolerance', 'relative', or 'low' with 'high', got none"),
        ("[protocols.step]", "[protocols.step", "is not TOML"),
    ],
)
def test_tampered_definitions_are_one_line(
    definition: Callable[..., Path], command: Command, old: str, new: str, message: str
) -> None:
    code, _, error = command(definition(old, new))
    assert code == 2
    assert len(error.splitlines()) == 1
    assert message in error


def test_missing_data_is_one_line(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    code, _, error = command("joglekar_2018_rate:weak")
    assert code == 2
    assert len(error.splitlines()) == 1
    assert "--data" in error
    code, _, error = command("joglekar_2018_rate:weak", "--data", tmp_path)
    assert code == 2
    assert "*fln*.csv" in error


def test_a_variant_that_does_not_exist_is_not_verified(command: Command) -> None:
    code, said, error = command("brunel_2000:Z")
    assert (code, said) == (2, "")
    assert "no variant 'Z'" in error


def test_a_circuit_without_targets_is_no_failure(command: Command, tmp_path: Path) -> None:
    (tmp_path / "bare.toml").write_text(HEAD)
    assert command(tmp_path / "bare.toml")[:2] == (0, "0 of 0 targets reproduced\n")
    assert verification.text_table([]).split()[:2] == ["protocol", "quantity"]
    assert verification.target_lines([]) == []


# Settings


def test_settings_are_typed() -> None:
    settings = {"duration_ms": 100.0, "trials": 2.0, "driven": "VIP", "seed": 3.0}
    assert number(settings, "duration_ms") == 100.0
    assert number(settings, "settle_ms", 5.0) == 5.0
    assert (whole(settings, "trials"), text(settings, "driven"), seed(settings)) == (2, "VIP", 3)
    allow(settings, ("duration_ms", "trials", "driven"))
    with pytest.raises(DefinitionError, match="protocol setting settle_ms is missing, expected a number"):
        number(settings, "settle_ms")
    with pytest.raises(DefinitionError, match="protocol setting driven is 'VIP', expected a number"):
        number(settings, "driven")
    with pytest.raises(DefinitionError, match=r"protocol setting duration_ms is 0.5, expected a whole number above 0"):
        whole({"duration_ms": 0.5}, "duration_ms")
    with pytest.raises(DefinitionError, match=r"protocol setting trials is 2.0, expected text"):
        text(settings, "trials")


# Spiking protocols, on spikes that are known


Times = dict[tuple[int, int, int], list[float]]


def known_spikes(circuit: Circuit, trains: Times, settings: dict[str, float]) -> xr.Dataset:
    """Return the spikes of (stimulus, trial, cell) at given times."""
    from cortexres.definitions import to_json

    rows = [(s, t, c, time) for (s, t, c), times in trains.items() for time in times]
    columns = dict(zip(("stimulus", "trial", "cell", "time"), map(np.array, zip(*rows, strict=True)), strict=True))
    sizes = [p.size for p in circuit.populations for _ in range(p.assemblies)]
    columns["unit"] = np.repeat(np.arange(len(sizes)), sizes)[columns["cell"]]
    dataset = xr.Dataset({name: ("spike", values) for name, values in columns.items()})
    dataset["time"].attrs["units"] = "ms"
    record = f'{{"circuit": {to_json(circuit)}, "settle_ms": {settings["settle"]}, "duration_ms": {settings["end"]}}}'
    return dataset.assign_attrs(cortexres_provenance=record)


@pytest.fixture
def cells() -> Circuit:
    """Return the decision circuit with two cells in each pool, one other pyramidal cell and two inhibitory ones."""
    circuit = load_circuit("wang_2002")
    sizes = {"E_sel": 2, "E_non": 1, "I": 2}
    return replace(circuit, populations=tuple(replace(p, size=sizes[p.name]) for p in circuit.populations))


def given(monkeypatch: pytest.MonkeyPatch, spikes: xr.Dataset) -> dict[str, object]:
    """Let the simulation return `spikes`; return what it is called with."""
    from cortexres import circuits

    seen: dict[str, object] = {}

    def fake(circuit: Circuit, drives: xr.Dataset | None, **options: object) -> xr.Dataset:
        seen.update(options, circuit=circuit, drives=drives)
        return spikes

    monkeypatch.setattr(circuits, "spikes", fake)
    return seen


def test_decision_counts_trials_with_one_winner(cells: Circuit, monkeypatch: pytest.MonkeyPatch) -> None:
    window = np.linspace(1250.0, 1499.0, 8).tolist()  # 8 spikes in 250 ms are 32 Hz
    trains = {
        (0, 0, 0): window,  # trial 0: the first pool, of which one cell fires: 16 Hz, no winner
        (1, 0, 0): window,
        (1, 0, 1): window,  # trial 1: the first pool wins at 32 Hz
        (2, 0, 2): window,
        (2, 0, 3): window,  # trial 2: the second pool wins
        (3, 0, 0): window,
        (3, 0, 1): window,
        (3, 0, 2): window,
        (3, 0, 3): window,  # trial 3: both, no decision
        (0, 0, 4): [-100.0],  # before the evidence: E 1 spike of 5 cells, I 3 of 2 cells, in 0.3 s and 4 trials
        (0, 0, 5): [-290.0, -200.0, -10.0, -400.0],
    }
    seen = given(monkeypatch, known_spikes(cells, trains, {"settle": 500.0, "end": 1500.0}))
    settings = {"trials": 4.0, "settle_ms": 500.0, "stimulus_ms": 1000.0, "delay_ms": 500.0, "evidence_Hz": 40.0}
    found = spiking_protocols.decision(cells, {**settings, "evidence_sd_Hz": 4.0, "coherence": 0.2, "seed": 1.0})
    assert found == {
        "spontaneous.E": pytest.approx(1 / (5 * 4 * 0.3)),
        "spontaneous.I": pytest.approx(3 / (2 * 4 * 0.3)),
        "trials_with_a_winner": 5.0,
        "winner_rate": pytest.approx((16 + 32 + 32 + 32) / 4),
        "correct": 0.5,
    }
    drives = seen["drives"]
    assert isinstance(drives, xr.Dataset)
    assert dict(drives["drive"].sizes) == {"stimulus": 4, "frame": 21, "channel": 2}
    assert (drives["drive"].values[:, -1] == 0).all()
    mean = drives["drive"].values[:, :-1].mean(axis=(0, 1))
    np.testing.assert_allclose(mean, [48.0, 32.0], atol=4 * 4 / np.sqrt(80))
    assert not np.array_equal(drives["drive"].values[0], drives["drive"].values[1])
    assert (seen["trials"], seen["rng"], seen["duration_ms"]) == (1, 1, 1500.0)


def test_self_sustained_counts_trials_that_go_on(cells: Circuit, monkeypatch: pytest.MonkeyPatch) -> None:
    trains = {(0, 0, 0): [10.0, 480.0, 950.0], (0, 1, 0): [10.0, 20.0, 30.0], (0, 2, 6): [899.0]}
    given(monkeypatch, known_spikes(cells, trains, {"settle": 0.0, "end": 1000.0}))
    settings = {"trials": 4.0, "duration_ms": 1000.0}
    found = spiking_protocols.self_sustained(cells, settings)
    assert found["ignited"] == 0.75  # one of four trials is silent throughout
    assert found["sustained"] == pytest.approx(1 / 3)
    assert (found["rate.all"], found["rate.I"]) == (pytest.approx(3 / 7), 0.0)
    assert found["cv.all"] == 0.0
    given(monkeypatch, known_spikes(cells, {(0, 2, 6): [899.0]}, {"settle": 0.0, "end": 1000.0}))
    found = spiking_protocols.self_sustained(cells, settings)
    assert (found["ignited"], found["sustained"]) == (0.25, 0.0)
    assert np.isnan(found["rate.all"])
    given(monkeypatch, known_spikes(cells, {(0, 0, 0): [-5.0]}, {"settle": 10.0, "end": 1000.0}))
    assert np.isnan(spiking_protocols.self_sustained(cells, settings)["sustained"])


def test_disinhibition_compares_the_same_runs(cells: Circuit, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = given(monkeypatch, known_spikes(cells, {(0, 0, 0): [1.0], (0, 0, 4): [2.0]}, {"settle": 0.0, "end": 100.0}))
    settings = {"driven": "I", "inhibited": "E_non", "disinhibited": "E_sel", "drive_mV": 3.0, "duration_ms": 100.0}
    found = spiking_protocols.disinhibition(cells, settings)
    assert (found["ratio.E_sel"], found["ratio.E_non"]) == (1.0, 1.0)
    assert np.isnan(found["ratio.I"])
    circuit = seen["circuit"]
    assert isinstance(circuit, Circuit)
    assert circuit.population("I").mean_input_mV == cells.population("I").mean_input_mV + 3.0
    with pytest.raises(DefinitionError, match="protocol setting driven is 'X', expected one of E_sel"):
        spiking_protocols.disinhibition(cells, {**settings, "driven": "X"})


def test_bursting_and_spontaneous_measure_every_population(cells: Circuit, monkeypatch: pytest.MonkeyPatch) -> None:
    trains = {(0, 0, 0): [100.0, 108.0, 400.0, 700.0], (0, 0, 6): [5.0, 105.0, 205.0]}
    given(monkeypatch, known_spikes(cells, trains, {"settle": 200.0, "end": 1000.0}))
    found = spiking_protocols.bursting(cells, {"burst_interval_ms": 16.0})
    assert found["event_rate.E_sel"] == pytest.approx(3 / 4)
    assert found["burst_fraction.E_sel"] == pytest.approx(1 / 3)
    found = spiking_protocols.spontaneous(cells, {"min_spikes": 3.0})
    assert found["rate.all"] == pytest.approx(1.0)
    assert found["cv.I"] == pytest.approx(0.0)
    assert found["silent.E_non"] == 1.0
    kinds = {name.split(".")[0] for name in found}
    assert kinds == {"rate", "cv", "silent", "synchrony", "correlation", "peak_Hz"}


def test_downscaling_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = load_circuit("potjans_diesmann_2014")
    small = downscaled(circuit, size=0.1, in_degree=0.1)
    seen = given(monkeypatch, known_spikes(small, {(0, 0, 0): [1.0]}, {"settle": 0.0, "end": 1000.0}))
    spiking_protocols.bursting(circuit, {"size": 0.1, "in_degree": 0.1})
    assert seen["circuit"] == small


def test_protocols_that_do_not_fit_the_circuit_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = load_circuit("ei_assemblies")
    given(monkeypatch, known_spikes(circuit, {(0, 0, 0): [1.0]}, {"settle": 500.0, "end": 1000.0}))
    evidence = {"stimulus_ms": 1000.0, "evidence_Hz": 40.0, "coherence": 0.0, "trials": 1.0}
    with pytest.raises(DefinitionError, match="drives no population of two assemblies"):
        spiking_protocols.decision(circuit, evidence)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    with pytest.raises(DataFileError, match=r"needs anatomical data that is not part of the package"):
        spiking_protocols.area_peaks_spiking(circuit, {})


def test_every_kind_that_a_definition_names_exists() -> None:
    kinds = {p.kind for m in list_models("circuits") for p in verification_from_toml(m.path.read_text()).protocols}
    assert kinds <= set(verification.PROTOCOLS)
