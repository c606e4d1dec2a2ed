"""Growth against what must not change: outputs and gradients bit for bit, matrix powers, fixed points, counts."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from cortexres import nn
from cortexres.errors import ArgumentError
from cortexres.nn import growth, transforms

CHANNELS, SIDE, BATCH = 4, 3, 5
Made = Callable[..., torch.nn.Module]

TRANSFORMS: dict[str, Made] = {
    "Dense": partial(nn.Dense, CHANNELS),
    "Dense, residual": partial(nn.Dense, CHANNELS, layers=2, final_activation=False),
    "PreactivatedDense": partial(nn.PreactivatedDense, CHANNELS),
    "LooksLinear": lambda norm, **o: nn.LooksLinear(CHANNELS, **o),
    "Convolutional": partial(nn.Convolutional, CHANNELS),
    "Convolutional, pre": partial(nn.Convolutional, CHANNELS, order="pre"),
    "Bottleneck": partial(nn.Bottleneck, CHANNELS, width=2),
    "Grouped": partial(nn.Grouped, CHANNELS, cardinality=2, base_width=2),
    "MultiResidual": lambda **o: nn.MultiResidual([nn.Convolutional(CHANNELS, **o) for _ in range(2)]),
    "Dilated": partial(nn.Dilated, CHANNELS, width=2),
    "SqueezeExcitation": lambda norm, **o: nn.SqueezeExcitation(nn.Convolutional(CHANNELS, norm=norm, **o), **o),
    "Inception": partial(nn.Inception, CHANNELS, width=2),
    "ExcitatoryInhibitory": lambda norm, **o: nn.ExcitatoryInhibitory(3, 1, final_activation=False, **o),
}
NORMS = {"none": None, "batch": nn.Norm("batch")}


def blocks(transform: str, count: int, *, norm: nn.Norm | None = None, shortcut: Any = nn.Identity) -> list[nn.Block]:
    """Return blocks of different weights, and norms unlike those of the start."""
    made = [TRANSFORMS[transform](norm=norm, rng=k, dtype=torch.float64) for k in range(count)]
    for one in made:
        for name, rows in one.state_dict().items():
            if "norm" in name and rows.is_floating_point():
                rows += torch.rand(rows.shape, dtype=rows.dtype, generator=torch.Generator().manual_seed(2))
    return [nn.Block(one, shortcut()) for one in made]


def untied(transform: str = "PreactivatedDense", count: int = 2, **options: Any) -> nn.Recurrent:
    return nn.Recurrent(blocks(transform, count, **options), injection="first", readout="last")


def state(transform: str = "PreactivatedDense") -> Tensor:
    dense = TRANSFORMS[transform](norm=None, rng=0).state_dims == 1
    shape = (BATCH, CHANNELS) if dense else (BATCH, CHANNELS, SIDE, SIDE)
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def gradients(network: torch.nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return those of an uneven sum of the last state."""
    last = network(x)[1]
    weights = torch.linspace(-1, 1, last.numel(), dtype=last.dtype).view_as(last)
    found = torch.autograd.grad((weights * last).sum(), list(network.parameters()))
    return dict(zip(dict(network.named_parameters()), found, strict=True))


# insert


def test_every_transform_is_tried() -> None:
    assert {type(made(norm=None, rng=0)).__name__ for made in TRANSFORMS.values()} == set(transforms.__all__) - {
        "Transform"
    }


BARE = [("Dense", "none"), ("Convolutional", "none"), ("MultiResidual", "none")]  # ends: of a vector, a map, branches


@pytest.mark.parametrize("by", ["zero", "scale"])
@pytest.mark.parametrize(("transform", "norm"), [*((name, "batch") for name in TRANSFORMS), *BARE])
def test_inserted_blocks_change_nothing_and_can_learn(transform: str, norm: str, by: Any) -> None:
    old = untied(transform, norm=NORMS[norm])
    x = state(transform)
    for training in (False, True):
        old.train(training)
        new = growth.insert(old, [0, 1, 1, 2], by=by, rng=7)
        assert (new.steps, new.training) == (6, training)
        # in training both see the same batch statistics, which are updated alike
        assert torch.equal(copy.deepcopy(new)(x)[1], copy.deepcopy(old)(x)[1])
    kept, found = gradients(old, x), gradients(new, x)
    for k, place in enumerate((1, 4)):  # where the old blocks are now
        for name in (name for name in kept if name.startswith(f"blocks.{k}.")):
            assert torch.equal(found[name.replace(f"blocks.{k}.", f"blocks.{place}.")], kept[name]), name
    for place in (0, 2, 3, 5):
        assert any(found[name].any() for name in found if name.startswith(f"blocks.{place}.")), place


def test_new_blocks_differ_and_come_from_rng() -> None:
    old = untied()
    one, same, other = (growth.insert(old, [1, 1], rng=seed) for seed in (3, 3, 4))
    first, second = (block.transform.layers[0].weight for block in list(one.blocks)[1:3])  # type: ignore[union-attr,index]
    assert not torch.equal(first, second)
    assert all(torch.equal(value, same.state_dict()[key]) for key, value in one.state_dict().items())
    assert not all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())


def test_places_are_whole_numbers_of_any_kind() -> None:
    old = untied()
    expected = growth.insert(old, 1, rng=3).state_dict()
    for at in (np.int64(1), np.array([1]), torch.tensor([1]), range(1, 2), {1}):
        new = growth.insert(old, at, rng=3).state_dict()
        assert all(torch.equal(value, new[key]) for key, value in expected.items())
    assert growth.refine(old, np.int64(2)).steps == 4
    assert growth.split(old, np.int64(1))[0].steps == 1


class Decay(torch.nn.Module):
    """The residual function -h / 2, without parameters."""

    state_dims, in_channels, out_channels, stride, takes_drive = 1, CHANNELS, CHANNELS, 1, False

    def forward(self, state: Tensor, drive: Tensor | None, step: int = 0) -> Tensor:
        return -0.5 * state


def test_functions_without_parameters_get_a_scale() -> None:
    old = nn.Recurrent([nn.Block(Decay()) for _ in range(2)], injection="first", readout="last")
    new = growth.insert(old, 1, by="scale")
    x = state().float()
    assert torch.equal(new(x)[1], old(x)[1])
    assert new.at(1)[0].shortcut.scale.dtype == torch.float32
    mixed = nn.Recurrent([nn.Block(Decay()), *blocks("Dense", 1)], injection="first", readout="last")
    assert growth.insert(mixed, 1, by="scale").at(1)[0].shortcut.scale.dtype == torch.float64


def test_a_readout_beyond_the_steps_is_kept() -> None:
    """A network that is run for more steps than its own may be read at one of those."""
    old = nn.Recurrent(blocks("Dense", 1)[0], steps=5, readout=4).to_untied(2)
    assert growth.refine(old).readout == 8
    assert growth.insert(old, 1, by="scale").readout == 5


def test_a_new_block_is_like_the_one_before_it() -> None:
    one, other = blocks("PreactivatedDense", 1)[0], blocks("Dense", 1)[0]
    new = growth.insert(nn.Recurrent([one, other], injection="first"), [0, 1, 2], rng=0)
    kinds = [type(block.transform) for block in new.blocks]
    assert kinds == [nn.PreactivatedDense] * 3 + [nn.Dense] * 2


def test_the_network_itself_is_left_alone() -> None:
    old = nn.create("digits_untied", rng=0, blocks=[2])
    before = {key: value.clone() for key, value in old.state_dict().items()}
    for new in (growth.insert(old, 1, rng=0), growth.refine(old), growth.split_stage(old, 1)):
        with torch.no_grad():
            for value in new.state_dict().values():
                value.zero_()
    assert all(torch.equal(value, before[key]) for key, value in old.state_dict().items())


@pytest.mark.parametrize("shortcut", [partial(nn.Scaled, 0.3), partial(nn.Linear, CHANNELS, state_dims=1)])
def test_shortcuts_that_carry_the_state_are_kept(shortcut: Any) -> None:
    old = untied(shortcut=shortcut).double()
    new = growth.insert(old, 1, rng=0)
    new.double()
    assert type(new.at(1)[0].shortcut) is type(old.at(0)[0].shortcut)
    assert torch.equal(new(state())[1], old(state())[1])


def test_blocks_whose_scale_starts_at_zero_keep_their_weights() -> None:
    old = untied(shortcut=partial(nn.LearnedScale, CHANNELS, dtype=torch.float64))
    new = growth.insert(old, 1, rng=0)
    assert torch.equal(new(state())[1], old(state())[1])
    assert gradients(new, state())["blocks.1.shortcut.scale"].any()  # zeros on both sides would never move


@pytest.mark.parametrize(
    "shortcut", [partial(nn.SoftAssignment, 0.3), partial(nn.Highway, CHANNELS, state_dims=1), nn.NoShortcut]
)
def test_other_shortcuts_need_a_scale(shortcut: Any) -> None:
    old = untied(shortcut=shortcut).double()
    with pytest.raises(ArgumentError, match="expected one that carries the state unchanged"):
        growth.insert(old, 1)
    assert torch.equal(growth.insert(old, 1, by="scale", rng=0)(state())[1], old(state())[1])


def test_insertion_after_a_rectified_sum() -> None:
    made = [nn.Block(block.transform, activation=torch.relu) for block in blocks("Dense", 2)]
    old = nn.Recurrent(made, injection="first", readout="last")
    assert torch.equal(growth.insert(old, [1, 2], rng=0)(state())[1], old(state())[1])
    with pytest.raises(ArgumentError, match="expected a place after a block with the same one"):
        growth.insert(old, 0)  # the input has not been rectified
    for block in made:
        block.activation = torch.tanh
    with pytest.raises(ArgumentError, match="leaves alone what has been through it, such as relu"):
        growth.insert(nn.Recurrent(made, injection="first"), 1)


def test_insertion_where_the_input_enters_at_every_step() -> None:
    old = nn.Recurrent(blocks("Dense", 2, shortcut=partial(nn.SoftAssignment, 0.4)), readout=2)
    new = growth.insert(old, [0, 1, 2], by="scale", rng=0)
    assert new.readout == 4  # the block that was read, not the one that follows it
    assert torch.equal(new(state())[0], old(state())[0])
    with pytest.raises(ArgumentError, match="would take the input in once more"):
        growth.insert(nn.Recurrent(blocks("Dense", 2)), 1)
    with pytest.raises(ArgumentError, match="would take the input in once more"):
        growth.insert(nn.Recurrent(blocks("PreactivatedDense", 2)), 1, by="scale")


def test_a_staged_network_grows_in_one_stage() -> None:
    old = nn.create("resnet20", rng=0, widths=[4, 4, 8], blocks=[2, 2, 2], stem={"kind": "convolution", "width": 4})
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for training in (True, False):
        new = growth.insert(old.train(training), [1], stage=2, rng=0)
        assert (new.steps, new.facts["blocks"]) == ((2, 1, 2), [2, 2, 3])
        assert torch.equal(new(x), old(x))
    assert torch.equal(growth.insert(old.stages[2], 1, rng=0)(x4 := torch.ones(2, 4, 4, 4)), old.stages[2](x4))


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (lambda: untied(), {"at": 1, "by": "magic"}, "got by='magic', expected 'zero' or 'scale'"),
        (lambda: untied(), {"at": 3}, r"got at=\[3\], expected numbers of blocks from 0 to 2"),
        (lambda: untied(), {"at": []}, r"got at=\[\], expected"),
        (lambda: untied(), {"at": 1.5}, "got at=1.5, expected a whole number"),
        (lambda: untied(), {"at": [0, "1"]}, "got at='1', expected a whole number"),
        (lambda: untied(), {"at": 1, "stage": 7}, "got stage=7 of a Recurrent, expected 0"),
        (lambda: nn.create("digits_untied", rng=0).stages[0], {"at": 1, "stage": 1}, "got stage=1 of a Stage"),
        (lambda: nn.create("digits_untied", rng=0), {"at": 1, "stage": 0.5}, "got stage=0.5, expected a whole number"),
        (lambda: nn.create("digits_tied", rng=0), {"at": 1}, "got a tied network, expected an untied one"),
        (lambda: nn.create("digits_untied", rng=0), {"at": 1, "stage": 1}, "got stage=1, expected 0 to 0"),
        (lambda: nn.Recurrent(blocks("Dense", 1), noise=0.1), {"at": 1}, "got noise=0.1, expected 0"),
        (lambda: torch.nn.Linear(2, 2), {"at": 1}, "got a Linear, expected a Recurrent, a Stage"),
        (lambda: nn.Stage(blocks("Dense", 1)[0]), {"at": 0}, "got a stage without a recurrent network"),
    ],
)
def test_insertion_refuses(network: Any, options: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        growth.insert(network(), **options)


# silence_


@pytest.mark.parametrize("norm", [None, nn.Norm("rms")], ids=["none", "rms"])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_silenced_functions_are_zero_whatever_they_were(transform: str, norm: nn.Norm | None) -> None:
    made = blocks(transform, 1, norm=norm)[0].transform
    with torch.no_grad():
        for value in made.parameters():
            value += 0.1 * (value == 0)  # biases start at 0
        assert made(state(transform)).any()
        assert not growth.silence_(made)(state(transform)).any()


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (torch.nn.Identity(), "expected one of cortexres.nn.transforms"),
        (nn.Dense(2, activation=softplus), "value 0.693147 and slope 0.5 at 0"),
        (nn.Dense(2, activation=torch.relu), "value 0 and slope 0 at 0"),  # would stay silent
        (nn.ExcitatoryInhibitory(2, 1), "value 0 and slope 0 at 0"),
        (nn.Dense(2, norm=nn.Norm("layer", affine="none")), "last normalisation has no scale"),
        (
            nn.ExcitatoryInhibitory(2, 1, norm=nn.Norm("batch", affine="none"), final_activation=False),
            "last normalisation has no scale",
        ),
    ],
)
def test_what_no_zeros_silence(transform: torch.nn.Module, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        growth.silence_(transform)


def test_a_norm_of_the_sum_of_branches_is_silenced() -> None:
    branches = nn.Grouped(CHANNELS, cardinality=2, base_width=2, norm=nn.Norm("batch"), rng=0).split()
    x = state("Grouped").float()
    assert branches(x).any()
    assert not growth.silence_(branches)(x).any()


# refine


def linear(tied: bool, shortcut: Any, steps: int = 3, **options: Any) -> tuple[nn.Recurrent, Tensor]:
    """Return a linear network, and the weight of its F."""
    transform = nn.Dense(CHANNELS, activation=lambda x: x, bias=False, rng=0, dtype=torch.float64)
    made = nn.Recurrent(nn.Block(transform, shortcut), steps=steps, **options)
    return (made if tied else made.to_untied()), transform.layers[0].weight.detach()  # type: ignore[return-value]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("times", [2, 5])
def test_refinement_of_a_linear_network_is_a_matrix_power(tied: bool, times: int) -> None:
    network, weight = linear(tied, nn.Identity(), injection="first", readout="last")
    refined = growth.refine(network, times)
    eye = torch.eye(CHANNELS, dtype=torch.float64)
    power = torch.linalg.matrix_power(eye + weight / times, 3 * times)
    torch.testing.assert_close(refined(state())[1], state() @ power.T, rtol=1e-12, atol=1e-12)
    assert (refined.steps, refined.tied) == (3 * times, tied)


def test_refinement_converges_to_the_flow_at_first_order() -> None:
    network, weight = linear(True, nn.Scaled(0.2), injection="first", readout="last")
    flow = state() @ torch.linalg.matrix_exp(0.6 * weight).T
    with torch.no_grad():
        errors = [float((growth.refine(network, times)(state())[1] - flow).abs().max()) for times in (16, 32, 64)]
    assert errors[0] / errors[1] == pytest.approx(2.0, abs=0.1)
    assert errors[1] / errors[2] == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize(
    ("shortcut", "gamma"),
    [(nn.NoShortcut(), 1.0), (nn.SoftAssignment(0.6), 0.6), (nn.SoftAssignment(torch.tensor([0.6])), 0.6)],
)
def test_a_leaky_unit_under_a_constant_drive_follows_its_closed_form(shortcut: Any, gamma: float) -> None:
    network, _ = linear(True, shortcut)
    with torch.no_grad():
        network.block.transform.layers[0].weight.zero_()  # type: ignore[union-attr,index]
    states = growth.refine(network, 4)(state())[0]
    rises = 1 - (1 - gamma / 4) ** torch.arange(1, 13, dtype=torch.float64)
    torch.testing.assert_close(states, rises[:, None] * state()[:, None], rtol=1e-6, atol=1e-6)


def test_refinement_keeps_fixed_points() -> None:
    network, weight = linear(True, nn.SoftAssignment(0.5), steps=1)
    rest = torch.linalg.solve(torch.eye(CHANNELS, dtype=torch.float64) - weight, state().T).T
    torch.testing.assert_close(growth.refine(network, 3)(state(), rest)[1], rest, rtol=1e-12, atol=1e-12)


def test_a_drive_beside_f_is_divided_as_f_is() -> None:
    network = nn.Recurrent(blocks("PreactivatedDense", 1)[0], steps=2)
    with torch.no_grad():
        for value in network.parameters():
            value.zero_()
    torch.testing.assert_close(growth.refine(network, 2)(state())[1], network(state())[1], rtol=1e-12, atol=0)


@pytest.mark.parametrize("norm", [None, nn.Norm("batch", steps=3), nn.Norm("batch", steps=3, affine="shared")])
def test_a_refined_tied_network_is_the_refined_untied_one(norm: nn.Norm | None) -> None:
    tied = nn.Recurrent(blocks("PreactivatedDense", 1, norm=norm)[0], steps=3, injection="first").eval()
    one, other = growth.refine(tied), growth.refine(tied.to_untied())
    assert torch.equal(one(state())[0], other(state())[0])
    assert torch.equal(one(state())[0], growth.refine(tied).to_untied()(state())[0])
    weights = sum(value.numel() for value in one.block.transform.layers.parameters())  # type: ignore[union-attr]
    assert weights == sum(value.numel() for value in tied.block.transform.layers.parameters())  # type: ignore[union-attr]
    assert sum(value.numel() for value in other.parameters()) == 2 * sum(
        value.numel() for value in tied.to_untied().parameters()
    )


def test_refinement_divides_learned_scales_and_noise_and_moves_the_readout() -> None:
    shortcut = nn.LearnedScale(CHANNELS)
    torch.nn.init.constant_(shortcut.scale, 0.8)
    network, _ = linear(True, shortcut, readout=2, noise=0.3)
    refined = growth.refine(network, 4)
    assert (refined.readout, refined.steps) == (8, 12)
    assert refined.noise == pytest.approx(0.15)
    assert torch.equal(refined.block.shortcut.scale, torch.full((CHANNELS,), 0.2))  # type: ignore[union-attr]
    assert torch.equal(shortcut.scale, torch.full((CHANNELS,), 0.8))


def test_all_stages_are_refined_or_one() -> None:
    network = nn.create("resnet20", rng=0, widths=[4, 4, 8], blocks=[2, 2, 1], stem={"kind": "convolution", "width": 4})
    assert network.steps == (2, 1, 0)  # two of the stages begin with a transition
    assert growth.refine(network).steps == (4, 2, 0)
    assert growth.refine(network, stage=0).steps == (4, 1, 0)


def test_refinement_refuses() -> None:
    with pytest.raises(ArgumentError, match="got times=1, expected 2 or more"):
        growth.refine(untied(), 1)
    with pytest.raises(ArgumentError, match=r"got times=2\.0, expected a whole number"):
        growth.refine(untied(), 2.0)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="got stage=1 of a Recurrent, expected 0"):
        growth.refine(untied(), stage=1)
    gated = untied(shortcut=partial(nn.Highway, CHANNELS, state_dims=1))
    with pytest.raises(ArgumentError, match="got blocks with the shortcut Highway, expected one with a step"):
        growth.refine(gated)


# split


@pytest.mark.parametrize(
    ("tied", "injection", "norm"),
    [
        *((tied, injection, nn.Norm("batch", steps=5)) for tied in (True, False) for injection in ("first", "every")),
        (True, "first", None),
        (True, "every", nn.Norm("layer", steps=2, beyond="last")),
    ],
)
def test_split_networks_compute_the_same_in_turn(tied: bool, injection: Any, norm: nn.Norm | None) -> None:
    shared = nn.Recurrent(blocks("Dense, residual", 1, norm=norm)[0], steps=5, injection=injection).eval()
    whole = shared if tied else shared.to_untied()
    x = state()
    for at in (1, 3, 4):
        first, second = growth.split(whole, at)
        assert (first.steps, second.steps, first.tied, second.tied) == (at, 5 - at, tied, tied)
        middle = first(x)[1]
        after = second(middle)[0] if injection == "first" else second(x, middle)[0]
        assert torch.equal(torch.cat([first(x)[0], after], dim=1), whole(x)[0])


def test_the_gradients_of_the_parts_sum_to_that_of_the_whole() -> None:
    whole = nn.Recurrent(blocks("PreactivatedDense", 1)[0], steps=4, injection="first", readout="last")
    first, second = growth.split(whole, 1)
    found = gradients(whole, state())
    both = torch.nn.ModuleList([first, second])
    last = second(first(state())[1])[1]
    weights = torch.linspace(-1, 1, last.numel(), dtype=last.dtype).view_as(last)
    parts = torch.autograd.grad((weights * last).sum(), list(both.parameters()))
    halves = dict(zip(dict(both.named_parameters()), parts, strict=True))
    for name, gradient in found.items():
        torch.testing.assert_close(halves[f"0.{name}"] + halves[f"1.{name}"], gradient, rtol=1e-11, atol=1e-13)


def test_a_split_stage_computes_the_same_with_one_block_more() -> None:
    old = nn.create("digits_tied", rng=0, blocks=[5]).eval()
    new = growth.split_stage(old, 2)
    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(new(x), old(x))
    assert (new.steps, new.tied, len(new.chain().blocks)) == ((2, 3), True, 2)
    weights, more = (sum(value.numel() for value in one.parameters()) for one in (old, new))
    assert more - weights == 2 * 64 * 64  # the layers of one block; norms have their rows as before
    again = growth.split_stage(new, 1, stage=1)
    assert torch.equal(again(x), old(x))
    assert again.steps == (2, 1, 2)


def test_splitting_refuses() -> None:
    whole = nn.Recurrent(blocks("Dense", 1)[0], steps=3)
    with pytest.raises(ArgumentError, match="got at=3, expected 1 to 2"):
        growth.split(whole, 3)
    with pytest.raises(ArgumentError, match=r"got at=1\.5, expected a whole number"):
        growth.split(whole, 1.5)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="got readout=2, expected 'all' or 'last'"):
        growth.split(nn.Recurrent(blocks("Dense", 1)[0], steps=3, readout=2), 1)
    with pytest.raises(ArgumentError, match="got stage=-1, expected 0 to 0"):
        growth.split_stage(nn.create("digits_tied", rng=0, blocks=[3]), 1, stage=-1)
