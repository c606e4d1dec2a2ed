"""Kernels of several sizes side by side, joined by a linear map."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from cortexres.nn.initial import Rng, empty_convolution, fill_, reset_children, stream
from cortexres.nn.norms import Norm
from cortexres.nn.sizes import check_sizes
from cortexres.nn.transforms.layer import Activation, Layer, Order, through
from cortexres.nn.transforms.transform import resting


class Inception(nn.Module):
    """``W [a(h), b(h), c(h)]``: 1 x 1; 1 x 1 and 3 x 3; 1 x 1 and twice 3 x 3; concatenated and mapped by 1 x 1.

    The last map has neither normalisation nor activation, as in Inception-ResNet, whose blocks add 0.1 to 0.3 of it
    (`Scaled`).

    Parameters
    ----------
    channels : int
        Channels of the state.
    out_channels : int, optional
        Channels of the update; those of the state where it is left out.
    width : int, optional
        Channels of each branch; an eighth of `out_channels` where it is left out, as 32 of 256 in the paper.
    stride : int
        Of the last convolution of each branch.
    order, norm, activation, rng
        As in `Convolutional`.

    Raises
    ------
    ArgumentError
        If a size is below 1, or `order` is neither.

    References
    ----------
    Szegedy, Ioffe, Vanhoucke & Alemi (2017), Inception-v4, Inception-ResNet and the impact of residual connections
    on learning, arXiv:1602.07261, figure 10
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
        inner = max(out // 8, 1) if width is None else width
        check_sizes(channels=channels, out_channels=out, width=inner, stride=stride)
        self.in_channels, self.out_channels, self.stride = channels, out, stride
        draw = stream(rng)
        layer = partial(
            Layer, order=order, norm=norm, activation=activation, rng=draw, device=device, dtype=dtype
        )
        self.branches = nn.ModuleList(
            nn.ModuleList(
                layer(channels if k == 0 else inner, inner, kernel, stride=stride if k == len(kernels) - 1 else 1)
                for k, kernel in enumerate(kernels)
            )
            for kernels in ((1,), (1, 3), (1, 3, 3))
        )
        self.join = empty_convolution(3 * inner, out, 1, bias=True, device=device, dtype=dtype)
        fill_(self.join, draw)

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw the weights anew; norms start where they do."""
        reset_children(self, rng)

    def initial_state(self, drive: Tensor) -> Tensor:
        """Return the state at rest, zeros (batch, channel, y, x), for a drive (batch, its channels, y, x)."""
        return resting(drive, self.in_channels)

    def forward(self, state: Tensor, drive: Tensor | None = None, step: int = 0) -> Tensor:
        """Return the update, (batch, out channel, y, x), for a state (batch, channel, y, x); the block adds drives."""
        branches = [through(branch, state, step) for branch in self.branches]  # type: ignore[arg-type]
        update: Tensor = self.join(torch.cat(branches, dim=1))
        return update
