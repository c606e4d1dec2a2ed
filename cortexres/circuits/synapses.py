"""Synapse models by name: their equations, what a spike does to them, and how large its jump is.

The jump is one rule for the simulation and for the reconstruction of currents from spikes.
"""

from __future__ import annotations

import math

from cortexres.circuits.structure import Receptor
from cortexres.definitions import Background, Population, Projection, Synapse
from cortexres.definitions.models import SYNAPSES

# Linear states with index {k}; the unit is volt for currents (as the depolarisation they would cause) and siemens for
# conductances. An alpha function is an exponential filtered by itself.
_STATES = {
    "delta": "",
    "exponential": "d{s}/dt = -{s} / tau_{k} : {unit}",
    "alpha": "d{s}/dt = (h_{k} - {s}) / tau_{k} : {unit}\ndh_{k}/dt = -h_{k} / tau_{k} : {unit}",
}


def shape(model: str) -> str:
    """``"delta"``, ``"exponential"``, ``"alpha"`` or ``"nmda"``: the time course without its unit."""
    return model.split("_")[0]


def is_conductance(receptor: Receptor) -> bool:
    """True where the receptor is a conductance."""
    return SYNAPSES[receptor.model].kind == "conductance"


def state(receptor: Receptor, k: int) -> str:
    """The name of the receptor's current or conductance, for its index `k` in its population."""
    return f"g_{k}" if is_conductance(receptor) else f"I_{k}"


def unit(receptor: Receptor) -> str:
    """The unit of a jump."""
    return "siemens" if is_conductance(receptor) else "volt"


def equations(receptor: Receptor, k: int) -> str:
    """The equations of a receptor's own state; NMDA has its gating at the source (see `gating`)."""
    if shape(receptor.model) not in _STATES:
        return ""
    return _STATES[shape(receptor.model)].format(s=state(receptor, k), k=k, unit=unit(receptor))


def jumping(receptor: Receptor, k: int) -> str:
    """The variable that jumps at a spike."""
    return {"delta": potential(receptor), "alpha": f"h_{k}"}.get(shape(receptor.model), state(receptor, k))


def potential(receptor: Receptor) -> str:
    """The variable of the potential that the receptor acts on."""
    return "v" if receptor.compartment == "soma" else "v_dendrite"


def membrane_tau_ms(population: Population, compartment: str = "soma") -> float:
    """The time constant of a compartment's membrane at rest, in ms."""
    if population.neuron == "adex":
        return population.parameter("C_m_pF") / population.parameter("g_leak_nS")
    return population.parameter("tau_m_ms" if compartment == "soma" else "tau_dendrite_ms")


def jump_mV(projection: Projection | Background, target: Population, synapse: Synapse) -> float:
    """The jump of a current at a spike, w = J tau_m / tau, in mV: the potential's area is then J tau_m.

    Without a time constant (delta synapses) it is the jump J of the potential itself.
    """
    if synapse.model == "delta":
        return projection.weight_mV
    return projection.weight_mV * membrane_tau_ms(target, synapse.compartment) / synapse.tau_ms


def jump_nS(projection: Projection | Background, synapse: Synapse) -> float:
    """The jump of a conductance in nS; that of an alpha function is larger by e, so that its peak is as defined."""
    return projection.conductance_nS * (math.e if synapse.model == "alpha_conductance" else 1.0)


def jump(projection: Projection | Background, target: Population, synapse: Synapse) -> float:
    """The jump in volt or siemens."""
    if SYNAPSES[synapse.model].kind == "conductance":
        return jump_nS(projection, synapse) * 1e-9
    return jump_mV(projection, target, synapse) * 1e-3
