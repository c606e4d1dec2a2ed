"""Neuron models by name: their Brian2 equations, in which every number is a variable that is set at run time."""

from __future__ import annotations

from typing import NamedTuple

from cortexres.circuits.structure import UNCOUNTED, Cells, Group, Receptor
from cortexres.circuits.synapses import equations as synaptic_equations
from cortexres.circuits.synapses import is_conductance, potential, state, unit
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


# Brian2 counts the step of the spike to the refractory time: after the reset, potentials stand still for
# t_refractory - dt, where theory and NEST have t_refractory. A rate r is higher by about r dt of itself: 0.05 % at 5 Hz
# and 0.1 ms, 0.6 % at 60 Hz, 3 % at 300 Hz.

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
upswings : 1 {fixed}
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
g_leak = C_m / tau_m : siemens
dv_dendrite/dt = (v_rest + mu_dendrite - v_dendrite) / tau_dendrite + to_dendrite / C_dendrite : volt
g_leak_dendrite = C_dendrite / tau_dendrite : siemens
to_dendrite = g_dendrite * plateau + bap * box + w_dendrite + dendrite_current{dendrite} : amp
dw_dendrite/dt = (a_dendrite * (v_dendrite - v_rest) - w_dendrite) / tau_w_dendrite : amp
plateau = 1 / (1 + exp(-(v_dendrite - v_half) / v_slope)) : 1{substep}
box = int(t - lastspike > bap_delay + dt / 2) * int(t - lastspike < bap_delay + bap_duration + dt / 2) : 1{substep}
""",
    threshold="v > v_threshold + theta",
    reset="v = v_reset\nw_soma += b_soma\ntheta += threshold_kick",
)

# At most one spike per step: the mean rate is as asked for up to 1 / dt; the variance of a count is below that of a
# Poisson process by the expected number per step, 5 % at 500 Hz and 0.1 ms.
_POISSON = Model("", threshold="rand() < firing * dt", reset="", refractory=False)

MODELS = {"lif": _LIF, "adex": _ADEX, "two_compartment": _TWO_COMPARTMENT, "poisson": _POISSON}


def equations(group: Group, *, method: str, frames: int) -> str:
    """The equations of one group, with its parameters, receptors, drive and noise."""
    cells = group.cells
    # One number serves all cells of a population; several populations each have their own.
    fixed = "(shared, constant)" if len(group.populations) == 1 else "(constant)"
    # Exponential Euler takes each equation as linear in its own variable: what is not must stand still over a step.
    substep = " (constant over dt)" if method == "exponential_euler" else ""
    gaps = {end: f" + noise_current_{end}" if end in cells.noise else "" for end in ("soma", "dendrite")}
    gaps["noise"] = " + noise * xi / sqrt(tau_m)" if "membrane" in cells.noise else ""
    lines = [MODELS[cells.neuron].equations.format(substep=substep, fixed=fixed, **gaps)]
    lines += [_ou(end) for end in cells.noise if end != "membrane"]
    lines += [f"{name} : {unit} {fixed}" for name, unit in parameters(cells.neuron).items()]
    if cells.drive:
        lines += [f"x : {'volt' if cells.drive == 'mean_input' else 'hertz'}", "onset : second (shared, constant)"]
        lines += ["channel : integer (constant)"] if frames > 1 else []
    stimulus = drive_term(cells, frames=frames)
    if cells.neuron == "poisson":
        return "\n".join([*lines, f"firing = rate{stimulus} : hertz"])
    lines += [f"mean_input : volt {fixed}", f"noise : volt {fixed}"]
    lines += [_receptor(receptor, k, fixed, substep) for k, receptor in enumerate(cells.receptors)]
    for b, k in enumerate(cells.backgrounds):
        lines += [f"weight_background_{b} : {unit(cells.receptors[k])} {fixed}", f"rate_background_{b} : hertz {fixed}"]
    lines += _input(cells, stimulus if cells.drive == "mean_input" else "")
    if method == "exact":
        lines += [f"{name} : 1 {fixed}" for name in propagator_names(cells)]
    return "\n".join(lines)


def drive_term(cells: Cells, *, frames: int) -> str:
    """What the stimulus adds, from the end of the settling time on; empty where it does not arrive."""
    if not cells.drive:
        return ""
    # Where there are frames, `x` follows them and is 0 before the first.
    return " + x" if frames > 1 else " + int(t >= onset) * x"


def parameters(neuron: str) -> dict[str, str]:
    """The parameters of a model and their Brian2 units, by name without suffix."""
    split = (name.rpartition("_") for name in NEURONS[neuron].parameters)
    return {stem: UNITS[suffix][0] for stem, _, suffix in split}


def propagator_names(cells: Cells) -> list[str]:
    """The variables that `exact_step` reads; their values are in `cortexres.circuits.propagators`."""
    names = ["keep_v"]
    for k, receptor in enumerate(cells.receptors):
        if receptor.model != "delta":
            names += [f"keep_{k}", f"into_v_{k}"]
        if receptor.model == "alpha_current":
            names += [f"h_into_v_{k}", f"h_into_{k}"]
    return names


def exact_step(cells: Cells) -> str:
    """One step of a leaky membrane with linear currents, as Brian2 statements; the drive is constant over the step."""
    v, currents = ["base + (v - base) * keep_v"], []
    for k, receptor in enumerate(cells.receptors):
        if receptor.model == "delta":
            continue
        v += [f"into_v_{k} * I_{k}"]
        if receptor.model == "alpha_current":
            v += [f"h_into_v_{k} * h_{k}"]
            currents += [f"I_{k} = keep_{k} * I_{k} + h_into_{k} * h_{k}", f"h_{k} = keep_{k} * h_{k}"]
        else:
            currents += [f"I_{k} = keep_{k} * I_{k}"]
    # First everything, then the potential by itself: only so may Brian2's numpy target skip refractory cells.
    return "\n".join([f"_v = {' + '.join(v)}", *currents, "v = _v"])


def _ou(end: str) -> str:
    """An Ornstein-Uhlenbeck current of stationary standard deviation ``noise_{end}``."""
    current = f"noise_current_{end}"
    return f"d{current}/dt = -{current} / tau_noise + noise_{end} * sqrt(2 / tau_noise) * xi_{end} : amp"


def _input(cells: Cells, stimulus: str) -> list[str]:
    """Mean input, drive, and what all receptors add, each as the depolarisation that it would cause."""
    lines, mean = [], f"mean_input{stimulus}"
    for end, suffix in (("soma", ""), ("dendrite", "_dendrite")):
        own = [(k, r) for k, r in enumerate(cells.receptors) if r.compartment == end]
        terms = [state(r, k) for k, r in own if not is_conductance(r) and r.model != "delta"]
        for name in (*cells.recorded, UNCOUNTED):
            drawn = [_drawn(r, k) for k, r in own if r.component == name]
            if drawn:
                lines += [f"input_{name}{suffix} = ({' + '.join(drawn)}) / g_leak{suffix} : volt"]
                terms += [f"input_{name}{suffix}"]
        if end == "soma":
            lines += [f"mu = {' + '.join([mean, *terms])} : volt", f"base = v_rest + {mean} : volt"]
        elif cells.neuron == "two_compartment":
            lines += [f"mu_dendrite = {' + '.join(terms) or '0 * volt'} : volt"]
    return lines


def recorded_input(cells: Cells, component: str) -> str:
    """The input of a component through all conductances of a cell, as an expression of its variables."""
    ends = [r.compartment for r in cells.receptors if r.component == component]
    names = {"soma": f"input_{component}", "dendrite": f"input_{component}_dendrite"}
    return " + ".join(f"{name}_pre" for end, name in names.items() if end in ends)


def _receptor(receptor: Receptor, k: int, fixed: str, substep: str) -> str:
    lines = [synaptic_equations(receptor, k), f"tau_{k} : second {fixed}"]
    if is_conductance(receptor):
        lines += [f"reversal_{k} : volt {fixed}"]
    if receptor.model == "nmda":  # Jahr & Stevens 1990, doi:10.1523/JNEUROSCI.10-09-03178.1990
        lines += [f"magnesium_{k} : 1 {fixed}", f"g_{k} : siemens"]
        lines += [f"block_{k} = 1 / (1 + magnesium_{k} * exp(-62 * {potential(receptor)} / volt) / 3.57) : 1{substep}"]
    return "\n".join(lines)


def _drawn(receptor: Receptor, k: int) -> str:
    """The current through a conductance."""
    block = f" * block_{k}" if receptor.model == "nmda" else ""
    return f"g_{k}{block} * (reversal_{k} - {potential(receptor)})"
