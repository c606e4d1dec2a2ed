"""All-to-all residual function of pre-activation networks: every layer begins with its norm and activation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cortexres.nn.initial import Rng, empty_linear, reset_children
from cortexres.nn.norms import Norm, normalised
from cortexres.nn.sizes import check_sizes
from cortexres.nn.transforms.transform import resting


class PreactivatedDense(nn.Module):
    """``F(h) = W2 relu(norm(W1 relu(norm(h))))``, or more layers or fewer; the update has both signs.

    Parameters
    ----------
    n_units : int
        Width of the state and of all layers.
    layers : int
        Number of layers.
    norm : Norm, optional
        Normalisation in front of every activation; without one the layers have biases.
    activation : callable
        Elementwise function of a Tensor.
    rng : int or numpy Generator, optional
        Where the initial weights come from (normal, standard deviation ``sqrt(2 / fan_in)``; bias 0).

    Raises
    ------
    ArgumentError
        If a size is below 1.

    References
    ----------
    He, Zhang, Ren & Sun (2016), Identity mappings in deep residual networks, doi:10.1007/978-3-319-46493-0_38
    """

    state_dims, stride = 1, 1
    takes_drive = False

    def __init__(
        self,
        n_units: int,
        *,
        layers: int = 2,
        norm: Norm | None = None,
        activation: Callable[[Tensor], Tensor] = torch.relu,
        rng: Rng = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(n_units=n_units, layers=layers)
        self.in_channels = self.out_channels = n_units
        self.activation = activation
        self.layers = nn.ModuleList(
            empty_linear(n_units, n_units, bias=norm is None, device=device, dtype=dtype) for _ in range(layers)
        )
        self.norms = nn.ModuleList(
            norm.build(n_units, device=device, dtype=dtype) for _ in range(layers) if norm is not None
        )
        self.reset_parameters(rng)

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw the weights anew; norms start where they do."""
        reset_children(self, rng)

    def initial_state(self, drive: Tensor) -> Tensor:
        """Return the state at rest, zeros (batch, unit), for a drive of this shape."""
        return resting(drive, self.in_channels)

    def forward(self, state: Tensor, drive: Tensor | None = None, step: int = 0) -> Tensor:
        """Return the update, (batch, unit), for a state (batch, unit); the block adds drives."""
        x = state
        for k, layer in enumerate(self.layers):
            x = layer(self.activation(normalised(self.norms[k] if len(self.norms) else None, x, step)))
        return x

    def extra_repr(self) -> str:
        """Return what `print(module)` shows in the brackets."""
        return f"{self.in_channels}, activation={getattr(self.activation, '__name__', repr(self.activation))}"
