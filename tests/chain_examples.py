"""Small networks with closed forms, as chains, for the tests of diagnostics."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cortexres.nn import Block, Chain, NoShortcut, Recurrent
from cortexres.nn.recurrent import Injection


def identity(values: Tensor) -> Tensor:
    return values


class Residual(nn.Module):
    """A residual function out of any module or function of a state."""

    stride = 1
    takes_drive = False

    def __init__(self, function: Callable[[Tensor], Tensor], channels: int, state_dims: int = 1) -> None:
        super().__init__()
        self.function = function
        self.in_channels = self.out_channels = channels
        self.state_dims = state_dims

    def forward(self, state: Tensor, drive: Tensor | None = None, step: int = 0) -> Tensor:
        return self.function(state)

    def initial_state(self, drive: Tensor) -> Tensor:
        return torch.zeros_like(drive)


class Whole(nn.Module):
    """A recurrent network whose logits are its last state, or a linear readout of it."""

    def __init__(self, recurrent: Recurrent, readout: nn.Module | None = None) -> None:
        super().__init__()
        self.recurrent = recurrent
        self.readout = nn.Identity() if readout is None else readout

    def forward(self, inputs: Tensor) -> Tensor:
        return self.readout(self.recurrent(inputs)[1])

    def chain(self) -> Chain:
        return Chain(self.recurrent.entered, self.recurrent.chain_steps(stage=0, name="recurrent"), self.readout)


def repeated(function: Callable[[Tensor], Tensor], channels: int, *, steps: int = 1, state_dims: int = 1) -> Whole:
    """Return a tied network whose step is the function itself; inputs are the first states."""
    block = Block(Residual(function, channels, state_dims), NoShortcut())
    return Whole(Recurrent(block, steps=steps, injection="first", readout="last"))


def driven(block: Block | list[Block], *, steps: int = 1, injection: Injection = "every") -> Whole:
    """Return a network of a block, or of one block per step; inputs are its drive."""
    return Whole(Recurrent(block, steps=steps, injection=injection, readout="last"))
