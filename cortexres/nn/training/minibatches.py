"""Labelled stimuli as tensors, and the batches of an epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn

from cortexres.errors import ArgumentError
from cortexres.nn.inputs import inputs_of


@dataclass(frozen=True)
class Labelled:
    """What a network is given, (stimulus, ...), and the number of the class of each stimulus, (stimulus,)."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        """Return the number of stimuli."""
        return len(self.targets)

    def digest(self) -> str:
        """Return a hash of all values: the same for the same stimuli in the same order."""
        sha = hashlib.sha256()
        for values in (self.inputs, self.targets):
            sha.update(values.cpu().contiguous().view(torch.uint8).numpy().data)
        return sha.hexdigest()[:16]


def class_order(stimuli: xr.Dataset) -> NDArray[np.generic]:
    """Return the classes of labelled stimuli, sorted: class k is output k of the network.

    Raises
    ------
    ArgumentError
        If there are no labels, or only one class.
    """
    classes = np.unique(_labels(stimuli))
    if len(classes) < 2:
        raise ArgumentError(
            f"got stimuli of one class only ({stimuli.sizes['stimulus']} stimuli, classes {classes.tolist()}), "
            "expected two or more: take more stimuli or other labels"
        )
    return classes


def labelled(
    network: nn.Module, stimuli: xr.Dataset, classes: NDArray[np.generic], *, device: torch.device
) -> Labelled:
    """Return labelled stimuli as `network` takes them, on `device`.

    Raises
    ------
    ArgumentError
        If there are no labels, or labels that are not among `classes`.
    """
    labels = _labels(stimuli)
    unknown = np.setdiff1d(labels, classes)
    if unknown.size:
        raise ArgumentError(
            f"got held-out stimuli of the classes {unknown.tolist()}, expected those of the training: "
            f"{classes.tolist()}"
        )
    targets = torch.as_tensor(np.searchsorted(classes, labels), dtype=torch.long, device=device)
    return Labelled(inputs_of(network, stimuli, device=device), targets)


def batches(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield the indices of each batch of one epoch, in random order; as they stand where one batch holds all."""
    order = torch.arange(count) if size == count else torch.randperm(count, generator=generator)
    yield from torch.split(order, size)


def _labels(stimuli: xr.Dataset) -> NDArray[np.generic]:
    if "label" not in stimuli.coords:
        raise ArgumentError(
            "got stimuli without labels, expected the coordinate label(stimulus): training needs classes"
        )
    labels: NDArray[np.generic] = stimuli["label"].to_numpy()
    return labels
