"""Generalisation from network to brain: classifiers learned on blocks and tested on time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr

from cortexres.compare.choices import seeded
from cortexres.compare.defined import largest_of_defined
from cortexres.compare.encoding.accuracy import accuracy_variables, at_times, balanced, chosen, right_decisions
from cortexres.compare.encoding.classifiers import Classifier, shrinkage_lda
from cortexres.compare.encoding.examples import Examples, classes_of, folds_of, of_brain, of_network
from cortexres.compare.encoding.folds import dealt_by_class
from cortexres.compare.encoding.reliability import same_for_all
from cortexres.compare.encoding.shared_maps import SharedMap, paired_states, ridge_map
from cortexres.compare.nulls import permute_stimuli
from cortexres.compare.pairing import along, float_values, same_units
from cortexres.errors import ArgumentError
from cortexres.provenance import provenance
from cortexres.schema import check_brain, check_network, same_stimuli

Pairs = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def generalise_across(
    brain: xr.Dataset,
    network: xr.Dataset,
    labels: str | Sequence[object] | np.ndarray,
    *,
    classifier: Classifier = shrinkage_lda,
    shared_map: SharedMap = ridge_map,
    t_ms: Sequence[float] | np.ndarray | None = None,
    folds: int | np.ndarray = 5,
    permutations: int = 0,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return the balanced accuracy of classifiers learned on the network's blocks and tested on the brain's trials.

    One linear map takes the brain's units to the network's, the same at all times and for all blocks: with a map for
    each pair, every pair would match that has the same information, whatever its code. Stimuli are left out in folds.
    Of the others, half teach the map and half the classifiers, then the halves change roles. A classifier never sees
    brain activity, and no stimulus has two parts: a map takes the brain's classes to whatever states the network has
    for its stimuli, and with the same stimuli to learn from, classifiers would find them there, in random states too.
    A learned map still takes any code for classes to any other. What is shown is that one map for all times and blocks
    does, for other stimuli, then and there; not that the codes were alike before it, for which `same_units_map` is.

    At every time and block the mean over the stimuli learned from is taken off, on both sides: levels that move for
    all stimuli alike are no code.

    Parameters
    ----------
    brain, network : xarray.Dataset
        With the same stimuli.
    labels : str or sequence
        Coordinate of the network's stimuli that names their classes, or one class for each stimulus; three or more
        stimuli of each, two where units are the same and no map is learned.
    classifier : Classifier
        `shrinkage_lda` or `max_correlation`.
    shared_map : SharedMap
        `ridge_map`, `procrustes_map`, or `same_units_map` where the units are the same on both sides.
    t_ms : sequence of float, optional
        Time of each block, (block,), for the pairs that the map is learned from. This favours the pairs themselves:
        that they score higher than others is then no evidence. By default the map is learned from the means over
        blocks and over the time since onset, which favours no pair.
    folds : int or numpy.ndarray
        Number of parts, or the part of each stimulus that is left out, integers.
    permutations : int
        Orders of the stimuli for which everything is computed again, once with the brain's activity in that order and
        once with the network's, the classes staying: a network without the classes is to be found in no brain, and no
        network in a brain without them. The larger of the two p-values is given. 0 for none.
    rng : int or numpy.random.Generator, optional
        Deals the folds and draws the orders.

    Returns
    -------
    xarray.Dataset
        ``accuracy`` (block, time), ``attrs["chance"]``; ``accuracy_ceiling`` (time): of the same classifier learned at
        the same time on the brain's own trials, the same stimuli left out. With permutations, ``accuracy_p``, corrected
        for the whole matrix by its largest value, and ``accuracy_null_max``. NaN at blocks that are the same for all
        stimuli.

    Raises
    ------
    SchemaError
        If a Dataset does not keep the schema, the stimuli differ, or the units where they are taken as the same.
    ArgumentError
        If the labels do not fit, a class has too few stimuli, or the times of the blocks do not fit.

    References
    ----------
    King, J.-R., Dehaene, S. (2014). Characterizing the dynamics of mental representations: the temporal generalization
    method. Trends in Cognitive Sciences 18, 203-210. doi:10.1016/j.tics.2014.01.002
    """
    check_brain(brain)
    check_network(network)
    same_stimuli(brain, network)
    if shared_map.learn is None:
        same_units(brain, network)
    if permutations < 0:
        raise ArgumentError(f"got permutations={permutations}, expected 0 or more (500 for p-values down to 0.002)")
    seed, rng = seeded(rng)
    classes, names = classes_of(network, labels)
    blocks, trials = of_network(network, classes), of_brain(brain, classes)
    fold = folds_of(blocks, "stimulus", folds, rng)
    constant = same_for_all(blocks.activity)
    pairs = partial(paired_states, time=float_values(brain["time"]), t_ms=t_ms)
    splits = _splits(classes, fold, shared_map.learn is not None, rng)
    matrix = _left_out(blocks, trials, splits, classifier, shared_map, pairs)
    matrix[constant] = np.nan
    peaks = np.empty((2, permutations))
    for j, order in enumerate(_orders(len(classes), permutations, rng)):
        for null, sides in enumerate(((blocks, _reordered(trials, order)), (_reordered(blocks, order), trials))):
            permuted = _left_out(*sides, splits, classifier, shared_map, pairs)[~constant]
            peaks[null, j] = largest_of_defined(permuted, axis=None)
    undefined = f"blocks {np.flatnonzero(constant).tolist()} are the same for all stimuli" if constant.any() else ""
    variables = accuracy_variables(matrix, peaks, ("block", "time"), undefined)
    ceiling = _ceiling(trials, fold, classifier)
    text = "balanced accuracy, learned and tested at the same time of the brain"
    variables["accuracy_ceiling"] = xr.Variable(("time",), ceiling, {"units": "1", "long_name": text})
    coords = along(network, "block") | along(brain, "time")
    attrs = {
        "model": str(network.attrs.get("model", "")),
        "n_stimuli": len(classes),
        "n_classes": len(names),
        "chance": 1 / len(names),
        "classifier": classifier.name,
        "shared_map": shared_map.name,
        "learned_from": "means over blocks and time since onset" if t_ms is None else "pairs at t_ms, which it favours",
        "leave_out": "stimulus",
        "measure": "accuracy",
        "orientation": "similarity",
        "null": "permute_stimuli of either side" if permutations else "none",
        "permutations": permutations,
        "cortexres_provenance": provenance(classes=names, folds=fold.tolist(), seed=seed),
    }
    return xr.Dataset(variables, coords=coords, attrs=attrs)


@dataclass(frozen=True)
class _Split:
    """Who learns what, as masks over stimuli: the map, the classifier, and who is tested on; no stimulus twice."""

    map: np.ndarray
    classifier: np.ndarray
    test: np.ndarray


def _splits(classes: np.ndarray, fold: np.ndarray, halved: bool, rng: np.random.Generator) -> list[list[_Split]]:
    """Return the splits of each fold: two, in which the halves of those learned from change roles, or one."""
    splits = []
    for k in np.unique(fold):
        test, train = fold == k, np.flatnonzero(fold != k)
        if not halved:
            splits.append([_Split(test, ~test, test)])
            continue
        half = dealt_by_class(classes[train], 2, rng)
        masks = [np.isin(np.arange(fold.size), train[half == j]) for j in (0, 1)]
        for mask in masks:
            if np.setdiff1d(classes, classes[mask]).size:
                raise ArgumentError(
                    "a class has one stimulus to learn from while a fold is left out, expected two or more, one for the"
                    " map and another for the classifier; use three or more stimuli of each class, or more folds"
                )
        splits.append([_Split(masks[0], masks[1], test), _Split(masks[1], masks[0], test)])
    return splits


def _left_out(
    blocks: Examples,
    trials: Examples,
    splits: list[list[_Split]],
    classifier: Classifier,
    shared_map: SharedMap,
    pairs: Pairs,
) -> np.ndarray:
    """Return the accuracy (block, time), each stimulus tested on while it is left out."""
    weights = balanced(trials.classes)
    matrix = np.zeros((blocks.activity.shape[0], trials.activity.shape[0]))
    for split in (one for fold in splits for one in fold):
        test = split.test[trials.stimuli]
        here, there = _centred(blocks, ~split.test), _centred(trials, ~test)
        weight = None
        if shared_map.learn is not None:
            seen = there.activity[:, split.map[trials.stimuli]]
            shape = (len(seen), int(split.map.sum()), -1, seen.shape[-1])
            weight = shared_map.learn(*pairs(seen.reshape(shape).mean(axis=2), here.activity[:, split.map]))
        right = right_decisions(chosen(here, split.classifier), chosen(there, test), classifier, weight)
        matrix += right @ weights[test] / (1 if shared_map.learn is None else 2)
    return matrix


def _ceiling(trials: Examples, fold: np.ndarray, classifier: Classifier) -> np.ndarray:
    """Return the accuracy (time,) of classifiers learned on the brain itself, time by time."""
    fold_of_trial = fold[trials.stimuli]
    weights = balanced(trials.classes)
    ceiling = np.zeros(trials.activity.shape[0])
    for k in np.unique(fold):
        test = fold_of_trial == k
        there = _centred(trials, ~test)
        for t in range(ceiling.size):
            now = at_times(there, slice(t, t + 1))
            ceiling[t] += right_decisions(chosen(now, ~test), chosen(now, test), classifier)[0, 0] @ weights[test]
    return ceiling


def _centred(examples: Examples, learned_from: np.ndarray) -> Examples:
    """Return the examples as deviations from the mean, at each time or block, over those learned from."""
    mean = examples.activity[:, learned_from].mean(axis=1, keepdims=True)
    return Examples(examples.activity - mean, examples.classes, examples.stimuli)


def _orders(n: int, permutations: int, rng: np.random.Generator) -> np.ndarray:
    """Return orders of the stimuli, (permutations, n)."""
    return permute_stimuli.orders(n, draws=permutations, rng=rng) if permutations else np.empty((0, n), dtype=int)


def _reordered(examples: Examples, order: np.ndarray) -> Examples:
    """Return the examples with other stimuli's activity, a stimulus's trials together."""
    rows = np.arange(examples.stimuli.size).reshape(order.size, -1)[order].ravel()
    return Examples(examples.activity[:, rows], examples.classes, examples.stimuli)
