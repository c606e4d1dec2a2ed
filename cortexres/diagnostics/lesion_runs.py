"""The states of a network with one block deleted, repeated or swapped: what is held against a perturbed circuit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from cortexres.diagnostics.datasets import attributes, blocks, numbers
from cortexres.diagnostics.subject import Subject, subject
from cortexres.errors import ArgumentError
from cortexres.nn.chain import Chain, Chained, Step
from cortexres.nn.constrained import computed_once

Change = Literal["delete", "repeat", "swap"]
Apply = Callable[[Tensor, Tensor | None], Tensor]


def lesion_runs(
    network: Chained | Chain,
    inputs: Tensor | xr.Dataset,
    *,
    change: Change = "delete",
    at: Sequence[int] | None = None,
) -> dict[int, xr.Dataset]:
    """Return network Datasets by block: the states of the network with a change of that block, for each of them.

    Parameters
    ----------
    network, inputs
        See `cortexres.diagnostics.subject`; all states of one shape.
    change : {"delete", "repeat", "swap"}
        Block k adds nothing (what its shortcut carries stays), is applied twice, or changes places with block k + 1.
        In a tied network where nothing belongs to a step, the end is that of one step less, of one more, or the same.
    at : sequence of int, optional
        Blocks, from 1; all that can be changed where it is left out.

    Returns
    -------
    dict of int to Dataset
        Each keeps the schema of networks, with as many blocks as the intact network: ``response`` and ``update``. For
        `cortexres.compare.lesion_profile`.

    Raises
    ------
    ArgumentError
        If the states differ in shape, there is no such block or change; see also `subject`.

    References
    ----------
    Veit, Wilber & Belongie (2016), Residual networks behave like ensembles of relatively shallow networks,
    arXiv:1605.06431
    """
    own = subject(network, inputs)
    if change not in get_args(Change):
        raise ArgumentError(f"got change={change!r}, expected 'delete', 'repeat' or 'swap'")
    count = len(own.chain.steps)
    possible = range(1, count if change == "swap" else count + 1)
    chosen = list(possible if at is None else at)
    if not chosen or any(block not in possible for block in chosen):
        raise ArgumentError(
            f"got at={chosen} for change={change!r}, expected blocks from {possible.start} to {possible.stop - 1}"
        )
    return {block: _run(own, inputs, _changed(own.chain.steps, block - 1, change), change) for block in chosen}


def _changed(steps: tuple[Step, ...], k: int, change: Change) -> list[Apply]:
    """Return what is applied in place of each step."""
    applied: list[Apply] = list(steps)
    if change == "swap":
        applied[k], applied[k + 1] = steps[k + 1], steps[k]
    elif change == "delete":
        applied[k] = lambda state, drive: steps[k].finish(steps[k].parts(state, drive)[0])
    else:
        applied[k] = lambda state, drive: steps[k](steps[k](state, drive), drive)
    return applied


@torch.no_grad()
def _run(own: Subject, inputs: Tensor | xr.Dataset, applied: list[Apply], change: Change) -> xr.Dataset:
    state, drive = own.chain.enter(own.inputs)
    states = [state]
    with computed_once(own.chain.tied, *own.chain.blocks):
        for apply in applied:
            states.append(apply(states[-1], drive))
    if any(each.shape != state.shape for each in states):
        raise ArgumentError("got a network whose states differ in shape, expected one stage: give a Chain of its steps")
    response = torch.stack([each.flatten(1) for each in states], dim=1).double().cpu().numpy()
    dims, attrs = ("stimulus", "block", "unit"), {"units": "1"}
    update = np.diff(response, axis=1, prepend=response[:, :1])
    coords = blocks(own.chain, states=True)
    return xr.Dataset(
        {"response": (dims, response, attrs), "update": (dims, update, attrs)},
        {
            "stimulus": numbers(inputs),
            "block": coords["block"],
            "stage": coords["stage"],
            "unit": np.arange(response.shape[2]),
        },
        attributes(own.network, n_stimuli=len(response), change=change),
    )
