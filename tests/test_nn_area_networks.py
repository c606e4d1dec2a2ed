"""Area networks in the style of CORnet against plain loops of torch's functions, and counts done by hand."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from cortexres.errors import ArgumentError
from cortexres.nn.areas.cornet_rt import CornetRT
from cortexres.nn.areas.cornet_s import CornetS
from cortexres.nn.areas.repeated_bottleneck import ProjectionAtFirst, RepeatedBottleneck
from cortexres.nn.areas.summed_convolution import SummedConvolution
from cortexres.nn.areas.ventral_stream import PUBLISHED
from cortexres.nn.block import Block
from cortexres.nn.chain import chain_of
from cortexres.nn.norms import Norm
from cortexres.nn.recurrent import Recurrent
from cortexres.nn.shortcuts import NoShortcut

NAMES, SIZES = ("V1", "V2", "V4", "IT"), (16, 8, 4, 2)
CHANNELS = (4, 8, 8, 16)
DOUBLE = torch.float64
N = TypeVar("N", CornetRT, CornetS)


def rt(**options: object) -> CornetRT:
    given: dict[str, object] = {"size": 16, "channels": CHANNELS, "norm": Norm("group", groups=4, affine="shared")}
    return CornetRT(5, **{**given, "rng": 0, "dtype": DOUBLE, **options})  # type: ignore[arg-type]


def s(**options: object) -> CornetS:
    given: dict[str, object] = {"channels": CHANNELS, "expansion": 2, "rng": 0, "dtype": DOUBLE}
    return CornetS(5, **{**given, **options})  # type: ignore[arg-type]


#: What is compiled and exported is as short as can be.
SHORT: dict[Callable[..., CornetRT | CornetS], dict[str, object]] = {rt: {"steps": 4}, s: {"recurrences": (1, 2, 1)}}
MAKERS: list[Callable[..., CornetRT | CornetS]] = [rt, s]


def images(seed: int = 0) -> Tensor:
    return torch.as_tensor(np.random.default_rng(seed).normal(size=(3, 3, 16, 16)))


def stirred(network: N) -> N:
    """Change norms and statistics, so that forgetting one shows."""
    generator = torch.Generator().manual_seed(0)
    for name, value in network.state_dict().items():
        if ".norm" in name and value.is_floating_point():
            value.add_(0.3 * torch.rand(value.shape, generator=generator, dtype=value.dtype))
    return network.eval()


# RT -----------------------------------------------------------------------------------------------------------------


def rt_by_hand(weights: dict[str, Tensor], x: Tensor, steps: int) -> list[dict[str, Tensor]]:
    """The states of the areas at each time, from the ones of the time before."""

    def layer(prefix: str, value: Tensor, stride: int) -> Tensor:
        value = functional.conv2d(value, weights[f"{prefix}.convolution.weight"], stride=stride, padding=1)
        weight, bias = (weights[f"{prefix}.norm.{key}"][0] for key in ("weight", "bias"))
        return torch.relu(functional.group_norm(value, 4, weight, bias))

    states = [{n: torch.zeros(3, c, k, k, dtype=DOUBLE) for n, c, k in zip(NAMES, CHANNELS, SIZES, strict=True)}]
    for _ in range(steps):
        before, after = {"image": x, **states[-1]}, {}
        for below, name in zip(("image", *NAMES), NAMES, strict=False):
            stride = 1 if name == "V1" else 2
            given = layer(f"states.connections.feedforward.{below}_to_{name}.layer", before[below], stride)
            after[name] = layer(f"states.connections.lateral.{name}_to_{name}.transform.layer", given + before[name], 1)
        states.append(after)
    return states


def test_rt_is_the_loop_of_its_equations() -> None:
    network = stirred(rt(steps=6))
    expected, run = rt_by_hand(network.state_dict(), images(), 6), network.trajectory(images())
    for name in NAMES:
        stacked = torch.stack([row[name] for row in expected], dim=1)
        torch.testing.assert_close(run[name].response, stacked, rtol=1e-12, atol=1e-12)
    read = functional.linear(expected[-1]["IT"].mean((2, 3)), network.head.linear.weight, network.head.linear.bias)
    torch.testing.assert_close(network(images()), read, rtol=1e-12, atol=1e-12)


def test_rt_takes_a_step_from_area_to_area() -> None:
    network = stirred(rt())
    one, other = (network.trajectory(images(seed)) for seed in (0, 1))
    for k, name in enumerate(NAMES, start=1):
        same = [torch.equal(one[name].response[:, row], other[name].response[:, row]) for row in range(6)]
        assert same == [row < k for row in range(6)]
    with pytest.raises(ArgumentError, match="steps=3 and readout='last', expected a readout after 4 or more steps"):
        rt(steps=3)
    assert rt(steps=1, unrolling="engineering")(images()).shape == (3, 5)


def test_rt_tells_what_its_input_evokes_from_what_recurrence_changes() -> None:
    network = stirred(rt())
    run = network.trajectory(images())
    for name in NAMES:
        response, carried, update = run[name]
        torch.testing.assert_close(carried + update, response, rtol=0, atol=1e-14)
        assert not update[:, 0].any()
    assert not run["V1"].update[:, 1].any()  # without a past there is nothing to answer with
    assert run["V1"].update[:, 2].any()
    assert torch.equal(run["V1"].carried[:, 1], run["V1"].carried[:, 5])  # the image stays the same
    longer = network.trajectory(images(), 8)
    assert torch.equal(longer["IT"].response[:, :6], run["IT"].response)


def test_rt_sees_movies() -> None:
    network, movie = stirred(rt()), images()[:, None].expand(-1, 5, -1, -1, -1)
    assert torch.equal(network(movie), network(images()))
    assert torch.equal(network(images(), steps=7), network.head(network.trajectory(images(), 7)["IT"].response[:, 7]))


# S ------------------------------------------------------------------------------------------------------------------


def s_by_hand(weights: dict[str, Tensor], x: Tensor, recurrences: tuple[int, ...]) -> dict[str, list[Tensor]]:
    """What each passage of each area makes, areas one after the other."""

    def norm(prefix: str, value: Tensor, row: int) -> Tensor:
        mean, var, weight, bias = (
            weights[f"{prefix}.{key}"][row] for key in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.batch_norm(value, mean, var, weight, bias)

    for place in (0, 2):
        x = functional.conv2d(x, weights[f"v1.{place}.convolution.weight"], padding=1)
        x = torch.relu(norm(f"v1.{place}.norm", x, 0))
    made = {"V1": [x]}
    for name, times in zip(NAMES[1:], recurrences, strict=True):
        x = functional.conv2d(x, weights[f"areas.{name}.transition.transform.layer.convolution.weight"])
        block, made[name] = f"areas.{name}.recurrent.block", []
        for passage in range(times):
            stride, past = (1, x) if passage else (2, None)
            if past is None:
                past = functional.conv2d(x, weights[f"{block}.shortcut.projection.map.weight"], stride=2)
                past = norm(f"{block}.shortcut.projection.norm", past, 0)
            for layer, (s_, p) in enumerate(((1, 0), (stride, 1), (1, 0))):
                prefix = f"{block}.transform.layers.{layer}"
                x = functional.conv2d(x, weights[f"{prefix}.convolution.weight"], stride=s_, padding=p)
                x = norm(f"{prefix}.norm", x, passage)
                x = torch.relu(x) if layer < 2 else x
            x = torch.relu(past + x)
            made[name].append(x)
    return made


@pytest.mark.parametrize("recurrences", [(2, 4, 2), (1, 1, 3)])
def test_s_is_the_loop_of_its_equations(recurrences: tuple[int, ...]) -> None:
    network = stirred(s(recurrences=recurrences))
    expected, run = s_by_hand(network.state_dict(), images(), recurrences), network.trajectory(images())
    for name in NAMES:
        rows = [torch.zeros_like(expected[name][0]), *expected[name]]
        torch.testing.assert_close(run[name].response, torch.stack(rows, dim=1), rtol=1e-12, atol=1e-12)
        assert torch.equal(torch.relu(run[name].carried + run[name].update), run[name].response)
    assert not run["V1"].update.any()
    read = functional.linear(expected["IT"][-1].mean((2, 3)), network.head.linear.weight, network.head.linear.bias)
    torch.testing.assert_close(network(images()), read, rtol=1e-12, atol=1e-12)


def test_s_is_a_chain() -> None:
    network = stirred(s())
    chain = chain_of(network)
    assert torch.equal(chain.run(images()), network(images()))
    assert torch.equal(chain_of(network).run(images()), network(images()))
    assert [step.name for step in chain.steps][:3] == ["areas.V2.0", "areas.V2.1", "areas.V2.2"]
    assert chain.tied
    assert [step.index for step in chain.steps] == [0, 0, 1, 0, 0, 1, 2, 3, 0, 0, 1]
    states = chain.states(images())
    for before, step, after in zip(states, chain.steps, states[1:], strict=False):
        alike = [other for other in chain.steps if other.stage == step.stage]
        assert len(alike) == 1 or before.shape == after.shape


def test_normalisation_of_each_passage_learns_its_own_statistics() -> None:
    network = s().train()
    network(images())
    norm = network.areas["V4"].recurrent.block.transform.layers[0].norm
    assert norm.running_mean.shape == (4, 16)
    assert norm.num_batches_tracked.tolist() == [1] * 4
    assert len({tuple(row.tolist()) for row in norm.running_mean}) == 4


def test_what_strides_at_its_first_step_only_is_not_untied() -> None:
    block = Block(RepeatedBottleneck(4, rng=0), ProjectionAtFirst(4, rng=1))
    tied = Recurrent(block, steps=3, injection="first", readout="last")
    with pytest.raises(ArgumentError, match="a bottleneck that strides at its first step only, expected one whose"):
        tied.to_untied()
    with pytest.raises(ArgumentError, match="a bottleneck that strides at its first step only"):
        Recurrent.from_untied(Recurrent([block, block], injection="first"))


# Both ---------------------------------------------------------------------------------------------------------------


def test_published_sizes_have_the_parameters_that_the_layers_add_up_to() -> None:
    """Weights of all convolutions, two numbers per normalised channel, and the classifier: 53.4 and 5.2 million."""
    v1, v2, v4, it = PUBLISHED
    classifier = it * 1000 + 1000
    wide = CornetS(1000, channels=PUBLISHED, retina="published", device="meta")
    expected = 3 * v1 * 49 + 2 * v1 + v1 * v1 * 9 + 2 * v1 + classifier
    for below, width, times in ((v1, v2, 2), (v2, v4, 4), (v4, it, 2)):
        middle = 4 * width
        expected += below * width  # entry
        expected += width * width + 2 * width  # shortcut
        expected += 2 * width * middle + middle * middle * 9 + times * 2 * (2 * middle + width)
    assert sum(parameter.numel() for parameter in wide.parameters()) == expected
    assert round(expected / 1e6, 1) == 53.4
    shallow = CornetRT(1000, channels=PUBLISHED, size=224, retina="published", device="meta")
    expected = 3 * v1 * 49 + sum(9 * a * b for a, b in ((v1, v2), (v2, v4), (v4, it))) + classifier
    expected += sum(9 * c * c + 4 * c for c in PUBLISHED)
    assert sum(parameter.numel() for parameter in shallow.parameters()) == expected
    for network in (wide, shallow):
        assert network(torch.empty(2, 3, 224, 224, device="meta")).shape == (2, 1000)
    assert shallow.facts["areas"] == {"V1": [64, 56, 56], "V2": [128, 28, 28], "V4": [256, 14, 14], "IT": [512, 7, 7]}
    assert wide.trajectory(torch.empty(2, 3, 224, 224, device="meta"))["V2"].response.shape == (2, 3, 128, 28, 28)


@pytest.mark.parametrize("make", MAKERS)
def test_weights_come_from_rng(make: Callable[..., CornetRT | CornetS]) -> None:
    before = torch.get_rng_state()
    first, second, other = (make(rng=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    other.reset_parameters(1)
    for ours, theirs in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert not torch.equal(first.head.linear.weight, other.head.linear.weight)


@pytest.mark.parametrize("make", MAKERS)
def test_torch_manners(make: Callable[..., CornetRT | CornetS], tmp_path: object) -> None:
    network, x = make(dtype=torch.float32, **SHORT[make]), images().float()
    network(x).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())
    path = f"{tmp_path}/network.safetensors"
    save_file(network.state_dict(), path)
    loaded = make(dtype=torch.float32, rng=1, **SHORT[make])
    loaded.load_state_dict(load_file(path))
    expected = network.eval()(x)
    for other in (loaded, copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(other.eval()(x), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert network(x).isfinite().all()
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), expected)
    torch.testing.assert_close(torch.export.export(network, (x,)).module()(x), expected)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_computes_the_same(make: Callable[..., CornetRT | CornetS]) -> None:
    network, x = make(), images()
    expected = network(x)
    expected.square().sum().backward()
    gradients = [parameter.grad.clone() for parameter in network.parameters()]
    moved = copy.deepcopy(network).cuda()
    moved.zero_grad()
    moved(x.cuda()).square().sum().backward()
    torch.testing.assert_close(moved(x.cuda()).cpu(), expected, rtol=1e-9, atol=1e-9)
    for parameter, gradient in zip(moved.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad.cpu(), gradient, rtol=1e-8, atol=1e-8)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert make(dtype=torch.float32).cuda()(x.float().cuda()).isfinite().all()


@pytest.mark.parametrize("make", MAKERS)
def test_they_learn_to_tell_gratings_apart(make: Callable[..., CornetRT | CornetS]) -> None:
    """Vertical against horizontal stripes of any phase: from chance to all right in a few steps."""
    rng = np.random.default_rng(0)
    labels = torch.arange(32) % 2
    phases = torch.as_tensor(rng.uniform(0, 2 * np.pi, 32))
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    waves = torch.sin(torch.where(labels[:, None, None] == 1, y, x) * 1.5 + phases[:, None, None])
    stripes = waves[:, None].expand(-1, 3, -1, -1).float()
    network = make(dtype=torch.float32)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(12):
        optimiser.zero_grad()
        functional.cross_entropy(network(stripes), labels).backward()
        optimiser.step()
    assert (network(stripes).argmax(1) == labels).float().mean() > 0.95


def test_summed_convolution_takes_what_it_is_given_inside() -> None:
    transform = SummedConvolution(4, rng=0, dtype=DOUBLE)
    h, u = images()[:, :1].expand(-1, 4, -1, -1), images(1)[:, :1].expand(-1, 4, -1, -1)
    expected = torch.relu(functional.conv2d(h + u, transform.layer.convolution.weight, padding=1))
    torch.testing.assert_close(Block(transform, NoShortcut())(h, u), expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(transform(h), transform(h, torch.zeros_like(u)))
    assert transform.initial_state(u).shape == u.shape
    transform.reset_parameters(1)
    assert not torch.equal(Block(transform, NoShortcut())(h, u), expected)


def test_facts_are_what_they_are() -> None:
    assert rt().facts == {
        "areas": {name: [c, k, k] for name, c, k in zip(NAMES, CHANNELS, SIZES, strict=True)},
        "steps": 5,
        "unrolling": "biological",
        "tied": True,
    }
    assert s().facts == {"passages": {"V1": 1, "V2": 2, "V4": 4, "IT": 2}, "channels": list(CHANNELS), "tied": True}
    assert (rt().name, s().name) == ("CORnet-RT style", "CORnet-S style")
    assert "8, stride=2 at step 0" in str(s())


def test_faults_are_named() -> None:
    for make in MAKERS:
        with pytest.raises(ArgumentError, match="channels of 2 areas, expected 4: V1, V2, V4, IT"):
            make(channels=(4, 8))
        with pytest.raises(ArgumentError, match="retina='large', expected 'small' or 'published'"):
            make(retina="large")
    with pytest.raises(ArgumentError, match="n_classes=1, expected 2 or more"):
        CornetS(1)
    with pytest.raises(ArgumentError, match="4 recurrences, expected 3: V1 has none"):
        s(recurrences=(1, 2, 4, 2))
    with pytest.raises(ArgumentError, match="steps=3, expected none: build the network with other recurrences"):
        s().trajectory(images(), 3)
    with pytest.raises(ArgumentError, match="expansion=0, expected 1 or more"):
        RepeatedBottleneck(4, expansion=0)
