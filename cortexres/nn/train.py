"""Train a classifier on labelled stimuli: Adam on the cross-entropy, in seconds on a CPU."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from tqdm import tqdm

from cortexres.errors import ArgumentError
from cortexres.nn.initial import Rng, generator_from
from cortexres.nn.networks import ResidualNetwork


def train(
    network: ResidualNetwork,
    stimuli: xr.Dataset,
    *,
    epochs: int = 300,
    learning_rate: float = 5e-3,
    batch_size: int | None = None,
    rng: Rng = None,
    progress: bool = True,
) -> xr.Dataset:
    """Return the history, loss and accuracy (epoch), of training `network` in place on labelled stimuli.

    Both are means over the epoch's batches, measured on the training images before each step: they say that
    the training worked, not how well the network generalises.

    Parameters
    ----------
    network : ResidualNetwork
        Trained in place.
    stimuli : Dataset
        Images with the coordinate label(stimulus), integers or text; classes are numbered in sorted order.
    epochs : int
        Passes over the stimuli.
    learning_rate : float
        Adam's step size.
    batch_size : int, optional
        Stimuli per step; all of them (full batch) where it is left out.
    rng : int or numpy Generator
        Orders the minibatches; a full batch draws nothing.
    progress : bool
        Whether to show a progress bar.

    Raises
    ------
    ArgumentError
        If there are no labels, only one class, or more classes than the network has outputs; if `epochs`,
        `learning_rate` or `batch_size` is out of range; if the loss stops being finite.
    """
    _check_options(epochs, learning_rate, batch_size)
    inputs, targets = network.inputs(stimuli), _targets(stimuli, network.readout.out_features)
    size = len(targets) if batch_size is None else min(batch_size, len(targets))
    generator = generator_from(rng)
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    history = np.empty((epochs, 2))
    bar = tqdm(range(epochs), desc=f"training {network.name}", unit="epoch", disable=not progress)
    for epoch in bar:
        loss_sum, correct = 0.0, 0
        for batch in _batches(len(targets), size, generator):
            logits = network(inputs[batch])
            loss = torch.nn.functional.cross_entropy(logits, targets[batch])
            if not math.isfinite(loss.item()):
                raise ArgumentError(
                    f"got a loss of {loss.item()} in epoch {epoch}, expected a finite one: lower "
                    f"learning_rate (now {learning_rate:g}) or look for NaN in the images"
                )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            # without it a full-batch run of 40 blocks sometimes jumps far back late in training
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            loss_sum += loss.item() * len(batch)
            correct += int((logits.argmax(dim=1) == targets[batch]).sum())
        history[epoch] = loss_sum / len(targets), correct / len(targets)
        bar.set_postfix(loss=f"{history[epoch, 0]:.3f}", accuracy=f"{history[epoch, 1]:.2f}", refresh=False)
    return xr.Dataset(
        {
            "loss": ("epoch", history[:, 0], {"units": "nat"}),
            "accuracy": ("epoch", history[:, 1], {"units": "1"}),
        },
        coords={"epoch": np.arange(epochs)},
        attrs={"model": network.name, "learning_rate": learning_rate, "batch_size": size},
    )


def _batches(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield the indices of each batch of one epoch; in order where one batch holds all."""
    order = torch.arange(count) if size == count else torch.randperm(count, generator=generator)
    yield from torch.split(order, size)


def _targets(stimuli: xr.Dataset, n_classes: int) -> Tensor:
    """Return the class index of each stimulus, (stimulus,)."""
    if "label" not in stimuli.coords:
        raise ArgumentError(
            "got stimuli without labels, expected the coordinate label(stimulus): training needs classes"
        )
    classes, targets = np.unique(stimuli["label"].to_numpy(), return_inverse=True)
    if len(classes) < 2:
        raise ArgumentError(
            f"got stimuli of one class only ({len(targets)} stimuli, classes {classes.tolist()}), "
            "expected two or more: take more stimuli or other labels"
        )
    if len(classes) > n_classes:
        raise ArgumentError(
            f"got {len(classes)} classes in the labels, expected at most {n_classes}: build the network with "
            f"n_classes={len(classes)}"
        )
    return torch.as_tensor(targets, dtype=torch.long)


def _check_options(epochs: int, learning_rate: float, batch_size: int | None) -> None:
    """Raise where an option is out of range."""
    if epochs < 1:
        raise ArgumentError(f"got epochs={epochs}, expected 1 or more")
    if not learning_rate > 0:
        raise ArgumentError(f"got learning_rate={learning_rate}, expected a positive number, such as 0.005")
    if batch_size is not None and batch_size < 1:
        raise ArgumentError(f"got batch_size={batch_size}, expected 1 or more, or None for a full batch")
