"""Which cases are run on a device: all of N, batch and T that it can compute and hold."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import torch
from loops_cases import Case
from loops_contenders import COMPILED, COMPILED_SCAN, COMPILED_STEP, SCAN
from loops_floor import layers, operations

UNITS, STEPS = (64, 256, 1024, 4096), (10, 100, 1000)
BATCHES = {"cpu": (1, 64, 4096), "cuda": (1, 64, 512, 4096)}
TARGETS = {Case("leaky", *size) for size in product((64, 256, 1024), (1, 64), (10, 100))}  # on a CPU
OPERATIONS = {"cpu": 6e10, "cuda": 2e13}  # of a training step: about a second
BYTES = {"cpu": 2e9, "cuda": 2e10}  # that the plain loop keeps for the backward pass
KEPT = 4  # states per product and step, by the plain loop
COMPILED_STEPS = {"cpu": 10, "cuda": 100}  # the longest loop that is compiled whole: it is unrolled

MAPS = {
    "cpu": (
        Case("residual maps", 16, 16, 16, side=16),
        Case("residual maps", 64, 16, 4, side=32),
        Case("residual maps, group norm", 16, 16, 10, side=16),
        Case("excitatory-inhibitory maps", 16, 16, 16, side=16),
        Case("excitatory-inhibitory maps", 64, 16, 4, side=32),
    ),
    "cuda": tuple(
        Case(kind, units, batch, steps, side=side)
        for kind in ("residual maps", "residual maps, group norm", "excitatory-inhibitory maps")
        for units, side, batch, steps in ((64, 32, 1, 16), (64, 32, 64, 16), (64, 32, 256, 16), (16, 32, 64, 100))
    ),
}
WITH_MOVIES = (Case("leaky movie", 256, 64, 100), Case("leaky movie", 256, 64, 50, readout=10))
MEMORY = (
    Case("leaky", 256, 64, 1000),
    Case("leaky", 256, 64, 1000, input_only=True),
    Case("Elman", 256, 64, 1000),
    Case("excitatory-inhibitory maps", 8, 4, 1000, side=16),
)
QUICK = (
    Case("leaky", 16, 2, 5),
    Case("leaky movie", 16, 2, 5, readout=2),
    Case("Elman", 16, 2, 5),
    Case("residual maps", 4, 2, 3, side=5),
)
QUICK_MEMORY = (Case("leaky", 16, 4, 100), Case("Elman", 16, 4, 100))


def grid(device: torch.device) -> Iterator[Case]:
    """Return the cases of a device, those in lower precision on a GPU included."""
    every = [*_dense(device), *WITH_MOVIES, *MAPS[device.type]]
    yield from every
    if device.type == "cuda":
        for case in every:
            if case.kind != "fixed point":  # which bfloat16 does not reach
                yield case._replace(dtype=torch.bfloat16)


def is_target(case: Case) -> bool:
    """Return whether the targets on a CPU are about this case."""
    return case in TARGETS


def slow_in(case: Case, device: torch.device) -> tuple[str, ...]:
    """Return which of the contenders take part that are slow to compile or to trace.

    Compiling takes seconds for a step, and a minute for a hundred of them; on a CPU one batch of two sizes is enough.
    """
    if device.type == "cpu" and not case.side and (case.batch != 64 or case.units > 256 or case.steps > 100):
        return ()
    whole = (COMPILED,) if case.steps <= COMPILED_STEPS[device.type] else ()
    scanned = (SCAN, COMPILED_SCAN) if case.kind == "leaky" else ()
    return (*whole, COMPILED_STEP, *scanned)


def _dense(device: torch.device) -> Iterator[Case]:
    for units, batch, steps in product(UNITS, BATCHES[device.type], STEPS):
        case = Case("leaky", units, batch, steps)
        if _fits(case, device):
            yield case
    cases = (Case(kind, *size) for kind, size in product(("Elman", "fixed point"), _OTHERS[device.type]))
    yield from (case for case in cases if _fits(case, device))


_OTHERS = {
    "cpu": ((64, 64, 100), (256, 64, 100)),
    "cuda": ((64, 64, 100), (256, 64, 100), (256, 512, 100), (1024, 64, 100), (1024, 64, 1000)),
}


def _fits(case: Case, device: torch.device) -> bool:
    size = torch.finfo(case.dtype).bits // 8 * case.batch * case.units * case.steps * max(1, case.side) ** 2
    kept = KEPT * layers(case) * size
    return operations(case, training=True) <= OPERATIONS[device.type] and kept <= BYTES[device.type]
