"""A similarity of two activities as a cosine of relation matrices: a whole map is one matrix product."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from array_api_compat import array_namespace, device

from cortexres.compare.measures.measure import Orientation, as_float, check_pair, check_stimuli, mean_over_trials

# Deviations below this many units in the last place of the largest value are rounding, not activity.
ROUNDING_OF_ACTIVITY = 64
ROUNDING_OF_RELATIONS = 1000


def frobenius(activity: Any, matrices: Any) -> Any:
    """Return the Frobenius norms (..., 1) of relation matrices (..., n, n), whatever the activity."""
    xp = array_namespace(matrices)
    return xp.sqrt(xp.sum(matrices * matrices, axis=(-2, -1)))[..., None]


@dataclass(frozen=True)
class Similarity:
    """A measure of how alike two activities are over the same stimuli: 1 alike, 0 (where debiased) unrelated.

    Parameters
    ----------
    name : str
        Names the variables in the scores Dataset.
    relation : callable
        Maps activity (..., n, p) to symmetric relation matrices (..., n, n), centred so that the similarity
        is the cosine of two of them. Written for the array API: numpy arrays and torch tensors alike. It
        returns zeros where the relations are all the same (constant activity), so that the similarity is
        undefined there.
    minimum_stimuli : int
        Fewest stimuli for which the relation is defined.
    orientation : {"similarity"}
        Alike means high.
    relation_of_trials : callable, optional
        Maps trials (n, trial, time, p) to relation matrices (time, n, n), where single trials say more than their
        mean does (distances over folds of trials). The network's side, which has no trials, keeps `relation`.
    size : callable
        Maps activity (..., n, p) and its relation matrices to what the matrices are divided by, (..., 1): their
        Frobenius norms, unless the measure has another idea of them. NaN, or not above 0, where undefined.
    sample : {"pairs", "ranks", "stimuli"}
        What a bootstrap sample of the stimuli needs: "pairs", the value of a pair depends on these two stimuli
        alone, but for the centring, and the size is the norm, so that pairs can be weighted; "ranks", the same for
        values that have to be ranked anew; "stimuli", everything anew, from the activity of the sample.
    chance_is_zero : bool
        Whether unrelated activities score 0 on average.
    """

    name: str
    relation: Callable[[Any], Any]
    minimum_stimuli: int = 3
    orientation: Orientation = "similarity"
    relation_of_trials: Callable[[Any], Any] | None = None
    size: Callable[[Any, Any], Any] = frobenius
    sample: Literal["pairs", "ranks", "stimuli"] = "pairs"
    chance_is_zero: bool = True

    def __call__(self, x: Any, y: Any) -> float:
        """Return the similarity of activities (n, p) and (n, q); NaN where either is constant over stimuli.

        Raises
        ------
        ArgumentError
            If the arrays are not two-dimensional, differ in their number of stimuli, or hold too few.
        """
        check_pair(self, x, y)
        return float(cosines(self.relations(x[None]), self.relations(y[None]))[0, 0])

    def relations(self, activity: Any) -> Any:
        """Return relation matrices of size 1 as (..., n * n); NaN where the activity has no relations.

        Raises
        ------
        ArgumentError
            If there are fewer than `minimum_stimuli`.
        """
        check_stimuli(self, activity.shape[-2])
        activity = as_float(activity)
        return self._of_size_one(activity, self.relation(activity))

    def relations_of_trials(self, trials: Any) -> Any:
        """Return relation matrices of size 1 as (time, n * n) of trials (n, trial, time, p).

        Those of the mean over trials, unless the measure has a `relation_of_trials`.

        Raises
        ------
        ArgumentError
            If there are fewer than `minimum_stimuli`, or too few trials.
        """
        check_stimuli(self, trials.shape[0])
        mean = mean_over_trials(trials)
        if self.relation_of_trials is None:
            return self.relations(mean)
        return self._of_size_one(mean, self.relation_of_trials(as_float(trials)))

    def _of_size_one(self, activity: Any, matrices: Any) -> Any:
        xp = array_namespace(matrices)
        n = matrices.shape[-1]
        sizes = self.size(activity, matrices)
        flat = xp.reshape(matrices, (*matrices.shape[:-2], n * n))
        return flat / xp.where(sizes > 0, sizes, xp.full_like(sizes, float("nan")))

    def prepared(self, activity: Any) -> Any:
        """Return the relations of size 1, (k, n * n)."""
        return self.relations(activity)

    @property
    def takes_trials(self) -> bool:
        """Whether relations are made of single trials, which takes two of them or more."""
        return self.relation_of_trials is not None

    def prepared_trials(self, trials: Any) -> Any:
        """Return the relations of size 1 of trials (n, trial, k, p), (k, n * n)."""
        return self.relations_of_trials(trials)

    def scores(self, a: Any, b: Any) -> Any:
        """Return the cosines (k, l) of unit relations."""
        return cosines(a, b)

    def matched_scores(self, a: Any, b: Any) -> Any:
        """Return the cosines (k,) of unit relations, each with its counterpart."""
        return array_namespace(a, b).sum(a * b, axis=-1)

    def reordered(self, prepared: Any, order: Any) -> Any:
        """Return the relations (k, n * n) with the stimuli in another order."""
        xp = array_namespace(prepared)
        n = order.shape[0]
        return xp.take(prepared, xp.reshape(order[:, None] * n + order[None, :], (-1,)), axis=-1)


def cosines(a: Any, b: Any) -> Any:
    """Return the similarities (a, b) of two stacks of unit relations (a, m) and (b, m): one GEMM."""
    xp = array_namespace(a, b)
    return xp.matmul(a, xp.matrix_transpose(b))


def centre_stimuli(activity: Any) -> Any:
    """Return activity (..., n, p) minus its mean over stimuli; exactly 0 where the rest is only rounding."""
    xp = array_namespace(activity)
    mean = xp.mean(activity, axis=-2, keepdims=True)
    # What is rounding of constant activity is small beside the mean.
    return drop_rounding(activity - mean, largest(mean), ROUNDING_OF_ACTIVITY)


def drop_rounding(values: Any, scale: Any, ulps: int = ROUNDING_OF_RELATIONS) -> Any:
    """Return (..., a, b) with 0 for matrices whose largest entry is within `ulps` roundings of `scale`.

    Without it constant activity would give a similarity of rounding errors, a number between -1 and 1. What is NaN
    stays it.
    """
    xp = array_namespace(values)
    rounding = largest(values) <= ulps * xp.finfo(values.dtype).eps * scale
    # Most often there is none, and copying the largest matrices takes as long as what they are made for.
    return xp.where(rounding, xp.zeros_like(values), values) if bool(xp.any(rounding)) else values


def largest(matrices: Any) -> Any:
    """Return the largest absolute value of each matrix (..., a, b), (..., 1, 1), without a copy of them all."""
    xp = array_namespace(matrices)
    highest, lowest = (extreme(matrices, axis=(-2, -1), keepdims=True) for extreme in (xp.max, xp.min))
    return xp.maximum(highest, -lowest)


def off_diagonal(matrices: Any) -> Any:
    """Return (..., n, n) with 0 on the diagonals."""
    xp = array_namespace(matrices)
    eye = xp.eye(matrices.shape[-1], dtype=xp.bool, device=device(matrices))
    return xp.where(eye, xp.zeros_like(matrices), matrices)
