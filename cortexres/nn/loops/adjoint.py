"""Solving v = g + A v for all images of a batch at once, by products with A alone: a Jacobian, or its transpose."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_SHORTEST, _LONGEST = 4, 32  # products between two checks of the residual, and vectors kept


def solved(
    product: Callable[[Tensor], Tensor], g: Tensor, *, tolerance: float, products: int
) -> tuple[Tensor, float]:
    """Return (v, largest ``||g + A v - v|| / ||g||`` of an image, computed from v).

    By GMRES for each image, started anew after 4, 8, 16, then every 32 products: in each cycle v gains the combination
    of g, A g, A A g, ... that leaves least of the equation. Plain iteration of the equation, which is what
    backpropagation through the steps does, needs as many products as the state needed steps to settle. Where g of an
    image is not finite, so is v: it is g, and not counted among what is left.

    Parameters
    ----------
    product : callable
        v -> A v, of the shape of `g`; images are taken not to mix, and where they do, more is left of the equation.
    g : Tensor of shape (batch, ...)
        Right hand side.
    tolerance : float
        When to stop.
    products : int
        When to give up; the last cycle may end up to 32 later.

    References
    ----------
    Saad & Schultz (1986), GMRES: a generalized minimal residual algorithm, doi:10.1137/0907058
    """

    if not g.numel():
        return g, 0.0
    given = g.reshape(len(g), -1)
    finite = given.isfinite().all(dim=1, keepdim=True)
    # squares of very small and very large numbers are 0 and infinite
    scale = given.abs().amax(dim=1, keepdim=True)
    scale = torch.where(finite & (scale > 0), scale, 1.0)
    right = torch.where(finite, given / scale, 0.0)

    def applied(v: Tensor) -> Tensor:
        return torch.where(finite, v - product(v.view_as(g)).reshape(v.shape), 0.0)

    sizes = right.norm(dim=1)
    v, rest, left, used, length = torch.zeros_like(right), right, float(sizes.gt(0).any()), 0, _SHORTEST
    while left > tolerance and used < products:
        v = v + _gained(applied, rest, length)
        rest = right - applied(v)
        left = float(torch.where(sizes > 0, rest.norm(dim=1) / sizes, 0.0).max())
        used, length = used + length + 1, min(2 * length, _LONGEST)
    return torch.where(finite, v * scale, given).view_as(g), left


def _gained(applied: Callable[[Tensor], Tensor], rest: Tensor, length: int) -> Tensor:
    """Return what one cycle adds to v: the x in the Krylov space of `rest`, (batch, unit), nearest to A x = rest."""
    basis = rest.new_zeros(len(rest), length + 1, rest.shape[1])
    small = rest.new_zeros(len(rest), length + 1, length)
    size, noise = rest.norm(dim=1, keepdim=True), 10 * torch.finfo(rest.dtype).eps
    basis[:, 0] = _divided(rest, size)
    for k in range(length):
        new = applied(basis[:, k].contiguous())
        before, known = new.norm(dim=1, keepdim=True), basis[:, : k + 1]
        for _ in range(2):  # the second time for what rounding left of the first
            shares = torch.einsum("bkn,bn->bk", known, new)
            new = new - torch.einsum("bkn,bk->bn", known, shares)
            small[:, : k + 1, k] += shares
        length_left = new.norm(dim=1, keepdim=True)
        # nothing new but rounding: the space is complete
        length_left = torch.where(length_left > noise * before, length_left, 0.0)
        small[:, k + 1, k] = length_left[:, 0]
        basis[:, k + 1] = _divided(new, length_left)
    first = rest.new_zeros(len(rest), length + 1, 1)
    first[:, 0] = size
    finite = small.isfinite().all(dim=2, keepdim=True).all(dim=1, keepdim=True)  # torch inverts no other
    small = torch.where(finite, small, 0.0)
    # v - A v is rounded as v is: directions in which it all but vanishes, as where A has an eigenvalue of 1, are left
    weights = torch.linalg.pinv(small, atol=noise, rtol=length * torch.finfo(rest.dtype).eps) @ first
    weights = torch.where(finite, weights, torch.nan)
    return torch.einsum("bkn,bk->bn", basis[:, :length], weights[:, :, 0])


def _divided(vectors: Tensor, sizes: Tensor) -> Tensor:
    return torch.where(sizes > 0, vectors / sizes, 0.0)
