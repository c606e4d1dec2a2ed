"""What reads the classes from the last state."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cortexres.nn.initial import Rng, empty_linear, reset_children
from cortexres.nn.norms import Norm, normalised
from cortexres.nn.sizes import check_sizes


class PooledHead(nn.Module):
    """``W mean(activation(norm(h))) + b``, the mean over all positions; dense states have none.

    Parameters
    ----------
    channels, classes : int
        Channels of the state, number of classes.
    norm, activation : optional
        For networks whose blocks begin with theirs (pre-activation), and so leave the last state without.
    rng : int or numpy Generator, optional
        Where the weights come from (normal, standard deviation ``1 / sqrt(channels)``; bias 0).

    Raises
    ------
    ArgumentError
        If a size is below 1.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        *,
        norm: Norm | None = None,
        activation: Callable[[Tensor], Tensor] | None = None,
        rng: Rng = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(channels=channels, classes=classes)
        self.activation = activation
        self.norm = None if norm is None else norm.build(channels, device=device, dtype=dtype)
        self.linear = empty_linear(channels, classes, device=device, dtype=dtype)
        self.reset_parameters(rng)

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw the weights anew; the norm starts where it does."""
        reset_children(self, rng, gain=1.0)

    def forward(self, state: Tensor) -> Tensor:
        """Return the logits, (batch, class), for a state (batch, channel, ...)."""
        state = normalised(self.norm, state, 0)
        if self.activation is not None:
            state = self.activation(state)
        logits: Tensor = self.linear(pooled(state))
        return logits


def pooled(state: Tensor) -> Tensor:
    """Return the mean over all positions, (batch, channel)."""
    return state if state.ndim == 2 else state.flatten(2).mean(dim=2)
