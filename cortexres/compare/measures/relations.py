"""A similarity of two activities as a cosine of relation matrices: a whole map is one matrix product."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace, device

from cortexres.compare.measures.measure import Orientation, as_float, check_pair, check_stimuli

# Deviations below this many units in the last place of the largest value are rounding, not activity.
ROUNDING_OF_ACTIVITY = 64
ROUNDING_OF_RELATIONS = 1000


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
    """

    name: str
    relation: Callable[[Any], Any]
    minimum_stimuli: int = 3
    orientation: Orientation = "similarity"

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
        """Return relation matrices of norm 1 as (..., n * n); NaN where the activity has no relations.

        Raises
        ------
        ArgumentError
            If there are fewer than `minimum_stimuli`.
        """
        n = activity.shape[-2]
        check_stimuli(self, n)
        xp = array_namespace(activity)
        matrices = self.relation(as_float(activity))
        flat = xp.reshape(matrices, (*matrices.shape[:-2], n * n))
        norms = xp.sqrt(xp.sum(flat * flat, axis=-1, keepdims=True))
        nan = xp.full_like(norms, float("nan"))
        return flat / xp.where(norms > 0, norms, nan)

    def prepared(self, activity: Any) -> Any:
        """Return the relations of norm 1, (k, n * n)."""
        return self.relations(activity)

    def scores(self, a: Any, b: Any) -> Any:
        """Return the cosines (k, l) of unit relations."""
        return cosines(a, b)

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
    scale = xp.max(xp.abs(activity), axis=(-2, -1), keepdims=True)
    return drop_rounding(activity - xp.mean(activity, axis=-2, keepdims=True), scale, ROUNDING_OF_ACTIVITY)


def drop_rounding(values: Any, scale: Any, ulps: int = ROUNDING_OF_RELATIONS) -> Any:
    """Return (..., a, b) with 0 for matrices whose largest entry is within `ulps` roundings of `scale`.

    Without it constant activity would give a similarity of rounding errors, a number between -1 and 1.
    """
    xp = array_namespace(values)
    largest = xp.max(xp.abs(values), axis=(-2, -1), keepdims=True)
    return xp.where(largest > ulps * xp.finfo(values.dtype).eps * scale, values, xp.zeros_like(values))


def off_diagonal(matrices: Any) -> Any:
    """Return (..., n, n) with 0 on the diagonals."""
    xp = array_namespace(matrices)
    eye = xp.eye(matrices.shape[-1], dtype=xp.bool, device=device(matrices))
    return xp.where(eye, xp.zeros_like(matrices), matrices)
