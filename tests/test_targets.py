"""Protocols and targets of a definition: tolerances in three ways, and every fault in one line."""

from __future__ import annotations

import pytest

from cortexres.definitions import Target, list_models, load_verification, verification_from_toml
from cortexres.errors import DefinitionError

PROTOCOL = """
[protocols.p]
kind = "spontaneous"
slow = true
variant = "B"
duration = "2 s"
trials = 3
areas = ["V1", "V2"]
values = [1, 2.5]
label = "text"
"""


def targets(lines: str) -> str:
    return PROTOCOL + "[[targets]]\n" + lines


def test_protocols_have_settings_in_canonical_units() -> None:
    (protocol,) = verification_from_toml(PROTOCOL).protocols
    assert (protocol.name, protocol.kind, protocol.variant, protocol.slow) == ("p", "spontaneous", "B", True)
    assert protocol.settings == {
        "duration_ms": 2000.0,
        "trials": 3.0,
        "areas": ("V1", "V2"),
        "values": (1.0, 2.5),
        "label": "text",
    }


@pytest.mark.parametrize(
    ("bounds", "low", "high"),
    [
        ("tolerance = 0.5", 9.5, 10.5),
        ("relative = 0.1", 9.0, 11.0),
        ("low = 4\nhigh = 12", 4.0, 12.0),
    ],
)
def test_three_ways_to_say_what_counts(bounds: str, low: float, high: float) -> None:
    text = targets(f'protocol = "p"\nquantity = "rate.E"\nvalue = 10\n{bounds}\nunit = "Hz"\nsource = "here"\n')
    (target,) = verification_from_toml(text).targets
    assert (target.low, target.high) == pytest.approx((low, high))
    assert (target.unit, target.source, target.value) == ("Hz", "here", 10.0)


def test_a_negative_value_has_its_bounds_in_order() -> None:
    text = targets('protocol = "p"\nquantity = "rho"\nvalue = -1\nrelative = 0.1\n')
    assert verification_from_toml(text).targets[0].met_by(-1.05)


def test_bounds_are_inclusive_and_nan_meets_nothing() -> None:
    target = Target(protocol="p", quantity="q", value=1.0, low=0.0, high=1.0)
    assert target.met_by(0.0)
    assert target.met_by(1.0)
    assert not target.met_by(1.1)
    assert not target.met_by(float("nan"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (targets('protocol = "q"\nquantity = "r"\nvalue = 1\ntolerance = 1\n'), r"unknown protocol 'q' \(known: p\)"),
        (targets('protocol = "p"\nquantity = "r"\nvalue = 1\n'), "give one of 'tolerance', .* got none"),
        (targets('protocol = "p"\nquantity = "r"\nvalue = 1\ntolerance = 1\nrelative = 1\n'), "tolerance, relative"),
        (targets('protocol = "p"\nquantity = "r"\nvalue = 1\nlow = 1\n'), "'low' with 'high'"),
        (targets('protocol = "p"\nvalue = 1\ntolerance = 1\n'), r"targets\[0\].quantity is None"),
        (targets('protocol = "p"\nquantity = "r"\nvalue = "1 Hz"\ntolerance = 1\n'), "value is '1 Hz', expected"),
        (targets('protocol = "p"\nquantity = "r"\nvalue = 1\ntolerance = 1\ntypo = 1\n'), "unknown key 'typo'"),
        ("[protocols.p]\nduration = 1\n", r"protocols.p.kind is None, expected a value of type str"),
        ("[protocols]\np = 3\n", "protocols.p is 3, expected a table"),
        ("[targets]\nx = 1\n", r"write \[\[targets\]\]"),
        ('[protocols.p]\nkind = "k"\nx = [true]\n', "x is True, expected a value of type float"),
        ("[", "is not TOML"),
    ],
)
def test_bad_targets(text: str, message: str) -> None:
    with pytest.raises(DefinitionError, match=message) as caught:
        verification_from_toml(text, where="bad.toml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [m.name for m in list_models("circuits")])
def test_every_target_of_every_circuit_is_read_and_its_protocol_measures_something(name: str) -> None:
    verification = load_verification(name)
    used = {t.protocol for t in verification.targets}
    assert used == {p.name for p in verification.protocols}
    variants = {m.name: m.variants for m in list_models("circuits")}[name]
    assert all(p.variant in ("", *variants) for p in verification.protocols)
    assert all(t.low <= t.value <= t.high for t in verification.targets)
