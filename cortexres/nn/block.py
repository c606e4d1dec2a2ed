"""The residual block: a shortcut plus a transform."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import Tensor, nn

from cortexres.errors import ArgumentError
from cortexres.nn.initial import Rng, reset_children
from cortexres.nn.shortcuts import Identity
from cortexres.nn.transforms.transform import Transform


class Block(nn.Module):
    """``y = x + F(x)``: what the shortcut carries of the state plus what it adds of the transform.

    Parameters
    ----------
    transform : Module
        The residual function F, see `cortexres.nn.transforms`.
    shortcut : Module, optional
        What is carried and how much of F is added, see `cortexres.nn.shortcuts`; the identity by default.
    activation : callable, optional
        Elementwise function of the sum: ReLU in ResNets of 2015, none in those of 2016.

    References
    ----------
    He, Zhang, Ren & Sun (2016), Deep residual learning for image recognition, doi:10.1109/CVPR.2016.90, and
    Identity mappings in deep residual networks, doi:10.1007/978-3-319-46493-0_38
    """

    def __init__(
        self,
        transform: nn.Module,
        shortcut: nn.Module | None = None,
        *,
        activation: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.transform = transform
        self.shortcut = Identity() if shortcut is None else shortcut
        self.activation = activation

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw the weights of F, then those of the shortcut anew."""
        reset_children(self, rng)

    def parts(self, state: Tensor, drive: Tensor | None = None, step: int = 0) -> tuple[Tensor, Tensor]:
        """Return (x, F(x)), the two terms whose sum is the next state before any activation.

        Parameters
        ----------
        state : Tensor of shape (batch, ...)
            What comes in.
        drive : Tensor of shape (batch, ...), optional
            Input of this step. A transform that `takes_drive` has it inside F; otherwise it is part of x, by the share
            of F that the shortcut adds.
        step : int
            Which step this is, for what normalisation keeps per step.

        Raises
        ------
        ArgumentError
            If x and F(x) differ in shape, or x and the drive: torch would stretch one of them without a word.
        """
        transform = cast("Transform", self.transform)
        inside = drive is not None and transform.takes_drive
        update = transform(state, drive if inside else None, step)
        carried, added = self.shortcut(state, update, step, None if inside else drive)
        if carried.shape != added.shape:
            raise ArgumentError(
                f"got x of shape {tuple(carried.shape)} and F(x) of shape {tuple(added.shape)}, expected the same: "
                "where F changes the shape, the shortcut is a Projection or ZeroPadding"
            )
        return carried, added

    def finish(self, total: Tensor) -> Tensor:
        """Return the next state from the sum: its activation, where there is one."""
        return total if self.activation is None else self.activation(total)

    def forward(self, state: Tensor, drive: Tensor | None = None, step: int = 0) -> Tensor:
        """Return the next state, (batch, ...)."""
        carried, added = self.parts(state, drive, step)
        return self.finish(carried + added)

    def initial_state(self, drive: Tensor) -> Tensor:
        """Return the state at rest, zeros, for a drive."""
        return cast("Transform", self.transform).initial_state(drive)

    @property
    def state_dims(self) -> int:
        """Return the number of dims of one state: 1 for (unit,), 3 for (channel, y, x)."""
        return cast("Transform", self.transform).state_dims

    def extra_repr(self) -> str:
        """Return what `print(module)` shows in the brackets."""
        if self.activation is None:
            return ""
        return f"activation={getattr(self.activation, '__name__', repr(self.activation))}"
