"""The protocols by which definitions ask for mean-field values: what they return, and settings that mean nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cortexres.definitions import Circuit, load_circuit
from cortexres.errors import DefinitionError
from cortexres.meanfield import fixed_point, mean_field
from cortexres.verify.mean_field_protocols import MEAN_FIELD_PROTOCOLS


@pytest.fixture(scope="module")
def circuit() -> Circuit:
    return load_circuit("ei_assemblies")


def test_populations_of_several_assemblies_are_their_mean(circuit: Circuit) -> None:
    found = MEAN_FIELD_PROTOCOLS["mean_field"](circuit, {})
    field = mean_field(circuit)
    point = fixed_point(field)
    assert found["rate.E"] == pytest.approx(float(np.mean(point.rates[:8])))
    assert found["mu.I"] == pytest.approx(float(np.mean(point.moments.mu[8:])))
    assert found["singular_value.1"] >= found["singular_value.16"] > 0
    assert found["eigenvalue.1.real"] <= found["eigenvalue.2.real"]


def test_silencing_and_blocks(circuit: Circuit) -> None:
    found = MEAN_FIELD_PROTOCOLS["mean_field_silencing"](circuit, {"drive_mV": 1.0})
    assert 0.0 < found["excitatory_share.E"] < 1.0
    assert found["amplification.E"] == pytest.approx(1.0 / found["excitatory_share.E"], rel=1e-6)
    assert math.isnan(found["net_ratio.I"])
    blocks = MEAN_FIELD_PROTOCOLS["residual_iteration"]
    assert blocks(circuit, {"step": 0.1, "blocks": 1000.0})["converged"] == 1.0
    short = blocks(circuit, {"step": 0.1, "blocks": 10.0})
    assert short["converged"] == 0.0
    assert math.isnan(short["blocks"])
    assert short["largest_rate"] < 50.0


@pytest.mark.parametrize(
    ("kind", "settings", "fault"),
    [
        ("mean_field", {"noise": "pink"}, "setting noise is 'pink', expected one of coloured, white"),
        ("mean_field", {"weights": "all"}, "setting weights is 'all', expected one of spread, equal"),
        ("mean_field", {"step": 0.1}, "setting 'step' has no meaning"),
        ("mean_field_silencing", {}, "drive_Hz is missing"),
        ("residual_iteration", {}, "step is missing"),
    ],
)
def test_settings_that_mean_nothing_are_refused(
    circuit: Circuit, kind: str, settings: dict[str, float | str], fault: str
) -> None:
    with pytest.raises(DefinitionError, match=fault):
        MEAN_FIELD_PROTOCOLS[kind](circuit, settings)
