"""How often classifiers are right, with every class of the same weight, on what was left out."""

from __future__ import annotations

import numpy as np
import xarray as xr

from cortexres.compare.encoding.classifiers import Classifier, Learned, decided
from cortexres.compare.encoding.examples import Examples
from cortexres.compare.nulls import exceedance


def right_decisions(
    learned_from: Examples, tested_on: Examples, classifier: Classifier, shared_map: np.ndarray | None = None
) -> np.ndarray:
    """Return where classifiers of k times or blocks are right on m examples at l times or blocks, (k, l, m).

    Parameters
    ----------
    learned_from, tested_on : Examples
        With the same classes.
    classifier : Classifier
        How it learns.
    shared_map : numpy.ndarray, optional
        (unit tested on, unit learned from), where those differ.
    """
    of = learned_from.classes if classifier.groups == "class" else learned_from.stimuli
    names, first, groups = np.unique(of, return_index=True, return_inverse=True)
    learned = classifier.learn(learned_from.activity, groups, names.size)
    if shared_map is not None:  # taken into the weights, as wide layers times many trials would not fit in memory
        learned = Learned(learned.weights @ shared_map.T, learned.bias)
    decisions = decided(learned, tested_on.activity)
    right: np.ndarray = learned_from.classes[first][decisions] == tested_on.classes
    return right


def left_out_accuracy(examples: Examples, fold: np.ndarray, classifier: Classifier) -> np.ndarray:
    """Return the balanced accuracy (k, k): learned at the first time or block, tested at the second, without leaks."""
    k = examples.activity.shape[0]
    result = np.zeros((k, k))
    weights = balanced(examples.classes)
    for part in np.unique(fold):
        test = fold == part
        right = right_decisions(chosen(examples, ~test), chosen(examples, test), classifier)
        result += right @ weights[test]
    return result


def balanced(classes: np.ndarray) -> np.ndarray:
    """Return the weight (n,) of each example in the mean over classes of the share that is right."""
    counts = np.bincount(classes)
    weights: np.ndarray = 1 / (counts[classes] * np.count_nonzero(counts))
    return weights


def chosen(examples: Examples, mask: np.ndarray) -> Examples:
    """Return the examples under a mask (n,)."""
    return Examples(examples.activity[:, mask], examples.classes[mask], examples.stimuli[mask])


def at_times(examples: Examples, part: slice) -> Examples:
    """Return the examples at some times or blocks only."""
    return Examples(examples.activity[part], examples.classes, examples.stimuli)


def accuracy_variables(
    observed: np.ndarray, peaks: np.ndarray, dims: tuple[str, str], undefined: str
) -> dict[str, xr.Variable]:
    """Return the accuracy and, where there are permuted maps' largest values (null, draw), its p-value.

    Parameters
    ----------
    observed : numpy.ndarray
        The map.
    peaks : numpy.ndarray
        (null, draw), may be empty; of several nulls the p-value is the largest, so that all have to be rejected.
    dims : tuple of str
        Learned at the first, tested at the second.
    undefined : str
        Where it is NaN, and why.
    """
    attrs = {"units": "1", "undefined": undefined}
    text = f"balanced accuracy, learned at {dims[0]} and tested at {dims[1]}"
    variables = {"accuracy": xr.Variable(dims, observed, attrs | {"long_name": text})}
    if peaks.size:
        p = np.max([exceedance(observed, null) for null in peaks], axis=0)
        text = "p-value, corrected for the whole matrix by its largest value"
        variables["accuracy_p"] = xr.Variable(dims, p, attrs | {"long_name": text})
        level = np.quantile(peaks, 0.95, axis=1).max()
        text = "95th percentile of the largest permuted accuracy"
        variables["accuracy_null_max"] = xr.Variable((), level, {"units": "1", "long_name": text})
    return variables
