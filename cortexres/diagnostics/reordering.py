"""Shuffle blocks: what a network still knows when the steps of a stage are run in another order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import kendalltau
from torch import Tensor

from cortexres.diagnostics.datasets import variable
from cortexres.diagnostics.passages import kinds
from cortexres.diagnostics.subject import Subject
from cortexres.diagnostics.task import Run, scored, task
from cortexres.errors import ArgumentError
from cortexres.nn.chain import Chain, Chained, Step
from cortexres.nn.untie import alone

_TRIES = 1_000


def reorder(
    network: Chained | Chain,
    inputs: Tensor | xr.Dataset,
    labels: Tensor | None = None,
    *,
    tau: Sequence[tuple[float, float]] = ((0.8, 1.0), (0.4, 0.8)),
    draws: int = 10,
    rng: int | np.random.Generator | None = None,
    batch_size: int | None = None,
) -> xr.Dataset:
    """Return error and loss of the network with its steps in another order, by how far from the order they are in.

    Steps change places within their stage; one that changes the shape of the state stays. As in Veit et al., random
    pairs are swapped, here until Kendall's tau of the new order of all steps with the old is in the range asked for,
    and below a number drawn from it. In a tied network the steps differ by what normalisation keeps for each, and
    that is what is shuffled.

    Parameters
    ----------
    network, inputs, labels
        See `cortexres.diagnostics.task`.
    tau : sequence of (low, high)
        Ranges of Kendall's tau, which is 1 for the order of the network and 0, on average, for a random one.
    draws : int
        Orders for each range.
    rng : int or numpy Generator, optional
        Draws the orders.
    batch_size : int, optional
        Stimuli at a time; all where it is left out.

    Returns
    -------
    Dataset
        ``error`` (share of stimuli), ``loss`` (nat) and ``tau`` over ``range`` and ``draw``; ``order``
        (range, draw, block): which block, from 1, is run at each place; ``tau_low`` and ``tau_high`` (range);
        ``intact_error`` and ``intact_loss`` of the network's own order.

    Raises
    ------
    ArgumentError
        If no two steps of a stage differ, as in a tied network without normalisation per step: shuffling them is
        the identity. If no order has a tau in a range, or an option is out of range; see also `task`.

    References
    ----------
    Veit, Wilber & Belongie (2016), Residual networks behave like ensembles of relatively shallow networks,
    arXiv:1605.06431
    Kendall (1938), A new measure of rank correlation, doi:10.1093/biomet/30.1-2.81
    """
    own = task(network, inputs, labels)
    if draws < 1 or not all(-1 <= low < high <= 1 for low, high in tau):
        raise ArgumentError(
            f"got tau={tuple(tau)} and draws={draws}, expected ranges within -1 to 1 and one draw or more"
        )
    pairs, n_steps = _pairs(own.subject), len(own.subject.chain.steps)
    generator = np.random.default_rng(rng)
    orders = np.empty((len(tau), draws, n_steps), dtype=int)
    taus, scores = np.empty((len(tau), draws)), np.empty((len(tau), draws, 2))
    for i, (low, high) in enumerate(tau):
        for draw in range(draws):
            orders[i, draw], taus[i, draw] = _order(n_steps, pairs, low, high, generator)
            scores[i, draw] = own.score(_in_order(orders[i, draw]), batch_size=batch_size)
    dims = ("range", "draw")
    return own.subject.over_blocks(
        scored(dims, scores, of="the network in another order")
        | {
            "tau": variable(dims, taus, "Kendall's tau of the order with the network's own"),
            "order": variable((*dims, "block"), orders + 1, "block that is run at the place of this one"),
        }
        | own.intact(batch_size=batch_size),
    ).assign_coords(
        range=np.arange(len(tau)),
        draw=np.arange(draws),
        tau_low=("range", [low for low, _ in tau]),
        tau_high=("range", [high for _, high in tau]),
    )


def _pairs(looked_at: Subject) -> NDArray[np.intp]:
    """Return the pairs of steps that can change places, (pair, 2)."""
    chain = looked_at.chain
    stays = [kind.changes_shape for kind in kinds(looked_at)]
    movable = [k for k in range(len(chain.steps)) if not stays[k]]
    pairs = [(a, b) for a in movable for b in movable if a < b and chain.steps[a].stage == chain.steps[b].stage]
    if not pairs:
        raise ArgumentError("got a network without two steps in any stage, expected a stage with steps to shuffle")
    following = dict(reversed(pairs))  # the next of its stage: where each is like it, all are
    if all(_alike(chain.steps[a], chain.steps[b]) for a, b in following.items()):
        raise ArgumentError(
            "got a tied network whose steps do not differ, expected steps that do: shuffling them is the identity; "
            "shuffle an untied network, or one trained with normalisation per step"
        )
    return np.array(pairs)


def _alike(one: Step, other: Step) -> bool:
    """Return whether two steps compute the same because they share the block and it keeps nothing apart for them."""
    if one.block is not other.block:
        return False
    own, others = alone(one.block, one.index).state_dict(), alone(other.block, other.index).state_dict()
    return all(own[key].equal(others[key]) for key in own)


def _order(
    n_steps: int, pairs: NDArray[np.intp], low: float, high: float, generator: np.random.Generator
) -> tuple[NDArray[np.intp], float]:
    """Return an order with a tau in the range, and the tau."""
    natural = np.arange(n_steps)
    order = natural.copy()
    for _ in range(_TRIES):
        a, b = generator.choice(pairs)
        order[[a, b]] = order[[b, a]]
        tau = float(kendalltau(natural, order).statistic)
        if low <= tau < generator.uniform(low, high):  # the first order in the range would always lie at its upper end
            return order, tau
        if tau < low:  # too far: start again
            order = natural.copy()
    raise ArgumentError(
        f"found no order with Kendall's tau from {low:g} to {high:g} in {_TRIES} swaps, expected a range that swaps "
        "within stages reach: give a wider one"
    )


def _in_order(order: NDArray[np.intp]) -> Run:
    """Return how a network runs with its steps in another order."""
    return lambda chain, inputs: replace(chain, steps=tuple(chain.steps[k] for k in order)).run(inputs)
