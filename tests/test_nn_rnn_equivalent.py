"""Recurrent networks against torch's own RNN: equal in outputs, states and gradients, or refused with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from cortexres import nn
from cortexres.errors import ArgumentError
from cortexres.nn.dale import constrain, signs_of
from cortexres.nn.rnn_equivalent import from_rnn, to_rnn

UNITS, INPUTS, STEPS, BATCH = 5, 3, 7, 2


def network(shortcut: torch.nn.Module | None = None, *, activation: Any = torch.tanh, **options: Any) -> nn.Recurrent:
    dense = nn.Dense(UNITS, activation=activation, rng=1, dtype=torch.float64, **options)
    with torch.no_grad():
        for layer in dense.layers:
            if isinstance(layer.bias, Tensor):
                layer.bias.copy_(torch.linspace(-0.5, 0.5, UNITS))
    return nn.Recurrent(nn.Block(dense, shortcut or nn.NoShortcut()), steps=STEPS)


def rnn(**options: Any) -> torch.nn.RNN:
    torch.manual_seed(0)
    return torch.nn.RNN(INPUTS, UNITS, dtype=torch.float64, **options)


def movie(inputs: int) -> Tensor:
    return torch.randn(BATCH, STEPS, inputs, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def h_0() -> Tensor:
    return torch.randn(BATCH, UNITS, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def gradients(output: Tensor, h_n: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    """Return gradients of a sum of all outputs with weights of their own."""
    weights = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    return torch.autograd.grad((weights * output).sum() + h_n.sum(), of)


def check_equal(recurrent: nn.Recurrent, other: torch.nn.RNN, x: Tensor, start: Tensor | None) -> None:
    """Check output, last state and gradients on an input, a movie or one that stays the same."""
    frames = x if x.ndim == 3 else x[:, None].expand(-1, STEPS, -1)
    output, h_n = recurrent(x, start)
    swapped = (0, 0) if other.batch_first else (0, 1)
    expected, last = other(frames.transpose(*swapped), None if start is None else start[None])
    expected = expected.transpose(*swapped)
    assert (output - expected).abs().max() <= 1e-14
    assert (h_n - last[0]).abs().max() <= 1e-14
    own, theirs = dict(recurrent.block.transform.named_parameters()), dict(other.named_parameters())
    pairs = [("layers.0.weight", "weight_hh_l0")]
    if "input.weight" in own:
        pairs += [("input.weight", "weight_ih_l0")]
    if "layers.0.bias" in own:
        pairs += [("layers.0.bias", "bias_ih_l0"), ("layers.0.bias", "bias_hh_l0")]
    found = gradients(output, h_n, *(own[a] for a, _ in pairs))
    wanted = gradients(expected, last, *(theirs[b] for _, b in pairs))
    for a, b in zip(found, wanted, strict=True):
        assert (a - b).abs().max() <= 1e-14 * max(1.0, float(b.abs().max()))


@pytest.mark.parametrize("start", [None, h_0()], ids=["at rest", "h_0"])
@pytest.mark.parametrize("frames", [True, False], ids=["movie", "constant"])
@pytest.mark.parametrize("options", [{}, {"input_size": INPUTS}, {"bias": False}], ids=str)
@pytest.mark.parametrize("activation", [torch.tanh, torch.relu, torch.nn.ReLU(), torch.nn.functional.relu], ids=str)
def test_to_rnn_computes_the_same(
    activation: Callable[[Tensor], Tensor], options: dict[str, Any], frames: bool, start: Tensor | None
) -> None:
    recurrent, x = network(activation=activation, **options), movie(options.get("input_size", UNITS))
    check_equal(recurrent, to_rnn(recurrent), x if frames else x[:, 0], start)


@pytest.mark.parametrize("options", [{}, {"nonlinearity": "relu"}, {"bias": False}, {"batch_first": True}], ids=str)
@pytest.mark.parametrize("start", [None, h_0()], ids=["at rest", "h_0"])
@pytest.mark.parametrize("frames", [True, False], ids=["movie", "constant"])
def test_from_rnn_computes_the_same(options: dict[str, Any], start: Tensor | None, frames: bool) -> None:
    other = rnn(**options)
    check_equal(from_rnn(other, steps=STEPS), other, movie(INPUTS) if frames else movie(INPUTS)[:, 0], start)


@pytest.mark.parametrize("shortcut", [nn.NoShortcut(), nn.SoftAssignment(1.0)], ids=str)
def test_a_leaky_residual_step_of_size_one_is_an_elman_step(shortcut: torch.nn.Module) -> None:
    """``h + alpha (-h + relu(W h + U x + b))`` at alpha = 1: the skip and the leak cancel."""
    recurrent = network(shortcut, activation=torch.relu, input_size=INPUTS)
    check_equal(recurrent, to_rnn(recurrent), movie(INPUTS), h_0())
    dense, state = recurrent.block.transform, h_0()
    output = recurrent(movie(INPUTS), state)[0]
    for t in range(STEPS):  # as written
        state = state + 1.0 * (-state + dense(state, movie(INPUTS)[:, t]))
        assert (output[:, t] - state).abs().max() <= 1e-14


@pytest.mark.parametrize("bias", [True, False])
def test_there_and_back_all_weights_are_the_same(bias: bool) -> None:
    recurrent = network(input_size=INPUTS, bias=bias)
    again = from_rnn(to_rnn(recurrent), steps=STEPS)
    assert str(again) == str(recurrent)
    assert again.state_dict().keys() == recurrent.state_dict().keys()
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in recurrent.state_dict().items())
    other = rnn(bias=bias)
    back = to_rnn(from_rnn(other)).state_dict()
    for key in ("weight_hh_l0", "weight_ih_l0"):
        assert torch.equal(back[key], other.state_dict()[key])
    if bias:
        own = other.state_dict()
        assert torch.equal(back["bias_ih_l0"], own["bias_ih_l0"] + own["bias_hh_l0"])
        assert not back["bias_hh_l0"].any()


def test_weights_are_copies_nothing_is_drawn_and_all_are_trained() -> None:
    recurrent, before = network(input_size=INPUTS), torch.get_rng_state()
    other = to_rnn(recurrent.eval())
    again = from_rnn(other)
    assert torch.equal(torch.get_rng_state(), before)
    assert not other.training
    assert not again.training
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.fill_(7)
    for module in (recurrent, again):
        assert not any((parameter == 7).any() for parameter in module.parameters())
    assert all(p.requires_grad and p.is_leaf for p in [*other.parameters(), *again.parameters()])


def test_an_identity_stands_in_for_input_weights() -> None:
    assert torch.equal(to_rnn(network()).state_dict()["weight_ih_l0"], torch.eye(UNITS, dtype=torch.float64))


def dale() -> nn.Recurrent:
    recurrent = network()
    constrain(recurrent.get_submodule("block.transform.layers.0"), signs_of(3, 2))
    return recurrent


def other_network(**options: Any) -> nn.Recurrent:
    return nn.Recurrent(network().block, steps=STEPS, **options)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda: network().to_untied(), "an untied network"),
        (lambda: other_network(injection="first"), "an input that enters at the first step only"),
        (lambda: other_network(readout="last"), "readout='last'"),
        (lambda: other_network(readout=3), "readout=3"),
        (lambda: other_network(noise=0.1), "noise"),
        (dale, "a constrained weight, such as one under Dale's law"),
        (lambda: network(nn.SoftAssignment(0.5)), r"a leak, SoftAssignment\(0.5\)"),
        (lambda: network(nn.Identity()), "a skip, Identity"),
        (lambda: network(nn.Highway(UNITS, state_dims=1)), "a skip, Highway"),
        (
            lambda: nn.Recurrent(nn.Block(nn.Dense(UNITS), nn.NoShortcut(), activation=torch.relu), steps=2),
            "an activation after the sum",
        ),
        (lambda: nn.Recurrent(nn.Block(nn.Convolutional(2), nn.NoShortcut()), steps=2), "the transform Convolutional"),
        (lambda: network(layers=2), "a transform of 2 layers"),
        (lambda: network(norm=nn.Norm("layer", steps=STEPS)), "normalisation"),
        (lambda: network(activation=torch.sigmoid), "an activation other than tanh or relu"),
        (lambda: network(final_activation=False), "an activation other than tanh or relu"),
    ],
)
def test_to_rnn_refuses_what_torch_does_not_have(made: Callable[[], nn.Recurrent], reason: str) -> None:
    with pytest.raises(ArgumentError, match=f"got {reason}.*which torch.nn.RNN does not have"):
        to_rnn(made())


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda: torch.nn.GRU(INPUTS, UNITS), "got GRU, expected a torch.nn.RNN"),
        (lambda: rnn(num_layers=2), "got an RNN of 2 layers, expected one"),
        (lambda: rnn(num_layers=3, dropout=0.5), "of 3 layers with dropout 0.5 between them"),
        (lambda: rnn(bidirectional=True), "got a bidirectional RNN"),
        (lambda: constrain(rnn(), signs_of(3, 2), name="weight_hh_l0"), "got an RNN whose weights are parametrized"),
    ],
)
def test_from_rnn_refuses_what_a_block_does_not_have(made: Callable[[], torch.nn.RNN], reason: str) -> None:
    with pytest.raises(ArgumentError, match=reason):
        from_rnn(made())


def test_without_its_constraint_a_network_under_dales_law_has_an_rnn() -> None:
    recurrent = dale()
    layer = recurrent.get_submodule("block.transform.layers.0")
    torch.nn.utils.parametrize.remove_parametrizations(layer, "weight")
    check_equal(recurrent, to_rnn(recurrent), movie(UNITS), None)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda_both_ways_stay_there_and_compute_the_same() -> None:
    recurrent, x = network(input_size=INPUTS).cuda(), movie(INPUTS).cuda()
    other = to_rnn(recurrent)
    for found in (other(x)[0], from_rnn(other)(x)[0]):
        assert found.is_cuda
        torch.testing.assert_close(found, recurrent(x)[0], rtol=0, atol=1e-12)
