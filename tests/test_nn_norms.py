"""Normalisation per step against torch's own modules, one for each step, and against what must not happen silently."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from cortexres import nn
from cortexres.errors import ArgumentError
from cortexres.nn.norms import KINDS, StepNorm

CHANNELS, STEPS = 4, 3
SHARINGS = list(itertools.product(KINDS, ("per_step", "shared"), ("per_step", "shared", "none")))


def maps(seed: int = 0, channels: int = CHANNELS) -> Tensor:
    """Return states whose channels differ in mean and size."""
    x = torch.randn(5, channels, 3, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (1 + seed) * x * torch.arange(1, channels + 1).view(-1, 1, 1) + seed


def filled(recipe: nn.Norm, seed: int = 0) -> StepNorm:
    """Return a norm with random parameters and statistics."""
    norm = recipe.build(CHANNELS, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    for rows in norm.state_dict().values():
        rows.copy_(torch.rand(rows.shape, generator=generator) + 0.5 if rows.is_floating_point() else 7)
    return norm


def test_batch_statistics_per_step_are_those_of_separate_modules() -> None:
    """Three training batches, then evaluation, with torch's BatchNorm2d for each step beside it."""
    norm = nn.Norm("batch", steps=STEPS, momentum=0.3, eps=1e-2).build(CHANNELS, dtype=torch.float64)
    separate = [torch.nn.BatchNorm2d(CHANNELS, momentum=0.3, eps=1e-2, dtype=torch.float64) for _ in range(STEPS)]
    with torch.no_grad():
        for step, other in enumerate(separate):
            other.weight += step
            other.bias -= step
            norm.weight[step], norm.bias[step] = other.weight, other.bias  # type: ignore[index]
    for batch in range(3):
        for step, other in enumerate(separate):
            assert torch.equal(norm(maps(batch + step), step), other(maps(batch + step)))
    norm.eval()
    for step, other in enumerate(separate):
        assert torch.equal(norm(maps(9), step), other.eval()(maps(9)))
        for key, value in other.state_dict().items():
            assert torch.equal(norm.state_dict()[key][step], value)


def test_sample_norms_are_those_of_torch() -> None:
    x, options = maps(2), {"steps": STEPS, "eps": 1e-2, "groups": 2}
    for step in range(STEPS):
        for kind in ("layer", "group"):
            norm = filled(nn.Norm(kind, **options))  # type: ignore[arg-type]
            groups = 1 if kind == "layer" else 2
            weight, bias = norm.weight[step], norm.bias[step]  # type: ignore[index]
            torch.testing.assert_close(norm(x, step), functional.group_norm(x, groups, weight, bias, 1e-2))
        rms = filled(nn.Norm("rms", **options))  # type: ignore[arg-type]
        assert rms.bias is None
        expected = x / (x.square().mean(dim=(1, 2, 3), keepdim=True) + 1e-2).sqrt()
        torch.testing.assert_close(rms(x, step), expected * rms.weight[step].view(-1, 1, 1))  # type: ignore[index]


def test_dense_layer_norms_are_those_of_torch() -> None:
    x = maps()[..., 0, 0]
    layer, rms = filled(nn.Norm("layer", steps=STEPS)), filled(nn.Norm("rms", steps=STEPS))
    for step in range(STEPS):
        weight, bias = layer.weight[step], layer.bias[step]  # type: ignore[index]
        torch.testing.assert_close(layer(x, step), functional.layer_norm(x, (CHANNELS,), weight, bias))
        scale = rms.weight[step]  # type: ignore[index]
        torch.testing.assert_close(rms(x, step), functional.rms_norm(x, (CHANNELS,), scale, 1e-5))
    whole = functional.layer_norm(maps(), maps().shape[1:])
    torch.testing.assert_close(nn.Norm("layer", affine="none").build(CHANNELS)(maps()), whole)


@pytest.mark.parametrize(("kind", "statistics", "affine"), SHARINGS)
def test_rows_are_kept_for_what_belongs_to_the_step(kind: Any, statistics: Any, affine: Any) -> None:
    recipe = nn.Norm(kind, steps=STEPS, statistics=statistics, affine=affine, groups=2, shared_in_eval="allow")
    norm = filled(recipe)
    rows = {key: len(value) for key, value in norm.state_dict().items()}
    affine_rows = {"per_step": STEPS, "shared": 1}.get(affine)
    expected = {} if affine_rows is None else {"weight": affine_rows}
    if affine_rows is not None and kind != "rms":
        expected["bias"] = affine_rows
    if kind == "batch":
        own = STEPS if statistics == "per_step" else 1
        expected |= {"running_mean": own, "running_var": own, "num_batches_tracked": own}
    assert rows == expected


@pytest.mark.parametrize(("kind", "statistics", "affine"), SHARINGS)
def test_to_single_steps_and_back_loses_nothing(kind: Any, statistics: Any, affine: Any) -> None:
    recipe = nn.Norm(kind, steps=STEPS, statistics=statistics, affine=affine, groups=2, shared_in_eval="allow")
    norm = filled(recipe).eval()
    alone = [norm.at_step(step) for step in range(STEPS)]
    for step, single in enumerate(alone):
        assert not single.training
        assert torch.equal(single(maps(), 0), norm(maps(), step))
    whole = norm.merged(alone, lambda _, values: values[0])
    assert whole.recipe == recipe
    assert whole.state_dict().keys() == norm.state_dict().keys()
    assert all(torch.equal(value, norm.state_dict()[key]) for key, value in whole.state_dict().items())
    with torch.no_grad():
        for value in alone[0].parameters():
            value.zero_()
    assert all(not (value == 0).all() for value in whole.parameters())  # copies, not views


def test_parts_with_several_steps_give_their_first() -> None:
    parts = [filled(nn.Norm("batch", steps=2), seed) for seed in range(STEPS)]
    whole = parts[0].merged(parts, lambda _, values: values[0])
    assert whole.recipe == nn.Norm("batch", steps=STEPS)
    assert torch.equal(whole.running_mean, torch.stack([part.running_mean[0] for part in parts]))


def test_shared_statistics_train_and_are_refused_in_evaluation() -> None:
    recipe = nn.Norm("batch", steps=STEPS, statistics="shared")
    norm = recipe.build(CHANNELS, dtype=torch.float64)
    oracle = torch.nn.BatchNorm2d(CHANNELS, dtype=torch.float64)
    for step in range(STEPS):
        assert torch.equal(norm(maps(step), step), oracle(maps(step)))
    assert torch.equal(norm.running_var[0], oracle.running_var)
    for step in range(STEPS):
        with pytest.raises(ArgumentError, match=r"that several steps share, .*statistics='per_step'"):
            norm.eval()(maps(), step)
        with pytest.raises(ArgumentError, match="that several steps share"):
            norm.at_step(step)  # alone, it would not be seen
    warning = replace(recipe, shared_in_eval="warn").build(CHANNELS, dtype=torch.float64).eval()
    with pytest.warns(UserWarning, match="that several steps share"):
        warning(maps(), 0)
    allowed = replace(recipe, shared_in_eval="allow").build(CHANNELS, dtype=torch.float64)
    allowed.load_state_dict(norm.state_dict())
    assert torch.equal(allowed.eval()(maps(), 1), oracle.eval()(maps()))


@pytest.mark.parametrize("affine", ["shared", "none", "per_step"])
def test_shared_statistics_of_one_step_are_refused_once_there_are_more(affine: Any) -> None:
    recipe = nn.Norm("batch", statistics="shared", affine=affine, beyond="last")
    norm = recipe.build(CHANNELS, dtype=torch.float64).eval()
    norm(maps(), 0)
    with pytest.raises(ArgumentError, match="that several steps share"):
        norm(maps(), 1)


def test_shared_statistics_lead_astray_in_evaluation() -> None:
    """Why they are refused: the states of the steps differ, and their pooled statistics standardise none of them."""
    off = {}
    for statistics in ("shared", "per_step"):
        recipe = nn.Norm("batch", steps=2, statistics=statistics, shared_in_eval="allow")  # type: ignore[arg-type]
        norm = recipe.build(CHANNELS, dtype=torch.float64)
        for _ in range(100):
            for step in range(2):
                norm(maps(4 * step), step)
        off[statistics] = float((norm.eval()(maps(4), 1).detach().std(dim=(0, 2, 3)) - 1).abs().max())
    assert off["per_step"] < 0.05
    assert off["shared"] > 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_beyond_its_steps_it_refuses_or_takes_the_last(kind: Any) -> None:
    recipe = nn.Norm(kind, steps=STEPS, groups=2)
    with pytest.raises(ArgumentError, match=r"got step 4, expected at most 3.*steps=4.*beyond='last'"):
        filled(recipe).eval()(maps(), STEPS)
    going_on = filled(replace(recipe, beyond="last")).eval()
    assert torch.equal(going_on(maps(), STEPS + 5), going_on(maps(), STEPS - 1))
    assert torch.equal(going_on.at_step(STEPS + 5)(maps()), going_on(maps(), STEPS - 1))
    if kind != "batch":
        free = filled(replace(recipe, affine="shared")).eval()  # nothing belongs to a step
        assert torch.equal(free(maps(), 50), free(maps(), 0))


def test_the_default_recipe_is_refused_at_the_second_step_of_a_network() -> None:
    network = nn.Recurrent(nn.Block(nn.Convolutional(CHANNELS, norm=nn.Norm("batch"))), steps=2)
    with pytest.raises(ArgumentError, match=r"got step 2, expected at most 1: .* give Norm\(steps=2\)"):
        network(maps().float())


def test_a_step_leaves_the_statistics_of_the_others_alone() -> None:
    norm = filled(nn.Norm("batch", steps=STEPS))
    before = {key: value.clone() for key, value in norm.state_dict().items()}
    norm(maps(), 1)
    for key, value in norm.state_dict().items():
        changed = [not torch.equal(row, old) for row, old in zip(value, before[key], strict=True)]
        assert changed == [False, key not in ("weight", "bias"), False]
    norm.reset_parameters()
    fresh = nn.Norm("batch", steps=STEPS).build(CHANNELS, dtype=torch.float64).state_dict()
    assert all(torch.equal(value, fresh[key]) for key, value in norm.state_dict().items())


def test_print_says_what_it_is() -> None:
    text = str(nn.Norm("batch", steps=3, affine="shared").build(CHANNELS))
    assert text == "StepNorm(batch, 4, steps=3, statistics=per_step, affine=shared)"
    assert str(nn.Norm("rms").build(2)) == "StepNorm(rms, 2, steps=1, affine=per_step)"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "instance"}, "kind='instance', expected one of batch, layer, group, rms"),
        ({"statistics": "none"}, "statistics='none', expected one of per_step, shared"),
        ({"affine": "yes"}, "affine='yes', expected one of per_step, shared, none"),
        ({"shared_in_eval": "ignore"}, "shared_in_eval='ignore', expected one of raise, warn, allow"),
        ({"beyond": "first"}, "beyond='first', expected one of raise, last"),
        ({"steps": 0}, "steps=0, expected 1 or more"),
        ({"groups": 0}, "groups=0, expected 1 or more"),
    ],
)
def test_faults_of_recipes_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        nn.Norm(**{"kind": "batch", **options})


def test_groups_have_to_divide_the_channels() -> None:
    with pytest.raises(ArgumentError, match="got 4 channels in 3 groups, expected groups that divide them"):
        nn.Norm("group", groups=3).build(4)


@pytest.mark.parametrize("kind", ["group", "layer"])
def test_scales_of_maps_in_channels_last_that_need_no_gradient(kind: Any) -> None:
    x = torch.randn(3, 4, 5, 5, dtype=torch.float64)
    norm = nn.Norm(kind, groups=2).build(4, dtype=torch.float64)
    expected = torch.autograd.grad(norm(x).pow(3).sum(), list(norm.parameters()))
    found = torch.autograd.grad(  # torch 2.13 alone would end the process here
        norm(x.to(memory_format=torch.channels_last)).pow(3).sum(), list(norm.parameters())
    )
    for own, right in zip(found, expected, strict=True):
        assert (own - right).abs().max() <= 1e-12 * right.abs().max()
