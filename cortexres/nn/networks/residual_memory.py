"""A memory along depth: an LSTM that reads every block of a residual network and helps to classify."""

from __future__ import annotations

import copy
from typing import NoReturn

import torch
from torch import Tensor, nn
from torch.nn import functional

from cortexres.errors import ArgumentError
from cortexres.nn.initial import Rng, empty_linear, fill_, kaiming_, stream, zero_
from cortexres.nn.networks.heads import pooled
from cortexres.nn.networks.staged import StagedNetwork
from cortexres.nn.recurrent import Mode
from cortexres.nn.sizes import check_sizes


class ResidualMemory(nn.Module):
    """A staged network whose blocks write to an LSTM: its last state and the last map together give the logits.

    The mean over positions of every block's output is one step of the LSTM. Stages of fewer channels are padded with
    zeros, so that one LSTM reads them all. A linear map of both ends joined together is the sum of two: the trunk's
    own head, and `readout`, without which the network is its trunk.

    Parameters
    ----------
    trunk : StagedNetwork
        The residual network, tied or not.
    hidden_size, classes : int
        Units of the LSTM, number of classes.
    rng : int or numpy Generator, optional
        Where the weights of the LSTM and its readout come from; those of the trunk are as they are. The LSTM starts
        with biases of 0, but 1 for the forget gate.

    Raises
    ------
    ArgumentError
        If a size is below 1.

    References
    ----------
    Moniz & Pal (2016), Convolutional residual memory networks, arXiv:1606.05262
    """

    def __init__(
        self,
        trunk: StagedNetwork,
        *,
        hidden_size: int,
        classes: int,
        rng: Rng = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(hidden_size=hidden_size, classes=classes)
        self.trunk = trunk
        # a cell, stepped here: torch.compile does not go into torch.nn.LSTM
        self.memory: nn.LSTMCell = nn.utils.skip_init(  # type: ignore[no-untyped-call]
            nn.LSTMCell, max(trunk.widths), hidden_size, device=device or "cpu", dtype=dtype
        )
        self.readout = empty_linear(hidden_size, classes, bias=False, device=device, dtype=dtype)
        self._start_memory(rng)

    @property
    def name(self) -> str:
        """Return a short name for tables and titles."""
        return self.trunk.name

    @property
    def tied(self) -> bool:
        """Return whether the blocks of every stage share their weights."""
        return self.trunk.tied

    @property
    def facts(self) -> dict[str, object]:
        """Return what `record` keeps of the network: those of the trunk, and the size of the memory."""
        return {**self.trunk.facts, "memory": self.memory.hidden_size}

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw all weights anew, those of the trunk first."""
        draw = stream(rng)
        self.trunk.reset_parameters(draw)
        self._start_memory(draw)

    def _start_memory(self, rng: Rng) -> None:
        draw, units = stream(rng), self.memory.hidden_size
        for name, parameter in self.memory.named_parameters():
            if name.startswith("weight"):
                kaiming_(parameter, draw, gain=1.0)
            else:
                zero_(parameter)
        with torch.no_grad():  # the gates are stacked: input, forget, cell, output
            self.memory.get_parameter("bias_ih")[units : 2 * units] = 1.0
        fill_(self.readout, draw, gain=1.0)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (batch, class)."""
        states = self.trunk.states(images)
        read = cell = states[0].new_zeros(images.shape[0], self.memory.hidden_size)
        for state in states[1:]:
            read, cell = self.memory(self._written(state), (read, cell))
        logits: Tensor = self.trunk.head(states[-1]) + self.readout(read)
        return logits

    def _written(self, state: Tensor) -> Tensor:
        """Return what the LSTM sees of a block's output, (batch, channel)."""
        mean = pooled(state)
        return functional.pad(mean, (0, self.memory.input_size - mean.shape[1]))

    def chain(self) -> NoReturn:
        """Raise: a chain is read from its last state alone.

        Raises
        ------
        ArgumentError
            Always; `trunk` is a chain.
        """
        raise ArgumentError(
            "got a network with a memory, expected one that is read from its last state: give its trunk, network.trunk"
        )

    def to_untied(self) -> ResidualMemory:
        """Return a network with an untied trunk that computes the same; see `StagedNetwork.to_untied`."""
        return self._with(self.trunk.to_untied())

    def to_tied(self, *, mode: Mode = "check") -> ResidualMemory:
        """Return a network with a tied trunk; see `StagedNetwork.to_tied`."""
        return self._with(self.trunk.to_tied(mode=mode))

    def _with(self, trunk: StagedNetwork) -> ResidualMemory:
        made = copy.deepcopy(self)
        made.trunk = trunk
        return made
