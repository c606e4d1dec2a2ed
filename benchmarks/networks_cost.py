"""What a training step of a network costs: its time, and the memory it keeps for the backward pass."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from cortexres.nn.device import clock

Run = Callable[[], Tensor]  # a forward pass that returns a scalar to differentiate
Rounds = int | Callable[[float], int]


class Contender(NamedTuple):
    """Something to time: a forward pass to a loss, and what its parameters are."""

    name: str
    run: Run
    parameters: list[Tensor]


class Cost(NamedTuple):
    """Medians over rounds, and ratios to the first contender of the same rounds."""

    forward_ms: float
    step_ms: float
    forward_ratio: float
    step_ratio: float
    saved_MB: float


def costs(contenders: list[Contender], *, rounds: Rounds, device: torch.device, wall: bool = False) -> dict[str, Cost]:
    """Cost of every contender; in each round every one runs once, so that noise of the machine meets all.

    Parameters
    ----------
    contenders : list of Contender
        In each round another one begins.
    rounds : int or callable
        How many; or what gives that from the seconds that a round takes.
    wall : bool
        Whether a CPU is timed by the clock of the wall, as several threads have to be, not by that of the process.
    """
    for contender in contenders:  # what happens only the first time is not of interest
        step_of(contender)
        with torch.no_grad():
            contender.run()
    count = rounds if isinstance(rounds, int) else rounds(sum(_once(c, device) for c in contenders))
    forward: dict[str, list[float]] = {c.name: [] for c in contenders}
    step: dict[str, list[float]] = {c.name: [] for c in contenders}
    for turn in range(count):
        for k in range(len(contenders)):
            contender = contenders[(turn + k) % len(contenders)]
            with torch.no_grad():
                forward[contender.name].append(_seconds(contender.run, device, wall))
            step[contender.name].append(_seconds(lambda c=contender: step_of(c), device, wall))
    first = contenders[0].name
    return {
        c.name: Cost(
            forward_ms=1e3 * statistics.median(forward[c.name]),
            step_ms=1e3 * statistics.median(step[c.name]),
            forward_ratio=_ratio(forward[c.name], forward[first]),
            step_ratio=_ratio(step[c.name], step[first]),
            saved_MB=saved_bytes(c) / 1e6,
        )
        for c in contenders
    }


def saved_bytes(contender: Contender) -> int:
    """Bytes that autograd keeps from a forward pass for the backward pass, parameters left out."""
    held: dict[int, int] = {}
    parameters = {parameter.untyped_storage().data_ptr() for parameter in contender.parameters}
    keep = []  # storages must outlive the count, or an address could be used twice

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        try:
            place = storage.data_ptr()
        except RuntimeError:  # not a tensor with values, but one that a compiler traces with
            return tensor
        if place not in parameters:
            held[place] = storage.nbytes()
            keep.append(storage)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        contender.run()
    return sum(held.values())


def step_of(contender: Contender) -> None:
    """Run it forward and backward."""
    torch.autograd.grad(contender.run(), contender.parameters, allow_unused=True)


def _once(contender: Contender, device: torch.device) -> float:
    """Seconds of the wall that a contender takes in one round."""
    start = time.perf_counter()
    step_of(contender)
    with torch.no_grad():
        contender.run()
    clock(device)  # a GPU is waited for
    return time.perf_counter() - start


def _seconds(call: Callable[[], object], device: torch.device, wall: bool) -> float:
    """Seconds of one call."""
    now = time.perf_counter if wall and device.type != "cuda" else lambda: clock(device)
    start = now()
    call()
    return now() - start


def _ratio(values: list[float], reference: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(values, reference, strict=True))
