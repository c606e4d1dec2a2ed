"""Control networks: what a shuffle keeps, what it destroys, and what silence leaves."""

import numpy as np
import pytest
import torch

from cortexres import bridge
from cortexres.definitions import load_circuit
from cortexres.errors import ArgumentError


@pytest.fixture(scope="module")
def network() -> bridge.CircuitNetwork:
    return bridge.residual_network(load_circuit("ei_assemblies"), duration_ms=50.0)


@pytest.fixture(scope="module")
def drive() -> torch.Tensor:
    out = torch.zeros(1, 16, dtype=torch.float64)
    out[0, 2] = 4.0
    return out


def excitatory(network: bridge.CircuitNetwork) -> np.ndarray:
    """The excitatory weights, from E units."""
    return next(path.mean for path in network.field.pathways if path.excitatory)


def test_in_degree_shuffle_keeps_row_sums_sources_and_baseline(network: bridge.CircuitNetwork) -> None:
    shuffled = bridge.shuffle_weights(network, rng=np.random.default_rng(0))
    before, after = excitatory(network), excitatory(shuffled)
    assert not np.allclose(before, after)
    np.testing.assert_allclose(after.sum(axis=1), before.sum(axis=1))
    np.testing.assert_allclose(np.sort(after, axis=1), np.sort(before, axis=1))
    assert (after[:, 8:] == 0).all()
    torch.testing.assert_close(shuffled.initial[0], network.initial[0])


def test_sign_shuffle_keeps_entries_and_sources_only(network: bridge.CircuitNetwork) -> None:
    shuffled = bridge.shuffle_weights(network, rng=np.random.default_rng(0), keep="sign")
    before, after = excitatory(network), excitatory(shuffled)
    np.testing.assert_allclose(np.sort(after.ravel()), np.sort(before.ravel()))
    assert not np.allclose(after.sum(axis=1), before.sum(axis=1))
    assert (after[:, 8:] == 0).all()
    steady = shuffled.trajectory(torch.zeros(1, 16))["response"][0]
    torch.testing.assert_close(steady[-1], steady[0], rtol=1e-7, atol=0)


@pytest.mark.parametrize("keep", ["in_degree", "sign"])
def test_variance_moves_with_the_mean(network: bridge.CircuitNetwork, keep: str) -> None:
    shuffled = bridge.shuffle_weights(network, rng=np.random.default_rng(4), keep=keep)
    for path in shuffled.field.pathways:
        weight = 0.1 if path.excitatory else -0.5
        np.testing.assert_allclose(path.variance, weight * path.mean)


def test_shuffles_follow_the_generator_and_leave_the_network_alone(network: bridge.CircuitNetwork) -> None:
    before = excitatory(network).copy()
    one, two, other = (excitatory(bridge.shuffle_weights(network, rng=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.allclose(one, other)
    np.testing.assert_array_equal(excitatory(network), before)


def test_shuffle_acts_on_the_weights_that_the_network_has_now() -> None:
    net = bridge.residual_network(load_circuit("ei_assemblies"), check=False)
    with torch.no_grad():
        for weight in net.block.weights:
            weight.mul_(0.5)
    shuffled = bridge.shuffle_weights(net, rng=0)
    np.testing.assert_allclose(excitatory(shuffled).sum(axis=1), excitatory(net).sum(axis=1))


def test_shuffled_network_responds_elsewhere(network: bridge.CircuitNetwork, drive: torch.Tensor) -> None:
    shuffled = bridge.shuffle_weights(network, rng=np.random.default_rng(0))
    plain, moved = (net.trajectory(drive)["response"][0, -1] for net in (network, shuffled))
    assert float((plain - moved).abs().max()) > 1.0


def test_unknown_shuffle_is_refused(network: bridge.CircuitNetwork) -> None:
    with pytest.raises(ArgumentError, match="got keep='rows', expected one of in_degree, sign"):
        bridge.shuffle_weights(network, rng=0, keep="rows")  # type: ignore[arg-type]


def test_silent_network_hears_only_the_stimulus(network: bridge.CircuitNetwork, drive: torch.Tensor) -> None:
    found = bridge.without_recurrence(network).trajectory(drive)
    assert (found["recurrent_excitatory"] == 0).all()
    assert (found["recurrent_inhibitory"] == 0).all()
    others = torch.arange(16) != 2
    torch.testing.assert_close(found["response"][0, -1, others], found["response"][0, 0, others])
    assert found["response"][0, -1, 2] > found["response"][0, 0, 2] + 5


def test_silent_network_can_keep_the_baseline(network: bridge.CircuitNetwork) -> None:
    silent = bridge.without_recurrence(network, keep_baseline=True)
    torch.testing.assert_close(silent.initial[0], network.initial[0], rtol=1e-6, atol=0)
