"""The neuron and synapse models a definition may name, and the parameters each takes, with their bounds.

The equations live in `cortexres.circuits` and `cortexres.rate_equations`; only names, units and ranges are
needed to check a file.
"""

from __future__ import annotations

from typing import NamedTuple


class Bounds(NamedTuple):
    """A closed or, where `open_low`, left-open interval."""

    low: float
    high: float
    open_low: bool = False

    def contains(self, value: float) -> bool:
        """True where `value` lies inside."""
        return (self.low < value if self.open_low else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        return f"{'(' if self.open_low else '['}{self.low:g}, {self.high:g}]"


class Parameter(NamedTuple):
    """A parameter's range and, where it may be left out, its default."""

    bounds: Bounds
    default: float | None = None


class NeuronModel(NamedTuple):
    """What a definition must know of a neuron model.

    Attributes
    ----------
    kind : str
        ``"spiking"``, ``"external"`` (fires without being driven by the circuit; what it sends is feedforward),
        ``"replay"`` (fires what was recorded; what it sends counts as its projections say) or ``"rate"``.
    unit : str
        Of its mean input and input components, and of its drive where that has no unit of its own.
    parameters : dict of str to Parameter
        By name, with the unit as suffix.
    source : str
        Where the model comes from.
    drive_unit : str
        Of its drive, where the model turns that into input; empty where it is `unit`.
    """

    kind: str
    unit: str
    parameters: dict[str, Parameter]
    source: str
    drive_unit: str = ""


class SynapseModel(NamedTuple):
    """``"current"``, ``"conductance"`` or ``"rate"``, and the constants it needs, by field of `Synapse`."""

    kind: str
    needs: tuple[str, ...]
    source: str


# Wide enough for any cell ever recorded, narrow enough that a file from a stranger cannot ask for a year of simulation.
TIME_MS = Bounds(0.0, 10_000.0, open_low=True)
SHORT_TIME_MS = Bounds(0.0, 1_000.0)
VOLTAGE_MV = Bounds(-200.0, 200.0)
CAPACITANCE_PF = Bounds(0.0, 1e5, open_low=True)
CONDUCTANCE_NS = Bounds(0.0, 1e5)
CURRENT_PA = Bounds(-1e6, 1e6)
RATE_HZ = Bounds(0.0, 1e6)
NUMBER = Bounds(-1e6, 1e6)
POSITIVE = Bounds(0.0, 1e6, open_low=True)
MAX_CELLS = 2_000_000
MAX_SYNAPSES = 500_000_000

_FIRING = {
    "v_rest_mV": Parameter(VOLTAGE_MV),
    "v_threshold_mV": Parameter(VOLTAGE_MV),
    "v_reset_mV": Parameter(VOLTAGE_MV),
    "t_refractory_ms": Parameter(SHORT_TIME_MS),
}

_RATE = {
    "tau_ms": Parameter(TIME_MS),
    "input": Parameter(NUMBER, 0.0),  # constant input, in the unit of the model
    "noise": Parameter(Bounds(0.0, 1e6), 0.0),  # stationary standard deviation of an Ornstein-Uhlenbeck input
    "noise_tau_ms": Parameter(TIME_MS, 50.0),
    "start": Parameter(NUMBER, 0.0),  # state (rate, potential or gating variable) at the start
}

NEURONS: dict[str, NeuronModel] = {
    "lif": NeuronModel(
        "spiking",
        "mV",
        # The leak conductance is only needed where conductances reach the cell.
        {"tau_m_ms": Parameter(TIME_MS), **_FIRING, "g_leak_nS": Parameter(CONDUCTANCE_NS, 0.0)},
        "Lapicque 1907; Brunel 2000, doi:10.1023/A:1008925309027",
    ),
    "adex": NeuronModel(
        "spiking",
        "mV",
        {
            "C_m_pF": Parameter(CAPACITANCE_PF),
            "g_leak_nS": Parameter(Bounds(0.0, 1e5, open_low=True)),
            **_FIRING,  # the threshold is the soft one, V_T
            "v_spike_mV": Parameter(VOLTAGE_MV),
            "delta_T_mV": Parameter(Bounds(0.0, 50.0, open_low=True)),
            "a_nS": Parameter(Bounds(-1e3, 1e3), 0.0),
            "b_pA": Parameter(CURRENT_PA, 0.0),
            "tau_w_ms": Parameter(TIME_MS, 100.0),
        },
        "Brette & Gerstner 2005, doi:10.1152/jn.00686.2005",
    ),
    "two_compartment": NeuronModel(
        "spiking",
        "mV",
        {
            "tau_m_ms": Parameter(TIME_MS),
            "C_m_pF": Parameter(CAPACITANCE_PF),
            **_FIRING,
            "threshold_kick_mV": Parameter(VOLTAGE_MV),
            "tau_threshold_ms": Parameter(TIME_MS),
            "g_dendrite_to_soma_pA": Parameter(CURRENT_PA),
            "b_soma_pA": Parameter(CURRENT_PA),
            "tau_w_soma_ms": Parameter(TIME_MS),
            "tau_dendrite_ms": Parameter(TIME_MS),
            "C_dendrite_pF": Parameter(CAPACITANCE_PF),
            "g_dendrite_pA": Parameter(CURRENT_PA),
            "a_dendrite_nS": Parameter(Bounds(-1e3, 1e3)),
            "tau_w_dendrite_ms": Parameter(TIME_MS),
            "v_half_mV": Parameter(VOLTAGE_MV),
            "v_slope_mV": Parameter(Bounds(0.0, 100.0, open_low=True)),
            "bap_pA": Parameter(CURRENT_PA),
            "bap_delay_ms": Parameter(SHORT_TIME_MS, 0.0),
            "bap_duration_ms": Parameter(TIME_MS),
            "soma_current_pA": Parameter(CURRENT_PA, 0.0),
            "dendrite_current_pA": Parameter(CURRENT_PA, 0.0),
            "noise_soma_pA": Parameter(Bounds(0.0, 1e6), 0.0),
            "noise_dendrite_pA": Parameter(Bounds(0.0, 1e6), 0.0),
            "tau_noise_ms": Parameter(TIME_MS, 2.0),
        },
        "Naud & Sprekeler 2018, doi:10.1073/pnas.1720995115",
    ),
    "poisson": NeuronModel("external", "Hz", {"rate_Hz": Parameter(RATE_HZ, 0.0)}, "independent Poisson sources"),
    "replay": NeuronModel("replay", "Hz", {}, "spikes that were recorded before"),
    "linear": NeuronModel("rate", "Hz", dict(_RATE), "Murphy & Miller 2009, doi:10.1016/j.neuron.2009.02.005"),
    "threshold_linear": NeuronModel(
        "rate",
        "Hz",
        {
            **_RATE,
            "gain": Parameter(POSITIVE, 1.0),  # of the recurrent input; constant input and drive are in Hz
            # Part of the constant input is what makes this rate, with the rest_Hz of all others, a fixed point: 0
            # everywhere adds nothing.
            "rest_Hz": Parameter(RATE_HZ, 0.0),
        },
        "Joglekar et al. 2018, doi:10.1016/j.neuron.2018.02.031",
    ),
    "power_law_voltage": NeuronModel(
        "rate",
        "mV",
        {**_RATE, "gain": Parameter(POSITIVE), "exponent": Parameter(Bounds(0.0, 10.0, open_low=True))},
        "Hennequin et al. 2018, doi:10.1016/j.neuron.2018.04.017",
    ),
    "power_law_rate": NeuronModel(
        "rate",
        "mV",
        {**_RATE, "gain": Parameter(POSITIVE), "exponent": Parameter(Bounds(0.0, 10.0, open_low=True))},
        "Rubin, Van Hooser & Miller 2015, doi:10.1016/j.neuron.2014.12.026",
    ),
    "wong_wang": NeuronModel(
        "rate",
        "nA",
        {
            **_RATE,
            "noise_tau_ms": Parameter(TIME_MS, 2.0),
            "gamma": Parameter(POSITIVE),
            "slope": Parameter(POSITIVE),  # Hz / nA
            "offset": Parameter(NUMBER),  # Hz
            "curvature": Parameter(POSITIVE),  # s
            "drive_weight": Parameter(NUMBER),  # nA of input per Hz of drive
        },
        "Wong & Wang 2006, doi:10.1523/JNEUROSCI.3733-05.2006",
        drive_unit="Hz",
    ),
}

SYNAPSES: dict[str, SynapseModel] = {
    "delta": SynapseModel("current", (), "Brunel 2000, doi:10.1023/A:1008925309027"),
    "exponential_current": SynapseModel(
        "current", ("tau_ms",), "Fourcaud & Brunel 2002, doi:10.1162/089976602320264015"
    ),
    "alpha_current": SynapseModel("current", ("tau_ms",), "Rall 1967, doi:10.1152/jn.1967.30.5.1138"),
    "exponential_conductance": SynapseModel(
        "conductance", ("tau_ms",), "Brette et al. 2007, doi:10.1007/s10827-007-0038-6"
    ),
    "alpha_conductance": SynapseModel("conductance", ("tau_ms",), "Rall 1967, doi:10.1152/jn.1967.30.5.1138"),
    "nmda": SynapseModel(
        "conductance", ("tau_ms", "tau_rise_ms", "gating_Hz"), "Wang 2002, doi:10.1016/S0896-6273(02)01092-9"
    ),
    "rate": SynapseModel("rate", (), "instantaneous transmission of a rate"),
}

RULES: tuple[str, ...] = ("fixed_in_degree", "fixed_total", "bernoulli", "one_to_one", "all_to_all")

PROFILES: tuple[str, ...] = ("uniform", "same", "von_mises", "cosine", "gaussian")

PATHWAYS: tuple[str, ...] = ("recurrent", "feedforward", "feedback")

COMPARTMENTS: tuple[str, ...] = ("soma", "dendrite")

STARTS: tuple[str, ...] = ("uniform", "from_rest", "normal")

METHODS: dict[str, tuple[str, ...]] = {
    "spiking": ("euler", "exact", "exponential_euler"),
    "rate": ("rk4", "euler"),
}

FRONT_ENDS: tuple[str, ...] = ("oriented_energy", "random_fields")

DRIVEN: tuple[str, ...] = ("mean_input", "rate", "background")
