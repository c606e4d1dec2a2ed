"""Loops that keep less: segments that are computed again, and some images at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext

import pytest
import torch
from loop_cases import NETWORKS, Case, fresh
from torch import Tensor
from torch.nn.utils import parametrize

from cortexres import nn
from cortexres.errors import ArgumentError
from cortexres.nn import loops
from cortexres.nn.dale import DaleLaw
from cortexres.nn.loops.held_weights import held_weights, lent_weights
from cortexres.nn.norms import Norm

Gradients = tuple[Tensor, ...]


def gradients(made: nn.Recurrent, loop: loops.Loop, x: Tensor, *, seed: int = 0) -> tuple[Tensor, Gradients]:
    """Return (output, gradients of the weights), noise and dropout drawn from `seed` on."""
    made.loop = loop
    torch.manual_seed(seed)
    output = made(x)[0]
    return output.detach(), torch.autograd.grad(output.pow(3).sum(), list(made.parameters()))


def check_alike(one: tuple[Tensor, Gradients], other: tuple[Tensor, Gradients]) -> None:
    for a, b in zip((one[0], *one[1]), (other[0], *other[1]), strict=True):
        assert (a - b).abs().max() <= 1e-12 * (1 + b.abs().max())


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(fresh()))


# --- checkpointed ---------------------------------------------------------------------------------------------------


def kept_bytes(call: Callable[[], Tensor], parameters: list[Tensor]) -> tuple[int, Tensor]:
    """Return (bytes of the storages that autograd keeps, parameters left out; what `call` returns)."""
    known = {parameter.untyped_storage().data_ptr() for parameter in parameters}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor.untyped_storage())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = call()
    return sum(storage.nbytes() for address, storage in kept.items() if address not in known), result


def peak_bytes(call: Callable[[], object]) -> int:
    """Return the most bytes that torch has allocated at once during a call, beyond those from before."""
    with torch.autograd.profiler.profile(use_cpu=True, profile_memory=True) as profile:
        call()
    events = [event for event in profile.kineto_results.events() if event.name() == "[memory]"]
    peak = now = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


def test_a_thousand_steps_need_a_tenth_of_the_memory_at_most() -> None:
    made = NETWORKS["leaky"](rng=fresh(), dtype=torch.float32, steps=1000, readout="last", loop=loops.Plain())
    weights, x = list(made.parameters()), torch.randn(512, 6)
    plain, _ = kept_bytes(lambda: made(x)[0].square().sum(), weights)
    assert plain >= 1000 * x.nbytes
    for inner in (loops.Plain(), loops.HandWritten()):
        made.loop = loops.Checkpointed(inner=inner)
        kept, output = kept_bytes(lambda: made(x)[0].square().sum(), weights)
        torch.autograd.grad(output, weights)
        peak = peak_bytes(lambda: torch.autograd.grad(made(x)[0].square().sum(), weights))
        assert 31 * x.nbytes <= kept <= plain / 20, inner  # 32 segments, the first of which starts from the input
        assert kept <= peak <= plain / 10, inner  # and the plain loop has its peak above what it keeps


def test_the_frames_of_a_movie_are_not_kept_a_second_time() -> None:
    made = NETWORKS["leaky, own weights of the input"](rng=fresh(), dtype=torch.float32, steps=1000, readout="last")
    movie, weights, peaks = torch.randn(64, 1000, 3), list(made.parameters()), []
    for loop in (loops.Plain(), loops.Checkpointed(inner=loops.HandWritten())):
        made.loop = loop
        torch.autograd.grad(made(movie)[0].square().sum(), weights)
        peaks.append(peak_bytes(lambda: torch.autograd.grad(made(movie)[0].square().sum(), weights)))
    assert peaks[1] <= peaks[0] / 5


@pytest.mark.parametrize("segments", [1, 2, 4, 8, 9, 20])
def test_any_number_of_segments_gives_the_same(segments: int) -> None:
    for readout in ("all", "last", 5):
        made = NETWORKS["excitatory-inhibitory"](rng=fresh(), dtype=torch.float64, readout=readout)
        x = drawn(3, 6)
        check_alike(gradients(made, loops.Checkpointed(segments=segments), x), gradients(made, loops.Plain(), x))


def test_noise_is_drawn_again_as_it_was_and_the_random_state_left_as_by_the_plain_loop() -> None:
    made = NETWORKS["excitatory-inhibitory"](rng=fresh(), dtype=torch.float64, noise=0.3)
    x, seed, after = drawn(3, 6), fresh(), []
    found = []
    for loop in (loops.Plain(), loops.Checkpointed()):
        found.append(gradients(made, loop, x, seed=seed))
        after.append(torch.randn(3))
    check_alike(found[1], found[0])
    assert torch.equal(*after)


def test_an_untied_network_is_checkpointed_too() -> None:
    made = NETWORKS["excitatory-inhibitory"](rng=fresh(), dtype=torch.float64).to_untied()
    x = drawn(3, 6)
    check_alike(gradients(made, loops.Checkpointed(), x), gradients(made, loops.Plain(), x))


@pytest.mark.parametrize("within", [nullcontext, parametrize.cached])
def test_constrained_weights_are_computed_once_for_both_passes(within: Callable, monkeypatch: object) -> None:
    made = NETWORKS["excitatory-inhibitory"](rng=fresh(), dtype=torch.float64)
    x, calls = drawn(3, 6), []
    expected = gradients(made, loops.Plain(), x)
    own = DaleLaw.forward
    assert isinstance(monkeypatch, pytest.MonkeyPatch)
    monkeypatch.setattr(DaleLaw, "forward", lambda *arguments: calls.append(1) or own(*arguments))
    with within():
        found = gradients(made, loops.Checkpointed(), x)
    check_alike(found, expected)
    assert len(calls) == 1
    assert not parametrize._cache


def test_weights_are_lent_and_torchs_cache_is_left_as_it_was() -> None:
    made = NETWORKS["excitatory-inhibitory"](rng=0, dtype=torch.float64)
    layer = made.block.transform.recurrent
    weights = held_weights(made.run_of(torch.zeros(1, 6, dtype=torch.float64)))
    (held,) = weights.values()
    with parametrize.cached():
        with lent_weights(weights):
            assert layer.weight is held
        assert layer.weight is not held


def test_gradients_of_gradients_and_many_at_once() -> None:
    made = NETWORKS["excitatory-inhibitory"](rng=fresh(), dtype=torch.float64, readout="last")
    x, weights, grown, rows = drawn(1, 6).requires_grad_(), list(made.parameters()), [], []
    for loop in (loops.Plain(), loops.Checkpointed()):
        made.loop = loop
        first = torch.autograd.grad(made(x)[0].pow(3).sum(), weights, create_graph=True)
        grown.append((x.detach(), torch.autograd.grad(sum(g.square().sum() for g in first), [*weights, x])))
        rows.append(torch.autograd.grad(made(x)[0][0], x, torch.eye(6, dtype=torch.float64), is_grads_batched=True)[0])
    check_alike(grown[1], grown[0])
    assert (rows[1] - rows[0]).abs().max() <= 1e-13


def test_without_gradients_nothing_is_computed_again() -> None:
    made = NETWORKS["maps, batch norm"](rng=fresh(), dtype=torch.float64).train()
    x = drawn(3, 6, 5, 5)
    made.loop = loops.Checkpointed(inner=loops.Plain())
    with torch.no_grad():
        output = made(x)[0]
        made.loop = loops.Plain()
        assert torch.equal(output, made(x)[0])


@pytest.mark.parametrize("inner", [loops.Plain(), loops.HandWritten()])
def test_what_changes_between_both_passes_is_noticed(inner: loops.Loop) -> None:
    def change(made: nn.Recurrent, name: str) -> None:
        with torch.no_grad():
            made.get_parameter(name).add_(1)

    x = drawn(3, 6)
    for name in ("block.transform.layers.0.weight", "block.transform.layers.0.bias"):
        made = NETWORKS["leaky"](rng=0, dtype=torch.float64, loop=loops.Checkpointed(inner=inner))
        output = made(x)[0]
        change(made, name)
        match = rf"got {name.removeprefix('block.')} changed between the forward pass and the backward pass"
        with pytest.raises(ArgumentError, match=match):
            output.sum().backward()
    made = NETWORKS["leaky, each unit"](rng=0, dtype=torch.float64, loop=loops.Checkpointed(inner=inner))
    output = made(x)[0]
    made.get_buffer("block.shortcut.gamma").mul_(0.5)
    with pytest.raises(ArgumentError, match=r"got shortcut\.gamma changed between"):
        output.sum().backward()
    lent = {name: torch.zeros_like(tensor) for name, tensor in made.named_parameters()}
    output = torch.func.functional_call(made, lent, (x.requires_grad_(),))[0]
    with pytest.raises(ArgumentError, match=r"got transform\.layers\.0\.weight changed between"):
        output.sum().backward()


class Counting(torch.nn.Module):
    """Counts its calls in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls.add_(1)
        return torch.tanh(x)


def test_checkpointing_refuses_what_a_second_pass_would_change() -> None:
    x = torch.randn(3, 6)
    with pytest.raises(ArgumentError, match="got segments=0, expected 1 or more, or None"):
        loops.Checkpointed(segments=0)

    def check_refused(made: nn.Recurrent, x: Tensor, match: str) -> None:
        made.loop = loops.Checkpointed()
        with pytest.raises(ArgumentError, match=match):
            made(x)

    maps = NETWORKS["maps, batch norm"](rng=0, dtype=torch.float32).train()
    before = {name: value.clone() for name, value in maps.named_buffers()}
    check_refused(maps, torch.randn(3, 6, 5, 5), "normalisation in training whose statistics a second pass would move")
    assert all(torch.equal(before[name], value) for name, value in maps.named_buffers())
    hooked = NETWORKS["leaky"](rng=0, dtype=torch.float32)
    hooked.block.transform.register_forward_hook(lambda *_: None)
    check_refused(hooked, x, "hooks on modules, which would be called again")
    moving = nn.Recurrent(nn.Block(nn.Dense(6, activation=Counting(), rng=0)), steps=9)
    check_refused(moving, x, r"got a block that changes its buffer transform\.activation\.calls when it is called")
    made = NETWORKS["leaky"](rng=0, dtype=torch.float32, loop=loops.Checkpointed())
    with pytest.raises(ArgumentError, match=r"cannot run a transform of torch\.func"):
        torch.func.grad(lambda u: made(u)[0].sum())(x)
    torch.compiler.reset()
    with pytest.raises(Exception, match="a run that is compiled, exported or traced"):
        torch.export.export(made, (x,))
    made.loop = loops.Checkpointed(inner=loops.HandWritten())
    assert made.loop.refusal(NETWORKS["two layers"](rng=0, dtype=torch.float32).run_of(x)) == "a transform of 2 layers"


@pytest.mark.parametrize("loop", [loops.Checkpointed, loops.Chunked])
def test_what_is_run_again_before_its_backward_pass_is_no_cuda_graph(
    loop: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ArgumentError, match=r"got inner=Graphed.*, expected a loop that can .* its backward pass"):
        loop(inner=loops.Graphed())
    monkeypatch.setattr(f"{loop.__module__}.choose", lambda run: loops.Graphed())
    made = NETWORKS["leaky"](rng=0, dtype=torch.float64, loop=loop())
    assert made(torch.zeros(3, 6, dtype=torch.float64))[0].shape == (3, 9, 6)


# --- chunked --------------------------------------------------------------------------------------------------------


def test_chunks_compute_constrained_weights_once_and_nest_with_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    made = NETWORKS["excitatory-inhibitory maps"](rng=fresh(), dtype=torch.float64)
    x, calls = drawn(5, 6, 5, 5), []
    expected = gradients(made, loops.Plain(), x)
    own = DaleLaw.forward
    monkeypatch.setattr(DaleLaw, "forward", lambda *arguments: calls.append(1) or own(*arguments))
    for loop in (
        loops.Chunked(images=2),
        loops.Chunked(images=2, inner=loops.Checkpointed()),
        loops.Checkpointed(inner=loops.Chunked(images=2)),
    ):
        calls.clear()
        check_alike(gradients(made, loop, x), expected)
        assert len(calls) == 1, loop


def test_maps_that_are_stored_channels_last_stay_so_in_chunks() -> None:
    made = NETWORKS["maps"](rng=fresh(), dtype=torch.float32, readout="last", injection="first")
    x = torch.randn(5, 6, 5, 5).to(memory_format=torch.channels_last)
    for loop in (loops.Plain(), loops.Chunked(images=2, inner=loops.Plain())):
        made.loop = loop
        assert made(x)[0].is_contiguous(memory_format=torch.channels_last)


def test_the_default_chunk_has_states_of_one_mebibyte(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    own = loops.Plain.__call__
    monkeypatch.setattr(loops.Plain, "__call__", lambda loop, run: seen.append(len(run.start)) or own(loop, run))
    made = NETWORKS["maps"](rng=0, dtype=torch.float32, steps=1, loop=loops.Chunked(inner=loops.Plain()))
    with torch.no_grad():
        for count in (0, 1, 109, 110, 230):  # 109 images of 6 x 20 x 20 floats are 1 MiB
            made(torch.zeros(count, 6, 20, 20))
    assert seen == [0, 1, 109, 109, 1, 109, 109, 12]


class Mixing(torch.nn.Module):
    """Takes the mean over images off."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(dim=0)


def mixing_networks() -> Iterator[tuple[str, nn.Recurrent, Tensor]]:
    """Return (why, network, input) of runs that chunks would change, or that are not known to be safe."""
    dense, maps = torch.randn(5, 6), torch.randn(5, 6, 5, 5)
    over_images = "normalisation over the images of a batch"
    yield "noise", NETWORKS["leaky"](rng=0, dtype=torch.float32, noise=0.1), dense
    yield over_images, NETWORKS["maps, batch norm"](rng=0, dtype=torch.float32).train(), maps
    foreign = {
        over_images: torch.nn.BatchNorm1d(6, track_running_stats=False).eval(),
        "dropout in training": torch.nn.Dropout(0.2).train(),
        "a Mixing, which may mix images": Mixing(),
    }
    for why, module in foreign.items():
        yield why, nn.Recurrent(nn.Block(nn.Dense(6, activation=module, rng=0)), steps=9), dense
    hooked = NETWORKS["leaky"](rng=0, dtype=torch.float32)
    hooked.block.register_forward_pre_hook(lambda *_: None)
    yield "hooks on modules, which would be called for each chunk", hooked, dense


def test_chunks_refuse_what_mixes_images() -> None:
    with pytest.raises(ArgumentError, match="got images=0, expected 1 or more, or None"):
        loops.Chunked(images=0)
    for why, made, x in mixing_networks():
        made.loop = loops.Chunked(images=2)
        with pytest.raises(ArgumentError, match=f"cannot run {why}, expected a loop that can"):
            made(x)
    case = Case("two layers")
    assert loops.Chunked(inner=loops.HandWritten()).refusal(case.made(0).run_of(*case.inputs(0))) is not None


def test_dropout_is_drawn_again_as_it_was_by_checkpoints() -> None:
    made = nn.Recurrent(nn.Block(nn.Dense(6, activation=torch.nn.Dropout(0.3), rng=0, dtype=torch.float64)), steps=9)
    x, seed = drawn(5, 6), fresh()
    check_alike(gradients(made, loops.Checkpointed(), x, seed=seed), gradients(made, loops.Plain(), x, seed=seed))


def test_group_norm_of_each_step_is_checkpointed_and_cut_into_chunks_in_training() -> None:
    norm = Norm("group", steps=9, groups=2)
    made = nn.Recurrent(nn.Block(nn.Convolutional(6, norm=norm, rng=fresh(), dtype=torch.float64)), steps=9).train()
    x = drawn(5, 6, 4, 4)
    expected = gradients(made, loops.Plain(), x)
    check_alike(gradients(made, loops.Checkpointed(), x), expected)
    check_alike(gradients(made, loops.Chunked(images=2), x), expected)
