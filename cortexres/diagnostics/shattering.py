"""Shattered gradients: how alike the gradients at different inputs are, by depth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from cortexres.diagnostics.datasets import array, attributes, blocks, seen, variable
from cortexres.diagnostics.held_statistics import chain_of_independent_inputs
from cortexres.errors import ArgumentError
from cortexres.nn.chain import Chain, Chained


def gradient_correlation(
    network: Chained | Chain, inputs: Tensor | xr.Dataset, *, outputs: Sequence[int] | None = None
) -> xr.Dataset:
    """Return the correlation, between inputs, of the gradient of an output with respect to the state, by depth.

    Where it falls to 0, gradients are white noise over inputs, and what is learned from one input says nothing of
    the next. At initialisation, plain rectifier networks lose half of it per layer; residual blocks with batch
    normalisation keep it up to a power of the depth.

    Parameters
    ----------
    network : network with `chain()` or Chain
        It is left as it is. In training mode the statistics of the batch normalise, held constant in the backward
        pass (otherwise all inputs would have a part in the gradient at one), and dropout is off.
    inputs : Tensor of shape (batch, ...) or Dataset
        What the network takes, or stimuli; two or more.
    outputs : sequence of int, optional
        Indices of the outputs (logits) to differentiate; all by default, one backward pass each.

    Returns
    -------
    xarray.Dataset
        ``correlation (block, output)``: mean cosine of the gradients at two inputs, over all pairs of inputs; block 0
        is the state before the first step, and the last the one that is read. ``state_correlation (block)``: the
        same of the states. Coordinate ``blocks_above (block)``: how many blocks the gradient came through. Inputs
        whose gradient is 0 are left out; NaN where fewer than two are left.

    Raises
    ------
    ArgumentError
        If there are fewer than two inputs or no steps, an output does not exist, the gradient is 0 everywhere, or a
        chain without its network uses batch statistics.

    Notes
    -----
    Cosines are not centred over units: at initialisation the mean over random weights is 0, and after training the
    direction that all gradients share is what is asked for. Laws at initialisation (Balduzzi et al.), L blocks above:
    2^-L for plain rectifier layers; (3/4)^L for residual ones without normalisation; about 1 / (beta sqrt(L)) for
    residual ones with batch normalisation, scaled by beta, where that is far below 1, and 1 / sqrt(1 + beta^2 L) where
    it is not. They take states of different inputs to be uncorrelated; without normalisation those become alike with
    depth (``state_correlation`` says so), and the correlation of gradients stays above (3/4)^L from some 8 blocks on.

    References
    ----------
    Balduzzi et al. (2017), The shattered gradients problem: if resnets are the answer, then what is the question?,
    arXiv:1702.08591
    """
    tensors = seen(network, inputs)
    if len(tensors) < 2:
        raise ArgumentError(f"got {len(tensors)} inputs, expected 2 or more: the correlation is between inputs")
    chain, statistics = chain_of_independent_inputs(network)
    with torch.enable_grad():
        states = _differentiable(chain, tensors)
        read = chain.read(states[-1]).flatten(1)
        chosen = list(range(read.shape[1])) if outputs is None else list(outputs)
        _check_outputs(chosen, read.shape[1])
        by_output = [_gradients(read[:, k].sum(), states) for k in chosen]
    correlation = np.array([[_mean_cosine(gradient) for gradient in gradients] for gradients in by_output]).T
    if np.isnan(correlation).all():
        raise ArgumentError("got gradients of 0 at all inputs, expected some: the outputs do not depend on the states")
    return xr.Dataset(
        {
            "correlation": variable(
                ("block", "output"),
                correlation,
                "mean cosine of the gradients at two inputs",
                undefined="fewer than two inputs have a gradient other than 0",
            ),
            "state_correlation": variable(
                "block",
                [_mean_cosine(state) for state in states],
                "mean cosine of the states of two inputs",
                undefined="fewer than two inputs have a state other than 0",
            ),
        },
        coords={
            **blocks(chain, states=True),
            "blocks_above": variable("block", np.arange(len(states))[::-1], "blocks that the gradient came through"),
            "output": variable("output", chosen, "index of the output"),
        },
        attrs=attributes(network, batch_statistics=statistics, n_stimuli=len(tensors)),
    )


def _differentiable(chain: Chain, inputs: Tensor) -> list[Tensor]:
    """Return the states of a run, the first of them the leaf that gradients reach."""
    first, drive = chain.enter(inputs)
    states = [first.detach().requires_grad_()]
    for step in chain.steps:
        states.append(step(states[-1], None if drive is None else drive.detach()))
    return states


def _gradients(output: Tensor, states: list[Tensor]) -> tuple[Tensor, ...]:
    """Return the gradient with respect to each state; inputs do not mix, so each has its own."""
    return torch.autograd.grad(output, states, retain_graph=True, materialize_grads=True)


def _mean_cosine(vectors: Tensor) -> float:
    """Return the mean cosine over pairs of rows, without those that are 0; NaN where fewer than two are left."""
    rows = array(vectors.flatten(1))
    norms = np.linalg.norm(rows, axis=1)
    directions = rows[norms > 0] / norms[norms > 0, None]
    count = len(directions)
    if count < 2:
        return np.nan
    total = np.sum(directions.sum(axis=0) ** 2)  # the sum of all cosines, the diagonal of ones among them
    return float((total - count) / (count * (count - 1)))


def _check_outputs(chosen: Sequence[int], count: int) -> None:
    if not chosen or not all(0 <= k < count for k in chosen):
        raise ArgumentError(f"got outputs={chosen}, expected indices from 0 to {count - 1}: the network has no others")
