"""Gradients at a fixed point against the dense closed form and the plain loop of many steps; what is refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from loop_cases import NETWORKS, Case, fresh
from torch import Tensor
from torch.nn.utils import parametrize

from cortexres import nn
from cortexres.errors import ArgumentError
from cortexres.nn import loops
from cortexres.nn.loops.adjoint import solved
from cortexres.nn.norms import Norm

STEPS = 600
SETTLING = (
    "leaky", "leaky, ReLU, no bias", "leaky, own weights of the input", "leaky, each unit", "Elman",
    "excitatory-inhibitory", "excitatory-inhibitory, current", "excitatory-inhibitory, softplus", "two layers",
)
EXACT = loops.FixedPoint(tolerance=1e-9, adjoint_tolerance=1e-12)


def calm(made: nn.Recurrent) -> nn.Recurrent:
    """Return a network whose step brings states together: no layer stretches by more than a half."""
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim > 1:
                taps = parameter[0, 0].numel() ** 0.5
                parameter.div_(2 * taps * torch.linalg.matrix_norm(parameter.flatten(1).double(), 2).to(parameter))
    made.readout, made.steps = "last", STEPS
    return made


def gradients(made: nn.Recurrent, loop: loops.Loop, x: Tensor, h_0: Tensor | None = None) -> dict[str, Tensor]:
    """Return the last state and the gradients of an uneven sum of it, as float64."""
    made.loop = loop
    output, last = made(x, h_0)
    of = {"x": x, **({} if h_0 is None else {"h_0": h_0}), **dict(made.named_parameters())}
    weights = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    total = (weights * output).sum() + (weights.flip(0) * last).sum()
    found = torch.autograd.grad(total, list(of.values()))
    return {"output": output.detach().double(), **{k: g.double() for k, g in zip(of, found, strict=True)}}


def check_alike(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name, right in expected.items():
        assert (found[name] - right).abs().max() <= tolerance * (1 + right.abs().max()), name


@pytest.mark.parametrize("network", SETTLING)
def test_equals_the_plain_loop_of_many_steps(network: str) -> None:
    case, seed = Case(network, start="learned"), fresh()
    made, (x, h_0) = calm(case.made(seed)), case.inputs(seed)
    plain = gradients(made, loops.Plain(), x, h_0)
    found = gradients(made, EXACT, x, h_0)
    assert torch.equal(found["output"], plain["output"])
    assert not found["h_0"].any()
    check_alike(found, plain, 1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("network", ["leaky", "excitatory-inhibitory, current", "excitatory-inhibitory maps"])
def test_in_lower_precision_it_is_no_further_from_the_exact_gradient_than_the_plain_loop(
    network: str, dtype: torch.dtype
) -> None:
    case, seed = Case(network, dtype=dtype), fresh()
    made, (x, _) = calm(case.made(seed)), case.inputs(seed)
    found, plain = gradients(made, loops.FixedPoint(), x), gradients(made, loops.Plain(), x)
    exact = gradients(made.double(), loops.Plain(), x.detach().double().requires_grad_())
    assert torch.equal(found["output"], plain["output"])
    for name, right in exact.items():
        # 1e-5 of the adjoint equation is left, and (I - J)^-1 stretches by 20 at most: gamma is 0.1 or more
        allowed = 2 * (plain[name] - right).abs().max() + 20e-5 * right.norm()
        assert (found[name] - right).abs().max() <= allowed, (name, seed)


def test_equals_the_dense_inverse_where_the_network_is_linear() -> None:
    made = calm(NETWORKS["leaky, linear"](rng=fresh(), dtype=torch.float64))
    weight, bias = made.block.transform.layers[0].weight, made.block.transform.layers[0].bias
    x = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    found = gradients(made, EXACT, x)
    inverse = torch.linalg.inv(torch.eye(6, dtype=torch.float64) - weight.detach())
    z = (x.detach() + bias.detach()) @ inverse.T
    g = torch.linspace(-1, 1, 30, dtype=torch.float64).view(5, 6)
    v = (g + g.flip(0)) @ inverse
    expected = [("output", z), ("x", v), ("block.transform.layers.0.weight", v.T @ z)]
    for name, right in [*expected, ("block.transform.layers.0.bias", v.sum(dim=0))]:
        assert (found[name] - right).abs().max() <= 1e-10 * (1 + right.abs().max()), name


def test_equals_the_dense_inverse_of_the_jacobian() -> None:
    made = calm(NETWORKS["excitatory-inhibitory maps"](rng=fresh(), dtype=torch.float64))
    x = torch.randn(2, 6, 5, 5, dtype=torch.float64, requires_grad=True)
    found = gradients(made, EXACT, x)
    g = torch.linspace(-1, 1, 300, dtype=torch.float64).view(2, 150)
    g = g + g.flip(0)
    for k in range(2):
        z, u = found["output"][k : k + 1], x.detach()[k : k + 1]
        jacobian = torch.autograd.functional.jacobian(lambda h, u=u: made.block(h, u), z).view(150, 150)
        by_input = torch.autograd.functional.jacobian(lambda u, z=z: made.block(z, u), u).view(150, 150)
        right = torch.linalg.solve(torch.eye(150, dtype=torch.float64) - jacobian.T, g[k]) @ by_input
        assert (found["x"][k].flatten() - right).abs().max() <= 1e-10 * (1 + right.abs().max())


def test_normalisation_that_the_steps_share_is_differentiated_too() -> None:
    norm = Norm("layer", affine="shared", steps=9)
    block = nn.Block(nn.Dense(6, norm=norm, rng=fresh(), dtype=torch.float64), nn.SoftAssignment(0.3))
    made = nn.Recurrent(block, steps=STEPS, readout=STEPS)
    with torch.no_grad():
        made.block.transform.norms[0].weight.mul_(0.1)
    x = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    check_alike(gradients(made, EXACT, x), gradients(made, loops.Plain(), x), 1e-8)


def test_an_input_that_only_starts_the_run_has_no_gradient() -> None:
    made = calm(NETWORKS["leaky"](rng=fresh(), dtype=torch.float64, injection="first"))
    x = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    plain, found = gradients(made, loops.Plain(), x), gradients(made, EXACT, x)
    assert not found["x"].any()
    check_alike(found, plain, 1e-8)


@pytest.mark.parametrize("within", [nullcontext, parametrize.cached])
def test_weights_under_dales_law_get_their_gradient_within_any_cache(within: Callable) -> None:
    made = calm(NETWORKS["excitatory-inhibitory"](rng=fresh(), dtype=torch.float64))
    x = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    plain = gradients(made, loops.Plain(), x)
    with within():
        check_alike(gradients(made, EXACT, x), plain, 1e-8)


def test_what_is_kept_does_not_grow_with_the_steps() -> None:
    made = calm(NETWORKS["leaky"](rng=fresh(), dtype=torch.float64))
    x, counts = torch.randn(3, 6, dtype=torch.float64), []
    made.loop = loops.FixedPoint()
    for steps in (1000, 2000):  # both so many that the state does not move at all: no way to look for
        saved: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, saved=saved: saved.append(t.nbytes) or t, lambda t: t):
            made(x, steps=steps)
        counts.append(sum(saved))
    assert 0 < counts[0] == counts[1]


def test_how_far_the_fixed_point_is_decides_and_not_how_small_a_step_is() -> None:
    draw = torch.Generator().manual_seed(fresh())
    for dtype in (torch.float64, torch.float32):
        x = torch.randn(5, 6, generator=draw, dtype=dtype)
        x[1] *= 10  # its units fire
        made = calm(NETWORKS["leaky"](rng=fresh(), dtype=dtype))
        slow = nn.Recurrent(nn.Block(made.block.transform, nn.SoftAssignment(1e-3)), steps=3000, readout="last")
        slow.loop = loops.FixedPoint()
        with pytest.raises(ArgumentError, match=r"still on its way after 3000 steps, .* = 0\.\d+"):
            slow(x)
        x.requires_grad_()
        expected = gradients(made, loops.FixedPoint(), x)
        z = expected["output"].to(dtype)
        # where it is, and what moves it, is the same for every gamma; float32 leaves eps / gamma of v's equation
        slow.loop = loops.FixedPoint(adjoint_tolerance=1e-3)
        output = slow(x, z, steps=1)[0]
        weights = torch.linspace(-1, 1, output.numel(), dtype=dtype).view_as(output)
        (found,) = torch.autograd.grad(((weights + weights.flip(0)) * output).sum(), x)
        assert (found - expected["x"]).abs().max() <= 1e-2 * expected["x"].abs().max()


def test_a_coarse_type_does_not_hide_that_a_state_is_on_its_way() -> None:
    made = calm(NETWORKS["leaky"](rng=fresh(), dtype=torch.bfloat16))
    slow = nn.Recurrent(nn.Block(made.block.transform, nn.SoftAssignment(0.01)), steps=100, readout="last")
    slow.loop = loops.FixedPoint()
    with pytest.raises(ArgumentError, match=r"still on its way after 100 steps, .* expected at most 0\.12"):
        slow(torch.ones(3, 6, dtype=torch.bfloat16))


def test_the_way_to_the_fixed_point_is_that_of_the_closed_form() -> None:
    made = calm(NETWORKS["leaky, linear"](rng=fresh(), dtype=torch.float64))
    weight, bias = (p.detach() for p in made.block.transform.layers[0].parameters())
    x = torch.randn(5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(fresh()))
    z = (x + bias) @ torch.linalg.inv(torch.eye(6, dtype=torch.float64) - weight).T
    made.loop = loops.Plain()
    state = made(x, steps=9)[1].detach()
    after = made(x, state, steps=1)[1].detach()
    ratio = float(((z - state).norm(dim=1) / after.norm(dim=1)).max())
    made.loop = loops.FixedPoint(tolerance=1.1 * ratio)
    made(x, steps=9)
    made.loop = loops.FixedPoint(tolerance=0.9 * ratio)
    with pytest.raises(ArgumentError, match=r"got a state z that is still on its way after 9 steps"):
        made(x, steps=9)


def test_what_never_stops_has_no_fixed_point_however_small_its_steps() -> None:
    made = NETWORKS["leaky, linear"](rng=0, dtype=torch.float64, readout="last")
    with torch.no_grad():
        made.block.transform.layers[0].weight.copy_(torch.eye(6))
        made.block.transform.layers[0].bias.zero_()
    made.loop = loops.FixedPoint(products=20)
    x = torch.ones(3, 6, dtype=torch.float64)  # h' = h + 0.2 x
    with pytest.raises(ArgumentError, match=r"moves after 1 steps, .* solved to 1 after 20 products"):
        made(x, 1e6 * x, steps=1)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_gradient_that_is_no_number_stays_none(bad: float) -> None:
    made = calm(NETWORKS["leaky"](rng=fresh(), dtype=torch.float32))
    made.loop, x = loops.FixedPoint(), torch.randn(3, 6, requires_grad=True)
    right = torch.autograd.grad(made(x)[0].sum(), x)[0]
    output = made(x)[0]
    given = torch.ones_like(output)
    given[1, 2] = bad
    to_x, *to_weights = torch.autograd.grad(output, [x, *made.parameters()], given)
    assert not to_x[1].isfinite().all()
    assert not any(gradient.isfinite().all() for gradient in to_weights)
    for k in (0, 2):
        assert torch.allclose(to_x[k], right[k], rtol=1e-4)
    output = made(x)[0]
    assert not torch.autograd.grad(output, x, torch.full_like(output, bad))[0].isfinite().any()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_gradients_whose_squares_are_no_floats_are_solved_for(scale: float) -> None:
    half = torch.full((2, 3), scale)
    v, left = solved(lambda v: v / 2, half, tolerance=1e-6, products=20)
    assert left <= 1e-6
    assert torch.allclose(v, 2 * half, rtol=1e-5, atol=0)
    v, left = solved(lambda v: v * torch.nan, half, tolerance=1e-6, products=20)
    assert v.isnan().all()
    assert not left <= 1e-6


def test_a_single_image_that_still_moves_is_noticed() -> None:
    made = calm(NETWORKS["leaky"](rng=fresh(), dtype=torch.float64))
    made.loop, x = loops.FixedPoint(), torch.randn(50, 6, dtype=torch.float64)
    start = made(x)[1].detach()
    made(x, start, steps=1)
    start[17] += 1
    with pytest.raises(ArgumentError, match=r"still on its way after 1 steps, .* = [\d.]+, expected at"):
        made(x, start, steps=1)
    with torch.no_grad():  # no gradient, nothing to check
        made(x, start, steps=1)
    start[17] = torch.nan
    with pytest.raises(ArgumentError, match=r"still on its way after 1 steps, .* = nan, expected"):
        made(x, start, steps=1)
    assert made(x[:0])[0].shape == (0, 6)
    made.loop = loops.FixedPoint(tolerance=1e-30)
    with pytest.raises(ArgumentError, match=r"still on its way .* expected at most 1e-30: no implicit gradient"):
        made(x, steps=60)


def test_a_state_that_dies_away_beside_others_is_still() -> None:
    made = calm(NETWORKS["leaky, ReLU, no bias"](rng=0, dtype=torch.float64))
    x = torch.randn(3, 6, dtype=torch.float64)
    x[1] = -50  # no unit fires: h' = 0.8 h
    start = torch.ones_like(x)
    x, start = x.requires_grad_(), start.requires_grad_()
    plain, found = (gradients(made, loop, x, start) for loop in (loops.Plain(), EXACT))
    assert 0 < found["output"][1].abs().max() < 1e-50
    check_alike(found, plain, 1e-8)
    with pytest.raises(ArgumentError, match=r"still on its way after 600 steps, .* = 1\.2,"):
        gradients(made, EXACT, x[1:2], start[1:2])


def test_a_line_of_fixed_points_has_no_implicit_gradient() -> None:
    made = NETWORKS["leaky, linear"](rng=0, dtype=torch.float64, readout="last", injection="first")
    with torch.no_grad():
        made.block.transform.layers[0].weight.copy_(torch.eye(6))
        made.block.transform.layers[0].bias.zero_()
    made.loop = loops.FixedPoint(products=20)
    output = made(torch.randn(3, 6, dtype=torch.float64))[0]
    with pytest.raises(ArgumentError, match=r"got an adjoint equation solved to 1 after 20 products with J\^T"):
        output.sum().backward()


def test_gradients_of_gradients_and_many_at_once_are_refused() -> None:
    made = calm(NETWORKS["leaky"](rng=fresh(), dtype=torch.float64))
    made.loop, x = loops.FixedPoint(), torch.randn(1, 6, dtype=torch.float64, requires_grad=True)
    last = made(x)[0][0]
    match = "got a gradient that is to have gradients, or many at once, expected a single one"
    with pytest.raises(ArgumentError, match=match):
        torch.autograd.grad(last.sum(), x, create_graph=True)
    with pytest.raises(ArgumentError, match=match):
        torch.autograd.grad(last, x, torch.eye(6, dtype=torch.float64), is_grads_batched=True)


@pytest.mark.parametrize(
    ("network", "options", "why"),
    [
        ("leaky", {"readout": "all"}, "states before the last"),
        ("leaky", {"readout": 4}, "states before the last"),
        ("leaky", {"noise": 0.1}, "noise"),
        ("dense, norm", {}, "normalisation with parameters or statistics for each step"),
        ("leaky", {"movie": True}, "a movie, under which no state stays"),
        ("leaky", {"steps": 0}, "no steps"),
        ("leaky", {"untied": True}, r"blocks of their own \(an untied network\)"),
        ("leaky", {"hooked": True}, "hooks on modules"),
    ],
)
def test_refuses_in_words_what_has_no_fixed_point(network: str, options: dict, why: str) -> None:
    own = {"readout": "last", **{k: v for k, v in options.items() if k in ("readout", "noise")}}
    made = NETWORKS[network](rng=0, dtype=torch.float64, **own)
    made = made.to_untied() if "untied" in options else made
    if "hooked" in options:
        made.block.register_forward_hook(lambda *_: None)
    made.loop = loops.FixedPoint()
    x = torch.randn(3, *((9,) if "movie" in options else ()), 6, dtype=torch.float64)
    with pytest.raises(ArgumentError, match=f"cannot run {why}"):
        made(x, steps=options.get("steps"))


@pytest.mark.parametrize("name", ["tolerance", "adjoint_tolerance", "products"])
def test_options_are_positive(name: str) -> None:
    with pytest.raises(ArgumentError, match=f"got {name}=0, expected a positive number"):
        loops.FixedPoint(**{name: 0})


def test_the_adjoint_equation_is_solved_by_few_products_even_where_iterating_it_diverges() -> None:
    draw = torch.Generator().manual_seed(fresh())
    transposed = torch.randn(7, 40, 40, generator=draw, dtype=torch.float64) * (0.5 / 40**0.5)
    transposed[3] += 3 * torch.outer(torch.eye(40)[0], torch.ones(40) / 40)
    transposed[3, 0, 0] = 5.0  # an eigenvalue far above 1
    g = torch.randn(7, 2, 20, generator=draw, dtype=torch.float64)
    g[5] = 0
    calls: list[int] = []

    def apply(v: Tensor) -> Tensor:
        calls.append(1)
        return torch.einsum("bij,bj->bi", transposed, v.flatten(1)).view_as(v)

    v, left = solved(apply, g, tolerance=1e-11, products=500)
    right = torch.linalg.solve(torch.eye(40, dtype=torch.float64) - transposed, g.flatten(1))
    assert left <= 1e-11
    assert (v.flatten(1) - right).abs().max() <= 1e-9
    assert not v[5].any()
    assert len(calls) < 100
    assert solved(apply, torch.zeros_like(g), tolerance=1e-11, products=500)[1] == 0
    assert solved(apply, g, tolerance=1e-11, products=4)[1] > 1e-11


def test_a_transform_that_is_not_known_to_be_the_same_at_each_step_is_refused() -> None:
    class Warming(nn.Dense):
        def forward(self, state: Tensor, drive: Tensor | None = None, step: int = 0) -> Tensor:
            return super().forward(state, drive, step) / (step + 1)

    made = nn.Recurrent(nn.Block(Warming(4, rng=0), nn.SoftAssignment(0.2)), steps=9, readout="last")
    why = loops.FixedPoint().refusal(made.run_of(torch.zeros(2, 4)))
    assert why == "the transform Warming, which may do another thing at each step"
