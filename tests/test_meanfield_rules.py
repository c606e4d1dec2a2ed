"""The mean field of every kind of definition: rules, weights, backgrounds, sources, drives; and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cortexres.circuits.connectivity import draw
from cortexres.definitions import (
    Background,
    Circuit,
    Drive,
    Population,
    Profile,
    Projection,
    Synapse,
    load_circuit,
)
from cortexres.definitions.expected_synapses import expected_in_degree, mean_weight_factors, weight_moments
from cortexres.errors import ValidityError
from cortexres.meanfield import (
    baseline_inputs,
    effective_connectivity,
    fixed_point,
    mean_field,
    response_times,
    siegert_rate,
    stability,
)

LIF = {"tau_m_ms": 20.0, "v_rest_mV": 0.0, "v_threshold_mV": 20.0, "v_reset_mV": 10.0, "t_refractory_ms": 2.0}
RING = Profile(kind="von_mises", kappa=2.0)
MATRIX = ((1.0, 0.5, 0.0), (0.0, 1.0, 0.5), (0.0, 0.0, 0.0), (2.0, 0.0, 1.0))
DELAYS = ((1.0, 2.0, 3.0), (1.0, 2.0, 3.0), (1.0, 2.0, 3.0), (1.0, 1.0, 1.0))


def circuit(projection: dict[str, Any], *, sizes: tuple[int, int] = (30, 40), **changes: Any) -> Circuit:
    """Three assemblies A that project to four assemblies B, through delta or exponential synapses."""
    populations = tuple(
        Population(
            name=name, size=size, assemblies=n, neuron="lif", parameters=LIF, cell_type="pyramidal", noise_mV=5.0
        )
        for name, size, n in (("A", sizes[0], 3), ("B", sizes[1], 4))
    )
    whole = Circuit(
        name="two",
        title="Two rings",
        source="test",
        populations=populations,
        synapses=(Synapse(name="s", model="exponential_current", tau_ms=5.0), Synapse(name="d", model="delta")),
        projections=(Projection(**{"source": "A", "target": "B", "synapse": "s", "weight_mV": 0.2, **projection}),),
    )
    return replace(whole, **changes)


@pytest.mark.parametrize(
    "projection",
    [
        {"in_degree": 50},
        {"in_degree": 50, "profile": RING},
        {"in_degree": 50, "profile": RING, "matrix": MATRIX},
        {"rule": "fixed_total", "total": 20_000, "profile": RING},
        {"rule": "fixed_total", "probability": 0.4, "matrix": MATRIX},
        {"rule": "bernoulli", "probability": 0.2},
        {"rule": "bernoulli", "probability": 0.2, "profile": RING},
        {"rule": "bernoulli", "probability": 0.2, "profile": RING, "matrix": MATRIX},
        {"rule": "bernoulli", "probability": 0.2, "profile": replace(RING, normalised=False), "matrix": MATRIX},
        {"rule": "one_to_one"},
        {"rule": "one_to_one", "matrix": MATRIX},
        {"rule": "all_to_all"},
        {"rule": "all_to_all", "profile": RING},
        {"rule": "all_to_all", "profile": replace(RING, normalised=False), "matrix": MATRIX},
    ],
)
def test_expected_synapses_and_weights_are_those_that_are_drawn(projection: dict[str, Any]) -> None:
    sizes = (400, 300)  # as many cells on both sides
    c = circuit({"weight_cv": 0.8, **projection}, sizes=sizes)
    (drawn,) = draw(c, np.random.SeedSequence(3))
    pair = (drawn.target // sizes[1]) * 3 + drawn.source // sizes[0]
    number, first, second = (
        np.bincount(pair, weights=drawn.factor**power, minlength=12).reshape(4, 3) / sizes[1] for power in range(3)
    )
    expected = expected_in_degree(c.projections[0], c)
    factors, moments = mean_weight_factors(c.projections[0], c), weight_moments(0.8)
    # Several thousand synapses for each pair of assemblies.
    spread = 4.0 * np.sqrt(np.maximum(expected, 1.0) / sizes[1]) * np.maximum(np.abs(factors), 1.0)
    assert np.all(np.abs(number - expected) <= spread)
    assert np.all(np.abs(first - expected * factors * moments[0]) <= 1.5 * spread)
    squares = expected * factors**2 * moments[1]
    assert np.all(np.abs(second - squares) <= 4.0 * spread * np.maximum(np.abs(factors), 1.0))
    field = mean_field(c)
    total = sum(p.mean for p in field.pathways)[3:, :3]
    np.testing.assert_allclose(total, 0.02 * 0.2 * expected * factors * moments[0], atol=1e-12)
    variance = sum(p.variance for p in field.pathways)[3:, :3]
    np.testing.assert_allclose(variance, 0.02 * 0.04 * expected * factors**2 * moments[1], atol=1e-12)


@pytest.mark.parametrize("normalised", [True, False])
def test_profile_of_single_cells_acts_by_its_mean(normalised: bool) -> None:
    profile = replace(RING, normalised=normalised)
    base = load_circuit("brunel_2000")
    populations = tuple(replace(p, size=500) for p in base.populations)
    projection = Projection(
        source="E", target="I", synapse="delta", rule="bernoulli", probability=0.1, weight_mV=0.1, profile=profile
    )
    c = replace(base, populations=populations, projections=(projection,))
    (drawn,) = draw(c, np.random.SeedSequence(1))
    assert expected_in_degree(projection, c)[0, 0] == pytest.approx(len(drawn.source) / 500, rel=0.03)


def test_weight_moments_are_those_of_cut_normal_numbers() -> None:
    drawn = np.maximum(1.0 + 1.5 * np.random.default_rng(0).standard_normal(1_000_000), 0.0)
    assert weight_moments(1.5) == pytest.approx((drawn.mean(), (drawn**2).mean()), rel=5e-3)
    assert weight_moments(0.1) == pytest.approx((1.0, 1.01), rel=1e-9)
    assert weight_moments(0.0) == (1.0, 1.0)


def test_delays_of_pairs_part_pathways() -> None:
    field = mean_field(circuit({"in_degree": 50, "matrix": MATRIX, "delay_matrix_ms": DELAYS}))
    kinds = {(p.delay_ms, p.excitatory) for p in field.pathways}
    assert kinds == {(1.0, True), (2.0, True), (3.0, True)}
    assert all(np.all(p.mean >= 0) == p.excitatory for p in field.pathways)
    together = mean_field(circuit({"in_degree": 50, "matrix": MATRIX}))
    np.testing.assert_allclose(sum(p.mean for p in field.pathways), sum(p.mean for p in together.pathways))


def test_backgrounds_bring_mean_and_noise_of_their_synapse() -> None:
    white = Background(target="B", synapse="d", count=100, rate_Hz=8.0, weight_mV=0.2)
    coloured = Background(target="B", synapse="s", count=50, rate_Hz=10.0, weight_mV=-0.4)
    field = mean_field(circuit({}, backgrounds=(white, coloured)))
    moments = field.moments(np.zeros(7))
    np.testing.assert_allclose(moments.mu[3:], 0.02 * (800 * 0.2 - 500 * 0.4))
    np.testing.assert_allclose(moments.sigma[3:] ** 2, 25.0 + 0.02 * (800 * 0.04 + 500 * 0.16))
    np.testing.assert_allclose(moments.share[3:], 0.02 * 500 * 0.16 / moments.sigma[3:] ** 2)
    np.testing.assert_allclose(moments.shift[3:], 1.0326265761 * 0.5 * moments.share[3:])
    np.testing.assert_array_equal(moments.mu[:3], 0.0)
    plain = mean_field(circuit({}, backgrounds=(white, coloured)), noise="white").moments(np.zeros(7))
    np.testing.assert_array_equal(plain.shift, 0.0)
    np.testing.assert_array_equal(plain.sigma, moments.sigma)


def test_a_drive_onto_the_background_adds_to_the_first_one() -> None:
    first = Background(target="B", synapse="d", count=100, rate_Hz=8.0, weight_mV=0.2)
    second = replace(first, synapse="s", weight_mV=-0.4)
    c = circuit({}, backgrounds=(first, second), drive=Drive(targets=("B",), onto="background"))
    field = mean_field(c)
    rest, driven = field.moments(np.zeros(7)), field.moments(np.zeros(7), field.drive([0.0, 300.0, 0.0, 0.0]))
    np.testing.assert_allclose(driven.mu - rest.mu, 0.02 * 0.2 * 300.0 * np.eye(7)[4], atol=1e-12)


def sources(rate: float = 0.0, *, onto: str = "rate", **changes: Any) -> Circuit:
    """A where A is Poisson sources."""
    c = circuit({"in_degree": 100}, **changes)
    a = replace(c.populations[0], neuron="poisson", parameters={"rate_Hz": rate}, noise_mV=0.0, cell_type="external")
    return replace(c, populations=(a, c.populations[1]), drive=Drive(targets=("A",), onto=onto))


def test_poisson_sources_have_the_rate_that_is_given() -> None:
    field = mean_field(sources(12.0))
    assert [p.feedforward for p in field.pathways] == [True]
    point = fixed_point(field, drive=field.drive(3.0), start=100.0)
    np.testing.assert_array_equal(point.rates[:3], 15.0)
    np.testing.assert_allclose(point.moments.mu[3:], 0.02 * 100 * 0.2 * 15.0)
    np.testing.assert_array_equal(field.gains(point.moments)[0][:3], 0.0)
    np.testing.assert_array_equal(field.cv(point.moments)[:3], 1.0)
    at_rest = stability(field, point)
    assert at_rest.growth_per_ms < 0.0


def test_silenced_cells_receive_and_do_not_fire() -> None:
    c = sources(40.0)
    silent = replace(c, populations=(c.populations[0], replace(c.populations[1], silenced=True)))
    loud, quiet = fixed_point(mean_field(c)), fixed_point(mean_field(silent))
    assert loud.rates[3] > 1.0
    np.testing.assert_array_equal(quiet.rates[3:], 0.0)
    np.testing.assert_array_equal(quiet.moments.mu[3:], loud.moments.mu[3:])
    assert np.all(np.isnan(mean_field(silent).cv(quiet.moments)[3:]))


def test_baseline_inputs_make_up_for_sources_and_backgrounds() -> None:
    c = sources(10.0, backgrounds=(Background(target="B", synapse="s", count=100, rate_Hz=8.0, weight_mV=0.1),))
    inputs = baseline_inputs(c, {"B": 7.0})
    assert list(inputs) == ["B"]
    b = replace(c.populations[1], mean_input_mV=inputs["B"])
    point = fixed_point(mean_field(replace(c, populations=(c.populations[0], b))))
    np.testing.assert_allclose(point.rates[3:], 7.0, rtol=1e-8)


def test_rate_is_that_of_the_transfer_function() -> None:
    point = fixed_point(mean_field(sources(60.0)))
    parameters = {name: LIF[name] for name in ("tau_m_ms", "t_refractory_ms", "v_reset_mV")}
    m = point.moments
    threshold = 20.0 + 0.5825971579 * 5.0 * np.sqrt(0.1 / 20.0)
    expected = siegert_rate(m.mu[3:], m.sigma[3:], shift=m.shift[3:], v_threshold_mV=threshold, **parameters)
    np.testing.assert_allclose(point.rates[3:], expected, rtol=1e-9)


@pytest.mark.parametrize("delay", [0.0, 2.0, 6.0])
def test_eigenvalues_of_delta_synapses_solve_their_characteristic_equation(delay: float) -> None:
    base = load_circuit("brunel_2000:C")
    inhibition = next(q for q in base.projections if q.source == q.target == "I")
    c = replace(base, projections=(replace(inhibition, delay_ms=delay, in_degree=50),))
    field = mean_field(c)
    point = fixed_point(field)
    gain, time = effective_connectivity(field, point)[0][1, 1], response_times(field, point)[1]
    assert gain < -0.5
    eigenvalues = stability(field, point, nodes=14).eigenvalues
    mode = eigenvalues[np.argmin(np.abs((1 + eigenvalues * time) - gain * np.exp(-eigenvalues * delay)))]
    assert abs((1 + mode * time) - gain * np.exp(-mode * delay)) < 1e-6
    # The leading one is among the solutions, beside the excitatory cells' own decay.
    leading = eigenvalues[0]
    alone = abs(leading + 1 / response_times(field, point)[0])
    assert min(alone, abs((1 + leading * time) - gain * np.exp(-leading * delay))) < 1e-6


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("vogels_abbott_coba", "synapse 'excitatory' has model 'exponential_conductance'; synapse 'inhibitory'"),
        ("murphy_miller_2009", "population 'E' has neurons of model 'linear'.*expected neurons of lif or poisson"),
    ],
)
def test_circuits_without_this_theory_are_refused_in_one_line(name: str, reason: str) -> None:
    with pytest.raises(ValidityError, match=reason) as caught:
        mean_field(load_circuit(name))
    assert "\n" not in str(caught.value)
