"""What brings inputs into the first state: a convolution of images, or a linear map of flat inputs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cortexres.nn.initial import Rng, empty_convolution, empty_linear, reset_children
from cortexres.nn.norms import Norm, normalised
from cortexres.nn.sizes import check_sizes


class ConvolutionalStem(nn.Module):
    """``activation(norm(W * image))``.

    Parameters
    ----------
    in_channels, width : int
        Channels of the images and of the first state.
    kernel_size, stride : int
        Of the convolution.
    norm : Norm, optional
        Normalisation; in networks whose blocks begin with theirs there is none.
    activation : callable, optional
        Elementwise function of a Tensor.
    rng : int or numpy Generator, optional
        Where the weights come from.

    Raises
    ------
    ArgumentError
        If a size is below 1, or the kernel is even.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        kernel_size: int = 3,
        stride: int = 1,
        norm: Norm | None = None,
        activation: Callable[[Tensor], Tensor] | None = None,
        rng: Rng = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(in_channels=in_channels, width=width, kernel_size=kernel_size, stride=stride)
        self.activation = activation
        self.convolution = empty_convolution(
            in_channels, width, kernel_size, stride=stride, device=device, dtype=dtype
        )
        self.norm = None if norm is None else norm.build(width, device=device, dtype=dtype)
        self.reset_parameters(rng)

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw the weights anew; the norm starts where it does."""
        reset_children(self, rng)

    def forward(self, images: Tensor) -> Tensor:
        """Return the first state, (batch, channel, y, x), for images of these dims."""
        state = normalised(self.norm, self.convolution(images), 0)
        return state if self.activation is None else self.activation(state)


class LinearStem(nn.Module):
    """``activation(norm(W x + b))``.

    Parameters
    ----------
    n_inputs, width : int
        Size of an input and of the first state.
    norm, activation, rng
        As in `ConvolutionalStem`.

    Raises
    ------
    ArgumentError
        If a size is below 1.
    """

    def __init__(
        self,
        n_inputs: int,
        width: int,
        *,
        norm: Norm | None = None,
        activation: Callable[[Tensor], Tensor] | None = None,
        rng: Rng = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(n_inputs=n_inputs, width=width)
        self.activation = activation
        self.linear = empty_linear(n_inputs, width, device=device, dtype=dtype)
        self.norm = None if norm is None else norm.build(width, device=device, dtype=dtype)
        self.reset_parameters(rng)

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw the weights anew; the norm starts where it does."""
        reset_children(self, rng)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the first state, (batch, unit), for inputs (batch, input), or images, which are flattened."""
        state = normalised(self.norm, self.linear(inputs.flatten(1)), 0)
        return state if self.activation is None else self.activation(state)
