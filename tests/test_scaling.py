"""Circuits scaled down: the published rule, the moments it keeps, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cortexres import circuits
from cortexres.definitions import Circuit, downscaled, load_circuit, with_dc_background, with_values
from cortexres.definitions.expected_synapses import total_synapses
from cortexres.errors import DefinitionError
from cortexres.meanfield import mean_field

CELLS = ("L23E", "L23I", "L4E", "L4I", "L5E", "L5I", "L6E", "L6I")
PA_PER_MV = 25.0  # C_m / tau_m of the column's cells


@pytest.fixture(scope="module")
def column() -> Circuit:
    return load_circuit("potjans_diesmann_2014")


def added_mV(circuit: Circuit, small: Circuit) -> np.ndarray:
    return np.array([small.population(n).mean_input_mV - circuit.population(n).mean_input_mV for n in CELLS])


def test_compensation_and_weight_are_those_of_the_reference_code(column: Circuit) -> None:
    small = circuits.downscaled(column, size=0.1, in_degree=0.1)
    published = [29.0, 112.4, 113.0, 115.0, 125.4, 151.7, 43.8, 153.7]  # pA
    np.testing.assert_allclose(PA_PER_MV * added_mV(column, small), published, atol=0.05)
    assert small.projections[-1].weight_mV * 250.0 / 0.5 == pytest.approx(277.67, abs=0.005)
    assert small.population("L23E").size == 2068
    assert sum(small.population(n).size for n in CELLS) == 7717
    assert [b.count for b in small.backgrounds] == [160, 150, 210, 190, 200, 190, 290, 210]


def test_totals_shrink_with_cells_and_synapses(column: Circuit) -> None:
    small = downscaled(column, size=0.2, in_degree=0.1)
    for full, few in zip(column.projections, small.projections, strict=True):
        assert few.total == pytest.approx(0.02 * total_synapses(full, column), abs=0.5)
        assert total_synapses(few, small) == few.total


def test_constant_background_is_that_of_the_reference_code(column: Circuit) -> None:
    constant = with_dc_background(column)
    published = [562.0, 526.9, 737.6, 667.3, 702.5, 667.3, 1018.6, 737.6]  # pA
    np.testing.assert_allclose(PA_PER_MV * added_mV(column, constant), published, atol=0.06)
    assert constant.backgrounds == ()
    variant = load_circuit("potjans_diesmann_2014:dc")
    np.testing.assert_allclose(added_mV(column, variant), added_mV(column, constant), rtol=1e-6)
    # All of a constant background is kept: only recurrent input is made up for.
    lost = added_mV(constant, downscaled(constant, size=0.1, in_degree=0.1))
    full = added_mV(column, downscaled(column, size=0.1, in_degree=0.1))
    np.testing.assert_allclose(full - lost, (1 - np.sqrt(0.1)) * added_mV(column, constant))


@pytest.mark.parametrize("name", ["potjans_diesmann_2014", "brunel_2000", "brunel_2000:B"])
def test_mean_and_variance_of_the_input_stay(name: str) -> None:
    circuit = load_circuit(name)
    small = downscaled(circuit, size=0.2, in_degree=0.1)
    full, few = (mean_field(c).moments(rates(c)) for c in (circuit, small))
    cells = ~np.isnan(full.mu)
    np.testing.assert_allclose(few.mu[cells], full.mu[cells], atol=0.05)
    np.testing.assert_allclose(few.sigma[cells], full.sigma[cells], rtol=1e-3)


def rates(circuit: Circuit) -> np.ndarray:
    return np.array([p.expected_rate_Hz for p in circuit.populations])


def test_other_rules_keep_their_in_degree_relative() -> None:
    circuit = load_circuit("brunel_2000")
    loose = replace(
        circuit,
        projections=tuple(replace(q, rule="bernoulli", probability=0.1, in_degree=0) for q in circuit.projections),
    )
    small = downscaled(loose, size=0.5, in_degree=0.25)
    assert {q.probability for q in small.projections} == {0.05}
    np.testing.assert_allclose(mean_field(small).moments(rates(loose)).mu, mean_field(loose).moments(rates(loose)).mu)


def test_only_size_needs_no_rates_and_leaves_weights() -> None:
    circuit = load_circuit("ei_assemblies")
    small = downscaled(circuit, size=0.1, in_degree=1.0)
    assert [p.size for p in small.populations] == [50, 12]
    assert small.projections == circuit.projections
    assert [p.mean_input_mV for p in small.populations] == [p.mean_input_mV for p in circuit.populations]


def test_pairs_stay_pairs() -> None:
    base = load_circuit("brunel_2000")
    pairs = replace(base.projections[0], rule="one_to_one", in_degree=0)
    circuit = replace(base, projections=(pairs,))
    assert downscaled(circuit, size=0.1, in_degree=1.0).projections == (pairs,)
    with pytest.raises(DefinitionError, match="of rule 'one_to_one' cannot be scaled"):
        downscaled(circuit, size=0.1, in_degree=0.1)


def test_silenced_cells_and_driven_sources_count_with_their_rates(column: Circuit) -> None:
    lost = 1 - np.sqrt(0.1)
    loud = with_values(column, {"populations.TH.rate_Hz": 10.0, "populations.L6E.silenced": True})
    quiet = with_values(column, {"populations.L6E.expected_rate_Hz": 1e-12})
    change = added_mV(loud, downscaled(loud, size=0.1, in_degree=0.1))
    change -= added_mV(quiet, downscaled(quiet, size=0.1, in_degree=0.1))
    # In-degree 93.3 from the thalamus.
    assert change[2] == pytest.approx(lost * 0.1 * 93.3 * 0.1756170, rel=1e-3)


def test_what_cannot_be_scaled_is_refused(column: Circuit) -> None:
    scales = {"size": 0.1, "in_degree": 0.1}
    with pytest.raises(DefinitionError, match="got size = 0, expected a share above 0 and at most 1"):
        downscaled(column, size=0.0, in_degree=0.1)
    with pytest.raises(DefinitionError, match=r"got in_degree = 1\.5"):
        downscaled(column, size=0.1, in_degree=1.5)
    with pytest.raises(DefinitionError, match="population E of circuit 'ei_assemblies' has no expected rate"):
        downscaled(load_circuit("ei_assemblies"), **scales)
    with pytest.raises(DefinitionError, match="'murphy_miller_2009' cannot be scaled down: the mean input through"):
        downscaled(load_circuit("murphy_miller_2009"), **scales)
    with pytest.raises(DefinitionError, match="cannot be given a constant background: the mean input through synapses"):
        with_dc_background(load_circuit("vogels_abbott_coba"))
    dense = with_values(load_circuit("brunel_2000"), {"projections.*.rule": "all_to_all"})
    assert downscaled(dense, size=0.1, in_degree=0.1).projections[0].weight_mV == pytest.approx(0.1 / np.sqrt(0.1))
    scales["in_degree"] = 0.05
    with pytest.raises(DefinitionError, match=r"of rule 'all_to_all' cannot be scaled to 0\.1 of the cells"):
        downscaled(dense, **scales)
