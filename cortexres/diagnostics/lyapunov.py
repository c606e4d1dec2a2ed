"""Lyapunov exponents of a tied network: how fast nearby states part or meet, along each direction."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.autograd import grad

from cortexres.diagnostics.autonomous import AutonomousMap, autonomous_map
from cortexres.diagnostics.datasets import array, attributes, numbers, seen, variable
from cortexres.errors import ArgumentError
from cortexres.nn.chain import Chain, Chained
from cortexres.nn.initial import Rng, normal_

PARTS = 10
"""Parts of the run whose estimates give the standard error."""


@torch.no_grad()
def lyapunov_exponents(
    network: Chained | Chain,
    inputs: Tensor | xr.Dataset,
    *,
    steps: int = 1000,
    transient: int = 100,
    n_exponents: int | None = None,
    rng: Rng = None,
) -> xr.Dataset:
    """Return the Lyapunov exponents of a tied network that goes on with its drive on, per step.

    Tangent vectors are carried along the trajectory and made orthogonal by a QR decomposition at each step; the
    exponents are the mean logarithms of the diagonal of R (Benettin et al.). Positive: chaos; all negative: the state
    forgets where it started.

    Parameters
    ----------
    network : network with `chain()` or Chain
        Tied, without norms per step, and without batch statistics. It runs for more steps than its own.
    inputs : Tensor of shape (batch, ...) or Dataset
        What the network takes, or stimuli. Each gives a drive and a state to start from.
    steps : int
        Steps that are averaged, 10 or more.
    transient : int
        Steps before, which are left out.
    n_exponents : int, optional
        How many, the largest; all by default.
    rng : int or numpy Generator, optional
        Draws the tangent vectors at the start.

    Returns
    -------
    xarray.Dataset
        ``exponent (stimulus, rank)``, the largest first (but for their scatter), in nat per step; ``standard_error
        (stimulus, rank)``, from ten parts of the run. Minus infinity where the map is flat along a direction; the error
        is then NaN.

    Raises
    ------
    ArgumentError
        If the network is no one map (see above), an option is out of range, or the state grows without bound.

    References
    ----------
    Benettin, Galgani, Giorgilli & Strelcyn (1980), doi:10.1007/BF02128236
    Engelken, Wolf & Abbott (2023), Lyapunov spectra of chaotic recurrent neural networks,
    doi:10.1103/PhysRevResearch.5.043044
    """
    if steps < PARTS or transient < 0:
        raise ArgumentError(f"got steps={steps} and transient={transient}, expected {PARTS} or more, and 0 or more")
    follow = autonomous_map(network, seen(network, inputs))
    units = follow.start[0].numel()
    count = units if n_exponents is None else n_exponents
    if not 1 <= count <= units:
        raise ArgumentError(f"got n_exponents={count}, expected 1 to {units}, the number of units")
    growth = _growth(follow, count, steps, transient, rng)
    parts = torch.stack([part.mean(dim=0) for part in growth.tensor_split(PARTS)])
    error = array(parts.std(dim=0) / PARTS**0.5)
    dims = ("stimulus", "rank")
    return xr.Dataset(
        {
            "exponent": variable(dims, array(growth.mean(dim=0)), "Lyapunov exponent", units="nat per step"),
            "standard_error": variable(
                dims, error, "standard error of it", units="nat per step", undefined="the exponent is minus infinity"
            ),
        },
        coords={"stimulus": numbers(inputs), "rank": np.arange(count)},
        attrs=attributes(network, n_stimuli=len(follow.start), steps=steps, transient=transient),
    )


def _growth(follow: AutonomousMap, count: int, steps: int, transient: int, rng: Rng) -> Tensor:
    """Return logarithms of how much each direction grew at each step, (step, batch, rank), in double precision."""
    state = follow.start
    flat = state.flatten(1)
    directions = _orthogonal(normal_(flat.new_empty(*flat.shape, count), 1.0, rng))[0]
    rows = []
    for step in range(transient + steps):
        tangents = directions.movedim(-1, 0).reshape(count, *state.shape)
        state, carried = _advance(follow, state, tangents)
        directions, diagonal = _orthogonal(carried.flatten(2).movedim(0, -1))
        if step >= transient:
            rows.append(diagonal.abs().double().log())
    if not torch.isfinite(state).all():
        raise ArgumentError(
            f"got a state that grows without bound within {transient + steps} steps, expected one that stays finite: "
            "give fewer steps, or smaller weights"
        )
    return torch.stack(rows)


@torch.enable_grad()
def _advance(follow: AutonomousMap, state: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
    """Return the next states, and the tangent vectors there, (vector, batch, ...).

    J v is the derivative of J^T u with respect to u, along v: two backward passes, which every operation has.
    """
    leaf = state.detach().requires_grad_()
    after = follow(leaf)
    carried = torch.zeros_like(tangents)
    if after.requires_grad:
        weights = torch.zeros_like(after, requires_grad=True)
        (pulled,) = grad(after, leaf, weights, create_graph=True)
        if pulled.requires_grad:  # not where the map is flat
            (carried,) = grad(pulled, weights, tangents, is_grads_batched=True)
    return after.detach(), carried


def _orthogonal(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return an orthonormal basis of the columns, and by how much each stood out of those before it."""
    basis, triangle = torch.linalg.qr(vectors)
    return basis, triangle.diagonal(dim1=-2, dim2=-1)
