"""The four panels of Brunel 2000: fixed points by the published equations, found from the definition alone."""

from __future__ import annotations

import numpy as np
import pytest

from cortexres.definitions import load_circuit, load_verification
from cortexres.meanfield import fixed_point, mean_field, stability
from cortexres.verify.mean_field_protocols import MEAN_FIELD_PROTOCOLS

NAME = "brunel_2000"


@pytest.mark.parametrize("panel", list("ABCD"))
def test_fixed_points_are_the_published_ones(panel: str) -> None:
    verification = load_verification(NAME)
    circuit = load_circuit(f"{NAME}:{panel}")
    measured = MEAN_FIELD_PROTOCOLS["mean_field"](circuit, {})
    targets = [t for t in verification.targets if t.protocol == f"mean_field_{panel}"]
    assert len(targets) >= 6
    assert [t.quantity for t in targets if not t.met_by(measured[t.quantity])] == []


@pytest.mark.parametrize(("panel", "g", "eta"), [("A", 3.0, 2.0), ("B", 6.0, 4.0), ("C", 5.0, 2.0), ("D", 4.5, 0.9)])
def test_moments_are_the_equations_of_the_paper(panel: str, g: float, eta: float) -> None:
    field, rate = mean_field(load_circuit(f"{NAME}:{panel}")), 12.0
    moments = field.moments([rate, rate])
    scale = 1000 * 0.1 * 20e-3
    np.testing.assert_allclose(moments.mu, scale * (10 * eta + rate * (1 - g / 4)))
    np.testing.assert_allclose(moments.sigma**2, 0.1 * scale * (10 * eta + rate * (1 + g**2 / 4)))
    np.testing.assert_array_equal(moments.shift, 0.0)  # delta synapses: white noise
    np.testing.assert_array_equal(moments.share, 0.0)


def test_the_circuit_as_it_stands_is_panel_c() -> None:
    plain, panel = (fixed_point(mean_field(load_circuit(n))) for n in (NAME, f"{NAME}:C"))
    np.testing.assert_array_equal(plain.rates, panel.rates)


def test_the_fast_oscillation_of_panel_b_is_foretold() -> None:
    """In simulations panel B oscillates at 176-182 Hz; C rings less, and D not at this frequency."""
    found = {}
    for panel in "BCD":
        field = mean_field(load_circuit(f"{NAME}:{panel}"))
        found[panel] = stability(field, fixed_point(field)).least_damped_oscillation()
    assert found["B"][0] < 0.1
    assert 150.0 < found["B"][1] < 220.0
    assert found["B"][0] < found["C"][0] < found["D"][0]
