"""Looks-linear initialisation: rectifiers in pairs with mirrored weights, so that a network starts out linear."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cortexres.errors import ArgumentError
from cortexres.nn.initial import Rng, empty_linear, generator_from, zero_
from cortexres.nn.sizes import check_sizes
from cortexres.nn.transforms.transform import driven, resting


def crelu(x: Tensor) -> Tensor:
    """Return both halves of `x`, ``[relu(x), relu(-x)]``, stacked along dim 1: twice the channels, nothing lost.

    References
    ----------
    Shang, Sohn, Almeida & Lee (2016), Understanding and improving convolutional neural networks via concatenated
    rectified linear units, arXiv:1603.05201
    """
    return torch.cat([torch.relu(x), torch.relu(-x)], dim=1)


@torch.no_grad()
def looks_linear_(weight: Tensor, rng: Rng = None, *, gain: float = 1.0) -> Tensor:
    """Fill a weight that follows `crelu` in place with ``[W, -W]``, W orthogonal times `gain`, and return it.

    Then ``W relu(x) - W relu(-x) = W x``: the layer is linear until it learns.

    Parameters
    ----------
    weight : Tensor of shape (out, 2 * in, ...)
        Of a linear layer or a convolution.
    rng : int or numpy Generator, optional
        Draws W, on the CPU whatever the device.
    gain : float
        Scale of W.

    Raises
    ------
    ArgumentError
        If the number of inputs is odd: there is no mirror.

    References
    ----------
    Balduzzi et al. (2017), The shattered gradients problem, arXiv:1702.08591
    """
    if weight.shape[1] % 2:
        raise ArgumentError(f"got a weight of {weight.shape[1]} inputs, expected an even number: crelu has two halves")
    if weight.is_meta:
        return weight
    precise = weight.dtype if weight.dtype == torch.float64 else torch.float32  # bfloat16 has no QR decomposition
    half = torch.empty(len(weight), weight.shape[1] // 2, *weight.shape[2:], dtype=precise)
    nn.init.orthogonal_(half, gain, generator=generator_from(rng))
    return weight.copy_(torch.cat([half, -half], dim=1))


class LooksLinear(nn.Module):
    """All-to-all residual function ``F(h, u) = W [relu(h), relu(-h)] + u + b`` that starts out linear in h.

    With `NoShortcut` it is a plain rectifier layer whose gradients do not shatter.

    Parameters
    ----------
    n_units : int
        Width of the state.
    gain : float
        W starts as ``[V, -V]`` with V orthogonal times `gain`.
    bias : bool
        Whether there is a bias; it starts at 0.
    rng : int or numpy Generator, optional
        Where the initial weights come from.

    Raises
    ------
    ArgumentError
        If `n_units` is below 1.
    """

    state_dims, stride = 1, 1
    takes_drive = True

    def __init__(
        self,
        n_units: int,
        *,
        gain: float = 1.0,
        bias: bool = True,
        rng: Rng = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(n_units=n_units)
        self.in_channels = self.out_channels = n_units
        self.gain = gain
        self.layer = empty_linear(2 * n_units, n_units, bias=bias, device=device, dtype=dtype)
        self.reset_parameters(rng)

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw W anew, and set b to 0."""
        looks_linear_(self.layer.weight, rng, gain=self.gain)
        zero_(self.layer.bias)

    def initial_state(self, drive: Tensor) -> Tensor:
        """Return the state at rest, zeros (batch, unit), for a drive (batch, unit)."""
        return resting(drive, self.in_channels)

    def forward(self, state: Tensor, drive: Tensor | None = None, step: int = 0) -> Tensor:
        """Return the update, (batch, unit), for a state and a drive of the same shape."""
        update: Tensor = self.layer(crelu(state))
        return update if drive is None else driven(update, drive)

    def extra_repr(self) -> str:
        """Return what `print(module)` shows in the brackets."""
        return f"{self.in_channels}, gain={self.gain:g}"
