"""Input, fixed point, inversion and stability of whole circuits, against hand-made and closed-form cases."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import lambertw

from cortexres.definitions import (
    Circuit,
    Drive,
    FrontEnd,
    Population,
    Profile,
    Projection,
    Synapse,
    load_circuit,
)
from cortexres.errors import ArgumentError
from cortexres.meanfield import baseline_inputs, fixed_point, mean_field, stability
from cortexres.meanfield.stability import effective_connectivity, response_times

LIF = {"tau_m_ms": 20.0, "v_rest_mV": 0.0, "v_threshold_mV": 20.0, "v_reset_mV": 10.0, "t_refractory_ms": 2.0}


def one_population(
    *,
    weight: float = -0.5,
    in_degree: int = 200,
    delay: float = 2.0,
    tau: float = 5.0,
    mean_input: float = 20.0,
    assemblies: int = 1,
    noise: float = 5.0,
) -> Circuit:
    """A ring of one kind of cell, connected to itself."""
    return Circuit(
        name="one",
        title="One population",
        source="test",
        populations=(
            Population(
                name="A",
                size=100,
                assemblies=assemblies,
                neuron="lif",
                parameters=LIF,
                cell_type="inhibitory",
                mean_input_mV=mean_input,
                noise_mV=noise,
            ),
        ),
        synapses=(Synapse(name="s", model="exponential_current", tau_ms=tau),),
        projections=(
            Projection(
                source="A",
                target="A",
                synapse="s",
                in_degree=in_degree,
                weight_mV=weight,
                delay_ms=delay,
                profile=Profile(kind="von_mises", kappa=1.0),
            ),
        ),
        drive=Drive(targets=("A",), front_end=FrontEnd(kind="oriented_energy", channels=assemblies, gain_mV=4.0)),
    )


@pytest.fixture(scope="module")
def circuit() -> Circuit:
    return load_circuit("ei_assemblies")


def with_inputs(circuit: Circuit, rates: dict[str, float]) -> Circuit:
    inputs = baseline_inputs(circuit, rates)
    return replace(circuit, populations=tuple(replace(p, mean_input_mV=inputs[p.name]) for p in circuit.populations))


def test_moments_are_those_of_the_sum_of_inputs(circuit: Circuit) -> None:
    field = mean_field(with_inputs(circuit, {"E": 5.0, "I": 10.0}))
    rates = np.r_[np.full(8, 5.0), np.full(8, 10.0)]
    moments = field.moments(rates)
    np.testing.assert_allclose(moments.mu[:8] - field.resting[:8], 0.02 * (200 * 0.1 * 5 - 50 * 0.5 * 10))
    np.testing.assert_allclose(moments.sigma[8:] ** 2, 25 + 0.01 * (200 * 0.01 * 5 + 50 * 0.25 * 10))
    np.testing.assert_allclose(moments.share, 1 - 25 / moments.sigma**2)
    np.testing.assert_allclose(moments.shift[:8], 1.0326265761 * np.sqrt(5 / 20) * moments.share[:8])


def test_reference_inputs_of_the_main_circuit(circuit: Circuit) -> None:
    assert baseline_inputs(circuit, {"E": 5.0, "I": 10.0}) == pytest.approx({"E": 16.3183, "I": 15.0484}, abs=5e-5)


@pytest.mark.parametrize("rates", [{"E": 5.0, "I": 10.0}, {"E": 1.0, "I": 3.0}, {"E": 30.0, "I": 40.0}])
def test_inversion_and_fixed_point_are_inverse(circuit: Circuit, rates: dict[str, float]) -> None:
    point = fixed_point(mean_field(with_inputs(circuit, rates)))
    np.testing.assert_allclose(point.rates, np.repeat([rates["E"], rates["I"]], 8), rtol=1e-8)
    assert point.residual < 1e-9


def test_inversion_reaches_rates_above_threshold_and_near_silence(circuit: Circuit) -> None:
    point = fixed_point(mean_field(with_inputs(circuit, {"E": 1e-6, "I": 200.0})))
    np.testing.assert_allclose(point.rates, np.repeat([1e-6, 200.0], 8), rtol=1e-6)


@pytest.mark.parametrize("rates", [{"E": 5.0}, {"E": 5.0, "I": 600.0}, {"E": 0.0, "I": 5.0}])
def test_impossible_rates_are_refused(circuit: Circuit, rates: dict[str, float]) -> None:
    with pytest.raises(ArgumentError, match="expected a value between 0 and 500 Hz"):
        baseline_inputs(circuit, rates)


def test_inputs_of_projections_on_one_path_add_up() -> None:
    whole = one_population(in_degree=200)
    half = replace(whole.projections[0], in_degree=100)
    split = replace(whole, projections=(half, half))
    one, two = mean_field(whole), mean_field(split)
    assert len(two.pathways) == 1
    np.testing.assert_allclose(one.pathways[0].mean, two.pathways[0].mean)
    np.testing.assert_allclose(one.pathways[0].variance, two.pathways[0].variance)


def test_fixed_point_turns_with_the_drive(circuit: Circuit) -> None:
    field = mean_field(with_inputs(circuit, {"E": 5.0, "I": 10.0}))
    first, third = (fixed_point(field, drive=field.drive(4.0 * np.eye(8)[k])).rates for k in (0, 3))
    np.testing.assert_allclose(np.roll(first[:8], 3), third[:8], rtol=1e-8)
    np.testing.assert_allclose(np.roll(first[8:], 3), third[8:], rtol=1e-8)


def test_noiseless_circuit_gives_numbers() -> None:
    silent = one_population(noise=0.0, mean_input=15.0)
    assert fixed_point(mean_field(silent)).rates == pytest.approx(0.0)


def test_effective_connectivity_is_the_slope_of_the_rates(circuit: Circuit) -> None:
    field = mean_field(with_inputs(circuit, {"E": 5.0, "I": 10.0}))
    point = fixed_point(field)
    found = sum(effective_connectivity(field, point))
    h = 1e-4
    for k in (0, 9):
        step = h * np.eye(16)[k]
        up, down = field.moments(point.rates + step), field.moments(point.rates - step)
        # The shift is held, as in the definition.
        up, down = up._replace(shift=point.moments.shift), down._replace(shift=point.moments.shift)
        np.testing.assert_allclose(found[:, k], (field.rate(up) - field.rate(down)) / (2 * h), atol=1e-6)


@pytest.mark.parametrize(("delay", "tau"), [(2.0, 5.0), (10.0, 2.0), (0.0, 5.0)])
def test_eigenvalues_solve_the_characteristic_equation(delay: float, tau: float) -> None:
    field = mean_field(one_population(delay=delay, tau=tau))
    point = fixed_point(field)
    gain, rate_time = effective_connectivity(field, point)[0][0, 0], response_times(field, point)[0]
    leading = stability(field, point, nodes=12).eigenvalues[0]
    residual = (1 + leading * rate_time) * (1 + leading * tau) - gain * np.exp(-leading * delay)
    assert abs(residual) < 1e-5


def test_leading_eigenvalue_in_closed_form_where_the_rate_is_fast() -> None:
    """Without a rate time constant: (1 + z tau) = g exp(-z d), so z = -1/tau + W(g d/tau exp(d/tau)) / d."""
    field = mean_field(one_population(mean_input=120.0, tau=50.0, delay=20.0, weight=-0.2))
    point = fixed_point(field)
    gain = effective_connectivity(field, point)[0][0, 0]
    lag = 20.0 + response_times(field, point)[0]  # 0.1 ms: so short that it is one more delay
    expected = -1 / 50 + lambertw(gain * lag / 50 * np.exp(lag / 50)) / lag
    found = stability(field, point, nodes=12).eigenvalues[0]
    assert found.real == pytest.approx(expected.real, rel=0.02)
    assert abs(found.imag) == pytest.approx(abs(expected.imag), rel=0.02)


def test_strong_delayed_inhibition_oscillates() -> None:
    field = mean_field(one_population(weight=-3.0, delay=10.0, mean_input=40.0))
    found = stability(field, fixed_point(field))
    assert found.growth_per_ms > 0
    assert 10 < found.frequency_hz < 60
    ratio, frequency = found.least_damped_oscillation()
    assert ratio < 0
    assert frequency == pytest.approx(found.frequency_hz)


def test_unconnected_circuit_decays_with_its_response_time() -> None:
    field = mean_field(one_population(in_degree=0, mean_input=14.0))
    point = fixed_point(field)
    found = stability(field, point)
    assert found.growth_per_ms == pytest.approx(-1 / response_times(field, point)[0])
    assert found.least_damped_oscillation() == (1.0, 0.0)
