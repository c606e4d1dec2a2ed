"""Residual additions are found where they are, and nowhere else."""

from __future__ import annotations

import pytest
import torch
from record_models import Attention, Body, PreActivation, ResNet, Rule, Stem, ViT, randomised
from torch import Tensor, nn
from torch.nn import functional

from cortexres.errors import ArgumentError
from cortexres.nn import Addition, find_additions
from cortexres.nn.recording.graph import Watched, tensors_in, trace

X = torch.rand(3, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
relu = torch.relu

RESNET = [f"layer{k}.{b}.add" for k in (1, 2) for b in (0, 1)]
TRANSFORMER = [f"blocks.{k}.{name}" for k in (0, 1) for name in ("add", "add_1")]


def encoder() -> nn.Module:
    """Torch's own layers, post-norm and pre-norm, which in evaluation run as one fused operation."""
    layers = [nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, norm_first=first) for first in (False, True)]
    return nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.Flatten(2), *layers)


def looped(x: Tensor, f: nn.Module, g: nn.Module) -> Tensor:
    for _ in range(3):
        x = x + f(relu(x))
    return x


MODELS = {
    "ResNet v1": (ResNet(), RESNET, "identity identity projection identity"),
    "ResNet v1, one block a stage": (ResNet(depth=1), ["layer1.0.add", "layer2.0.add"], "identity projection"),
    "ResNet v2": (ResNet(PreActivation, last=True), RESNET, "identity identity projection identity"),
    "ViT": (ViT(), TRANSFORMER, "identity " * 4),
    "ViT, own attention": (ViT(own=True), TRANSFORMER, "identity " * 4),
    "torch's encoder": (encoder(), ["2.add", "2.add_1", "3.add", "3.add_1"], "identity " * 4),
    "shared block": (Stem(Body(looped)), ["body.add", "body.add_1", "body.add_2"], "identity " * 3),
}


@pytest.mark.parametrize("name", MODELS)
def test_additions_of_known_networks(name: str) -> None:
    model, names, kinds = MODELS[name]
    found = find_additions(randomised(model), X)
    assert [one.name for one in found] == names
    assert [one.kind for one in found] == kinds.split()
    assert [one.module for one in found] == [name.rpartition(".")[0] for name in names]


@pytest.mark.parametrize("name", MODELS)
def test_the_graph_computes_what_the_model_computes(name: str) -> None:
    model = randomised(MODELS[name][0]).eval()
    graph = trace(model, (X,))
    nodes = Watched(graph, before=lambda *_: None, after=lambda *_: None)
    with torch.no_grad():
        outputs = tensors_in(nodes.run(X))
    for value, expected in zip(outputs, tensors_in(model(X)), strict=True):
        torch.testing.assert_close(value, expected, rtol=0, atol=0 if name != "torch's encoder" else 1e-12)


def not_today(*_: object, **__: object) -> None:
    raise RuntimeError("not today")


@pytest.mark.parametrize("name", [name for name in MODELS if name not in ("ViT, own attention", "torch's encoder")])
def test_the_second_tool_finds_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = randomised(MODELS[name][0])
    first = find_additions(model, X)
    monkeypatch.setattr(torch.export, "export", not_today)
    assert trace(model, (X,)).how == "torch.fx"

    def facts(one: Addition) -> tuple[object, ...]:
        return one.name, one.module, one.kind, one.shape, one.layout

    assert list(map(facts, find_additions(model, X))) == list(map(facts, first))


def of_two(x: Tensor, f: nn.Module, g: nn.Module) -> Tensor:
    return x + f(relu(x)) + g(relu(x))


def side_by_side(x: Tensor, f: nn.Module, g: nn.Module) -> Tensor:
    return f(relu(x)) + g(relu(x)) + x


def branches_inside(x: Tensor, f: nn.Module, g: nn.Module) -> Tensor:
    return x + (f(x) + relu(g(x)))


def leaky(x: Tensor, f: nn.Module, g: nn.Module) -> Tensor:
    return x + 0.1 * (-x + f(relu(x)))


def soft_assignment(x: Tensor, f: nn.Module, g: nn.Module) -> Tensor:
    return 0.9 * x + 0.1 * f(relu(x))


def zero_padding(x: Tensor, f: nn.Module, g: nn.Module) -> Tensor:
    return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, 4)) + torch.cat([f(relu(x)), g(x)], 1)[:, :, ::2, ::2]


def channels_last(x: Tensor, f: nn.Module, g: nn.Module) -> Tensor:
    y = x.permute(0, 2, 3, 1)
    return (y + f(relu(x)).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("rule", "names", "kinds"),
    [
        (of_two, "add add_1", "identity identity"),
        (side_by_side, "add_1", "identity"),
        (branches_inside, "add_1", "identity"),
        (leaky, "add_1", "identity"),
        (soft_assignment, "add", "projection"),
        (zero_padding, "add", "projection"),
        (channels_last, "add", "identity"),
    ],
)
def test_sums_of_several_terms_and_what_is_carried(rule: Rule, names: str, kinds: str) -> None:
    found = find_additions(randomised(Stem(Body(rule))), X)
    assert [one.name for one in found] == [f"body.{name}" for name in names.split()]
    assert [one.kind for one in found] == kinds.split()


def test_a_block_ends_after_the_activation_that_the_next_block_carries() -> None:
    first, second = find_additions(randomised(ResNet()), X)[:2]
    assert first.response == second.carried != first.total
    assert all(one.response == one.total for one in find_additions(randomised(ResNet(PreActivation, last=True)), X))
    # A norm after the last sum belongs to the head, unless it follows the other sums too.
    assert all(one.response == one.total for one in find_additions(randomised(ViT()), X))
    post = find_additions(randomised(encoder()), X)
    assert [one.response == one.total for one in post] == [False, False, True, True]
    assert all(one.response != one.total for one in find_additions(randomised(ResNet(depth=1)), X))
    # What follows the last sum is as after the sums before it: here nothing, there the norm.
    headed = Stem(Body(lambda x, f, g: relu(looped(x, f, g))))
    assert all(one.response == one.total for one in find_additions(randomised(headed), X))
    normed = nn.Sequential(*encoder()[:3], encoder()[2])
    assert all(one.response != one.total for one in find_additions(randomised(normed), X))


class Layers(nn.Module):
    """An attention layer for maps with the channels last, as in Swin."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        return (x + self.linear(self.norm(x))).permute(0, 3, 1, 2)


def test_layout_of_states() -> None:
    assert find_additions(randomised(ResNet()), X)[0].layout == ("channel", "y", "x")
    assert find_additions(randomised(ViT()), X)[0].layout == ("token", "feature")
    assert find_additions(randomised(Stem(Layers())), X)[0].layout == ("y", "x", "channel")
    assert find_additions(randomised(Stem(Layers())), X[:, :, :4])[0].layout == ()  # it might be windows of tokens
    pooled = Body(lambda x, f, g: x + nn.functional.avg_pool2d(f(x), 3, 1, 1) - x)
    pooled.conv[0] = nn.GroupNorm(1, 4)
    assert find_additions(randomised(Stem(pooled)), X)[0].layout == ("channel", "y", "x")
    convolved = nn.Sequential(nn.Conv1d(2, 4, 1), Body(lambda x, f, g: x + x))
    convolved[1].conv = nn.ModuleList([nn.Conv1d(4, 4, 1), nn.Identity()])
    convolved[1].rule = lambda x, f, g: x + f(relu(x))
    assert find_additions(convolved, torch.rand(2, 2, 5))[0].layout == ("channel", "x")
    volumes = nn.Sequential(nn.Conv3d(1, 4, 1), convolved[1])
    convolved[1].conv[0] = nn.Conv3d(4, 4, 1)
    assert find_additions(volumes, torch.rand(2, 1, 2, 2, 2))[0].layout == ("channel", "z", "y", "x")
    assert find_additions(Attentive(), torch.rand(3, 4))[0].layout == ()


class Attentive(nn.Module):
    """Keeps what it saw, as models do that are looked at from outside."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.drop = nn.Linear(4, 4), nn.Dropout(0.5)
        self.seen: Tensor | None = None
        self.count = 0

    def forward(self, x: Tensor) -> Tensor:
        self.seen, self.count = x, self.count + 1
        return x + self.drop(self.linear(torch.relu(x)))


@pytest.mark.parametrize("export_fails", [False, True])
def test_the_model_stays_as_it_was(export_fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if export_fails:
        monkeypatch.setattr(torch.export, "export", not_today)
    model = Attentive()
    model.linear.eval()
    before = {name: values.clone() for name, values in model.state_dict().items()}
    state = torch.get_rng_state()
    find_additions(model, torch.rand(3, 4, generator=torch.Generator()))
    assert (model.training, model.linear.training, model.drop.training) == (True, False, True)
    assert model.seen is None
    assert model.count == 0
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def gelu(x: Tensor, f: nn.Module, g: nn.Module) -> Tensor:
    h = f(x)
    return g(0.5 * h * (1 + torch.tanh(0.7978845608 * (h + 0.044715 * h**3))))


def highway(x: Tensor, f: nn.Module, g: nn.Module) -> Tensor:
    gate = torch.sigmoid(f(x))
    return gate * relu(g(x)) + (1 - gate) * x


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (lambda x, f, g: g(relu(f(x))), "its additions are none; to count some"),
        (gelu, "body.add: what is added is computed from the carried state without parameters"),
        (lambda x, f, g: relu(f(x)) + relu(g(x)), "body.add: no term is computed from the other"),
        (lambda x, f, g: f(x) + g(x), "body.add: both terms are affine in one state"),
        (highway, "body.add: no term is computed from the other"),
        (lambda x, f, g: torch.add(x, f(x), alpha=0.5), r"body.add: it adds 0\.5 times its second term"),
        (lambda x, f, g: x + f(relu(x)).mean(1, keepdim=True), r"shapes \(3, 4, 8, 8\) and \(3, 1, 8, 8\)"),
        (lambda x, f, g: (x.flatten(0, 1) + relu(f(x)).flatten(0, 1))[:3], "does not begin with the batch, 3"),
    ],
    ids=["plain", "gelu", "inception", "affine", "highway", "alpha", "broadcast", "no batch"],
)
def test_what_does_not_count_is_named_with_the_reason(rule: Rule, reason: str) -> None:
    model = randomised(Stem(Body(rule)))
    with pytest.raises(ArgumentError, match=reason):
        find_additions(model, X)


def test_a_model_that_cannot_be_followed_says_what_both_tools_said() -> None:
    depends = Stem(Body(lambda x, f, g: x + f(x) if x.sum() > 0 else x + g(x)))
    with pytest.raises(ArgumentError, match=r"torch.export: GuardOn.*torch.fx: TraceError: .*modules=\['body.conv.0'"):
        find_additions(randomised(depends), X)


def test_additions_by_name() -> None:
    inception = randomised(Stem(Body(lambda x, f, g: relu(f(x)) + relu(g(x)))))
    (named,) = find_additions(inception, X, names=["body.add"])
    assert (named.kind, named.carried, named.update) == ("named", "relu", "relu_1")
    (chosen,) = find_additions(randomised(ResNet()), X, names=["layer1.1.add"])
    assert (chosen.name, chosen.kind) == ("layer1.1.add", "identity")
    with pytest.raises(ArgumentError, match=r"got no addition body.sum, expected some of body.add"):
        find_additions(inception, X, names=["body.sum"])
    shrunk = randomised(Stem(Body(lambda x, f, g: x + f(relu(x)).mean(1, keepdim=True))))
    with pytest.raises(ArgumentError, match=r"body.add, which cannot be recorded as x .* shapes"):
        find_additions(shrunk, X, names=["body.add"])


def test_table() -> None:
    lines = str(find_additions(randomised(ResNet()), X)).splitlines()
    assert lines[0].split() == ["name", "kind", "shape", "carried", "update", "sum", "response"]
    assert lines[3].startswith("layer2.0.add  projection  6 x 4 x 4  ")
    assert len(lines) == 5


def test_inputs_may_be_several() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = Attention(4)

        def forward(self, x: Tensor, shift: Tensor) -> dict[str, object]:
            return {"states": self.attention(x) + shift, "cache": object()}

    found = find_additions(Two(), (torch.rand(2, 5, 4), torch.rand(2, 5, 4)))
    assert [one.name for one in found] == ["attention.add", "attention.add_1"]
