"""Neuron models by name: their Brian2 equations, in which every number is a variable that is set at run time."""

from __future__ import annotations

from typing import NamedTuple

from cortexres.circuits.structure import UNCOUNTED, Cells, Receptor
from cortexres.circuits.synapses import equations as synaptic_equations
from cortexres.circuits.synapses import is_conductance, state, unit
from cortexres.definitions.models import NEURONS

#: Brian2's unit for the suffix of a definition's name, and the factor to it.
UNITS = {
    "ms": ("second", 1e-3),
    "mV": ("volt", 1e-3),
    "nS": ("siemens", 1e-9),
    "pF": ("farad", 1e-12),
    "pA": ("amp", 1e-12),
    "Hz": ("hertz", 1.0),
}


class Model(NamedTuple):
    """A neuron model in Brian2's terms, with gaps for what depends on the circuit."""

    equations: str
    threshold: str
    reset: str
    refractory: str | bool = "t_refractory"


# Leaky integrate-and-fire with white external noise (Brunel 2000, doi:10.1023/A:1008925309027).
_LIF = Model(
    "dv/dt = (v_rest + mu - v) / tau_m{noise} : volt (unless refractory)",
    threshold="v > v_threshold",
    reset="v = v_reset",
)

# Adaptive exponential integrate-and-fire (Brette & Gerstner 2005, doi:10.1152/jn.00686.2005). The exponent is cut far
# above the spike, where the potential is reset anyhow; `upswings` is 0 where cells must not fire.
_ADEX = Model(
    """
dv/dt = (v_rest + upswing + mu - w / g_leak - v) / tau_m{noise} : volt (unless refractory)
dw/dt = (a * (v - v_rest) - w) / tau_w : amp
upswing = upswings * delta_T * exp(clip((v - v_threshold) / delta_T, -500, 100)) : volt{substep}
tau_m = C_m / g_leak : second
upswings : 1 (shared, constant)
""",
    threshold="v > v_spike",
    reset="v = v_reset\nw += b",
)

# Soma and dendrite of a layer-5 pyramidal cell (Naud & Sprekeler 2018, doi:10.1073/pnas.1720995115). A spike reaches
# the dendrite as a box of current; the spike of step k is felt from step k + 1 on.
_TWO_COMPARTMENT = Model(
    """
dv/dt = (v_rest + mu - v) / tau_m + to_soma / C_m{noise} : volt (unless refractory)
to_soma = g_dendrite_to_soma * plateau + w_soma + soma_current{soma} : amp
dw_soma/dt = -w_soma / tau_w_soma : amp
dtheta/dt = -theta / tau_threshold : volt
dv_dendrite/dt = (v_rest - v_dendrite) / tau_dendrite + to_dendrite / C_dendrite : volt
to_dendrite = g_dendrite * plateau + bap * box + w_dendrite + dendrite_current{dendrite} : amp
dw_dendrite/dt = (a_dendrite * (v_dendrite - v_rest) - w_dendrite) / tau_w_dendrite : amp
plateau = 1 / (1 + exp(-(v_dendrite - v_half) / v_slope)) : 1{substep}
box = int(since > timestep(bap_delay, dt)) * int(since <= timestep(bap_delay + bap_duration, dt)) : 1{substep}
since = timestep(t - lastspike, dt) : integer
""",
    threshold="v > v_threshold + theta",
    reset="v = v_reset\nw_soma += b_soma\ntheta += threshold_kick",
)

# At most one spike per step: fewer than asked for by half the expected number per step, 2.5 % at 500 Hz and 0.1 ms.
_POISSON = Model("", threshold="rand() < firing * dt", reset="", refractory=False)

MODELS = {"lif": _LIF, "adex": _ADEX, "two_compartment": _TWO_COMPARTMENT, "poisson": _POISSON}


def equations(cells: Cells, *, method: str, frames: int) -> str:
    """The equations of one population, with its parameters, receptors, drive and noise."""
    # Exponential Euler takes each equation as linear in its own variable: what is not must stand still over a step.
    substep = " (constant over dt)" if method == "exponential_euler" else ""
    gaps = {end: f" + noise_current_{end}" if end in cells.noise else "" for end in ("soma", "dendrite")}
    gaps["noise"] = " + noise * xi / sqrt(tau_m)" if "membrane" in cells.noise else ""
    lines = [MODELS[cells.neuron].equations.format(substep=substep, **gaps)]
    lines += [_ou(end) for end in cells.noise if end != "membrane"]
    lines += [f"{name} : {unit} (shared, constant)" for name, unit in parameters(cells.neuron).items()]
    if cells.drive:
        lines += [f"x : {'volt' if cells.drive == 'mean_input' else 'hertz'}", "onset : second (shared, constant)"]
        lines += ["on : 1 (shared)"] if method == "exact" else []
    stimulus = drive_term(cells, method=method, frames=frames)
    if cells.neuron == "poisson":
        lines += [f"firing = rate{stimulus} : hertz"]
    else:
        lines += [_input(cells, stimulus if cells.drive == "mean_input" else "", substep)]
    return "\n".join(lines)


def drive_term(cells: Cells, *, method: str, frames: int) -> str:
    """What the stimulus adds, from the end of the settling time on; empty where it does not arrive."""
    if not cells.drive:
        return ""
    if frames > 1:  # `x` follows the frames and is 0 before the first
        return " + x"
    # Exact integration takes no explicit time: `on` is set before each step instead.
    return " + on * x" if method == "exact" else " + int(t >= onset) * x"


def parameters(neuron: str) -> dict[str, str]:
    """The parameters of a model and their Brian2 units, by name without suffix."""
    split = (name.rpartition("_") for name in NEURONS[neuron].parameters)
    return {stem: UNITS[suffix][0] for stem, _, suffix in split}


def _ou(end: str) -> str:
    """An Ornstein-Uhlenbeck current of stationary standard deviation ``noise_{end}``."""
    current = f"noise_current_{end}"
    return f"d{current}/dt = -{current} / tau_noise + noise_{end} * sqrt(2 / tau_noise) * xi_{end} : amp"


def _input(cells: Cells, stimulus: str, substep: str) -> str:
    """Mean input, drive, and what all receptors add, each as the depolarisation that it would cause."""
    lines = ["mean_input : volt (shared, constant)", "noise : volt (shared, constant)"]
    lines += [_receptor(r, k, cells, substep) for k, r in enumerate(cells.receptors)]
    lines += [
        f"weight_background_{b} : {unit(cells.receptors[k])} (shared, constant)\n"
        f"rate_background_{b} : hertz (shared, constant)"
        for b, k in cells.backgrounds
    ]
    currents = [state(r, k) for k, r in enumerate(cells.receptors) if not is_conductance(r) and r.model != "delta"]
    inputs = [name for name in (*cells.recorded, UNCOUNTED) if _drawn(cells, name)]
    lines += [f"input_{name} = ({' + '.join(_drawn(cells, name))}) / g_leak : volt" for name in inputs]
    terms = [*currents, *(f"input_{name}" for name in inputs)]
    return "\n".join([*lines, f"mu = mean_input{stimulus}{''.join(f' + {term}' for term in terms)} : volt"])


def _receptor(receptor: Receptor, k: int, cells: Cells, substep: str) -> str:
    lines = [synaptic_equations(receptor, k), f"tau_{k} : second (shared, constant)"]
    if is_conductance(receptor):
        lines += [f"reversal_{k} : volt (shared, constant)"]
    if receptor.model == "nmda":  # Jahr & Stevens 1990, doi:10.1523/JNEUROSCI.10-09-03178.1990
        lines += [f"magnesium_{k} : 1 (shared, constant)"]
        lines += [f"block_{k} = 1 / (1 + magnesium_{k} * exp(-62 * v / volt) / 3.57) : 1{substep}"]
        own = [p for p, receptor_index in cells.gated if receptor_index == k]
        lines += [f"weight_{p} : siemens (shared, constant)\ngates_{p} : 1 (linked)" for p in own]
        lines += [f"g_{k} = {' + '.join(f'weight_{p} * gates_{p}' for p in own)} : siemens"]
    return "\n".join(lines)


def _drawn(cells: Cells, component: str) -> list[str]:
    """The terms of the current through all conductances of one component."""
    return [
        f"g_{k}{f' * block_{k}' if r.model == 'nmda' else ''} * (reversal_{k} - v)"
        for k, r in enumerate(cells.receptors)
        if r.component == component
    ]
