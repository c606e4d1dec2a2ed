"""States of a network of several areas, each with a state at every step."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from cortexres.nn.recording.states.state import Keep, Place, Stage, facts_of, in_evaluation
from cortexres.nn.recurrent import Trajectory


@runtime_checkable
class Areal(Protocol):
    """A network that returns its own states area by area."""

    def trajectory(self, inputs: Tensor, steps: int | None = None) -> dict[str, Trajectory]:
        """Return every state by area, each (batch, steps + 1, ...)."""
        ...


class AreaStates:
    """States of the areas of a network, each a stage.

    Parameters
    ----------
    network : Areal
        Run in evaluation, where it is a module.
    example : Tensor
        A batch, to see which areas there are.
    steps : int, optional
        Number of steps; the network's own where it is left out.
    """

    def __init__(self, network: Areal, example: Tensor, steps: int | None = None) -> None:
        self._network, self._steps = network, steps
        self.facts = facts_of(network)
        self.stages = [
            Stage(area=name, layout=("channel", "y", "x") if run.response.ndim == 5 else ())
            for name, run in self._trajectory(example[:1]).items()
        ]

    def run(self, inputs: Tensor, keep: Keep) -> None:
        """Run the network on a batch and hand over the states of its areas."""
        for k, run in enumerate(self._trajectory(inputs).values()):
            blocks = run.response.shape[1]
            Place(k, 0, blocks, has_sum=True).start(keep, run.response[:, 0])
            for b in range(1, blocks):
                place = Place(k, b, blocks, has_sum=True)
                carried, update = run.carried[:, b], run.update[:, b]
                for name, values in (("carried", carried), ("update", update), ("sum", carried + update)):
                    place.keep(keep, name, values)
                place.keep(keep, "response", run.response[:, b])

    def _trajectory(self, inputs: Tensor) -> dict[str, Trajectory]:
        with torch.no_grad(), in_evaluation(self._network):
            return self._network.trajectory(inputs, self._steps)
