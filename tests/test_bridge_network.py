"""The residual network against closed forms, its own limits and the fixed point of the mean field."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cortexres import bridge, stimuli
from cortexres.bridge.network import response_times
from cortexres.definitions import Circuit, Drive, FrontEnd, Population, Projection, Synapse, load_circuit
from cortexres.errors import ArgumentError
from cortexres.meanfield import fixed_point, mean_field, siegert_rate

LIF = {"tau_m_ms": 20.0, "v_rest_mV": 0.0, "v_threshold_mV": 20.0, "v_reset_mV": 10.0, "t_refractory_ms": 2.0}


def population(name: str) -> Population:
    """One cell type with one unit."""
    return Population(
        name=name, size=100, neuron="lif", parameters=LIF, cell_type="pyramidal", mean_input_mV=12.0, noise_mV=5.0
    )


def chain(*, delay: float = 7.0, tau: float = 5.0, in_degree: int = 100) -> Circuit:
    """A drives B through one projection; nothing acts back."""
    return Circuit(
        name="chain",
        title="A drives B",
        source="test",
        populations=(population("A"), population("B")),
        synapses=(Synapse(name="s", model="exponential_current", tau_ms=tau),),
        projections=(
            Projection(source="A", target="B", synapse="s", in_degree=in_degree, weight_mV=0.1, delay_ms=delay),
        ),
        drive=Drive(targets=("A",), front_end=FrontEnd(kind="oriented_energy", channels=1, gain_mV=4.0)),
    )


def chain_input(circuit: Circuit, drive: float, t: np.ndarray) -> np.ndarray:
    """Input of B at time t in mV: A relaxes exponentially to its new rate, then comes the synapse, then the delay."""
    field = mean_field(circuit)
    neuron = field.neurons()[0]._asdict()
    before, after = siegert_rate(12.0, 5.0, **neuron), siegert_rate(12.0 + drive, 5.0, **neuron)
    tau_r = float(response_times(field)(torch.tensor([12.0 + drive] * 2).double(), torch.full((2,), 5.0).double())[0])
    path = field.pathways[0]
    since = np.maximum(t - path.delay_ms, 0.0)
    slow, fast = np.exp(-since / path.tau_ms), np.exp(-since / tau_r)
    s = after + (before - after) * (path.tau_ms * slow - tau_r * fast) / (path.tau_ms - tau_r)
    return path.mean[1, 0] * s


@pytest.fixture(scope="module")
def circuit() -> Circuit:
    return load_circuit("ei_assemblies")


@pytest.fixture(scope="module")
def network(circuit: Circuit) -> bridge.CircuitNetwork:
    return bridge.residual_network(circuit)


@pytest.fixture(scope="module")
def drives() -> torch.Tensor:
    drive = np.zeros((6, 16))
    drive[:, :8] = np.random.default_rng(0).uniform(0, 4, (6, 8))
    return torch.from_numpy(drive)


def test_one_unit_without_recurrence_relaxes_exponentially() -> None:
    circuit = chain(in_degree=0)
    net = bridge.residual_network(circuit, dt_ms=3.0, duration_ms=60.0, check=False)
    found = net.trajectory(torch.tensor([[3.0, 0.0]]))["response"][0].numpy()
    neuron = mean_field(circuit).neurons()[0]._asdict()
    before, after = siegert_rate(12.0, 5.0, **neuron), siegert_rate(15.0, 5.0, **neuron)
    tau = float(net.block.response_time(torch.full((2,), 15.0).double(), torch.full((2,), 5.0).double())[0])
    t = 3.0 * np.arange(21)
    np.testing.assert_allclose(found[:, 0], after + (before - after) * np.exp(-t / tau), rtol=1e-9)
    np.testing.assert_allclose(found[:, 1], before, rtol=1e-9)


@pytest.mark.parametrize("delay", [1.0, 7.0, 3.3, 0.7])
@pytest.mark.parametrize("dt", [1.0, 5.0])
def test_a_synapse_and_its_delay_in_closed_form(delay: float, dt: float) -> None:
    circuit = chain(delay=delay)
    net = bridge.residual_network(circuit, dt_ms=dt, duration_ms=60.0, check=False)
    found = net.trajectory(torch.tensor([[3.0, 0.0]]))["recurrent_excitatory"][0, :, 1].numpy()
    expected = chain_input(circuit, 3.0, dt * np.arange(len(found)))
    rise = expected[-1] - expected[0]
    np.testing.assert_allclose(found, expected, atol=4e-3 * rise)


@pytest.mark.parametrize("delay", [2.0, 7.0, 12.5])
def test_nothing_arrives_before_the_delay_and_something_right_after(delay: float) -> None:
    net = bridge.residual_network(chain(delay=delay), dt_ms=0.5, duration_ms=30.0, check=False)
    found = net.trajectory(torch.tensor([[3.0, 0.0]]))["recurrent_excitatory"][0, :, 1]
    changed = torch.nonzero((found - found[0]).abs() > 1e-9)[0].item() * 0.5
    assert delay < changed <= delay + 0.5


def test_paths_with_other_delays_and_time_constants_add_up() -> None:
    one, two = chain(delay=2.0, tau=5.0), chain(delay=9.0, tau=15.0)
    both = replace(
        one,
        synapses=(one.synapses[0], replace(two.synapses[0], name="slow")),
        projections=(one.projections[0], replace(two.projections[0], synapse="slow")),
    )
    net = bridge.residual_network(both, dt_ms=1.0, duration_ms=60.0, check=False)
    found = net.trajectory(torch.tensor([[3.0, 0.0]]))["recurrent_excitatory"][0, :, 1].numpy()
    t = np.arange(61.0)
    expected = chain_input(one, 3.0, t) + chain_input(two, 3.0, t)
    np.testing.assert_allclose(found, expected, atol=4e-3 * (expected[-1] - expected[0]))


def test_projections_without_delay_are_stepped_finely() -> None:
    circuit = chain(delay=0.0)
    net = bridge.residual_network(circuit, dt_ms=5.0, duration_ms=60.0, check=False)
    assert net.block.substep_ms == pytest.approx(0.1)
    found = net.trajectory(torch.tensor([[3.0, 0.0]]))["recurrent_excitatory"][0, :, 1].numpy()
    expected = chain_input(circuit, 3.0, 5.0 * np.arange(13))
    np.testing.assert_allclose(found, expected, atol=4e-3 * (expected[-1] - expected[0]))


def test_rest_is_the_fixed_point_and_stays(circuit: Circuit, network: bridge.CircuitNetwork) -> None:
    rest = network.trajectory(torch.zeros(1, 16))["response"][0]
    np.testing.assert_allclose(rest.numpy(), np.tile(fixed_point(mean_field(circuit)).rates, (41, 1)), rtol=1e-9)


def test_steady_state_is_the_fixed_point(
    circuit: Circuit, network: bridge.CircuitNetwork, drives: torch.Tensor
) -> None:
    rates, _ = network(drives, steps=120)
    field = mean_field(circuit)
    for drive, found in zip(drives.numpy(), rates.numpy(), strict=True):
        np.testing.assert_allclose(found, fixed_point(field, drive=drive).rates, rtol=1e-7)


def test_currents_at_rest_are_those_of_the_moments(circuit: Circuit, network: bridge.CircuitNetwork) -> None:
    field = mean_field(circuit)
    point = fixed_point(field)
    rest = network.trajectory(torch.zeros(1, 16))
    total = (rest["recurrent_excitatory"] + rest["recurrent_inhibitory"])[0, -1].numpy()
    np.testing.assert_allclose(total, point.moments.mu - field.resting, rtol=1e-9)
    assert (rest["recurrent_excitatory"] >= 0).all()
    assert (rest["recurrent_inhibitory"] <= 0).all()


@pytest.mark.parametrize("dt", [0.25, 0.5, 1.0, 2.5])
def test_block_size_changes_little(
    dt: float, circuit: Circuit, network: bridge.CircuitNetwork, drives: torch.Tensor
) -> None:
    coarse = network.trajectory(drives[:2], steps=12)["response"]
    fine = bridge.residual_network(circuit, dt_ms=dt, duration_ms=60.0, check=False)
    found = fine.trajectory(drives[:2])["response"][:, :: int(5.0 / dt)]
    assert float((found - coarse).abs().max()) < 0.05


def test_second_order_in_the_substep(circuit: Circuit, drives: torch.Tensor) -> None:
    rates = {
        dt: bridge.residual_network(circuit, dt_ms=dt, duration_ms=10.0, check=False)(drives[:1])[0]
        for dt in (0.5, 0.25, 0.125, 0.03125)
    }
    errors = [float((rates[dt] - rates[0.03125]).abs().max()) for dt in (0.5, 0.25, 0.125)]
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.3)
    assert errors[1] / errors[2] == pytest.approx(4.0, rel=0.3)


def test_each_block_adds_its_update(network: bridge.CircuitNetwork, drives: torch.Tensor) -> None:
    state = network.initial.expand(len(drives), -1, -1)
    rates, after = network(drives, steps=1)
    update = network.block(state, drives)
    torch.testing.assert_close(after, state + update, rtol=0, atol=0)
    torch.testing.assert_close(rates, network.trajectory(drives, steps=1)["response"][:, 1])


def test_forward_goes_on_from_a_state(network: bridge.CircuitNetwork, drives: torch.Tensor) -> None:
    _, half = network(drives, steps=3)
    rates, _ = network(drives, half, steps=4)
    torch.testing.assert_close(rates, network.trajectory(drives, steps=7)["response"][:, -1])


def test_depth_shares_all_parameters(circuit: Circuit) -> None:
    short, long = (bridge.residual_network(circuit, duration_ms=d, check=False) for d in (5.0, 500.0))
    assert (short.steps, long.steps) == (1, 100)
    assert {k: v.shape for k, v in short.state_dict().items()} == {k: v.shape for k, v in long.state_dict().items()}


def test_stimuli_do_not_mix(network: bridge.CircuitNetwork, drives: torch.Tensor) -> None:
    together = network.trajectory(drives, steps=8)["response"]
    alone = network.trajectory(drives[3:4], steps=8)["response"]
    torch.testing.assert_close(together[3:4], alone)


def test_turning_the_drive_turns_the_response(network: bridge.CircuitNetwork, drives: torch.Tensor) -> None:
    turned = torch.cat([drives[:, :8].roll(2, 1), drives[:, 8:].roll(2, 1)], 1)
    found = network.trajectory(turned, steps=10)["response"]
    plain = network.trajectory(drives, steps=10)["response"]
    torch.testing.assert_close(found, torch.cat([plain[..., :8].roll(2, -1), plain[..., 8:].roll(2, -1)], -1))


def test_onset_is_at_the_first_block(network: bridge.CircuitNetwork, drives: torch.Tensor) -> None:
    found = network.trajectory(drives)
    assert set(found) == {"response", "feedforward", "recurrent_excitatory", "recurrent_inhibitory"}
    assert all(value.shape == (6, 41, 16) for value in found.values())
    assert (found["feedforward"][:, 0] == 0).all()
    assert (found["feedforward"][:, 1:] == drives[:, None]).all()


def test_nothing_is_fitted_until_asked(network: bridge.CircuitNetwork, drives: torch.Tensor) -> None:
    assert not any(p.requires_grad for p in network.parameters())
    assert not network.trajectory(drives, steps=1)["response"].requires_grad


def test_gradients_reach_drive_weights_and_inputs(circuit: Circuit, drives: torch.Tensor) -> None:
    net = bridge.residual_network(circuit, check=False).requires_grad_()
    drive = drives[:1].clone().requires_grad_()
    net(drive, steps=2)[0][:, :8].sum().backward()
    assert drive.grad is not None
    assert (drive.grad[:, :8] > 0).all()
    for parameter in net.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
        assert (parameter.grad != 0).any()


def test_gradient_is_the_difference_quotient(network: bridge.CircuitNetwork, drives: torch.Tensor) -> None:
    drive = drives[:1].clone().requires_grad_()
    network(drive, steps=3)[0].sum().backward()
    assert drive.grad is not None
    h = 1e-5 * torch.eye(16, dtype=torch.float64)[2]
    up, down = (network(drives[:1] + s * h, steps=3)[0].sum() for s in (1, -1))
    assert float(drive.grad[0, 2]) == pytest.approx(float(up - down) / 2e-5, rel=1e-4)


def test_images_drive_the_driven_units_only(network: bridge.CircuitNetwork) -> None:
    found = network.inputs(stimuli.digits(5, rng=np.random.default_rng(0)))
    assert found.shape == (5, 16)
    assert found.dtype == torch.float64
    assert (found[:, 8:] == 0).all()
    assert 0 < float(found.max()) <= 4.0


def test_inputs_of_another_shape_are_refused(network: bridge.CircuitNetwork) -> None:
    with pytest.raises(ArgumentError, match=r"got inputs of shape \(3, 4\), expected \(batch, 16\)"):
        network.trajectory(torch.zeros(3, 4))


@pytest.mark.parametrize(("dt", "duration"), [(0.0, 200.0), (-5.0, 200.0), (7.0, 200.0), (300.0, 200.0)])
def test_durations_that_are_no_whole_blocks_are_refused(circuit: Circuit, dt: float, duration: float) -> None:
    with pytest.raises(ArgumentError, match="expected a whole number of blocks"):
        bridge.residual_network(circuit, dt_ms=dt, duration_ms=duration)


def test_feedforward_pathways_count_as_feedforward_input_as_in_a_simulation() -> None:
    recurrent = chain()
    forward = replace(recurrent, projections=(replace(recurrent.projections[0], pathway="feedforward"),))
    one, two = (bridge.residual_network(c, check=False, duration_ms=50.0) for c in (recurrent, forward))
    drive = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    before, after = one.trajectory(drive), two.trajectory(drive)
    torch.testing.assert_close(before["response"], after["response"])
    torch.testing.assert_close(before["feedforward"] + before["recurrent_excitatory"], after["feedforward"])
    assert float(after["recurrent_excitatory"].abs().max()) == 0.0
    assert float(before["recurrent_excitatory"][..., 1].min()) > 0.0
