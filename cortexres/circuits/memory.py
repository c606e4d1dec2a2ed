"""How much memory a simulation takes, estimated before any synapse is drawn, and refused where it is not there.

Bytes per synapse were measured as peaks of both processes, with 5 to 16 million synapses: the binary takes 31 to 42 of
them (more where cells fire in volleys, all of whose synapses wait in the queue), 8 more with a weight of their own and
12 more with a delay of their own; this process takes 15 to 28, and up to 44 more with both. The estimate is the upper
end of each, at most twice what was found.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from cortexres.circuits.connection_rules import synapse_count
from cortexres.circuits.connectivity import is_gated
from cortexres.definitions import Circuit, Projection
from cortexres.errors import SimulationError

# Bytes of a synapse: alone, and what a weight and a delay of its own add. Here, draws and what is written for the
# binary count at their largest; there, cells of both ends, the list by source, and the queue.
_HERE, _HERE_WEIGHT, _HERE_DELAY = 29, 20, 25
_RUN, _RUN_WEIGHT, _RUN_DELAY = 42, 8, 12
#: Of a cell in a run: its states, its own random stimulus, and some hundred spikes.
_RUN_CELL = 2_000
_RUN_PROGRAM = 10_000_000

_MEMINFO, _CGROUPS = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
#: Limit and present use of a control group, of version 2 and 1.
_LIMITS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))


class Memory(NamedTuple):
    """Estimated bytes.

    Attributes
    ----------
    synapses : int
        Of all projections.
    here : int
        In this process, over and above what it has.
    run : int
        In each of the runs that are carried out at once.
    """

    synapses: int
    here: int
    run: int

    def total(self, jobs: int) -> int:
        """With `jobs` runs at once."""
        return self.here + jobs * self.run


def estimate_memory(circuit: Circuit) -> Memory:
    """The memory that a simulation of `circuit` takes at its peak; compiling, at most half a gigabyte, is left out."""
    synapses, here, run = 0, 0, _RUN_PROGRAM + _RUN_CELL * sum(p.cells for p in circuit.populations)
    for projection in () if circuit.is_rate else (q for q in circuit.projections if not is_gated(q, circuit)):
        n = synapse_count(projection, circuit.population(projection.source), circuit.population(projection.target))
        weights, delays = _own_weights(projection), bool(projection.delay_cv or projection.delay_matrix_ms)
        synapses += n
        here += n * (_HERE + _HERE_WEIGHT * weights + _HERE_DELAY * delays)
        run += n * (_RUN + _RUN_WEIGHT * weights + _RUN_DELAY * delays)
    return Memory(synapses, here, run)


def check_memory(circuit: Circuit, *, jobs: int = 1) -> None:
    """Refuse to simulate `circuit`, with `jobs` runs at once, where the machine has not got the memory.

    Raises
    ------
    SimulationError
        With the estimate, what the machine has left, and what to do.
    """
    needed, left = estimate_memory(circuit), available_bytes()
    if left is None or needed.total(jobs) <= left:
        return
    fewer = (left - needed.here) // needed.run
    advice = (
        f"set jobs={fewer}"
        if fewer >= 1
        else "scale it down with downscaled(circuit, size=..., in_degree=...), or use a machine with more memory"
    )
    raise SimulationError(
        f"circuit {circuit.name!r} has {needed.synapses:,} synapses and needs about {needed.total(jobs) / 1e9:.3g} GB "
        f"({needed.here / 1e9:.3g} GB, and {needed.run / 1e9:.3g} GB for each run, {jobs} at once), and "
        f"{left / 1e9:.3g} GB are left on this machine; {advice}"
    )


def available_bytes() -> int | None:
    """Bytes that this process may still take, by the machine and by its control group; None where neither tells."""
    found = [_control_group(*names) for names in _LIMITS]
    found.append(_machine())
    known = [value for value in found if value is not None]
    return min(known) if known else None


def _machine() -> int | None:
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):  # not Linux: free pages, without the caches that would make room
        names = getattr(os, "sysconf_names", {})
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if "SC_AVPHYS_PAGES" in names else None


def _control_group(limit: str, used: str) -> int | None:
    """What a control group leaves, caches of files included; None where there is none, or it sets no limit."""
    try:
        values = [(_CGROUPS / name).read_text(encoding="ascii").strip() for name in (limit, used)]
    except OSError:
        return None
    if not all(value.isdigit() for value in values):  # "max": no limit
        return None
    return max(0, int(values[0]) - int(values[1]))


def _own_weights(projection: Projection) -> bool:
    """Whether synapses have factors; a Bernoulli projection has them to fill up its room."""
    by_profile = projection.rule == "all_to_all" and projection.profile.kind not in ("uniform", "same")
    return bool(projection.matrix or projection.weight_cv or by_profile or projection.rule == "bernoulli")
