"""The rules by which partners are drawn, as arrays of source and target cells sorted by source.

Sorted, a spike reads its synapses from one stretch of memory; a large network runs several times faster for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from cortexres.circuits.partners import Partners
from cortexres.definitions import Population, Projection
from cortexres.definitions.expected_synapses import synapses_for
from cortexres.errors import DefinitionError

Pairs = tuple[NDArray[np.int32], NDArray[np.int32]]

#: Pairs that are looked at together where each has a probability of its own; bounds the memory this takes.
_CANDIDATES = 4_000_000


def draw_pairs(projection: Projection, source: Population, target: Population, rng: np.random.Generator) -> Pairs:
    """The source and the target cell of every synapse of `projection`, sorted by source.

    A cell may be its own partner under every rule. Where the matrix is 0, or a profile is 0, there are no synapses:
    in-degree, total and probability then hold for the partners that are left.

    Raises
    ------
    DefinitionError
        If a profile raises the probability of a pair above 1.
    """
    return _RULES[projection.rule](projection, Partners(projection, source, target), rng)


def synapse_count(projection: Projection, source: Population, target: Population) -> int:
    """The number of synapses that `draw_pairs` makes; for ``"bernoulli"`` its expectation, rounded.

    Notes
    -----
    ``"fixed_total"`` with a probability C makes the total S = ln(1 - C) / ln(1 - 1 / M) for M possible pairs, so that
    a pair has at least one synapse with probability C (Potjans & Diesmann 2014, doi:10.1093/cercor/bhs358).
    """
    return _count(projection, Partners(projection, source, target))


def _count(projection: Projection, partners: Partners) -> int:
    admitted = partners.summary.admitted
    pairs = int(admitted.sum()) * partners.source.size * partners.target.size
    if projection.rule == "fixed_in_degree":
        return projection.in_degree * partners.target.size * int(np.count_nonzero(admitted))
    if projection.rule == "fixed_total":
        return _total(projection, pairs)
    if projection.rule == "bernoulli":
        chance = projection.probability * partners.scale() * partners.summary.total
        return round(float(chance.sum()) * partners.source.size * partners.target.size)
    if projection.rule == "one_to_one":
        cells = np.arange(partners.target.cells, dtype=np.int32)
        return int(np.count_nonzero(partners.admits(cells, cells)))
    return pairs


def _total(projection: Projection, pairs: int) -> int:
    if projection.total or not pairs:
        return projection.total if pairs else 0
    return synapses_for(projection.probability, pairs)


def _fixed_in_degree(projection: Projection, partners: Partners, rng: np.random.Generator) -> Pairs:
    """Every target cell draws its partners with replacement; the mean field then holds exactly in the mean."""
    counts = np.where(partners.summary.admitted > 0, projection.in_degree, 0).repeat(partners.target.size)
    return _sorted_by_source(_sources(partners, counts, rng), _targets(counts), partners)


def _fixed_total(projection: Projection, partners: Partners, rng: np.random.Generator) -> Pairs:
    """Pairs are drawn with replacement, each as often as any other or as the profile says."""
    total = _count(projection, partners)
    if partners.flat:  # how often each source occurs is multinomial: they need not be drawn one by one, nor sorted
        counts = rng.multinomial(total, np.full(partners.source.cells, 1.0 / partners.source.cells))
        return _targets(counts), rng.integers(partners.target.cells, size=total, dtype=np.int32)
    chance = partners.summary.total.repeat(partners.target.size)
    counts = rng.multinomial(total, chance / chance.sum()) if total else np.zeros(partners.target.cells, dtype=np.int64)
    return _sorted_by_source(_sources(partners, counts, rng), _targets(counts), partners)


def _targets(counts: NDArray[np.int64]) -> NDArray[np.int32]:
    return np.arange(len(counts), dtype=np.int32).repeat(counts)


def _sources(partners: Partners, counts: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int32]:
    """As many partners as `counts` says for every target cell, target by target: first the place, then the cell."""
    n = int(counts.sum())
    if partners.source.count == 1:
        return rng.integers(partners.source.size, size=n, dtype=np.int32)
    place = _source_places(partners, counts.reshape(-1, partners.target.size).sum(axis=1), rng.random(n))
    place *= partners.source.size
    if partners.source.size > 1:
        place += rng.integers(partners.source.size, size=n)
    return place


def _source_places(
    partners: Partners, counts: NDArray[np.int64], uniform: NDArray[np.float64]
) -> NDArray[np.int32]:
    """The source place of each draw, by inversion of the cumulative weights of its target place."""
    found = np.zeros(len(uniform), dtype=np.int32)
    stop = np.cumsum(counts)
    for row in range(partners.distinct):
        weight = partners.row(row)
        if not weight.any():
            continue
        cumulative = np.cumsum(weight / weight.sum())
        # Rounding can leave the last cumulative value just below 1 and a draw above it.
        last = np.flatnonzero(weight)[-1]
        for turn in range(partners.repeats):
            target = turn * partners.distinct + row
            part = slice(stop[target] - counts[target], stop[target])
            drawn = np.minimum(np.searchsorted(cumulative, uniform[part], side="right"), last)
            found[part] = (drawn + turn * partners.shift) % partners.source.count
    return found


def _bernoulli(projection: Projection, partners: Partners, rng: np.random.Generator) -> Pairs:
    """Every pair is joined or not, independently of all others."""
    scale = projection.probability * partners.scale()
    peak = float((scale * partners.summary.largest).max())
    if peak > 1.0 + 1e-12:
        raise DefinitionError(
            f"projection {projection.source} -> {projection.target}: its profile gives some pairs the probability "
            f"{peak:.3g}, expected at most 1; lower probability = {projection.probability:g} or widen the profile"
        )
    if partners.flat:
        return _block(partners.source.cells, partners.target.cells, peak, rng)
    if partners.by_cell:
        return _thinned(partners, scale, peak, rng)
    return _blocks(partners, scale, rng)


def _blocks(partners: Partners, scale: NDArray[np.float64], rng: np.random.Generator) -> Pairs:
    """Pair of assemblies by pair of assemblies; within one, all pairs of cells have the same probability."""
    sources, targets = [np.empty(0, dtype=np.int32)], [np.empty(0, dtype=np.int32)]
    for row in range(partners.target.count):
        chances = np.minimum(scale[row] * partners.row(row), 1.0)
        for column in np.flatnonzero(chances):
            source, target = _block(partners.source.size, partners.target.size, float(chances[column]), rng)
            sources.append(source + np.int32(column * partners.source.size))
            targets.append(target + np.int32(row * partners.target.size))
    return _sorted_by_source(np.concatenate(sources), np.concatenate(targets), partners)


def _thinned(partners: Partners, scale: NDArray[np.float64], peak: float, rng: np.random.Generator) -> Pairs:
    """Pairs with the largest probability of all, of which each is then kept as its own probability asks."""
    sources, targets = [np.empty(0, dtype=np.int32)], [np.empty(0, dtype=np.int32)]
    slab = max(1, _CANDIDATES // partners.target.cells)
    for first in range(0, partners.source.cells, slab):
        n = min(slab, partners.source.cells - first)
        source, target = _block(n, partners.target.cells, min(peak, 1.0), rng)
        source += np.int32(first)
        chance = scale[target // partners.target.size] * partners.weight(target, source)
        keep = rng.random(len(source)) * peak < chance
        sources.append(source[keep])
        targets.append(target[keep])
    return np.concatenate(sources), np.concatenate(targets)


def _block(n_source: int, n_target: int, probability: float, rng: np.random.Generator) -> Pairs:
    """Each pair with the same probability, sorted by source: the gaps between joined pairs are geometric."""
    pairs, found, last = n_source * n_target, [np.empty(0, dtype=np.int64)], -1
    while probability > 0.0 and last < pairs:
        expected = (pairs - last) * probability
        gaps = rng.geometric(probability, size=int(expected + 4.0 * math.sqrt(expected) + 10.0))
        found.append(last + np.cumsum(np.minimum(gaps, pairs + 1)))
        last = int(found[-1][-1])
    joined = np.concatenate(found)
    source, target = np.divmod(joined[: np.searchsorted(joined, pairs)], n_target)
    return source.astype(np.int32), target.astype(np.int32)


def _one_to_one(projection: Projection, partners: Partners, rng: np.random.Generator) -> Pairs:
    """Cell by cell; a profile, which spreads partners, has nothing to spread."""
    cells = np.arange(partners.source.cells, dtype=np.int32)
    keep = partners.admits(cells, cells)
    return cells[keep], cells[keep]


def _all_to_all(projection: Projection, partners: Partners, rng: np.random.Generator) -> Pairs:
    source = np.arange(partners.source.cells, dtype=np.int32).repeat(partners.target.cells)
    target = np.tile(np.arange(partners.target.cells, dtype=np.int32), partners.source.cells)
    if partners.flat:
        return source, target
    keep = partners.weight(target, source) > 0
    return source[keep], target[keep]


def _sorted_by_source(source: NDArray[np.int32], target: NDArray[np.int32], partners: Partners) -> Pairs:
    """The same pairs by source and, among those, as they were: a counting sort, several times faster than argsort."""
    n = len(source)
    if n == 0:
        return source, target
    # One row per synapse, with its source as the column: the transposition sorts them, and merges none.
    rows = csr_array((target, source, np.arange(n + 1, dtype=np.int32)), shape=(n, partners.source.cells))
    columns = rows.tocsc()
    return _targets(np.diff(columns.indptr)), columns.data


_RULES: dict[str, Callable[[Projection, Partners, np.random.Generator], Pairs]] = {
    "fixed_in_degree": _fixed_in_degree,
    "fixed_total": _fixed_total,
    "bernoulli": _bernoulli,
    "one_to_one": _one_to_one,
    "all_to_all": _all_to_all,
}
