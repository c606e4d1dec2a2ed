"""Independent Poisson input to every cell, drawn as a number of spikes per step: no source cells are needed."""

from __future__ import annotations

from cortexres.circuits.structure import Cells
from cortexres.circuits.synapses import is_conductance, jumping


def statements(cells: Cells, stimulus: str) -> str:
    """Brian2 statements that add one step's background spikes of all receptors; run in the slot of the synapses.

    Parameters
    ----------
    cells : Cells
        The population.
    stimulus : str
        The term that the stimulus adds to the rate of the first background (see `neurons.drive_term`), or empty.
    """
    lines = []
    for b, k in enumerate(cells.backgrounds):
        receptor, rate, own = cells.receptors[k], f"rate_background_{b}", cells.driven_receptor
        if b == 0 and stimulus and is_conductance(receptor):  # apart, so that what the stimulus adds is recorded apart
            lines.append(_added(b, jumping(cells.receptors[own], own), f"clip(0 * hertz{stimulus}, 0, inf)"))
        elif b == 0 and stimulus:
            rate = f"clip({rate}{stimulus}, 0, inf)"
        lines.append(_added(b, jumping(receptor, k), rate))
    return "\n".join(lines)


def _added(background: int, variable: str, rate: str) -> str:
    return f"{variable} += weight_background_{background} * poisson({rate} * dt)"
