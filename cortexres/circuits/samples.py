"""Recorded input components of single populations, put together to those of all units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cortexres.circuits.structure import Structure


def unit_samples(made: Structure, found: dict[int, dict[str, NDArray[np.float64]]]) -> dict[str, NDArray[np.float64]]:
    """The samples of all populations side by side, in mV: by component (sample, `unit`), 0 where none is recorded.

    Parameters
    ----------
    made : Structure
        What was run.
    found : dict of int to dict of str to array (sample, assembly)
        By population and component, in volt.
    """
    first = np.cumsum([0] + [c.assemblies for c in made.cells])
    samples: dict[str, NDArray[np.float64]] = {}
    for k, components in found.items():
        for name, values in components.items():
            whole = samples.setdefault(name, np.zeros((len(values), first[-1])))
            whole[:, first[k] : first[k + 1]] = values * 1e3
    return samples
