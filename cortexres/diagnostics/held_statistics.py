"""Batch normalisation by the statistics of the batch, through which no gradient flows.

In training, batch normalisation ties the inputs of a batch together: the state of one depends on all. Held constant,
the statistics normalise as in training, and each input has a gradient and a Jacobian of its own.
"""

from __future__ import annotations

import copy
from typing import cast

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from cortexres.diagnostics.steps import chain_with_steps
from cortexres.errors import ArgumentError
from cortexres.nn.chain import Chain, Chained
from cortexres.nn.norms import StepNorm


class HeldStatistics(nn.Module):
    """What a batch normalisation in training computes, with mean and variance taken for constants.

    Parameters
    ----------
    norm : StepNorm or a batch normalisation of torch
        Whose scale and shift are used.
    """

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor, step: int = 0) -> Tensor:
        """Return `x`, (batch, channel, ...), normalised."""
        others = [dim for dim in range(x.ndim) if dim != 1]
        mean, variance = x.detach().mean(others), x.detach().var(others, unbiased=False)
        if isinstance(self.norm, StepNorm):
            row = self.norm.at_step(step)
            weight, bias = (None if each is None else each[0] for each in (row.weight, row.bias))
            eps = row.recipe.eps
        else:
            norm = cast("_BatchNorm", self.norm)
            weight, bias, eps = norm.weight, norm.bias, norm.eps
        return functional.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps)


def chain_of_independent_inputs(network: Chained | Chain) -> tuple[Chain, str]:
    """Return a chain in which no input depends on the others of its batch, and which batch statistics it uses.

    In evaluation it is the network's own. In training it is that of a copy with held statistics, without dropout.

    Raises
    ------
    ArgumentError
        If the network is no chain or has no steps, or a chain without its network uses batch statistics: its parts
        cannot be copied.
    """
    chain = chain_with_steps(network)
    if isinstance(network, nn.Module):
        names = [name for name, module in network.named_modules() if uses_batch(module)]
        return (_held(network, names), "of the batch, held constant") if names else (chain, "running, or none")
    if any(uses_batch(module) for step in chain.steps for module in step.block.modules()):
        raise ArgumentError(
            "got a chain whose normalisation uses batch statistics, expected its network, which can be copied, or one "
            "in evaluation: the states of its inputs depend on each other"
        )
    return chain, "running, or none"


def _held(network: nn.Module, names: list[str]) -> Chain:
    """Return the chain of a copy of the network in evaluation, with held statistics in the modules of these names."""
    held = copy.deepcopy(network).eval()
    for name in names:
        held.set_submodule(name, HeldStatistics(held.get_submodule(name)))
    return cast("Chained", held).chain()


def uses_batch(module: nn.Module) -> bool:
    """Return whether a module normalises by the statistics of the batch."""
    if isinstance(module, StepNorm):
        return module.training and module.recipe.kind == "batch"
    return isinstance(module, _BatchNorm) and (module.training or module.running_mean is None)
