"""Generalisation in time or depth: a classifier learned at one time or block and tested at every other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from cortexres.compare.choices import seeded
from cortexres.compare.defined import largest_of_defined
from cortexres.compare.encoding.accuracy import accuracy_variables, left_out_accuracy
from cortexres.compare.encoding.classifiers import Classifier, shrinkage_lda
from cortexres.compare.encoding.examples import Examples, LeaveOut, classes_of, folds_of, of_brain, of_network
from cortexres.compare.encoding.reliability import same_for_all
from cortexres.compare.pairing import along
from cortexres.errors import ArgumentError
from cortexres.provenance import provenance
from cortexres.schema import check_brain, check_network


def generalise(
    data: xr.Dataset,
    labels: str | Sequence[object] | np.ndarray,
    *,
    classifier: Classifier = shrinkage_lda,
    leave_out: LeaveOut | None = None,
    folds: int | np.ndarray = 5,
    permutations: int = 0,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return the balanced accuracy of classifiers learned at each time (block) and tested at each time (block).

    Activity that is the same over a while gives a square of high accuracy, activity that changes its code a diagonal.
    What is tested on was left out at *all* times in learning.

    Parameters
    ----------
    data : xarray.Dataset
        Brain Dataset, time x time, or network Dataset, block x block.
    labels : str or sequence
        Coordinate of the stimuli that names their classes, or one class for each stimulus. ``"stimulus"`` tells
        the stimuli themselves apart.
    classifier : Classifier
        `shrinkage_lda` or `max_correlation`.
    leave_out : {"trial", "stimulus"}, optional
        Left out together: a trial of every stimulus, which asks whether responses repeat, or all trials of a stimulus,
        which asks whether its class is known from other stimuli. Trials of a brain by default; a network has none.
    folds : int or numpy.ndarray
        Number of parts, or the part of each trial (stimulus) that is left out, integers.
    permutations : int
        Orders of the examples left out together with their labels, for which everything is computed again: all trials
        of all stimuli, or whole stimuli. 0 for no p-values.
    rng : int or numpy.random.Generator, optional
        Deals the folds and draws the orders.

    Returns
    -------
    xarray.Dataset
        ``accuracy`` (time, time_test) or (block, block_test): mean over classes of the share that is right; chance is
        ``attrs["chance"]``. With permutations, ``accuracy_p``, corrected for the whole matrix by its largest value,
        and ``accuracy_null_max``, the 95th percentile of that. NaN where there was nothing to learn from.

    Raises
    ------
    SchemaError
        If `data` keeps no schema.
    ArgumentError
        If the labels do not fit, there are too few trials or stimuli for the folds, or one unit only.

    References
    ----------
    King, J.-R., Dehaene, S. (2014). Characterizing the dynamics of mental representations: the temporal generalization
    method. Trends in Cognitive Sciences 18, 203-210. doi:10.1016/j.tics.2014.01.002
    """
    is_brain = "time" in data.dims
    axis = "time" if is_brain else "block"
    (check_brain if is_brain else check_network)(data)
    left = leave_out or ("trial" if is_brain else "stimulus")
    _check_choices(data, is_brain, left, permutations)
    seed, rng = seeded(rng)
    classes, names = classes_of(data, labels)
    examples = (of_brain if is_brain else of_network)(data, classes)
    fold = folds_of(examples, left, folds, rng)
    constant = same_for_all(examples.activity)
    observed = left_out_accuracy(examples, fold, classifier)
    observed[constant] = np.nan
    peaks = [
        largest_of_defined(left_out_accuracy(_reordered(examples, left, rng), fold, classifier)[~constant], axis=None)
        for _ in range(permutations)
    ]
    undefined = f"learned at {axis}s {data[axis].values[constant].tolist()}: the same for all" if constant.any() else ""
    coords = along(data, axis)
    coords |= {f"{name}_test": xr.Variable((f"{axis}_test",), c.values, c.attrs) for name, c in coords.items()}
    attrs = {
        "n_stimuli": data.sizes["stimulus"],
        "n_classes": len(names),
        "chance": 1 / len(names),
        "classifier": classifier.name,
        "leave_out": left,
        "measure": "accuracy",
        "orientation": "similarity",
        "null": f"permute_{'classes' if left == 'stimulus' else 'trials'}" if permutations else "none",
        "permutations": permutations,
        "cortexres_provenance": provenance(classes=names, folds=fold.tolist(), seed=seed),
    }
    variables = accuracy_variables(observed, np.asarray([peaks]), (axis, f"{axis}_test"), undefined)
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def _check_choices(data: xr.Dataset, is_brain: bool, leave_out: str, permutations: int) -> None:
    if leave_out not in ("trial", "stimulus") or (leave_out == "trial" and not is_brain):
        raise ArgumentError(
            f"got leave_out={leave_out!r}, expected "
            + ('"trial" or "stimulus"' if is_brain else '"stimulus", as a network has one response to each')
        )
    if permutations < 0:
        raise ArgumentError(f"got permutations={permutations}, expected 0 or more (500 for p-values down to 0.002)")
    if data.sizes["unit"] < 2:
        raise ArgumentError(f"got {data.sizes['unit']} unit, expected 2 or more: a pattern over units is classified")


def _reordered(examples: Examples, leave_out: str, rng: np.random.Generator) -> Examples:
    """Return the examples with their activities in another order, whole stimuli together where those are left out."""
    n = examples.stimuli.size
    if leave_out == "trial":
        order = rng.permutation(n)
    else:
        stimuli = int(examples.stimuli[-1]) + 1
        order = np.arange(n).reshape(stimuli, -1)[rng.permutation(stimuli)].ravel()
    return Examples(examples.activity[:, order], examples.classes, examples.stimuli)
