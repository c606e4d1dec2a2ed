"""Synapses: their models, who sends them to whom, and by which rule partners are drawn."""

from __future__ import annotations

from dataclasses import dataclass, field

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Synapse:
    """A synapse model by name, with its constants.

    Parameters
    ----------
    name, model : str
        The circuit's name for it, and a key of `cortexres.definitions.models.SYNAPSES`.
    tau_ms : float
        Decay time constant; 0 for models without one (delta, rate).
    tau_rise_ms : float
        Rise time constant of NMDA gating.
    gating_Hz : float
        Opening rate of NMDA gates by a spike (alpha of Wang 2002).
    reversal_mV : float
        Reversal potential of conductances.
    magnesium_mM : float
        Magnesium concentration that blocks NMDA conductances.
    compartment : str
        ``"soma"``, or ``"dendrite"`` where the cells that it reaches have one.
    start_mean_nS, start_sd_nS : float
        Conductance of every cell at the start of a run, normal and cut at 0.
    """

    name: str
    model: str
    tau_ms: float = 0.0
    tau_rise_ms: float = 0.0
    gating_Hz: float = 0.0
    reversal_mV: float = 0.0
    magnesium_mM: float = 0.0
    compartment: str = "soma"
    start_mean_nS: float = 0.0
    start_sd_nS: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How partners are spread over a ring of assemblies, or of cells where a population is one assembly.

    Parameters
    ----------
    kind : str
        ``"uniform"``; ``"same"``: only the assembly of the same index; ``"von_mises"``: exp(kappa cos d);
        ``"cosine"``: 1 + depth cos d; ``"gaussian"``: exp(-d^2 / 2 width^2), d in degrees on a ring of 180.
    kappa, depth, width_deg : float
        Parameter of the kind of that name.
    normalised : bool
        Make the weights of all partners sum to 1; otherwise the peak of the profile is its formula's.
    """

    kind: str = "uniform"
    kappa: float = 0.0
    depth: float = 0.0
    width_deg: float = 0.0
    normalised: bool = True


@dataclass(frozen=True, kw_only=True)
class Projection:
    """Synapses from one population onto another.

    Parameters
    ----------
    source, target : str
        Names of populations.
    synapse : str
        Name of a `Synapse` of the circuit.
    rule : str
        ``"fixed_in_degree"`` (`in_degree`), ``"fixed_total"`` (`total` synapses, or as many as make the probability
        of a pair to be connected at all `probability`), ``"bernoulli"`` (`probability` of each pair),
        ``"one_to_one"`` or ``"all_to_all"``; in the first two, partners are drawn with replacement.
    in_degree : int
        Synapses each target cell receives, over all assemblies of the source.
    total : int
        Synapses of the whole projection.
    probability : float
        Of a pair of cells; see `rule`.
    weight_mV : float
        Onto a current or delta synapse: the signed area of the postsynaptic potential divided by the membrane time
        constant (J), so that a spike train of rate r adds a mean depolarisation of ``weight * tau_m * r``. For delta
        synapses that is the jump of the potential.
    conductance_nS : float
        Onto a conductance: its jump at a spike (its largest value per synapse, for NMDA).
    strength : float
        Between rates: input per rate of the source, in the units of the target's model.
    weight_cv : float
        Standard deviation of the weights relative to their mean; weights keep their sign (cut at 0).
    delay_ms, delay_cv : float
        Mean delay and its relative standard deviation; drawn delays are cut at one time step.
    profile : Profile
        Spread of the presynaptic partners over the source's assemblies, relative to the target's own.
    matrix : tuple of tuples (target assembly, source assembly)
        Factor of the weight for each pair of assemblies; no synapses are made where it is 0. Empty: all 1.
    delay_matrix_ms : tuple of tuples (target assembly, source assembly)
        Mean delay of each pair of assemblies, in place of `delay_ms`.
    pathway : str
        ``"recurrent"`` (counted in F), ``"feedforward"`` (counted in x: from a lower area or a relay) or
        ``"feedback"`` (counted in F, from a higher area).
    """

    source: str
    target: str
    synapse: str
    rule: str = "fixed_in_degree"
    in_degree: int = 0
    total: int = 0
    probability: float = 0.0
    weight_mV: float = 0.0
    conductance_nS: float = 0.0
    strength: float = 0.0
    weight_cv: float = 0.0
    delay_ms: float = 0.0
    delay_cv: float = 0.0
    profile: Profile = field(default_factory=Profile)
    matrix: Matrix = ()
    delay_matrix_ms: Matrix = ()
    pathway: str = "recurrent"

    @property
    def sign(self) -> float:
        """1 for excitatory and -1 for inhibitory weights, 0 where nothing is transmitted; conductances count as 1."""
        value = self.weight_mV or self.strength or self.conductance_nS
        return float(value > 0) - float(value < 0)


@dataclass(frozen=True, kw_only=True)
class Background:
    """Independent Poisson input to every cell of a population, through one of the circuit's synapses.

    Parameters
    ----------
    target, synapse : str
        Names of a population and of a synapse of the circuit.
    count : int
        Number of Poisson sources of each cell.
    rate_Hz : float
        Of each source.
    weight_mV, conductance_nS : float
        As in `Projection`.
    """

    target: str
    synapse: str
    count: int
    rate_Hz: float
    weight_mV: float = 0.0
    conductance_nS: float = 0.0
