"""Iterative refinement: does each block move the state against the gradient of the loss?"""

from __future__ import annotations

import torch
import xarray as xr
from torch import Tensor, nn

from cortexres.diagnostics.datasets import array, variable
from cortexres.diagnostics.passages import Passage, passages
from cortexres.diagnostics.rows import split
from cortexres.diagnostics.task import Task, task
from cortexres.errors import ArgumentError
from cortexres.nn.chain import Chain, Chained


def refinement_cosine(
    network: Chained | Chain, inputs: Tensor | xr.Dataset, labels: Tensor | None = None
) -> xr.Dataset:
    """Return the cosine between what each block adds and the gradient of the loss at the state it is added to.

    Below 0, the block is a step down the loss: the residual functions refine the features rather than compute new
    ones.

    Parameters
    ----------
    network, inputs, labels
        See `cortexres.diagnostics.task`.

    Returns
    -------
    Dataset
        Over ``block``: ``cosine``, its mean over stimuli, ``cosine_std``, its standard deviation, and
        ``share_negative``, the share of stimuli where it is below 0, over the ``n_defined`` (block) whose update and
        gradient are not zero (a stimulus fitted beyond the network's precision has no gradient); NaN where there are
        none, and where the block changes the shape of the state.

    Raises
    ------
    ArgumentError
        If no block has a cosine; see also `task`.

    References
    ----------
    Jastrzebski et al. (2018), Residual connections encourage iterative inference, arXiv:1710.04773
    """
    own = task(network, inputs, labels)
    cosines = _cosines(own)
    defined = ~cosines.isnan()
    count = defined.sum(dim=1)
    if not bool(count.any()):
        raise ArgumentError(
            "got no stimulus whose gradient and update are not zero at any block, expected some: the stimuli are "
            "fitted beyond the network's precision, its updates are zero, or all blocks change the state's shape"
        )
    mean = cosines.nanmean(dim=1)
    spread = (cosines - mean[:, None]).square().nanmean(dim=1).sqrt()
    negative = torch.where(defined, (cosines < 0).to(cosines.dtype), torch.nan).nanmean(dim=1)
    undefined = "no stimulus has an update and a gradient, or the block changes the state's shape"
    return own.subject.over_blocks(
        {
            "cosine": variable("block", array(mean), "cosine of update and gradient of the loss", undefined=undefined),
            "cosine_std": variable("block", array(spread), "its deviation over stimuli", undefined=undefined),
            "share_negative": variable("block", array(negative), "share of stimuli below 0", undefined=undefined),
            "n_defined": variable("block", count.cpu().numpy(), "number of stimuli with an update and a gradient"),
        }
    )


def _cosines(own: Task) -> Tensor:
    """Return the cosines, (block, stimulus), NaN where there is none."""
    chain, inputs = own.subject.chain, own.subject.inputs
    with torch.no_grad():
        first, drive = chain.enter(inputs)
    with torch.enable_grad():
        steps = list(passages(chain, first.detach().requires_grad_(), drive))
        loss = nn.functional.cross_entropy(chain.read(steps[-1].after), own.labels, reduction="sum")
    gradients = torch.autograd.grad(loss, [step.state for step in steps])
    return torch.stack([_cosine(step, gradient) for step, gradient in zip(steps, gradients, strict=True)])


def _cosine(step: Passage, gradient: Tensor) -> Tensor:
    """Return the cosine of each stimulus, (stimulus,)."""
    if step.added.shape != gradient.shape:
        return gradient.new_full((len(gradient),), torch.nan)
    (one, size), (other, slope) = split(step.added.detach()), split(gradient)
    cosine = (one * other).flatten(1).sum(dim=1)
    return torch.where((size + slope).isinf(), torch.nan, cosine)
