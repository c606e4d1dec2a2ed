"""All-to-all residual function: the recurrent weights of a rate network, or the layers of a residual MLP."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cortexres.nn.initial import Rng, empty_linear, reset_children
from cortexres.nn.norms import Norm, normalised
from cortexres.nn.sizes import check_sizes
from cortexres.nn.transforms.transform import driven, resting


class Dense(nn.Module):
    """All-to-all residual function ``F(h, u) = activation(norm(W h + u + b))``, or a stack of such layers.

    The drive enters before the activation of the first layer, as the input of an Elman network does: with
    `NoShortcut`, ``F`` is the step of `torch.nn.RNN`; with `SoftAssignment` (dt / tau) it is the Euler step of a
    rate equation; with `Identity`, a residual branch.

    Parameters
    ----------
    n_units : int
        Width of the state.
    input_size : int, optional
        Width of the drive, which then has weights of its own; where it is left out, the drive is added as it is.
    layers : int
        Number of layers. Weights between layers are of width `n_units`.
    activation : callable
        Elementwise function of a Tensor, after every layer but the last, and after the last where `final_activation`.
    final_activation : bool
        Whether the update is the activation of the last layer, as in a rate network, or the layer itself, as in a
        residual branch whose updates shall have both signs.
    norm : Norm, optional
        Normalisation before every activation, or after the last layer.
    bias : bool
        Whether the layers have biases.
    rng : int or numpy Generator, optional
        Where the initial weights come from (normal, standard deviation ``1 / sqrt(fan_in)``; bias 0).

    Raises
    ------
    ArgumentError
        If `n_units`, `input_size` or `layers` is below 1.
    """

    state_dims, stride = 1, 1
    takes_drive = True

    def __init__(
        self,
        n_units: int,
        *,
        input_size: int | None = None,
        layers: int = 1,
        activation: Callable[[Tensor], Tensor] = torch.tanh,
        final_activation: bool = True,
        norm: Norm | None = None,
        bias: bool = True,
        rng: Rng = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(n_units=n_units, layers=layers, input_size=1 if input_size is None else input_size)
        self.in_channels = self.out_channels = n_units
        self.input_size, self.activation, self.final_activation = input_size, activation, final_activation
        self.layers = nn.ModuleList(
            empty_linear(n_units, n_units, bias=bias, device=device, dtype=dtype) for _ in range(layers)
        )
        self.input: nn.Linear | None = None
        if input_size is not None:
            self.input = empty_linear(input_size, n_units, bias=False, device=device, dtype=dtype)
        self.norms = nn.ModuleList(
            norm.build(n_units, device=device, dtype=dtype) for _ in range(layers) if norm is not None
        )
        self.reset_parameters(rng)

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw the weights anew; biases and norms start where they do."""
        reset_children(self, rng, gain=1.0)

    def initial_state(self, drive: Tensor) -> Tensor:
        """Return the state at rest, zeros (batch, unit), for a drive (batch, input)."""
        return resting(drive, self.in_channels)

    def forward(self, state: Tensor, drive: Tensor | None = None, step: int = 0) -> Tensor:
        """Return the update, (batch, unit), for a state (batch, unit) and a drive (batch, unit or input)."""
        x = state
        for k, layer in enumerate(self.layers):
            x = layer(x)
            if k == 0 and drive is not None:
                x = driven(x, drive if self.input is None else self.input(drive))
            x = normalised(self.norms[k] if len(self.norms) else None, x, step)
            if self.final_activation or k < len(self.layers) - 1:
                x = self.activation(x)
        return x

    def extra_repr(self) -> str:
        """Return what `print(module)` shows in the brackets."""
        name = getattr(self.activation, "__name__", repr(self.activation))
        return f"{self.in_channels}, activation={name}, final_activation={self.final_activation}"
