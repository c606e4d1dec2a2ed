"""How well a network, whole or changed, tells labelled inputs apart."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from cortexres.diagnostics.datasets import variable
from cortexres.diagnostics.subject import Subject, subject
from cortexres.errors import ArgumentError
from cortexres.nn.chain import Chain, Chained
from cortexres.nn.training.minibatches import class_order

Run = Callable[[Chain, Tensor], Tensor]
Scores = tuple[float, float]
NO_SCORES: Scores = (np.nan, np.nan)


@dataclass(frozen=True)
class Task:
    """What a diagnostic looks at, and the class of each stimulus, (stimulus,)."""

    subject: Subject
    labels: Tensor

    def score(self, run: Run = Chain.run, *, batch_size: int | None = None) -> Scores:
        """Return (error, loss) of the logits that `run` makes of chain and inputs: share of stimuli, and nat."""
        inputs, wrong, loss = self.subject.inputs, 0, 0.0
        size = batch_size or len(inputs)
        with torch.no_grad():
            for some, labels in zip(torch.split(inputs, size), torch.split(self.labels, size), strict=True):
                logits = run(self.subject.chain, some)
                wrong += int((logits.argmax(dim=1) != labels).sum())
                loss += float(nn.functional.cross_entropy(logits, labels, reduction="sum"))
        return wrong / len(inputs), loss / len(inputs)

    def intact(self, *, batch_size: int | None = None) -> dict[str, xr.Variable]:
        """Return the variables ``intact_error`` and ``intact_loss`` of the whole network."""
        found = scored((), self.score(batch_size=batch_size), of="the whole network")
        return {f"intact_{key}": value for key, value in found.items()}


def scored(
    dims: Hashable | Sequence[Hashable], scores: object, *, of: str, undefined: str = ""
) -> dict[str, xr.Variable]:
    """Return the variables ``error`` and ``loss`` over `dims` from pairs of them, the last dim of `scores`."""
    error, loss = np.moveaxis(np.asarray(scores, dtype=float), -1, 0)
    return {
        "error": variable(dims, error, f"share of stimuli misclassified by {of}", undefined=undefined),
        "loss": variable(dims, loss, f"mean cross-entropy of {of}", units="nat", undefined=undefined),
    }


def task(network: Chained | Chain, inputs: Tensor | xr.Dataset, labels: Tensor | None = None) -> Task:
    """Return what a diagnostic looks at, with labels.

    Parameters
    ----------
    network, inputs
        See `cortexres.diagnostics.subject`.
    labels : Tensor of shape (stimulus,), optional
        Class of each stimulus. Those of the Dataset, whose classes are numbered in sorted order, where they are left
        out.

    Raises
    ------
    ArgumentError
        If labels are missing or not one per stimulus; see also `subject`.
    """
    looked_at = subject(network, inputs)
    given, count = labels_of(inputs, labels), len(looked_at.inputs)
    if given.shape != (count,):
        raise ArgumentError(f"got labels of shape {tuple(given.shape)}, expected one for each of {count} stimuli")
    return Task(looked_at, given.to(looked_at.inputs.device))


def labels_of(inputs: Tensor | xr.Dataset, labels: Tensor | None) -> Tensor:
    """Return the labels, or those of the stimuli where they are left out: classes are numbered in sorted order.

    Raises
    ------
    ArgumentError
        If there are none.
    """
    if labels is not None:
        return labels
    if not isinstance(inputs, xr.Dataset):
        raise ArgumentError("got inputs without labels, expected labels=, the class of each stimulus")
    return torch.as_tensor(np.searchsorted(class_order(inputs), inputs["label"].to_numpy()))
