"""Every loop against the plain one, in output and gradient; a new loop is tested by being listed."""

from __future__ import annotations

import gc
import random
from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from loop_cases import LEAKY, MAPS, NETWORKS, STEPS, Case, cases, check_equal, found, fresh

from cortexres import nn
from cortexres.errors import ArgumentError
from cortexres.nn import loops


class Listed(NamedTuple):
    """A loop, and the networks that it must run; it must refuse, in words, what it does not run."""

    loop: loops.Loop
    networks: tuple[str, ...]
    few: bool = False  # whether a case of each precision, drawn anew, will do: it calls other loops


LOOPS: dict[str, Listed] = {
    "Checkpointed": Listed(loops.Checkpointed(), tuple(NETWORKS), few=True),
    "Chunked": Listed(loops.Chunked(images=2), tuple(NETWORKS), few=True),
    "Fused": Listed(loops.Fused(), ()),  # on a CPU in Triton's interpreter only: tests of its own
    "Graphed": Listed(loops.Graphed(), ()),  # on a GPU only: tests of its own
    "HandWritten": Listed(loops.HandWritten(), LEAKY),
    "HandWrittenMaps": Listed(loops.HandWrittenMaps(), MAPS),
    "LibraryRNN": Listed(loops.LibraryRNN(), ("Elman", "Elman, ReLU")),
}


def test_every_public_loop_is_listed() -> None:
    public = {name for name in loops.__all__ if isinstance(getattr(loops, name), type)} - {"Loop", "Run", "Plain"}
    public -= {"FixedPoint"}  # equals the plain loop in the limit of many steps: tests of its own
    assert {type(listed.loop).__name__ for listed in LOOPS.values()} == public


def runs(name: str) -> list[tuple[str, Case]]:
    """Return the cases that a loop does not refuse."""
    listed = LOOPS[name]
    kept = [(network, case) for network in listed.networks for case in cases(network) if not refusal(listed.loop, case)]
    if not listed.few:
        return kept
    kinds = {(network, case.dtype): [] for network, case in kept}
    for network, case in kept:
        kinds[network, case.dtype].append((network, case))
    return [random.choice(alike) for alike in kinds.values()]


def refusal(loop: loops.Loop, case: Case) -> str | None:
    network = case.made(0)
    return loop.refusal(network.run_of(*case.inputs(0)))


@pytest.mark.parametrize("name", LOOPS)
def test_equals_the_plain_loop_in_output_and_gradient(name: str) -> None:
    seen = set()
    for network, case in runs(name):
        check_equal(case, LOOPS[name].loop, fresh())
        seen.add((network, case.dtype))
    for network in LOOPS[name].networks:
        assert (network, torch.float64) in seen, network
        assert (network, torch.float32) in seen, network


@pytest.mark.parametrize("name", LOOPS)
def test_refuses_in_words_what_it_does_not_run(name: str) -> None:
    for network in NETWORKS:
        if network not in LOOPS[name].networks:
            for case in cases(network):
                why = refusal(LOOPS[name].loop, case)
                assert why, case
                made = case.made(0)
                made.loop = LOOPS[name].loop
                with pytest.raises(ArgumentError, match=r"loop=.* cannot run .*; .*loop=None") as raised:
                    made(*case.inputs(0))
                assert why in str(raised.value)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_loop_that_is_chosen_equals_the_plain_one_to_the_last_bit(network: str) -> None:
    for case in cases(network):
        seed = fresh()
        plain, chosen = found(case, loops.Plain(), seed), found(case, None, seed)
        if case.movie and any("input" in name for name, _ in case.made(0).named_parameters()):
            continue  # frames go through the weights of the input together, and round otherwise
        assert torch.equal(plain.output, chosen.output), (case, seed)
        assert torch.equal(plain.last, chosen.last), (case, seed)


@pytest.mark.parametrize("network", LEAKY)
def test_without_gradients_the_chosen_loop_gives_the_same(network: str) -> None:
    for case in cases(network):
        made, (x, h_0) = case.made(1), case.inputs(1)
        with_gradient = made(x, h_0)
        with torch.no_grad():
            without = made(x, h_0)
        for one, other in zip(with_gradient, without, strict=True):
            assert torch.equal(one, other), case
            assert not other.requires_grad


def test_the_rule_takes_the_hand_written_loop_for_dense_leaky_networks_on_a_cpu() -> None:
    for network in NETWORKS:
        case = Case(network)
        chosen = loops.choose(case.made(0).run_of(*case.inputs(0)))
        assert isinstance(chosen, loops.HandWritten if network in LEAKY else loops.Plain), network


def test_a_few_steps_are_taken_by_the_plain_loop() -> None:
    for steps in (1, 3, 4):
        made = NETWORKS["leaky"](rng=0, dtype=torch.float32, steps=steps)
        assert isinstance(loops.choose(made.run_of(torch.zeros(2, 6))), loops.Plain) == (steps <= 3)


def test_a_tied_network_of_many_steps_is_cut_into_chunks_of_them_backward() -> None:
    for steps in (1, 2, 31, 32, 33, 100):
        made = NETWORKS["leaky"](rng=0, dtype=torch.float64, steps=steps)
        x = torch.randn(2, 6, dtype=torch.float64)
        gradients = {}
        for loop in (loops.Plain(), loops.HandWritten()):
            made.loop = loop
            gradients[type(loop)] = torch.autograd.grad(made(x)[0].square().sum(), list(made.parameters()))
        for plain, own in zip(*gradients.values(), strict=True):
            assert (plain - own).abs().max() <= 1e-12 * plain.abs().max()


@pytest.mark.parametrize("network", ["leaky", "excitatory-inhibitory", "Elman", "leaky, each unit"])
def test_gradients_of_gradients(network: str) -> None:
    for case in (Case(network, start="learned"), Case(network, readout="last")):
        grown = {}
        for loop in (loops.Plain(), loops.HandWritten()):
            made, (x, h_0) = case.made(3), case.inputs(3)
            made.loop = loop
            weights = list(made.parameters())
            first = torch.autograd.grad(made(x, h_0)[0].pow(3).sum(), weights, create_graph=True)
            grown[type(loop)] = torch.autograd.grad(sum(g.square().sum() for g in first), [*weights, x])
        for plain, own in zip(*grown.values(), strict=True):
            assert (plain - own).abs().max() <= 1e-11 * (1 + plain.abs().max())


def test_many_gradients_at_once() -> None:
    made = NETWORKS["leaky"](rng=0, dtype=torch.float64, readout="last")
    x = torch.randn(1, 6, dtype=torch.float64, requires_grad=True)
    last = made(x)[0][0]
    (rows,) = torch.autograd.grad(last, x, torch.eye(6, dtype=torch.float64), is_grads_batched=True, retain_graph=True)
    each = [torch.autograd.grad(last[k], x, retain_graph=True)[0] for k in range(6)]
    assert (rows - torch.stack(each)).abs().max() <= 1e-13
    (again,) = torch.autograd.grad(last.sum(), x)
    assert (again - rows.sum(dim=0)).abs().max() <= 1e-13


OVERSEEN = [
    "compile", "jvp", "grad", "vmap", "hook", "pre-hook", "global hook", "global backward hook", "mode", "autocast",
    "patched",
]


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch's own, where it imports its derivatives
@pytest.mark.parametrize("what", OVERSEEN)
def test_a_run_that_is_looked_into_goes_through_its_block(what: str) -> None:
    made, x = NETWORKS["leaky"](rng=0, dtype=torch.float32), torch.randn(3, 6)
    calls: list[str] = []
    expected = made(x)[0]
    if what == "compile":
        torch.compiler.reset()
        assert torch.equal(torch.compile(made, backend="eager", fullgraph=True)(x)[0], expected)
    elif what == "jvp":
        _, slope = torch.func.jvp(lambda u: made(u)[0], (x,), (torch.ones_like(x),))
        e = 1e-3
        assert torch.allclose(slope, (made(x + e)[0] - made(x - e)[0]) / (2 * e), atol=1e-3)
    elif what == "grad":
        slope = torch.func.grad(lambda u: made(u)[0].sum())(x)
        x.requires_grad_()
        assert torch.allclose(slope, torch.autograd.grad(made(x)[0].sum(), x)[0], atol=1e-6)
    elif what == "vmap":
        assert torch.allclose(torch.vmap(lambda u: made(u[None])[0][0])(x), expected, atol=1e-6)
    elif what in ("hook", "pre-hook"):
        layer = made.block.get_submodule("transform.layers.0")
        if what == "hook":
            layer.register_forward_hook(lambda *_: calls.append(what))
        else:
            layer.register_forward_pre_hook(lambda *_: calls.append(what))
        made(x)
        assert len(calls) == STEPS
    elif what == "global hook":
        handle = torch.nn.modules.module.register_module_forward_hook(lambda *_: calls.append(what))
        made(x)
        handle.remove()
        assert len(calls) >= STEPS
    elif what == "global backward hook":
        handle = torch.nn.modules.module.register_module_full_backward_pre_hook(lambda *_: calls.append(what))
        try:
            made(x.requires_grad_(), torch.zeros(3, 6, requires_grad=True))[0].sum().backward()
        finally:
            handle.remove()
        assert len(calls) >= STEPS
    elif what == "mode":
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter:
            made(x)
        assert counter.get_total_flops() == 2 * STEPS * 3 * 6 * 6
    elif what == "autocast":
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert made(x)[0].sub(expected).abs().max() > 1e-4
    elif what == "patched":
        own = made.block.forward
        made.block.forward = lambda *arguments: calls.append(what) or own(*arguments)  # type: ignore[func-returns-value, method-assign]
        made(x)
        assert len(calls) == STEPS


def test_weights_that_are_lent_for_a_call_are_used() -> None:
    made, x = NETWORKS["leaky"](rng=0, dtype=torch.float64), torch.randn(3, 6, dtype=torch.float64)
    other = NETWORKS["leaky"](rng=5, dtype=torch.float64)
    assert torch.equal(torch.func.functional_call(made, dict(other.state_dict()), (x,))[0], other(x)[0])


def test_where_new_tensors_go_is_no_look_into_the_steps() -> None:
    made = NETWORKS["leaky"](rng=0, dtype=torch.float32)
    with torch.device("cpu"):
        assert isinstance(loops.choose(made.run_of(torch.zeros(2, 6))), loops.HandWritten)


def test_a_gamma_that_changes_between_both_passes_changes_no_gradient() -> None:
    for network, shape in (("leaky, each unit", (3, 6)), ("excitatory-inhibitory maps", (3, 6, 5, 5))):
        found_ = []
        for change in (1.0, 0.5):
            made = NETWORKS[network](rng=0, dtype=torch.float64)
            made.loop = loops.HandWritten() if len(shape) == 2 else loops.HandWrittenMaps()
            output = made(torch.ones(shape, dtype=torch.float64))[0]
            made.block.get_buffer("shortcut.gamma").mul_(change)
            found_.append(torch.autograd.grad(output.sum(), list(made.parameters())))
        for one, other in zip(*found_, strict=True):
            assert torch.equal(one, other), network


def test_steps_after_the_one_that_is_read_have_no_gradient() -> None:
    block = nn.Block(nn.Dense(8, activation=torch.relu, rng=0), nn.Identity())
    with torch.no_grad():
        block.get_parameter("transform.layers.0.weight").copy_(torch.eye(8))  # doubles the state: it overflows at 128
    x, found_ = torch.rand(2, 200, 8) + 0.1, {}
    for loop in (loops.Plain(), loops.HandWritten()):
        made = nn.Recurrent(block, steps=200, readout=5, loop=loop)
        x.requires_grad_()
        found_[type(loop)] = torch.autograd.grad(made(x)[0].sum(), [*made.parameters(), x])
    for plain, own in zip(*found_.values(), strict=True):
        assert own.isfinite().all()
        assert (plain - own).abs().max() <= 1e-5 * plain.abs().max()


@pytest.mark.parametrize("network", ["leaky", "Elman", "leaky, linear", "excitatory-inhibitory"])
@pytest.mark.parametrize("frozen", ["weights", "input", "all but the start"])
def test_what_is_frozen_gets_no_gradient(network: str, frozen: str) -> None:
    for case in (Case(network, start="learned"), Case(network, movie=True, readout=4, start="learned")):
        seed, found_ = fresh(), {}
        for loop in (loops.Plain(), loops.HandWritten()):
            made, (x, h_0) = case.made(seed), case.inputs(seed)
            made.loop = loop
            made.requires_grad_(frozen == "input")
            x.requires_grad_(frozen == "weights")
            of = [t for t in (*made.parameters(), x, h_0) if t is not None and t.requires_grad]
            found_[type(loop)] = torch.autograd.grad(made(x, h_0)[0].pow(2).sum(), of, allow_unused=True)
        for plain, own in zip(*found_.values(), strict=True):
            if plain is None or own is None:
                assert plain is own
            else:
                assert (plain - own).abs().max() <= 1e-12 * (1 + plain.abs().max()), (case, seed)


def test_what_is_given_back_may_be_changed_and_the_input_refilled() -> None:
    for batch, units, steps in ((1, 16, 9), (3, 6, 9), (1, 16, 1)):
        made = nn.Recurrent(nn.Block(nn.Dense(units, rng=0), nn.SoftAssignment(0.2)), steps=steps)
        made.loop, weights = loops.HandWritten(), list(made.parameters())
        x = torch.randn(batch, units)
        expected = torch.autograd.grad(made(x)[0].relu().sum(), weights)
        output = made(x)[0]
        output.relu_()
        x.normal_()
        for right, own in zip(expected, torch.autograd.grad(output.sum(), weights), strict=True):
            assert torch.equal(right, own)
    output = made(x)[0]
    x.normal_()
    with pytest.raises(RuntimeError, match="got an input that was modified by an inplace operation after the run"):
        torch.autograd.grad(output.sum(), weights, create_graph=True)


def test_a_gradient_that_is_large_before_gamma_does_not_overflow() -> None:
    made = nn.Recurrent(nn.Block(nn.Dense(4, rng=0), nn.SoftAssignment(1e-3)), steps=100, readout="last")
    x, found_ = torch.zeros(64, 4), {}
    for loop in (loops.Plain(), loops.HandWritten()):
        made.loop = loop
        bias = made.block.get_parameter("transform.layers.0.bias")
        found_[type(loop)] = torch.autograd.grad((made(x)[0] * 3e35).sum(), bias)
    for plain, own in zip(*found_.values(), strict=True):
        assert own.isfinite().all()
        assert (plain - own).abs().max() <= 1e-5 * plain.abs().max()


@pytest.mark.parametrize("name", ["Plain", *LOOPS])
def test_a_training_step_leaves_nothing_behind_for_the_collector(name: str) -> None:
    def tensors() -> int:
        return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())

    loop, networks = (loops.Plain(), ("leaky",)) if name == "Plain" else LOOPS[name][:2]
    gc.collect()
    gc.disable()
    try:
        for network in networks[:1]:
            case, counts = Case(network, readout="last"), []
            made, (x, h_0) = case.made(0), case.inputs(0)
            made.loop = loop
            for _ in range(3):
                torch.autograd.grad(made(x, h_0)[0].sum(), list(made.parameters()))
                counts.append(tensors())
            assert counts[1] == counts[2], network
    finally:
        gc.enable()


def test_less_is_kept_where_less_is_needed() -> None:
    def kept(made: nn.Recurrent, x: torch.Tensor) -> int:
        sizes: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            made(x)[0].sum()
        return sum(sizes.values())

    x = torch.randn(64, 32)
    leak = nn.SoftAssignment(0.2)
    for shortcut, frozen, states in ((leak, False, 2), (leak, True, 1), (nn.NoShortcut(), False, 1)):
        made = nn.Recurrent(nn.Block(nn.Dense(32, rng=0), shortcut), steps=50, readout="last")
        made.requires_grad_(not frozen)
        x.requires_grad_(frozen)
        assert kept(made, x) <= (50 * states + 4) * x.nbytes


def test_an_activation_without_a_hash_is_another() -> None:
    @dataclass
    class Shifted:
        by: float

        def __call__(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tanh(x + self.by)

    made = nn.Recurrent(nn.Block(nn.Dense(6, activation=Shifted(0.1), rng=0), nn.SoftAssignment(0.2)), steps=9)
    assert isinstance(loops.choose(made.run_of(torch.zeros(2, 6))), loops.Plain)
    assert made(torch.zeros(2, 6))[0].isfinite().all()


def test_changing_a_weight_between_both_passes_is_noticed() -> None:
    made, x = NETWORKS["leaky"](rng=0, dtype=torch.float64), torch.randn(3, 6, dtype=torch.float64)
    output = made(x)[0]
    with torch.no_grad():
        made.block.get_parameter("transform.layers.0.weight").mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


def test_changing_what_was_given_back_changes_no_gradient() -> None:
    made, x = NETWORKS["leaky"](rng=0, dtype=torch.float64), torch.randn(3, 6, dtype=torch.float64)
    weight = made.block.get_parameter("transform.layers.0.weight")
    (expected,) = torch.autograd.grad(made(x)[0].sum(), weight)
    output, last = made(x)
    with torch.no_grad():
        last.zero_()
    (found_,) = torch.autograd.grad(output.sum(), weight)
    assert torch.equal(found_, expected)


def test_a_loop_is_kept_by_what_is_made_of_a_network_and_set_for_all_of_one() -> None:
    made = NETWORKS["leaky"](rng=0, dtype=torch.float32, loop=loops.Plain())
    assert "loop=Plain()" in repr(made)
    assert nn.Recurrent.from_untied(made.to_untied()).loop == loops.Plain()
    network = nn.create("digits_tied", rng=0)
    nn.set_loop(network, loops.Plain())
    assert all(part.loop == loops.Plain() for part in network.modules() if isinstance(part, nn.Recurrent))
    with pytest.raises(ArgumentError, match="got a network without a Recurrent, expected one or more"):
        nn.set_loop(torch.nn.Linear(2, 2), None)
    for wrong in ("fast", loops.HandWritten):
        with pytest.raises(ArgumentError, match=r"got loop=.*, expected a loop of cortexres.nn.loops, such as"):
            NETWORKS["leaky"](rng=0, dtype=torch.float32, loop=wrong)
        with pytest.raises(ArgumentError, match=r"got loop=.*, expected a loop of cortexres.nn.loops, such as"):
            nn.set_loop(network, wrong)  # type: ignore[arg-type]
