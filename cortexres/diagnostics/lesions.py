"""Delete blocks: what a network still knows without one, or without several at random."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, get_args

import numpy as np
import xarray as xr
from torch import Tensor

from cortexres.diagnostics.datasets import variable
from cortexres.diagnostics.passages import Kind, kinds
from cortexres.diagnostics.task import NO_SCORES, Run, scored, task
from cortexres.errors import ArgumentError
from cortexres.nn.chain import Chain, Chained

Leaves = Literal["carried", "state"]
_REASONS = {
    "carried": "the shortcut carries nothing; leaves='state' passes the state on",
    "state": "the block changes the shape of the state, which cannot be passed on",
}


def lesion(
    network: Chained | Chain,
    inputs: Tensor | xr.Dataset,
    labels: Tensor | None = None,
    *,
    leaves: Leaves = "carried",
    batch_size: int | None = None,
) -> xr.Dataset:
    """Return error and loss of the network without one block, for each of them.

    Deleting a block takes its residual function away: ``F(x) = 0``. Of a tied network it deletes one step, with what
    normalisation keeps for it; the others keep theirs. Where nothing belongs to a step, deleting any of them runs the
    network for one step less.

    Parameters
    ----------
    network, inputs, labels
        See `cortexres.diagnostics.task`.
    leaves : {"carried", "state"}
        What is left of a deleted block: what its shortcut carries, as in Veit et al. (also where the shape changes),
        or the state itself, as if the layer were taken out: this also lesions plain networks. The same where the
        shortcut is the identity.
    batch_size : int, optional
        Stimuli at a time; all where it is left out.

    Returns
    -------
    Dataset
        ``error`` (share of stimuli) and ``loss`` (nat) over ``block``; NaN where the block cannot be deleted, with the
        ``reason``; ``changes_shape`` (block), between stages; ``intact_error`` and ``intact_loss`` of the whole.

    Raises
    ------
    ArgumentError
        If no block can be deleted; see also `task`.

    References
    ----------
    Veit, Wilber & Belongie (2016), Residual networks behave like ensembles of relatively shallow networks,
    arXiv:1605.06431
    Srivastava, Greff & Schmidhuber (2015), Training very deep networks, arXiv:1507.06228, section 4.2
    """
    own = task(network, inputs, labels)
    each = kinds(own.subject)
    reasons = _reasons(each, leaves)
    scores = [
        NO_SCORES if reason else own.score(_without({block}, leaves), batch_size=batch_size)
        for block, reason in enumerate(reasons)
    ]
    changes = [kind.changes_shape for kind in each]
    return own.subject.over_blocks(
        scored("block", scores, of="the network without the block", undefined="it cannot be deleted, see reason")
        | {
            "reason": variable("block", reasons, "why the block cannot be deleted"),
            "changes_shape": variable("block", changes, "whether the block changes the shape of the state"),
        }
        | own.intact(batch_size=batch_size),
        leaves=leaves,
    )


def lesion_random(
    network: Chained | Chain,
    inputs: Tensor | xr.Dataset,
    labels: Tensor | None = None,
    *,
    counts: Sequence[int] = (1, 5, 10, 20),
    draws: int = 10,
    leaves: Leaves = "carried",
    rng: int | np.random.Generator | None = None,
    batch_size: int | None = None,
) -> xr.Dataset:
    """Return error and loss of the network without several blocks drawn at random.

    Parameters
    ----------
    network, inputs, labels, leaves, batch_size
        See `lesion`, which says what deleting means.
    counts : sequence of int
        How many blocks are deleted at a time.
    draws : int
        How often, for each count.
    rng : int or numpy Generator, optional
        Draws the blocks.

    Returns
    -------
    Dataset
        ``error`` (share of stimuli) and ``loss`` (nat) over ``count`` and ``draw``; ``deleted`` (count, draw, block);
        ``intact_error`` and ``intact_loss`` of the whole.

    Raises
    ------
    ArgumentError
        If more blocks are to be deleted than can be, or `draws` is below 1; see also `lesion`.

    References
    ----------
    Veit, Wilber & Belongie (2016), arXiv:1605.06431
    """
    own = task(network, inputs, labels)
    possible = [block for block, reason in enumerate(_reasons(kinds(own.subject), leaves)) if not reason]
    if draws < 1 or not counts or min(counts) < 1 or max(counts) > len(possible):
        raise ArgumentError(
            f"got counts={tuple(counts)} and draws={draws}, expected counts from 1 to {len(possible)}, the number of "
            "blocks that can be deleted, and one draw or more"
        )
    generator = np.random.default_rng(rng)
    deleted = np.zeros((len(counts), draws, len(own.subject.chain.steps)), dtype=bool)
    scores = np.empty((len(counts), draws, 2))
    for i, count in enumerate(counts):
        for draw in range(draws):
            chosen = generator.choice(possible, count, replace=False)
            deleted[i, draw, chosen] = True
            scores[i, draw] = own.score(_without(set(chosen.tolist()), leaves), batch_size=batch_size)
    dims = ("count", "draw")
    return own.subject.over_blocks(
        scored(dims, scores, of="the network without the blocks")
        | {"deleted": variable((*dims, "block"), deleted, "whether the block is deleted")}
        | own.intact(batch_size=batch_size),
        leaves=leaves,
    ).assign_coords(
        count=variable("count", list(counts), "number of blocks deleted"), draw=np.arange(draws)
    )


def _without(deleted: Collection[int], leaves: Leaves) -> Run:
    """Return how a network runs without the blocks `deleted`."""

    def run(chain: Chain, inputs: Tensor) -> Tensor:
        state, drive = chain.enter(inputs)
        for block, step in enumerate(chain.steps):
            if block not in deleted:
                state = step(state, drive)
            elif leaves == "carried":
                state = step.finish(step.parts(state, drive)[0])
        return chain.read(state)

    return run


def _reasons(each: list[Kind], leaves: Leaves) -> list[str]:
    """Return why each block cannot be deleted, "" where it can."""
    if leaves not in get_args(Leaves):
        raise ArgumentError(f"got leaves={leaves!r}, expected 'carried' or 'state'")
    reasons = [
        "" if (kind.carries if leaves == "carried" else not kind.changes_shape) else _REASONS[leaves]
        for kind in each
    ]
    if all(reasons):
        raise ArgumentError(f"got a network none of whose blocks can be deleted, expected one that can: {reasons[0]}")
    return reasons
