"""What is recorded of a network is what happened in it, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import xarray as xr
from record_models import Body, PreActivation, ResNet, Stem, ViT, images, randomised
from torch import Tensor, nn
from torch.nn import functional

from cortexres import nn as crnn
from cortexres import schema
from cortexres.errors import ArgumentError

relu = torch.relu
Seen = dict[str, list[np.ndarray]]


def stages(recording: xr.Dataset | xr.DataTree) -> list[xr.Dataset]:
    if isinstance(recording, xr.Dataset):
        return [recording]
    assert not recording.to_dataset().dims
    return [stage.to_dataset() for stage in recording.children.values()]


def check(recording: xr.Dataset | xr.DataTree) -> list[xr.Dataset]:
    """Return the stages, each of which keeps the schema and adds up to the last bit."""
    found = [schema.check_network(stage) for stage in stages(recording)]
    for k, stage in enumerate(found):
        total = stage["sum" if "sum" in stage else "response"].to_numpy()
        added = stage["carried"].to_numpy() + stage["update"].to_numpy()
        np.testing.assert_array_equal(added[:, 1:], total[:, 1:])
        assert set(stage["stage"].to_numpy()) == {k}
    return found


def tensor(stimuli: xr.Dataset) -> Tensor:
    return torch.as_tensor(stimuli["image"].to_numpy())


def watched(model: nn.Module, *paths: str) -> Callable[[xr.Dataset], Seen]:
    """Return a function that runs the model and returns what went into and came out of modules."""

    def run(stimuli: xr.Dataset) -> Seen:
        seen: Seen = {}

        def enter(path: str, x: Tensor) -> None:
            seen.setdefault(f"{path} in", []).append(x.detach().flatten(1).numpy().copy())

        def leave(path: str, y: Tensor | tuple[Tensor, ...]) -> None:
            y = y[0] if isinstance(y, tuple) else y
            seen.setdefault(path, []).append(y.detach().flatten(1).numpy().copy())

        for path in paths:
            module = model.get_submodule(path)
            module.register_forward_pre_hook(lambda _, args, path=path: enter(path, args[0]))
            module.register_forward_hook(lambda _, args, output, path=path: leave(path, output))
        model.eval()(tensor(stimuli))  # with gradients: without, torch's attention is fused, and rounds otherwise
        return seen

    return run


def test_a_resnet_as_torchvision_writes_it() -> None:
    model, stimuli = randomised(ResNet()), images()
    blocks = [f"layer{k}.{b}" for k in (1, 2) for b in (0, 1)]
    inside = [f"{block}.bn2" for block in blocks]
    tree = crnn.record(model, stimuli)
    assert model.training
    assert isinstance(tree, xr.DataTree)
    assert list(tree.children) == ["stage_0", "stage_1"]
    assert json.loads(tree.attrs["cortexres_provenance"])["steps"] == 4
    first, second = check(tree)
    seen = watched(model, *blocks, *inside, "layer2.0.downsample")(stimuli)
    for stage, names in ((first, blocks[:2]), (second, blocks[2:])):
        assert stage["module"].to_numpy().tolist() == ["", *names]
        for k, name in enumerate(names, 1):
            now = stage.isel(block=k)
            np.testing.assert_array_equal(now["response"], seen[name][0])
            np.testing.assert_array_equal(now["update"], seen[f"{name}.bn2"][0])
            np.testing.assert_array_equal(now["response"], np.maximum(now["sum"], 0))
    np.testing.assert_array_equal(first["carried"][:, 1], seen["layer1.0 in"][0])
    np.testing.assert_array_equal(first["carried"][:, 2], first["response"][:, 1])
    np.testing.assert_array_equal(second["carried"][:, 1], seen["layer2.0.downsample"][0])
    for name in ("response", "carried", "sum"):
        np.testing.assert_array_equal(second[name][:, 0], second["carried"][:, 1])
    assert first["kind"].to_numpy().tolist() == ["start", "identity", "identity"]
    assert second["kind"].to_numpy().tolist() == ["start", "projection", "identity"]
    # What is recorded last is what the classifier reads.
    last = torch.as_tensor(second["response"][:, -1].to_numpy()).view(-1, 6, 4, 4)
    with torch.no_grad():
        logits = model.fc(functional.adaptive_avg_pool2d(last, 1).flatten(1))
        assert torch.equal(logits, model.eval()(tensor(stimuli)))


def test_units_of_maps_and_tokens_say_where_they_are() -> None:
    first = stages(crnn.record(randomised(ResNet(depth=1)), images(2)))[0]
    unit = first.isel(unit=2 * 64 + 3 * 8 + 5)
    assert (int(unit["channel"]), int(unit["y"]), int(unit["x"])) == (2, 3, 5)
    (tokens,) = stages(crnn.record(randomised(ViT()), images(2)))
    unit = tokens.isel(unit=3 * 8 + 6)
    assert (int(unit["token"]), int(unit["feature"])) == (3, 6)


def test_a_preactivation_resnet_leaves_out_the_sum() -> None:
    model, stimuli = randomised(ResNet(PreActivation, last=True)), images()
    blocks = [f"layer{k}.{b}" for k in (1, 2) for b in (0, 1)]
    found = check(crnn.record(model, stimuli))
    seen = watched(model, *blocks)(stimuli)
    for stage, names in zip(found, (blocks[:2], blocks[2:]), strict=True):
        assert "sum" not in stage
        for k, name in enumerate(names, 1):
            np.testing.assert_array_equal(stage["response"][:, k], seen[name][0])


@pytest.mark.parametrize("own", [False, True])
def test_a_vision_transformer(own: bool) -> None:
    model, stimuli = randomised(ViT(own)), images()
    (recorded,) = check(crnn.record(model, stimuli, batch_size=3))
    assert dict(recorded.sizes) == {"stimulus": 7, "block": 5, "unit": 5 * 8}
    (whole,) = check(crnn.record(model, stimuli))
    seen = watched(model, "blocks.0", "blocks.0.mlp", "blocks.1")(stimuli)
    np.testing.assert_array_equal(whole["response"][:, 0], seen["blocks.0 in"][0])
    np.testing.assert_array_equal(whole["update"][:, 2], seen["blocks.0.mlp"][0])
    np.testing.assert_array_equal(whole["response"][:, 2], seen["blocks.0"][0])
    np.testing.assert_array_equal(whole["response"][:, 4], seen["blocks.1"][0])
    for name in ("response", "update", "carried"):
        np.testing.assert_allclose(recorded[name], whole[name], rtol=1e-12, atol=1e-14)


def looped(x: Tensor, f: nn.Module, g: nn.Module) -> Tensor:
    for _ in range(4):
        x = x + f(relu(x))
    return x


def test_a_shared_block_gives_a_block_per_application() -> None:
    model, stimuli = randomised(Stem(Body(looped))), images(5)
    (blocks,) = check(crnn.record(model, stimuli, batch_size=2))
    assert blocks.sizes["block"] == 5
    with torch.no_grad():
        states = [model.stem(tensor(stimuli))]
        for _ in range(4):
            states.append(states[-1] + model.body.conv[0](relu(states[-1])))
    expected = torch.stack(states, 1).flatten(2).numpy()
    np.testing.assert_allclose(blocks["response"], expected, rtol=1e-12, atol=1e-14)


def test_a_state_that_enters_through_a_projection_of_its_shape() -> None:
    def projected(x: Tensor, f: nn.Module, g: nn.Module) -> Tensor:
        return f(x) + g(relu(x))

    model, stimuli = randomised(Stem(Body(projected))), images(3)
    (blocks,) = check(crnn.record(model, stimuli))
    stem = model.stem(tensor(stimuli)).detach().flatten(1).numpy()
    np.testing.assert_array_equal(blocks["response"][:, 0], stem)
    assert blocks["kind"].to_numpy().tolist() == ["start", "projection"]


def test_stages_that_start_from_the_sum_of_another() -> None:
    def split(x: Tensor, f: nn.Module, g: nn.Module) -> Tensor:
        x = x + f(relu(x))
        side = x + g(relu(x))  # the second use of x
        return f(x) + g(relu(x)) * side.mean()

    model, stimuli = randomised(Stem(Body(split))), images(3)
    first, second = check(crnn.record(model, stimuli))
    np.testing.assert_array_equal(second["response"][:, 0], first["response"][:, 1])
    assert first["kind"].to_numpy().tolist() == ["start", "identity", "identity"]


class Flattened(nn.Module):
    """One state that is maps for every other block and tokens for the rest, as in Swin."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.mlp = nn.LayerNorm(4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        maps = x.permute(0, 2, 3, 1)
        for _ in range(2):
            maps = maps + self.mlp(relu(self.norm(maps)))
            tokens = maps.flatten(1, 2)
            tokens = tokens + self.mlp(self.norm(tokens))
            maps = tokens.unflatten(1, (8, 8))
        return maps.permute(0, 3, 1, 2)


def test_a_state_in_another_view_is_of_the_same_stage() -> None:
    (blocks,) = check(crnn.record(randomised(Stem(Flattened())), images(3)))
    np.testing.assert_array_equal(blocks["carried"][:, 2], blocks["response"][:, 1])
    assert blocks["module"].to_numpy().tolist() == ["", "body", "body", "body", "body"]


def test_a_long_skip_is_a_stage_of_its_own() -> None:
    def nested(x: Tensor, f: nn.Module, g: nn.Module) -> Tensor:
        return x + f(x + g(relu(x)))

    inner, outer = check(crnn.record(randomised(Stem(Body(nested))), images(3)))
    np.testing.assert_array_equal(inner["response"][:, 0], outer["response"][:, 0])
    assert not np.array_equal(inner["response"][:, 1], outer["response"][:, 1])


def test_the_last_batch_is_filled_up_and_cut() -> None:
    model = randomised(ResNet(depth=1))
    whole = crnn.record(model, images(7))
    for batch_size in (4, 100):
        parts = crnn.record(model, images(7), batch_size=batch_size)
        for a, b in zip(check(parts), stages(whole), strict=True):
            xr.testing.assert_allclose(a.drop_attrs(), b.drop_attrs(), rtol=1e-11, atol=1e-13)


def test_stimuli_and_network_are_carried_over() -> None:
    (blocks,) = stages(crnn.record(ViT(), images(3)))
    assert blocks["stimulus"].to_numpy().tolist() == [100, 101, 102]
    assert blocks["label"].to_numpy().tolist() == [0, 1, 2]
    assert blocks["response"].dtype == np.float32
    assert blocks["response"].attrs["units"] == "1"
    made_by = json.loads(blocks.attrs["cortexres_provenance"])
    assert (made_by["model"], made_by["steps"], made_by["stimulus_ids"]) == ("ViT", 4, [100, 101, 102])
    assert made_by["network"]["followed_by"] == "torch.export"
    assert made_by["network"]["additions"][:2] == ["blocks.0.add", "blocks.0.add_1"]


def test_reduced_states_still_add_up() -> None:
    model, stimuli = randomised(ResNet(depth=1)), images()
    full, small = (crnn.record(model, stimuli, reduce=reduce) for reduce in (None, crnn.spatial_mean))
    for a, b in zip(stages(full), stages(small), strict=True):
        schema.check_network(b)
        mean = a["sum"].groupby("channel").mean().transpose("stimulus", "block", "channel")
        np.testing.assert_allclose(b["sum"], mean, rtol=1e-12, atol=1e-14)
    halves = stages(crnn.record(model, stimuli, reduce=lambda states: states[..., ::2]))
    assert halves[0]["x"].to_numpy().max() == 3
    with pytest.raises(ArgumentError, match="reduce= that is not linear, expected a mean"):
        crnn.record(model, stimuli, reduce=lambda states: states.amax((2, 3)))
    with pytest.raises(ArgumentError, match=r"got states of shape \(8, 8\) from reduce=, expected 7 stimuli"):
        crnn.record(model, stimuli, reduce=lambda states: states.mean((0, 1)))
    with pytest.raises(ArgumentError, match=r"got states of shape \(7, 5, 8\), expected maps"):
        crnn.record(randomised(ViT()), stimuli, reduce=crnn.spatial_mean)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_states_of_few_bits_are_kept_in_more(dtype: torch.dtype) -> None:
    (blocks,) = stages(crnn.record(randomised(ViT()).to(dtype), images(3)))
    schema.check_network(blocks)
    assert blocks["response"].dtype == np.float32
    assert blocks["response"].attrs["computed_as"] == str(dtype).removeprefix("torch.")


def grey(count: int) -> xr.Dataset:
    return images(count).isel(channel=0)


def test_grey_images_for_a_network_in_colour() -> None:
    model = randomised(ResNet(depth=1))
    with pytest.raises(ArgumentError, match=r"got grey images \(1 channel\) .* takes 3 channels; give stimuli"):
        crnn.record(model, grey(3))
    with pytest.raises(ArgumentError, match="got images of 2 channels for a network"):
        crnn.record(model, images(3).isel(channel=slice(2)))

    def repeated(batch: xr.Dataset) -> Tensor:
        return crnn.inputs_of(None, batch, dtype=torch.float64).expand(-1, 3, -1, -1)

    recorded = crnn.record(model, grey(3), inputs=repeated, batch_size=2)
    same = grey(3)["image"].expand_dims(channel=3, axis=1).to_dataset()
    for a, b in zip(check(recorded), stages(crnn.record(model, same, batch_size=2)), strict=True):
        np.testing.assert_allclose(a["response"], b["response"], rtol=1e-12, atol=1e-14)
    with pytest.raises(ArgumentError, match=r"got a tensor of shape \(2, 3\) from inputs=, expected a tensor with 3"):
        crnn.record(model, grey(3), inputs=lambda _: torch.zeros(2, 3))
    with pytest.raises(ArgumentError, match="got a ndarray from inputs="):
        crnn.record(model, grey(3), inputs=lambda batch: batch["image"].to_numpy())  # type: ignore[arg-type]


def test_inputs_of_images() -> None:
    seen = crnn.inputs_of(nn.Linear(2, 2).double(), grey(3))
    assert seen.shape == (3, 1, 8, 8)
    assert seen.dtype == torch.float64
    assert crnn.inputs_of(nn.ReLU(), images(3)).dtype == torch.float32
    turned = images(3).transpose("stimulus", "y", "x", "channel")
    assert torch.equal(crnn.inputs_of(None, turned), crnn.inputs_of(None, images(3)))
    with pytest.raises(ArgumentError, match="got stimuli with moving images, expected still images"):
        crnn.inputs_of(None, grey(3).expand_dims(frame=2, axis=-1))
    with pytest.raises(ArgumentError, match="got stimuli with drive, expected still images"):
        crnn.inputs_of(None, xr.Dataset({"drive": ("stimulus", [1.0])}))


def depends(x: Tensor, f: nn.Module, g: nn.Module) -> Tensor:
    return g(f(x)) if x.sum() > 1e9 else f(g(x))


class Residual(nn.Module):
    """A residual block that torch cannot follow, and that works in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor, *, scale: float = 1.0) -> tuple[Tensor, None]:
        added = scale * self.conv(relu(x))
        if added.sum() > 1e9:
            return x, None
        x += added
        return x, None


class Unfollowed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.small = nn.Conv2d(3, 4, 1), nn.AvgPool2d(2)
        self.blocks = nn.ModuleList([Residual(), Residual(), Residual()])

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x, _ = self.blocks[0](x)
        x, _ = self.blocks[1](x, scale=0.5)
        x, _ = self.blocks[2](self.small(x))
        return x.flatten(1)


def test_modules_by_name_where_the_graph_cannot_be_followed() -> None:
    model, stimuli = randomised(Unfollowed()), images()
    with pytest.raises(ArgumentError, match=r"modules=\['blocks.0', 'blocks.1'\]"):
        crnn.record(model, stimuli)
    modules = ["blocks.2", "blocks.0", "blocks.1"]
    first, second = (schema.check_network(stage) for stage in stages(crnn.record(model, stimuli, modules=modules)))
    assert first["module"].to_numpy().tolist() == ["", "blocks.0", "blocks.1"]
    assert second["module"].to_numpy().tolist() == ["", "blocks.2"]
    assert set(first["kind"].to_numpy()[1:]) == {"named"}
    with torch.no_grad():
        x = model.stem(tensor(stimuli))
        update = model.blocks[0].conv(relu(x))
    np.testing.assert_array_equal(first["response"][:, 0], x.flatten(1))
    np.testing.assert_allclose(first["update"][:, 1], update.flatten(1), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(second["response"][:, 1], model(tensor(stimuli)).detach())
    assert not model.blocks[0]._forward_hooks
    assert not model.blocks[0]._forward_pre_hooks


def test_modules_that_cannot_be_blocks() -> None:
    twice = Stem(Body(lambda x, f, g: f(f(x)) if x.sum() < 1e9 else x))
    for modules, message in (
        (["body.conv.0"], "got the module body.conv.0, which runs more than once, expected one run"),
        (["body.conv.1"], "got the module body.conv.1, which does not run"),
        (["stem"], r"got the module stem, which makes \(3, 4, 8, 8\) of \(3, 3, 8, 8\), expected one that keeps"),
        (["body.none"], "expected paths of modules of the Stem, .* it has no body.none"),
        ([], "expected paths of modules"),
    ):
        with pytest.raises(ArgumentError, match=message):
            crnn.record(randomised(twice), images(3), modules=modules)


def test_additions_by_name_are_recorded() -> None:
    model = randomised(Stem(Body(lambda x, f, g: relu(f(x)) + relu(g(x)))))
    (blocks,) = check(crnn.record(model, images(3), additions=["body.add"]))
    assert blocks["kind"].to_numpy().tolist() == ["start", "named"]


def test_options_that_do_not_apply() -> None:
    model, stimuli = randomised(ViT()), images(3)
    for options, message in (
        ({"batch_size": 0}, "got batch_size=0, expected 1 or more"),
        ({"steps": 2}, "got steps=2 for a network whose depth is its own"),
        ({"additions": ["a"], "modules": ["b"]}, "got both additions and modules"),
    ):
        with pytest.raises(ArgumentError, match=message):
            crnn.record(model, stimuli, **options)
    with pytest.raises(ArgumentError, match="got no stimuli, expected one or more"):
        crnn.record(model, stimuli.isel(stimulus=slice(0)))
    with pytest.raises(ArgumentError, match="got a str, expected a torch module"):
        crnn.record("resnet", stimuli)
    with torch.no_grad():
        model.blocks[1].mlp[3].bias.fill_(torch.inf)
    with pytest.raises(ArgumentError, match="got update with NaN or infinite values"):
        crnn.record(model, stimuli)


@dataclass(frozen=True)
class Tied:
    """A network of ours with maps: its chain, and what `record` may ask of it."""

    recurrent: crnn.Recurrent
    stages: int = 1

    def chain(self) -> crnn.Chain:
        steps = [step for k in range(self.stages) for step in self.recurrent.chain_steps(stage=k, name=f"stage{k}")]
        return crnn.Chain(enter=self.recurrent.entered, steps=tuple(steps), read=lambda state: state.mean((2, 3)))


def tied(steps: int = 3, **options: object) -> crnn.Recurrent:
    block = crnn.Block(crnn.Convolutional(3, rng=0), activation=relu)
    return crnn.Recurrent(block, steps=steps, injection="first", **options)  # type: ignore[arg-type]


def test_networks_of_ours_are_recorded_along_their_chain() -> None:
    network, stimuli = Tied(tied()), images()
    (blocks,) = check(crnn.record(network, stimuli, batch_size=3))
    x = tensor(stimuli).float()
    with torch.no_grad():
        run = network.recurrent.trajectory(x)
    for name in ("response", "carried", "update"):
        np.testing.assert_allclose(blocks[name], getattr(run, name).flatten(2), rtol=1e-4, atol=1e-6)
    assert blocks["module"].to_numpy().tolist() == ["", "stage0.0", "stage0.1", "stage0.2"]
    assert blocks["kind"].to_numpy().tolist() == ["start", "identity", "identity", "identity"]
    assert (blocks["sum"].to_numpy() < 0).any()
    whole = check(crnn.record(network, stimuli))[0]
    last = torch.as_tensor(whole["response"][:, -1].to_numpy()).view(-1, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(network.chain().read(last), network.chain().run(x))


def test_a_recurrence_alone_is_recorded_too() -> None:
    recurrent, stimuli = tied(), images(3)
    with torch.no_grad():
        run = recurrent.trajectory(tensor(stimuli).float())
    (blocks,) = check(crnn.record(recurrent, stimuli))
    np.testing.assert_array_equal(blocks["update"], run.update.flatten(2))
    assert torch.equal(recurrent.chain().run(tensor(stimuli).float()), recurrent(tensor(stimuli).float())[1])


@pytest.mark.parametrize("name", ["resnet20_tied", "preact_resnet20"])
def test_the_chain_and_the_graph_of_a_network_agree(name: str) -> None:
    network, stimuli = crnn.create(name, rng=0, blocks=2), images(3)
    own = check(crnn.record(network, stimuli))
    found = check(crnn.record(nn.Sequential(network), stimuli))
    assert len(own) == len(found)
    for a, b in zip(own, found, strict=True):
        assert a.sizes == b.sizes
        for variable in a.data_vars:
            np.testing.assert_allclose(a[variable], b[variable], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(own[0]["channel"], found[0]["channel"])


def test_areas_are_recorded_by_their_names() -> None:
    network, stimuli = crnn.create("cornet_rt", rng=0), images(2, size=32)
    tree = crnn.record(network, stimuli, steps=3)
    assert isinstance(tree, xr.DataTree)
    assert list(tree.children) == ["V1", "V2", "V4", "IT"]
    for area in check(tree):
        assert area.sizes["block"] == 4
    with torch.no_grad():
        run = network.trajectory(tensor(stimuli).float(), 3)
    np.testing.assert_array_equal(tree["V4"]["response"], run["V4"].response.flatten(2))
    assert set(tree["V4"]["area"].to_numpy()) == {"V4"}
    np.testing.assert_allclose(tree["IT"]["sum"], tree["IT"]["response"], atol=1e-5)


def test_steps_of_networks_of_ours() -> None:
    stimuli = images(3)
    (blocks,) = check(crnn.record(Tied(tied()), stimuli, steps=5))
    with torch.no_grad():
        states = tied(5).trajectory(tensor(stimuli).float()).response
    np.testing.assert_array_equal(blocks["response"], states.flatten(2))
    assert blocks["module"].to_numpy()[-1] == "stage0.4"
    assert crnn.record(Tied(tied()), stimuli, steps=1).sizes["block"] == 2
    (start,) = stages(crnn.record(Tied(tied()), stimuli, steps=0))
    assert start.sizes["block"] == 1
    with pytest.raises(ArgumentError, match="got steps=-1, expected 0 or more blocks to record"):
        crnn.record(Tied(tied()), stimuli, steps=-1)
    with pytest.raises(ArgumentError, match="got steps=2 for a network of several stages"):
        crnn.record(Tied(tied(), stages=2), stimuli, steps=2)
    with pytest.raises(ArgumentError, match="got steps=4, expected at most 3: an untied network ends there"):
        crnn.record(Tied(tied().to_untied()), stimuli, steps=4)


def test_two_stages_in_one_schema_say_which_sum_is_theirs() -> None:
    (blocks,) = stages(crnn.record(randomised(ViT()), images(3)))
    wrong = blocks.assign(update=blocks["update"].copy())
    wrong["update"][1, 2, 3] += 1
    for changed, message in (
        (wrong, "update differs from response minus carried for 1 of .* expected response = carried \\+ update"),
        (blocks.assign(sum=blocks["response"]).drop_vars("carried"), "got sum without carried"),
        (blocks.assign(carried=blocks["carried"] + 1), "carried at block 0 differs from response"),
        (blocks.assign_coords(module=("unit", blocks["unit"].data)), "module has dims"),
        (blocks.assign_coords(token=("block", blocks["block"].data)), "token has dims"),
    ):
        with pytest.raises(schema.SchemaError, match=message):
            schema.check_network(changed)


def test_stimuli_in_colour_keep_the_schema() -> None:
    stimuli = images(2)
    assert schema.check_stimuli(stimuli) is stimuli
    with pytest.raises(schema.SchemaError, match=r"expected \(stimulus, channel, y, x"):
        schema.check_stimuli(stimuli.transpose("stimulus", "y", "x", "channel"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("network", [ResNet, ViT])
def test_on_a_gpu(network: type[nn.Module]) -> None:
    model, stimuli = randomised(network()), images()
    on_cpu = stages(crnn.record(model, stimuli, batch_size=4))
    on_gpu = check(crnn.record(model.cuda(), stimuli, batch_size=4))
    for a, b in zip(on_gpu, on_cpu, strict=True):
        for name in b.data_vars:
            np.testing.assert_allclose(a[name], b[name], rtol=1e-9, atol=1e-11)
    assert next(model.parameters()).is_cuda
