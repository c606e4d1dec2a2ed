"""States that a network returns itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
import xarray as xr
from torch import Tensor

from cortexres.errors import ArgumentError
from cortexres.nn.recording.states.state import Keep, Stage, State, facts_of, in_evaluation
from cortexres.schema_rules import COMPONENTS


@runtime_checkable
class Recordable(Protocol):
    """A network that returns its own states, as those of `cortexres.bridge` do.

    It may also have `name` (str), `dt_ms` (float, the time one block stands for), `unit_coords` (labels of
    the units by name, each an array with one entry per unit) and `facts` (mapping that JSON can say, kept as
    ``network`` in the provenance: what the network is).
    """

    def inputs(self, stimuli: xr.Dataset) -> Tensor:
        """Return what the network sees, (stimulus, input)."""
        ...

    def trajectory(self, inputs: Tensor, steps: int | None = None) -> dict[str, Tensor]:
        """Return states by name, each (stimulus, steps + 1, unit); ``"response"`` is required."""
        ...


class Trajectories:
    """States that a network returns itself; the update is their change.

    Parameters
    ----------
    network : Recordable
        Run in evaluation, where it is a module.
    steps : int, optional
        Number of blocks; the network's own where it is left out.
    """

    stages: Sequence[Stage] = (Stage(),)

    def __init__(self, network: Recordable, steps: int | None = None) -> None:
        if steps is not None and steps < 0:
            raise ArgumentError(f"got steps={steps}, expected 0 or more blocks to record")
        self._network, self._steps = network, steps
        self.facts = facts_of(network)

    def run(self, inputs: Tensor, keep: Keep) -> None:
        """Run the network on a batch and hand over its states."""
        with torch.no_grad(), in_evaluation(self._network):
            states = self._network.trajectory(inputs, self._steps)
        if "response" not in states:
            raise ArgumentError(f"got a trajectory with {sorted(states)}, expected 'response' among its keys")
        response = states["response"]
        for name in ("response", *(key for key in COMPONENTS if key in states)):
            values = states[name]
            if values.ndim != 3 or values.shape != response.shape or len(values) != len(inputs):
                raise ArgumentError(
                    f"got {name} of shape {tuple(values.shape)}, expected ({len(inputs)} stimuli, blocks + 1, units), "
                    "the same for all states"
                )
        kept = {name: values for name, values in states.items() if name in ("response", *COMPONENTS)}
        kept["update"] = torch.diff(response, dim=1, prepend=response[:, :1])
        for name, values in kept.items():
            for block in range(values.shape[1]):
                keep(State(0, block, values.shape[1], name, values[:, block]))
