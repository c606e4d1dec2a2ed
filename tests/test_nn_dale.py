"""Dale's law: held by weights whatever happens to them, and no bar to learning."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn.utils import parametrize

from cortexres import nn
from cortexres.errors import ArgumentError
from cortexres.nn.dale import DaleLaw, connections, constrain, law_of, signs_of
from cortexres.nn.transforms.excitatory_inhibitory import ExcitatoryInhibitory

EXCITATORY, INHIBITORY, UNITS, STEPS = 4, 2, 6, 8
SIGNS = signs_of(EXCITATORY, INHIBITORY)


def keeps_the_law(weight: Tensor, signs: Tensor = SIGNS, mask: Tensor | None = None) -> bool:
    """Return whether no entry has a sign that is not that of its presynaptic unit, along dim 1."""
    shape = (1, -1, *(1,) * (weight.ndim - 2))
    kept = bool((weight * signs.to(weight.device).view(shape) >= 0).all())
    return kept and (mask is None or not weight[~mask].any())


def layers() -> dict[str, torch.nn.Module]:
    torch.manual_seed(0)
    return {
        "linear": constrain(torch.nn.Linear(UNITS, UNITS), SIGNS),
        "masked": constrain(torch.nn.Linear(UNITS, UNITS), SIGNS, mask=MASK),
        "kernels": constrain(torch.nn.Conv2d(UNITS, 3, 3), SIGNS),
    }


MASK = connections(EXCITATORY, INHIBITORY, assemblies=2, self_connections=False)


def transform(**options: Any) -> ExcitatoryInhibitory:
    return ExcitatoryInhibitory(EXCITATORY, INHIBITORY, **{"rng": 0, "dtype": torch.float64, **options})


def network(**options: Any) -> nn.Recurrent:
    return nn.Recurrent(nn.Block(transform(**options), nn.SoftAssignment(0.3)), steps=STEPS)


def drive(batch: int = 3) -> Tensor:
    return torch.randn(batch, UNITS, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


# the weight


def test_a_layer_keeps_its_magnitudes_and_takes_the_signs_of_its_inputs() -> None:
    torch.manual_seed(0)
    plain = torch.nn.Linear(UNITS, UNITS)
    layer = constrain(copy.deepcopy(plain), SIGNS)
    assert torch.equal(layer.weight, plain.weight.abs() * SIGNS)
    assert list(dict(layer.named_parameters())) == ["bias", "parametrizations.weight.original"]
    assert f"{UNITS * EXCITATORY} excitatory and {UNITS * INHIBITORY} inhibitory connections" in str(layer)


def test_units_can_lie_along_another_dim() -> None:
    layer = constrain(torch.nn.ConvTranspose2d(UNITS, 3, 2), SIGNS, dim=0)
    assert keeps_the_law(layer.weight.transpose(0, 1))


@pytest.mark.parametrize("name", layers())
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_any_raw_values_give_a_weight_that_keeps_the_law(name: str, dtype: torch.dtype) -> None:
    layer = layers()[name].to(dtype)
    raw = 100 * torch.randn(layer.weight.shape).to(dtype)
    raw[:, 0] = 0
    layer.load_state_dict(layer.state_dict() | {"parametrizations.weight.original": raw})
    for mode in (True, False):
        layer.train(mode)
        assert layer.weight.dtype == dtype
        assert keeps_the_law(layer.weight, mask=MASK if name == "masked" else None)
        connected = MASK if name == "masked" else torch.ones_like(MASK[: len(raw)])
        assert torch.equal(layer.weight.abs()[connected], raw.abs()[connected])


@pytest.mark.parametrize("name", layers())
@pytest.mark.parametrize(
    "optimiser",
    [
        lambda parameters: torch.optim.SGD(parameters, lr=30.0, momentum=0.9, weight_decay=0.1),
        lambda parameters: torch.optim.AdamW(parameters, lr=3.0, weight_decay=0.5),
        lambda parameters: torch.optim.Rprop(parameters, lr=1.0),
        lambda parameters: torch.optim.RMSprop(parameters, lr=1.0, centered=True),
        lambda parameters: torch.optim.Adagrad(parameters, lr=5.0),
    ],
    ids=["SGD", "AdamW", "Rprop", "RMSprop", "Adagrad"],
)
def test_no_optimiser_breaks_the_law(name: str, optimiser: Callable[..., torch.optim.Optimizer]) -> None:
    layer = layers()[name]
    step = optimiser(layer.parameters())
    before = layer.weight.detach().clone()
    for _ in range(3):
        step.zero_grad()
        (layer.weight * torch.linspace(-1, 1, layer.weight.numel()).view_as(layer.weight)).sum().backward()
        step.step()
        assert keeps_the_law(layer.weight, mask=MASK if name == "masked" else None)
    assert not torch.equal(layer.weight, before)


@pytest.mark.parametrize("name", layers())
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_an_assigned_weight_is_read_back_exactly(name: str, dtype: torch.dtype) -> None:
    layer = layers()[name].to(dtype)
    weight = layer.weight.detach() * torch.rand(layer.weight.shape).to(dtype).round(decimals=1)  # some are 0
    assert (weight == 0).any()
    layer.weight = weight
    assert torch.equal(layer.weight, weight)
    with torch.no_grad():
        weight.fill_(7)
    assert not (layer.weight == 7).any()  # it was copied


def test_a_weight_that_breaks_the_law_is_refused_with_its_entries() -> None:
    layer = layers()["masked"]
    before = layer.weight.detach().clone()
    weight = before.clone()
    weight[1, 2], weight[0, 5], weight[3, 3] = -0.5, 0.5, 0.1
    with pytest.raises(ArgumentError, match=r"at 3 of its entries, \(0, 5\), \(1, 2\), \(3, 3\), expected 0 or more"):
        layer.weight = weight
    with pytest.raises(ArgumentError, match=r"at 22 of its entries, .*\(0, 5\), \(1, 0\), \.\.\., expected"):
        layer.weight = -before
    with pytest.raises(ArgumentError, match=r"got a weight of shape \(2, 6\), expected \(6, 6\)"):
        layer.weight = before[:2]
    assert torch.equal(layer.weight, before)


def test_a_weight_of_zero_can_grow() -> None:
    layer = layers()["masked"]
    layer.weight = torch.zeros(UNITS, UNITS)
    layer.weight.sum().backward()
    raw = layer.get_parameter("parametrizations.weight.original")
    assert torch.equal(raw.grad, (SIGNS * MASK).float())


def test_the_slope_is_that_of_the_magnitude() -> None:
    layer = layers()["linear"].double()
    raw = torch.randn(UNITS, UNITS, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(law_of(layer), raw)


def test_masks_connect_within_assemblies() -> None:
    assert connections(2, 1).all()
    expected = [[0, 1, 0, 0, 1], [1, 0, 0, 0, 1], [0, 0, 0, 1, 1], [0, 0, 1, 0, 1], [1, 1, 1, 1, 0]]
    assert connections(4, 1, assemblies=2, self_connections=False).tolist() == np.array(expected, bool).tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"signs": signs_of(2, 2)}, r"got signs of shape \(4,\), expected 1 or -1 for each of the 6"),
        ({"signs": SIGNS * 2}, "expected 1 or -1 for each of the 6 presynaptic units"),
        ({"mask": MASK.float()}, r"got a mask of torch.float32 and shape \(6, 6\), expected bool and \(6, 6\)"),
        ({"mask": MASK[:3]}, r"got a mask of torch.bool and shape \(3, 6\), expected bool"),
    ],
)
def test_signs_and_masks_have_to_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        constrain(torch.nn.Linear(UNITS, UNITS), **{"signs": SIGNS, **options})


def test_numbers_have_to_make_sense() -> None:
    with pytest.raises(ArgumentError, match="got n_inhibitory=0, expected 1 or more"):
        signs_of(3, 0)
    with pytest.raises(ArgumentError, match="got assemblies=3, expected a number that divides 4 units"):
        connections(4, 2, assemblies=3)
    with pytest.raises(ArgumentError, match="got a layer whose weight is parametrized already"):
        constrain(layers()["linear"], SIGNS)


# saving, copying, devices


def test_a_layer_can_be_copied_and_pickled_with_its_raw_values() -> None:
    layer = layers()["masked"]
    with torch.no_grad():
        layer.get_parameter("parametrizations.weight.original").neg_()
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), copy.deepcopy(copy.deepcopy(layer))):
        assert list(other.state_dict()) == list(layer.state_dict())
        assert all(torch.equal(value, other.state_dict()[key]) for key, value in layer.state_dict().items())
        assert torch.equal(other.weight, layer.weight)
        assert isinstance(other, torch.nn.Linear)
        assert law_of(other).signs is not law_of(layer).signs
        with pytest.raises(ArgumentError, match="breaks Dale's law"):
            other.weight = torch.ones(UNITS, UNITS)


def test_copies_have_weights_of_their_own_also_where_weights_are_cached() -> None:
    """Torch keys its cache by the class that a copy would share."""
    layer = layers()["linear"]
    other = copy.deepcopy(layer)
    other.weight = layer.weight.detach() / 2
    with parametrize.cached():
        assert torch.equal(layer.weight, 2 * other.weight)
        assert layer.weight is layer.weight


def test_a_checkpoint_cannot_change_the_law() -> None:
    layer = layers()["linear"]
    other = constrain(torch.nn.Linear(UNITS, UNITS), signs_of(3, 3))
    with pytest.raises(RuntimeError, match=r"got parametrizations.weight.0.signs unlike those of the network"):
        layer.load_state_dict(other.state_dict())
    with pytest.raises(RuntimeError, match=r"Missing key.*signs"):
        layer.load_state_dict({"bias": layer.bias, "parametrizations.weight.original": layer.weight})
    assert keeps_the_law(layer.weight)


@pytest.mark.parametrize("assign", [True, False])
def test_made_without_memory_it_is_filled_from_a_checkpoint(assign: bool) -> None:
    options: dict[str, Any] = {"mask": connections(EXCITATORY, INHIBITORY), "input_size": UNITS}
    source, empty = network(**options), network(**options, device="meta")
    if not assign:
        empty = empty.to_empty(device="cpu")
    empty.load_state_dict(load(save(source.state_dict())), assign=assign)
    assert torch.equal(empty(drive())[0], source(drive())[0])


def test_resetting_restores_the_law_after_memory_was_lost() -> None:
    module = transform(device="meta").to_empty(device="cpu")
    with torch.no_grad():
        for value in module.state_dict().values():
            value.fill_(7)
    module.reset_parameters(0)
    for key, value in transform().state_dict().items():
        assert torch.equal(module.state_dict()[key], value), key


# networks


def test_the_weight_is_computed_once_per_forward() -> None:
    module, calls = network(), []
    law_of(module.get_submodule("block.transform.recurrent")).register_forward_hook(lambda *_: calls.append(1))
    for run in (module, module.trajectory):
        calls.clear()
        run(drive())
        assert len(calls) == 1
    untied = module.to_untied()  # copies have the hook too
    calls.clear()
    untied(drive())
    assert len(calls) == STEPS


def test_nothing_is_kept_between_calls() -> None:
    module = network()
    first = module(drive())[0]
    with torch.no_grad():
        module.get_parameter("block.transform.recurrent.parametrizations.weight.original").mul_(0.5)
    assert not torch.equal(module(drive())[0], first)


def sign_maps(graph: torch.fx.Graph) -> int:
    """Return how often signs are put to magnitudes in a graph."""
    return sum("where" in str(node.target) for node in graph.nodes if node.op == "call_function")


def test_an_exported_graph_has_the_sign_map_once_and_keeps_the_law() -> None:
    module = network(kernel_size=3)
    x = torch.randn(2, UNITS, 4, 4, dtype=torch.float64)
    exported = torch.export.export(module, (x,))
    assert sign_maps(exported.graph) == 1
    other = exported.module()
    assert torch.equal(other(x)[0], module(x)[0])
    step = nn.Recurrent(nn.Block(transform(final_activation=False), nn.NoShortcut()), steps=1)
    single = torch.export.export(step, (drive(1), drive(1))).module()
    with torch.no_grad():
        for parameter in single.parameters():
            parameter.copy_(torch.randn_like(parameter))
    state = torch.rand(1, UNITS, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda h: single(drive(1), h)[1], state)[0, :, 0]
    assert jacobian.abs().min() > 0
    assert keeps_the_law(jacobian)


def test_a_compiled_graph_has_the_sign_map_once() -> None:
    module, counts = network(), []

    def backend(graph: torch.fx.GraphModule, _: Any) -> Callable[..., Any]:
        counts.append(sign_maps(graph.graph))
        return graph.forward

    torch.compiler.reset()
    compiled = torch.compile(module, fullgraph=True, backend=backend)
    assert torch.equal(compiled(drive())[0], module(drive())[0])
    assert counts == [1]


def test_it_computes_what_it_says() -> None:
    module = transform(input_size=3)
    with torch.no_grad():
        module.bias.copy_(torch.linspace(-1, 1, UNITS, dtype=torch.float64))
    state, u = drive(), torch.randn(3, 3, dtype=torch.float64)
    weight, entry = module.recurrent.weight.detach().numpy(), module.input.weight.detach().numpy()
    current = np.maximum(state.numpy(), 0) @ weight.T + u.numpy() @ entry.T + np.linspace(-1, 1, UNITS)
    np.testing.assert_allclose(module(state, u).detach(), np.maximum(current, 0), rtol=0, atol=1e-14)
    module.final_activation = False
    np.testing.assert_allclose(module(state, u).detach(), current, rtol=0, atol=1e-14)
    assert str(module).startswith("ExcitatoryInhibitory(\n  4 excitatory, 2 inhibitory, activation=relu")


def test_a_kernel_of_one_position_is_all_to_all_at_each() -> None:
    dense, maps = transform(), transform(kernel_size=1)
    maps.recurrent.weight = dense.recurrent.weight.detach()[:, :, None, None]
    state, u = (torch.randn(2, UNITS, 3, 3, dtype=torch.float64) for _ in range(2))
    flat = dense(state.permute(0, 2, 3, 1).reshape(-1, UNITS), u.permute(0, 2, 3, 1).reshape(-1, UNITS))
    expected = flat.view(2, 3, 3, UNITS).permute(0, 3, 1, 2)
    torch.testing.assert_close(maps(state, u), expected, rtol=0, atol=1e-14)
    assert maps.initial_state(u).shape == u.shape


@pytest.mark.parametrize("kernel_size", [None, 3])
def test_no_state_turns_a_sign_around(kernel_size: int | None) -> None:
    module = transform(kernel_size=kernel_size, final_activation=False, bias=False)
    state = -torch.rand(2, UNITS, *(() if kernel_size is None else (4, 4)), dtype=torch.float64)
    assert not module(state).any()


def test_units_say_what_they_are() -> None:
    assert transform().unit_coords["cell_type"].tolist() == ["pyramidal"] * EXCITATORY + ["inhibitory"] * INHIBITORY


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_size": 0}, "got input_size=0, expected 1 or more"),
        ({"kernel_size": 2}, "got kernel_size=2, expected an odd number"),
        ({"norm": nn.Norm("batch", steps=STEPS)}, "got a norm with affine='per_step', expected affine='none'"),
        ({"mask": MASK, "excitation": 3.0}, "got connections under which inhibition cannot stabilise excitation=3"),
    ],
)
def test_what_cannot_keep_the_law_or_be_stable_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        transform(**options)


@pytest.mark.parametrize("kind", nn.norms.KINDS)
@pytest.mark.parametrize("kernel_size", [None, 3])
def test_every_normalisation_leaves_something_to_learn(kind: Any, kernel_size: int | None) -> None:
    module = network(norm=nn.Norm(kind, steps=STEPS, affine="none", groups=2), kernel_size=kernel_size)
    x = torch.randn(3, UNITS, *(() if kernel_size is None else (4, 4)), dtype=torch.float64)
    module(x)[0].square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in module.parameters())


# tied and untied


@pytest.mark.parametrize("kernel_size", [None, 3])
def test_tied_is_untied(kernel_size: int | None) -> None:
    tied = network(kernel_size=kernel_size, input_size=UNITS)
    x = torch.randn(2, UNITS, *(() if kernel_size is None else (4, 4)), dtype=torch.float64)
    untied = tied.to_untied()
    for module in (tied, untied):
        module(x)[0].square().sum().backward()
    assert torch.equal(tied(x)[0], untied(x)[0])
    own = dict(untied.named_parameters())
    for name, parameter in tied.named_parameters():
        parts = torch.stack([own[name.replace("block.", f"blocks.{k}.")].grad for k in range(STEPS)])
        assert (parameter.grad - parts.sum(0)).abs().max() <= 1e-12 * parts.abs().max()
    again = network(kernel_size=kernel_size, input_size=UNITS, rng=9).to_untied()
    again.load_state_dict(load(save(untied.state_dict())))
    back = nn.Recurrent.from_untied(again, mode="check")
    assert all(torch.equal(value, back.state_dict()[key]) for key, value in tied.state_dict().items())


def test_blocks_that_went_apart_share_a_weight_that_keeps_the_law() -> None:
    untied, key = network().to_untied(), "transform.recurrent.parametrizations.weight.original"
    with torch.no_grad():
        for k, block in enumerate(untied.blocks):
            block.get_parameter(key).copy_(torch.randn(UNITS, UNITS, generator=torch.Generator().manual_seed(k)))
    with pytest.raises(ArgumentError, match="of block 1 unlike that of block 0"):
        nn.Recurrent.from_untied(untied)
    weights = [block.get_submodule("transform.recurrent").weight for block in untied.blocks]
    for mode, expected in (("mean", torch.stack(weights).mean(0)), ("first", weights[0])):
        found = nn.Recurrent.from_untied(untied, mode=mode).get_submodule("block.transform.recurrent").weight
        assert torch.equal(found, expected)
        assert keeps_the_law(found)


# learning


def error(recurrent: nn.Recurrent) -> float:
    """Return the test error in percent after 12 epochs on the digits of scikit-learn."""
    images, labels = load_digits(return_X_y=True)
    x, y = torch.as_tensor(images / 16, dtype=torch.float32), torch.as_tensor(labels)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    learn, test = order[:1297], order[1297:]
    torch.manual_seed(0)
    readout = torch.nn.Linear(64, 10)
    optimiser = torch.optim.Adam([*recurrent.parameters(), *readout.parameters()], lr=3e-3)
    for _ in range(12):
        for batch in learn[torch.randperm(len(learn))].split(64):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(readout(recurrent(x[batch])[1]), y[batch]).backward()
            optimiser.step()
    with torch.no_grad():
        return 100 * float((readout(recurrent(x[test])[1]).argmax(1) != y[test]).double().mean())


def test_a_tied_network_under_dales_law_learns_about_as_well() -> None:
    options: dict[str, Any] = {"input_size": 64, "activation": torch.relu, "rng": 0}
    free = nn.Recurrent(nn.Block(nn.Dense(64, **options), nn.SoftAssignment(0.3)), steps=STEPS)
    bound = nn.Recurrent(nn.Block(ExcitatoryInhibitory(51, 13, **options), nn.SoftAssignment(0.3)), steps=STEPS)
    assert error(bound) <= error(free) + 3.0 <= 10.0
    assert keeps_the_law(bound.get_submodule("block.transform.recurrent").weight, signs_of(51, 13))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("kernel_size", [None, 3])
def test_on_cuda_it_computes_the_same_and_keeps_the_law(kernel_size: int | None) -> None:
    here, there = network(kernel_size=kernel_size), network(kernel_size=kernel_size, device="cuda")
    x = torch.randn(3, UNITS, *(() if kernel_size is None else (4, 4)), dtype=torch.float64)
    for module, values in ((here, x), (there, x.cuda())):
        module(values)[0].square().sum().backward()
    torch.testing.assert_close(there(x.cuda())[0].cpu(), here(x)[0], rtol=1e-10, atol=1e-10)
    for own, other in zip(here.parameters(), there.parameters(), strict=True):
        torch.testing.assert_close(other.grad.cpu(), own.grad, rtol=1e-9, atol=1e-9)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        there.float()(x.cuda().float())[0].sum().backward()
    layer = there.get_submodule("block.transform.recurrent")
    layer.weight = layer.weight.detach().cpu().cuda()
    assert keeps_the_law(layer.weight)


def test_laws_are_found() -> None:
    assert isinstance(law_of(layers()["linear"]), DaleLaw)
    assert parametrize.is_parametrized(layers()["linear"], "weight")


def test_untied_copies_of_a_parametrized_layer_keep_weights_of_their_own() -> None:
    """Torch's cache tells layers apart by a class that copies share; an untied network does without it."""
    dense = nn.Dense(4, rng=0, dtype=torch.float64)
    torch.nn.utils.parametrizations.weight_norm(dense.layers[0])
    untied = nn.Recurrent(nn.Block(dense), steps=3).to_untied()
    with torch.no_grad():
        for k, block in enumerate(untied.blocks):
            block.transform.layers[0].parametrizations.weight.original0.mul_(k + 1)
    x = torch.ones(2, 4, dtype=torch.float64)
    expected = torch.zeros_like(x)
    for block in untied.blocks:
        expected = block(expected, x)
    assert torch.equal(untied(x)[1], expected)


def test_filling_a_constrained_weight_is_refused() -> None:
    dense = nn.Dense(4, rng=0)
    constrain(dense.layers[0], signs_of(3, 1))
    with pytest.raises(ArgumentError, match="got a layer with a parametrized weight, expected a plain one"):
        dense.reset_parameters(0)
