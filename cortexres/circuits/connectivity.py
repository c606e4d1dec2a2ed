"""Which cell projects to which, drawn in numpy so that it is the same for every code generation target."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cortexres.circuits.connection_rules import draw_pairs
from cortexres.circuits.runs import child_seed
from cortexres.circuits.weights_and_delays import delay_steps, own_streams, weight_factors
from cortexres.definitions import Circuit, Projection


class Connections(NamedTuple):
    """The synapses of one projection, one entry each.

    Parameters
    ----------
    source, target : array of int32
        Cell indices inside the two populations.
    factor : array or None
        Weight relative to the projection's; None where all are 1.
    delay_steps : array of int32 or None
        Delay in steps of the clock; None where all have the projection's `delay_ms`.
    """

    source: NDArray[np.int32]
    target: NDArray[np.int32]
    factor: NDArray[np.float64] | None = None
    delay_steps: NDArray[np.int32] | None = None


def draw(circuit: Circuit, seed: np.random.SeedSequence) -> list[Connections]:
    """The synapses of each projection of `circuit`, in the order of the definition.

    Each projection has a random stream of its own, so that changing one leaves the others as they were; its weights
    and delays have theirs, so that partners are the same whether or not these are drawn. Projections whose gating is
    summed have no synapses.

    Raises
    ------
    DefinitionError
        If a profile raises the probability of a pair above 1.
    """
    return [_draw_one(circuit, p, child_seed(seed, k)) for k, p in enumerate(circuit.projections)]


def is_gated(projection: Projection, circuit: Circuit) -> bool:
    """True where NMDA gating kept by the source is summed, and no single synapse exists."""
    return circuit.synapse(projection.synapse).model == "nmda"


def _draw_one(circuit: Circuit, projection: Projection, seed: np.random.SeedSequence) -> Connections:
    if is_gated(projection, circuit):
        return Connections(np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int32))
    source, target = circuit.population(projection.source), circuit.population(projection.target)
    pairs = draw_pairs(projection, source, target, np.random.default_rng(seed))
    for_weights, for_delays = own_streams(seed)
    return Connections(
        *pairs,
        factor=weight_factors(projection, source, target, pairs, for_weights),
        delay_steps=delay_steps(projection, source, target, pairs, for_delays, dt_ms=circuit.dt_ms),
    )
