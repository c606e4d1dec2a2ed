"""Cells of one kind: how many, which model, what they receive without any stimulus, and how they start."""

from __future__ import annotations

from dataclasses import dataclass, field

from cortexres.definitions.models import NEURONS


@dataclass(frozen=True, kw_only=True)
class Start:
    """Membrane potentials at the start of a run.

    Parameters
    ----------
    kind : str
        ``"uniform"``: between reset and threshold; ``"from_rest"``: uniform between rest and threshold;
        ``"normal"``: with `mean_mV` and `sd_mV`.
    mean_mV, sd_mV : float
        Of the normal distribution; not used by the uniform ones.
    """

    kind: str = "uniform"
    mean_mV: float = 0.0
    sd_mV: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Population:
    """Identical cells in one or more assemblies; each assembly is one `unit` of the brain Dataset.

    Parameters
    ----------
    name : str
        Short name, e.g. ``"E"``.
    size : int
        Cells per assembly; 1 in a rate circuit, where an assembly is one rate.
    assemblies : int
        Number of assemblies, arranged on a ring where a profile asks for one.
    neuron : str
        Name of the neuron model, a key of `cortexres.definitions.models.NEURONS`.
    parameters : dict of str to float
        The neuron's parameters, with the unit in each name (``tau_m_ms``) where they have one.
    cell_type : str
        ``"pyramidal"``, ``"inhibitory"``, or a finer name (PV, SST, VIP); ``"external"`` for Poisson sources.
    mean_input_mV : float
        Constant mean input of spiking cells, as the depolarisation it would cause without threshold.
    noise_mV : float
        External noise of spiking cells: ``tau_m dV = ... + noise sqrt(tau_m) xi``; the free membrane's standard
        deviation is ``noise / sqrt(2)``.
    area, layer : str
        Where the population lies; carried to the coordinates of the Dataset.
    assembly_areas : tuple of str
        The area of each assembly, where they differ; empty where all lie in `area`.
    start : Start
        Membrane potentials at the start.
    expected_rate_Hz : float
        Stationary rate where it is known (0: not known); used when a circuit is scaled down.
    silenced : bool
        The cells receive all their input and never fire.
    """

    name: str
    size: int
    neuron: str
    parameters: dict[str, float]
    cell_type: str
    mean_input_mV: float = 0.0
    noise_mV: float = 0.0
    assemblies: int = 1
    area: str = ""
    layer: str = ""
    assembly_areas: tuple[str, ...] = ()
    start: Start = field(default_factory=Start)
    expected_rate_Hz: float = 0.0
    silenced: bool = False

    @property
    def cells(self) -> int:
        """Cells of all assemblies."""
        return self.size * self.assemblies

    def parameter(self, name: str) -> float:
        """The parameter of that name, or the model's default; KeyError where the model has none."""
        if name in self.parameters:
            return self.parameters[name]
        default = NEURONS[self.neuron].parameters[name].default
        if default is None:
            raise KeyError(name)
        return default
