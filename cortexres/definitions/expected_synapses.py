"""How many synapses a projection is expected to make, by its rule, and the moments of their weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cortexres.definitions.assemblies import ring_weight
from cortexres.definitions.population import Population
from cortexres.definitions.projection import Projection

if TYPE_CHECKING:
    from cortexres.definitions.circuit import Circuit

Array = NDArray[np.float64]


def expected_in_degree(projection: Projection, circuit: Circuit) -> Array:
    """Expected synapses of a cell of each target assembly from each source assembly: (target, source).

    Rules that give every cell another number (`fixed_total`, `bernoulli`) are described by their mean, and so is a
    profile over the single cells of a population that is one assembly.
    """
    source, target = circuit.population(projection.source), circuit.population(projection.target)
    weight = _partner_weights(projection, source, target)
    found: Array
    match projection.rule:
        case "fixed_in_degree":
            found = projection.in_degree * _over(weight, weight.sum(axis=1, keepdims=True))
        case "fixed_total":
            found = total_synapses(projection, circuit) / target.size * _over(weight, weight.sum())
        case "bernoulli":
            found = projection.probability * source.size * _relative(projection, weight)
        case "one_to_one":
            found = _same_index(source, target) * (weight > 0.0)
        case _:
            found = np.where(weight > 0.0, float(source.size), 0.0)
    return found


def total_synapses(projection: Projection, circuit: Circuit) -> int:
    """Synapses of a projection of rule `fixed_total`.

    From a probability C, as many as connect that share of M pairs by one synapse at least: ln(1 - C) / ln(1 - 1 / M).

    References
    ----------
    Potjans & Diesmann (2014), doi:10.1093/cercor/bhs358.
    """
    source, target = circuit.population(projection.source), circuit.population(projection.target)
    pairs = int(np.count_nonzero(_partner_weights(projection, source, target))) * source.size * target.size
    return projection.total or synapses_for(projection.probability, pairs)


def synapses_for(probability: float, pairs: int) -> int:
    """Draws with replacement that join each of `pairs` at least once with a probability below 1."""
    if pairs < 2:
        return 0
    # log1p would be more exact, by a few synapses in a hundred million; this is the number that has been published.
    return round(math.log(1.0 - probability) / math.log(1.0 - 1.0 / pairs))


def mean_weight_factors(projection: Projection, circuit: Circuit) -> Array:
    """Weight relative to the projection's, without its random part: (target, source) assemblies."""
    source, target = circuit.population(projection.source), circuit.population(projection.target)
    factors = np.ones((target.assemblies, source.assemblies))
    if projection.matrix:
        factors = np.asarray(projection.matrix, dtype=np.float64)
    if projection.rule == "all_to_all" and projection.profile.kind not in ("uniform", "same"):
        # Such a profile cannot choose partners, and scales weights in place of that.
        factors = factors * _relative(projection, _partner_weights(projection, source, target))
    return factors


def weight_moments(weight_cv: float) -> tuple[float, float]:
    """First and second moment of a normal weight of mean 1 in whose place is 0 where it is negative."""
    if weight_cv <= 0.0:
        return 1.0, 1.0
    above = 0.5 * math.erfc(-1.0 / (weight_cv * math.sqrt(2.0)))
    density = weight_cv * math.exp(-0.5 / weight_cv**2) / math.sqrt(2.0 * math.pi)
    return above + density, (1.0 + weight_cv**2) * above + density


def _partner_weights(projection: Projection, source: Population, target: Population) -> Array:
    """The profile, not normalised, and 0 where the matrix is 0: (target, source) assemblies."""
    n, m = target.assemblies, source.assemblies
    profile = projection.profile
    if profile.kind not in ("uniform", "same") and 1 in (n, m):
        # The profile is one of single cells: around the ring, all assemblies receive and send its mean.
        cells = source.size if m == 1 else target.size
        weight = np.full((n, m), float(np.mean(ring_weight(profile, np.arange(cells) / cells))))
    else:
        weight = ring_weight(profile, np.arange(n)[:, None] / n - np.arange(m)[None, :] / m)
    return weight * (np.asarray(projection.matrix) != 0.0) if projection.matrix else weight


def _relative(projection: Projection, weight: Array) -> Array:
    """Weights relative to their mean over the partners of a cell, where the profile is normalised."""
    if not projection.profile.normalised:
        return weight
    return _over(weight * np.count_nonzero(weight, axis=1)[:, None], weight.sum(axis=1, keepdims=True))


def _over(numerator: Array, total: Array | np.float64) -> Array:
    """The quotient, 0 where a cell has no partners."""
    return np.divide(numerator, total, out=np.zeros_like(numerator), where=np.asarray(total) > 0.0)


def _same_index(source: Population, target: Population) -> Array:
    """Share of each target assembly whose partners, the cells of the same index, lie in each source assembly."""
    found = np.zeros((target.assemblies, source.assemblies))
    cells = np.arange(target.cells)
    np.add.at(found, (cells // target.size, cells // source.size), 1.0 / target.size)
    return found
