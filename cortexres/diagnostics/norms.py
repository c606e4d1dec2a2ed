"""How much each block adds to what it carries."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from cortexres.diagnostics.datasets import variable
from cortexres.diagnostics.passages import Passage, passages
from cortexres.diagnostics.rows import split
from cortexres.diagnostics.subject import subject
from cortexres.errors import ArgumentError
from cortexres.nn.chain import Chain, Chained


def residual_norms(network: Chained | Chain, inputs: Tensor | xr.Dataset) -> xr.Dataset:
    """Return the norms of what each block carries and adds, and their ratio, as means over stimuli.

    Parameters
    ----------
    network, inputs
        See `cortexres.diagnostics.subject`.

    Returns
    -------
    Dataset
        Over ``block``: ``carried`` |x| and ``added`` |F(x)|, in the units of the state; ``ratio`` of the two for each
        stimulus, then averaged (1), NaN where nothing is carried, as from a state at rest; and ``cosine`` (1) of x
        and F(x), below 0 where a block takes back what is there.

    Raises
    ------
    ArgumentError
        If no block carries anything, as in a plain network; see also `subject`.
    """
    looked_at = subject(network, inputs)
    with torch.no_grad():
        rows = [_measured(step) for step in passages(looked_at.chain, *looked_at.chain.enter(looked_at.inputs))]
    carried, added, ratio, cosine = np.array(rows).T
    if not carried.any():
        raise ArgumentError("got a network whose blocks carry nothing, expected shortcuts: F(x) has no x to be held to")
    undefined = "nothing is carried"
    return looked_at.over_blocks(
        {
            "carried": variable("block", carried, "norm of what is carried, |x|"),
            "added": variable("block", added, "norm of what is added, |F(x)|"),
            "ratio": variable("block", ratio, "|F(x)| / |x|", undefined=undefined),
            "cosine": variable("block", cosine, "cosine of x and F(x)", undefined=undefined),
        }
    )


def _measured(step: Passage) -> list[float]:
    """Return means over stimuli of (|x|, |F(x)|, |F(x)| / |x|, cosine)."""
    (one, log_carried), (other, log_added) = split(step.carried), split(step.added)
    there = ~log_carried.isinf()
    ratio, cosine = (log_added - log_carried).exp()[there], (one * other).flatten(1).sum(dim=1)[there]
    return [float(values.mean()) for values in (log_carried.exp(), log_added.exp(), ratio, cosine)]
