"""The residual function of deep networks of maps: few channels where the kernel is large."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from cortexres.nn.initial import Rng, reset_children, stream
from cortexres.nn.norms import Norm
from cortexres.nn.sizes import check_sizes
from cortexres.nn.transforms.layer import Activation, Layer, Order, through
from cortexres.nn.transforms.transform import resting


class Bottleneck(nn.Module):
    """Three convolutions, 1 x 1 down to `width` channels, 3 x 3, 1 x 1 up.

    Parameters
    ----------
    channels : int
        Channels of the state.
    out_channels : int, optional
        Channels of the update; those of the state where it is left out.
    width : int, optional
        Channels of the 3 x 3 convolution; a quarter of `out_channels` where it is left out.
    stride : int
        Of the 3 x 3 convolution.
    order : {"post", "pre"}
        Whether normalisation and activation follow the convolutions or precede them.
    norm, activation, rng
        As in `Convolutional`.

    Raises
    ------
    ArgumentError
        If a size is below 1, or `order` is neither.

    References
    ----------
    He, Zhang, Ren & Sun (2016), Deep residual learning for image recognition, doi:10.1109/CVPR.2016.90
    """

    state_dims = 3
    takes_drive = False

    def __init__(
        self,
        channels: int,
        out_channels: int | None = None,
        *,
        width: int | None = None,
        stride: int = 1,
        order: Order = "post",
        norm: Norm | None = None,
        activation: Activation = torch.relu,
        rng: Rng = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        out = channels if out_channels is None else out_channels
        inner = max(out // 4, 1) if width is None else width
        check_sizes(channels=channels, out_channels=out, width=inner, stride=stride)
        self.in_channels, self.out_channels, self.stride = channels, out, stride
        layer = partial(
            Layer, order=order, norm=norm, activation=activation, rng=stream(rng), device=device, dtype=dtype
        )
        self.layers = bottleneck_layers(layer, (channels, inner, out), groups=1, stride=stride)

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw the weights anew; norms start where they do."""
        reset_children(self, rng)

    def initial_state(self, drive: Tensor) -> Tensor:
        """Return the state at rest, zeros (batch, channel, y, x), for a drive (batch, its channels, y, x)."""
        return resting(drive, self.in_channels)

    def forward(self, state: Tensor, drive: Tensor | None = None, step: int = 0) -> Tensor:
        """Return the update, (batch, out channel, y, x), for a state (batch, channel, y, x); the block adds drives."""
        return through(self.layers, state, step)


def bottleneck_layers(
    layer: Callable[..., Layer], channels: tuple[int, int, int], *, groups: int, stride: int
) -> nn.ModuleList:
    """Return the three layers that `layer` makes for (in, inner, out) channels, the middle one in groups."""
    before, inner, after = channels
    return nn.ModuleList(
        [
            layer(before, inner, 1),
            layer(inner, inner, 3, stride=stride, groups=groups),
            layer(inner, after, 1, last=True),
        ]
    )
