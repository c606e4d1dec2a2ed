"""Gain control of a residual function: its channels are scaled by what all positions say together."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from cortexres.nn.initial import Rng, empty_linear, reset_children, stream
from cortexres.nn.sizes import check_sizes
from cortexres.nn.transforms.transform import Transform


class SqueezeExcitation(nn.Module):
    """``s * F(h)`` with ``s = sigmoid(W2 relu(W1 z))``, where z is the mean of F(h) over its positions.

    Parameters
    ----------
    transform : Module
        F, any transform; where its states have no positions, z is F(h) itself.
    reduction : int
        How many times fewer hidden units than channels, at least one.
    rng : int or numpy Generator, optional
        Where the weights of the gate come from (W1 with standard deviation ``sqrt(2 / fan_in)``, W2 the same, biases
        0); those of F are as they are.

    Raises
    ------
    ArgumentError
        If `reduction` is below 1.

    References
    ----------
    Hu, Shen & Sun (2018), Squeeze-and-excitation networks, doi:10.1109/CVPR.2018.00745, arXiv:1709.01507
    """

    def __init__(
        self,
        transform: nn.Module,
        *,
        reduction: int = 16,
        rng: Rng = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(reduction=reduction)
        inner = cast("Transform", transform)
        self.state_dims, self.takes_drive = inner.state_dims, inner.takes_drive
        self.in_channels, self.out_channels, self.stride = inner.in_channels, inner.out_channels, inner.stride
        hidden = max(inner.out_channels // reduction, 1)
        self.transform = transform
        self.gate = nn.Sequential(
            empty_linear(inner.out_channels, hidden, device=device, dtype=dtype),
            nn.ReLU(),
            empty_linear(hidden, inner.out_channels, device=device, dtype=dtype),
            nn.Sigmoid(),
        )
        reset_children(self.gate, stream(rng))

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw the weights of F and of the gate anew."""
        reset_children(self, rng)

    def initial_state(self, drive: Tensor) -> Tensor:
        """Return the state at rest, zeros, for a drive."""
        return cast("Transform", self.transform).initial_state(drive)

    def forward(self, state: Tensor, drive: Tensor | None = None, step: int = 0) -> Tensor:
        """Return the scaled update for a state."""
        update: Tensor = self.transform(state, drive, step)
        squeezed = update if update.ndim == 2 else update.flatten(2).mean(dim=2)
        scale: Tensor = self.gate(squeezed)
        return update * scale.view(*scale.shape, *(1,) * (update.ndim - 2))
