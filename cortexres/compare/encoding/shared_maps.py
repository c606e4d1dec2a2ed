"""One linear map from the brain's units to the network's, the same for all times and blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cortexres.compare.encoding.ridge import PENALTIES, decomposed, predicted_deviations
from cortexres.errors import ArgumentError

INNER_FOLDS = 5


@dataclass(frozen=True)
class SharedMap:
    """A way to learn a map (unit, network unit) from pairs of states of the same stimuli.

    Parameters
    ----------
    name : str
        Goes into the attributes of the scores.
    learn : callable or None
        ``learn(brain, network)`` of (pair, stimulus, unit) and (pair, stimulus, network unit), both centred over
        stimuli, returns (unit, network unit). None: both sides have the same units, and nothing is learned.
    """

    name: str
    learn: Callable[[np.ndarray, np.ndarray], np.ndarray] | None


def _ridge(brain: np.ndarray, network: np.ndarray) -> np.ndarray:
    """Return the ridge map of the penalty that predicts stimuli left out best, with all their pairs."""
    stimuli = brain.shape[1]
    fold = np.arange(stimuli) % min(INNER_FOLDS, stimuli)
    errors = np.zeros(len(PENALTIES))
    for k in np.unique(fold):
        x, y, new, truth = (_stacked(side[:, mask]) for mask in (fold != k, fold == k) for side in (brain, network))
        parts = decomposed(x)
        predicted = [y.mean(axis=0) + predicted_deviations(parts, y, new, penalty) for penalty in PENALTIES]
        errors += [float(np.sum((truth - values) ** 2)) for values in predicted]
    return _weights(_stacked(brain), _stacked(network), PENALTIES[int(np.argmin(errors))])


def _weights(x: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
    """Return the ridge weights: what each unit alone would predict."""
    parts = decomposed(x)
    weights: np.ndarray = predicted_deviations(parts, y, np.eye(x.shape[1]) + parts.mean, penalty)
    return weights


def _procrustes(brain: np.ndarray, network: np.ndarray) -> np.ndarray:
    """Return the rotation times a scale of least squared error; of unlike numbers of units, a partial isometry."""
    x, y = _stacked(brain), _stacked(network)
    left, singular, right = np.linalg.svd(x.T @ y, full_matrices=False)
    power = float(np.sum(x**2))
    rotation: np.ndarray = (left @ right) * (float(singular.sum()) / power if power > 0 else 0.0)
    return rotation


def _stacked(pairs: np.ndarray) -> np.ndarray:
    """Return (pair * stimulus, unit)."""
    return pairs.reshape(-1, pairs.shape[-1])


ridge_map = SharedMap("ridge", _ridge)
"""Ridge regression of the network's units on the brain's, one penalty for all, chosen by leaving stimuli out."""

procrustes_map = SharedMap("procrustes", _procrustes)
"""Rotation and scale, which keep the geometry: distances between stimuli on one side are those on the other.

References
----------
Schönemann, P. H. (1966). A generalized solution of the orthogonal Procrustes problem. Psychometrika 31, 1-10.
doi:10.1007/BF02289451
"""

same_units_map = SharedMap("same_units", None)
"""No map: the network's units are the brain's, as in a network made from the circuit."""


def paired_states(
    brain: np.ndarray, network: np.ndarray, time: np.ndarray, t_ms: Sequence[float] | np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the states (pair, stimulus, unit) of both sides that a shared map is learned from.

    Parameters
    ----------
    brain, network : numpy.ndarray
        (time, stimulus, unit) and (block, stimulus, unit), both centred over stimuli.
    time : numpy.ndarray
        (time,) in ms, 0 at onset.
    t_ms : sequence of float, optional
        Time of each block in ms: each block within the recording and the brain's state then, interpolated between
        bins, are a pair. None: the means over all blocks and over the time since onset are the one pair.

    Raises
    ------
    ArgumentError
        If there is not one time for each block, no block lies within the recording, or no time since onset.
    """
    if t_ms is None:
        since = time >= 0
        if not since.any():
            raise ArgumentError(f"got a recording that ends at {time[-1]:g} ms, expected one that reaches beyond onset")
        return brain[since].mean(axis=0)[None], network.mean(axis=0)[None]
    times = np.asarray(t_ms, dtype=float)
    if times.shape != (len(network),):
        blocks = len(network)
        raise ArgumentError(f"got t_ms of shape {times.shape}, expected a time in ms for each of {blocks} blocks")
    inside = (times >= time[0]) & (times <= time[-1])
    if not inside.any():
        raise ArgumentError(
            f"got t_ms from {times.min():g} to {times.max():g}, expected a block within the recording at"
            f" {time[0]:g}..{time[-1]:g} ms"
        )
    weights = np.stack([np.interp(times[inside], time, one) for one in np.eye(time.size)], axis=1)
    return np.tensordot(weights, brain, axes=1), network[inside]
