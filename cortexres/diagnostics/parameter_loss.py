"""The loss as a function of the parameters alone; the network is left as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from cortexres.errors import ArgumentError

Loss = Callable[[Any, Tensor], Tensor]
LossOfParameters = Callable[[Mapping[str, Tensor]], Tensor]


def trainable(network: nn.Module) -> dict[str, Tensor]:
    """Return the parameters that require gradients, by name, detached; a shared one is there once.

    Raises
    ------
    ArgumentError
        If there are none.
    """
    parameters = {name: value.detach() for name, value in network.named_parameters() if value.requires_grad}
    if not parameters:
        raise ArgumentError("got a network without trainable parameters, expected some: the loss cannot change")
    return parameters


def loss_of_parameters(network: nn.Module, inputs: Tensor, labels: Tensor, loss: Loss) -> LossOfParameters:
    """Return the function that maps parameters, by name, to the loss; those that are not given stay as they are.

    The network keeps its mode: in training, batch normalisation uses the statistics of `inputs`. Its running
    statistics change in copies only.

    Raises
    ------
    ArgumentError
        If the loss is not one finite number, or differs between two evaluations at the same parameters.
    """

    there = labels.to(inputs.device)

    def at(parameters: Mapping[str, Tensor]) -> Tensor:
        buffers = {name: value.clone() for name, value in network.named_buffers()}
        return loss(functional_call(network, {**buffers, **parameters}, (inputs,)), there)

    _check(at)
    return at


@torch.no_grad()
def _check(at: LossOfParameters) -> None:
    """Raise where the loss of the network itself is no function of the parameters."""
    first, second = at({}), at({})
    if first.numel() != 1:
        raise ArgumentError(f"got a loss of shape {tuple(first.shape)}, expected one number: take its mean or sum")
    if not torch.isfinite(first):
        raise ArgumentError(f"got a loss of {first.item()} at the network's parameters, expected a finite one")
    if not torch.isclose(first, second, rtol=1e-4, atol=0.0):
        raise ArgumentError(
            f"got losses of {first.item():g} and {second.item():g} at the same parameters, expected one: switch off "
            "dropout by network.eval(), and noise"
        )
