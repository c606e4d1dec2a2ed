"""Another loop, whose kernels are recorded in CUDA graphs: forward and backward pass are one call each."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from cortexres.errors import ArgumentError
from cortexres.nn.loops import cuda_graphs
from cortexres.nn.loops.hand_written import HandWritten
from cortexres.nn.loops.overseen import why_steps_must_be_called
from cortexres.nn.loops.plain import Plain
from cortexres.nn.loops.run import Loop, Output, Run
from cortexres.nn.loops.second_order import must_be_found_by_torch

_OF_TORCH = frozenset(vars(nn.Module()))  # what every module has


@dataclass(frozen=True)
class Graphed:
    """Another loop on a GPU, recorded when a kind of run is first seen and replayed from then on.

    A kind is told by shapes, types, which tensors need gradients, the weights' addresses, whether modules train, and
    their attributes. Copies are taken of what goes in and of what comes out. Weights may change their values between
    runs, running statistics move and random numbers are drawn as in the loop that is recorded; precision and
    determinism that torch is told later are not seen. The memory of a run is reused by the next one of its kind: its
    backward pass must come before that, and only once, or it is refused with an error. Gradients of gradients, and many
    at once, are refused. One thread, and one stream: replays are not ordered across several. Attributes of modules that
    are lists or dicts are told by which they are, not by what is in them.

    Parameters
    ----------
    inner : Loop, optional
        What is recorded; where it is left out, `HandWritten`, or `Plain` where that refuses.
    kinds : int
        How many kinds are kept, each with its memory; the least recently used is forgotten first.

    Raises
    ------
    ArgumentError
        If `kinds` is below 1.

    References
    ----------
    https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
    """

    inner: Loop | None = None
    kinds: int = 8
    _recorded: OrderedDict[Hashable, _Recorded] = field(
        default_factory=OrderedDict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if self.kinds < 1:
            raise ArgumentError(f"got kinds={self.kinds}, expected 1 or more kinds of runs to be kept")

    def __reduce__(self) -> tuple[type[Graphed], tuple[Loop | None, int]]:
        """Return how a copy is made: without recordings, which belong to the weights of this one's network."""
        return Graphed, (self.inner, self.kinds)

    def refusal(self, run: Run) -> str | None:
        """Return what of a run it cannot do; None where it can do all."""
        if not cuda_graphs.available(run.start.device):
            return f"on a device of type {run.start.device.type!r}, or within a CUDA graph that is being recorded"
        if not run.steps:
            return "no steps"
        if not len(run.start):
            return "an empty batch"
        if parametrize._cache_enabled:
            return "within torch.nn.utils.parametrize.cached(), whose weights would be recorded as they are now"
        why = why_steps_must_be_called(run, *_parameters(run))
        return why or (None if self.inner is None else self.inner.refusal(run))

    def __call__(self, run: Run) -> Output:
        """Return (output, last state).

        Raises
        ------
        ArgumentError
            If the run cannot be recorded, such as one that waits for numbers from the GPU; in the backward pass, if
            the memory of the run has been used again.
        """
        run.check_reached()
        kind = _kind(run)
        recorded = self._recorded.get(kind)
        if recorded is None:
            recorded = _Recorded(run, self._inner(run))
            while len(self._recorded) >= self.kinds:
                self._recorded.popitem(last=False)
            self._recorded[kind] = recorded
        self._recorded.move_to_end(kind)
        outputs = recorded.run(run)
        return outputs[0], outputs[-1]

    def _inner(self, run: Run) -> Loop:
        if self.inner is not None:
            return self.inner
        fast = HandWritten()
        return Plain() if fast.refusal(run) else fast


class _Recorded:
    """One kind of run, recorded: where its inputs go, and what it writes."""

    def __init__(self, run: Run, inner: Loop) -> None:
        self.turn = 0  # counts what has used the memory
        self.known = [value for module in _modules(run) for value in vars(module).values()]  # whose ids make the kind
        self.parameters = _parameters(run)
        self.own = replace(run, start=_own(run.start), drive=None if run.drive is None else _own(run.drive))
        self.inputs = (self.own.start, self.own.drive)
        self.inner, device = inner, run.start.device
        self.needing = [t for t in (*self.inputs, *self.parameters) if t is not None and t.requires_grad]
        if not torch.is_grad_enabled():
            self.needing = []
        with _statistics_kept(run):
            try:
                with torch.random.fork_rng([device] if device.type == "cuda" else []):
                    cuda_graphs.warm_up(self._both, device)
                memory = cuda_graphs.pool(device)
                self.forward = cuda_graphs.Recording(self._forward, device, memory)
                self.given = [torch.zeros_like(result) for result in self.forward.results]
                if self.needing:
                    self.backward = cuda_graphs.Recording(self._backward, device, memory)
            except RuntimeError as error:
                line = (str(error).splitlines() or [type(error).__name__])[0]
                raise ArgumentError(
                    f"got a run that no CUDA graph can record ({line}), expected one that never waits for the GPU; "
                    "use another loop"
                ) from error

    def _forward(self) -> list[Tensor]:
        output, last = self.inner(self.own)
        return [last] if output is last else [output, last]

    def _backward(self) -> tuple[Tensor | None, ...]:
        return torch.autograd.grad(self.forward.results, self.needing, self.given, allow_unused=True)

    def _both(self) -> None:
        results = self._forward()
        if self.needing:
            torch.autograd.grad(results, self.needing, [torch.zeros_like(r) for r in results], allow_unused=True)

    def run(self, run: Run) -> tuple[Tensor, ...]:
        """Return (output, last state), or the last state alone, of a run of this kind."""
        if not self.needing:
            return self.replay(run.start, run.drive)
        outputs: tuple[Tensor, ...]
        outputs = _Replay.apply(self, run.start, run.drive, *self.parameters)  # type: ignore[no-untyped-call]
        return outputs

    def replay(self, *inputs: Tensor | None) -> tuple[Tensor, ...]:
        """Return copies of what the forward pass writes."""
        with torch.no_grad():
            for place, given in zip(self.inputs, inputs, strict=True):
                if place is not None and given is not None:
                    place.copy_(given)
            self.turn += 1
            self.forward.replay()
            return tuple(result.detach().clone() for result in self.forward.results)

    def replay_backward(self, turn: int, gradients: Sequence[Tensor]) -> list[Tensor | None]:
        """Return the gradients of (start, drive, *parameters), in memory that the next replay overwrites."""
        if turn != self.turn:
            raise ArgumentError(
                "got a backward pass whose run was overwritten by a later run of the same kind, or that was done "
                "before, expected it once and before the next run; give one of them a Graphed() of its own, or use "
                "another loop"
            )
        self.turn += 1  # the recorded backward pass uses the memory of what it no longer needs
        for place, gradient in zip(self.given, gradients, strict=True):
            place.copy_(gradient)
        self.backward.replay()
        found = iter(self.backward.results)
        return [
            next(found) if tensor is not None and tensor.requires_grad else None
            for tensor in (*self.inputs, *self.parameters)
        ]


class _Replay(torch.autograd.Function):
    """(start, drive, *parameters) -> (output, last state), or the last state alone."""

    @staticmethod
    def forward(ctx: Any, recorded: _Recorded, *inputs: Tensor | None) -> tuple[Tensor, ...]:
        outputs = recorded.replay(*inputs[:2])
        ctx.recorded, ctx.turn = recorded, recorded.turn
        ctx.save_for_backward(*inputs[2:])
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        if must_be_found_by_torch(gradients):
            # torch's once_differentiable lets autograd.grad(create_graph=True) through, with wrong results
            raise ArgumentError(
                "got a gradient that is to have gradients, or many at once, expected a single one: a recording has no "
                "others; give another loop"
            )
        _ = ctx.saved_tensors  # where weights have changed since, torch says so here
        found = ctx.recorded.replay_backward(ctx.turn, gradients)
        return (None, *(None if gradient is None else gradient.clone() for gradient in found))


def _own(given: Tensor) -> Tensor:
    """Return memory for an input."""
    return given.detach().clone().requires_grad_(given.requires_grad)


def _modules(run: Run) -> list[nn.Module]:
    return [module for block in run.blocks() for module in block.modules()]


def _parameters(run: Run) -> list[nn.Parameter]:
    return [parameter for block in run.blocks() for parameter in block.parameters()]


@contextmanager
def _statistics_kept(run: Run) -> Iterator[None]:
    """Return a context that leaves buffers as they were: only runs that somebody asked for move statistics."""
    buffers = [buffer for block in run.blocks() for buffer in block.buffers()]
    before = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, kept in zip(buffers, before, strict=True):
                buffer.copy_(kept)


def _kind(run: Run) -> Hashable:
    """Return what tells runs apart that one recording cannot serve."""
    inputs = [None if given is None else _layout(given) for given in (run.start, run.drive)]
    weights = [
        (tensor.data_ptr(), *_layout(tensor))
        for block in run.blocks()
        for tensor in (*block.parameters(), *block.buffers())
    ]
    modules = [(type(module), module.training, *_attributes(module)) for module in _modules(run)]
    modes = (torch.is_grad_enabled(), torch.is_inference_mode_enabled())
    asked = (run.movie, run.steps, run.first_step, run.readout, run.noise)
    return (*inputs, *weights, *modules, *modes, *asked)


def _layout(tensor: Tensor) -> tuple[Hashable, ...]:
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device, tensor.requires_grad


def _attributes(module: nn.Module) -> list[tuple[str, Hashable]]:
    """Return the attributes that are not torch's: numbers and words by value, others by what they are."""
    own = ((name, value) for name, value in vars(module).items() if name not in _OF_TORCH)
    return [(name, value if isinstance(value, bool | int | float | str) else id(value)) for name, value in own]
