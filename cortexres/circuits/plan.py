"""All that a simulation needs, decided before it starts: runs, seeds, synapses, bins and engine."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from cortexres.circuits import engines
from cortexres.circuits.binning import Bins
from cortexres.circuits.connectivity import Connections, draw
from cortexres.circuits.drives import DriveFrames, drive_frames
from cortexres.circuits.memory import check_memory
from cortexres.circuits.replayed import COLUMNS, recordings, replayed, simulated_part
from cortexres.circuits.runs import Activity, Run, Timing
from cortexres.definitions import Circuit, to_json
from cortexres.errors import ArgumentError
from cortexres.provenance import provenance
from cortexres.schema import check_stimuli

#: What `rng` arguments take.
Random = int | np.random.Generator | None

_T = TypeVar("_T")

# Sampling conductances more often than this costs as much as the simulation, and tells little more.
_SAMPLE_MS = 1.0


class Plan(NamedTuple):
    """What is simulated, and how; `simulated` is the circuit without what has no effect, which `connections` fit."""

    circuit: Circuit
    simulated: Circuit
    stimuli: DriveFrames
    trials: int
    connections: list[Connections]
    runs: list[Run]
    timing: Timing
    bins: Bins
    target: str
    jobs: int
    entropy: dict[str, str]
    stimulus_facts: dict[str, object]
    replay_facts: dict[str, object]

    def activity(self, *, progress: bool) -> Iterator[tuple[Run, Activity]]:
        """Every run of a spiking circuit with its activity."""
        done = engines.run_all(
            self.simulated, self.connections, self.runs, self.timing, target=self.target, jobs=self.jobs
        )
        return self.shown(done, progress=progress)

    def shown(self, done: Iterable[_T], *, progress: bool) -> Iterator[_T]:
        """The runs, with a progress bar where asked for."""
        name = f"simulate {self.circuit.name}"
        return iter(tqdm(done, total=len(self.runs), desc=name, unit="run", disable=not progress))

    def attributes(self, made_by: str) -> dict[str, str]:
        """What a Dataset of these runs says of its origin."""
        return {
            "model": self.circuit.name,
            "cortexres_provenance": provenance(
                made_by=made_by,
                circuit=json.loads(to_json(self.circuit)),
                entropy=self.entropy,
                stimuli=self.stimulus_facts,
                trials=self.trials,
                bin_ms=self.bins.bin_ms,
                settle_ms=self.timing.settle_ms,
                duration_ms=self.timing.duration_ms,
                target=self.target,
                **self.replay_facts,
            ),
        }


def plan(
    circuit: Circuit,
    stimuli: xr.Dataset | None,
    *,
    trials: int,
    duration_ms: float,
    bin_ms: float,
    settle_ms: float,
    rng: Random,
    connectivity_rng: Random,
    target: str,
    jobs: int | None,
    replay: xr.Dataset | None = None,
) -> Plan:
    """The plan of a simulation; arguments and errors as in `cortexres.circuits.simulate`."""
    if trials < 1:
        raise ArgumentError(f"trials is {trials}, expected at least 1")
    if jobs is not None and jobs < 1:
        raise ArgumentError(f"jobs is {jobs}, expected at least 1, or None for one per core")
    ids_alone = circuit.drive is None and bool(replayed(circuit))
    given = _undriven(circuit, stimuli) if ids_alone else drive_frames(circuit, stimuli)
    bins = Bins(settle_ms=settle_ms, duration_ms=duration_ms, bin_ms=bin_ms, dt_ms=circuit.dt_ms)
    generator = np.random.default_rng(rng)
    noise, synapses = (int(n) for n in generator.integers(2**62, size=2))
    if connectivity_rng is not None:
        synapses = int(np.random.default_rng(connectivity_rng).integers(2**62))
    chosen = "numpy" if circuit.is_rate else engines.choose(target)
    at_once = min(jobs or _cores(), trials * len(given.ids)) if chosen == "cpp_standalone" else 1
    check_memory(circuit, jobs=at_once)
    ids = [int(s) for s in given.ids]
    recorded = recordings(circuit, replay, [(s, t) for s in ids for t in range(trials)], bins)
    drawn = [] if circuit.is_rate else draw(circuit, np.random.SeedSequence(synapses))
    simulated, connections, unheard = simulated_part(circuit, drawn)
    return Plan(
        circuit=circuit,
        simulated=simulated,
        stimuli=given,
        trials=trials,
        connections=connections,
        runs=[
            Run(
                s,
                t,
                np.random.SeedSequence(noise, spawn_key=(s, t)),
                given.values[k],
                given.frame_ms,
                recorded[s, t],
                unheard,
            )
            for k, s in enumerate(ids)
            for t in range(trials)
        ],
        timing=Timing(settle_ms, duration_ms, _sample_steps(bins, circuit) * circuit.dt_ms),
        bins=bins,
        target=chosen,
        jobs=at_once,
        entropy={"noise": str(noise), "synapses": str(synapses)},
        stimulus_facts=_facts(stimuli, given),
        replay_facts={} if replay is None else {"replay": _digest(replay)},
    )


def _undriven(circuit: Circuit, stimuli: xr.Dataset | None) -> DriveFrames:
    """The runs that stimuli name, where all that they would drive replays a recording."""
    nothing = drive_frames(circuit, None)
    if stimuli is None:
        return nothing
    check_stimuli(stimuli)
    ids = np.asarray(stimuli["stimulus"].values, dtype=np.int64)
    labels = stimuli["label"].values if "label" in stimuli.coords else ids.astype(str)
    return DriveFrames(ids, labels, np.repeat(nothing.values, len(ids), axis=0), nothing.frame_ms)


def _digest(replay: xr.Dataset) -> dict[str, object]:
    """Which recording was replayed."""
    columns = b"".join(np.ascontiguousarray(replay[name].values).tobytes() for name in COLUMNS)
    return {"sha256": hashlib.sha256(columns).hexdigest(), "spikes": replay.sizes["spike"]}


def _sample_steps(bins: Bins, circuit: Circuit) -> int:
    """The most steps, within a millisecond, of which bins and the settling time are made."""
    whole = math.gcd(bins.steps_per_bin, bins.first_step)
    most = max(1, math.floor(_SAMPLE_MS / circuit.dt_ms + 1e-9))
    return max(n for n in range(1, most + 1) if whole % n == 0)


def _facts(stimuli: xr.Dataset | None, given: DriveFrames) -> dict[str, object]:
    if stimuli is None:
        return {"ids": given.ids.tolist(), "kind": "none"}
    shown = stimuli["image" if "image" in stimuli else "drive"].values
    return {
        "ids": given.ids.tolist(),
        "sha256": hashlib.sha256(shown.tobytes()).hexdigest(),
        **{str(k): str(v) for k, v in stimuli.attrs.items()},
    }


def _cores() -> int:
    """The cores this process may use, which on a cluster are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
