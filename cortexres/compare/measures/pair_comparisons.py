"""How alike two matrices of dissimilarities are: Pearson, Spearman, rho-a, cosine, and the two whitened ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from array_api_compat import array_namespace

from cortexres.compare.measures.pair_ranks import rank_pairs
from cortexres.compare.measures.relations import cosines, drop_rounding, frobenius, off_diagonal


@dataclass(frozen=True)
class PairComparison:
    """A way to compare dissimilarity matrices that is a cosine of something made of each of them alone.

    Parameters
    ----------
    relation : callable
        Maps dissimilarities (..., n, n) to symmetric matrices (..., n, n), zeros where nothing can be said.
    size : callable
        Maps dissimilarities and those matrices to what the matrices are divided by, (..., 1).
    sample : {"pairs", "ranks", "stimuli"}
        What a bootstrap sample needs; see `Similarity`.
    double : bool
        Whether the dissimilarities have to be computed in double precision: values that differ by rounding are tied,
        and in single precision many of some thousand values do.
    chance_is_zero : bool
        Whether the value is 0 on average where the dissimilarities are unrelated.
    """

    relation: Callable[[Any], Any]
    size: Callable[[Any, Any], Any] = frobenius
    sample: Literal["pairs", "ranks", "stimuli"] = "pairs"
    double: bool = False
    chance_is_zero: bool = True

    def __call__(self, a: Any, b: Any) -> Any:
        """Return the values (k, l) of dissimilarity matrices (k, n, n) and (l, n, n), each pair of them; NaN where
        one has the same value everywhere, or any NaN."""
        return cosines(self._unit(a), self._unit(b))

    def _unit(self, matrices: Any) -> Any:
        xp = array_namespace(matrices)
        relations = self.relation(matrices)
        sizes = self.size(matrices, relations)
        flat = xp.reshape(relations, (relations.shape[0], -1))
        return flat / xp.where(sizes > 0, sizes, xp.full_like(sizes, float("nan")))


def centre_pairs(dissimilarities: Any) -> Any:
    """Return (..., n, n) minus the mean over pairs, zero on the diagonals: cosines become correlations."""
    xp = array_namespace(dissimilarities)
    n = dissimilarities.shape[-1]
    mean = xp.sum(dissimilarities, axis=(-2, -1), keepdims=True) / (n * (n - 1))
    scale = xp.max(xp.abs(dissimilarities), axis=(-2, -1), keepdims=True)
    return drop_rounding(off_diagonal(dissimilarities - mean), scale)


def centre_ranks(dissimilarities: Any) -> Any:
    """Return the ranks of the pairs minus their mean, (..., n, n)."""
    return centre_pairs(rank_pairs(dissimilarities))


def whiten(dissimilarities: Any) -> Any:
    """Return -1/2 H D H, the centred Gram matrices (..., n, n) that squared distances D imply; H centres.

    Their inner product is d' V^-1 e up to a factor, where V is the covariance that the distances of independent,
    equally noisy patterns have: distances that share a stimulus are not independent.

    References
    ----------
    Diedrichsen, J. et al. (2021). Comparing representational geometries using whitened unbiased-distance-matrix
    similarity. Neurons, Behavior, Data analysis, and Theory 5. arXiv:2007.02789
    """
    xp = array_namespace(dissimilarities)
    rows = xp.mean(dissimilarities, axis=-1, keepdims=True)
    total = xp.mean(rows, axis=-2, keepdims=True)
    centred = -(dissimilarities - rows - xp.matrix_transpose(rows) + total) / 2
    return drop_rounding(centred, xp.max(xp.abs(dissimilarities), axis=(-2, -1), keepdims=True))


def whiten_centred(dissimilarities: Any) -> Any:
    """Return `whiten` of the dissimilarities minus their mean over pairs."""
    return whiten(centre_pairs(dissimilarities))


def size_without_ties(dissimilarities: Any, ranks: Any) -> Any:
    """Return the norms (..., 1) that centred ranks would have if none were tied; 0 where all are."""
    xp = array_namespace(ranks)
    n = ranks.shape[-1]
    m = n * (n - 1) // 2
    norms = frobenius(dissimilarities, ranks)
    # Each pair stands twice in the matrix.
    return xp.where(norms > 0, xp.full_like(norms, (2 * (m**3 - m) / 12) ** 0.5), norms)


def as_they_are(dissimilarities: Any) -> Any:
    """Return the dissimilarities."""
    return dissimilarities


pearson = PairComparison(centre_pairs)
"""Correlation over pairs: the relation is linear, with any offset."""

cosine = PairComparison(as_they_are, chance_is_zero=False)
"""Cosine over pairs: proportional, so the dissimilarity has to have a true zero (crossnobis has)."""

spearman = PairComparison(centre_ranks, sample="ranks", double=True)
"""Correlation of ranks: monotonic. A model that predicts ties gets too high a value; see `rho_a`."""

rho_a = PairComparison(centre_ranks, size=size_without_ties, sample="stimuli", double=True)
"""Spearman's rho, averaged over all ways of breaking ties: with ties below 1 even with itself (Schuett et al. 2023).

References
----------
Schütt, H. et al. (2023). Statistical inference on representational geometries. eLife 12:e82566.
doi:10.7554/eLife.82566
"""

whitened_cosine = PairComparison(whiten, sample="stimuli", chance_is_zero=False)
"""Cosine of whitened dissimilarities: of squared Euclidean ones it is linear CKA, with its bias."""

whitened_pearson = PairComparison(whiten_centred, sample="stimuli")
"""Cosine of whitened dissimilarities from which their mean over pairs was taken."""
