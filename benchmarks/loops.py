"""How fast the shared loop runs, and the memory it needs: every loop of cortexres, and what else computes the same.

    python benchmarks/loops.py [--device cuda] [--only WORD ...] [--quick] [--out benchmarks/results/loops.json]

prints tables of times and of ratios to the plain loop within this run, with the targets below, writes them to `--out`,
and exits 1 if a target is missed. Contenders are checked against the plain loop before they are timed, and take
turns, round after round, in one process. On a CPU that takes about ten minutes, in CPU seconds of one thread (or of
more, `--threads`, by the clock of the wall). On a GPU the floor stands beside each time: operations and bytes over
ceilings measured in the same run, and what starting a kernel per step takes; `--only`, `--units`, `--batch`,
`--steps` and `--dtype` choose a part. ``--quick`` shrinks everything, to see that it works.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import loops_tables as tables
import machine
import torch
from circuits_cost import load
from circuits_tables import verdicts
from loops_cases import DENSE, MAPS, MOVIES, Case, made
from loops_contenders import DEFAULT, field, named_loops
from loops_floor import Ceilings, a_kernel_per_step, ceilings, floor
from loops_grid import MEMORY, QUICK, QUICK_MEMORY, grid, is_target, slow_in
from loops_memory import peak_bytes
from networks_cost import costs, saved_bytes, step_of

from cortexres import io, provenance
from cortexres.nn.device import usable_device

RESULTS = Path(__file__).parent / "results" / "loops.json"
LEAST_ROUNDS, MOST_ROUNDS = 7, 300
LONG_s, FEW_ROUNDS = 10.0, 3  # a round that takes so long, and how many of those
Facts = dict[str, Any]


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 0 where every target is met."""
    options = _options(argv)
    device = usable_device(options.device)
    torch.set_num_threads(options.threads)
    described = machine.with_torch(device, threads=options.threads)
    print(machine.line(described) + (" (quick: the figures mean nothing)" if options.quick else ""))
    start, limits, found, held = time.perf_counter(), {}, [], []
    for case in _chosen(options, device):
        found.append(measured(case, device, options, limits))
        print(f"\n{tables.costs_table(found[-1:])}", flush=True)
    if not options.only or "memory" in options.only:
        held = [memory(case, device) for case in (QUICK_MEMORY if options.quick else MEMORY)]
        print(f"\n{tables.memory_table(held)}")
    judged = [*tables.judged(found, device.type), *tables.memory_judged(held)]
    parts = [tables.summary(found), tables.left_out(found), tables.elsewhere(found), verdicts(judged)]
    print("\n" + "\n\n".join(part for part in parts if part))
    minutes = (time.perf_counter() - start) / 60
    print(f"\n{minutes:.1f} minutes")
    missed = [verdict.name for verdict in judged if not verdict.met]
    facts = {
        "machine": {**described, "load_after": load(), "minutes": minutes},
        "quick": options.quick,
        "ceilings": {name: limit._asdict() for name, limit in limits.items()},
        "cases": found,
        "memory": held,
        "missed": missed,
    }
    io.write_text(options.out, provenance.provenance(made_by="benchmarks/loops.py", **facts) + "\n")
    return int(bool(missed))


def measured(case: Case, device: torch.device, options: argparse.Namespace, limits: dict[str, Ceilings]) -> Facts:
    """Return the costs of all who run a case, beside its floor; `limits` keeps ceilings that are known already."""
    key = f"{case.dtype} maps" if case.side else str(case.dtype)
    if key not in limits:
        limits[key] = ceilings(case, device)
    torch._dynamo.reset()  # what was compiled for another case counts towards a limit of recompilations
    target = device.type == "cpu" and is_target(case)
    slow = () if options.no_compile or options.quick else slow_in(case, device)
    taking_part = field(case, made(case, device), slow=slow)
    found = costs(
        [way.contender() for way in taking_part.ways],
        rounds=_rounds(0.0 if options.quick else options.seconds),
        device=device,
        wall=options.threads > 1,
    )
    lowest = {what: floor(case, limits[key], training=what == "step") for what in ("forward", "step")}
    kernels_ms = 1e3 * a_kernel_per_step(case, limits[key], training=True)
    return {
        **{name: value for name, value in case._asdict().items() if name != "dtype"},
        "dtype": str(case.dtype).removeprefix("torch."),
        "name": case.name,
        "target": target,
        "chosen": taking_part.chosen,
        "ours": [DEFAULT, *(name for name, _ in named_loops())],
        "costs": {name: cost._asdict() for name, cost in found.items()},
        "left_out": taking_part.left_out,
        "floor": {
            "device": device.type,
            "step_kernels_ms": kernels_ms,
            **{f"{what}_ms": 1e3 * least.seconds for what, least in lowest.items()},
            **{f"{what}_bound": least.bound for what, least in lowest.items()},
        },
    }


def memory(case: Case, device: torch.device) -> Facts:
    """Return what loops keep for the backward pass, and the peak of a training step."""
    taking_part = field(case, made(case, device), others=False)
    found = {}
    for way in taking_part.ways:
        contender = way.contender()
        step_of(contender)
        found[way.name] = {
            "saved_MB": saved_bytes(contender) / 1e6,
            "peak_MB": peak_bytes(lambda c=contender: step_of(c), device) / 1e6,
        }
    return {
        "name": case.name,
        "movie": case.kind in MOVIES,
        "chosen": taking_part.chosen,
        "loops": found,
        "left_out": taking_part.left_out,
    }


def _chosen(options: argparse.Namespace, device: torch.device) -> list[Case]:
    """Return the cases that the options ask for."""
    cases = QUICK if options.quick else grid(device)
    asked = {"units": options.units, "batch": options.batch, "steps": options.steps}
    return [
        case
        for case in cases
        if not (options.only and case.kind not in options.only)
        and not (options.dtype and str(case.dtype).removeprefix("torch.") not in options.dtype)
        and all(not values or getattr(case, name) in values for name, values in asked.items())
    ]


def _rounds(seconds: float) -> Callable[[float], int]:
    """Return how many rounds of a length take so many seconds; seven at least, or three of the longest."""
    return lambda each: max(FEW_ROUNDS if each > LONG_s else LEAST_ROUNDS, min(MOST_ROUNDS, int(seconds / each)))


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--threads", type=int, default=1, help="of torch on the CPU (default: 1)")
    parser.add_argument("--only", nargs="+", metavar="KIND", help=f"of: {', '.join(DENSE + MAPS)}, memory")
    for name, text in (("units", "units or channels"), ("batch", "images"), ("steps", "steps")):
        parser.add_argument(f"--{name}", nargs="+", type=int, metavar="N", help=f"only cases of so many {text}")
    parser.add_argument("--dtype", nargs="+", help="float32, bfloat16 (default: float32, on a GPU both)")
    parser.add_argument("--seconds", type=float, default=4.0, help="to take turns in, per case (default: 4)")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile and scan out")
    parser.add_argument("--quick", action="store_true", help="shrink everything; the figures mean nothing")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE", help="default: %(default)s")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
