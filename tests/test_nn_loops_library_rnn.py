"""The loop that runs on torch's own kernels for Elman networks, where the list of all loops does not reach."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from loop_cases import DTYPES, NETWORKS, cases, check_equal, fresh
from torch import Tensor

from cortexres import nn
from cortexres.errors import ArgumentError
from cortexres.nn import loops
from cortexres.nn.dale import constrain, signs_of
from cortexres.nn.loops.library_rnn import _may_round


def elman(shortcut: torch.nn.Module | None = None, **dense: object) -> nn.Recurrent:
    transform = nn.Dense(5, rng=2, dtype=torch.float64, **dense)  # type: ignore[arg-type]
    return nn.Recurrent(nn.Block(transform, shortcut or nn.NoShortcut()), steps=7)


def constrained() -> nn.Recurrent:
    made = elman(bias=False)
    transform = made.block.transform
    assert isinstance(transform, nn.Dense)
    constrain(transform.layers[0], signs_of(3, 2))
    return made


KINDS: dict[str, Callable[[], nn.Recurrent]] = {
    "gamma of 1": lambda: elman(nn.SoftAssignment(1.0)),
    "gammas of 1": lambda: elman(nn.SoftAssignment(torch.ones(5, dtype=torch.float64))),
    "constrained": constrained,
    "no bias, ReLU": lambda: elman(bias=False, activation=torch.nn.ReLU()),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_elman_network(kind: str) -> None:
    seed = fresh()
    draw = torch.Generator().manual_seed(seed)
    movie = torch.randn(3, 9, 5, generator=draw, dtype=torch.float64)
    for x, steps in ((movie, 4), (movie.transpose(0, 1)[:3], None), (movie[:, 0], 7)):
        found: list[list[Tensor]] = []
        for loop in (loops.Plain(), loops.LibraryRNN()):
            made, frames = KINDS[kind](), x.detach().requires_grad_()
            made.loop = loop
            output, last = made(frames, steps=steps)
            assert output.is_contiguous()
            wanted = torch.autograd.grad(output.pow(2).sum() + last.sum(), [*made.parameters(), frames])
            found.append([output, last, *wanted])
        for plain, own in zip(*found, strict=True):
            assert (plain - own).abs().max() <= 1e-13 * (1 + plain.abs().max()), seed


def test_weights_are_the_blocks_own() -> None:
    made = elman()
    made.loop = loops.LibraryRNN()
    x = torch.randn(2, 5, dtype=torch.float64)
    before = made(x)[0].detach()
    with torch.no_grad():
        made.block.get_parameter("transform.layers.0.weight").mul_(0.5)
    after = made(x)[0]
    made.loop = loops.Plain()
    assert (after - made(x)[0]).abs().max() <= 1e-14
    assert (after - before).abs().max() > 1e-3


def test_gradients_of_gradients_on_a_cpu() -> None:
    grown = []
    x = torch.randn(2, 5, dtype=torch.float64)
    for loop in (loops.Plain(), loops.LibraryRNN()):
        made = elman()
        made.loop = loop
        weights = list(made.parameters())
        first = torch.autograd.grad(made(x)[0].pow(3).sum(), weights, create_graph=True)
        grown.append(torch.autograd.grad(torch.stack([g.square().sum() for g in first]).sum(), weights))
    for plain, own in zip(*grown, strict=True):
        assert (plain - own).abs().max() <= 1e-11 * (1 + plain.abs().max())


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (elman(nn.SoftAssignment(0.5)), r"a leak, SoftAssignment\(0.5\)"),
        (elman(nn.Identity()), "a skip, Identity"),
        (elman(final_activation=False), "an activation other than tanh or relu"),
        (elman(layers=2), "a transform of 2 layers"),
    ],
)
def test_what_torch_lacks_is_refused_in_words(made: nn.Recurrent, words: str) -> None:
    made.loop = loops.LibraryRNN()
    with pytest.raises(ArgumentError, match=rf"loop=LibraryRNN\(\), which cannot run {words}, expected"):
        made(torch.ones(2, 5, dtype=torch.float64))


def test_an_empty_batch_is_refused() -> None:
    run = elman().run_of(torch.ones(0, 5, dtype=torch.float64))
    assert loops.LibraryRNN().refusal(run) == "an empty batch"


def test_it_is_known_whether_cudnn_may_round() -> None:
    before = torch.backends.cudnn.rnn.fp32_precision
    try:
        for precision, rounds in (("ieee", False), ("tf32", True)):
            torch.backends.cudnn.rnn.fp32_precision = precision
            assert _may_round() == rounds
    finally:
        torch.backends.cudnn.rnn.fp32_precision = before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu_it_equals_the_plain_loop_or_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    made = NETWORKS["Elman"](rng=0, dtype=torch.float32, device="cuda")
    run = made.run_of(torch.ones(2, 3, device="cuda"))
    monkeypatch.setattr(torch.backends.cudnn.rnn, "fp32_precision", "tf32")
    assert loops.LibraryRNN().refusal(run) == "float32 that cuDNN may round to TF32 (torch.backends.cudnn.allow_tf32)"
    monkeypatch.setattr(torch.backends.cudnn.rnn, "fp32_precision", "ieee")
    for network in ("Elman", "Elman, ReLU"):
        for case in cases(network):
            if case.dtype in DTYPES[:2]:
                check_equal(case, loops.LibraryRNN(), fresh(), device="cuda", factor=8)
