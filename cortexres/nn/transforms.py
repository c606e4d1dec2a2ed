"""Residual functions F: what a block computes from its state and its input, to be added to the state."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cortexres.errors import ArgumentError
from cortexres.nn.initial import Rng, generator_from, normal


class Dense(nn.Module):
    """All-to-all residual function ``F(h, u) = gain * (activation(W h + u + b) - leak * h)``.

    With ``leak=0`` it is a plain residual branch; with ``leak=1`` and ``gain=dt/tau`` it is the Euler step of
    a rate equation, and with ``leak=gain=1`` the shortcut cancels and ``h + F(h, u)`` is the Elman network of
    `torch.nn.RNN`.

    Parameters
    ----------
    n_units : int
        Width of the state.
    gain : float
        Step size; ``1 / T`` keeps the sum of T updates of order one at any depth.
    leak : float
        Share of the state that decays, 0 (none) or more.
    activation : callable
        Elementwise function of a Tensor.
    rng : int or numpy Generator
        Where the initial weights come from (normal, standard deviation ``1 / sqrt(n_units)``; bias 0).

    Raises
    ------
    ArgumentError
        If `n_units` is below 1 or `gain` is not positive.
    """

    def __init__(
        self,
        n_units: int,
        *,
        gain: float = 1.0,
        leak: float = 0.0,
        activation: Callable[[Tensor], Tensor] = torch.tanh,
        rng: Rng = None,
    ) -> None:
        super().__init__()
        if n_units < 1:
            raise ArgumentError(f"got n_units={n_units}, expected 1 or more: give the width of the state")
        if not gain > 0:
            raise ArgumentError(f"got gain={gain}, expected a positive step size, such as 1 / steps")
        self.gain, self.leak, self.activation = gain, leak, activation
        self.weight = normal(n_units, n_units, scale=n_units**-0.5, generator=generator_from(rng))
        self.bias = nn.Parameter(torch.zeros(n_units, dtype=torch.float64))

    def forward(self, state: Tensor, drive: Tensor) -> Tensor:
        """Return the update, (batch, unit), for a state and an input of that shape."""
        excited: Tensor = self.activation(nn.functional.linear(state, self.weight, self.bias) + drive)
        return self.gain * (excited - self.leak * state)

    def extra_repr(self) -> str:
        """Return what `print(module)` shows in the brackets."""
        return f"{self.weight.shape[0]}, gain={self.gain:g}, leak={self.leak:g}"
