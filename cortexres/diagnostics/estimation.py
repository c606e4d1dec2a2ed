"""Iterative estimation: do the blocks of a stage refine one estimate, without bias?"""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from cortexres.diagnostics.datasets import variable
from cortexres.diagnostics.subject import subject
from cortexres.errors import ArgumentError
from cortexres.nn.chain import Chain, Chained


def estimation_error(network: Chained | Chain, inputs: Tensor | xr.Dataset) -> xr.Dataset:
    """Return how far each state is from the last of its stage: bias and spread over stimuli.

    In the view of Greff et al. all blocks of a stage estimate the same features, of which the last state is the best
    estimate at hand, and they do so without bias: over stimuli, the error ``e_k = H_k - H_last`` has mean 0 in each
    unit, and a spread that falls with k.

    Parameters
    ----------
    network, inputs
        See `cortexres.diagnostics.subject`; two stimuli or more.

    Returns
    -------
    Dataset
        Over ``block``, 0 for the state before any; each is a mean over units, in the units of the state: ``bias`` of
        ``|mean e_k|``, ``spread`` of the standard deviation of e_k over stimuli. ``relative_bias`` (1) is the mean of
        ``|mean e_k| / std H_last``, without the units that are the same for all stimuli. NaN at states of another
        shape than the last of their stage.

    Raises
    ------
    ArgumentError
        If there are fewer than two stimuli, no stage has two states to compare, or the last state of a stage is the
        same for all stimuli; see also `subject`.

    References
    ----------
    Greff, Srivastava & Schmidhuber (2017), Highway and residual networks learn unrolled iterative estimation,
    arXiv:1612.07771
    """
    looked_at = subject(network, inputs)
    if len(looked_at.inputs) < 2:
        raise ArgumentError("got one stimulus, expected two or more: bias and spread are over stimuli")
    with torch.no_grad():
        states = looked_at.chain.states(looked_at.inputs)
    ends = _ends(states)
    if all(state is end for state, end in zip(states, ends, strict=True)):
        raise ArgumentError("got states each of another shape, expected a stage with two states to compare")
    bias, spread, relative = np.array([_compared(state, end) for state, end in zip(states, ends, strict=True)]).T
    return looked_at.over_blocks(
        {
            "bias": variable("block", bias, "mean over units of |mean of e_k over stimuli|"),
            "spread": variable("block", spread, "mean over units of the deviation of e_k over stimuli"),
            "relative_bias": variable("block", relative, "mean over units of |mean of e_k| / deviation of H_last"),
        },
        states=True,
    )


def _ends(states: list[Tensor]) -> list[Tensor]:
    """Return the last state of the stage of each: the last of those of its shape that follow each other."""
    ends = states[-1:]
    for state in reversed(states[:-1]):
        ends.insert(0, ends[0] if state.shape == ends[0].shape else state)
    return ends


def _compared(state: Tensor, last: Tensor) -> tuple[float, float, float]:
    """Return (bias, spread, relative bias) of a state as an estimate of the last."""
    error, scale = (state - last).flatten(1).double(), last.flatten(1).double().std(dim=0)
    bias, varies = error.mean(dim=0).abs(), scale > 0
    relative = (bias[varies] / scale[varies]).mean()
    return float(bias.mean()), float(error.std(dim=0).mean()), float(relative)
