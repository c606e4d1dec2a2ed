"""The loss along random directions from where the parameters are, each direction scaled filter by filter."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from cortexres.diagnostics.datasets import array, attributes, seen, variable
from cortexres.diagnostics.parameter_loss import Loss, loss_of_parameters, trainable
from cortexres.diagnostics.task import labels_of
from cortexres.errors import ArgumentError
from cortexres.nn.initial import Rng, normal_, stream
from cortexres.nn.norms import StepNorm

Normalisation = Literal["filter", "none"]
Direction = Mapping[str, Tensor]
AXES = ("first", "second")


@torch.no_grad()
def loss_landscape(
    network: nn.Module,
    inputs: Tensor | xr.Dataset,
    labels: Tensor | None = None,
    *,
    loss: Loss = cross_entropy,
    dims: Literal[1, 2] = 2,
    points: int = 21,
    span: float = 1.0,
    normalisation: Normalisation = "filter",
    directions: Sequence[Direction] | None = None,
    rng: Rng = None,
) -> xr.Dataset:
    """Return the loss on a line or a plane through the network's parameters, along random directions.

    A filter is a row of a weight: what feeds one unit or one channel. With filter normalisation, every filter of a
    direction has the norm of the network's own, and biases and the parameters of norms do not move. So a layer that
    is followed by a norm can be rescaled, which changes nothing of what the network computes, without a change of
    the landscape, and landscapes of different networks can be compared.

    Parameters
    ----------
    network : Module
        Any; it is left as it is. In training mode, batch normalisation uses the statistics of `inputs`; in
        evaluation, running statistics stay those of the network at the centre.
    inputs : Tensor or Dataset
        What the network takes, or stimuli.
    labels : Tensor, optional
        What the loss compares the network's output with. The classes of the Dataset, numbered in sorted order, where
        they are left out.
    loss : callable
        (what the network returns, labels) -> one number; cross entropy by default.
    dims : {1, 2}
        A line or a plane.
    points : int
        Points along each direction; an odd number has the network itself in the middle.
    span : float
        The line goes from `-span` to `span` times the direction.
    normalisation : {"filter", "none"}
        ``"none"`` leaves directions as they are.
    directions : sequence of mappings, optional
        One mapping of parameter names to tensors per dim instead of random directions (normal, variance 1); names
        that are left out do not move.
    rng : int or numpy Generator, optional
        Draws the directions.

    Returns
    -------
    xarray.Dataset
        ``loss (first)`` or ``loss (first, second)``, over coordinates in lengths of the directions; ``centre``, the
        loss of the network; ``length (direction)``, the norm of each direction, and ``cosine`` between them (two
        dims).

    Raises
    ------
    ArgumentError
        If labels are missing, an option is out of range, a direction does not fit the parameters or is zero, there is
        nothing to move, or the loss is not one finite number that the parameters determine.

    References
    ----------
    Li, Xu, Taylor, Studer & Goldstein (2018), Visualizing the loss landscape of neural nets, arXiv:1712.09913
    """
    _check_options(dims, points, span, normalisation)
    centre = trainable(network)
    given = _random_directions(centre, dims, rng) if directions is None else [dict(each) for each in directions]
    _check_directions(given, centre, dims)
    if normalisation == "filter":
        fixed = _parameters_of_norms(network)
        given = [_normalised(each, centre, fixed) for each in given]
    lengths = [_dot(each, each) ** 0.5 for each in given]
    if not all(lengths):
        raise ArgumentError(
            "got a direction of length 0, expected one that moves a weight: biases, norms and filters of 0 do not move"
        )
    at = loss_of_parameters(network, seen(network, inputs), labels_of(inputs, labels), loss)
    steps = np.linspace(-span, span, points)
    values = [array(at(_moved(centre, given, place))) for place in itertools.product(steps, repeat=dims)]
    axes = AXES[:dims]
    landscape = xr.Dataset(
        {
            "loss": variable(axes, np.reshape(values, (points,) * dims), "loss"),
            "centre": variable((), array(at(centre)).item(), "loss at the network's parameters"),
            "length": variable("direction", lengths, "Euclidean norm of the direction"),
        },
        coords={axis: variable(axis, steps, f"distance along the {axis} direction, in its lengths") for axis in axes},
        attrs=attributes(
            network, normalisation=normalisation, directions="random" if directions is None else "given"
        ),
    )
    if dims == 2:
        cosine = _dot(*given) / (lengths[0] * lengths[1])
        landscape["cosine"] = variable((), cosine, "cosine of the angle between the directions")
    return landscape


def _random_directions(centre: Direction, dims: int, rng: Rng) -> list[dict[str, Tensor]]:
    draw = stream(rng)
    return [
        {name: normal_(torch.empty_like(value), 1.0, draw) for name, value in centre.items()} for _ in range(dims)
    ]


def _normalised(direction: Direction, centre: Direction, fixed: set[str]) -> dict[str, Tensor]:
    """Return the direction with the filters' norms of the centre, without biases and parameters of norms."""
    scaled = {}
    for name, along in direction.items():
        if along.ndim >= 2 and name not in fixed:
            norms = torch.linalg.vector_norm(along.flatten(1), dim=1)
            own = torch.linalg.vector_norm(centre[name].flatten(1), dim=1)
            # a filter of zeros cannot be scaled
            factor = torch.where(norms > 0, own / norms, 0.0)
            scaled[name] = along * factor.view(-1, *(1,) * (along.ndim - 1))
    return scaled


def _parameters_of_norms(network: nn.Module) -> set[str]:
    """Return names of what norms keep per step, which is stacked and looks like a weight."""
    norms = [name for name, module in network.named_modules() if isinstance(module, StepNorm)]
    return {f"{name}.{kind}" for name in norms for kind in ("weight", "bias")}


def _moved(centre: Direction, directions: Sequence[Direction], place: Sequence[float]) -> dict[str, Tensor]:
    moved = dict(centre)
    for direction, distance in zip(directions, place, strict=True):
        for name, along in direction.items():
            moved[name] = moved[name] + distance * along
    return moved


def _dot(a: Direction, b: Direction) -> float:
    return sum((a[name] * b[name]).sum().item() for name in a.keys() & b.keys())


def _check_options(dims: int, points: int, span: float, normalisation: str) -> None:
    if dims not in (1, 2):
        raise ArgumentError(f"got dims={dims}, expected 1, a line, or 2, a plane")
    if points < 3:
        raise ArgumentError(f"got points={points}, expected 3 or more along each direction")
    if not span > 0:
        raise ArgumentError(f"got span={span}, expected a positive multiple of the direction")
    if normalisation not in ("filter", "none"):
        raise ArgumentError(f"got normalisation={normalisation!r}, expected 'filter' or 'none'")


def _check_directions(given: Sequence[Direction], centre: Direction, dims: int) -> None:
    if len(given) != dims:
        raise ArgumentError(f"got {len(given)} directions, expected {dims}, one per dim")
    for direction in given:
        for name, along in direction.items():
            if name not in centre or along.shape != centre[name].shape:
                raise ArgumentError(
                    f"got a direction with {name} of shape {tuple(along.shape)}, expected a trainable parameter's name "
                    "and its shape"
                )
