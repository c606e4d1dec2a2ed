"""Whether an operator can stand between two areas, found without computing anything."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from cortexres.errors import ArgumentError
from cortexres.nn.areas.adjacency import Area, Wire
from cortexres.nn.block import Block
from cortexres.nn.norms import StepNorm, has_torch_statistics


def check_fits(operator: nn.Module, wire: Wire, areas: Mapping[str, Area]) -> None:
    """Raise where the operator of a connection does not take its source's shape to its target's.

    Raises
    ------
    ArgumentError
        If it cannot be applied, makes another shape, or normalises by the step without being told the step.
    """
    if not wire.told and any(_by_step(module) for module in operator.modules()):
        raise ArgumentError(
            f"got an operator {wire} that normalises by the step, expected a forward with an argument step that hands "
            "it on: otherwise all steps share the statistics of the first"
        )
    if has_torch_statistics(operator):
        raise ArgumentError(
            f"got an operator {wire} with torch's batch normalisation, expected Norm('batch', steps=...) or "
            "track_running_stats=False: in evaluation, statistics that all steps share describe none of them"
        )
    source, target = areas[wire.source], areas[wire.target]
    try:
        made = _shape_after(operator, wire, source.shape)
    except (RuntimeError, ValueError) as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise ArgumentError(
            f"got an operator {wire} that cannot take {source.name}'s {source.shape}, expected one that makes "
            f"{target.name}'s {target.shape} of it: {said}"
        ) from error
    if made != target.shape:
        raise ArgumentError(
            f"got an operator {wire} that makes {made} of {source.name}'s {source.shape}, expected {target.name}'s "
            f"{target.shape}: change the operator or the size of an area"
        )


def _by_step(module: nn.Module) -> bool:
    return isinstance(module, StepNorm) and (module.recipe.kind == "batch" or module.recipe.affine == "per_step")


def _shape_after(operator: nn.Module, wire: Wire, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that the operator makes of a state: run on the meta device, where tensors have shapes only."""
    own = (*operator.named_parameters(), *operator.named_buffers())
    weights = {name: value.detach().to("meta") for name, value in own}
    floating = (value.dtype for value in weights.values() if value.is_floating_point())
    # two samples: batch normalisation of one position refuses to train on one
    state = torch.empty(2, *shape, device="meta", dtype=next(floating, None))
    drive = (state,) if wire.own and isinstance(operator, Block) else ()
    with torch.no_grad():
        made = torch.func.functional_call(operator, weights, (state, *drive), {"step": 0} if wire.told else {})
    return tuple(made.shape[1:])
