"""The least time that a run can take: its operations and bytes over ceilings that are measured on the same device.

Operations are those of the products and convolutions. Bytes are what nobody who keeps the states can spare: weights and
input are read, the trajectory is written by the forward pass and read by the backward pass; a state that goes from
step to step may stay in a cache, and is not counted. How fast the kernels of a captured CUDA graph follow each other is
no part of the floor: it holds back programs that start a kernel per step, and is given beside it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from loops_cases import MOVIES, Case

REPEATS, KERNELS = 10, 200
SIDE = {"cuda": 8192, "cpu": 1024}  # of the matrices
COPIED_BYTES = 2**30


class Ceilings(NamedTuple):
    """Operations and bytes per second, and seconds per kernel of a captured graph; None where it is no limit."""

    operations_per_s: float
    bytes_per_s: float | None
    kernel_s: float


class Floor(NamedTuple):
    """The least seconds, and what sets them: ``"arithmetic"`` or ``"bytes"``."""

    seconds: float
    bound: str


def ceilings(case: Case, device: torch.device) -> Ceilings:
    """Return what the device reaches in the precision of a case; on a CPU, where caches hold the states, no bytes."""
    rate = _products_per_s(case, device)
    if device.type != "cuda":
        return Ceilings(rate, None, 0.0)
    return Ceilings(rate, _copied_per_s(device), _kernel_s(device))


def floor(case: Case, limits: Ceilings, *, training: bool) -> Floor:
    """Return the least time of a forward pass, or of it and the backward pass."""
    each = {"arithmetic": operations(case, training=training) / limits.operations_per_s}
    if limits.bytes_per_s is not None:
        each["bytes"] = least_bytes(case, training=training) / limits.bytes_per_s
    bound = max(each, key=lambda name: each[name])
    return Floor(each[bound], bound)


def a_kernel_per_step(case: Case, limits: Ceilings, *, training: bool) -> float:
    """Return the least seconds of a program that starts a kernel per step, and one per step that it goes back."""
    return (case.steps + (case.until if training else 0)) * limits.kernel_s


def operations(case: Case, *, training: bool) -> int:
    """Return additions and multiplications of all products; either the parameters or the input need gradients."""
    product = 2 * case.batch * case.units**2 * (9 * case.side**2 * layers(case) if case.side else 1)
    back = case.until if training else 0
    recurrent = case.steps + (1 if case.input_only else 2) * back  # of the state and, where it is learned, the weight
    entry = case.steps + back if case.kind == "Elman" else 0
    return (recurrent + entry) * product


def least_bytes(case: Case, *, training: bool) -> int:
    """Return bytes that have to be read and written."""
    size = torch.finfo(case.dtype).bits // 8
    state = size * case.batch * case.units * max(1, case.side) ** 2
    matrices = layers(case) * size * case.units**2 * (9 if case.side else 1)
    movie = case.kind in MOVIES
    enters, leaves = (case.steps if movie else 1), (case.steps if movie and not case.readout else 1)
    if not training:
        return matrices + (enters + leaves) * state
    given = (case.until if movie else 1) if case.input_only else 0  # gradients of what enters
    kept = 2 * layers(case) * case.until
    return (2 if case.input_only else 3) * matrices + (enters + leaves + given + kept) * state


def layers(case: Case) -> int:
    """Return how many products a step has, after each of which a state is kept."""
    return 2 if case.kind.startswith("residual maps") else 1


def _products_per_s(case: Case, device: torch.device) -> float:
    n = SIDE[device.type]
    a = torch.randn(n, n, device=device, dtype=case.dtype)
    before = torch.backends.cuda.matmul.allow_tf32
    try:
        if case.side:  # convolutions have a switch of their own
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
        return 2 * n**3 / _seconds(lambda: torch.mm(a, a), device)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _copied_per_s(device: torch.device) -> float:
    a = torch.empty(COPIED_BYTES, device=device, dtype=torch.uint8)
    b = torch.empty_like(a)
    return 2 * COPIED_BYTES / _seconds(lambda: b.copy_(a), device)


def _kernel_s(device: torch.device) -> float:
    value, graph = torch.zeros(1, device=device), torch.cuda.CUDAGraph()
    value.add_(1)
    torch.cuda.synchronize(device)
    with torch.cuda.graph(graph):
        for _ in range(KERNELS):
            value.add_(1)
    return _seconds(graph.replay, device) / KERNELS


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    """Return the median seconds of a call, on the clock of the wall."""
    found = []
    for _ in range(REPEATS + 1):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - start)
    return statistics.median(found[1:])
