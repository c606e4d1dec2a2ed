"""The residual function of deep networks of maps: few channels where the kernel is large."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from cortexres.nn.initial import Rng, reset_children, stream
from cortexres.nn.norms import Norm
from cortexres.nn.sizes import check_sizes
from cortexres.nn.transforms.layer import Activation, Layer, Order, closing, through
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
        self.layers = bottleneck_layers(
            (channels, inner, out),
            groups=1,
            stride=stride,
            order=order,
            norm=norm,
            activation=activation,
            rng=rng,
            device=device,
            dtype=dtype,
        )

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
    channels: tuple[int, int, int],
    *,
    groups: int,
    stride: int,
    order: Order,
    norm: Norm | None,
    activation: Activation,
    rng: Rng,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
) -> nn.ModuleList:
    """Return the three layers, for (in, inner, out) channels, the middle one in groups of channels."""
    before, inner, after = channels
    layer = partial(Layer, order=order, norm=norm, rng=stream(rng), device=device, dtype=dtype)
    return nn.ModuleList(
        [
            layer(before, inner, 1, activation=activation),
            layer(inner, inner, 3, stride=stride, groups=groups, activation=activation),
            layer(inner, after, 1, activation=closing(order, activation)),
        ]
    )
