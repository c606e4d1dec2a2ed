"""Compile a structure to a standalone C++ binary; run as a module in a process of its own.

Brian2's standalone device is a global of the process, so a build happens in a child that ends afterwards. The working
directory is empty, because Brian2 evaluates a file `brian_preferences` it finds there.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from cortexres.circuits.brian import brian2
from cortexres.circuits.build import build
from cortexres.circuits.structure import NEVER_REACHED, Structure

# A reused binary would replay the seed it was compiled with; this line takes it from the environment instead.
_SEED_FROM_ENVIRONMENT = """
{
    const char* text = std::getenv("CORTEXRES_SEED");
    if (text != NULL)
        for (std::size_t k = 0; k < brian::_random_generators.size(); k++)
            brian::_random_generators[k].seed(std::strtoul(text, NULL, 10) + k);
}
"""

_RUN = re.compile(r"network\.run\([-+.\de]+, ")

# A large circuit is hundreds of small files that read the same headers: read once, they compile in a third of the time.
_PRECOMPILED = """include makefile
objects.h.gch: objects.h
\t$(CXX) $(CXXFLAGS) -x c++-header $< -o $@
%.o: %.cpp
\t$(CXX) $(CXXFLAGS) -include objects.h $< -o $@
"""


def compile_structure(made: Structure, folder: Path) -> None:
    """Write the binary `main` and `layout.json` (which file holds what) into `folder`."""
    brian2.set_device("cpp_standalone", build_on_run=False, directory=str(folder))
    # Any synapses of the right number will do: each run is given its own.
    nowhere = [(np.zeros(bundle.synapses, dtype=np.int32),) * 2 for bundle in made.bundles]
    never = {
        k: (np.zeros(group.replayed, dtype=np.int32), NEVER_REACHED + np.arange(group.replayed))
        for k, group in enumerate(made.groups)
        if group.replayed
    }
    built = build(made, nowhere, {}, never)
    brian2.device.insert_code("before_network_run", _SEED_FROM_ENVIRONMENT)
    brian2.device.apply_run_args()  # before the run begins: delays are read when it does
    built.network.run(made.dt_ms * brian2.ms, namespace={})  # its length is set when it starts
    brian2.device.build(directory=str(folder), compile=False, run=False)
    _take_length_from_environment(folder / "main.cpp")
    _compile(folder)
    layout = {
        "spikes": [_files(monitor, ("i", "t", "N")) for monitor in built.monitors],
        "samples": {k: _files(monitor, made.groups[k].cells.recorded) for k, monitor in built.samples.items()},
        "replay": {k: _static_files(f"cells_{k}", ("neuron_index", "_timebins")) for k in never},
        "synapses": [_static_files(f"bundle_{k}", ("sources", "targets")) for k in range(len(made.bundles))],
    }
    (folder / "layout.json").write_text(json.dumps(layout), encoding="utf-8")


def _take_length_from_environment(main: Path) -> None:
    """Put what `CORTEXRES_SECONDS` says in place of the length of the run, which Brian2 writes into the program."""
    source, found = _RUN.subn(r'network.run(std::strtod(std::getenv("CORTEXRES_SECONDS"), NULL), ', main.read_text())
    if found != 1:
        raise RuntimeError(f"expected one call of network.run in {main.name}, got {found}")
    main.write_text(source)


def _compile(folder: Path) -> None:
    """Make the binary, with as many compilers at once as there are cores; Brian2 would start one for every file."""
    (folder / "precompiled.mk").write_text(_PRECOMPILED, encoding="utf-8")
    # Nothing is compiled twice, so which file depends on which header need not be found out.
    make = ["make", "-s", "-f", "precompiled.mk", "DEPS="]
    # A compiler that cannot do it reads the headers anew for each file.
    subprocess.run([*make, "objects.h.gch"], cwd=folder, check=False)
    made = subprocess.run([*make, f"-j{os.cpu_count() or 1}"], cwd=folder, check=False)
    if made.returncode != 0:
        raise RuntimeError(f"make exited {made.returncode}")


def _files(monitor: Any, names: tuple[str, ...]) -> dict[str, str]:
    return {name: brian2.device.get_array_filename(monitor.variables[name]) for name in names}


def _static_files(owner: str, ends: tuple[str, ...]) -> list[str]:
    """The files of the arrays of an object, which are written anew for each simulation or run."""
    names = list(brian2.device.static_arrays)
    found = [[name for name in names if name.endswith(f"_{owner}_{end}")] for end in ends]
    if any(len(matches) != 1 for matches in found):
        raise RuntimeError(f"expected one file of each of {', '.join(ends)} for {owner}, got {found}")
    return [matches[0] for matches in found]


if __name__ == "__main__":
    compile_structure(pickle.load(sys.stdin.buffer), Path(sys.argv[1]))
