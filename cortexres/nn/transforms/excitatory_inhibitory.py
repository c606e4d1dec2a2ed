"""Residual function of excitatory and inhibitory units, or maps of them, under Dale's law."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from cortexres.errors import ArgumentError
from cortexres.nn.balance import balanced
from cortexres.nn.dale import constrain, law_of, signs_of
from cortexres.nn.initial import Rng, empty_convolution, empty_linear, fill_, stream, zero_
from cortexres.nn.norms import Norm, normalised
from cortexres.nn.sizes import check_sizes
from cortexres.nn.transforms.transform import driven, resting


class ExcitatoryInhibitory(nn.Module):
    """``F(h, u) = activation(norm(W [h]+ + u) + b)`` with excitatory and inhibitory units, which W keeps apart.

    Units send their rate, ``[h]+``: a state below 0 sends nothing, rather than the opposite of what its unit sends.
    A positive state is a rate already. With `SoftAssignment` (dt / tau), F is the Euler step of a rate equation; with
    `Identity`, a residual branch.

    The weight is never outside Dale's law, see `cortexres.nn.dale`, and its initial values are those of
    `cortexres.nn.balance.balanced`: inhibition cancels excitation, and stabilises it.

    Parameters
    ----------
    n_excitatory, n_inhibitory : int
        Number of units of both kinds, or of channels; excitatory ones come first in the state.
    input_size : int, optional
        Units or channels of the drive, which then has weights of its own, of any sign; where it is left out, the
        drive is added as it is.
    kernel_size : int, optional
        Side of the kernels, an odd number: W is a convolution of maps, and each channel is one kind of units. At the
        border, where kernels see zeros, units receive less. All-to-all weights of dense states where it is left out.
    activation : callable
        Elementwise function of a Tensor. Rates are 0 or above: ReLU, softplus, sigmoid.
    final_activation : bool
        Whether the update is the activation, a rate; otherwise it is the input current, of both signs, and the state
        is one, whose rate is sent.
    mask : Tensor of bool, optional
        Which units or channels connect, (postsynaptic, presynaptic); see `cortexres.nn.dale.connections`.
    excitation, inhibition, radius : float
        Sums of the initial weights onto each unit, and the largest initial spectral radius, see `balanced`.
    norm : Norm, optional
        Normalisation of the input current, without a scale of its own (``affine="none"``): a negative one would turn
        excitation into inhibition. Layer and group norms take the mean over units away, so that a unit's excitation
        lowers the others: the law is then that of the weights, not of what units do to each other.
    bias : bool
        Whether units, or channels, have a bias, added after the normalisation.
    rng : int or numpy Generator, optional
        Where the initial weights come from.

    Raises
    ------
    ArgumentError
        If a size is below 1 or a kernel even, the norm has a scale, or the initial weights cannot be as asked for.

    References
    ----------
    Tsodyks et al. (1997), doi:10.1523/JNEUROSCI.17-11-04382.1997
    Cornford et al. (2021), Learning to live with Dale's principle, https://openreview.net/forum?id=eU776ZYxEpz
    """

    stride = 1
    takes_drive = True

    def __init__(
        self,
        n_excitatory: int,
        n_inhibitory: int,
        *,
        input_size: int | None = None,
        kernel_size: int | None = None,
        activation: Callable[[Tensor], Tensor] = torch.relu,
        final_activation: bool = True,
        mask: Tensor | None = None,
        excitation: float = 2.0,
        inhibition: float | None = None,
        radius: float = 0.9,
        norm: Norm | None = None,
        bias: bool = True,
        rng: Rng = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        signs = signs_of(n_excitatory, n_inhibitory)
        check_sizes(input_size=1 if input_size is None else input_size)
        if norm is not None and norm.affine != "none":
            raise ArgumentError(
                f"got a norm with affine={norm.affine!r}, expected affine='none': a negative scale would turn "
                "excitation into inhibition; units have their bias after the norm"
            )
        self.n_excitatory, self.n_inhibitory = n_excitatory, n_inhibitory
        self.in_channels = self.out_channels = units = len(signs)
        self.state_dims = 1 if kernel_size is None else 3
        self.activation, self.final_activation = activation, final_activation
        self.excitation, self.inhibition, self.radius = excitation, inhibition, radius
        self.recurrent = constrain(_layer(units, units, kernel_size, device, dtype), signs, mask=mask)
        self.input = None if input_size is None else _layer(input_size, units, kernel_size, device, dtype)
        self.norm = None if norm is None else norm.build(units, device=device, dtype=dtype)
        self.bias = nn.Parameter(torch.empty(units, device=device, dtype=dtype)) if bias else None
        self.reset_parameters(rng)

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw the weights anew, balanced; biases start at 0."""
        draw, law = stream(rng), law_of(self.recurrent)
        law.reset()
        if not self.recurrent.weight.is_meta:
            weight = balanced(
                law.known,
                law.shape,
                excitation=self.excitation,
                inhibition=self.inhibition,
                radius=self.radius,
                rng=draw,
            )
            self.recurrent.weight = weight.to(self.recurrent.weight)
        if self.input is not None:
            fill_(self.input, draw, gain=1.0)
        if self.norm is not None:
            self.norm.reset_parameters()
        zero_(self.bias)

    def initial_state(self, drive: Tensor) -> Tensor:
        """Return the state at rest, zeros (batch, unit) or (batch, channel, y, x), for a drive."""
        return resting(drive, self.in_channels)

    def forward(self, state: Tensor, drive: Tensor | None = None, step: int = 0) -> Tensor:
        """Return the update, shaped as the state, (batch, unit) or (batch, channel, y, x), under a drive."""
        current = self.recurrent(torch.relu(state))
        if drive is not None:
            current = driven(current, drive if self.input is None else self.input(drive))
        current = normalised(self.norm, current, step)
        if self.bias is not None:
            current = current + self.bias.view(-1, *(1,) * (self.state_dims - 1))
        return self.activation(current) if self.final_activation else current

    @property
    def unit_coords(self) -> dict[str, np.ndarray]:
        """Return labels of the units or channels, as circuits have them: ``cell_type``, pyramidal or inhibitory."""
        return {"cell_type": np.repeat(["pyramidal", "inhibitory"], [self.n_excitatory, self.n_inhibitory])}

    def extra_repr(self) -> str:
        """Return what `print(module)` shows in the brackets."""
        name = getattr(self.activation, "__name__", repr(self.activation))
        kinds = f"{self.n_excitatory} excitatory, {self.n_inhibitory} inhibitory"
        return f"{kinds}, activation={name}, final_activation={self.final_activation}"


def _layer(
    n_inputs: int,
    n_outputs: int,
    kernel_size: int | None,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
) -> nn.Linear | nn.Conv2d:
    """Return a layer without bias, all-to-all or of kernels."""
    if kernel_size is None:
        return empty_linear(n_inputs, n_outputs, bias=False, device=device, dtype=dtype)
    check_sizes(kernel_size=kernel_size)
    return empty_convolution(n_inputs, n_outputs, kernel_size, device=device, dtype=dtype)
