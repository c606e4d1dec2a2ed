"""The states that a run of several areas starts from and hands over, as far back as its delays need them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from cortexres.errors import ArgumentError
from cortexres.nn.areas.adjacency import Area

States = dict[str, Tensor]
#: Of every area its states, latest first, as many as its longest delay.
History = dict[str, tuple[Tensor, ...]]


def history_of(
    given: Mapping[str, Tensor], areas: Mapping[str, Area], depth: Mapping[str, int], x: Tensor
) -> History:
    """Return the history in `given` states, zeros like `x` where there are none.

    Parameters
    ----------
    given : mapping of str to Tensor
        By area its latest state, (batch, ...), and as ``"V1.past"`` those before, (batch, step, ...), latest first.
    areas : mapping of str to Area
        All areas.
    depth : mapping of str to int
        How many states of each area are needed.
    x : Tensor of shape (batch, ...)
        The input.

    Raises
    ------
    ArgumentError
        If a name is none of these, or a state has another shape.
    """
    known = [key for name in areas for key in (name, _past(name))[: depth[name]]]
    for key in given:
        if key not in known:
            raise ArgumentError(f"got a state called {key}, expected one of {', '.join(known)}")
    return {name: _of_area(given, area, depth[name], x) for name, area in areas.items()}


def _of_area(given: Mapping[str, Tensor], area: Area, depth: int, x: Tensor) -> tuple[Tensor, ...]:
    batch = x.shape[0]
    shapes = {area.name: (batch, *area.shape), _past(area.name): (batch, depth - 1, *area.shape)}
    found = {key: given.get(key, x.new_zeros(shape)) for key, shape in shapes.items()}
    for key, shape in shapes.items():
        if tuple(found[key].shape) != shape:
            raise ArgumentError(f"got state {key} of shape {tuple(found[key].shape)}, expected {shape}")
    return (found[area.name], *found[_past(area.name)].unbind(dim=1))


def states_of(history: History) -> States:
    """Return a history as the states that `history_of` takes."""
    latest = {name: states[0] for name, states in history.items()}
    past = {_past(name): torch.stack(states[1:], dim=1) for name, states in history.items() if len(states) > 1}
    return latest | past


def _past(name: str) -> str:
    return f"{name}.past"
