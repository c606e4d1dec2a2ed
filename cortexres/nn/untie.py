"""From a block that steps share to one block per step, and back, without loss.

Modules that keep something per step say how to take one step out (`at_step`) and how to put steps together
(`merged`); everything else is copied, and on the way back checked, averaged or taken from the first.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, Self, TypeVar, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from cortexres.errors import ArgumentError

M = TypeVar("M", bound=nn.Module)
Combine = Callable[[str, list[Tensor]], Tensor]


@runtime_checkable
class Stepped(Protocol):
    """A module with something of its own for each step."""

    def at_step(self, step: int) -> nn.Module:
        """Return the module that computes alone what this one computes at `step`."""
        ...

    def merged(self, parts: Sequence[Self], combine: Combine) -> nn.Module:
        """Return the module whose step k is the single step of ``parts[k]``."""
        ...


def alone(block: M, step: int) -> M:
    """Return a copy of `block` that computes, as its only step, what `block` computes at `step`."""
    own = copy.deepcopy(block)
    for name, module in list(block.named_modules()):
        if isinstance(module, Stepped):
            own.set_submodule(name, module.at_step(step))
    return own


def together(blocks: Sequence[M], *, mode: Literal["check", "mean", "first"]) -> M:
    """Return one block for all steps out of one per step; see `Recurrent.from_untied` for the modes.

    Raises
    ------
    ArgumentError
        If `mode` is none of these, the blocks differ in shape, or in weights where they must be equal, or a mean is
        asked of weights under a constraint that cannot be assigned.
    """
    if mode not in _COMBINE:
        raise ArgumentError(f"got mode={mode!r}, expected one of {', '.join(_COMBINE)}")
    _check_alike(blocks)
    combine, shared = _COMBINE[mode], copy.deepcopy(blocks[0])
    states = [block.state_dict() for block in blocks]
    merged = {key: combine(key, [state[key] for state in states]) for key in _own_keys(shared)}
    shared.load_state_dict(merged, strict=False)
    for name, module in list(shared.named_modules()):
        if isinstance(module, Stepped):
            shared.set_submodule(name, module.merged([_stepped(block, name) for block in blocks], combine))
    if mode == "mean":
        _average_constrained(shared, blocks)
    return shared


@torch.no_grad()
def _average_constrained(shared: nn.Module, blocks: Sequence[nn.Module]) -> None:
    """Set constrained weights to the mean of the weights: that of the raw values, of either sign, is another."""
    for name, module in shared.named_modules():
        if parametrize.is_parametrized(module):
            for own in cast("nn.ModuleDict", module.parametrizations):
                weights = [getattr(block.get_submodule(name), own) for block in blocks]
                try:
                    setattr(module, own, torch.stack(weights).mean(dim=0))
                except (NotImplementedError, RuntimeError) as error:
                    raise ArgumentError(
                        f"got mode='mean' for {name}.{own}, whose constraint cannot be met by assigning it, expected "
                        "mode='first', or a parametrization with right_inverse"
                    ) from error


def _stepped(block: nn.Module, name: str) -> Any:
    return block.get_submodule(name)


def _own_keys(block: nn.Module) -> list[str]:
    """Return the keys of everything that no module keeps per step."""
    stepped = tuple(f"{name}." for name, module in block.named_modules() if isinstance(module, Stepped))
    return [key for key in block.state_dict() if not key.startswith(stepped)] if stepped else list(block.state_dict())


def _check_alike(blocks: Sequence[nn.Module]) -> None:
    first = {key: value.shape for key, value in blocks[0].state_dict().items()}
    for k, block in enumerate(blocks):
        if {key: value.shape for key, value in block.state_dict().items()} != first:
            raise ArgumentError(f"got block {k} of another shape than block 0, expected blocks of one shape to share")


def _equal(key: str, values: list[Tensor]) -> Tensor:
    for k, value in enumerate(values):
        if not torch.equal(value, values[0]):
            raise ArgumentError(
                f"got {key} of block {k} unlike that of block 0, expected equal weights: say mode='mean' or 'first'"
            )
    return values[0]


def _mean(key: str, values: list[Tensor]) -> Tensor:
    # counters of batches have no mean
    return torch.stack(values).mean(dim=0) if values[0].is_floating_point() else values[0]


_COMBINE: dict[str, Combine] = {"check": _equal, "mean": _mean, "first": lambda _, values: values[0]}
