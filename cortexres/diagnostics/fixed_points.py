"""Fixed points of a tied network under a drive that stays on: where they are, and which of them attract."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from scipy.optimize import root
from torch import Tensor

from cortexres.diagnostics.autonomous import AutonomousMap, autonomous_map
from cortexres.diagnostics.datasets import array, attributes, numbers, seen, variable
from cortexres.diagnostics.jacobian import state_jacobian
from cortexres.errors import ArgumentError
from cortexres.nn.chain import Chain, Chained
from cortexres.nn.initial import Rng, normal_, stream


def fixed_points(
    network: Chained | Chain,
    inputs: Tensor | xr.Dataset,
    *,
    starts: int = 20,
    spread: float = 1.0,
    iterations: int = 100,
    tolerance: float | None = None,
    distance: float = 1e-3,
    rng: Rng = None,
) -> xr.Dataset:
    """Return the states at which a tied network stays, for each input, and how it moves near them.

    From each start, `scipy.optimize.root` (hybrid Powell) solves ``f(h) = h`` with the Jacobian, at the start itself
    and at where it has come after `iterations` steps; the first finds repellers, the second attractors. What agrees
    within `distance` is one fixed point. No search of this kind proves that it found all: take more starts.

    Parameters
    ----------
    network : network with `chain()` or Chain
        Tied, without norms per step, and without batch statistics.
    inputs : Tensor of shape (batch, ...) or Dataset
        What the network takes, or stimuli. Each gives a drive, which stays on, and a state to start from.
    starts : int
        Random states to start from, besides the network's own; 0 or more.
    spread : float
        Their standard deviation about the network's own first state.
    iterations : int
        Steps of the network before the second search from each start.
    tolerance : float, optional
        Largest ``|f(h) - h| / max(1, |h|)`` of what counts as a fixed point; by default the square root of the
        machine epsilon of the states' dtype.
    distance : float
        Solutions nearer than `distance` times max(1, norm) are one.
    rng : int or numpy Generator, optional
        Draws the starts.

    Returns
    -------
    xarray.Dataset
        ``state (fixed_point, unit)``, flattened; ``residual (fixed_point)``, ``|f(h) - h| / max(1, |h|)``;
        ``eigenvalue_real``, ``eigenvalue_imag`` (fixed_point, rank) of the Jacobian there, by falling modulus;
        ``spectral_radius``; ``stable``, whether it is below 1; ``n_unstable``, how many moduli are 1 or more; ``hits``,
        how many of the searches ended there. Coordinate ``stimulus (fixed_point)``: which input it belongs to; an
        input may have none. Attributes ``searches`` per input, ``tolerance`` and ``distance``.

    Raises
    ------
    ArgumentError
        If the network is no one map (see above), every state is a fixed point, an option is out of range, or the
        state has more than 4096 units.

    References
    ----------
    Sussillo & Barak (2013), Opening the black box, doi:10.1162/NECO_a_00409
    """
    _check_options(starts, spread, iterations, distance)
    follow = autonomous_map(network, seen(network, inputs))
    epsilon = torch.finfo(follow.start.dtype).eps
    near = epsilon**0.5 if tolerance is None else tolerance
    draw = stream(rng)
    found: list[_FixedPoint] = []
    for stimulus in range(len(follow.start)):
        one = follow.for_input(stimulus, starts + 1)
        begin = one.start.clone()
        begin[1:] += normal_(torch.empty_like(begin[1:]), spread, draw)
        _check_moves(one, begin, near)
        solutions = [solution for solution in _searches(one, begin, iterations) if solution.residual <= near]
        found += [_described(one, stimulus, members) for members in _groups(solutions, distance)]
    facts = {"n_stimuli": len(follow.start), "searches": 2 * (starts + 1), "tolerance": near, "distance": distance}
    result = _dataset(found, units=follow.start[0].numel(), stimuli=numbers(inputs))
    return result.assign_attrs(attributes(network, **facts))


class _Solution(NamedTuple):
    """Where a search ended, (unit,), and how far the map moves it."""

    state: np.ndarray
    residual: float


class _FixedPoint(NamedTuple):
    stimulus: int
    solution: _Solution
    eigenvalues: np.ndarray
    hits: int


def _searches(follow: AutonomousMap, begin: Tensor, iterations: int) -> list[_Solution]:
    """Return where the searches from the starts end, and those from where the starts have come."""
    with torch.no_grad():
        settled = begin
        for _ in range(iterations):
            settled = follow(settled)
    points = torch.cat([begin, settled])
    return [_search(follow, point) for point in points if torch.isfinite(point).all()]


def _search(follow: AutonomousMap, begin: Tensor) -> _Solution:
    one = follow.for_input(0, 1)

    def as_state(values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=begin.dtype, device=begin.device).view(1, *begin.shape)

    @torch.no_grad()
    def displacement(values: np.ndarray) -> np.ndarray:
        moved: np.ndarray = array(one(as_state(values)).flatten()) - values
        return moved

    def derivative(values: np.ndarray) -> np.ndarray:
        return array(state_jacobian(one, as_state(values))[0]) - np.eye(len(values))

    state = root(displacement, array(begin.flatten()), jac=derivative, method="hybr").x
    return _Solution(state, float(np.linalg.norm(displacement(state))) / _scale(state))


def _scale(state: np.ndarray) -> float:
    return max(1.0, float(np.linalg.norm(state)))


def _groups(solutions: list[_Solution], distance: float) -> list[list[_Solution]]:
    """Return solutions that are one fixed point together, each group led by the one that moves least."""
    groups: list[list[_Solution]] = []
    for solution in sorted(solutions, key=lambda each: each.residual):
        for group in groups:
            if np.linalg.norm(solution.state - group[0].state) <= distance * _scale(group[0].state):
                group.append(solution)
                break
        else:
            groups.append([solution])
    return groups


def _described(follow: AutonomousMap, stimulus: int, members: list[_Solution]) -> _FixedPoint:
    best = members[0]
    state = torch.as_tensor(best.state, dtype=follow.start.dtype, device=follow.start.device)
    jacobian = state_jacobian(follow.for_input(0, 1), state.view(1, *follow.start.shape[1:]))[0]
    eigenvalues = np.linalg.eigvals(array(jacobian))
    return _FixedPoint(stimulus, best, eigenvalues[np.argsort(-np.abs(eigenvalues), kind="stable")], len(members))


def _dataset(found: list[_FixedPoint], *, units: int, stimuli: np.ndarray) -> xr.Dataset:
    eigenvalues = np.array([point.eigenvalues for point in found], dtype=complex).reshape(len(found), units)
    states = np.array([point.solution.state for point in found], dtype=float).reshape(len(found), units)
    modulus = np.abs(eigenvalues)
    each, spectrum = "fixed_point", ("fixed_point", "rank")
    return xr.Dataset(
        {
            "state": variable((each, "unit"), states, "state that stays", units="state"),
            "residual": variable(
                each, [point.solution.residual for point in found], "|f(h) - h| / max(1, |h|)", units="state"
            ),
            "eigenvalue_real": variable(spectrum, eigenvalues.real, "real part of an eigenvalue of the Jacobian"),
            "eigenvalue_imag": variable(spectrum, eigenvalues.imag, "imaginary part of an eigenvalue of the Jacobian"),
            "spectral_radius": variable(each, modulus.max(axis=1), "largest modulus of an eigenvalue"),
            "stable": variable(each, modulus.max(axis=1) < 1, "whether all moduli are below 1"),
            "n_unstable": variable(each, (modulus >= 1).sum(axis=1), "number of moduli of 1 or more"),
            "hits": variable(each, [point.hits for point in found], "number of searches that ended there"),
        },
        coords={
            each: np.arange(len(found)),
            "stimulus": variable(each, stimuli[[point.stimulus for point in found]], "input whose drive it belongs to"),
            "unit": np.arange(units),
            "rank": np.arange(units),
        },
    )


@torch.no_grad()
def _check_moves(follow: AutonomousMap, states: Tensor, near: float) -> None:
    """Raise where no state moves."""
    moved = (follow(states) - states).flatten(1).norm(dim=1)
    if (moved <= near * states.flatten(1).norm(dim=1).clamp(min=1.0)).all() and len(states) > 1:
        raise ArgumentError(
            "got a map that leaves every state where it is, expected one that moves some: every state is a fixed "
            "point, as with a learned scale that is still 0"
        )


def _check_options(starts: int, spread: float, iterations: int, distance: float) -> None:
    for name, value in (("starts", starts), ("iterations", iterations)):
        if value < 0:
            raise ArgumentError(f"got {name}={value}, expected 0 or more")
    for name, width in (("spread", spread), ("distance", distance)):
        if not width > 0:
            raise ArgumentError(f"got {name}={width}, expected a positive number")
