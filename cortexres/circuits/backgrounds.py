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
        receptor, own, rate = cells.receptors[k], cells.driven_receptor, f"rate_background_{b}"
        expected = f"{rate} * dt"
        if b == 0 and stimulus and is_conductance(receptor):  # apart, so that what the stimulus adds is recorded apart
            lines.append(_added(b, jumping(cells.receptors[own], own), f"clip(({stimulus[3:]}) * dt, 0, inf)"))
        elif b == 0 and stimulus:
            expected = f"clip(({rate}{stimulus}) * dt, 0, inf)"
        lines.append(_added(b, jumping(receptor, k), expected))
    return "\n".join(lines)


def _added(background: int, variable: str, expected: str) -> str:
    return f"{variable} += weight_background_{background} * poisson({expected})"
