"""The demo circuit as a plain Brian2 script: what one writes without cortexres, to be timed against it.

    python benchmarks/circuits_plain_brian2.py drives.npy --how rebuild --runs 5

`drives.npy` holds the mean input of every assembly in mV, a row per stimulus; run k shows stimulus k. Four ways to loop
over runs: ``rebuild`` compiles a standalone program for each, ``runtime`` makes the network anew with the cython target
(compiled code is cached), ``restore`` makes it once and restores it before each run, and ``run_args`` compiles one
standalone program and passes the stimulus on its command line. Prints one line of JSON: the cost and the mean rates of
every run.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import brian2 as b2
import numpy as np
from brian2 import Hz, ms, mV
from circuits_cost import Cost, now

ASSEMBLIES, CELLS = 8, {"E": 500, "I": 125}
IN_DEGREE, KAPPA = {"E": 200, "I": 50}, 1.0
WEIGHT_mV = {"E": 0.1, "I": -0.5}
TAU_M = {"E": 20 * ms, "I": 10 * ms}
MEAN_INPUT = {"E": 16.3183 * mV, "I": 15.0484 * mV}
TAU_S, DELAY = 5 * ms, 1 * ms
SETTLE, DURATION = 150 * ms, 300 * ms

Drawn = dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]  # (source, target): cells of either side

EQUATIONS = """
dv/dt = (mu + int(t >= onset) * x + I_E + I_I - v) / tau_m + sigma * xi / sqrt(tau_m) : volt (unless refractory)
dI_E/dt = -I_E / tau_s : volt
dI_I/dt = -I_I / tau_s : volt
x : volt (constant)
"""


def main() -> None:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("drives", type=Path)
    parser.add_argument("--how", choices=list(WAYS), required=True)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    drives = np.load(options.drives)[: options.runs]
    b2.defaultclock.dt = 0.1 * ms
    with tempfile.TemporaryDirectory(prefix="plain-brian2-") as folder:
        start = now()
        synapses = draw(np.random.default_rng(1))
        once = now() - start
        runs = list(WAYS[options.how](drives, synapses, Path(folder)))
    found = {"once": once.as_dict(), "runs": [cost.as_dict() for cost, _ in runs], "Hz": [rates for _, rates in runs]}
    print(json.dumps(found))


def rebuild(drives: np.ndarray, synapses: Drawn, folder: Path) -> Iterator[tuple[Cost, dict[str, float]]]:
    """A standalone program for every run."""
    for k, drive in enumerate(drives):
        start = now()
        b2.device.reinit()
        b2.set_device("cpp_standalone", directory=str(folder / f"run{k}"))
        rates = run_once(drive, synapses, seed=k)
        yield now() - start, rates


def runtime(drives: np.ndarray, synapses: Drawn, folder: Path) -> Iterator[tuple[Cost, dict[str, float]]]:
    """A network for every run, with cython's compiled code in a cache that is empty at first."""
    use_cython(folder)
    for k, drive in enumerate(drives):
        start = now()
        rates = run_once(drive, synapses, seed=k)
        yield now() - start, rates


def restore(drives: np.ndarray, synapses: Drawn, folder: Path) -> Iterator[tuple[Cost, dict[str, float]]]:
    """One network, restored before every run."""
    use_cython(folder)
    start = now()
    network, groups, monitors = build(synapses)
    network.store()
    for k, drive in enumerate(drives):
        network.restore()
        b2.seed(k)
        show(groups, drive)
        network.run(SETTLE + DURATION)
        rates = mean_rates(monitors)
        yield now() - start, rates
        start = now()


def run_args(drives: np.ndarray, synapses: Drawn, folder: Path) -> Iterator[tuple[Cost, dict[str, float]]]:
    """One standalone program for all runs, seeded anew by the operating system at each."""
    start = now()
    b2.set_device("cpp_standalone", build_on_run=False, directory=str(folder))
    network, groups, monitors = build(synapses)
    show(groups, drives[0])
    network.run(SETTLE + DURATION)
    b2.device.build(directory=str(folder), run=False)
    for k, drive in enumerate(drives):
        inputs = {groups["E"].x: cell_input(drive)}
        b2.device.run(directory=str(folder), results_directory=f"results{k}", run_args=inputs)
        rates = mean_rates(monitors)
        yield now() - start, rates
        start = now()


def run_once(drive: np.ndarray, synapses: Drawn, *, seed: int) -> dict[str, float]:
    """The mean rates of one run of a network of its own."""
    b2.seed(seed)
    network, groups, monitors = build(synapses)
    show(groups, drive)
    network.run(SETTLE + DURATION)
    return mean_rates(monitors)


def use_cython(cache: Path) -> None:
    """Runtime mode, compiled; the cache is not the user's, so that the first run shows what compiling costs."""
    b2.prefs.codegen.target = "cython"
    b2.prefs.codegen.runtime.cython.cache_dir = str(cache)


def build(
    synapses: Drawn,
) -> tuple[b2.Network, dict[str, b2.NeuronGroup], dict[str, b2.SpikeMonitor]]:
    """The network, its groups and the monitors of their spikes."""
    groups = {}
    for name, cells in CELLS.items():
        groups[name] = b2.NeuronGroup(
            ASSEMBLIES * cells,
            EQUATIONS,
            threshold="v > 20*mV",
            reset="v = 10*mV",
            refractory=2 * ms,
            method="euler",
            namespace={"tau_m": TAU_M[name], "tau_s": TAU_S, "mu": MEAN_INPUT[name], "sigma": 5 * mV, "onset": SETTLE},
            name=f"cells_{name}",  # names that Brian2 chooses change with each network, and are compiled again
        )
    network = b2.Network(*groups.values())
    for (source, target), (i, j) in synapses.items():
        jump = WEIGHT_mV[source] * mV * TAU_M[target] / TAU_S
        made = b2.Synapses(
            groups[source],
            groups[target],
            on_pre=f"I_{source}_post += w",
            delay=DELAY,
            namespace={"w": jump},
            name=f"synapses_{source}_{target}",
        )
        made.connect(i=i, j=j)
        network.add(made)
    monitors = {name: b2.SpikeMonitor(group, name=f"spikes_{name}") for name, group in groups.items()}
    network.add(*monitors.values())
    return network, groups, monitors


def show(groups: dict[str, b2.NeuronGroup], drive: np.ndarray) -> None:
    """Random first potentials, and the stimulus for the excitatory cells."""
    for group in groups.values():
        group.v = "10*mV + 10*mV*rand()"
    groups["E"].x = cell_input(drive)


def cell_input(drive: np.ndarray) -> Any:
    """The input of every excitatory cell, from that of its assembly in mV."""
    return np.repeat(drive, CELLS["E"]) * mV


def draw(rng: np.random.Generator) -> Drawn:
    """Who projects to whom: a fixed in-degree with replacement; excitatory sources prefer their own kind."""
    synapses = {}
    for target, n_target in CELLS.items():
        for source, n_source in CELLS.items():
            angle = 2 * np.pi * np.arange(ASSEMBLIES) / ASSEMBLIES
            preference = np.exp(KAPPA * np.cos(angle)) if source == "E" else np.ones(ASSEMBLIES)
            j = np.repeat(np.arange(ASSEMBLIES * n_target), IN_DEGREE[source])
            away = rng.choice(ASSEMBLIES, size=j.size, p=preference / preference.sum())
            assembly = (j // n_target + away) % ASSEMBLIES
            synapses[source, target] = (assembly * n_source + rng.integers(n_source, size=j.size), j)
    return synapses


def mean_rates(monitors: dict[str, b2.SpikeMonitor]) -> dict[str, float]:
    """The mean rate of each population while the stimulus is on, in Hz."""
    return {
        name: float(np.sum(m.t[:] >= SETTLE) / (ASSEMBLIES * CELLS[name]) / DURATION / Hz)
        for name, m in monitors.items()
    }


WAYS = {"rebuild": rebuild, "runtime": runtime, "restore": restore, "run_args": run_args}

if __name__ == "__main__":
    main()
