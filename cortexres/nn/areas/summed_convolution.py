"""The recurrence of an area whose input and past are summed before its convolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cortexres.nn.initial import Rng, reset_children
from cortexres.nn.norms import Norm
from cortexres.nn.transforms.layer import Activation, Layer
from cortexres.nn.transforms.transform import driven, resting


class SummedConvolution(nn.Module):
    """``F(h, u) = activation(norm(W * (h + u)))``: one convolution of what an area has and what it is given.

    Parameters
    ----------
    channels : int
        Channels of the state and of the drive.
    kernel_size : int
        Odd.
    norm : Norm, optional
        Normalisation after the convolution, which has a bias where there is none.
    activation : callable
        Elementwise function.
    rng : int or numpy Generator, optional
        Where the weights come from (normal, standard deviation ``sqrt(2 / fan_in)``; bias 0).

    References
    ----------
    Kubilius et al. (2018), CORnet: modeling the neural mechanisms of core object recognition, doi:10.1101/408385
    """

    state_dims, stride = 3, 1
    takes_drive = True

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 3,
        norm: Norm | None = None,
        activation: Activation = torch.relu,
        rng: Rng = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = self.out_channels = channels
        self.layer = Layer(
            channels, channels, kernel_size, norm=norm, activation=activation, rng=rng, device=device, dtype=dtype
        )

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw the weights anew; the norm starts where it does."""
        reset_children(self, rng)

    def initial_state(self, drive: Tensor) -> Tensor:
        """Return the state at rest, zeros, for a drive (batch, channel, y, x)."""
        return resting(drive, self.in_channels)

    def forward(self, state: Tensor, drive: Tensor | None = None, step: int = 0) -> Tensor:
        """Return the update, (batch, channel, y, x), for a state and a drive of that shape."""
        update: Tensor = self.layer(state if drive is None else driven(state, drive), step)
        return update
