"""What a spike does to a current: one rule for the simulation and for the reconstruction from its spikes."""

from __future__ import annotations

from cortexres.definitions import Population, Projection, Synapse


def jump_mV(projection: Projection, target: Population, synapse: Synapse) -> float:
    """The jump of the synaptic current at a spike, w = J tau_m / tau, in mV: the potential's area is then J tau_m."""
    return projection.weight_mV * target.parameters["tau_m_ms"] / synapse.tau_ms
