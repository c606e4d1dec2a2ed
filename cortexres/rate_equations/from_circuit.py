"""The equations of a circuit: its populations and projections as arrays over units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cortexres.definitions import Circuit, Projection, assembly_profile, first_units
from cortexres.definitions.models import NEURONS
from cortexres.errors import DefinitionError
from cortexres.rate_equations.equations import Group, RateEquations
from cortexres.rate_equations.models import MODELS

Array = NDArray[np.float64]


def rate_equations(circuit: Circuit) -> RateEquations:
    """The equations of a rate circuit.

    Raises
    ------
    DefinitionError
        If the circuit is one of spiking cells, or mixes models with inputs in different units.
    """
    if not circuit.is_rate:
        raise DefinitionError(f"circuit {circuit.name} has spiking cells, expected rates; simulate its spikes instead")
    units = sorted({NEURONS[p.neuron].unit for p in circuit.populations})
    if len(units) > 1:
        raise DefinitionError(
            f"circuit {circuit.name} mixes rates with inputs in {' and '.join(units)}, expected models of one unit"
        )
    gain = _per_unit(circuit, "gain", 1.0, only="threshold_linear")
    weights = {kind: gain[:, None] * w for kind, w in _weights(circuit).items()}
    total = sum(weights.values(), np.zeros((len(gain), len(gain))))
    rest = _per_unit(circuit, "rest_Hz", 0.0)
    resting = np.where(_is(circuit, "threshold_linear"), rest - total @ rest, 0.0)
    return RateEquations(
        tau_ms=_per_unit(circuit, "tau_ms"),
        constant=_per_unit(circuit, "input") + resting,
        drive_scale=_per_unit(circuit, "drive_weight", 1.0),
        noise=_per_unit(circuit, "noise"),
        noise_tau_ms=_per_unit(circuit, "noise_tau_ms"),
        start=_per_unit(circuit, "start"),
        unit=units[0],
        _groups=_groups(circuit),
        **weights,
    )


def _weights(circuit: Circuit) -> dict[str, Array]:
    first, n = first_units(circuit), sum(p.assemblies for p in circuit.populations)
    weights = {kind: np.zeros((n, n)) for kind in ("feedforward", "excitatory", "inhibitory")}
    for q in circuit.projections:
        n_target, n_source = (circuit.population(name).assemblies for name in (q.target, q.source))
        block = _block(q, n_target, n_source)
        rows = slice(first[q.target], first[q.target] + n_target)
        columns = slice(first[q.source], first[q.source] + n_source)
        if q.pathway == "feedforward":
            weights["feedforward"][rows, columns] += block
        else:  # a matrix may hold both signs
            weights["excitatory"][rows, columns] += np.maximum(block, 0.0)
            weights["inhibitory"][rows, columns] += np.minimum(block, 0.0)
    return weights


def _block(q: Projection, n_target: int, n_source: int) -> Array:
    """The weights of one projection, (target assembly, source assembly)."""
    matrix = np.asarray(q.matrix, dtype=np.float64) if q.matrix else 1.0
    return np.asarray(q.strength * assembly_profile(q.profile, n_target, n_source) * matrix)


def _groups(circuit: Circuit) -> tuple[Group, ...]:
    groups = []
    for name in sorted({p.neuron for p in circuit.populations}):
        units = np.flatnonzero(_is(circuit, name))
        parameters = {key: _per_unit(circuit, key, 0.0)[units] for key in NEURONS[name].parameters}
        groups.append(Group(MODELS[name], units, parameters))
    return tuple(groups)


def _is(circuit: Circuit, neuron: str) -> NDArray[np.bool_]:
    return np.array([p.neuron == neuron for p in circuit.populations for _ in range(p.assemblies)])


def _per_unit(circuit: Circuit, name: str, absent: float = 0.0, *, only: str = "") -> Array:
    """A parameter of every unit; `absent` where its model has none, or is not the `only` one meant."""
    values = [
        p.parameter(name) if name in NEURONS[p.neuron].parameters and only in ("", p.neuron) else absent
        for p in circuit.populations
        for _ in range(p.assemblies)
    ]
    return np.array(values, dtype=np.float64)
