"""Put states where they belong, in memory or in a file, as they come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from cortexres.errors import ArgumentError
from cortexres.nn.recording.states import Keep, State
from cortexres.schema_rules import COMPONENTS

DIMS = ("stimulus", "block", "unit")
MEANINGS = {
    "response": "state after the block",
    "update": "what the block added",
    "carried": "what the block carried on",
    "sum": "what the block carried on and what it added",
}


class Store(Protocol):
    """Where variables are kept: `InMemory`, or a stream to a file."""

    def variable(
        self, group: str, name: str, sizes: Mapping[str, int], *, piece: Mapping[str, int], dtype: np.dtype[Any],
        attrs: Mapping[str, str],
    ) -> Any:  # fmt: skip
        """Return a new variable, to be filled by assigning to slices of it, `piece` by `piece`."""
        ...

    def describe(self, group: str, described: xr.Dataset) -> None:
        """Take the coordinates and attributes of a group."""
        ...


class InMemory:
    """Variables as arrays."""

    def __init__(self) -> None:
        self._groups: dict[str, xr.Dataset] = {}
        self._variables: dict[str, dict[str, Any]] = {}

    def variable(
        self, group: str, name: str, sizes: Mapping[str, int], *, piece: Mapping[str, int], dtype: np.dtype[Any],
        attrs: Mapping[str, str],
    ) -> np.ndarray:  # fmt: skip
        """Return a new array; it need not be filled by pieces."""
        values = np.empty(tuple(sizes.values()), dtype)
        self._variables.setdefault(group, {})[name] = (tuple(sizes), values, dict(attrs))
        return values

    def describe(self, group: str, described: xr.Dataset) -> None:
        """Take the coordinates and attributes of a group."""
        self._groups[group] = described.assign(self._variables.get(group, {}))

    def result(self) -> xr.Dataset | xr.DataTree:
        """Return the Dataset of the only group, or a tree of all."""
        if set(self._groups) == {"/"}:
            return self._groups["/"]
        return xr.DataTree.from_dict(self._groups)


class Keeper:
    """Sorts the states of one recording into a store.

    Parameters
    ----------
    store : Store
        Where they go.
    groups : sequence of str
        Groups of the store in which the stages are.
    count : int
        Number of stimuli.
    reduce : callable, optional
        Linear map of states.
    units : str
        Of the states.
    """

    def __init__(
        self, store: Store, *, groups: Sequence[str], count: int, reduce: Callable[[Tensor], Tensor] | None, units: str
    ) -> None:
        self._store, self._count, self._reduce, self._units = store, count, reduce, units
        self._variables: dict[tuple[int, str], Any] = {}
        self._groups = groups
        self.shapes: list[tuple[int, ...]] = [()] * len(groups)
        self.blocks = [0] * len(groups)

    def rows(self, start: int, stop: int) -> Keep:
        """Return a function that keeps the states of these stimuli; states of more stimuli are cut."""

        def keep(state: State) -> None:
            values = self._plain(state)[: stop - start]
            if not np.isfinite(values).all():
                raise ArgumentError(
                    f"got {state.name} with NaN or infinite values, expected finite states: the network diverges; "
                    "use fewer steps or a smaller gain"
                )
            self._variable(state, values)[start:stop, state.block] = values

        return keep

    def _plain(self, state: State) -> np.ndarray:
        """Return the values of a state as an array, (batch, unit)."""
        values = state.values.detach()
        if self._reduce is not None:
            if state.block == 0:
                _check_linear(self._reduce, values)
            values = self._reduce(values)
            if not values.ndim or len(values) != len(state.values):
                raise ArgumentError(
                    f"got states of shape {tuple(values.shape)} from reduce=, expected {len(state.values)} stimuli "
                    "first, as in the states that it gets"
                )
        self.shapes[state.stage] = tuple(values.shape[1:])
        self.blocks[state.stage] = state.blocks
        if values.dtype in (torch.float16, torch.bfloat16):  # numpy and netCDF lack the one or the other
            values = values.float()
        return values.reshape(len(values), -1).cpu().numpy()

    def _variable(self, state: State, values: np.ndarray) -> Any:
        """Return the variable in which a state belongs; it is made when its first state comes."""
        key = (state.stage, state.name)
        if key not in self._variables:
            sizes = dict(zip(DIMS, (self._count, state.blocks, values.shape[1]), strict=True))
            attrs = {"units": "mV" if state.name in COMPONENTS else self._units}
            if state.name in MEANINGS:
                attrs["long_name"] = MEANINGS[state.name]
            if state.values.dtype in (torch.float16, torch.bfloat16):
                attrs["computed_as"] = str(state.values.dtype).removeprefix("torch.")
            self._variables[key] = self._store.variable(
                self._groups[state.stage],
                state.name,
                sizes,
                piece={"stimulus": len(values), "block": 1},
                dtype=values.dtype,
                attrs=attrs,
            )
        return self._variables[key]


def _check_linear(reduce: Callable[[Tensor], Tensor], values: Tensor) -> None:
    """Raise where the reduced sum would not be the sum of what is carried and what is added, reduced."""
    phases = torch.arange(values.numel(), dtype=torch.float32, device=values.device).view(values.shape)
    a, b = torch.sin(phases).to(values.dtype), torch.cos(1.7 * phases).to(values.dtype)
    if not torch.allclose(reduce(a + b), reduce(a) + reduce(b), rtol=1e-2, atol=1e-2):
        raise ArgumentError(
            "got a reduce= that is not linear, expected a mean or a choice of units: x + F(x) would not be the sum"
        )
