"""Whole networks: front end -> encoder -> T residual blocks -> readout."""

from __future__ import annotations

import copy

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from cortexres import front_ends
from cortexres.definitions import FrontEnd
from cortexres.errors import ArgumentError
from cortexres.nn.block import Block
from cortexres.nn.initial import Rng, generator_from, linear
from cortexres.nn.recurrent import Injection, Recurrent
from cortexres.nn.transforms import Dense


class ResidualNetwork(nn.Module):
    """A residual classifier that sees what the circuit sees: the same front end, then residual blocks.

    Float64 throughout, like the network that is derived from a circuit.

    Parameters
    ----------
    n_inputs, n_units, n_classes : int
        Channels of the front end, width of the state, number of classes.
    steps : int
        Number of residual blocks T.
    tied : bool
        Whether the blocks share their weights (then the network is a recurrent one, unrolled).
    front_end : FrontEnd
        The circuit's front end: image -> mean input per channel in mV.
    injection : "every" or "first"
        See `Recurrent`.
    rng : int or numpy Generator
        Where the initial weights come from. Untied blocks start different from each other.

    Raises
    ------
    ArgumentError
        If a size is below 1, there are fewer than two classes, or `n_inputs` is not the front end's channels.
    """

    def __init__(
        self,
        n_inputs: int,
        n_units: int,
        n_classes: int,
        *,
        steps: int,
        tied: bool,
        front_end: FrontEnd,
        injection: Injection = "every",
        rng: Rng = None,
    ) -> None:
        super().__init__()
        if n_inputs != front_end.channels:
            raise ArgumentError(
                f"got n_inputs={n_inputs}, expected {front_end.channels}: the channels of the front end"
            )
        if n_classes < 2:
            raise ArgumentError(f"got n_classes={n_classes}, expected 2 or more: a classifier needs a choice")
        draw = np.random.default_rng(rng)
        gain = 1.0 / max(steps, 1)  # the sum of T updates stays of order one, at any depth
        self.front_end = front_end
        # the drive is in mV up to gain_mV; the encoder brings it to order one
        encoder_scale = 1.0 / (front_end.gain_mV * n_inputs**0.5)
        self.encoder = linear(n_inputs, n_units, scale=encoder_scale, generator=generator_from(draw))
        self.recurrent = Recurrent(
            Block(Dense(n_units, gain=gain, rng=draw)), steps=steps, tied=tied, injection=injection
        )
        if not tied:
            for index in range(steps):
                self.recurrent.blocks[index] = Block(Dense(n_units, gain=gain, rng=draw))
        self.readout = linear(n_units, n_classes, scale=n_units**-0.5, generator=generator_from(draw))

    @property
    def name(self) -> str:
        """Return a short name for tables and titles."""
        return "tied ResNet" if self.tied else "untied ResNet"

    @property
    def steps(self) -> int:
        """Return the number of residual blocks T."""
        return self.recurrent.steps

    @property
    def tied(self) -> bool:
        """Return whether the blocks share their weights."""
        return self.recurrent.tied

    @property
    def facts(self) -> dict[str, object]:
        """Return what `record` keeps of the network: whether it is tied, and its sizes."""
        return {"tied": self.tied, "n_units": self.readout.in_features, "n_classes": self.readout.out_features}

    def inputs(self, stimuli: xr.Dataset) -> Tensor:
        """Return the drive of the front end in mV, (stimulus, channel)."""
        drive = front_ends.drive(stimuli, self.front_end)
        return torch.as_tensor(drive.transpose("stimulus", "channel").to_numpy(), dtype=torch.float64)

    def trajectory(self, inputs: Tensor, steps: int | None = None) -> dict[str, Tensor]:
        """Return ``{"response": states}``, (batch, steps + 1, unit), the first before any block."""
        return {"response": self.recurrent(self.encoder(inputs), steps=steps)}

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits, (batch, class), read from the last state."""
        logits: Tensor = self.readout(self.trajectory(inputs)["response"][:, -1])
        return logits

    def to_untied(self) -> ResidualNetwork:
        """Return an untied network that computes the same function: a copy of the shared block per step."""
        untied = copy.deepcopy(self)
        untied.recurrent = untied.recurrent.untie()
        return untied
