"""Read every state as if it were the last: what does the network know after each block?"""

from __future__ import annotations

from dataclasses import replace

import torch
import xarray as xr
from torch import Tensor

from cortexres.diagnostics.task import NO_SCORES, Run, scored, task
from cortexres.errors import ArgumentError
from cortexres.nn.chain import Chain, Chained


def early_readout(
    network: Chained | Chain,
    inputs: Tensor | xr.Dataset,
    labels: Tensor | None = None,
    *,
    batch_size: int | None = None,
) -> xr.Dataset:
    """Return error and loss of the network's own readout at each state.

    Parameters
    ----------
    network, inputs, labels
        See `cortexres.diagnostics.task`.
    batch_size : int, optional
        Stimuli at a time; all where it is left out.

    Returns
    -------
    Dataset
        ``error`` (share of stimuli) and ``loss`` (nat) over ``block``, 0 for the state before any; NaN at states of
        another shape than the last, which the readout cannot read.

    Raises
    ------
    ArgumentError
        If only the last state has its shape; see also `task`.
    """
    own = task(network, inputs, labels)
    with torch.no_grad():
        states = own.subject.chain.states(own.subject.inputs[:1])
    readable = [state.shape == states[-1].shape for state in states]
    if sum(readable) < 2:
        raise ArgumentError("got a network only whose last state can be read, expected earlier ones of its shape")
    scores = [
        own.score(_read_after(block), batch_size=batch_size) if can else NO_SCORES for block, can in enumerate(readable)
    ]
    of, undefined = "the readout after so many blocks", "the state has another shape than the last"
    return own.subject.over_blocks(scored("block", scores, of=of, undefined=undefined), states=True)


def _read_after(block: int) -> Run:
    """Return how a network runs that is read after so many blocks."""
    return lambda chain, inputs: replace(chain, steps=chain.steps[:block]).run(inputs)
