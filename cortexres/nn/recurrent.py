"""One block applied T steps: a recurrent network where the steps share it, a deep residual one where not."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor, nn

from cortexres.errors import ArgumentError

Injection = Literal["every", "first"]


class Recurrent(nn.Module):
    """A block applied `steps` times; all states are returned.

    Returned, not hooked: a hook on a shared block cannot say which step it is.
    The shared block is stored once: ``ModuleList([block] * steps)`` would repeat every key of `state_dict`.

    Parameters
    ----------
    block : Module
        Maps (state, input) to the next state, all (batch, unit).
    steps : int
        Number of applications T.
    tied : bool
        Whether all steps share `block`. Otherwise each step owns a copy of it, with the same weights.
    injection : "every" or "first"
        ``"every"``: the state starts at 0 and the input enters each step, as a stimulus that stays on does.
        ``"first"``: the input is the first state and does not enter again, as in a feedforward network.

    References
    ----------
    Liao & Poggio (2016), Bridging the gaps between residual learning, recurrent neural networks and visual
    cortex, arXiv:1604.03640
    """

    def __init__(self, block: nn.Module, *, steps: int, tied: bool = True, injection: Injection = "every") -> None:
        super().__init__()
        if steps < 1:
            raise ArgumentError(f"got steps={steps}, expected 1 or more: give the number of blocks")
        if injection not in ("every", "first"):
            raise ArgumentError(f"got injection={injection!r}, expected 'every' or 'first'")
        self.steps, self.tied, self.injection = steps, tied, injection
        self.blocks = nn.ModuleList([block] if tied else [copy.deepcopy(block) for _ in range(steps)])

    def forward(self, drive: Tensor, *, steps: int | None = None) -> Tensor:
        """Return all states, (batch, steps + 1, unit), the first before any block, for a (batch, unit) input.

        Raises
        ------
        ArgumentError
            If more steps are asked for than an untied network has blocks, or fewer than 0.
        """
        count = self.steps if steps is None else steps
        if count < 0:
            raise ArgumentError(f"got steps={count}, expected 0 or more")
        if not self.tied and count > self.steps:
            raise ArgumentError(
                f"got steps={count}, expected at most {self.steps}: an untied network ends there; tie it"
            )
        rest = torch.zeros_like(drive)
        state, later = (rest, drive) if self.injection == "every" else (drive, rest)
        states = [state]
        for step in range(count):
            state = self.blocks[0 if self.tied else step](state, later)
            states.append(state)
        return torch.stack(states, dim=1)

    def untie(self) -> Recurrent:
        """Return an untied network of the same function: each step gets its own copy of the shared block.

        Raises
        ------
        ArgumentError
            If the network is untied already.
        """
        if not self.tied:
            raise ArgumentError("got an untied network, expected a tied one: its blocks are separate already")
        return Recurrent(self.blocks[0], steps=self.steps, tied=False, injection=self.injection)

    def extra_repr(self) -> str:
        """Return what `print(module)` shows in the brackets."""
        return f"steps={self.steps}, tied={self.tied}, injection={self.injection!r}"
