"""What a circuit is: populations, synapses, projections, background and drive, as frozen dataclasses.

Plain floats carry their unit in their name, so that ``json.dumps(asdict(circuit))`` is the provenance of a result.
"""

from __future__ import annotations

from dataclasses import dataclass

from cortexres.definitions.checks import check_circuit
from cortexres.definitions.drive import Drive
from cortexres.definitions.models import NEURONS
from cortexres.definitions.population import Population
from cortexres.definitions.projection import Background, Projection, Synapse


@dataclass(frozen=True, kw_only=True)
class Circuit:
    """A whole circuit, checked when it is made.

    Parameters
    ----------
    name, title, source : str
        Short name, what it is, and where it comes from (with its DOI).
    populations, synapses, projections, backgrounds : tuple
        Its parts.
    drive : Drive or None
        Where the stimulus enters; None for a circuit that takes no stimulus.
    dt_ms : float
        Time step.
    method : str
        Integration of spiking cells: ``"euler"``, ``"exact"`` (linear cells without noise) or
        ``"exponential_euler"`` (conductances); rate circuits take ``"rk4"`` or ``"euler"``.

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
    backgrounds: tuple[Background, ...] = ()
    drive: Drive | None = None
    dt_ms: float = 0.1
    method: str = "euler"

    def __post_init__(self) -> None:
        check_circuit(self)

    @property
    def is_rate(self) -> bool:
        """True for a circuit of rates, False for one of spiking cells."""
        return all(NEURONS[p.neuron].kind == "rate" for p in self.populations)

    def population(self, name: str) -> Population:
        """The population of that name (KeyError where there is none)."""
        return {p.name: p for p in self.populations}[name]

    def synapse(self, name: str) -> Synapse:
        """The synapse of that name (KeyError where there is none)."""
        return {s.name: s for s in self.synapses}[name]
