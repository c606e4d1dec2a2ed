"""Perturbations: functions from a circuit to another one, with a part silenced, cut, scaled, replayed or undriven.

Populations, projections and synapses stay where they are and only numbers change, so that a perturbed circuit draws
the same synapses, noise and starting potentials from the same seeds as the intact one. `replay` alone changes a model;
its own text says what then is the same.

Threshold-linear rates are defined by their rate at rest, and the constant input that brings it about follows from the
weights: a perturbation changes how they respond, and leaves the rates at which they rest (which may be unstable then).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from cortexres.definitions import Circuit, Projection, parameter_values, with_values
from cortexres.definitions.models import NEURONS, SYNAPSES
from cortexres.definitions.names import did_you_mean
from cortexres.errors import ArgumentError

#: What transmits, by kind of synapse: the field that is 0 where a projection is cut.
STRENGTH = {"current": "weight_mV", "conductance": "conductance_nS", "rate": "strength"}


def silence(circuit: Circuit, *populations: str) -> Circuit:
    """The circuit with populations that never fire; their cells still receive all their input.

    Parameters
    ----------
    circuit : Circuit
        Not changed.
    *populations : str
        Names; ``*`` stands for any text. In a circuit of rates, what the populations send is cut, and their own
        response is what their input would evoke.

    Raises
    ------
    ArgumentError
        If no population has such a name, or none is given.
    """
    chosen = _chosen("population", populations, {p.name: [p.name] for p in circuit.populations})
    if circuit.is_rate:
        return _without(circuit, [q for q in circuit.projections if q.source in chosen])
    changed = tuple(replace(p, silenced=True) if p.name in chosen else p for p in circuit.populations)
    return replace(circuit, populations=changed)


def replay(circuit: Circuit, *populations: str) -> Circuit:
    """The circuit with populations that fire recorded spikes, whatever they receive: the loop through them is open.

    Give the recording as `replay` to `cortexres.circuits.simulate` or `spikes`.

    Parameters
    ----------
    circuit : Circuit
        Of spiking cells; not changed.
    *populations : str
        Names; ``*`` stands for any text. Their input, backgrounds among it, stays in the definition and has no effect;
        the drive reaches the other populations alone. What they send counts to the components it counted to before.

    Raises
    ------
    ArgumentError
        If no population has such a name, none is given, or the circuit is one of rates.

    Notes
    -----
    With the seeds of the intact circuit, synapses and starting states are the same, and so is the noise of all other
    cells where it is membrane noise and the circuit has at most eight projections. With Poisson sources or backgrounds,
    or in larger circuits, which are simulated with populations side by side, noise is other noise of the same kind.
    """
    if circuit.is_rate:
        raise ArgumentError(f"circuit {circuit.name} is one of rates and has no spikes to replay; silence or cut it")
    chosen = _chosen("population", populations, {p.name: [p.name] for p in circuit.populations})
    sources = {p.name for p in circuit.populations if p.name in chosen and NEURONS[p.neuron].kind == "external"}
    drive = circuit.drive
    if drive is not None:
        driven = tuple(name for name in drive.targets if name not in chosen)
        drive = replace(drive, targets=driven) if driven else None
    return replace(
        circuit,
        populations=tuple(
            replace(p, neuron="replay", parameters={}) if p.name in chosen else p for p in circuit.populations
        ),
        # Poisson sources are feedforward by what they are; of a recording, only the pathway says so.
        projections=tuple(
            replace(q, pathway="feedforward") if q.source in sources else q for q in circuit.projections
        ),
        drive=drive,
    )


def cut(circuit: Circuit, *projections: str) -> Circuit:
    """The circuit with projections that transmit nothing; their sources fire on.

    Parameters
    ----------
    circuit : Circuit
        Not changed.
    *projections : str
        ``"E->I"``, or ``"E->I:nmda"`` for one of several synapses; ``*`` stands for any text.

    Raises
    ------
    ArgumentError
        If no projection has such a name, or none is given.
    """
    chosen = _chosen("projection", projections, {_name(q): [_name(q), _ends(q)] for q in circuit.projections})
    return _without(circuit, [q for q in circuit.projections if _name(q) in chosen])


def cut_recurrence(circuit: Circuit) -> Circuit:
    """The circuit with feedforward input alone: all that is counted in F(x) is cut, recurrent and feedback."""
    sources = {p.name for p in circuit.populations if NEURONS[p.neuron].kind == "external"}
    return _without(
        circuit, [q for q in circuit.projections if q.pathway != "feedforward" and q.source not in sources]
    )


def scale(circuit: Circuit, path: str, factor: float) -> Circuit:
    """The circuit with a parameter, or several, multiplied by `factor`.

    Parameters
    ----------
    circuit : Circuit
        Not changed.
    path : str
        As for `cortexres.definitions.with_values`: ``"projections.I->*.weight_mV"``.
    factor : float
        0 and below are allowed where the definition allows the result.

    Raises
    ------
    ArgumentError
        If `path` names no number of the circuit.
    DefinitionError
        If the changed circuit cannot be used.
    """
    found = {
        full: value
        for full, value in parameter_values(circuit).items()
        if isinstance(value, float) and any(fnmatchcase(name, path) for name in _paths(full))
    }
    if not found:
        raise ArgumentError(
            f"no real number is named {path!r}{did_you_mean(path, parameter_values(circuit))}; "
            "whole ones, such as sizes, change with with_values"
        )
    return with_values(circuit, {full: value * factor for full, value in found.items()})


def switch_off_drive(circuit: Circuit) -> Circuit:
    """The circuit whose front end turns every image into no drive; stimuli that are drives reach it all the same.

    To switch a drive off during a run, give a drive whose last frame is 0 (`cortexres.stimuli.pulses`).

    Raises
    ------
    ArgumentError
        If the circuit has no front end.
    """
    if circuit.drive is None or circuit.drive.front_end is None:
        raise ArgumentError(
            f"circuit {circuit.name} has no front end to switch off; give None as stimuli, or a drive of 0"
        )
    front_end = replace(circuit.drive.front_end, gain_mV=0.0, gain_Hz=0.0)
    return replace(circuit, drive=replace(circuit.drive, front_end=front_end))


def _without(circuit: Circuit, removed: list[Projection]) -> Circuit:
    """The circuit with the strength of some projections at 0."""
    return replace(
        circuit, projections=tuple(_powerless(q, circuit) if q in removed else q for q in circuit.projections)
    )


def _powerless(projection: Projection, circuit: Circuit) -> Projection:
    nothing: dict[str, Any] = {STRENGTH[SYNAPSES[circuit.synapse(projection.synapse).model].kind]: 0.0}
    return replace(projection, **nothing)


def _chosen(what: str, wanted: Iterable[str], known: dict[str, list[str]]) -> set[str]:
    """The full names of those parts that one of `wanted` names; `known` has all names of each part."""
    wanted = list(wanted)
    if not wanted:
        raise ArgumentError(f"no {what} is given, expected at least one of {', '.join(known)}")
    chosen: set[str] = set()
    for pattern in wanted:
        found = {full for full, names in known.items() if any(fnmatchcase(name, pattern) for name in names)}
        if not found:
            raise ArgumentError(f"no {what} is named {pattern!r}{did_you_mean(pattern, known)}")
        chosen |= found
    return chosen


def _name(projection: Projection) -> str:
    return f"{_ends(projection)}:{projection.synapse}"


def _ends(projection: Projection) -> str:
    return f"{projection.source}->{projection.target}"


def _paths(full: str) -> tuple[str, ...]:
    """A full path, and the one without the synapse's name."""
    head, colon, rest = full.partition(":")
    return (full, f"{head}.{rest.partition('.')[2]}") if colon else (full,)
