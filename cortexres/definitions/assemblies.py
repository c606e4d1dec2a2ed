"""Assemblies as units: their labels, and how a projection spreads its partners over them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from cortexres.definitions.circuit import Circuit, Profile


def unit_coordinates(circuit: Circuit) -> dict[str, NDArray[Any]]:
    """The labels of the units, one entry per assembly of each population, in the order of the definition.

    Returns
    -------
    dict of str to array (`unit`,)
        ``name`` ("E3"), ``population``, ``cell_type``, ``area``, ``layer`` and ``assembly``.
    """
    rows = [(p, a) for p in circuit.populations for a in range(p.assemblies)]
    return {
        "name": np.array([f"{p.name}{a}" if p.assemblies > 1 else p.name for p, a in rows]),
        "population": np.array([p.name for p, _ in rows]),
        "cell_type": np.array([p.cell_type for p, _ in rows]),
        "area": np.array([p.area for p, _ in rows]),
        "layer": np.array([p.layer for p, _ in rows]),
        "assembly": np.array([a for _, a in rows]),
    }


def assembly_profile(profile: Profile, n_target: int, n_source: int) -> NDArray[np.float64]:
    """The probability that a partner of a cell in each target assembly lies in each source assembly.

    Parameters
    ----------
    profile : Profile
        ``uniform``, or ``von_mises``: ``p(b | a) ~ exp(kappa cos(2 pi (a / n_target - b / n_source)))``.
    n_target, n_source : int
        Number of assemblies on each side; both rings start at the same angle.

    Returns
    -------
    array (`n_target`, `n_source`)
        Rows sum to 1.
    """
    angle = 2 * np.pi * (np.arange(n_target)[:, None] / n_target - np.arange(n_source)[None, :] / n_source)
    kappa = profile.kappa if profile.kind == "von_mises" else 0.0
    weight = np.exp(kappa * (np.cos(angle) - 1.0))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))
