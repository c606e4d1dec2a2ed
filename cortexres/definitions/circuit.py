"""What a circuit is: populations, synapses, projections and the drive, as frozen dataclasses.

Plain floats carry their unit in their name, so that ``json.dumps(asdict(circuit))`` is the provenance of a result.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cortexres.definitions.checks import check_circuit


@dataclass(frozen=True, kw_only=True)
class Population:
    """Identical cells in one or more assemblies; each assembly is one `unit` of the brain Dataset.

    Parameters
    ----------
    name : str
        Short name, e.g. ``"E"``.
    size : int
        Cells per assembly.
    assemblies : int
        Number of assemblies, arranged on a ring.
    neuron : str
        Name of the neuron model, a key of `cortexres.definitions.models.NEURONS`.
    parameters : dict of str to float
        The neuron's parameters, with the unit in each name (``tau_m_ms``).
    cell_type : str
        ``"pyramidal"``, ``"inhibitory"``, or a finer name (PV, SST, VIP).
    mean_input_mV : float
        Constant mean input, as the depolarisation it would cause without threshold.
    noise_mV : float
        White external noise: ``tau_m dV = ... + noise sqrt(tau_m) xi``; the free membrane's standard
        deviation is ``noise / sqrt(2)``.
    area, layer : str
        Where the population lies; carried to the coordinates of the Dataset.
    """

    name: str
    size: int
    neuron: str
    parameters: dict[str, float]
    cell_type: str
    mean_input_mV: float
    noise_mV: float
    assemblies: int = 1
    area: str = ""
    layer: str = ""


@dataclass(frozen=True, kw_only=True)
class Synapse:
    """A synapse model by name, with its decay time constant."""

    name: str
    model: str
    tau_ms: float


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How partners are spread over the assemblies of a ring: uniform, or von Mises with concentration `kappa`."""

    kind: str = "uniform"
    kappa: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Projection:
    """Synapses from one population onto another, with a fixed in-degree.

    Parameters
    ----------
    source, target : str
        Names of populations.
    synapse : str
        Name of a `Synapse` of the circuit.
    in_degree : int
        Synapses each target cell receives, over all assemblies of the source.
    weight_mV : float
        Signed area of the postsynaptic potential divided by the membrane time constant (J): a spike train of rate r
        through this synapse adds a mean depolarisation of ``weight * tau_m * r``.
    delay_ms : float
        Transmission delay.
    profile : Profile
        Spread of the presynaptic partners over the source's assemblies, relative to the target's own.
    """

    source: str
    target: str
    synapse: str
    in_degree: int
    weight_mV: float
    delay_ms: float
    profile: Profile = field(default_factory=Profile)


@dataclass(frozen=True, kw_only=True)
class FrontEnd:
    """How an image becomes mean input per assembly (channel).

    Parameters
    ----------
    kind : str
        ``"oriented_energy"`` or ``"random_fields"``; see `cortexres.front_ends`.
    channels : int
        Number of channels, one per assembly of the driven population.
    gain_mV : float
        Largest mean input that a channel can give.
    seed : int
        Seed of the receptive fields where they are random.
    """

    kind: str
    channels: int
    gain_mV: float
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Drive:
    """What the stimulus does: a step of mean input to each assembly of `target`, as large as the front end says."""

    target: str
    front_end: FrontEnd


@dataclass(frozen=True, kw_only=True)
class Circuit:
    """A whole circuit, checked when it is made.

    Raises
    ------
    DefinitionError
        Where parts do not fit together or a value is out of range; all faults are named at once.
    """

    name: str
    title: str
    source: str
    populations: tuple[Population, ...]
    synapses: tuple[Synapse, ...]
    projections: tuple[Projection, ...]
    drive: Drive
    dt_ms: float = 0.1

    def __post_init__(self) -> None:
        check_circuit(self)
