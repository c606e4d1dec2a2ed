"""Which circuits are refused, and in what words; the rows are those of the trial behind the limits."""

from dataclasses import replace

import pytest

from cortexres import bridge
from cortexres.definitions import Background, Circuit, load_circuit, with_values
from cortexres.errors import ValidityError
from cortexres.meanfield import baseline_inputs


def resting(circuit: Circuit, excitatory: float = 5.0, inhibitory: float = 10.0) -> Circuit:
    """The circuit with the mean inputs that bring it to rest at the given rates."""
    inputs = baseline_inputs(circuit, {"E": excitatory, "I": inhibitory})
    return replace(circuit, populations=tuple(replace(p, mean_input_mV=inputs[p.name]) for p in circuit.populations))


def variant(
    *,
    scale: float = 1.0,
    g: float = 5.0,
    kappa: float = 1.0,
    tau_s: float = 5.0,
    noise: float = 5.0,
    gain: float = 4.0,
    delay: float = 1.0,
) -> Circuit:
    """The main circuit with other weights, synapses, noise, drive or delay, at its usual resting rates."""
    circuit = load_circuit("ei_assemblies")
    projections = tuple(
        replace(
            p,
            weight_mV=scale * (0.1 if p.weight_mV > 0 else -0.1 * g),
            delay_ms=delay,
            profile=replace(p.profile, kappa=kappa if p.profile.kind == "von_mises" else 0.0),
        )
        for p in circuit.projections
    )
    drive = replace(circuit.drive, front_end=replace(circuit.drive.front_end, gain_mV=gain))
    return resting(
        replace(
            circuit,
            projections=projections,
            synapses=tuple(replace(s, tau_ms=tau_s) for s in circuit.synapses),
            populations=tuple(replace(p, noise_mV=noise) for p in circuit.populations),
            drive=drive,
        )
    )


def test_the_main_circuit_is_valid_without_caution() -> None:
    circuit = load_circuit("ei_assemblies")
    assert bridge.validity(circuit) == []
    assert bridge.cautions(circuit) == []


@pytest.mark.parametrize("change", [{}, {"tau_s": 10.0}, {"tau_s": 20.0}, {"gain": 8.0}])
def test_rows_that_the_mean_field_predicted_are_accepted(change: dict[str, float]) -> None:
    assert bridge.validity(variant(**change)) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"scale": 2.0, "g": 6.0}, "synapses make 0.38 of the input variance of population 'E'.*at most 0.25"),
        ({"scale": 4.0, "g": 8.0}, "synapses make 0.81 of the input variance"),
        ({"noise": 2.0}, "external noise of 2 mV, and at least 3 mV is needed"),
        ({"scale": 2.0, "kappa": 2.0}, "resting state is unstable"),
        ({"scale": 2.0, "kappa": 2.0}, "144.1 Hz from rest .* winner-take-all"),
        ({"scale": 2.0, "g": 6.0}, "response to 4 mV in all channels is unstable"),
        ({"gain": 40.0}, "brings a rate to 0.* of the inverse refractory period, and at most 0.25"),
    ],
)
def test_rows_that_it_did_not_predict_are_refused(change: dict[str, float], reason: str) -> None:
    with pytest.raises(ValidityError, match=reason):
        bridge.residual_network(variant(**change))


def test_near_oscillations_are_refused() -> None:
    circuit = variant(g=8.0, delay=5.0)
    reasons = bridge.validity(resting(circuit, 15.0, 30.0))
    assert any("near an oscillation (damping ratio 0.1" in reason for reason in reasons)


def test_all_reasons_are_named_at_once_and_the_check_can_be_left_out() -> None:
    circuit = variant(noise=2.0, scale=2.0, g=6.0)
    with pytest.raises(ValidityError) as caught:
        bridge.residual_network(circuit)
    for reason in bridge.validity(circuit):
        assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert bridge.residual_network(circuit, check=False).steps == 40


def test_slow_synapses_are_predicted_with_a_warning() -> None:
    with pytest.warns(bridge.ValidityWarning, match="time constant of 20 ms, more than 1.5 times"):
        bridge.residual_network(variant(tau_s=20.0))


def test_other_models_are_refused_before_anything_is_computed() -> None:
    circuit = load_circuit("ei_assemblies")
    population, synapse = replace(circuit.populations[0]), replace(circuit.synapses[0])
    # Definitions only know 'lif' today: the guard is for the models to come.
    object.__setattr__(population, "neuron", "adex")
    object.__setattr__(synapse, "model", "conductance")
    object.__setattr__(circuit, "populations", (population, *circuit.populations[1:]))
    object.__setattr__(circuit, "synapses", (synapse, *circuit.synapses[1:]))
    reasons = bridge.validity(circuit)
    assert len(reasons) == 2
    assert "neurons of model 'adex'" in reasons[0]
    assert "has model 'conductance'" in reasons[1]


def test_a_noiseless_circuit_is_refused_not_broken() -> None:
    circuit = load_circuit("ei_assemblies")
    silent = replace(circuit, populations=tuple(replace(p, noise_mV=0.0) for p in circuit.populations))
    assert any("external noise of 0 mV" in reason for reason in bridge.validity(silent))


def test_parts_that_no_block_describes_are_refused_without_the_check_too() -> None:
    circuit = load_circuit("ei_assemblies")
    noisy = replace(
        circuit, backgrounds=(Background(target="E", synapse="excitatory", count=10, rate_Hz=5.0, weight_mV=0.1),)
    )
    silent = with_values(circuit, {"populations.I.silenced": True})
    delta = replace(circuit, synapses=tuple(replace(s, model="delta", tau_ms=0.0) for s in circuit.synapses))
    for changed, reason in (
        (noisy, "population 'E' has Poisson background"),
        (silent, "population 'I' is silenced"),
        (delta, "synapse 'excitatory' has model 'delta'.*synapse 'inhibitory' has model 'delta'"),
        (load_circuit("potjans_diesmann_2014"), "'TH' has neurons of model 'poisson'.*'L6I' has Poisson background"),
    ):
        assert bridge.validity(changed)
        with pytest.raises(ValidityError, match=f"has no residual network: .*{reason}") as caught:
            bridge.residual_network(changed, check=False)
        assert "\n" not in str(caught.value)
