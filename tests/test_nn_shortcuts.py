"""Shortcuts against their equations, and the systems that they make of a recurrent network."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from cortexres import nn
from cortexres.errors import ArgumentError

UNITS, BATCH, STEPS = 4, 3, 6


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def vectors() -> tuple[Tensor, Tensor]:
    """Return (h, F) of dense states."""
    return draw(BATCH, UNITS), draw(BATCH, UNITS, seed=1)


def maps() -> tuple[Tensor, Tensor]:
    """Return (h, F) of maps."""
    return draw(BATCH, UNITS, 5, 3), draw(BATCH, UNITS, 5, 3, seed=1)


def mapped(weight: Tensor, h: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return a linear map of channels, at every position."""
    moved = torch.einsum("oi,bi...->bo...", weight.view(len(weight), -1), h)
    return moved if bias is None else moved + bias.view(-1, *(1,) * (h.ndim - 2))


@pytest.mark.parametrize("pair", [vectors, maps])
def test_each_carries_and_adds_as_its_equation_says(pair: Callable[[], tuple[Tensor, Tensor]]) -> None:
    h, update = pair()
    dims = h.ndim - 1
    double = torch.float64
    linear = nn.Linear(UNITS, state_dims=dims, dtype=double)
    assert torch.equal(linear(h, update)[0], h)  # starts as the identity
    with torch.no_grad():
        linear.weight.copy_(draw(*linear.weight.shape, seed=2))
    projection = nn.Projection(UNITS, 6, state_dims=dims, rng=0, dtype=double)
    highway = nn.Highway(UNITS, state_dims=dims, rng=0, dtype=double)
    gate = torch.sigmoid(mapped(highway.gate.weight, h, highway.gate.bias))
    learned = nn.LearnedScale(UNITS, dtype=double)
    with torch.no_grad():
        learned.scale.copy_(draw(UNITS, seed=3))
    scale = learned.scale.view(-1, *(1,) * (h.ndim - 2))
    more = functional.pad(h.movedim(1, -1), (0, 2)).movedim(-1, 1)
    expected: list[tuple[torch.nn.Module, Tensor, Tensor]] = [
        (nn.Identity(), h, update),
        (nn.NoShortcut(), torch.zeros_like(h), update),
        (nn.ZeroPadding(UNITS, 6), more, update),
        (projection, mapped(projection.map.weight, h), update),
        (linear, mapped(linear.weight, h), update),
        (highway, (1 - gate) * h, gate * update),
        (nn.Scaled(0.2), h, 0.2 * update),
        (nn.SoftAssignment(0.3), 0.7 * h, 0.3 * update),
        (learned, h, scale * update),
    ]
    for shortcut, carried, added in expected:
        torch.testing.assert_close(shortcut(h, update), (carried, added), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_options_of_he_et_al_change_the_shape_alike(stride: int) -> None:
    """A has no parameters, B and C have in x out; C is B where no shape changes."""
    h, update = maps()
    padding, projection = nn.ZeroPadding(UNITS, 6, stride=stride), nn.Projection(UNITS, 6, stride=stride)
    kept = padding(h, update)[0]
    assert torch.equal(kept[:, :UNITS], h[:, :, ::stride, ::stride])
    assert not kept[:, UNITS:].any()
    assert projection(h.float(), update)[0].shape == kept.shape
    assert not list(padding.parameters())
    assert sum(p.numel() for p in projection.parameters()) == UNITS * 6
    norm = nn.Norm("batch", steps=2)
    assert sum(p.numel() for p in nn.Projection(UNITS, UNITS, norm=norm).parameters()) == UNITS**2 + 2 * 2 * UNITS


def test_projection_normalises_with_what_belongs_to_the_step() -> None:
    h, update = maps()
    projection = nn.Projection(UNITS, 6, norm=nn.Norm("batch", steps=2), rng=0, dtype=torch.float64)
    moved = mapped(projection.map.weight, h)
    torch.testing.assert_close(projection(h, update, 1)[0], functional.batch_norm(moved, None, None, training=True))
    assert projection.norm is not None
    assert projection.norm.num_batches_tracked.tolist() == [0, 1]
    projection.reset_parameters(1)
    assert projection.norm.num_batches_tracked.tolist() == [0, 0]


def test_highway_is_a_gru_without_reset() -> None:
    """torch's GRU with its reset gate open: h' = z h + (1 - z) tanh(W h + V u), so that T = 1 - z."""
    dense = nn.Dense(UNITS, input_size=2, bias=False, rng=0, dtype=torch.float64)
    highway = nn.Highway(UNITS, state_dims=1, bias=-1.0, rng=1, dtype=torch.float64)
    oracle = torch.nn.GRU(2, UNITS, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        for parameter in oracle.parameters():
            parameter.zero_()
        reset, update, new = slice(0, UNITS), slice(UNITS, 2 * UNITS), slice(2 * UNITS, None)
        oracle.bias_ih_l0[reset] = 50.0  # sigmoid(50) is 1 to the last bit
        oracle.weight_hh_l0[update], oracle.bias_hh_l0[update] = -highway.gate.weight, -highway.gate.bias
        oracle.weight_hh_l0[new] = dense.layers[0].weight
        oracle.weight_ih_l0[new] = dense.get_parameter("input.weight")
    x = draw(BATCH, STEPS, 2)
    states, last = nn.Recurrent(nn.Block(dense, highway), steps=STEPS)(x)
    expected, hidden = oracle(x)
    torch.testing.assert_close(states, expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(last, hidden[0], rtol=0, atol=1e-14)


def test_full_assignment_keeps_nothing() -> None:
    h, update = vectors()
    assert torch.equal(sum(nn.SoftAssignment(1.0)(h, update)), sum(nn.NoShortcut()(h, update)))


@pytest.mark.parametrize(
    ("shortcut", "leak"), [(nn.Scaled(0.2), 1.0), (nn.SoftAssignment(0.2), 0.0)], ids=["leak in F", "assignment"]
)
def test_a_leak_relaxes_as_its_euler_step_does(shortcut: torch.nn.Module, leak: float) -> None:
    """tau dh/dt = -h + u: after k steps of a = dt / tau, 1 - (1 - a)^k of u."""
    dense = nn.Dense(UNITS, activation=lambda values: values, bias=False, dtype=torch.float64)
    with torch.no_grad():
        dense.layers[0].get_parameter("weight").copy_(-leak * torch.eye(UNITS))
    u = draw(BATCH, UNITS)
    states, _ = nn.Recurrent(nn.Block(dense, shortcut), steps=STEPS)(u)
    reached = 1 - 0.8 ** torch.arange(1, STEPS + 1, dtype=torch.float64)
    torch.testing.assert_close(states, u[:, None] * reached[:, None], rtol=0, atol=1e-14)


def test_a_step_size_converges_at_first_order_to_the_rate_equation() -> None:
    """tau dh/dt = -h + tanh(W h + u) at t = 2 tau: halving dt and doubling T halves the error."""
    dense, u = nn.Dense(UNITS, rng=0, dtype=torch.float64), draw(BATCH, UNITS)

    def after(steps: int) -> Tensor:
        block = nn.Block(dense, nn.SoftAssignment(2.0 / steps))
        return nn.Recurrent(block, steps=steps, readout="last")(u)[0].detach()

    def slope(h: Tensor) -> Tensor:
        return (dense(h, u) - h).detach()

    exact, dt = torch.zeros_like(u), 2.0 / 200
    for _ in range(200):  # Runge-Kutta of fourth order
        one = slope(exact)
        two = slope(exact + dt / 2 * one)
        three = slope(exact + dt / 2 * two)
        four = slope(exact + dt * three)
        exact = exact + dt / 6 * (one + 2 * two + 2 * three + four)
    errors = torch.stack([(after(steps) - exact).abs().max() for steps in (40, 80, 160, 320)])
    orders = (errors[:-1] / errors[1:]).log2()
    assert errors[-1] < 2e-3
    torch.testing.assert_close(orders, torch.ones(3, dtype=torch.float64), rtol=0, atol=0.05)


def test_learned_scale_starts_as_the_identity_and_learns_to_open() -> None:
    h, _ = maps()
    block = nn.Block(nn.Convolutional(UNITS, rng=0, dtype=torch.float64), nn.LearnedScale(UNITS, dtype=torch.float64))
    assert torch.equal(block(h), h)
    block(h).square().sum().backward()
    assert block.shortcut.get_parameter("scale").grad.abs().min() > 0  # type: ignore[union-attr]
    assert all(not p.grad.any() for p in block.transform.parameters())  # type: ignore[union-attr]


def test_highway_carries_at_first() -> None:
    h, update = vectors()
    highway = nn.Highway(UNITS, state_dims=1, bias=-50.0, rng=0, dtype=torch.float64)
    torch.testing.assert_close(sum(highway(h, update)), h)
    assert "bias=-50" in str(highway)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.ZeroPadding(4, 3), "got 4 channels and 3 after.* use Projection"),
        (lambda: nn.ZeroPadding(4, 4, stride=0), "stride=0, expected 1 or more"),
        (lambda: nn.ZeroPadding(4, 4, stride=2)(torch.ones(1, 4), torch.ones(1, 4)), "stride=2 for dense states"),
        (lambda: nn.Projection(4, 4, state_dims=2), "state_dims=2, expected 1 for .* or 3 for"),
        (lambda: nn.Projection(4, 4, stride=2, state_dims=1), "stride=2 for dense states, expected 1"),
        (lambda: nn.Projection(0, 4), "in_channels=0, expected 1 or more"),
        (lambda: nn.Linear(4, state_dims=0), "state_dims=0, expected 1 for"),
        (lambda: nn.Linear(0), "channels=0, expected 1 or more"),
        (lambda: nn.Highway(4, state_dims=4), "state_dims=4, expected 1 for"),
        (lambda: nn.Highway(0), "channels=0, expected 1 or more"),
        (lambda: nn.LearnedScale(0), "channels=0, expected 1 or more"),
        (lambda: nn.Scaled(0.0), r"scale=0\.0, expected a positive number"),
        (lambda: nn.Scaled(float("nan")), "scale=nan, expected a positive number"),
        (lambda: nn.SoftAssignment(0.0), r"gamma=0\.0, expected numbers above 0"),
        (lambda: nn.SoftAssignment(1.5), r"gamma=1\.5, expected numbers above 0 and at most 1"),
    ],
)
def test_faults_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        call()


@pytest.mark.parametrize("dims", [1, 3])
def test_soft_assignment_takes_one_gamma_per_unit(dims: int) -> None:
    gamma = torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64)
    h, f = torch.randn(2, 2, 3, *(2,) * (dims - 1), dtype=torch.float64).unbind()
    carried, added = nn.SoftAssignment(gamma)(h, f)
    for unit in range(3):
        one = nn.SoftAssignment(float(gamma[unit]))(h[:, unit], f[:, unit])
        assert torch.equal(carried[:, unit], one[0])
        assert torch.equal(added[:, unit], one[1])
    with pytest.raises(ArgumentError, match=r"expected numbers above 0 and at most 1"):
        nn.SoftAssignment(torch.tensor([0.5, 1.5]))


def test_gamma_per_unit_is_set_again_where_its_memory_is_new() -> None:
    gamma = torch.tensor([0.1, 0.5, 1.0])
    block = nn.Block(nn.Dense(3), nn.SoftAssignment(gamma)).to("meta").to_empty(device="cpu")
    torch.nn.init.zeros_(block.get_buffer("shortcut.gamma"))
    block.reset_parameters(0)
    assert torch.equal(block.get_buffer("shortcut.gamma"), gamma)


def test_shapes_that_differ_are_refused_rather_than_stretched() -> None:
    block = nn.Block(nn.Convolutional(4, stride=4, rng=0))
    with pytest.raises(ArgumentError, match=r"x of shape \(1, 4, 4, 4\) and F\(x\) of shape \(1, 4, 1, 1\)"):
        block(torch.ones(1, 4, 4, 4))
