"""Published values of several populations in one table of a definition."""

from __future__ import annotations

import pytest

from cortexres.definitions import Target, verification_from_toml
from cortexres.errors import DefinitionError

TEXT = """
[protocols.rest]
kind = "mean_field"

[[target_tables]]
protocol = "rest"
quantity = "rate"
of = ["E", "I"]
values = [5.0, 10]
relative = 0.1
unit = "Hz"
source = "a paper"
"""


def test_each_population_has_its_own_value_and_shares_the_rest() -> None:
    found = verification_from_toml(TEXT).targets
    shared = {"protocol": "rest", "unit": "Hz", "source": "a paper"}
    assert found == (
        Target(quantity="rate.E", value=5.0, low=4.5, high=5.5, **shared),
        Target(quantity="rate.I", value=10.0, low=9.0, high=11.0, **shared),
    )


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("[5.0, 10]", "[5.0]", r"target_tables\[0\].values has 1 entries, expected 2, one for each of 'of'"),
        ("[5.0, 10]", '["5 Hz", 10]', r"values is '5 Hz', expected a value of type float"),
        ('protocol = "rest"', 'protocol = "test"', "unknown protocol 'test'"),
        ('quantity = "rate"', "", "quantity is None, expected a value of type str"),
        ("relative = 0.1", "", "give one of 'tolerance', 'relative', or 'low' with 'high', got none"),
        ('unit = "Hz"', 'units = "Hz"', "unknown key 'units'"),
    ],
)
def test_faults_are_named_with_their_place(old: str, new: str, fault: str) -> None:
    with pytest.raises(DefinitionError, match=fault):
        verification_from_toml(TEXT.replace(old, new))
