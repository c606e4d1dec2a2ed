"""Excitation and inhibition in balance: initial weights that inhibition stabilises, and whether given weights are so.

A network is inhibition-stabilised if its excitatory units alone would run away, and inhibition holds them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cortexres.errors import ArgumentError
from cortexres.nn.initial import Rng, normal_

POSITIONS = 16  # side of the maps on which kernels are looked at, where they are not larger


class Stability(NamedTuple):
    """How activity grows in the excitatory units alone and in all units: above 1 without bound, below 1 it decays.

    In continuous time, the largest real part of the eigenvalues of the weight; in steps, the largest modulus of those
    of one step.
    """

    excitatory: float
    whole: float

    @property
    def inhibition_stabilised(self) -> bool:
        """Return whether the excitatory units run away alone, and the whole is stable."""
        return self.excitatory > 1 > self.whole


def stability(weight: Tensor, n_excitatory: int, *, gamma: float | Tensor | None = None) -> Stability:
    """Return how activity grows under a weight, without the inhibitory units and with them.

    Linear units, or rectified ones that are all active: ``tau dh/dt = -h + W h``, or its steps
    ``h' = (1 - gamma) h + gamma W h``.

    Parameters
    ----------
    weight : Tensor of shape (unit, unit) or (channel, channel, y, x)
        Recurrent weight, excitatory units first; a kernel is taken to act on maps whose borders wrap around.
    n_excitatory : int
        Number of excitatory units or channels.
    gamma : float or Tensor of shape (unit,), optional
        Share of a step that is new, dt / tau, also per unit; continuous time where it is left out, and 1 for a step
        without memory.

    Raises
    ------
    ArgumentError
        If the weight is not square, or does not have that many excitatory units and some inhibitory ones.

    References
    ----------
    Tsodyks, Skaggs, Sejnowski & McNaughton (1997), Paradoxical effects of external modulation of inhibitory
    interneurons, doi:10.1523/JNEUROSCI.17-11-04382.1997
    """
    units = len(weight)
    if weight.ndim not in (2, 4) or weight.shape[1] != units or not 1 <= n_excitatory < units:
        raise ArgumentError(
            f"got a weight of shape {tuple(weight.shape)} with {n_excitatory} excitatory units, expected a square one "
            "with 1 or more of both kinds"
        )
    step = at_frequencies(weight.detach().to("cpu", torch.float64))
    if gamma is not None:
        share = torch.as_tensor(gamma, dtype=torch.float64, device="cpu").expand(units)
        step = torch.diag(1 - share) + share[:, None] * step
    growth = []
    for matrices in (step[:, :n_excitatory, :n_excitatory], step):
        values = torch.linalg.eigvals(matrices)
        growth.append(float((values.real if gamma is None else values.abs()).max()))
    return Stability(*growth)


def balanced(
    signs: Tensor,
    shape: Sequence[int],
    *,
    excitation: float = 2.0,
    inhibition: float | None = None,
    radius: float = 0.9,
    rng: Rng = None,
) -> Tensor:
    """Return initial weights, float64, in which inhibition cancels excitation and stabilises it where it has to.

    Magnitudes are drawn half-normal and scaled so that each unit receives `excitation` and `inhibition` in sum. Then
    the excitatory units alone have the spectral radius `excitation` exactly, as far as each is excited by some: above
    1, they run away. Under all units, equal activity of all grows by ``excitation - inhibition``; every other pattern
    meets the differences between connections, which are shrunk until the spectral radius of the whole is at most
    `radius`, to 1 %. Below 1, it decays in continuous time and in leaky steps of any size.

    Inhibition that equals excitation takes the mean of the activity away, as centring does, which lets networks under
    Dale's law learn as well as others.

    Parameters
    ----------
    signs : Tensor
        Sign of each connection, 1, -1, or 0 where there is none, of a shape that broadcasts to `shape`.
    shape : sequence of int
        Shape of the weight: (unit, unit), or (channel, channel, y, x).
    excitation, inhibition : float
        Sum of the excitatory weights onto each unit, and of the inhibitory magnitudes; equal where `inhibition` is
        left out.
    radius : float
        Largest spectral radius of the whole.
    rng : int or numpy Generator, optional
        Where the magnitudes come from.

    Raises
    ------
    ArgumentError
        If a number is out of range, or the connections are such that no differences are small enough.

    References
    ----------
    Tsodyks et al. (1997), doi:10.1523/JNEUROSCI.17-11-04382.1997
    Rajan & Abbott (2006), Eigenvalue spectra of random matrices for neural networks,
    doi:10.1103/PhysRevLett.97.188104 (balanced rows)
    Hennequin, Vogels & Gerstner (2014), Optimal control of transient dynamics in balanced networks,
    doi:10.1016/j.neuron.2014.04.045
    Cornford et al. (2021), Learning to live with Dale's principle, https://openreview.net/forum?id=eU776ZYxEpz
    """
    inhibition = excitation if inhibition is None else inhibition
    if not (excitation >= 0 and inhibition >= 0 and 0 < radius <= 0.99 and abs(excitation - inhibition) <= radius):
        raise ArgumentError(
            f"got excitation={excitation}, inhibition={inhibition} and radius={radius}, expected sums of 0 or more "
            "that differ by at most the radius, and a radius above 0, at most 0.99"
        )
    signs = signs.to("cpu", torch.float64).expand(*shape)
    drawn = normal_(torch.empty(*shape, dtype=torch.float64), 1.0, rng).abs()
    weight, even = torch.zeros_like(drawn), torch.zeros_like(drawn)
    for sign, total in ((1, excitation), (-1, inhibition)):
        connected = (signs == sign).double()
        weight += sign * total * _to_sum_one(drawn * connected)
        even += sign * total * _to_sum_one(connected)
    differences, limit = weight - even, 1.01 * radius  # the bound on a spectral radius is up to 1 % above it
    if _spectral_radius(even) > limit:
        raise ArgumentError(
            f"got connections under which inhibition cannot stabilise excitation={excitation:g}, such as assemblies "
            "that share their inhibition: take excitation below 1, or connections that are alike for all units"
        )
    share = min(1.0, radius / max(_spectral_radius(differences), radius))
    while _spectral_radius(even + share * differences) > limit:
        share *= 0.9
    return even + share * differences


def at_frequencies(weight: Tensor) -> Tensor:
    """Return the matrices that a weight is: one, (1, unit, unit), or one per spatial frequency of a kernel.

    On maps whose borders wrap around, a convolution mixes the channels at each frequency by itself.
    """
    if weight.ndim == 2:
        return weight[None]
    rows, columns = weight.shape[2:]
    side = max(POSITIONS, rows, columns)
    padded = torch.nn.functional.pad(weight, (0, side - columns, 0, side - rows))
    centred = padded.roll((-(rows // 2), -(columns // 2)), dims=(2, 3))
    spectrum: Tensor = torch.fft.fft2(centred)
    return spectrum.flatten(2).permute(2, 0, 1)


def _to_sum_one(magnitudes: Tensor) -> Tensor:
    """Return magnitudes that sum to 1 over what each unit receives, or to 0 where it receives nothing."""
    dims = tuple(range(1, magnitudes.ndim))
    return magnitudes / magnitudes.sum(dims, keepdim=True).clamp_min(torch.finfo(magnitudes.dtype).tiny)


def _spectral_radius(weight: Tensor) -> float:
    """Return an upper bound of the spectral radius, less than 1 % above it: ``|W^n|^(1/n)``, n = 1024.

    Ten products of matrices, where eigenvalues take minutes for thousands of units.
    """
    matrices = at_frequencies(weight)
    exponent, logarithm = 1, torch.zeros(len(matrices), dtype=torch.float64)
    for _ in range(10):
        norms = torch.linalg.matrix_norm(matrices).clamp_min(torch.finfo(torch.float64).tiny)
        logarithm += norms.log() / exponent
        matrices = matrices / norms[:, None, None]
        matrices, exponent = matrices @ matrices, 2 * exponent
    norms = torch.linalg.matrix_norm(matrices).clamp_min(torch.finfo(torch.float64).tiny)
    return math.exp(float((logarithm + norms.log() / exponent).max()))
