"""Whole networks: front end -> encoder -> T residual blocks -> readout."""

from __future__ import annotations

import copy

import torch
import xarray as xr
from torch import Tensor, nn

from cortexres import front_ends
from cortexres.definitions import FrontEnd
from cortexres.errors import ArgumentError
from cortexres.nn.block import Block
from cortexres.nn.chain import Chain
from cortexres.nn.initial import Rng, linear, stream
from cortexres.nn.recurrent import Injection, Recurrent
from cortexres.nn.shortcuts import Scaled
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
        draw = stream(rng)
        if steps < 1:
            raise ArgumentError(f"got steps={steps}, expected 1 or more: give the number of blocks")
        self.front_end = front_end
        # the drive is in mV up to gain_mV; the encoder brings it to order one
        encoder_scale = 1.0 / (front_end.gain_mV * n_inputs**0.5)
        double = torch.float64
        self.encoder = linear(n_inputs, n_units, scale=encoder_scale, rng=draw, dtype=double)
        # scaled by 1 / steps, the sum of the updates stays of order one at any depth
        blocks = [
            Block(Dense(n_units, rng=draw, dtype=double), Scaled(1.0 / steps)) for _ in range(1 if tied else steps)
        ]
        self.recurrent = Recurrent(blocks[0] if tied else blocks, steps=steps, injection=injection, readout="last")
        self.readout = linear(n_units, n_classes, rng=draw, dtype=double)

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
        return {"response": self.recurrent.trajectory(self.encoder(inputs), steps=steps).response}

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits, (batch, class), read from the last state."""
        last, _ = self.recurrent(self.encoder(inputs))
        logits: Tensor = self.readout(last)
        return logits

    def chain(self) -> Chain:
        """Return the network as a chain of its blocks."""
        return Chain(
            enter=lambda inputs: self.recurrent.entered(self.encoder(inputs)),
            steps=self.recurrent.chain_steps(stage=0, name="recurrent"),
            read=self.readout,
        )

    def to_untied(self) -> ResidualNetwork:
        """Return an untied network that computes the same function: a copy of the shared block per step."""
        untied = copy.deepcopy(self)
        untied.recurrent = untied.recurrent.to_untied()
        return untied
