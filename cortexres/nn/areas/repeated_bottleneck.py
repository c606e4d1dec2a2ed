"""The recurrence of an area that is passed through several times, and makes the map coarser the first time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NoReturn, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from cortexres.errors import ArgumentError
from cortexres.nn.initial import Rng, reset_children, stream
from cortexres.nn.norms import Norm, normalised
from cortexres.nn.shortcuts import Identity, Projection
from cortexres.nn.sizes import check_sizes
from cortexres.nn.transforms.bottleneck import bottleneck_layers
from cortexres.nn.transforms.layer import Activation, Layer
from cortexres.nn.transforms.transform import resting
from cortexres.nn.untie import Combine


class RepeatedBottleneck(nn.Module):
    """``norm(W3 relu(norm(W2 relu(norm(W1 h)))))``, 1 x 1, 3 x 3 and 1 x 1, wide in the middle; W2 strides at step 0.

    The weights are those of all steps; what belongs to a step is the stride, and what normalisation keeps.

    Parameters
    ----------
    channels : int
        Channels of the state and of the update.
    expansion : int
        How many times as many channels there are in the middle.
    stride : int
        Of the 3 x 3 convolution at step 0; 1 at all later ones.
    norm : Norm, optional
        Normalisation after each convolution, which has a bias where there is none.
    activation : callable
        Elementwise function, after the first two.
    rng : int or numpy Generator, optional
        Where the weights come from (normal, standard deviation ``sqrt(2 / fan_in)``; bias 0).

    Raises
    ------
    ArgumentError
        If a size is below 1.

    References
    ----------
    Kubilius et al. (2019), Brain-like object recognition with high-performing shallow recurrent ANNs, arXiv:1909.06161
    """

    state_dims = 3
    takes_drive = False

    def __init__(
        self,
        channels: int,
        *,
        expansion: int = 4,
        stride: int = 2,
        norm: Norm | None = None,
        activation: Activation = torch.relu,
        rng: Rng = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(channels=channels, expansion=expansion, stride=stride)
        self.in_channels = self.out_channels = channels
        self.stride, self.activation = stride, activation
        layer = partial(Layer, norm=norm, activation=activation, rng=stream(rng), device=device, dtype=dtype)
        self.layers = bottleneck_layers(layer, (channels, expansion * channels, channels), groups=1, stride=1)

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw the weights anew; norms start where they do."""
        reset_children(self, rng)

    def initial_state(self, drive: Tensor) -> Tensor:
        """Return the state at rest, zeros (batch, channel, y, x), for a drive of that shape."""
        return resting(drive, self.in_channels)

    def forward(self, state: Tensor, drive: Tensor | None = None, step: int = 0) -> Tensor:
        """Return the update, (batch, channel, y, x), coarser than the state at step 0; a block adds drives."""
        narrow, middle, wide = (cast("Layer", layer) for layer in self.layers)
        x = narrow(state, step)
        kernel = middle.convolution
        x = functional.conv2d(x, kernel.weight, kernel.bias, stride=self.stride if step == 0 else 1, padding=1)
        update: Tensor = wide(self.activation(normalised(middle.norm, x, step)), step)
        return update

    def at_step(self, step: int) -> NoReturn:
        """Raise: alone, a step would not know whether it is the one that strides.

        Raises
        ------
        ArgumentError
            Always.
        """
        raise ArgumentError(
            "got a bottleneck that strides at its first step only, expected one whose steps are alike: it cannot be "
            "untied; use Bottleneck, and a transition for the stride"
        )

    def merged(self, parts: Sequence[Self], combine: Combine) -> NoReturn:
        """Raise as `at_step` does, which leaves nothing to merge."""
        self.at_step(0)

    def extra_repr(self) -> str:
        """Return what `print(module)` shows in the brackets."""
        return f"{self.in_channels}, stride={self.stride} at step 0"


class ProjectionAtFirst(nn.Module):
    """``P h + F`` at step 0, where the shape changes, and ``h + F`` at all later ones.

    Parameters
    ----------
    channels, stride : int
        How the shape changes.
    norm : Norm, optional
        Normalisation after P.
    rng : int or numpy Generator, optional
        Where the weights come from.
    """

    def __init__(
        self,
        channels: int,
        *,
        stride: int = 2,
        norm: Norm | None = None,
        rng: Rng = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.projection = Projection(channels, channels, stride=stride, norm=norm, rng=rng, device=device, dtype=dtype)
        self.later = Identity()

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw P anew; the norm starts where it does."""
        reset_children(self, rng)

    def forward(
        self, state: Tensor, update: Tensor, step: int = 0, drive: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return (P h + u, F) at step 0, then (h + u, F)."""
        shortcut = self.later if step else self.projection
        carried, added = shortcut(state, update, 0, drive)
        return carried, added
