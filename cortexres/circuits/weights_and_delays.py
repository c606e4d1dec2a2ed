"""What the synapses of one projection have of their own: a weight relative to the projection's, and a delay."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cortexres.circuits.partners import Partners
from cortexres.circuits.runs import child_seed
from cortexres.definitions import Population, Projection

Indices = NDArray[np.int32]


def weight_factors(
    projection: Projection,
    source: Population,
    target: Population,
    pairs: tuple[Indices, Indices],
    seed: np.random.SeedSequence,
) -> NDArray[np.float64] | None:
    """The weight of every synapse relative to the projection's, or None where all have that one.

    The factor is the product of the matrix, of the profile (under ``"all_to_all"``, where it cannot choose partners;
    relative to its mean over the partners if normalised), and of a normal number with mean 1 and standard deviation
    `weight_cv`. Numbers below 0 become 0, so that no synapse changes its sign.
    """
    factors = []
    if projection.matrix:
        factors.append(_entries(projection.matrix, source, target, pairs))
    if projection.rule == "all_to_all" and projection.profile.kind not in ("uniform", "same"):
        partners = Partners(projection, source, target)
        factors.append(partners.weight(pairs[1], pairs[0]) * partners.scale()[pairs[1] // partners.target.size])
    if projection.weight_cv > 0:
        drawn = np.random.default_rng(seed).standard_normal(len(pairs[0]))
        drawn *= projection.weight_cv
        drawn += 1.0
        factors.append(np.maximum(drawn, 0.0, out=drawn))
    for further in factors[1:]:
        factors[0] *= further
    return factors[0] if factors else None


def delay_steps(
    projection: Projection,
    source: Population,
    target: Population,
    pairs: tuple[Indices, Indices],
    seed: np.random.SeedSequence,
    *,
    dt_ms: float,
) -> Indices | None:
    """The delay of every synapse in steps of the clock, or None where all have the projection's.

    Drawn delays are normal, truncated below at one step: a value below `dt_ms` is drawn again (as Potjans & Diesmann
    2014, doi:10.1093/cercor/bhs358). A mean below one step is not drawn.
    """
    if not projection.delay_matrix_ms and not projection.delay_cv > 0:
        return None
    if projection.delay_matrix_ms:
        mean = _entries(projection.delay_matrix_ms, source, target, pairs)
        mean /= dt_ms
    else:
        mean = np.full(len(pairs[0]), projection.delay_ms / dt_ms)
    if projection.delay_cv > 0:
        mean = _truncated_normal(mean, projection.delay_cv, np.random.default_rng(seed))
    return np.rint(mean, out=mean).astype(np.int32)


def _truncated_normal(mean: NDArray[np.float64], cv: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Normal numbers of at least 1; a mean below 1 stays as it is, for it might never be drawn again above."""
    drawn = rng.standard_normal(len(mean))
    drawn *= cv
    drawn += 1.0
    drawn *= mean
    late = mean >= 1.0 - 1e-9
    drawn[~late] = mean[~late]
    again = np.flatnonzero(late & (drawn < 1.0))
    while len(again):
        drawn[again] = mean[again] * (1.0 + cv * rng.standard_normal(len(again)))
        again = again[drawn[again] < 1.0]
    return drawn


def _entries(
    matrix: tuple[tuple[float, ...], ...], source: Population, target: Population, pairs: tuple[Indices, Indices]
) -> NDArray[np.float64]:
    """The entry of `matrix` (target assembly, source assembly) for every synapse."""
    values = np.asarray(matrix, dtype=np.float64)
    found: NDArray[np.float64] = values[pairs[1] // target.size, pairs[0] // source.size]
    return found


def own_streams(seed: np.random.SeedSequence) -> tuple[np.random.SeedSequence, np.random.SeedSequence]:
    """Seeds of the weights and of the delays, so that changing either leaves partners and the other as they were."""
    return child_seed(seed, 0), child_seed(seed, 1)
