"""All ways to run a case: ours, a bare loop, torch.compile, torch.nn.RNN, scan, torchdeq; and who does not take part.

Everyone computes the same with the same weights, and is checked before it is timed: its output and its gradients
against those of the plain loop. Who refuses, fails, or differs, is named with the reason and not timed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from typing import NamedTuple

import torch
from loops_cases import Case, Made
from networks_cost import Contender
from torch import Tensor

from cortexres.errors import CortexresError
from cortexres.nn import loops

PLAIN, DEFAULT, BARE = "plain loop", "default loop", "bare torch loop"
COMPILED, COMPILED_STEP = "torch.compile, loop", "torch.compile, step"
GRAPHED = f"{COMPILED}, reduce-overhead"
SCAN, COMPILED_SCAN = "scan", "torch.compile, scan"
COMPILERS = (COMPILED, GRAPHED, COMPILED_STEP, COMPILED_SCAN)
SOLVER = "torchdeq, implicit gradient"
# of the largest value; a fixed point is reached to float32 only, and solvers stop at their own tolerance
SAME = {torch.float64: 1e-6, torch.float32: 2e-3, torch.bfloat16: 0.1, torch.float16: 2e-2}

Forward = Callable[[], Tensor]


class Way(NamedTuple):
    """A way to run a case: what its output is, by which parameters it is differentiated, and whether it is ours."""

    name: str
    forward: Forward
    parameters: list[Tensor]
    ours: bool = False

    def contender(self) -> Contender:
        """Return it as something to time: the output's mean square, to be differentiated."""
        return Contender(self.name, lambda: self.forward().square().mean(), self.parameters)


class Field(NamedTuple):
    """Who is timed, the plain loop first, and why others are not."""

    ways: list[Way]
    left_out: dict[str, str]
    chosen: str  # the loop that the default is here


def field(case: Case, made: Made, *, slow: tuple[str, ...] = (), others: bool = True) -> Field:
    """Return everyone who runs a case and gives the plain loop's output and gradients.

    Parameters
    ----------
    slow : tuple of str
        Which of those take part that are slow to compile or to trace; to compile 100 steps takes a minute.
    others : bool
        Whether contenders that are not ours take part.
    """
    plain = _own(PLAIN, case, made, loops.Plain())
    run = made.network(case, None).run_of(made.x)
    chosen = type(loops.choose(run)).__name__
    left_out: dict[str, str] = {}
    ways = [_own(DEFAULT, case, made, None)]
    for name, loop in named_loops():
        why = loop.refusal(run)
        if why is not None:
            left_out[name] = f"it cannot run {why}"
        elif name != chosen:  # which is timed as the default
            ways.append(_own(name, case, made, loop))
    if others:
        ways += list(_others(case, made, slow))
    right = _found(plain)
    kept = [plain]
    for way in ways:
        why_not = _why_not_timed(way, right, case)
        if why_not is None:
            kept.append(way)
        else:
            left_out[way.name] = why_not
    return Field(kept, left_out, chosen)


def named_loops() -> Iterator[tuple[str, loops.Loop]]:
    """Return the loops of cortexres but the plain one, each with the options that it has by default."""
    for name in loops.__all__:
        made = getattr(loops, name)
        if isinstance(made, type) and is_dataclass(made) and hasattr(made, "refusal") and made is not loops.Plain:
            yield name, made()


def _own(name: str, case: Case, made: Made, loop: loops.Loop | None) -> Way:
    network = made.network(case, loop)
    return Way(name, lambda: network(made.x)[0], made.parameters, ours=name != PLAIN)


def _others(case: Case, made: Made, slow: tuple[str, ...]) -> Iterator[Way]:
    yield Way(BARE, lambda: _bare(case, made, made.step), made.parameters)
    if COMPILED in slow:
        network = torch.compile(made.network(case, loops.Plain()), dynamic=False)
        yield Way(COMPILED, lambda: network(made.x)[0], made.parameters)
    if COMPILED_STEP in slow:
        step = torch.compile(made.step, dynamic=False)
        yield Way(COMPILED_STEP, lambda: _bare(case, made, step), made.parameters)
    if made.x.is_cuda and COMPILED in slow:
        graphed = torch.compile(made.network(case, loops.Plain()), dynamic=False, mode="reduce-overhead")
        # the graph's own memory is overwritten by its next run
        yield Way(GRAPHED, lambda: graphed(made.x)[0].clone(), made.parameters)
    if SCAN in slow:
        yield Way(SCAN, lambda: _scanned(case, made), made.parameters)
    if COMPILED_SCAN in slow:
        # Inductor makes a loop of it whose counter it would read as a number
        counting = torch._dynamo.config.patch(capture_scalar_outputs=True)
        scanned = counting(torch.compile(lambda: _scanned(case, made), dynamic=False))
        yield Way(COMPILED_SCAN, scanned, made.parameters)
    if case.kind == "Elman" and not case.input_only:
        yield _rnn(case, made)
    if case.kind == "fixed point" and importlib.util.find_spec("torchdeq"):
        yield Way(SOLVER, _solver(case, made), made.parameters)


def _bare(case: Case, made: Made, step: Callable[[Tensor, Tensor, tuple[Tensor, ...]], Tensor]) -> Tensor:
    """Return the output of a loop as one writes it in torch."""
    weights, enters = made.weights(), made.entering()
    state, every = _rest(enters, made.movie), made.movie and not case.readout
    read = []
    for k, frame in enumerate(enters.unbind(1) if made.movie else [enters] * case.steps):
        state = step(state, frame, weights)
        if every or k + 1 == case.readout:
            read.append(state)
    if every:
        return torch.stack(read, dim=1)
    return read[0] if read else state


def _scanned(case: Case, made: Made) -> Tensor:
    """Return the output by torch's scan, a prototype: the weights closed over, a state that needs no gradient."""
    from torch._higher_order_ops.scan import scan

    weights, enters = made.weights(), made.entering()

    def combined(state: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
        after = made.step(state, frame if made.movie else enters, weights)
        return after, after.clone()

    frames = enters.transpose(0, 1) if made.movie else enters.new_zeros(case.steps, 1)
    last, states = scan(combined, _rest(enters, made.movie), frames)
    found: Tensor = states.transpose(0, 1) if made.movie else last
    return states[case.readout - 1] if case.readout else found


def _rnn(case: Case, made: Made) -> Way:
    """Return torch's RNN with copies of the weights; its second bias stays 0."""
    weight, bias, entry = made.parameters
    rnn = torch.nn.RNN(case.units, case.units, batch_first=True, device=weight.device, dtype=weight.dtype)
    with torch.no_grad():
        for own, value in zip((rnn.weight_hh_l0, rnn.bias_hh_l0, rnn.weight_ih_l0), (weight, bias, entry), strict=True):
            own.copy_(value)
        rnn.bias_ih_l0.zero_()

    def output() -> Tensor:
        states: Tensor = rnn(made.x)[0]
        return states[:, case.readout - 1] if case.readout else states

    return Way("torch.nn.RNN", output, [rnn.weight_hh_l0, rnn.bias_hh_l0, rnn.weight_ih_l0])


def _solver(case: Case, made: Made) -> Forward:
    from torchdeq import get_deq

    # without ift its gradient is that of the last step alone
    deq = get_deq(f_solver="anderson", f_max_iter=case.steps, f_tol=1e-5, ift=True, b_max_iter=case.steps, b_tol=1e-5)

    def solved() -> Tensor:
        weights, enters = made.weights(), made.entering()
        states, _ = deq(lambda z: made.step(z, enters, weights), torch.zeros_like(enters))
        found: Tensor = states[-1]
        return found

    return solved


def _rest(enters: Tensor, movie: bool) -> Tensor:
    return torch.zeros_like(enters[:, 0] if movie else enters)


def _found(way: Way) -> tuple[Tensor, ...]:
    """Return the output and the gradients of its mean square."""
    output = way.forward()
    gradients = torch.autograd.grad(output.square().mean(), way.parameters)
    return (output.detach(), *(gradient.detach() for gradient in gradients))


def _why_not_timed(way: Way, right: tuple[Tensor, ...], case: Case) -> str | None:
    """Return how far it is from the plain loop where that is too far, or how it failed; None where it is timed."""
    try:
        got = _found(way)
    except CortexresError as error:
        return f"refused: {error}"
    except Exception as error:  # prototypes fail in many ways, and none of them ends the benchmark
        return f"failed: {type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
    for name, expected, value in zip(("output", *["gradient"] * len(got)), right, got, strict=False):
        size, apart = float(expected.abs().max()), float((value - expected).abs().max())
        if value.shape != expected.shape or not apart <= SAME[case.dtype] * size:
            return f"differs: its {name} is {apart / max(size, 1e-30):.1e} of the largest value off the plain loop's"
    return None
