"""Assemblies as units: their labels, how a projection spreads its partners over them, and how a drive reaches them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from cortexres.definitions.circuit import Circuit
    from cortexres.definitions.projection import Profile

#: Length in degrees of the ring on which a gaussian profile measures its width, as orientations do.
RING_DEG = 180.0


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
        "area": np.array([p.assembly_areas[a] if p.assembly_areas else p.area for p, a in rows]),
        "layer": np.array([p.layer for p, _ in rows]),
        "assembly": np.array([a for _, a in rows]),
    }


def first_units(circuit: Circuit) -> dict[str, int]:
    """The index of the first unit of each population."""
    starts = np.cumsum([0] + [p.assemblies for p in circuit.populations])
    return {p.name: int(k) for p, k in zip(circuit.populations, starts, strict=False)}


def driven_units(circuit: Circuit) -> NDArray[np.intp]:
    """The units that each channel of the drive reaches: (target, channel); empty where nothing is driven."""
    if circuit.drive is None:
        return np.empty((0, 0), dtype=np.intp)
    first = first_units(circuit)
    rows = [first[name] + np.arange(circuit.population(name).assemblies) for name in circuit.drive.targets]
    return np.asarray(rows, dtype=np.intp)


def unit_drive(circuit: Circuit, channels: ArrayLike) -> NDArray[np.float64]:
    """The drive of every unit, (..., `unit`), from that of the channels (..., channel); 0 where nothing arrives."""
    values = np.asarray(channels, dtype=np.float64)
    drive = np.zeros((*values.shape[:-1], sum(p.assemblies for p in circuit.populations)))
    for units in driven_units(circuit):
        drive[..., units] = values
    return drive


def assembly_profile(profile: Profile, n_target: int, n_source: int) -> NDArray[np.float64]:
    """The weight of each source assembly for a cell in each target assembly; where normalised, a probability.

    Parameters
    ----------
    profile : Profile
        See there for its kinds; d is the difference of angle ``2 pi (a / n_target - b / n_source)``.
    n_target, n_source : int
        Number of assemblies on each side; both rings start at the same angle.

    Returns
    -------
    array (`n_target`, `n_source`)
        Rows sum to 1 where the profile is normalised.
    """
    position = np.arange(n_target)[:, None] / n_target - np.arange(n_source)[None, :] / n_source
    weight = ring_weight(profile, position)
    return weight / weight.sum(axis=1, keepdims=True) if profile.normalised else weight


def ring_weight(profile: Profile, position: NDArray[np.float64]) -> NDArray[np.float64]:
    """The profile, not normalised, at a difference of position in turns of the ring."""
    angle = 2 * np.pi * position
    if profile.kind == "same":
        return np.asarray(position == 0.0, dtype=np.float64)
    if profile.kind == "von_mises":
        return np.asarray(np.exp(profile.kappa * (np.cos(angle) - 1.0)))
    if profile.kind == "cosine":
        return np.asarray(1.0 + profile.depth * np.cos(angle))
    if profile.kind == "gaussian":
        turns = position - np.round(position)
        return np.asarray(np.exp(-((turns * RING_DEG) ** 2) / (2.0 * profile.width_deg**2)))
    return np.ones_like(angle)
