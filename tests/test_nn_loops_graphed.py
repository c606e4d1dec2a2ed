"""Recorded loops. Without a GPU, a stand-in records: it does the work again, into the same places, at every replay."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from loop_cases import NETWORKS, Case, cases, check_equal, fresh
from torch import Tensor

from cortexres import nn
from cortexres.errors import ArgumentError
from cortexres.nn import loops
from cortexres.nn.loops import cuda_graphs

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


class Stand:
    """A recording that does the work again, where a graph would write the same memory."""

    made = 0

    def __init__(self, work: cuda_graphs.Work, device: torch.device, memory: Any) -> None:
        Stand.made += 1
        self.work = work
        with torch.random.fork_rng([]):  # to record draws no numbers
            self.results = list(work())

    def replay(self) -> None:
        """Do the work, and leave nothing of what was there."""
        with torch.no_grad():
            for result in self.results:
                if result is not None:
                    result.detach().fill_(torch.nan)
        with torch.enable_grad():
            self.results[:] = self.work()


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Let a CPU record, and return what counts the recordings."""
    Stand.made = 0
    monkeypatch.setattr(cuda_graphs, "available", lambda device: True)
    monkeypatch.setattr(cuda_graphs, "pool", lambda device: None)
    monkeypatch.setattr(cuda_graphs, "warm_up", lambda work, device: [work() for _ in range(3)])
    monkeypatch.setattr(cuda_graphs, "Recording", Stand)
    return lambda: Stand.made


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.usefixtures("recorded")
def test_equals_the_plain_loop_in_output_and_gradient(network: str) -> None:
    for case in cases(network):
        if case.dtype == torch.float64:
            check_equal(case, loops.Graphed(), fresh())


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize("network", ["leaky", "dense, norm", "maps, batch norm"])
def test_no_run_changes_what_another_gave(network: str) -> None:
    loop, case = loops.Graphed(), Case(network, movie=True)
    seeds = [fresh() for _ in range(3)]
    made = case.made(seeds[0])
    kept = []
    for seed in seeds:
        x, _ = case.inputs(seed)
        made.loop = loop
        output, last = made(x)
        gradients = torch.autograd.grad(output.square().sum() + last.sum(), [x, *made.parameters()])
        made.loop = loops.Plain()
        output_, last_ = made(x)
        right = torch.autograd.grad(output_.square().sum() + last_.sum(), [x, *made.parameters()])
        kept.append(((output, last, *gradients), (output_, last_, *right)))
    for own, plain in kept:
        for one, other in zip(own, plain, strict=True):
            assert (one - other).abs().max() <= 1e-12 * (1 + other.abs().max()), seeds


def leaky(**options: Any) -> nn.Recurrent:
    return NETWORKS["leaky"](rng=0, dtype=torch.float64, **{"loop": loops.Graphed(), **options})


def test_a_kind_of_run_is_recorded_once(recorded: Callable[[], int]) -> None:
    made, x = leaky(), torch.ones(2, 6, dtype=torch.float64)
    for _ in range(3):
        made(x)
    assert recorded() == 2  # forward and backward
    with torch.no_grad():
        made(x)
    assert recorded() == 3  # without gradients there is no backward pass


def test_weights_may_change_their_values(recorded: Callable[[], int]) -> None:
    made, x = leaky(), torch.ones(2, 6, dtype=torch.float64)
    made(x)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(0.5)
    before, found_ = recorded(), made(x)[0]
    assert recorded() == before
    made.loop = loops.Plain()
    assert torch.equal(found_, made(x)[0])


def _set(network: nn.Recurrent, part: str, name: str, value: object) -> None:
    setattr(network.block.get_submodule(part), name, value)


CHANGES: dict[str, Callable[[nn.Recurrent, Tensor], Any]] = {
    "batch": lambda made, x: made(torch.ones(3, 6, dtype=x.dtype)),
    "steps": lambda made, x: made(x, steps=4),
    "first step": lambda made, x: made(x, first_step=2),
    "state": lambda made, x: made(x, torch.zeros_like(x).requires_grad_()),
    "gradient": lambda made, x: made(x.clone().requires_grad_()),
    "movie": lambda made, x: made(x[:, None].repeat(1, 9, 1)),
    "readout": lambda made, x: (setattr(made, "readout", "last"), made(x)),
    "noise": lambda made, x: (setattr(made, "noise", 0.1), made(x)),
    "frozen": lambda made, x: (made.block.transform.get_submodule("layers.0").requires_grad_(False), made(x)),
    "type": lambda made, x: (made.float(), made(x.float())),
    "evaluation": lambda made, x: (made.eval(), made(x)),
    "gamma": lambda made, x: (_set(made, "shortcut", "gamma", 0.3), made(x)),
    "activation": lambda made, x: (_set(made, "transform", "activation", torch.relu), made(x)),
    "other weights": lambda made, x: torch.func.functional_call(made, _others(made), (x,)),
}


def _others(network: nn.Recurrent) -> dict[str, Tensor]:
    return {name: (value.detach() + 1).requires_grad_() for name, value in network.named_parameters()}


@pytest.mark.parametrize("change", CHANGES)
def test_another_kind_of_run_is_recorded_anew(change: str, recorded: Callable[[], int]) -> None:
    made, x = leaky(), torch.ones(2, 6, dtype=torch.float64)
    made(x)
    before = recorded()
    CHANGES[change](made, x)
    assert recorded() > before


@pytest.mark.usefixtures("recorded")
def test_few_kinds_are_kept_and_the_least_used_is_forgotten() -> None:
    loop = loops.Graphed(kinds=2)
    made = leaky(loop=loop)
    runs = [torch.ones(size, 6, dtype=torch.float64) for size in (1, 2, 3)]
    last = [made(x)[1] for x in (runs[0], runs[1], runs[0], runs[2])]
    assert [len(recorded.own.start) for recorded in loop._recorded.values()] == [1, 3]
    torch.autograd.grad(last[1].sum(), list(made.parameters()))  # what was forgotten still has its backward pass


@pytest.mark.parametrize("again", ["run", "backward"])
@pytest.mark.usefixtures("recorded")
def test_a_backward_pass_whose_memory_was_used_again_is_refused(again: str) -> None:
    made, x = leaky(), torch.ones(2, 6, dtype=torch.float64)
    weights = list(made.parameters())
    first = made(x)[0].sum()
    if again == "run":
        second = made(x)[0].sum()
        torch.autograd.grad(second, weights)
    else:
        torch.autograd.grad(first, weights, retain_graph=True)
    with pytest.raises(ArgumentError, match=r"got a backward pass whose run was overwritten .* Graphed\(\) of its own"):
        torch.autograd.grad(first, weights)


@pytest.mark.usefixtures("recorded")
def test_weights_changed_between_both_passes_and_gradients_of_gradients_are_refused() -> None:
    made, x = leaky(), torch.ones(2, 6, dtype=torch.float64)
    weights = list(made.parameters())
    with pytest.raises(ArgumentError, match="got a gradient that is to have gradients, or many at once"):
        torch.autograd.grad(made(x)[0].pow(3).sum(), weights, create_graph=True)
    total = made(x)[0].sum()
    assert isinstance(made.loop, loops.Graphed)
    (recorded_,) = made.loop._recorded.values()
    recorded_.backward.replay = lambda: None  # type: ignore[method-assign]  # which sees no more than a GPU would
    with torch.no_grad():
        weights[0].mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.backward()


@pytest.mark.usefixtures("recorded")
def test_only_runs_that_were_asked_for_move_statistics_and_draw_numbers() -> None:
    grown = []
    x = torch.ones(5, 6, 5, 5, dtype=torch.float64)
    for loop in (loops.Plain(), loops.Graphed()):
        options = {"loop": loop, "noise": 0.1, "readout": "last"}
        made = NETWORKS["maps, batch norm"](rng=0, dtype=torch.float64, **options).train()
        torch.manual_seed(5)
        outputs = [made(x)[0] for _ in range(2)]
        grown.append([*outputs, *made.buffers(), torch.rand(3)])
    for plain, own in zip(*grown, strict=True):
        assert torch.equal(plain, own)


@pytest.mark.usefixtures("recorded")
def test_an_inner_loop_is_recorded_and_asked_what_it_can_do() -> None:
    made, x = leaky(loop=loops.Graphed(loops.HandWritten())), torch.ones(2, 6, dtype=torch.float64)
    assert torch.equal(made(x)[0], leaky(loop=loops.Plain())(x)[0])
    made.noise = 0.1
    with pytest.raises(ArgumentError, match=r"loop=Graphed\(inner=HandWritten\(\), kinds=8\), which cannot run noise"):
        made(x)


@pytest.mark.usefixtures("recorded")
def test_what_it_does_not_run_is_refused_in_words() -> None:
    made, x = leaky(), torch.ones(2, 6, dtype=torch.float64)
    with pytest.raises(ArgumentError, match=r"which cannot run no steps, "):
        made(x, steps=0)
    with pytest.raises(ArgumentError, match=r"which cannot run an empty batch, "):
        made(x[:0])
    with (
        torch.nn.utils.parametrize.cached(),
        pytest.raises(ArgumentError, match=r"cannot run within torch.nn.utils.parametrize.cached\(\), "),
    ):
        made(x)
    made.register_forward_hook(lambda *_: None)  # on the network, not on what is recorded
    made(x)
    made.block.register_forward_hook(lambda *_: None)
    with pytest.raises(ArgumentError, match="which cannot run hooks on modules"):
        made(x)
    with pytest.raises(ArgumentError, match="got kinds=0, expected 1 or more"):
        loops.Graphed(kinds=0)


@pytest.mark.usefixtures("recorded")
def test_a_run_that_cannot_be_recorded_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(work: object, device: object, memory: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nat length")

    monkeypatch.setattr(cuda_graphs, "Recording", refuse)
    with pytest.raises(ArgumentError, match=r"no CUDA graph can record \(operation not permitted .* capturing\), "):
        leaky()(torch.ones(2, 6, dtype=torch.float64))


def test_a_cpu_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"loop=Graphed.*which cannot run on a device of type 'cpu', or within"):
        leaky()(torch.ones(2, 6, dtype=torch.float64))


@pytest.mark.usefixtures("recorded")
def test_copies_of_a_network_have_recordings_of_their_own() -> None:
    made, x = leaky(loop=loops.Graphed(loops.Plain(), kinds=3)), torch.ones(2, 6, dtype=torch.float64)
    made(x)
    other = copy.deepcopy(made)
    assert isinstance(other.loop, loops.Graphed)
    assert other.loop == made.loop
    assert not other.loop._recorded
    with torch.no_grad():
        next(other.parameters()).mul_(2)
    found_ = other(x)[0]
    other.loop = loops.Plain()
    assert torch.equal(found_, other(x)[0])


@GPU
def test_on_a_gpu_it_equals_the_plain_loop() -> None:
    for network in NETWORKS:
        for case in cases(network):
            check_equal(case, loops.Graphed(), fresh(), device="cuda")


@GPU
@pytest.mark.parametrize("inner", [None, loops.Plain(), loops.Fused()])
def test_on_a_gpu_training_is_that_of_the_plain_loop(inner: loops.Loop | None) -> None:
    losses: list[list[float]] = []
    for loop in (loops.Plain(), loops.Graphed(inner)):
        made = NETWORKS["leaky"](rng=0, dtype=torch.float64, device="cuda", loop=loop)
        torch.manual_seed(0)
        draw, trained = torch.Generator("cuda").manual_seed(1), torch.optim.SGD(made.parameters(), lr=0.05)
        losses.append([])
        for _ in range(20):
            x = torch.randn(4, 6, generator=draw, device="cuda", dtype=torch.float64)
            loss = made(x)[0].square().sum()
            trained.zero_grad()
            loss.backward()
            trained.step()
            losses[-1].append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-10)


@GPU
def test_on_a_gpu_noise_is_drawn_as_by_the_plain_loop() -> None:
    outputs = []
    for loop in (loops.Plain(), loops.Graphed()):
        made = NETWORKS["leaky"](rng=0, dtype=torch.float64, device="cuda", loop=loop, noise=0.1)
        torch.cuda.manual_seed(3)
        x = torch.ones(4, 6, device="cuda", dtype=torch.float64)
        outputs.append(torch.stack([made(x)[0] for _ in range(3)]))
    assert torch.allclose(*outputs, atol=1e-12)


@GPU
def test_on_a_gpu_the_memory_of_what_is_forgotten_is_given_back() -> None:
    made = NETWORKS["leaky"](rng=0, dtype=torch.float64, device="cuda", loop=loops.Graphed(kinds=1))
    used = []
    for size in (100, 101, 102, 103):
        made(torch.ones(size, 6, device="cuda", dtype=torch.float64))
        gc.collect()
        used.append(torch.cuda.memory_allocated())
    assert used[-1] <= 1.1 * used[1]
