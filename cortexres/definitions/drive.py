"""What a stimulus does to a circuit: which populations it reaches, what it changes there, and how images become it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FrontEnd:
    """How an image becomes the drive of each assembly (channel).

    Parameters
    ----------
    kind : str
        ``"oriented_energy"`` or ``"random_fields"``; see `cortexres.front_ends`.
    channels : int
        Number of channels, one per assembly of the driven populations.
    gain_mV : float
        Largest mean input that a channel can give, where the drive is a mean input in mV.
    gain_Hz : float
        Largest rate that a channel can give, where the drive is a rate.
    seed : int
        Seed of the receptive fields where they are random.
    """

    kind: str
    channels: int
    gain_mV: float = 0.0
    gain_Hz: float = 0.0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Drive:
    """Where the stimulus enters.

    Parameters
    ----------
    targets : tuple of str
        Populations that are driven, each with one assembly per channel.
    onto : str
        What is added to: ``"mean_input"`` (mV for spiking cells, the model's own unit for rates), ``"rate"`` (Hz, of
        Poisson sources) or ``"background"`` (Hz, summed over the Poisson sources of each cell).
    front_end : FrontEnd or None
        How images become the drive; without one, the stimuli must be drives themselves.
    """

    targets: tuple[str, ...]
    onto: str = "mean_input"
    front_end: FrontEnd | None = None
