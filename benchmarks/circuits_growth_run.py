"""One simulation of the microcircuit, in a process of its own that others time: its cells are printed.

    python benchmarks/circuits_growth_run.py SCALE SECONDS
"""

from __future__ import annotations

import sys

from cortexres import circuits

scale, seconds = map(float, sys.argv[1:])
circuit = circuits.downscaled(circuits.load("potjans_diesmann_2014"), size=scale, in_degree=scale)
circuits.simulate(
    circuit,
    trials=1,
    duration_ms=1000.0 * seconds,
    settle_ms=100.0,
    bin_ms=5.0,
    rng=1,
    target="cpp_standalone",
    jobs=1,
    progress=False,
)
print(sum(population.cells for population in circuit.populations))
