"""Networks by name: published sizes, and what all of them have in common, whichever parts they are made of."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from functools import cache, partial

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import load, save
from torch import Tensor
from torch.nn import functional

from cortexres.definitions import NetworkInfo, list_networks, load_network
from cortexres.definitions.network_parts import ACTIVATIONS, ARCHITECTURES, SHORTCUTS, STEMS, TRANSFORMS, TRANSITIONS
from cortexres.errors import ArgumentError, DefinitionError
from cortexres.nn import Block, Convolutional, Identity, Norm, NoShortcut, Projection, Recurrent, ZeroPadding
from cortexres.nn.networks import makers
from cortexres.nn.networks.create import Created, create
from cortexres.nn.networks.heads import PooledHead
from cortexres.nn.networks.residual_memory import ResidualMemory
from cortexres.nn.networks.staged import Stage, StagedNetwork
from cortexres.nn.networks.stems import ConvolutionalStem, LinearStem
from cortexres.nn.norms import StepNorm
from cortexres.nn.recording import record
from cortexres.nn.transforms.preactivated_dense import PreactivatedDense
from cortexres.schema import check_network

definition = cache(load_network)
ROWS = list_networks()
SIDE, BATCH = 8, 3
#: Those that run in milliseconds on small images; of a family that differs in depth, the shallow ones.
SMALL = [
    row.name
    for row in ROWS
    for network in [definition(row.name)]
    if row.parameters < 1.2e6 and network.size <= 32 and (network.flat or sum(network.blocks) <= 12)
]
STAGED = [name for name in SMALL if definition(name).architecture.kind == "staged"]
#: Batch statistics that steps share are refused in evaluation and in conversion.
SEPARATE = [name for name in STAGED if name != "digits_tied_shared"]
tiny = partial(
    create,
    "resnet20_tied",
    stem={"kind": "convolution", "width": 4},
    widths=[4, 6, 8],
    blocks=[3, 3, 2],
    dtype=torch.float64,
    rng=0,
)


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def inputs_for(name: str, dtype: torch.dtype = torch.float64) -> Tensor:
    network = definition(name)
    shape = (network.channels,) if network.flat else (network.channels, SIDE, SIDE)
    return torch.randn(BATCH, *shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


@cache
def made(name: str) -> Created:
    """Return a network with statistics that are not those of the start, in evaluation where it can be."""
    size = {} if definition(name).flat else {"size": SIDE}
    network = create(name, rng=0, dtype=torch.float64, **size)
    network(inputs_for(name))
    return network if name == "digits_tied_shared" else network.eval()


# Sizes


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_parameters_are_as_many_as_the_file_says_and_as_was_published(row: NetworkInfo) -> None:
    network = create(row.name, device="meta")
    assert count(network) == row.parameters
    assert all(parameter.is_meta for parameter in network.parameters())
    published = definition(row.name).published.parameters_M
    if published is not None:
        digits = len(str(published).partition(".")[2])
        # 68,155,210 was printed as 68.1: cut off, not rounded
        assert published in (round(row.parameters / 1e6, digits), int(row.parameters / 1e6 * 10**digits) / 10**digits)


def test_tied_residual_networks_grow_by_their_norms_alone() -> None:
    """Liao & Poggio: only normalisation has parameters per step; 7 norms of 16, 32 and 64 channels for each n."""
    sizes = {n: count(create("resnet20_tied", blocks=n, device="meta")) for n in (1, 2, 3, 18, 200)}
    assert sizes == {1: 75_290, **{n: 167_002 + 448 * n for n in (2, 3, 18, 200)}}
    shared = {"kind": "layer", "affine": "shared"}
    assert len({count(create("resnet20_tied", blocks=n, norm=shared, device="meta")) for n in (2, 9, 50)}) == 1


def test_one_step_per_stage_is_tied_and_untied() -> None:
    """Tying is the only difference: with one step per stage, the tied network and the untied one have equal sizes."""
    for name in ("resnet20", "se_resnet20"):
        one = {"blocks": [1, 2, 2], "device": "meta"}
        assert count(create(f"{name}_tied", **one)) == count(create(name, **one))


def test_options_a_and_b_differ_by_the_projections() -> None:
    more = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    assert count(create("resnet20", transition="projection", device="meta")) == 269_722 + more


def test_shortcuts_stand_where_they_should() -> None:
    def kinds(**changes: object) -> list[type]:
        return [type(step.block.shortcut) for step in create("resnet20", device="meta", **changes).chain().steps]

    a, b = [Identity, *[Identity] * 2], [Identity] * 2
    assert kinds() == [*a, ZeroPadding, *b, ZeroPadding, *b]
    assert kinds(transition="projection") == [*a, Projection, *b, Projection, *b]
    assert kinds(transition="none", shortcut="none") == [NoShortcut] * 9
    assert kinds(transition="projection", shortcut="projection") == [Projection] * 9  # option C


def test_every_kind_that_a_definition_can_name_has_a_maker() -> None:
    assert set(makers._STEMS) == set(STEMS)
    assert set(makers._TRANSFORMS) == set(TRANSFORMS)
    assert set(makers._SHORTCUTS) == {*SHORTCUTS, *TRANSITIONS}
    assert set(makers.ACTIVATIONS) == set(ACTIVATIONS)
    used = {definition(row.name).architecture.kind for row in ROWS}
    assert used == set(ARCHITECTURES)


# What all have in common


@pytest.mark.parametrize("name", SMALL)
def test_a_network_runs_and_every_parameter_gets_a_gradient(name: str) -> None:
    network = copy.deepcopy(made(name)).train()  # normalised over the batch, no unit is silent for all of it
    logits = network(inputs_for(name))
    assert logits.shape == (BATCH, definition(name).classes)
    assert torch.isfinite(logits).all()
    functional.cross_entropy(logits, torch.arange(BATCH)).backward()
    without = [key for key, parameter in network.named_parameters() if not parameter.grad.abs().sum() > 0]
    assert without == []


@pytest.mark.parametrize("name", SMALL)
def test_checkpoints_hold_everything_once(name: str) -> None:
    network = made(name)
    size = {} if definition(name).flat else {"size": SIDE}
    other = create(name, device="meta", **size)
    other.load_state_dict(load(save(network.state_dict())), strict=True, assign=True)
    other.train(network.training)
    assert torch.equal(other(inputs_for(name)), network(inputs_for(name)))


@pytest.mark.parametrize("name", SMALL)
def test_facts_can_be_written_down(name: str) -> None:
    network = made(name)
    assert json.loads(json.dumps(network.facts)) == network.facts
    assert network.facts["tied"] == definition(name).tied
    assert network.name == name  # so that a checkpoint says what to create


@pytest.mark.parametrize("name", STAGED)
def test_running_the_chain_is_running_the_network(name: str) -> None:
    network, inputs = made(name), inputs_for(name)
    trunk = network.trunk if isinstance(network, ResidualMemory) else network
    chain = trunk.chain()
    assert torch.equal(chain.run(inputs), trunk(inputs))
    assert len(chain.steps) == sum(definition(name).blocks)
    assert all(torch.equal(one, other) for one, other in zip(chain.states(inputs), trunk.states(inputs), strict=True))
    for stage in {step.stage for step in chain.steps}:
        blocks = [step.block for step in chain.steps if step.stage == stage]
        assert len({(block.transform.in_channels, block.transform.out_channels) for block in blocks}) == 1
        assert len(set(map(id, blocks))) == (1 if definition(name).tied else len(blocks))


@pytest.mark.parametrize("name", [name for name in SEPARATE if definition(name).tied])
def test_tied_and_untied_are_one_another_without_loss(name: str) -> None:
    tied, inputs = made(name), inputs_for(name)
    untied = tied.to_untied()
    assert torch.equal(untied(inputs), tied(inputs))
    assert not untied.tied
    again = untied.to_tied()
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in tied.state_dict().items()}
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in tied.state_dict().items())


@pytest.mark.parametrize("name", [name for name in SEPARATE if f"{name}_tied" in SEPARATE])
def test_an_untied_network_has_the_shape_of_its_tied_twin(name: str) -> None:
    twin = made(f"{name}_tied").to_untied().state_dict()
    assert {k: v.shape for k, v in made(name).state_dict().items()} == {k: v.shape for k, v in twin.items()}


def test_large_networks_can_be_built_and_converted_without_memory() -> None:
    network = create("resnet110_tied", device="meta")
    assert count(network.to_untied()) == count(create("resnet110", device="meta"))


# Against independent implementations


def plain_resnet(images: Tensor, state: dict[str, Tensor], blocks: int) -> Tensor:
    """Return the logits of He et al.'s network, written with functions, from the weights of `create("resnet...")`."""

    def norm(x: Tensor, key: str) -> Tensor:
        mean, var = state[f"{key}.running_mean"][0], state[f"{key}.running_var"][0]
        return functional.batch_norm(x, mean, var, state[f"{key}.weight"][0], state[f"{key}.bias"][0])

    def layer(x: Tensor, key: str, stride: int = 1) -> Tensor:
        convolved = functional.conv2d(x, state[f"{key}.convolution.weight"], stride=stride, padding=1)
        return norm(convolved, f"{key}.norm")

    x = functional.relu(layer(images, "stem"))
    for stage in range(3):
        for block in range(blocks):
            changes = stage > 0 and block == 0
            place = block if stage == 0 else block - 1
            key = f"stages.{stage}." + ("transition" if changes else f"recurrent.blocks.{place}") + ".transform.layers"
            inner = functional.relu(layer(x, f"{key}.0", stride=2 if changes else 1))
            if changes:
                x = torch.cat([x[:, :, ::2, ::2], torch.zeros_like(x[:, :, ::2, ::2])], dim=1)
            x = functional.relu(x + layer(inner, f"{key}.1"))
    return functional.linear(x.mean(dim=(2, 3)), state["head.linear.weight"], state["head.linear.bias"])


def test_resnet20_is_that_of_the_paper() -> None:
    network, images = made("resnet20"), inputs_for("resnet20")
    expected = plain_resnet(images, network.state_dict(), blocks=3)
    torch.testing.assert_close(network(images), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("norm", [None, Norm("layer", affine="none")])
def test_preactivated_layers_begin_with_norm_and_activation(norm: Norm | None) -> None:
    transform = PreactivatedDense(5, norm=norm, rng=0, dtype=torch.float64)
    state = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def ready(x: Tensor) -> Tensor:
        return functional.relu(x if norm is None else functional.layer_norm(x, (5,)))

    first, second = (layer.weight for layer in transform.layers)
    expected = ready(ready(state) @ first.T) @ second.T
    torch.testing.assert_close(transform(state), expected, rtol=0, atol=1e-12)
    assert (transform.layers[0].bias is None) == (norm is not None)
    assert torch.equal(transform.initial_state(state), torch.zeros_like(state))
    with pytest.raises(ArgumentError, match="got layers=0, expected 1 or more"):
        PreactivatedDense(5, layers=0)


def test_the_memory_is_an_lstm_along_depth() -> None:
    network, images = made("residual_memory"), inputs_for("residual_memory")
    oracle = torch.nn.LSTM(64, 100, dtype=torch.float64)
    with torch.no_grad():
        for key, value in network.memory.named_parameters():
            oracle.get_parameter(f"{key}_l0").copy_(value)
    states = network.trunk.chain().states(images)[1:]
    seen = torch.zeros(9, BATCH, 64, dtype=torch.float64)
    for k, state in enumerate(states):
        seen[k, :, : state.shape[1]] = state.mean(dim=(2, 3))
    last = oracle(seen)[0][-1]
    expected = network.trunk(images) + last @ network.readout.weight.T
    torch.testing.assert_close(network(images), expected, rtol=0, atol=1e-12)


def test_without_its_memory_a_network_is_its_trunk() -> None:
    network = copy.deepcopy(made("residual_memory_tied"))
    torch.nn.init.zeros_(network.readout.weight)
    images = inputs_for("residual_memory_tied")
    assert torch.equal(network(images), network.trunk(images))
    assert network.facts["memory"] == 100
    with pytest.raises(ArgumentError, match=r"expected one that is read from its last state: give its trunk"):
        network.chain()


# Running


def test_a_tied_network_runs_for_other_numbers_of_steps() -> None:
    network, images = tiny().eval(), torch.randn(2, 3, 8, 8, dtype=torch.float64)
    assert network.steps == (3, 2, 1)
    short = tiny(blocks=[2, 2, 2]).eval()
    short.load_state_dict({k: v[: len(short.state_dict()[k])] for k, v in network.state_dict().items()})
    assert torch.equal(network(images, steps=(2, 1, None)), short(images))
    with pytest.raises(ArgumentError, match="got 1 numbers of steps, expected 3: one for each stage"):
        network(images, steps=(2,))
    with pytest.raises(ArgumentError, match="got step 4, expected at most 3"):
        network(images, steps=(4, 2, 1))


def test_a_seed_leaves_the_global_state_alone_and_blocks_differ() -> None:
    before = torch.get_rng_state()
    one, other = (create("residual_memory", rng=3) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    blocks = one.trunk.stages[0].recurrent.blocks
    assert not torch.equal(*(block.transform.layers[0].convolution.weight for block in blocks[:2]))
    other.reset_parameters(3)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert not torch.equal(create("digits_tied").head.linear.weight, create("digits_tied").head.linear.weight)


def test_flat_networks_take_images_too() -> None:
    network, inputs = made("digits_tied"), inputs_for("digits_tied")
    assert torch.equal(network(inputs.reshape(BATCH, 1, 8, 8)), network(inputs))


def test_changes_reach_the_network() -> None:
    network = create("resnet20", classes=7, channels=1, activation="tanh", norm="none", rng=0, dtype=torch.float64)
    assert network(torch.zeros(2, 1, 8, 8, dtype=torch.float64)).shape == (2, 7)
    assert network.stem.activation is torch.tanh
    assert network.stem.norm is None
    assert {p.dtype for p in network.parameters()} == {torch.float64}
    with pytest.raises(DefinitionError, match="unknown key 'class', did you mean 'classes'"):
        create("resnet20", **{"class": 7})


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_can_be_named(activation: str) -> None:
    network = create("digits_tied", activation=activation, blocks=2, rng=0)
    network(torch.randn(3, 64)).sum().backward()


@pytest.mark.parametrize("name", ["highway_mlp_tied", "digits_dale_tied"])
def test_a_gated_or_leaky_sum_of_rates_stays_what_it_is(name: str) -> None:
    network = create(name, activation="softplus", blocks=2, rng=0, dtype=torch.float64)
    state = network.stem(inputs_for(name))
    step = network.chain().steps[0]
    carried, update = step.parts(state)
    assert torch.equal(step(state), carried + update)
    assert create("digits_tied", order="post", activation="tanh").chain().steps[0].block.activation is torch.tanh


@pytest.mark.parametrize("name", ["cornet_rt", "cornet_s"])
def test_areas_without_normalisation_have_none(name: str) -> None:
    network = create(name, norm="none", size=SIDE, rng=0)
    assert not any(isinstance(module, StepNorm) for module in network.modules())
    assert network(inputs_for(name, torch.float32)).shape == (BATCH, 10)


def test_shared_statistics_are_refused_in_evaluation() -> None:
    network = create("digits_tied_shared", rng=0).eval()
    with pytest.raises(ArgumentError, match="batch statistics that several steps share"):
        network(torch.zeros(2, 64))


def test_networks_keep_the_manners_of_torch() -> None:
    network = tiny(widths=[4, 6], strides=[1, 2], blocks=[2, 2], memory=3).eval()
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    expected = network(images)
    for again in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(again(images), expected)
    assert "tied=True" in repr(network)
    traced = torch.compile(network, fullgraph=True, backend="eager")
    torch.testing.assert_close(traced(images), expected, rtol=0, atol=1e-12)
    exported = torch.export.export(network, (images,)).module()
    torch.testing.assert_close(exported(images), expected, rtol=0, atol=1e-12)
    with torch.autocast("cpu", torch.bfloat16):
        assert network.float()(images.float()).shape == (2, 10)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", SMALL)
def test_networks_on_cuda_equal_those_on_the_cpu(name: str) -> None:
    network, inputs = copy.deepcopy(made(name)), inputs_for(name)
    expected = network(inputs)
    network, inputs = copy.deepcopy(made(name)).cuda(), inputs.cuda()
    logits = network(inputs)
    torch.testing.assert_close(logits.cpu(), expected, rtol=1e-9, atol=1e-9)
    logits.sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())
    with torch.autocast("cuda", torch.bfloat16):
        assert torch.isfinite(network.float()(inputs.float())).all()


# Faults


SIZES = [
    (lambda: ConvolutionalStem(0, 4), "in_channels=0, expected 1 or more"),
    (lambda: ConvolutionalStem(3, 4, kernel_size=4), "kernel_size=4, expected an odd number"),
    (lambda: LinearStem(4, 0), "width=0, expected 1 or more"),
    (lambda: PooledHead(4, 0), "classes=0, expected 1 or more"),
]


@pytest.mark.parametrize(("made", "message"), SIZES, ids=[message for _, message in SIZES])
def test_faults_of_stems_and_heads_are_named(made: Callable[[], object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        made()


def block(channels: int = 4) -> Block:
    return Block(Convolutional(channels, rng=0))


def test_faults_of_stages_are_named() -> None:
    with pytest.raises(ArgumentError, match="got a stage without blocks"):
        Stage()
    with pytest.raises(ArgumentError, match="injection='every' and readout='all', expected 'first' and 'last'"):
        Stage(recurrent=Recurrent(block(), steps=2))
    with pytest.raises(ArgumentError, match="got no stages, expected one or more"):
        StagedNetwork(LinearStem(4, 4), [], torch.nn.Linear(4, 2))
    assert Stage(block()).steps == 0


def test_faults_of_conversion_are_named() -> None:
    tied = tiny()
    with pytest.raises(ArgumentError, match="got an untied network, expected a tied one"):
        tied.to_untied().to_untied()
    with pytest.raises(ArgumentError, match="got a tied network, expected an untied one"):
        tied.to_tied()
    untied = tiny(tied=False)
    with pytest.raises(ArgumentError, match="unlike that of block 0"):
        untied.to_tied()
    averaged, first = untied.to_tied(mode="mean"), untied.to_tied(mode="first")
    key = "transform.layers.0.convolution.weight"
    own = [b.get_parameter(key) for b in untied.stages[0].recurrent.blocks]
    torch.testing.assert_close(averaged.stages[0].recurrent.block.get_parameter(key), sum(own) / 3)
    assert torch.equal(first.stages[0].recurrent.block.get_parameter(key), own[0])


def test_faults_of_the_memory_are_named() -> None:
    with pytest.raises(ArgumentError, match="got hidden_size=0, expected 1 or more"):
        ResidualMemory(tiny(), hidden_size=0, classes=10)


@pytest.mark.parametrize("name", [name for name in SMALL if name != "digits_tied_shared"])
def test_every_network_is_recorded_with_exact_sums(name: str) -> None:
    network, rng = made(name), np.random.default_rng(0)
    flat = definition(name).flat
    shape = (8, 8) if flat else (definition(name).channels, SIDE, SIDE)
    dims = ("stimulus", *(() if flat else ("channel",)), "y", "x")
    images = xr.Dataset({"image": (dims, rng.random((2, *shape)))}, coords={"stimulus": [3, 5]})
    recorded = record(network, images)
    stages = [recorded] if isinstance(recorded, xr.Dataset) else [node.to_dataset() for node in recorded.leaves]
    for stage in map(check_network, stages):
        total = stage["sum"] if "sum" in stage else stage["response"]
        later = {"block": slice(1, None)}
        summed = (stage["carried"] + stage["update"]).isel(later).to_numpy()
        exact = {"rtol": 0, "atol": 1e-12 if name.startswith("cornet_rt") else 0}  # its parts are a difference of two
        np.testing.assert_allclose(summed, total.isel(later).to_numpy(), **exact)
