"""What classifiers learn from and are tested on: activities, their classes and stimuli, and who is left out when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr

from cortexres.compare.encoding.folds import dealt, dealt_by_class, given
from cortexres.compare.pairing import float_values
from cortexres.errors import ArgumentError

LeaveOut = Literal["trial", "stimulus"]


@dataclass(frozen=True)
class Examples:
    """Activities of one side, at each of its times or blocks.

    Parameters
    ----------
    activity : numpy.ndarray
        (k, n, unit), k times or blocks.
    classes, stimuli : numpy.ndarray
        (n,) integers from 0 on.
    """

    activity: np.ndarray
    classes: np.ndarray
    stimuli: np.ndarray


def of_brain(brain: xr.Dataset, classes: np.ndarray) -> Examples:
    """Return every trial of every stimulus as an example; stimuli (stimulus,) are of `classes`."""
    response = float_values(brain["response"])
    n, trials, times, units = response.shape
    return Examples(
        activity=np.ascontiguousarray(response.reshape(n * trials, times, units).swapaxes(0, 1)),
        classes=np.repeat(classes, trials),
        stimuli=np.repeat(np.arange(n), trials),
    )


def of_network(network: xr.Dataset, classes: np.ndarray) -> Examples:
    """Return every stimulus as an example."""
    states = float_values(network["response"]).swapaxes(0, 1)
    return Examples(activity=np.ascontiguousarray(states), classes=classes, stimuli=np.arange(states.shape[1]))


def classes_of(data: xr.Dataset, labels: str | Sequence[object] | np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return the class (stimulus,) of each stimulus, integers from 0 on, and the names of the classes.

    Raises
    ------
    ArgumentError
        If `labels` names no coordinate of the stimuli, is not one value for each, or holds a single class.
    """
    n = data.sizes["stimulus"]
    if isinstance(labels, str):
        if labels not in data.coords or data[labels].dims != ("stimulus",):
            known = [str(name) for name, c in data.coords.items() if c.dims == ("stimulus",)]
            raise ArgumentError(
                f"got labels={labels!r}, expected a coordinate of the stimuli ({', '.join(known)}), or one value for"
                " each"
            )
        labels = data[labels].values
    values = np.asarray(labels)
    if values.shape != (n,):
        raise ArgumentError(f"got labels of shape {values.shape}, expected one for each of the {n} stimuli")
    names, classes = np.unique(values, return_inverse=True)
    if names.size < 2:
        raise ArgumentError(f"got {names.size} class ({names[0]}), expected two or more to tell apart")
    return classes.reshape(-1), [str(name) for name in names]


def folds_of(
    examples: Examples, leave_out: LeaveOut, folds: int | np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return the fold (n,) of each example: whole trials, or whole stimuli, are left out together.

    Raises
    ------
    ArgumentError
        If there are too few trials or stimuli of a class, or the folds leave a class unlearned.
    """
    n = int(examples.stimuli[-1]) + 1
    trials = examples.stimuli.size // n
    count = n if leave_out == "stimulus" else trials
    if not isinstance(folds, int | np.integer):
        fold = given(folds, count, "stimuli" if leave_out == "stimulus" else "trials")
    elif leave_out == "stimulus":
        if folds < 2 or n < folds:
            raise ArgumentError(f"got folds={folds} for {n} stimuli, expected 2 to {n}")
        fold = dealt_by_class(examples.classes[::trials], int(folds), rng)
    else:
        if folds < 2 or trials < folds:
            raise ArgumentError(
                f"got folds={folds} for {trials} trials, expected 2 or more folds of at least one trial; leave out"
                ' stimuli instead with leave_out="stimulus"'
            )
        fold = dealt(trials, int(folds), rng)
    fold = np.repeat(fold, trials) if leave_out == "stimulus" else np.tile(fold, n)
    _check_learned(examples, fold)
    return fold


def _check_learned(examples: Examples, fold: np.ndarray) -> None:
    for k in np.unique(fold):
        unlearned = np.setdiff1d(examples.classes, examples.classes[fold != k])
        if unlearned.size:
            raise ArgumentError(
                f"class number {unlearned[0]} is in one fold only and cannot be learned when that is left out, expected"
                ' every class in two or more; use two or more stimuli of each, or leave_out="trial"'
            )
