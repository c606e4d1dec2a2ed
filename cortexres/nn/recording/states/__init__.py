"""Where the states of a network come from: its chain of steps, what it returns itself, its graph, or its modules."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from cortexres.errors import ArgumentError
from cortexres.nn.chain import Chained
from cortexres.nn.networks.residual_memory import ResidualMemory
from cortexres.nn.recording.states.of_areas import Areal, AreaStates
from cortexres.nn.recording.states.of_chain import ChainStates
from cortexres.nn.recording.states.of_graph import GraphStates
from cortexres.nn.recording.states.of_modules import ModuleStates
from cortexres.nn.recording.states.of_trajectory import Recordable, Trajectories
from cortexres.nn.recording.states.state import START, Keep, Source, Stage, State

__all__ = ["START", "Keep", "Recordable", "Source", "Stage", "State", "source_of"]


def source_of(
    network: object,
    example: Tensor,
    *,
    steps: int | None,
    additions: Sequence[str] | None,
    modules: Sequence[str] | None,
) -> Source:
    """Return where the states of a network come from; options as for `record`, `example` being its first batch.

    Raises
    ------
    ArgumentError
        If there is no way to its states, or an option does not apply to it.
    """
    if additions is None and modules is None:
        if isinstance(network, ResidualMemory):  # its blocks are those of its trunk; the memory only reads them
            network = network.trunk
        if isinstance(network, Chained):
            return ChainStates(network, example, steps)
        if isinstance(network, Recordable):
            return Trajectories(network, steps)
        if isinstance(network, Areal):
            return AreaStates(network, example, steps)
    if not isinstance(network, nn.Module):
        raise ArgumentError(f"got a {type(network).__name__}, expected a torch module or a network with a trajectory")
    if steps is not None:
        raise ArgumentError(f"got steps={steps} for a network whose depth is its own, expected none")
    if modules is None:
        return GraphStates(network, example, additions)
    if additions is not None:
        raise ArgumentError("got both additions and modules, expected one of them")
    return ModuleStates(network, example, modules)
