"""What a measure of two activities has to offer, so that maps, nulls and intervals are written once for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from array_api_compat import array_namespace

from cortexres.errors import ArgumentError

Orientation = Literal["similarity", "distance"]


class Comparison(Protocol):
    """A measure in two steps: what can be made of each activity alone, and the score of two of those.

    The first step is taken once per time and once per block, the second for every pair; and since the first keeps
    the stimuli apart, a permutation of the stimuli needs the second only.
    """

    @property
    def name(self) -> str:
        """Names the variables in the scores Dataset."""

    @property
    def orientation(self) -> Orientation:
        """Whether alike means high (similarity) or low (distance)."""

    @property
    def minimum_stimuli(self) -> int:
        """Fewest stimuli for which it is defined."""

    @property
    def chance_is_zero(self) -> bool:
        """Whether unrelated activities score 0 on average, as measures do that are debiased."""

    def prepared(self, activity: Any) -> Any:
        """Return what is made of each activity (k, n, p) alone, k in number along axis 0."""

    @property
    def takes_trials(self) -> bool:
        """Whether single trials say more to it than their mean does."""

    def prepared_trials(self, trials: Any) -> Any:
        """Return what is made of trials (n, trial, k, p), alone for each k: of their mean, unless it takes trials."""

    def scores(self, a: Any, b: Any) -> Any:
        """Return the scores (k, l) of k prepared activities with l others; NaN where undefined."""

    def matched_scores(self, a: Any, b: Any) -> Any:
        """Return the scores (k,) of k prepared activities, each with its counterpart: the diagonal of `scores`."""

    def reordered(self, prepared: Any, order: Any) -> Any:
        """Return what `prepared` gives for the activity with its stimuli in another order, (n,) integers."""


@dataclass(frozen=True)
class Measure:
    """A `Comparison` made of two functions, for measures that are no cosine of relations (see `Similarity`).

    Parameters
    ----------
    name : str
        Names the variables in the scores Dataset.
    prepare : callable
        Maps activity (k, n, p) to (k, n, ...), with the stimuli along axis 1 and, for relations, along axis 2 too.
        Written for the array API.
    score : callable
        Maps two of those, k and l in number, to scores (k, l).
    keeps : {"patterns", "relations"}
        Whether the prepared values have stimuli along one axis, or along two as matrices of relations.
    orientation : {"similarity", "distance"}
        Whether alike means high or low.
    minimum_stimuli : int
        Fewest stimuli for which it is defined.
    chance_is_zero : bool
        Whether unrelated activities score 0 on average.
    """

    name: str
    prepare: Callable[[Any], Any]
    score: Callable[[Any, Any], Any]
    keeps: Literal["patterns", "relations"] = "patterns"
    orientation: Orientation = "similarity"
    minimum_stimuli: int = 3
    chance_is_zero: bool = True

    def __call__(self, x: Any, y: Any) -> float:
        """Return the score of activities (n, p) and (n, q); NaN where it is undefined.

        Raises
        ------
        ArgumentError
            If the arrays are not two-dimensional, differ in their number of stimuli, or hold too few.
        """
        check_pair(self, x, y)
        return float(self.scores(self.prepared(x[None]), self.prepared(y[None]))[0, 0])

    def prepared(self, activity: Any) -> Any:
        """Return what is made of each activity (k, n, p) alone.

        Raises
        ------
        ArgumentError
            If there are fewer than `minimum_stimuli`.
        """
        check_stimuli(self, activity.shape[-2])
        return self.prepare(as_float(activity))

    @property
    def takes_trials(self) -> bool:
        """False: there is no such measure that is no cosine of relations."""
        return False

    def prepared_trials(self, trials: Any) -> Any:
        """Return what is made of the mean over trials (n, trial, k, p), alone for each k.

        Raises
        ------
        ArgumentError
            If there are fewer than `minimum_stimuli`.
        """
        return self.prepared(mean_over_trials(trials))

    def scores(self, a: Any, b: Any) -> Any:
        """Return the scores (k, l) of prepared activities."""
        return self.score(a, b)

    def matched_scores(self, a: Any, b: Any) -> Any:
        """Return the scores (k,) of prepared activities, each with its counterpart."""
        xp = array_namespace(a, b)
        return xp.stack([self.score(a[k : k + 1, ...], b[k : k + 1, ...])[0, 0] for k in range(a.shape[0])])

    def reordered(self, prepared: Any, order: Any) -> Any:
        """Return the prepared values with the stimuli in another order."""
        xp = array_namespace(prepared)
        rows = xp.take(prepared, order, axis=1)
        return xp.take(rows, order, axis=2) if self.keeps == "relations" else rows


def check_pair(measure: Comparison, x: Any, y: Any) -> None:
    """Raise where two activities are not (n, p) and (n, q) with the same n.

    Raises
    ------
    ArgumentError
        Then.
    """
    if x.ndim != 2 or y.ndim != 2 or x.shape[0] != y.shape[0]:
        raise ArgumentError(
            f"{measure.name}: got shapes {tuple(x.shape)} and {tuple(y.shape)}, expected (n, p) and (n, q) with the"
            " same n stimuli; select one time and one block"
        )


def check_stimuli(measure: Comparison, n: int) -> None:
    """Raise where there are too few stimuli.

    Raises
    ------
    ArgumentError
        Then.
    """
    if n < measure.minimum_stimuli:
        raise ArgumentError(
            f"{measure.name}: got {n} stimuli, expected at least {measure.minimum_stimuli}; use more stimuli"
        )


def mean_over_trials(trials: Any) -> Any:
    """Return the mean over trials (n, trial, k, p) as activities (k, n, p)."""
    xp = array_namespace(trials)
    return xp.permute_dims(xp.mean(as_float(trials), axis=1), (1, 0, 2))


def as_float(values: Any) -> Any:
    """Return `values` as they are if floating, else in double precision."""
    xp = array_namespace(values)
    return values if xp.isdtype(values.dtype, "real floating") else xp.astype(values, xp.float64)


def as_double(values: Any) -> Any:
    """Return `values` in double precision."""
    xp = array_namespace(values)
    return xp.astype(values, xp.float64)
