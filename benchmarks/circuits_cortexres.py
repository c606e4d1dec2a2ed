"""The same work with cortexres, to be timed in a process of its own with an empty cache of builds.

    python benchmarks/circuits_cortexres.py demo --stimuli 50 --trials 10
    python benchmarks/circuits_cortexres.py pd14 --duration-ms 2000

Prints one line of JSON with the cost of each part. The costs of a build and of connecting are differences between calls
of `cortexres.circuits.simulate`, so that only what users call is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from typing import Any

import numpy as np
import xarray as xr
from circuits_cost import Cost, machine_busy_s, mean, now, peak_memory_GB

from cortexres import circuits, stimuli
from cortexres.definitions import Circuit

DURATION_ms, SETTLE_ms, BIN_ms = 300.0, 150.0, 5.0
SHORT_ms, REPEATS = 100.0, 3


def main() -> None:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["demo", "pd14"])
    parser.add_argument("--stimuli", type=int, default=50)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--subset", type=int, default=32, help="runs with which one core is compared with two")
    parser.add_argument("--scale", type=float, default=0.1, help="of the numbers of cells and of the in-degrees")
    parser.add_argument("--settle-ms", type=float, default=500.0)
    parser.add_argument("--duration-ms", type=float, default=2000.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cortexres-benchmark-") as cache:
        os.environ["CORTEXRES_CACHE"] = cache
        found = demo(options) if options.what == "demo" else pd14(options)
    print(json.dumps({**found, "memory_GB": peak_memory_GB()}))


def images(n: int) -> xr.Dataset:
    """The stimuli of the demo part: the same digits in the same order for everyone."""
    return stimuli.digits(n, rng=0)


def demo(options: argparse.Namespace) -> dict[str, Any]:
    """The demo circuit: the build, all stimuli and trials, and one job against two."""
    circuit, shown = circuits.load("ei_assemblies"), images(options.stimuli)

    def run(some: xr.Dataset, trials: int, jobs: int | None = None) -> tuple[Cost, xr.Dataset]:
        return _timed(
            circuit, some, trials=trials, duration_ms=DURATION_ms, settle_ms=SETTLE_ms, seed=options.seed, jobs=jobs
        )

    one = shown.isel(stimulus=[0])
    build = run(one, 1)[0] - run(one, 1)[0]
    every, brain = run(shown, options.trials)
    few = shown.isel(stimulus=slice(max(1, options.subset // options.trials)))
    busy, start = machine_busy_s(), now()
    cores = {1: Cost(), 2: Cost()}
    for jobs in (1, 2, 2, 1):  # in this order, a drift of the machine hits both alike
        cores[jobs] += run(few, options.trials, jobs)[0]
    spent = now() - start
    return {
        "build": build.as_dict(),
        "runs": every.as_dict(),
        "cores": {str(jobs): cost.as_dict() for jobs, cost in cores.items()},
        "cores_runs": 2 * few.sizes["stimulus"] * options.trials,
        "others": (machine_busy_s() - busy - spent.cpu_s) / spent.wall_s,
        "Hz": _rates_of_trials(brain),
    }


def pd14(options: argparse.Namespace) -> dict[str, Any]:
    """The microcircuit at a reduced scale: the build, connecting and settling, and the simulation proper."""
    full = circuits.load("potjans_diesmann_2014")
    circuit = circuits.downscaled(full, size=options.scale, in_degree=options.scale)

    def run(duration_ms: float) -> tuple[Cost, xr.Dataset]:
        return _timed(
            circuit, None, trials=1, duration_ms=duration_ms, settle_ms=options.settle_ms, seed=options.seed, jobs=1
        )

    first = run(SHORT_ms)[0]
    short = mean([run(SHORT_ms)[0] for _ in range(REPEATS)])
    run(options.duration_ms)  # this build is no part of what follows
    again = [run(options.duration_ms) for _ in range(REPEATS)]
    build, long, brain = first - short, mean([cost for cost, _ in again]), again[0][1]
    simulate = options.duration_ms / (options.duration_ms - SHORT_ms) * (long - short)
    rates = brain["response"].mean(("stimulus", "trial", "time"))
    return {
        "costs": {"build": build.as_dict(), "rest": (long - simulate).as_dict(), "simulate": simulate.as_dict()},
        "Hz": dict(zip(brain["name"].values.tolist(), rates.values.tolist(), strict=True)),
        "cells": sum(p.cells for p in circuit.populations),
    }


def _timed(
    circuit: Circuit,
    shown: xr.Dataset | None,
    *,
    trials: int,
    duration_ms: float,
    settle_ms: float,
    seed: int,
    jobs: int | None,
) -> tuple[Cost, xr.Dataset]:
    start = now()
    brain = circuits.simulate(
        circuit,
        shown,
        trials=trials,
        duration_ms=duration_ms,
        settle_ms=settle_ms,
        bin_ms=BIN_ms,
        rng=seed,
        target="cpp_standalone",
        jobs=jobs,
        progress=False,
    )
    return now() - start, brain


def _rates_of_trials(brain: xr.Dataset) -> dict[str, list[list[float]]]:
    """The mean rate of each population, a row per stimulus, a column per trial."""
    rates = brain["response"].mean("time").groupby("population").mean("unit")
    rates = rates.transpose("population", "stimulus", "trial")
    return {str(name): np.asarray(rates.sel(population=name)).tolist() for name in rates["population"].values}


if __name__ == "__main__":
    main()
