"""Gradients of gradients, and many at once, of a loop whose backward pass is written by hand: torch finds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor

Tensors = Sequence[Tensor | None]


def must_be_found_by_torch(gradients: Tensors) -> bool:
    """Return whether gradients of gradients are asked for, or many gradients are hidden in one."""
    return torch.is_grad_enabled() or any(_is_batched(gradient) for gradient in gradients if gradient is not None)


def _is_batched(gradient: Tensor) -> bool:
    """Return whether a gradient is many, as `is_grads_batched` makes it."""
    return bool(torch._C._functorch.is_batchedtensor(gradient) or torch._C._functorch.is_legacy_batchedtensor(gradient))


def found_by_torch(
    compute: Callable[[list[Tensor | None]], Tensors], inputs: Tensors, needed: Sequence[bool], gradients: Tensors
) -> tuple[Tensor | None, ...]:
    """Return the gradients of `inputs`, None for those not needed, with a graph of their own where grad mode is on.

    Parameters
    ----------
    compute : callable
        Inputs -> outputs, by operations that autograd knows.
    inputs : sequence of Tensor or None
        What the outputs are functions of.
    needed : sequence of bool
        Which inputs have gradients.
    gradients : sequence of Tensor or None
        Those of the outputs.
    """
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        # aliases, so that the graph of what went before is not walked
        own = [None if value is None else value.view_as(value) for value in inputs]
        pairs = [(out, g) for out, g in zip(compute(own), gradients, strict=True) if g is not None]
        wanted = [k for k, wants in enumerate(needed) if wants]
        found = torch.autograd.grad(
            [cast("Tensor", out) for out, _ in pairs],
            [cast("Tensor", own[k]) for k in wanted],
            [gradient for _, gradient in pairs],
            create_graph=again,
            allow_unused=True,
        )
    by_input = dict(zip(wanted, found, strict=True))
    return tuple(by_input.get(k) for k in range(len(inputs)))
