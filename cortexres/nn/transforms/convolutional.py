"""The basic residual function of maps: two convolutions."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from cortexres.nn.initial import Rng, reset_children, stream
from cortexres.nn.norms import Norm
from cortexres.nn.sizes import check_sizes
from cortexres.nn.transforms.layer import Activation, Layer, Order, through
from cortexres.nn.transforms.transform import resting


class Convolutional(nn.Module):
    """Two convolutions, ``F(h) = norm(W2 relu(norm(W1 h)))``, or ``W2 relu(norm(W1 relu(norm(h))))`` in pre order.

    Post order is that of 2015, whose block has an activation after the sum; pre order is that of 2016, whose block
    has none.

    Parameters
    ----------
    channels : int
        Channels of the state.
    out_channels : int, optional
        Channels of the update; those of the state where it is left out.
    width : int, optional
        Channels between the convolutions; `out_channels` where it is left out. Wide residual networks widen all three.
    stride : int
        Of the first convolution.
    kernel_size : int
        Of both, odd.
    order : {"post", "pre"}
        Whether normalisation and activation follow the convolutions or precede them.
    norm : Norm, optional
        Normalisation; without one the convolutions have biases.
    activation : callable
        Elementwise function of a Tensor.
    rng : int or numpy Generator, optional
        Where the initial weights come from (normal, standard deviation ``sqrt(2 / fan_in)``; bias 0).

    Raises
    ------
    ArgumentError
        If a size is below 1, the kernel is even, or `order` is neither.

    References
    ----------
    He, Zhang, Ren & Sun (2016), Deep residual learning for image recognition, doi:10.1109/CVPR.2016.90, and
    Identity mappings in deep residual networks, doi:10.1007/978-3-319-46493-0_38
    Zagoruyko & Komodakis (2016), Wide residual networks, arXiv:1605.07146
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
        kernel_size: int = 3,
        order: Order = "post",
        norm: Norm | None = None,
        activation: Activation = torch.relu,
        rng: Rng = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        out = channels if out_channels is None else out_channels
        inner = out if width is None else width
        check_sizes(channels=channels, out_channels=out, width=inner, stride=stride, kernel_size=kernel_size)
        self.in_channels, self.out_channels, self.stride = channels, out, stride
        layer = partial(
            Layer, order=order, norm=norm, activation=activation, rng=stream(rng), device=device, dtype=dtype
        )
        self.layers = nn.ModuleList(
            [
                layer(channels, inner, kernel_size, stride=stride),
                layer(inner, out, kernel_size, last=True),
            ]
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
