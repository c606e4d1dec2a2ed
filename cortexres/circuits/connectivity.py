"""Which cell projects to which, drawn in numpy so that it is the same for every code generation target."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cortexres.circuits.runs import child_seed
from cortexres.definitions import Circuit, Population, Projection, assembly_profile


class Connections(NamedTuple):
    """The synapses of one projection, one entry each.

    Parameters
    ----------
    source, target : array of int32
        Cell indices inside the two populations.
    factor : array or None
        Weight relative to the projection's; None where all are 1.
    delay_steps : array of int32 or None
        Delay in steps of the clock; None where all have the projection's `delay_ms`.
    """

    source: NDArray[np.int32]
    target: NDArray[np.int32]
    factor: NDArray[np.float64] | None = None
    delay_steps: NDArray[np.int32] | None = None


def draw(circuit: Circuit, seed: np.random.SeedSequence) -> list[Connections]:
    """The synapses of each projection of `circuit`, in the order of the definition.

    Each projection has a random stream of its own, so that changing one leaves the others as they were.
    """
    populations = {p.name: p for p in circuit.populations}
    return [
        _fixed_in_degree(p, populations[p.source], populations[p.target], np.random.default_rng(child_seed(seed, k)))
        for k, p in enumerate(circuit.projections)
    ]


def _fixed_in_degree(
    projection: Projection, source: Population, target: Population, rng: np.random.Generator
) -> Connections:
    """Every target cell draws its partners with replacement: first the assembly by the profile, then the cell.

    Multapses and autapses are allowed, as in Brunel's original rule; the mean field then holds exactly in the mean.
    """
    profile = assembly_profile(projection.profile, target.assemblies, source.assemblies)
    shape = (target.assemblies, target.size * projection.in_degree)
    cumulative = np.cumsum(profile, axis=1)
    uniform = rng.random(shape)
    assembly = np.stack([np.searchsorted(c, u, side="right") for c, u in zip(cumulative, uniform, strict=True)])
    # Rounding can leave the last cumulative value just below 1 and a draw above it.
    assembly = np.minimum(assembly, source.assemblies - 1)
    cell = assembly * source.size + rng.integers(source.size, size=shape)
    targets = np.repeat(np.arange(target.assemblies * target.size), projection.in_degree)
    return Connections(cell.ravel().astype(np.int32), targets.astype(np.int32))


def mean_out_degree(connections: Connections, source: Population, target: Population) -> NDArray[np.float64]:
    """Synapses from each source cell onto the average cell of each target assembly.

    Returns
    -------
    array (source cell, target assembly)
    """
    n_source = source.size * source.assemblies
    pair = connections.source.astype(np.int64) * target.assemblies + connections.target // target.size
    counts = np.bincount(pair, minlength=n_source * target.assemblies)
    return counts.reshape(n_source, target.assemblies) / target.size
