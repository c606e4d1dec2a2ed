"""The fused kernels in Triton's interpreter, against the plain loop; compiled, too, for GPUs that need not be there.

The interpreter is chosen when Triton is imported, and other tests may have done so: these run in a process of their
own.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import subprocess
import sys
import warnings
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from loop_cases import DTYPES, LEAKY, NETWORKS, Case, cases, check_equal, fresh
from torch import Tensor

from cortexres import nn
from cortexres.errors import ArgumentError
from cortexres.nn import loops
from cortexres.nn.loops import fused, fused_launch
from cortexres.nn.loops.fused_trial import trial_error
from cortexres.nn.loops.leaky_form import LeakyForm, plain_steps
from cortexres.nn.loops.run import Readout

CPU = torch.device("cpu")
HAS_TRITON = importlib.util.find_spec("triton") is not None
# on Linux it comes with the test extra, and these tests are to be run
needs_triton = pytest.mark.skipif(not HAS_TRITON and sys.platform != "linux", reason="Triton is made for Linux")

Call = Callable[..., Any]


@pytest.fixture(scope="module")
def interpreted() -> Iterator[Call]:
    """Return what calls a function of this module in a process with the interpreter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context, initializer=_begin) as pool:
            yield lambda function, *arguments: pool.submit(function, *arguments).result()


def _begin() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("error")


# that between them have every function, way to send, share and way in; the rest differ in how they are recognised
FEW = (
    "leaky",
    "leaky, each unit",
    "leaky, linear",
    "leaky, own weights of the input",
    "residual",
    "Elman, ReLU",
    "excitatory-inhibitory, tanh",
)


@needs_triton
@pytest.mark.parametrize("network", FEW)
def test_equals_the_plain_loop_in_output_and_gradient(network: str, interpreted: Call) -> None:
    interpreted(_check_network, network, fresh())


def _check_network(network: str, seed: int) -> None:
    for case in cases(network):
        if case.movie or network == "leaky":
            check_equal(case, loops.Fused(), seed)


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("network", LEAKY)
def test_equals_the_plain_loop_in_every_case(network: str, interpreted: Call) -> None:
    interpreted(_check_every_case, network, fresh())


def _check_every_case(network: str, seed: int) -> None:
    for case in cases(network):
        check_equal(case, loops.Fused(), seed)


# units, batch and type
SIZES: list[tuple[int, int, torch.dtype]] = [
    (17, 9, torch.float32),
    (64, 33, torch.float16),
    (100, 3, torch.float64),
    (200, 3, torch.float32),
    (200, 3, torch.bfloat16),
]
MORE_SIZES = [
    (units, batch, dtype)
    for units, batch in ((1, 20), (16, 7), (64, 33), (100, 40), (128, 5), (255, 3), (256, 17))
    for dtype in (*DTYPES, torch.float16)
]


@needs_triton
@pytest.mark.parametrize(
    ("units", "batch", "dtype"), [*SIZES, *(pytest.param(*size, marks=pytest.mark.slow) for size in MORE_SIZES)]
)
def test_every_size_is_as_near_to_float64_as_its_precision_lets_it_be(
    units: int, batch: int, dtype: torch.dtype, interpreted: Call
) -> None:
    assert interpreted(_trial, units, batch, dtype) <= 8 * torch.finfo(dtype).eps


def _trial(units: int, batch: int, dtype: torch.dtype) -> float:
    return trial_error(fused.run_fused, units=units, batch=batch, dtype=dtype, device=CPU)


@needs_triton
@pytest.mark.parametrize(
    "check", ["long movie", "strided", "one step", "half used", "twice", "seconds", "many", "changed", "no gradient"]
)
def test_runs_of_other_kinds(check: str, interpreted: Call) -> None:
    interpreted(_check_kind, check, fresh())


def _check_kind(check: str, seed: int) -> None:
    options: dict[str, Any] = {"steps": 1} if check == "one step" else {"readout": 2} if check == "half used" else {}
    # a constrained weight is computed anew in every run: to change what it is made of changes nothing
    name = "leaky" if check == "changed" else "excitatory-inhibitory, tanh"
    made = NETWORKS[name](rng=seed, dtype=torch.float64, **options)
    draw = torch.Generator().manual_seed(seed)
    movie = torch.randn(4, 12, 6, generator=draw, dtype=torch.float64)
    if check == "strided":
        movie = torch.randn(6, 12, 4, generator=draw, dtype=torch.float64).transpose(0, 2)
    x = (movie[:, 0] if check == "one step" else movie).requires_grad_()
    steps = 5 if check == "long movie" else None
    kinds = (loops.Plain(), loops.Fused())
    found: list[list[Tensor]] = []
    for made.loop in kinds:
        found.append(_of_kind(check, made, x, steps))
    for plain, own in zip(*found, strict=True):
        assert (plain - own).abs().max() <= 1e-12 * (1 + plain.abs().max()), (check, seed)


def _of_kind(check: str, made: Any, x: Tensor, steps: int | None) -> list[Tensor]:
    """Return what a run and its gradients give, asked for in some way."""
    weights = list(made.parameters())
    if check == "no gradient":
        with torch.no_grad():
            return list(made(x))
    output, last = made(x, steps=steps)
    if check == "half used":
        return [output, *torch.autograd.grad(output.sum(), [*weights, x])]
    if check == "twice":
        first = torch.autograd.grad(output.sum(), weights, retain_graph=True)
        return [*first, *torch.autograd.grad(output.sum() + last.prod(), weights)]
    if check == "seconds":
        first = torch.autograd.grad(output.pow(3).sum(), weights, create_graph=True)
        return list(torch.autograd.grad(sum(g.square().sum() for g in first), [*weights, x]))
    if check == "many":
        one = last[0]
        return list(torch.autograd.grad(one, x, torch.eye(6, dtype=x.dtype), is_grads_batched=True))
    if check == "changed":
        with torch.no_grad():
            weights[0].mul_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            output.sum().backward()
        return []
    return [output, last, *torch.autograd.grad(output.sum() + last.prod(), [*weights, x])]


@needs_triton
def test_weights_read_at_every_step_give_the_same_without_gradients(interpreted: Call) -> None:
    interpreted(_check_streamed)


def _check_streamed() -> None:
    units, draw = 65, torch.Generator().manual_seed(fresh())
    weight = torch.randn(units, units, generator=draw, dtype=torch.float64) / units**0.5
    start = torch.randn(3, units, generator=draw, dtype=torch.float64)
    assert not fused_launch.tile_of(start).whole
    form = LeakyForm(
        weight=weight, bias=None, drive=None, function="tanh", rectified=False, carried=0.5, added=0.5
    )
    readouts: tuple[Readout, ...] = ("all", "last", 2, 5)
    for readout in readouts:
        kept, last = fused.run_fused(form, start, 5, readout)
        states, right = plain_steps(form, [weight, None, None, start], 5, readout)
        assert (last - right).abs().max() <= 1e-14
        assert kept is states or (kept is not None and states is not None and (kept - states).abs().max() <= 1e-14)


@needs_triton
def test_activations_are_those_of_torch_to_the_last_digits(interpreted: Call) -> None:
    interpreted(_check_activations)


def _check_activations() -> None:
    for dtype in (torch.float64, torch.float32):
        x = torch.cat([torch.logspace(-30, 1.5, 80, dtype=dtype), torch.linspace(0.6, 0.65, 20, dtype=dtype)])
        x = torch.cat([x, -x, torch.tensor([0.0, torch.inf, -torch.inf, torch.nan], dtype=dtype)])[:, None]
        for function, right in (("tanh", torch.tanh(x)), ("relu", torch.relu(x)), ("identity", x)):
            form = LeakyForm(
                weight=torch.zeros(1, 1, dtype=dtype),
                bias=None,
                drive=x,
                function=function,  # type: ignore[arg-type]
                rectified=True,
                carried=None,
                added=1.0,
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, of what is not chosen
                _, found = fused.run_fused(form, torch.ones_like(x), 1, "last")
            assert torch.allclose(found, right, rtol=4 * torch.finfo(dtype).eps, atol=0, equal_nan=True), function


@needs_triton
def test_gradients_that_are_given_stay_as_they_are(interpreted: Call) -> None:
    interpreted(_check_given)


def _check_given() -> None:
    made = NETWORKS["leaky"](rng=0, dtype=torch.float64, loop=loops.Fused())
    given = [torch.randn(4, 9, 6, dtype=torch.float64), torch.randn(4, 6, dtype=torch.float64)]
    before = [gradient.clone() for gradient in given]
    torch.autograd.grad(made(torch.ones(4, 6, dtype=torch.float64)), list(made.parameters()), given)
    assert all(torch.equal(*pair) for pair in zip(given, before, strict=True))


@needs_triton
def test_steps_after_the_one_that_is_read_have_no_gradient(interpreted: Call) -> None:
    interpreted(_check_steps_after)


def _check_steps_after() -> None:
    block = nn.Block(nn.Dense(8, activation=torch.relu, rng=0), nn.Identity())
    with torch.no_grad():
        block.get_parameter("transform.layers.0.weight").copy_(torch.eye(8))  # doubles the state: it overflows at 128
    for shape in ((2, 8), (2, 140, 8)):
        x = (torch.rand(shape, generator=torch.Generator().manual_seed(fresh())) + 0.1).requires_grad_()
        found = []
        for loop in (loops.Plain(), loops.Fused()):
            made = nn.Recurrent(block, steps=140, readout=5, loop=loop)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, of the overflow
                output, last = made(x)
            assert not last.isfinite().any()
            found.append(torch.autograd.grad(output.sum(), [*made.parameters(), x]))
        for plain, own in zip(*found, strict=True):
            assert own.isfinite().all()
            assert (plain - own).abs().max() <= 1e-5 * plain.abs().max()


@needs_triton
def test_what_is_given_back_may_be_changed_and_the_input_refilled(interpreted: Call) -> None:
    interpreted(_check_changed)


def _check_changed() -> None:
    for batch, units, steps in ((1, 16, 9), (3, 6, 9), (1, 16, 1)):
        made = nn.Recurrent(nn.Block(nn.Dense(units, rng=0), nn.SoftAssignment(0.2)), steps=steps, loop=loops.Fused())
        x, weights = torch.randn(batch, units), list(made.parameters())
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
    output = made(x)[0]  # as it is, it serves
    assert all(g.requires_grad for g in torch.autograd.grad(output.sum(), weights, create_graph=True))


@needs_triton
def test_what_is_kept_is_freed_by_the_backward_pass(interpreted: Call) -> None:
    interpreted(_check_freed)


def _check_freed() -> None:
    made = NETWORKS["leaky, own weights of the input"](rng=0, dtype=torch.float32, loop=loops.Fused())
    projected: list[Any] = []
    layer = made.block.transform.input
    own, movie = type(layer).forward, torch.randn(4, 9, 3)

    def noted(layer: Any, x: Tensor) -> Tensor:
        y = own(layer, x)
        projected.append(weakref.ref(y))
        return y

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Linear, "forward", noted)
        output = made(movie)[0]
    (movie_of_currents,) = projected
    assert movie_of_currents() is not None
    output.sum().backward()
    assert movie_of_currents() is None


@needs_triton
def test_refuses_in_words_what_it_does_not_run(interpreted: Call) -> None:
    interpreted(_check_refusals)


def _check_refusals() -> None:
    loop = loops.Fused()
    for network in NETWORKS:
        case = Case(network)
        assert (loop.refusal(case.made(0).run_of(*case.inputs(0))) is None) == (network in LEAKY), case
    made = NETWORKS["leaky"](rng=0, dtype=torch.float32)
    assert loop.refusal(made.run_of(torch.ones(0, 6))) == "an empty batch"
    run = made.run_of(torch.ones(2, 6))
    many = replace(run, start=torch.ones(2, 257), drive=torch.ones(2, 257))
    assert loop.refusal(many) == "a state of shape (2, 257)"
    made.noise = 0.1
    made.loop = loop
    with pytest.raises(ArgumentError, match=r"loop=Fused\(\), which cannot run noise, "):
        made(torch.ones(2, 6))


def test_a_cpu_without_the_interpreter_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    run = NETWORKS["leaky"](rng=0, dtype=torch.float32).run_of(torch.ones(2, 6))
    assert loops.Fused().refusal(run) == "on a device of type 'cpu', without Triton's interpreter"


def test_without_triton_all_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(fused_launch, "kernels", lambda: None)
    run = NETWORKS["leaky"](rng=0, dtype=torch.float32).run_of(torch.ones(2, 6))
    assert loops.Fused().refusal(run) == "anything where Triton is not installed"


def test_a_trial_that_fails_warns_once_and_refuses_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def wrong(*_: Any, units: int, **__: Any) -> float:
        asked.append(units)
        if units == 7:
            raise OSError("no compiler\nat all")
        return {5: 1e-7, 6: 0.5, 8: float("nan")}[units]

    monkeypatch.setattr(fused, "trial_error", wrong)
    fused._why_not_right.cache_clear()
    why = fused._why_not_right
    assert why(CPU, torch.float32, 5, 16) is None
    for units, words in ((6, "error of 0.5, above 7.6e-06"), (7, "OSError: no compiler"), (8, "error of nan")):
        with pytest.warns(RuntimeWarning, match=f"the loop Fused is not used for {units} units .*{words}"):
            first = why(CPU, torch.float32, units, 16)
        assert first is not None
        assert words in first
        assert why(CPU, torch.float32, units, 16) == first
    assert asked == [5, 6, 7, 8]
    fused._why_not_right.cache_clear()


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_trial_tells_a_right_loop_from_a_wrong_one(dtype: torch.dtype) -> None:
    def plain(form: LeakyForm, start: Tensor, steps: int, readout: Readout) -> tuple[Tensor | None, Tensor]:
        return plain_steps(form, [form.weight, form.bias, form.drive, start], steps, readout)

    def wrong(form: LeakyForm, *rest: Any) -> tuple[Tensor | None, Tensor]:
        return plain(replace(form, weight=form.weight.t()), *rest)

    def late(form: LeakyForm, start: Tensor, *rest: Any) -> tuple[Tensor | None, Tensor]:
        return plain(replace(form, drive=None if form.drive is None else form.drive.detach()), start, *rest)

    def steep(form: LeakyForm, start: Tensor, *rest: Any) -> tuple[Tensor | None, Tensor]:
        return plain(form, 2 * start - start.detach(), *rest)  # the same numbers, twice the gradient

    eps = torch.finfo(dtype).eps
    assert trial_error(steep, units=20, batch=9, dtype=dtype, device=CPU) > 0.1
    with torch.no_grad():
        assert trial_error(plain, units=20, batch=9, dtype=dtype, device=CPU) <= 8 * eps
    assert trial_error(wrong, units=20, batch=9, dtype=dtype, device=CPU) > 0.1
    with pytest.raises(RuntimeError, match="not have been used"):
        trial_error(late, units=20, batch=9, dtype=dtype, device=CPU)


def test_a_trial_without_memory_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    trials: list[int] = []

    def starved(*_: Any, **sizes: Any) -> float:
        trials.append(sizes["units"])
        if len(trials) == 1:
            raise torch.OutOfMemoryError("no memory")
        return 0.0

    monkeypatch.setattr(fused, "trial_error", starved)
    fused._why_not_right.cache_clear()
    kind = (CPU, torch.float32, 20, 4)
    with pytest.raises(fused._NotNow, match="no memory to: no memory"):
        fused._why_not_right(*kind)
    assert [fused._why_not_right(*kind) for _ in range(2)] == [None, None]
    assert trials == [20, 20]
    fused._why_not_right.cache_clear()


COMPILED = [(80, "fp32", 200, 4, False, 8)]
ALL_COMPILED = [
    (capability, *kind)
    for capability in (80, 90)
    for kind in (
        ("fp16", 10, 16, True, 4),
        ("bf16", 128, 16, True, 8),
        ("bf16", 256, 32, True, 8),
        ("fp32", 64, 16, True, 4),
        ("fp32", 128, 4, True, 8),
        ("fp32", 200, 4, False, 8),
        ("fp32", 256, 16, False, 8),
        ("fp64", 64, 8, True, 4),
        ("fp64", 256, 8, False, 8),
    )
]


@needs_triton
@pytest.mark.parametrize("kind", [*COMPILED, *(pytest.param(k, marks=pytest.mark.slow) for k in ALL_COMPILED)])
def test_the_kernels_compile_for_gpus_that_are_not_there(kind: tuple[Any, ...], tmp_path: Path) -> None:
    kernels = Path(fused_launch.__file__).with_name("fused_kernels.py")
    script = Path(__file__).with_name("fused_compiled.py")
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path), "TRITON_DEFAULT_FP_FUSION": "1"}
    environment.pop("TRITON_INTERPRET", None)
    done = subprocess.run(
        [sys.executable, script, kernels, *map(str, kind)], capture_output=True, text=True, env=environment
    )
    assert not done.returncode, done.stderr[-2000:]
    assert done.stdout.count(".entry") == 2
    # 16-bit numbers and float64 go through tensor cores; float32 does not, where it would be rounded
    assert ("mma.sync" in done.stdout) == (kind[1] != "fp32")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu_it_equals_the_plain_loop() -> None:
    for network in LEAKY:
        for case in cases(network):
            check_equal(case, loops.Fused(), fresh(), device="cuda", factor=8)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("dtype", [*DTYPES, torch.float16])
def test_on_a_gpu_every_size_passes_its_trial(dtype: torch.dtype) -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    for units in (1, 16, 64, 100, 128, 200, 256):
        for batch in (1, 64, 1000, 5000):
            samples = fused_launch.tile_of(torch.empty(batch, units, dtype=dtype, device=device)).samples
            assert fused._why_not_right(device, dtype, units, samples) is None
