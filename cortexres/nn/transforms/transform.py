"""What a block needs of a residual function."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from cortexres.errors import ArgumentError


class Transform(Protocol):
    """A residual function F; every module of this folder is one, and so is any module with these members.

    Attributes
    ----------
    state_dims : int
        Dims of one state: 1 for (unit,), 3 for (channel, y, x).
    in_channels, out_channels, stride : int
        How the shape changes from the state to the update.
    takes_drive : bool
        Whether the drive enters inside F; otherwise the block adds it to the sum.
    """

    state_dims: int
    in_channels: int
    out_channels: int
    stride: int
    takes_drive: bool

    def __call__(self, state: Tensor, drive: Tensor | None = None, step: int = 0) -> Tensor:
        """Return the update for a state, under a drive, at a step."""
        ...

    def initial_state(self, drive: Tensor) -> Tensor:
        """Return the state at rest, zeros, for a drive."""
        ...


def resting(drive: Tensor, channels: int) -> Tensor:
    """Return zeros (batch, channel, ...) with the positions of `drive`, (batch, its channels, ...)."""
    return drive.new_zeros(drive.shape[0], channels, *drive.shape[2:])


def driven(x: Tensor, drive: Tensor) -> Tensor:
    """Return the sum of a state, or what came of it, and a drive.

    Raises
    ------
    ArgumentError
        If they differ in shape: torch would stretch one of them without a word.
    """
    if x.shape != drive.shape:
        raise ArgumentError(
            f"got a drive of shape {tuple(drive.shape)} for a state of shape {tuple(x.shape)}, expected the same: "
            "bring the input there first, or give the transform an input_size where it has one"
        )
    return x + drive
