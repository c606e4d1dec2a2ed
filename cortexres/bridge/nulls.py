"""Control networks: the same neurons with shuffled weights, or without recurrence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cortexres.bridge.network import CircuitNetwork
from cortexres.errors import ArgumentError
from cortexres.meanfield import Pathway, fixed_point

Array = NDArray[np.float64]
Index = NDArray[np.intp]


def shuffle_weights(
    network: CircuitNetwork, *, rng: np.random.Generator | int, keep: Literal["in_degree", "sign"] = "in_degree"
) -> CircuitNetwork:
    """A network whose recurrent weights are shuffled; it starts from its own resting state.

    Parameters
    ----------
    network : CircuitNetwork
        Left as it is.
    rng : numpy.random.Generator or int
        Source of the permutations.
    keep : {"in_degree", "sign"}
        What stays. ``"in_degree"``: each unit's summed excitatory and summed inhibitory weight, and with them its
        baseline; every row is permuted among the sources of one sign. ``"sign"``: only which sources are
        excitatory; all entries of their columns are permuted, so that the in-degrees and the baseline change too.

    Raises
    ------
    ArgumentError
        If `keep` is neither.
    """
    shuffles: dict[str, Callable[[Index, int, np.random.Generator], tuple[Index, Index]]] = {
        "in_degree": _within_rows,
        "sign": _within_block,
    }
    if keep not in shuffles:
        raise ArgumentError(f"got keep={keep!r}, expected one of {', '.join(shuffles)}; see shuffle_weights")
    field, generator = network.field, np.random.default_rng(rng)
    pathways = tuple(_shuffled(path, shuffles[keep], generator) for path in field.pathways)
    name = f"{network.name}, weights shuffled"
    return network.with_field(replace(field, pathways=pathways), name=name, weights=f"shuffled {keep}")


def without_recurrence(network: CircuitNetwork, *, keep_baseline: bool = False) -> CircuitNetwork:
    """A network whose units receive nothing from each other (W = 0).

    Parameters
    ----------
    network : CircuitNetwork
        Left as it is.
    keep_baseline : bool
        Replace the recurrent input by the constant mean and the noise that it has at rest, so that the units rest
        where they did.
    """
    field = network.field
    resting, noise = field.resting, field.noise
    if keep_baseline:
        moments = fixed_point(field).moments
        resting, noise = moments.mu - moments.shift * moments.sigma, moments.sigma
    silent = replace(field, resting=resting, noise=noise, pathways=())
    return network.with_field(silent, name=f"{network.name}, no recurrence", weights="none")


def _shuffled(
    path: Pathway,
    shuffle: Callable[[Index, int, np.random.Generator], tuple[Index, Index]],
    rng: np.random.Generator,
) -> Pathway:
    """The pathway with mean and variance moved together, among the columns of its own sources."""
    sources = np.flatnonzero(np.any(path.mean != 0.0, axis=0))
    rows, columns = shuffle(sources, len(path.mean), rng)
    mean, variance = path.mean.copy(), path.variance.copy()
    mean[:, sources] = path.mean[rows, columns]
    variance[:, sources] = path.variance[rows, columns]
    return replace(path, mean=mean, variance=variance)


def _within_rows(sources: Index, units: int, rng: np.random.Generator) -> tuple[Index, Index]:
    columns = rng.permuted(np.tile(sources, (units, 1)), axis=1)
    return np.arange(units)[:, None], columns


def _within_block(sources: Index, units: int, rng: np.random.Generator) -> tuple[Index, Index]:
    place = rng.permutation(units * len(sources)).reshape(units, len(sources))
    return place // len(sources), sources[place % len(sources)]
