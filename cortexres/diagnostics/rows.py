"""Size and direction of each row of a batch, also where squares would underflow."""

from __future__ import annotations

import torch
from torch import Tensor


def split(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return (unit vectors, natural logarithm of the norms) of (row, ...); a zero stays zero, of logarithm -inf."""
    flat = values.flatten(1)
    top = _or_one(flat.abs().amax(dim=1))
    norm = torch.linalg.vector_norm(flat / top[:, None], dim=1)
    directions = flat / top[:, None] / _or_one(norm)[:, None]
    return directions.view_as(values), top.double().log() + norm.double().log()


def _or_one(sizes: Tensor) -> Tensor:
    """Return the sizes with 1 in the place of 0, to divide by."""
    return torch.where(sizes > 0, sizes, torch.ones_like(sizes))
