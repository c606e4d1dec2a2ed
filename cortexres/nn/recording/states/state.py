"""A state of a network, the stages that states form, and what can give them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from cortexres.nn.parameters import parameter_count
from cortexres.nn.recording.graph import evaluating

START = "start"  # kind of block 0, which is no block but the state before the first


class State(NamedTuple):
    """One variable after one block, of a batch: (batch, ...)."""

    stage: int
    block: int
    blocks: int  # of the stage, block 0 among them
    name: str
    values: Tensor


Keep = Callable[[State], None]


@dataclass(frozen=True)
class Stage:
    """Blocks whose states have one shape.

    Parameters
    ----------
    modules, kinds : tuple of str
        Path and kind of each block, without block 0; empty where they have none.
    layout : tuple of str
        What the dims of a state are.
    area : str
        Name of the area whose states they are, where the network has areas.
    """

    modules: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    layout: tuple[str, ...] = ()
    area: str = ""


class Source(Protocol):
    """A network whose states can be had, batch by batch."""

    @property
    def stages(self) -> Sequence[Stage]:
        """Return what is known of the stages before anything runs."""
        ...

    @property
    def facts(self) -> Mapping[str, object]:
        """Return what a recording keeps of the network."""
        ...

    def run(self, inputs: Tensor, keep: Keep) -> None:
        """Run the network on a batch and hand over each state as soon as it is there."""
        ...


class Place(NamedTuple):
    """Where the states of a block go."""

    stage: int
    block: int
    blocks: int
    has_sum: bool  # whether the sum differs from the response, in any block of the stage

    def keep(self, keep: Keep, name: str, values: Tensor) -> None:
        """Hand over a variable of this block."""
        keep(State(self.stage, self.block, self.blocks, name, values))

    def start(self, keep: Keep, values: Tensor) -> None:
        """Hand over block 0: the state that enters, to which nothing was added."""
        for name in ("response", "carried", "sum")[: 2 + self.has_sum]:
            keep(State(self.stage, 0, self.blocks, name, values))
        keep(State(self.stage, 0, self.blocks, "update", torch.zeros_like(values)))


def facts_of(network: object) -> dict[str, object]:
    """Return what the network says of itself, or its class and size."""
    own: Mapping[str, object] | None = getattr(network, "facts", None)
    if isinstance(own, Mapping):
        return dict(own)
    if not isinstance(network, nn.Module):
        return {}
    return {"class": type(network).__name__, "parameters": parameter_count(network)}


def in_evaluation(network: object) -> AbstractContextManager[None]:
    return evaluating(network) if isinstance(network, nn.Module) else nullcontext()
