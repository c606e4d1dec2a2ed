"""What a training step of a network costs: its time, and the memory it keeps for the backward pass."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from cortexres.nn.device import clock

Run = Callable[[], Tensor]  # a forward pass that returns a scalar to differentiate


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


def costs(contenders: list[Contender], *, rounds: int, device: torch.device) -> dict[str, Cost]:
    """Cost of every contender; in each round every one runs once, so that noise of the machine meets all."""
    for contender in contenders:  # what happens only the first time is not of interest
        _step(contender)
    forward: dict[str, list[float]] = {c.name: [] for c in contenders}
    step: dict[str, list[float]] = {c.name: [] for c in contenders}
    for _ in range(rounds):
        for contender in contenders:
            with torch.no_grad():
                forward[contender.name].append(_seconds(contender.run, device))
            step[contender.name].append(_seconds(lambda c=contender: _step(c), device))
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
        if storage.data_ptr() not in parameters:
            held[storage.data_ptr()] = storage.nbytes()
            keep.append(storage)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        contender.run()
    return sum(held.values())


def _step(contender: Contender) -> None:
    torch.autograd.grad(contender.run(), contender.parameters, allow_unused=True)


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call."""
    start = clock(device)
    call()
    return clock(device) - start


def _ratio(values: list[float], reference: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(values, reference, strict=True))
