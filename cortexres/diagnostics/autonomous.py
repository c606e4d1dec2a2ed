"""A tied network under a drive that stays on, as what it then is: one map, applied again and again."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from cortexres.diagnostics.held_statistics import uses_batch
from cortexres.diagnostics.steps import chain_with_steps
from cortexres.errors import ArgumentError
from cortexres.nn.block import Block
from cortexres.nn.chain import Chain, Chained
from cortexres.nn.untie import Stepped


@dataclass(frozen=True)
class AutonomousMap:
    """The map from state to state, the states it starts from, (batch, ...), and their drives, which stay on."""

    block: Block
    start: Tensor
    drive: Tensor | None

    def __call__(self, state: Tensor) -> Tensor:
        """Return the next states, (batch, ...), for those of the whole batch."""
        after: Tensor = self.block(state, self.drive)
        return after

    def for_input(self, index: int, count: int) -> AutonomousMap:
        """Return the map under the drive of one input, for `count` states at once."""
        first, drive = self.start[index], None if self.drive is None else self.drive[index]
        return AutonomousMap(
            self.block,
            first.expand(count, *first.shape),
            None if drive is None else drive.expand(count, *drive.shape),
        )


def autonomous_map(network: Chained | Chain, inputs: Tensor) -> AutonomousMap:
    """Return the map that a tied network applies at every step.

    Raises
    ------
    ArgumentError
        If steps have blocks of their own, something is kept per step, or batch statistics are in use: then there is
        no one map. Also if the block changes the shape of the state.
    """
    chain = chain_with_steps(network)
    block = chain.steps[0].block
    if any(step.block is not block for step in chain.steps):
        raise ArgumentError(
            "got steps of several blocks, expected one block that all steps share: in an untied network, or one tied "
            "stage by stage, there is no one map to repeat; see jacobian_spectra for the product of its steps"
        )
    if any(isinstance(module, Stepped) and _has_rows(module) for module in block.modules()):
        raise ArgumentError(
            "got parameters or statistics per step, expected ones that steps share: each step is another map, and "
            "there is none to repeat; see jacobian_spectra for the product of its steps"
        )
    if any(uses_batch(module) for module in block.modules()):
        raise ArgumentError(
            "got a normalisation by batch statistics, expected running ones, network.eval(): the map of one input "
            "depends on the others"
        )
    start, drive = chain.enter(inputs)
    found = AutonomousMap(block, start.detach(), None if drive is None else drive.detach())
    after = found(found.start)
    if after.shape != start.shape:
        raise ArgumentError(
            f"got a block from states of shape {tuple(start.shape)} to {tuple(after.shape)}, expected one shape: it "
            "cannot be repeated"
        )
    return found


def _has_rows(module: nn.Module) -> bool:
    """Return whether a module keeps more than one row, that is, something for several steps."""
    return any(value.ndim > 0 and len(value) > 1 for value in module.state_dict().values())
