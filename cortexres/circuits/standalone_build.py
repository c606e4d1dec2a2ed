"""Compile a circuit to a standalone C++ binary; run as a module in a process of its own.

Brian2's standalone device is a global of the process, so a build happens in a child that ends afterwards. The working
directory is empty, because Brian2 evaluates a file `brian_preferences` it finds there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from cortexres.circuits.brian import brian2
from cortexres.circuits.build import build, group_name
from cortexres.circuits.connectivity import draw
from cortexres.definitions import Circuit, from_json

# A reused binary would replay the seed it was compiled with; this line takes it from the environment instead.
_SEED_FROM_ENVIRONMENT = """
{
    const char* text = std::getenv("CORTEXRES_SEED");
    if (text != NULL)
        for (std::size_t k = 0; k < brian::_random_generators.size(); k++)
            brian::_random_generators[k].seed(std::strtoul(text, NULL, 10) + k);
}
"""


def compile_circuit(circuit: Circuit, folder: Path, *, settle_ms: float, total_ms: float) -> None:
    """Write the binary `main` and `layout.json` (which file holds what) into `folder`."""
    brian2.set_device("cpp_standalone", build_on_run=False, directory=str(folder))
    # Any synapses of the right number will do: each run is given its own.
    connections = draw(circuit, np.random.SeedSequence(0))
    built = build(circuit, connections, onset_ms=settle_ms)
    for group in built.groups.values():  # makes both variables settable from the command line
        group.x = 0 * brian2.volt
        group.v = 0 * brian2.volt
    brian2.device.insert_code("before_network_run", _SEED_FROM_ENVIRONMENT)
    built.network.run(total_ms * brian2.ms, namespace={})
    brian2.device.build(directory=str(folder), compile=True, run=False)
    layout = {
        "spikes": {
            name: {key: brian2.device.get_array_filename(monitor.variables[key]) for key in ("i", "t", "N")}
            for name, monitor in built.monitors.items()
        },
        "groups": {p.name: group_name(p.name) for p in circuit.populations},
        "synapses": [_static_files(f"projection_{k}") for k in range(len(circuit.projections))],
    }
    (folder / "layout.json").write_text(json.dumps(layout), encoding="utf-8")


def _static_files(synapses: str) -> dict[str, str]:
    names = list(brian2.device.static_arrays)
    found = {end: [n for n in names if n.endswith(f"_{synapses}_{end}")] for end in ("sources", "targets")}
    if any(len(matches) != 1 for matches in found.values()):
        raise RuntimeError(f"expected one file of sources and of targets for {synapses}, got {found}")
    return {end: matches[0] for end, matches in found.items()}


if __name__ == "__main__":
    request = json.loads(sys.stdin.read())
    compile_circuit(
        from_json(request["circuit"]),
        Path(request["folder"]),
        settle_ms=request["settle_ms"],
        total_ms=request["total_ms"],
    )
