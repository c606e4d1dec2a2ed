"""Loops on maps: the one written by hand, and all of them in channels_last and bfloat16."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from loop_cases import DTYPES, MAPS, NETWORKS, Case, cases, check_equal, fresh
from torch import Tensor

from cortexres import nn
from cortexres.errors import ArgumentError
from cortexres.nn import loops
from cortexres.nn.loops.map_backward import MapBackward
from cortexres.nn.norms import Norm

OWN = loops.HandWrittenMaps()
PUBLIC = [getattr(loops, name) for name in loops.__all__ if isinstance(getattr(loops, name), type)]
# implicit gradients are those of the plain loop in the limit of many steps only: tests of their own
ALL = [loop() for loop in PUBLIC if loop not in (loops.Loop, loops.Run, loops.FixedPoint)]
CHANNELS, INPUTS, BATCH, SIDE = 6, 3, 4, 5
Made = Callable[..., nn.Recurrent]  # called with rng and options of Recurrent
GAMMA = torch.linspace(0.1, 0.9, CHANNELS, dtype=torch.float64)


def maps(
    shortcut: torch.nn.Module | None = None, activation: Callable[[Tensor], Tensor] | None = None, **of: Any
) -> Made:
    def made(rng: int, **options: Any) -> nn.Recurrent:
        own = nn.Convolutional(CHANNELS, rng=rng, dtype=torch.float64, **of)
        return _network(nn.Block(own, shortcut, activation=activation), rng, options)

    return made


def excitatory_inhibitory(shortcut: torch.nn.Module | None = None, **of: Any) -> Made:
    def made(rng: int, **options: Any) -> nn.Recurrent:
        of_maps = {"kernel_size": 3, **of}
        own = nn.ExcitatoryInhibitory(4, CHANNELS - 4, rng=rng, dtype=torch.float64, **of_maps)
        return _network(nn.Block(own, shortcut or nn.SoftAssignment(0.3)), rng, options)

    return made


def _network(block: nn.Block, rng: int, options: dict[str, Any]) -> nn.Recurrent:
    draw = torch.Generator().manual_seed(rng)
    with torch.no_grad():
        for name, parameter in block.named_parameters():
            if "bias" in name or "norm" in name:  # zeros and ones hide where they enter
                parameter.copy_(torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
    return nn.Recurrent(block, **{"steps": 4, "readout": "all", **options})


def norm(kind: Any, **more: Any) -> Norm:
    return Norm(kind, **{"steps": 5, "groups": 2, **more})


RELU, TANH = torch.relu, torch.tanh
VARIANTS = {
    "of 2015": maps(activation=RELU, norm=norm("batch")),
    "of 2015, wide": maps(activation=RELU, width=8, norm=norm("batch", affine="none")),
    "of 2016": maps(order="pre", norm=norm("batch", statistics="shared", affine="shared", shared_in_eval="allow")),
    "tanh after the sum": maps(nn.SoftAssignment(GAMMA), TANH),
    "leaky, pre": maps(nn.SoftAssignment(GAMMA[3]), order="pre", kernel_size=5),
    "no shortcut": maps(nn.NoShortcut(), TANH, norm=norm("layer", beyond="last", steps=2)),
    "no shortcut, pre": maps(nn.NoShortcut(), order="pre", norm=norm("group", affine="shared")),
    "Dale": excitatory_inhibitory(nn.SoftAssignment(GAMMA)),
    "Dale, own weights of the input": excitatory_inhibitory(input_size=INPUTS, norm=norm("layer", affine="none")),
    "Dale, current": excitatory_inhibitory(final_activation=False, bias=False, kernel_size=1),
    "Dale, batch norm": excitatory_inhibitory(nn.NoShortcut(), norm=norm("batch", affine="none"), activation=TANH),
}


def inputs(name: str, rng: int, *, movie: bool = False, learned: bool = False) -> tuple[Tensor, Tensor | None]:
    draw = torch.Generator().manual_seed(rng + 1)
    width = INPUTS if "own weights" in name else CHANNELS
    shape = (BATCH, *((4,) if movie else ()), width, SIDE, SIDE)
    x = torch.randn(shape, generator=draw, dtype=torch.float64).requires_grad_()
    h_0 = torch.randn(BATCH, CHANNELS, SIDE, SIDE, generator=draw, dtype=torch.float64)
    return x, h_0.requires_grad_() if learned else None


def gradients(made: nn.Recurrent, x: Tensor, h_0: Tensor | None, **run: int) -> dict[str, Tensor]:
    """Return outputs and gradients, of sums that weigh each state otherwise."""
    output, last = made(x, h_0, **run)
    weights = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    total = (weights * output).sum() + (last.flip(0) * last.cos()).sum()
    of = {"x": x, "h_0": h_0, **dict(made.named_parameters())}
    of = {key: value for key, value in of.items() if value is not None and value.requires_grad}
    return {
        "output": output.detach(),
        "last": last.detach(),
        **dict(zip(of, torch.autograd.grad(total, list(of.values()), allow_unused=True), strict=True)),
    }


def check_same(plain: dict[str, Tensor], own: dict[str, Tensor], told: object) -> None:
    assert torch.equal(plain["output"], own["output"]), told
    assert torch.equal(plain["last"], own["last"]), told
    for key, right in plain.items():
        assert (own[key] is None) == (right is None), (told, key)
        if right is not None:
            assert (own[key] - right).abs().max() <= 1e-12 * (1 + right.abs().max()), (told, key)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("training", [True, False])
def test_every_form_equals_the_plain_loop(name: str, training: bool) -> None:
    for movie, learned, readout in ((False, True, "all"), (True, False, 3), (False, False, "last"), (True, True, 4)):
        rng, held = fresh(), []
        for loop in (loops.Plain(), OWN):
            made = VARIANTS[name](rng, readout=readout, loop=loop).train(training)
            run = {"first_step": 1} if readout == "all" else {}
            held.append(gradients(made, *inputs(name, rng, movie=movie, learned=learned), **run))
            held[-1].update({key: value.double() for key, value in made.named_buffers()})
        check_same(*held, (name, movie, learned, readout, rng))


@pytest.mark.parametrize("network", MAPS)
def test_equals_the_plain_loop_in_training(network: str) -> None:
    for case in list(cases(network))[::2]:  # three in float64, one in each of the others
        check_equal(replace(case, training=True), OWN, fresh())


@pytest.mark.parametrize("bytes_", [1, 3 * BATCH * CHANNELS * SIDE * SIDE * 8, 2**30])
@pytest.mark.parametrize("name", ["of 2015", "Dale", "of 2016"])
def test_steps_are_taken_in_chunks_backward(name: str, bytes_: int) -> None:
    for steps in (1, 2, 3, 5):
        rng, held = fresh(), []
        for loop in (loops.Plain(), loops.HandWrittenMaps(stacked_bytes=bytes_)):
            made = VARIANTS[name](rng, steps=steps, loop=loop)
            held.append(gradients(made, *inputs(name, rng)))
        check_same(*held, (name, steps, rng))


def test_a_kernel_gets_one_gradient_for_a_chunk_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    counts, collect = [], MapBackward._collect
    monkeypatch.setattr(MapBackward, "_collect", lambda self, steps: counts.append(len(steps)) or collect(self, steps))
    x, _ = inputs("Dale", 0)
    step = BATCH * CHANNELS * SIDE * SIDE * 8
    for size, expected in ((1, [1, 1, 1, 1, 1]), (2 * step, [1, 2, 2]), (2**20, [5])):
        counts.clear()
        VARIANTS["Dale"](0, steps=5, loop=loops.HandWrittenMaps(stacked_bytes=size))(x)[0].sum().backward()
        assert counts == expected


@pytest.mark.parametrize("name", ["of 2015", "Dale, own weights of the input", "no shortcut, pre"])
@pytest.mark.parametrize("frozen", ["weight", "bias", "norm", "drive", "all but the drive", "all but h_0"])
def test_what_is_frozen_gets_no_gradient_and_changes_no_other(name: str, frozen: str) -> None:
    rng, held = fresh(), []
    for loop in (loops.Plain(), OWN):
        made = VARIANTS[name](rng, loop=loop)
        x, h_0 = inputs(name, rng, learned=frozen == "all but h_0")
        for key, parameter in made.named_parameters():
            if frozen.startswith("all") or frozen in key:
                parameter.requires_grad_(False)
        x.requires_grad_(frozen not in ("drive", "all but h_0"))
        held.append(gradients(made, x, h_0))
    check_same(*held, (name, frozen, rng))


@pytest.mark.parametrize("network", MAPS)
@pytest.mark.parametrize("channels_last", [False, True])
def test_rounds_as_the_plain_loop_in_sizes_that_onednn_computes(network: str, channels_last: bool) -> None:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    for batch, side in ((1, 8), (2, 32), (16, 8)):
        made = NETWORKS[network](rng=fresh(), dtype=torch.float32).to(memory_format=layout)
        x = torch.randn(batch, 6, side, side).to(memory_format=layout).requires_grad_()
        # without a gradient, a norm of groups takes the first state in another layout, see `StepNorm`
        h_0 = torch.randn(batch, 6, side, side).to(memory_format=layout).requires_grad_()
        held = {}
        for loop in (loops.Plain(), OWN):
            made.loop = loop
            held[type(loop)] = made(x, h_0)
        for plain, own in zip(*held.values(), strict=True):
            assert torch.equal(plain, own), (network, batch, side)


@pytest.mark.parametrize("loop", ALL, ids=lambda loop: type(loop).__name__)
@pytest.mark.parametrize("dtype", DTYPES[1:], ids=str)
def test_channels_last_is_kept_and_changes_nothing_but_rounding(loop: loops.Loop, dtype: torch.dtype) -> None:
    for network in MAPS:
        # without a gradient of the first state, torch 2.13 crashes where a norm of groups takes it in channels_last
        case, rng = Case(network, readout="last", dtype=dtype, start="learned"), fresh()
        held: list[dict[str, Tensor]] = []
        for layout in (torch.contiguous_format, torch.channels_last):
            made = case.made(rng).to(memory_format=layout)
            x, h_0 = (value.detach().to(memory_format=layout).requires_grad_() for value in case.inputs(rng))
            made.loop = loop
            if loop.refusal(made.run_of(x, h_0)):
                continue
            held.append(gradients(made, x, h_0))
            assert made(x, h_0)[0].is_contiguous(memory_format=layout), (network, layout, rng)
        for key in held[0] if held else ():
            one, other = (each[key].double() for each in held)
            # on average: a ReLU that rounds to the other side of 0 makes single gradients differ by more
            allowed = 50 * torch.finfo(dtype).eps * one.abs().max()
            assert (one - other).abs().mean() <= allowed, (network, key, rng)


@pytest.mark.parametrize("name", ["of 2015", "of 2016", "Dale", "no shortcut"])
def test_gradients_of_gradients(name: str) -> None:
    rng, grown = fresh(), {}
    for loop in (loops.Plain(), OWN):
        for training in (True, False):
            made = VARIANTS[name](rng, loop=loop, readout=3).train(training)
            x, h_0 = inputs(name, rng, learned=True)
            weights = [*made.parameters(), x, h_0]
            first = torch.autograd.grad(made(x, h_0)[0].pow(3).sum(), weights, create_graph=True)
            second = torch.autograd.grad(sum(g.square().sum() for g in first), weights)
            grown.setdefault(training, []).append((*second, *(b.double() for b in made.buffers())))
    for plain, own in (pair for held in grown.values() for pair in zip(*held, strict=True)):
        assert (plain - own).abs().max() <= 1e-11 * (1 + plain.abs().max()), (name, rng)


def test_many_gradients_at_once() -> None:
    made = VARIANTS["Dale"](0, loop=OWN, readout="last")
    x, _ = inputs("Dale", 0)
    last = made(x)[0][:1, :, 0, 0].flatten()
    eye = torch.eye(len(last), dtype=torch.float64)
    (rows,) = torch.autograd.grad(last, x, eye, is_grads_batched=True, retain_graph=True)
    each = [torch.autograd.grad(value, x, retain_graph=True)[0] for value in last]
    assert (rows - torch.stack(each)).abs().max() <= 1e-13
    (again,) = torch.autograd.grad(last.sum(), x)
    assert (again - rows.sum(dim=0)).abs().max() <= 1e-13


def test_keeps_no_more_for_the_backward_pass_than_the_plain_loop() -> None:
    for name in VARIANTS:
        held = {}
        for loop in (loops.Plain(), OWN):
            made, (x, _) = VARIANTS[name](0, loop=loop, readout="last"), inputs(name, 0)
            own = {parameter.untyped_storage().data_ptr() for parameter in made.parameters()}
            kept: dict[int, torch.UntypedStorage] = {}

            def pack(tensor: Tensor, kept: dict = kept, own: set = own) -> Tensor:
                if tensor.untyped_storage().data_ptr() not in own:
                    kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
                return tensor

            with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
                made(x)
            held[type(loop)] = sum(storage.nbytes() for storage in kept.values())
        # beside it: the last state, the first in its row and as it was given, and which implementation of a norm it is
        assert held[type(OWN)] <= held[loops.Plain] + 3 * BATCH * CHANNELS * SIDE**2 * 8 + 64, (name, held)


def test_without_gradients_gives_the_same_and_keeps_the_format() -> None:
    for name, variant in VARIANTS.items():
        for readout in ("all", "last", 3):
            made, (x, h_0) = variant(1, loop=OWN, readout=readout), inputs(name, 1)
            with_gradient = made.eval()(x, h_0)
            with torch.no_grad():
                without = made(x, h_0)
            for one, other in zip(with_gradient, without, strict=True):
                assert torch.equal(one, other), (name, readout)
                assert not other.requires_grad


def test_changing_a_weight_between_both_passes_is_noticed() -> None:
    made, (x, _) = VARIANTS["of 2016"](0, loop=OWN), inputs("of 2016", 0)
    output = made(x)[0]
    with torch.no_grad():
        made.block.get_parameter("transform.layers.0.convolution.weight").mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


def test_changing_what_was_given_back_or_going_back_twice_changes_no_gradient() -> None:
    for name in ("of 2015", "Dale"):
        made, (x, _) = VARIANTS[name](0, loop=OWN).eval(), inputs(name, 0)
        weights = list(made.parameters())
        expected = torch.autograd.grad(made(x)[0].sum(), weights)
        output, last = made(x)
        with torch.no_grad():
            last.zero_()
        for _ in range(2):
            for one, other in zip(expected, torch.autograd.grad(output.sum(), weights, retain_graph=True), strict=True):
                assert torch.equal(one, other)


BLOCK = nn.Convolutional(CHANNELS, rng=0)
REFUSED: dict[str, tuple[Callable[[], nn.Recurrent], str]] = {
    "untied": (lambda: nn.Recurrent([nn.Block(BLOCK)] * 2), "blocks of their own"),
    "noise": (lambda: nn.Recurrent(nn.Block(BLOCK), steps=2, noise=0.1), "noise"),
    "shortcut": (lambda: maps(nn.LearnedScale(CHANNELS))(0), "the shortcut LearnedScale"),
    "gamma": (lambda: _learned_gamma(), "a gamma that is learned"),
    "finish": (lambda: maps(activation=torch.sigmoid)(0), "an activation after the sum other than tanh or ReLU"),
    "inside": (lambda: _inside(torch.sigmoid), "an activation other than tanh or ReLU"),
    "none inside": (lambda: _inside(None), "a layer without activation before another"),
    "rates": (lambda: excitatory_inhibitory(activation=torch.sigmoid)(0), "an activation other than tanh or ReLU"),
    "transform": (lambda: _block(nn.Bottleneck(CHANNELS, rng=0)), "the transform Bottleneck"),
    "rms": (lambda: maps(norm=norm("rms"))(0), "a norm of kind 'rms'"),
    "torch's norm": (lambda: _with_norm(torch.nn.InstanceNorm2d(CHANNELS)), "the norm InstanceNorm2d"),
    "few": (lambda: maps(norm=norm("group", steps=3))(0), "4 steps with a norm of 3"),
    "shared": (lambda: maps(norm=norm("batch", statistics="shared", affine="none"))(0).eval(), "statistics that steps"),
    "border": (lambda: _with_border("circular"), "a layer that is not torch's Conv2d of stride 1"),
    "class": (lambda: _with_layer(torch.nn.Identity()), "layers of another class"),
    "block": (lambda: _with_class(), "a Another"),
}


class Another(nn.Block):
    """A block of another class."""


def _block(transform: torch.nn.Module) -> nn.Recurrent:
    return nn.Recurrent(nn.Block(transform.double()), steps=2)


def _learned_gamma() -> nn.Recurrent:
    made = maps(nn.SoftAssignment(GAMMA))(0)
    made.block.shortcut.gamma.requires_grad_()
    return made


def _inside(activation: Callable[[Tensor], Tensor] | None) -> nn.Recurrent:
    own = nn.Convolutional(CHANNELS, rng=0)
    own.layers[0].activation = activation
    return _block(own)


def _with_norm(module: torch.nn.Module) -> nn.Recurrent:
    own = nn.Convolutional(CHANNELS, rng=0)
    own.layers[0].norm = module
    return _block(own)


def _with_border(mode: str) -> nn.Recurrent:
    own = nn.Convolutional(CHANNELS, rng=0)
    own.layers[0].convolution.padding_mode = mode
    return _block(own)


def _with_layer(layer: torch.nn.Module) -> nn.Recurrent:
    own = nn.Convolutional(CHANNELS, rng=0)
    own.layers.append(layer)
    return _block(own)


def _with_class() -> nn.Recurrent:
    return nn.Recurrent(Another(nn.Convolutional(CHANNELS, rng=0, dtype=torch.float64)), steps=2)


@pytest.mark.parametrize("what", REFUSED)
def test_refuses_in_words(what: str) -> None:
    make, words = REFUSED[what]
    made, (x, _) = make().double(), inputs("", 0)
    assert words in str(OWN.refusal(made.run_of(x)))
    made.loop = OWN
    with pytest.raises(ArgumentError, match=r"got loop=HandWrittenMaps.*, which cannot run"):
        made(x)


def test_refuses_states_and_drives_of_other_shapes() -> None:
    made, (x, h_0) = VARIANTS["Dale"](0), inputs("Dale", 0, learned=True)
    assert "a state of shape (4, 5, 5, 5)" in str(OWN.refusal(made.run_of(x, h_0[:, :5])))
    assert "a drive of shape (4, 6, 4, 5)" in str(OWN.refusal(made.run_of(x[:, :, :4], h_0)))
    assert "a state of shape (0, 6, 5, 5)" in str(OWN.refusal(made.run_of(x[:0])))
    assert OWN.refusal(made.run_of(x, steps=0)) == "no steps"
    one = VARIANTS["of 2015"](0)
    assert OWN.refusal(one.run_of(x[:1, :, :1, :1])) == "batch statistics of one number"
    assert OWN.refusal(one.eval().run_of(x[:1, :, :1, :1])) is None
    odd = nn.Recurrent(nn.Block(nn.Convolutional(CHANNELS, CHANNELS + 1, rng=0)), steps=1)
    assert OWN.refusal(odd.run_of(x)) == "a block that changes the shape of the state"


def test_a_network_of_other_numbers_than_its_state_goes_through_its_block() -> None:
    made, (x, _) = VARIANTS["Dale"](0).float(), inputs("Dale", 0)
    assert "torch.float64" in str(OWN.refusal(made.run_of(x.float(), x.detach())))
    made.double().block.register_forward_hook(lambda *_: None)
    assert OWN.refusal(made.run_of(x)) == "hooks on modules"


@pytest.mark.parametrize("frozen", ["", "norm", "convolution"])
@pytest.mark.parametrize("name", ["no shortcut, pre", "Dale, own weights of the input"])
def test_norms_of_groups_take_first_states_without_a_gradient_in_channels_last(name: str, frozen: str) -> None:
    made, (x, h_0) = VARIANTS[name](0), inputs(name, 0, learned=True)
    for key, parameter in made.named_parameters():
        parameter.requires_grad_(not frozen or frozen not in key)
    held = [gradients(made, x, h_0)]
    made.to(memory_format=torch.channels_last).loop = OWN
    held.append(gradients(made, x, h_0.detach().to(memory_format=torch.channels_last)))
    for key, right in held[1].items():
        assert (right - held[0][key]).abs().max() <= 1e-12 * (1 + right.abs().max()), key


def test_pays_where_it_was_faster_in_training() -> None:
    def pays(name: str, batch: int = 4, steps: int = 16, dtype: torch.dtype = torch.float32) -> bool:
        made = VARIANTS[name](0, steps=steps).to(dtype)
        return OWN.pays(made.run_of(torch.zeros(batch, CHANNELS, 32, 32, dtype=dtype)))

    assert pays("Dale")
    assert pays("Dale", batch=64, dtype=torch.bfloat16)
    assert pays("tanh after the sum")
    assert not pays("tanh after the sum", batch=6)
    assert not pays("Dale", steps=15)
    assert not pays("Dale", dtype=torch.float64)
    assert not pays("of 2015")
    with torch.no_grad():
        assert not pays("Dale")
    assert not OWN.pays(nn.Recurrent([nn.Block(BLOCK)] * 16).run_of(torch.zeros(1, CHANNELS, 4, 4)))


def test_statistics_of_the_batch_move_once_where_gradients_have_gradients() -> None:
    made, (x, _) = VARIANTS["of 2015"](0, loop=OWN), inputs("of 2015", 0)
    (first,) = torch.autograd.grad(made(x)[0].pow(2).sum(), x, create_graph=True)
    first.square().sum().backward()
    tracked = made.block.get_buffer("transform.layers.0.norm.num_batches_tracked")
    assert tracked.tolist() == [1] * 4 + [0]
