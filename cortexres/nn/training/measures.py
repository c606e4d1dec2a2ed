"""What is measured while a network is trained: loss and accuracy, of training and of held-out stimuli."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from cortexres.errors import ArgumentError, DivergedError
from cortexres.nn.training.distributed import World
from cortexres.nn.training.minibatches import Labelled
from cortexres.nn.training.precision import Precision

UNITS = {"loss": "nat", "accuracy": "1", "held_out_loss": "nat", "held_out_accuracy": "1"}


class Measured(NamedTuple):
    """Mean loss and number of right answers of a batch, still on its device, and its number of stimuli."""

    loss: Tensor
    right: Tensor
    n_stimuli: int


def measure(loss: Tensor, logits: Tensor, targets: Tensor) -> Measured:
    """Return what is kept of one batch."""
    return Measured(loss.detach(), (logits.argmax(dim=1) == targets).sum(), len(targets))


@torch.no_grad()
def measure_held_out(
    network: nn.Module, held_out: Labelled, size: int, precision: Precision, world: World
) -> list[Measured]:
    """Return the measures of this process's share of the held-out stimuli, in evaluation mode."""
    network.eval()
    measured = []
    for batch in torch.split(world.share(torch.arange(len(held_out))), size):
        if len(batch):  # there may be fewer stimuli than processes
            targets = held_out.targets[batch]
            with precision():
                logits = network(held_out.inputs[batch])
                measured.append(measure(nn.functional.cross_entropy(logits, targets), logits, targets))
    return measured


def means(measured: Sequence[Measured], world: World) -> list[float]:
    """Return loss and accuracy, means over the stimuli of all batches and processes."""
    loss = sum(batch.loss.item() * batch.n_stimuli for batch in measured)
    right = sum(batch.right.item() for batch in measured)
    sums = torch.tensor([loss, right, sum(batch.n_stimuli for batch in measured)], dtype=torch.float64)
    loss_sum, right_sum, count = world.sum(sums).tolist()
    return [loss_sum / count, right_sum / count]


def check_finite(measured: Sequence[Measured], world: World, *, epoch: int, learning_rate: float) -> None:
    """Raise in all processes where a loss of one of them is not finite.

    Raises
    ------
    DivergedError
        Then.
    """
    loss = world.sum(torch.stack([batch.loss for batch in measured]).double().sum().cpu()).item()
    if not math.isfinite(loss):
        raise DivergedError(
            f"got a loss of {loss} in epoch {epoch}, expected a finite one: lower learning_rate (now "
            f"{learning_rate:g}) or look for NaN in the images"
        )


def check_logits(logits: object, count: int, n_classes: int) -> None:
    """Raise where the outputs for `count` stimuli are no logits of `n_classes` or more.

    Raises
    ------
    ArgumentError
        Then.
    """
    if not isinstance(logits, Tensor):
        raise ArgumentError(
            f"got a network that returns a {type(logits).__name__}, expected logits: train a module that returns them "
            "alone"
        )
    if logits.ndim != 2 or len(logits) != count:
        raise ArgumentError(
            f"got outputs of shape {tuple(logits.shape)} for {count} stimuli, expected logits, ({count}, classes)"
        )
    if n_classes > logits.shape[1]:
        raise ArgumentError(
            f"got {n_classes} classes in the labels, expected at most {logits.shape[1]}: build the network with "
            f"n_classes={n_classes}"
        )


def history_of(rows: Sequence[Sequence[float]], facts: Mapping[str, object]) -> xr.Dataset:
    """Return the measures of each epoch as a Dataset (epoch)."""
    columns = zip(UNITS.items(), np.array(rows).T, strict=False)
    return xr.Dataset(
        {name: ("epoch", values, {"units": units}) for (name, units), values in columns},
        coords={"epoch": np.arange(len(rows))},
        attrs=dict(facts),
    )
