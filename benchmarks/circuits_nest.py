"""The Potjans-Diesmann microcircuit in NEST, at a reduced scale: what cortexres is timed against.

    python benchmarks/circuits_nest.py --scale 0.1 --duration-ms 2000

needs NEST (``pip install "cortexres[benchmark]"``). Prints one line of JSON: the cost of making the cells, of
connecting them, of settling and of the simulation proper; the rates; the size. Parameters: Potjans & Diesmann 2014,
doi:10.1093/cercor/bhs358; reduction of size and in-degrees: van Albada, Helias & Diesmann 2015,
doi:10.1371/journal.pcbi.1004490.
"""

from __future__ import annotations

import argparse
import json
import os
from typing import Any, NamedTuple

import numpy as np
from circuits_cost import now, peak_memory_GB
from numpy.typing import NDArray

NAMES = ("L23E", "L23I", "L4E", "L4I", "L5E", "L5I", "L6E", "L6I")
CELLS = np.array([20683, 5834, 21915, 5479, 4850, 1065, 14395, 2948])
BACKGROUND = np.array([1600, 1500, 2100, 1900, 2000, 1900, 2900, 2100])  # external synapses per cell
BACKGROUND_Hz, BACKGROUND_DELAY_ms = 8.0, 1.5
FULL_SCALE_Hz = np.array([0.903, 2.965, 4.414, 5.876, 7.569, 8.633, 1.105, 7.829])
START_mV = np.array([-68.28, -63.16, -63.33, -63.45, -63.11, -61.66, -66.72, -61.43])
START_SD_mV = np.array([5.36, 4.57, 4.74, 4.94, 4.94, 4.55, 5.46, 4.48])
PROBABILITY = np.array(  # row: target, column: source
    [
        [0.1009, 0.1689, 0.0437, 0.0818, 0.0323, 0.0, 0.0076, 0.0],
        [0.1346, 0.1371, 0.0316, 0.0515, 0.0755, 0.0, 0.0042, 0.0],
        [0.0077, 0.0059, 0.0497, 0.1350, 0.0067, 0.0003, 0.0453, 0.0],
        [0.0691, 0.0029, 0.0794, 0.1597, 0.0033, 0.0, 0.1057, 0.0],
        [0.1004, 0.0622, 0.0505, 0.0057, 0.0831, 0.3726, 0.0204, 0.0],
        [0.0548, 0.0269, 0.0257, 0.0022, 0.0600, 0.3158, 0.0086, 0.0],
        [0.0156, 0.0066, 0.0211, 0.0166, 0.0572, 0.0197, 0.0396, 0.2252],
        [0.0364, 0.0010, 0.0034, 0.0005, 0.0277, 0.0080, 0.0658, 0.1443],
    ]
)
NEURON = {"C_m": 250.0, "tau_m": 10.0, "E_L": -65.0, "V_reset": -65.0, "V_th": -50.0, "t_ref": 2.0}
TAU_S_ms, PSP_mV, RELATIVE_INHIBITION = 0.5, 0.15, -4.0
WEIGHT_CV, DELAY_CV, DELAY_ms = 0.1, 0.5, {"E": 1.5, "I": 0.75}
DT_ms = 0.1


class Network(NamedTuple):
    """The numbers of the reduced network."""

    cells: NDArray[np.int64]  # (population,)
    synapses: NDArray[np.int64]  # (target, source)
    weight_pA: NDArray[np.float64]  # (target, source)
    background: NDArray[np.int64]  # synapses per cell, (population,)
    background_pA: float
    direct_pA: NDArray[np.float64]  # mean input lost by the reduction, (population,)


def main() -> None:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.1, help="of the numbers of cells and of the in-degrees")
    parser.add_argument("--settle-ms", type=float, default=500.0)
    parser.add_argument("--duration-ms", type=float, default=2000.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(json.dumps(measure(reduced(options.scale), options.settle_ms, options.duration_ms, options.seed)))


def reduced(scale: float) -> Network:
    """The network with a share `scale` of the cells and of each cell's synapses, weights and direct input corrected."""
    full = np.outer(CELLS, CELLS)
    synapses = np.round(np.log1p(-PROBABILITY) / np.log1p(-1.0 / full))
    base = PSP_mV * current_for_unit_psp_pA()
    weight = np.tile(np.where(excitatory(), base, RELATIVE_INHIBITION * base), (len(NAMES), 1))
    weight[NAMES.index("L23E"), NAMES.index("L4E")] *= 2.0
    recurrent = (weight * synapses / CELLS[:, None] * FULL_SCALE_Hz).sum(axis=1)
    lost = recurrent + base * BACKGROUND * BACKGROUND_Hz
    return Network(
        cells=np.round(scale * CELLS).astype(np.int64),
        synapses=np.round(scale * scale * synapses).astype(np.int64),
        weight_pA=weight / np.sqrt(scale),
        background=np.round(scale * BACKGROUND).astype(np.int64),
        background_pA=float(base / np.sqrt(scale)),
        direct_pA=TAU_S_ms * 1e-3 * (1.0 - np.sqrt(scale)) * lost,
    )


def excitatory() -> NDArray[np.bool_]:
    """Which populations excite."""
    return np.array([name.endswith("E") for name in NAMES])


def current_for_unit_psp_pA() -> float:
    """The jump of the synaptic current, in pA, whose postsynaptic potential peaks at 1 mV."""
    tau_m, tau_s, capacity = NEURON["tau_m"], TAU_S_ms, NEURON["C_m"]
    peak_ms = np.log(tau_m / tau_s) / (1.0 / tau_s - 1.0 / tau_m)
    decay = np.exp(-peak_ms / tau_m) - np.exp(-peak_ms / tau_s)
    return float(capacity * (1.0 / tau_s - 1.0 / tau_m) / decay)


def measure(network: Network, settle_ms: float, duration_ms: float, seed: int) -> dict[str, Any]:
    """The costs and the rates of one run on one thread."""
    os.environ.setdefault("PYNEST_QUIET", "1")
    import nest

    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.ResetKernel()
    nest.set(resolution=DT_ms, rng_seed=seed, local_num_threads=1)
    costs, start = {}, now()

    def phase(name: str) -> None:
        nonlocal start
        costs[name], start = (now() - start).as_dict(), now()

    populations = _create(nest, network)
    phase("create")
    _connect(nest, network, populations)
    recorders = _record(nest, populations, settle_ms)
    phase("connect")
    nest.Simulate(settle_ms)
    phase("settle")
    nest.Simulate(duration_ms)
    phase("simulate")
    counts = np.array([recorder.n_events for recorder in recorders])
    return {
        "costs": costs,
        "Hz": dict(zip(NAMES, (counts / network.cells / duration_ms * 1e3).tolist(), strict=True)),
        "cells": int(network.cells.sum()),
        "synapses": int(network.synapses.sum()),
        "direct_pA": network.direct_pA.tolist(),
        "weight_pA": network.background_pA,
        "memory_GB": peak_memory_GB(),
        "version": nest.__version__,
    }


def _create(nest: Any, network: Network) -> list[Any]:
    populations = []
    for k in range(len(NAMES)):
        cells = nest.Create("iaf_psc_exp", int(network.cells[k]), params=NEURON)
        cells.set(tau_syn_ex=TAU_S_ms, tau_syn_in=TAU_S_ms, I_e=float(network.direct_pA[k]))
        cells.V_m = nest.random.normal(mean=float(START_mV[k]), std=float(START_SD_mV[k]))
        populations.append(cells)
    return populations


def _connect(nest: Any, network: Network, populations: list[Any]) -> None:
    for t, targets in enumerate(populations):
        for s, sources in enumerate(populations):
            if network.synapses[t, s]:
                rule = {"rule": "fixed_total_number", "N": int(network.synapses[t, s])}
                nest.Connect(sources, targets, rule, _synapse(nest, network.weight_pA[t, s], NAMES[s][-1]))
        rate = BACKGROUND_Hz * float(network.background[t])
        source = nest.Create("poisson_generator", params={"rate": rate})
        # Every target of a generator receives a train of its own.
        synapse = {"weight": network.background_pA, "delay": BACKGROUND_DELAY_ms}
        nest.Connect(source, targets, "all_to_all", synapse)


def _synapse(nest: Any, weight_pA: float, kind: str) -> dict[str, Any]:
    """Normal weights that keep their sign, normal delays of at least one step."""
    weight = nest.random.normal(mean=float(weight_pA), std=WEIGHT_CV * abs(float(weight_pA)))
    limits = (0.0, np.inf) if weight_pA > 0 else (-np.inf, 0.0)
    delay = nest.random.normal(mean=DELAY_ms[kind], std=DELAY_CV * DELAY_ms[kind])
    # What lies within half a step of the shortest delay is rounded to it.
    shortest = 0.5 * DT_ms
    return {
        "synapse_model": "static_synapse",
        "weight": nest.math.redraw(weight, min=limits[0], max=limits[1]),
        "delay": nest.math.redraw(delay, min=shortest, max=np.inf),
    }


def _record(nest: Any, populations: list[Any], settle_ms: float) -> list[Any]:
    recorders = []
    for cells in populations:
        recorder = nest.Create("spike_recorder", params={"start": settle_ms})
        nest.Connect(cells, recorder)
        recorders.append(recorder)
    return recorders


if __name__ == "__main__":
    main()
