"""Ridge predictions for stimuli that had no part in them: neither in the map nor in the choice of its penalty."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from cortexres.compare.encoding.ridge import best_penalties, decomposed, predicted_deviations


@dataclass(frozen=True)
class LeftOut:
    """What one fold's map says of the stimuli that it did not see.

    Parameters
    ----------
    test : array
        (m,) indices of the stimuli left out.
    deviations : array
        (m, q), predicted beyond the targets' mean over the stimuli learned from.
    mean : array
        (1, q), that mean.
    error : array
        (q,), sum of squared leave-one-out errors among the stimuli learned from, at the chosen penalties.
    """

    test: Any
    deviations: Any
    mean: Any
    error: Any


def left_out_predictions(features: Any, targets: Any, folds: Any, penalties: Sequence[float]) -> Iterator[LeftOut]:
    """Yield, fold by fold, the ridge predictions for the stimuli left out.

    The features are decomposed once per fold, whatever the number of targets: all time bins and units, and all
    permutations of the stimuli, are targets of one and the same decomposition. Each target has the penalty of least
    leave-one-out error among the stimuli learned from.

    Parameters
    ----------
    features : array
        (n, p), numpy or torch.
    targets : array
        (n, q), of the same kind.
    folds : array
        (n,) integers: the fold in which each stimulus is left out.
    penalties : sequence of float
        To choose from, in units of the mean eigenvalue of the features' Gram matrix.
    """
    xp = array_namespace(features, targets)
    for fold in xp.unique_values(folds):
        (test,), (train,) = xp.nonzero(folds == fold), xp.nonzero(folds != fold)
        parts = decomposed(xp.take(features, train, axis=0))
        seen = xp.take(targets, train, axis=0)
        chosen, error = best_penalties(parts, seen, penalties)
        yield LeftOut(
            test=test,
            deviations=predicted_deviations(parts, seen, xp.take(features, test, axis=0), chosen),
            mean=xp.mean(seen, axis=0, keepdims=True),
            error=error[0],
        )
