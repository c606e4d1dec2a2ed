"""A bottleneck of parallel columns: one grouped convolution, equal to the sum of its branches."""

from __future__ import annotations

import copy
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from cortexres.errors import ArgumentError
from cortexres.nn.initial import Rng, reset_children, stream
from cortexres.nn.norms import Norm
from cortexres.nn.sizes import check_sizes
from cortexres.nn.transforms.bottleneck import Bottleneck, bottleneck_layers
from cortexres.nn.transforms.layer import Activation, Layer, Order, through
from cortexres.nn.transforms.multi_residual import MultiResidual
from cortexres.nn.transforms.transform import resting


class Grouped(nn.Module):
    """``F(h) = sum of C bottlenecks of d channels``, computed as one whose 3 x 3 convolution has C groups.

    `split` returns the sum of branches that it is.

    Parameters
    ----------
    channels : int
        Channels of the state.
    out_channels : int, optional
        Channels of the update; those of the state where it is left out.
    cardinality : int
        Number of branches C.
    base_width : int
        Channels d of each.
    stride : int
        Of the 3 x 3 convolution.
    order, norm, activation, rng
        As in `Convolutional`.

    Raises
    ------
    ArgumentError
        If a size is below 1, or `order` is neither.

    References
    ----------
    Xie, Girshick, Dollar, Tu & He (2017), Aggregated residual transformations for deep neural networks,
    doi:10.1109/CVPR.2017.634
    """

    state_dims = 3
    takes_drive = False

    def __init__(
        self,
        channels: int,
        out_channels: int | None = None,
        *,
        cardinality: int = 32,
        base_width: int = 4,
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
        check_sizes(
            channels=channels, out_channels=out, cardinality=cardinality, base_width=base_width, stride=stride
        )
        self.in_channels, self.out_channels, self.stride = channels, out, stride
        self.cardinality, self.base_width = cardinality, base_width
        self.order, self.norm, self.activation = order, norm, activation
        layer = partial(
            Layer, order=order, norm=norm, activation=activation, rng=stream(rng), device=device, dtype=dtype
        )
        inner = cardinality * base_width
        self.layers = bottleneck_layers(layer, (channels, inner, out), groups=cardinality, stride=stride)

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw the weights anew; norms start where they do."""
        reset_children(self, rng)

    def initial_state(self, drive: Tensor) -> Tensor:
        """Return the state at rest, zeros (batch, channel, y, x), for a drive (batch, its channels, y, x)."""
        return resting(drive, self.in_channels)

    def forward(self, state: Tensor, drive: Tensor | None = None, step: int = 0) -> Tensor:
        """Return the update, (batch, out channel, y, x), for a state (batch, channel, y, x); the block adds drives."""
        return through(self.layers, state, step)

    def split(self) -> MultiResidual:
        """Return the same function as a sum of branches, each a bottleneck with its share of the weights.

        What all branches have in common is counted once: the last bias goes to the first branch, and in post order
        the last normalisation follows the sum.

        Raises
        ------
        ArgumentError
            If the normalisation takes its statistics over the channels of several branches.
        """
        if self.norm is not None and self.norm.kind != "batch":
            raise ArgumentError(
                f"got {self.norm.kind} normalisation, expected batch or none: its statistics are taken over branches"
            )
        branches = [self._branch(k) for k in range(self.cardinality)]
        return MultiResidual(branches, norm=copy.deepcopy(_last(self).norm) if self.order == "post" else None)

    def _branch(self, k: int) -> Bottleneck:
        """Return branch k, without the normalisation that follows the sum in post order."""
        branch = Bottleneck(
            self.in_channels,
            self.out_channels,
            width=self.base_width,
            stride=self.stride,
            order=self.order,
            norm=self.norm,
            activation=self.activation,
            device="meta",
        )
        taken = {key: self._share(key, value, k).clone() for key, value in self.state_dict().items()}
        branch.load_state_dict(taken, assign=True)
        if self.order == "post":
            _last(branch).norm = None
        return branch.train(self.training)

    def _share(self, key: str, value: Tensor, k: int) -> Tensor:
        """Return what branch k has of an entry of the state dict, such as ``layers.1.convolution.weight``."""
        place, what = int(key.split(".")[1]), key.partition(".convolution.")[2]
        own, every = slice(k * self.base_width, (k + 1) * self.base_width), slice(None)
        outputs, inputs = (own, own, every)[place], (every, every, own)[place]
        if what == "weight":
            return value[outputs, inputs]
        if what == "bias":
            return value[outputs] if place < 2 or k == 0 else torch.zeros_like(value)
        of_norm = outputs if self.order == "post" else (every, own, own)[place]
        return value[:, of_norm] if value.ndim == 2 else value


def _last(transform: nn.Module) -> Layer:
    return cast("Layer", transform.get_submodule("layers.2"))
