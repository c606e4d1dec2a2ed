"""The published values of the rate circuits, measured by their own protocols; and what protocols refuse."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cortexres.definitions import Protocol, load_circuit, load_verification
from cortexres.definitions.targets import Setting
from cortexres.errors import DataFileError, DefinitionError
from cortexres.verify.rate_protocols import (
    RATE_PROTOCOLS,
    area_peaks,
    decision_times,
    impulse,
    ring_summation,
    steady_states,
)
from cortexres.verify.settings import DATA_VARIABLE

RATE_CIRCUITS = ("murphy_miller_2009", "hennequin_2018", "rubin_2015", "joglekar_2018_rate", "wong_wang_2006")
PROTOCOLS = [(name, p.name) for name in RATE_CIRCUITS for p in load_verification(name).protocols]


def anatomy() -> Path | None:
    """Return the folder of the data of 29 areas, which the package does not ship, where there is one."""
    named = os.environ.get(DATA_VARIABLE)
    return Path(named) if named and list(Path(named).glob("*fln*.csv")) else None


def measured(name: str, protocol: Protocol) -> dict[str, float]:
    settings = dict(protocol.settings)
    if protocol.kind == "area_peaks":
        folder = anatomy()
        if folder is None:
            pytest.skip(f"no anatomical data; name their folder in {DATA_VARIABLE}")
        settings["data_folder"] = str(folder)
    circuit = load_circuit(f"{name}:{protocol.variant}" if protocol.variant else name)
    return RATE_PROTOCOLS[protocol.kind](circuit, settings)


def protocol(name: str, of: str) -> Protocol:
    return next(p for p in load_verification(name).protocols if p.name == of)


@pytest.mark.parametrize(("name", "of"), PROTOCOLS)
def test_published_values_are_reproduced(name: str, of: str) -> None:
    found = measured(name, protocol(name, of))
    targets = [t for t in load_verification(name).targets if t.protocol == of]
    assert targets
    missed = [t for t in targets if not t.met_by(found[t.quantity])]
    assert not missed, [f"{t.quantity}: {found[t.quantity]:g}, expected {t.value:g}" for t in missed]


def test_strong_amplification_transmits_164_times_more() -> None:
    name = "joglekar_2018_rate"
    weak, strong = (measured(name, protocol(name, f"areas_{k}")) for k in ("weak", "strong"))
    assert strong["transmission"] / weak["transmission"] == pytest.approx(164.0, abs=1.0)


def test_amplification_turns_into_suppression_between_5_and_7_mV() -> None:
    found = steady_states(load_circuit("hennequin_2018"), {"drives": (5.0, 7.5)})
    assert found["net_ratio.E@5"] > 0 > found["net_ratio.E@7.5"]


def test_two_stimuli_add_up_more_than_linearly_while_weak_and_less_while_strong() -> None:
    settings: dict[str, Setting] = {"contrasts": (5.0, 10.0), "width_deg": 30.0, "separation_deg": 90.0}
    found = ring_summation(load_circuit("rubin_2015"), settings)
    assert found["weight@5"] > 1 > found["weight@10"]


def test_more_evidence_is_decided_sooner_and_none_never() -> None:
    settings = {"rate_Hz": 30.0, "threshold_Hz": 15.0, "duration_ms": 1500.0}
    found = decision_times(load_circuit("wong_wang_2006"), {"coherences": (0.0, 5.0, 10.0, 40.0), **settings})
    assert np.isnan(found["time_ms@0"])
    assert found["time_ms@5"] > found["time_ms@10"] > found["time_ms@40"] > 0
    at_once = decision_times(load_circuit("wong_wang_2006"), {"coherences": (5.0,), **settings, "threshold_Hz": 0.0})
    assert at_once["time_ms@5"] == 0.0


def test_what_a_protocol_refuses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    murphy, decision = load_circuit("murphy_miller_2009"), load_circuit("wong_wang_2006")
    with pytest.raises(DefinitionError, match="setting drives is missing, expected a list of numbers"):
        steady_states(murphy, {})
    with pytest.raises(DefinitionError, match=r"setting drives is \('a',\), expected a list of numbers"):
        steady_states(murphy, {"drives": ("a",)})
    with pytest.raises(DefinitionError, match="setting start has 3 numbers, expected 2, one per population"):
        impulse(murphy, {"start": (1.0, 0.0, 0.0), "duration_ms": 10.0})
    with pytest.raises(DefinitionError, match="circuit murphy_miller_2009 has 1 channels, expected 2, one per choice"):
        decision_times(murphy, {"coherences": (1.0,)})
    with pytest.raises(DefinitionError, match="has no drive, expected one channel per assembly of a ring"):
        ring_summation(replace(murphy, drive=None), {"contrasts": (1.0,)})
    with pytest.raises(DefinitionError, match="'drive' has no meaning, did you mean 'drives'"):
        steady_states(decision, {"drive": (1.0,)})
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    joglekar, pulse = load_circuit("joglekar_2018_rate"), protocol("joglekar_2018_rate", "areas_weak").settings
    with pytest.raises(DataFileError, match="joglekar_2018_rate needs anatomical data"):
        area_peaks(joglekar, pulse)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    with pytest.raises(DataFileError, match="has 0 files named"):
        area_peaks(joglekar, pulse)
