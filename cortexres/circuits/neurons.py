"""Neuron and synapse models by name: their Brian2 equations, with every constant in an explicit namespace."""

from __future__ import annotations

from typing import Any

from cortexres.circuits.brian import brian2
from cortexres.definitions import Circuit, Population

# Leaky integrate-and-fire with white external noise (Brunel 2000, doi:10.1023/A:1008925309027). The drive switches on
# at the end of the settling time; `x` is the mean input that the stimulus gives each cell.
_LIF = """
dv/dt = (v_rest + mu - v) / tau_m + noise * xi / sqrt(tau_m) : volt (unless refractory)
mu = mean_input + int(t >= onset) * x {synaptic} : volt
x : volt
"""

# The current decays exponentially; what a spike adds is in `cortexres.circuits.synapses`.
_EXPONENTIAL = "dI_{name}/dt = -I_{name} / {tau} : volt"


def equations(population: Population, circuit: Circuit) -> brian2.Equations:
    """The Brian2 equations of one population, with one current for each synapse model that reaches it."""
    names = sorted({p.synapse for p in circuit.projections if p.target == population.name})
    synapses = {s.name: s for s in circuit.synapses}
    lines = [_LIF.format(synaptic="".join(f" + I_{name}" for name in names))]
    lines += [_EXPONENTIAL.format(name=name, tau=f"tau_{name}") for name in names]
    return brian2.Equations("\n".join(lines), **{f"tau_{n}": synapses[n].tau_ms * brian2.ms for n in names})


def constants(population: Population, *, onset_ms: float) -> dict[str, Any]:
    """The namespace of one population: its parameters with their units."""
    p = population.parameters
    return {
        "tau_m": p["tau_m_ms"] * brian2.ms,
        "v_rest": p["v_rest_mV"] * brian2.mV,
        "v_threshold": p["v_threshold_mV"] * brian2.mV,
        "v_reset": p["v_reset_mV"] * brian2.mV,
        "mean_input": population.mean_input_mV * brian2.mV,
        "noise": population.noise_mV * brian2.mV,
        "onset": onset_ms * brian2.ms,
    }
