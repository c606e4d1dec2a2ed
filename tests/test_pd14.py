"""The column of Potjans & Diesmann 2014: its published numbers, its mean field, and it as a residual network."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from cortexres.definitions import Circuit, load_circuit, load_verification
from cortexres.definitions.expected_synapses import expected_in_degree, total_synapses
from cortexres.meanfield import (
    MeanField,
    fixed_point,
    iterate,
    largest_stable_step,
    mean_field,
    stability,
    total_connectivity,
)
from cortexres.verify.mean_field_protocols import MEAN_FIELD_PROTOCOLS

NAME = "potjans_diesmann_2014"
CELLS = ("L23E", "L23I", "L4E", "L4I", "L5E", "L5I", "L6E", "L6I")

# Synapses per cell, rows are targets; the last column is the thalamus.
IN_DEGREES = [
    [2199.9, 1079.3, 979.2, 467.6, 159.2, 0, 109.8, 0, 0],
    [2990.0, 860.3, 703.7, 289.7, 380.7, 0, 60.6, 0, 0],
    [159.9, 34.5, 1117.2, 794.6, 32.6, 0.3, 667.3, 0, 93.3],
    [1481.0, 16.9, 1813.0, 953.3, 16.0, 0, 1608.1, 0, 57.6],
    [2188.4, 374.7, 1135.6, 31.3, 420.8, 496.5, 296.7, 0, 0],
    [1165.7, 159.1, 570.6, 12.1, 300.1, 404.2, 124.3, 0, 0],
    [325.2, 38.6, 467.4, 91.7, 285.7, 21.2, 581.6, 752.2, 47.4],
    [766.9, 5.8, 74.6, 2.7, 136.2, 8.6, 979.8, 459.4, 17.9],
]


@pytest.fixture(scope="module")
def circuit() -> Circuit:
    return load_circuit(NAME)


@pytest.fixture(scope="module")
def field(circuit: Circuit) -> MeanField:
    return mean_field(circuit, weight_spread=False)


def test_cells_and_synapses_are_as_many_as_published(circuit: Circuit) -> None:
    assert sum(circuit.population(n).size for n in CELLS) == 77169
    assert sum(total_synapses(q, circuit) for q in circuit.projections if q.source != "TH") == 298_880_968
    found = np.zeros((8, 9))
    for q in circuit.projections:
        found[CELLS.index(q.target), (*CELLS, "TH").index(q.source)] += expected_in_degree(q, circuit)[0, 0]
    np.testing.assert_allclose(found, IN_DEGREES, atol=0.051)


def test_weights_follow_from_the_potential(circuit: Circuit) -> None:
    tau_m, tau_s, capacity = 10.0, 0.5, 250.0
    d = 1 / (tau_s - tau_m)
    current = 0.15 * capacity / (tau_m * tau_s * d) / ((tau_m / tau_s) ** (tau_m * d) - (tau_m / tau_s) ** (tau_s * d))
    assert current == pytest.approx(87.8085, abs=5e-5)
    weights = {(q.source, q.target): q.weight_mV for q in circuit.projections}
    assert weights["L4E", "L23E"] == pytest.approx(2 * current * tau_s / capacity, abs=1e-6)
    assert weights["L5I", "L6E"] == pytest.approx(-4 * current * tau_s / capacity, abs=1e-6)
    assert weights["TH", "L4I"] == weights["L6E", "L4E"] == pytest.approx(current * tau_s / capacity, abs=1e-6)


@pytest.mark.parametrize("name", [p.name for p in load_verification(NAME).protocols if p.kind in MEAN_FIELD_PROTOCOLS])
def test_mean_field_is_the_published_one(name: str) -> None:
    verification = load_verification(NAME)
    protocol = next(p for p in verification.protocols if p.name == name)
    variant = f"{NAME}:{protocol.variant}" if protocol.variant else NAME
    measured = MEAN_FIELD_PROTOCOLS[protocol.kind](load_circuit(variant), protocol.settings)
    targets = [t for t in verification.targets if t.protocol == name]
    assert targets
    missed = {t.quantity: (t.value, measured[t.quantity]) for t in targets if not t.met_by(measured[t.quantity])}
    assert missed == {}


@pytest.mark.parametrize("variant", [NAME, f"{NAME}:dc"])
def test_largest_step_separates_blocks_that_converge_from_those_that_do_not(variant: str) -> None:
    field = mean_field(load_circuit(variant))
    point = fixed_point(field)
    limit = largest_stable_step(total_connectivity(field, point))
    for step, converges in ((0.97 * limit, True), (1.03 * limit, False)):
        last = next(islice(iterate(field, start=1.001 * point.rates, step=step), 3000, None))
        assert (np.max(np.abs(last - point.rates)) < 1e-6) == converges


def test_a_whole_time_constant_per_block_ends_in_large_cycles(field: MeanField) -> None:
    late = np.array(list(islice(iterate(field, start=0.0, step=1.0), 400, 406)))
    assert np.ptp(late[:, :8], axis=0).min() > 50.0
    np.testing.assert_allclose(late[3:], late[:3], atol=1e-6)  # a cycle of three blocks


@pytest.mark.parametrize(("step", "published"), [(0.15, 195), (0.2, 600)])
def test_blocks_needed_from_silence(field: MeanField, step: float, published: int) -> None:
    rest = fixed_point(field).rates
    away = (float(np.max(np.abs(rates - rest))) for rates in islice(iterate(field, start=0.0, step=step), 1000))
    needed = next(k for k, distance in enumerate(away, start=1) if distance < 1e-10)
    assert needed == pytest.approx(published, rel=0.1)


def test_fixed_point_does_not_depend_on_the_start(field: MeanField) -> None:
    rng = np.random.default_rng(1)
    expected = fixed_point(field)
    for start in (0.0, 20.0, rng.uniform(0.0, 60.0, field.units)):
        found = fixed_point(field, start=start)
        assert found.residual < 1e-9
        np.testing.assert_allclose(found.rates, expected.rates, rtol=1e-8)


def test_random_weights_raise_the_variance_by_their_own(circuit: Circuit, field: MeanField) -> None:
    spread = mean_field(circuit)
    rates = fixed_point(field).rates
    recurrent, background = (np.sum([p.variance @ rates for p in f.pathways], axis=0) for f in (spread, field))
    np.testing.assert_allclose(recurrent[:8], 1.01 * background[:8])
    np.testing.assert_array_equal(spread.moments(rates).mu, field.moments(rates).mu)


def test_the_column_rests_and_its_oscillations_are_fast(field: MeanField) -> None:
    at_rest = stability(field, fixed_point(field))
    ratio, frequency = at_rest.least_damped_oscillation()
    # Bos et al. 2016, doi:10.1371/journal.pcbi.1005132: the column's rhythms lie at 80 and 300 Hz.
    assert at_rest.gain_radius == pytest.approx(8.58, abs=0.01)
    assert ratio < 0.2
    assert 50.0 < frequency < 350.0
