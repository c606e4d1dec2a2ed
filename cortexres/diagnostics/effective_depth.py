"""Through how many residual functions the gradient passes: how deep a network is in effect."""

from __future__ import annotations

import numpy as np
import xarray as xr
from torch import Tensor

from cortexres.diagnostics.paths import path_spectrum
from cortexres.nn.chain import Chain, Chained


def effective_depth(
    network: Chained | Chain,
    inputs: Tensor | xr.Dataset,
    labels: Tensor | None = None,
    *,
    draws: int = 4,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return how deep a network is in effect: `path_spectrum` in a few numbers, beside the number of blocks.

    Parameters
    ----------
    network, inputs, labels, draws, rng
        See `path_spectrum`; errors too.

    Returns
    -------
    Dataset
        Without dims: ``n_blocks``; ``mean_length`` of the paths along which the gradient comes, in blocks, each path
        weighted by its gradient; ``lower`` and ``upper``, between which at least 95 % of the gradient lies;
        ``dominant_length`` of Littwin and Wolf; ``slope`` of the gradient, in decades per block.

    References
    ----------
    Veit, Wilber & Belongie (2016), arXiv:1605.06431; Littwin & Wolf (2016), arXiv:1611.02525
    """
    spectrum = path_spectrum(network, inputs, labels, draws=draws, rng=rng)
    n_blocks = xr.Variable((), spectrum.sizes["length"] - 1, {"units": "blocks", "long_name": "number of blocks"})
    return spectrum.drop_dims("length").assign(n_blocks=n_blocks)
