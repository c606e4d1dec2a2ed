"""Initial weights drawn from an explicit generator, so that torch's global random state stays as it is."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

Rng = int | np.random.Generator | None


def generator_from(rng: Rng) -> torch.Generator:
    """Return a torch generator seeded by one draw from `rng`."""
    seed = int(np.random.default_rng(rng).integers(2**63 - 1))
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, scale: float, generator: torch.Generator) -> nn.Parameter:
    """Return a float64 parameter of `shape`, normal with standard deviation `scale`."""
    values: Tensor = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return nn.Parameter(scale * values)


def linear(n_inputs: int, n_outputs: int, *, scale: float, generator: torch.Generator) -> nn.Linear:
    """Return a float64 linear layer: weights normal with standard deviation `scale`, bias 0.

    The layer is made on the meta device: torch's own constructor would draw from the global random state.
    """
    layer = nn.Linear(n_inputs, n_outputs, device="meta", dtype=torch.float64)
    layer.weight = normal(n_outputs, n_inputs, scale=scale, generator=generator)
    layer.bias = nn.Parameter(torch.zeros(n_outputs, dtype=torch.float64))
    return layer
