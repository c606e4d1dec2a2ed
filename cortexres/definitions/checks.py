"""Every fault of a circuit, found at once, in words that say what was got and what was expected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cortexres.definitions.models import DRIVEN, FRONT_ENDS, MAX_CELLS, METHODS, NEURONS, RATE_HZ, VOLTAGE_MV, Bounds
from cortexres.definitions.names import did_you_mean
from cortexres.definitions.part_checks import (
    background_faults,
    duplicates,
    outside,
    population_faults,
    projection_faults,
    synapse_faults,
)
from cortexres.errors import DefinitionError

if TYPE_CHECKING:
    from cortexres.definitions.circuit import Circuit
    from cortexres.definitions.drive import Drive

# Exact integration solves one linear equation per cell: noise and conductances make it stochastic or nonlinear.
_EXACT_SYNAPSES = ("delta", "exponential_current", "alpha_current")


def check_circuit(circuit: Circuit) -> None:
    """Raise `DefinitionError` naming all faults of `circuit`, if it has any."""
    faults = [
        *duplicates("population", (p.name for p in circuit.populations)),
        *duplicates("synapse", (s.name for s in circuit.synapses)),
        *outside("dt", circuit.dt_ms, Bounds(0.0, 5.0, open_low=True), "ms"),
    ]
    if not circuit.populations:
        faults.append("no population: a circuit needs at least one")
    for population in circuit.populations:
        faults += [f"population {population.name}: {fault}" for fault in population_faults(population)]
    for synapse in circuit.synapses:
        faults += [f"synapse {synapse.name}: {fault}" for fault in synapse_faults(synapse)]
    for projection in circuit.projections:
        where = f"projection {projection.source} -> {projection.target}"
        faults += [f"{where}: {fault}" for fault in projection_faults(projection, circuit)]
    for background in circuit.backgrounds:
        faults += [f"background of {background.target}: {fault}" for fault in background_faults(background, circuit)]
    if circuit.drive is not None:
        faults += [f"drive: {fault}" for fault in _drive(circuit.drive, circuit)]
    cells = sum(p.cells for p in circuit.populations)
    if cells > MAX_CELLS:
        faults.append(f"{cells} cells, expected at most {MAX_CELLS}")
    if not faults:  # what follows needs known models
        faults += [*_kinds(circuit), *_method(circuit)]
    if faults:
        raise DefinitionError(f"circuit {circuit.name!r} cannot be used: " + "; ".join(faults))


def _drive(drive: Drive, circuit: Circuit) -> Iterator[str]:
    populations = {p.name: p for p in circuit.populations}
    if not drive.targets:
        yield "targets is empty, expected the names of driven populations"
    if drive.onto not in DRIVEN:
        yield f"unknown onto {drive.onto!r}{did_you_mean(drive.onto, DRIVEN)}"
    for name in drive.targets:
        driven = populations.get(name)
        if driven is None:
            yield f"unknown population {name!r}{did_you_mean(name, populations)}"
            continue
        if drive.front_end is not None and driven.assemblies != drive.front_end.channels:
            yield (
                f"the front end has {drive.front_end.channels} channels, expected {driven.assemblies}, "
                f"one per assembly of {driven.name}"
            )
        kind = NEURONS[driven.neuron].kind if driven.neuron in NEURONS else ""
        if kind and (kind == "external") != (drive.onto == "rate"):
            yield (
                f"onto is {drive.onto!r} and {name} is of kind {kind!r}, expected onto = 'rate' for Poisson sources "
                "and 'mean_input' or 'background' for cells"
            )
        if driven.neuron == "replay":
            yield f"{name} replays recorded spikes, which no stimulus changes; choose another target"
        if drive.onto == "background" and name not in {b.target for b in circuit.backgrounds}:
            yield f"onto is 'background', and {name} has none: add it to [[backgrounds]]"
    if len({populations[n].assemblies for n in drive.targets if n in populations}) > 1:
        yield f"targets {', '.join(drive.targets)} have different numbers of assemblies, expected the same for each"
    if drive.front_end is not None:
        front_end = drive.front_end
        if front_end.kind not in FRONT_ENDS:
            yield f"unknown front end {front_end.kind!r}{did_you_mean(front_end.kind, FRONT_ENDS)}"
        yield from outside("gain", front_end.gain_mV, Bounds(0.0, VOLTAGE_MV.high), "mV")
        yield from outside("gain_Hz", front_end.gain_Hz, RATE_HZ, "Hz")
        yield from outside("seed", front_end.seed, Bounds(0, 2**63 - 1), "")


def _kinds(circuit: Circuit) -> Iterator[str]:
    """Rates and spikes do not mix, and rates are passed on at once, by every unit to every unit."""
    kinds = {NEURONS[p.neuron].kind for p in circuit.populations}
    if "rate" not in kinds:
        return
    if kinds != {"rate"}:
        yield f"neuron models of kinds {', '.join(sorted(kinds))} are mixed, expected spiking cells or rates alone"
    for p in circuit.populations:
        if p.size != 1 or p.mean_input_mV or p.noise_mV or p.silenced:
            yield (
                f"population {p.name} is a rate, expected size = 1 and its input and noise among the parameters, "
                "without mean_input, noise or silenced"
            )
    for q in circuit.projections:
        if q.rule != "all_to_all" or q.delay_ms or q.delay_matrix_ms or q.weight_cv or q.delay_cv:
            yield (
                f"projection {q.source} -> {q.target} joins rates, expected rule = 'all_to_all' with a strength, "
                "without delays and random weights"
            )


def _method(circuit: Circuit) -> Iterator[str]:
    known = METHODS["rate" if circuit.is_rate else "spiking"]
    if circuit.method not in known:
        # A circuit of rates need not name a method: Euler is known to both.
        yield f"method is {circuit.method!r}, expected one of {', '.join(known)}"
    if circuit.method == "exponential_euler" and any(p.noise_mV for p in circuit.populations):
        yield "method 'exponential_euler' cannot integrate noise, expected 'euler', or noise = 0"
    if circuit.method != "exact":
        return
    for p in circuit.populations:
        if p.neuron not in ("lif", "poisson", "replay") or p.noise_mV:
            yield f"method 'exact' needs 'lif' cells without noise, population {p.name} is another; use 'euler'"
    for s in circuit.synapses:
        if s.model not in _EXACT_SYNAPSES:
            yield f"method 'exact' needs current synapses, {s.name} is {s.model!r}; use 'exponential_euler'"
    reached = {(q.synapse, q.target) for q in circuit.projections}
    reached |= {(b.synapse, b.target) for b in circuit.backgrounds}
    for name, target in sorted(reached):
        tau_m, tau_s = circuit.population(target).parameters.get("tau_m_ms"), circuit.synapse(name).tau_ms
        if tau_m == tau_s:
            yield (
                f"tau_m of {target} equals tau of synapse {name} ({tau_s:g} ms), where Brian2's own exact "
                "integration gives NaN; change one by 0.1 %, or use method 'euler'"
            )
