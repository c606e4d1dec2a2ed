"""The gradient at a fixed point of the step, by the implicit function theorem: memory of one step, whatever T is.

Where z = f(z, theta), a small change of theta moves z by (I - J)^-1 df/dtheta, J = df/dz. With g the gradient of the
loss with respect to z, v = (I - J^T)^-1 g is found by products with J^T alone, and theta's gradient is v^T df/dtheta.
That is the gradient of the plain loop in the limit of many steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from cortexres.errors import ArgumentError
from cortexres.nn.block import Block
from cortexres.nn.loops.adjoint import solved
from cortexres.nn.loops.choice import choose
from cortexres.nn.loops.held_weights import Held, held_weights, lent_weights
from cortexres.nn.loops.overseen import why_not_shared_steps, why_steps_must_be_called
from cortexres.nn.loops.repeatable import why_not_again
from cortexres.nn.loops.run import Output, Run
from cortexres.nn.loops.second_order import must_be_found_by_torch
from cortexres.nn.norms import StepNorm

_FINE = 1e-4  # of types whose rounding is finer
_COARSE = 16  # roundings, of others: a state stops where the share of a step that moves it is lost
_ROUGH = 1e-2  # what may be left of the equation for how far away the fixed point is


@dataclass(frozen=True)
class FixedPoint:
    """The steps without a graph, then the gradient by the implicit function theorem at the state they end in.

    The output is that of any other loop. Its gradient is that of the plain loop only where the state has come to the
    fixed point, so that is checked for every image, and a run that has not is refused with the figure. A small step
    alone does not tell: one that adds the share gamma of F is that much smaller than the way that is left, d, which is
    found from ``(I - J) d = f(z) - z``. The state to start from has the gradient zero: where a run ends does not
    depend on where nearby it began. Gradients of gradients, and many at once, are refused.

    Parameters
    ----------
    tolerance : float, optional
        How far away an image's fixed point may be, ``||d|| / ||f(z)||``, where that is not lost in the rounding of
        the batch's largest state. By default 1e-4, or 16 roundings of a coarser type: 0.125 in bfloat16; and an image
        whose step is lost in the rounding of float32 or float64 itself, ``||f(z) - z|| <= eps ||f(z)||``, is there.
    adjoint_tolerance : float
        The most that may be left of the equation for v, ``||g + J^T v - v|| / ||g||``.
    products : int
        The most products with J^T that solving it may take; the most with J, too, for how far away the fixed point is.

    Raises
    ------
    ArgumentError
        If an option is not positive; in a run, if the state is still on its way, or no fixed point is found near it;
        in the backward pass, if v is not found or is to have a gradient itself.

    References
    ----------
    Almeida (1987), A learning rule for asynchronous perceptrons with feedback in a combinatorial environment, and
    Pineda (1987), Generalization of back-propagation to recurrent neural networks, doi:10.1103/PhysRevLett.59.2229;
    Bai, Kolter & Koltun (2019), Deep equilibrium models, arXiv:1909.01377
    """

    tolerance: float | None = None
    adjoint_tolerance: float = 1e-5
    products: int = 500

    def __post_init__(self) -> None:
        for name in ("tolerance", "adjoint_tolerance", "products"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ArgumentError(f"got {name}={value}, expected a positive number")

    def refusal(self, run: Run) -> str | None:
        """Return what of a run it cannot do; None where it can do all, if the state comes to a fixed point."""
        why = why_not_shared_steps(run)
        if run.shared is None or why is not None:
            return why
        if run.drive is not None and run.movie:
            return "a movie, under which no state stays"
        if run.readout not in ("last", run.steps):
            return "states before the last"
        why = why_not_again(run) or _why_told(run)
        return why or why_steps_must_be_called(run, *run.shared.parameters())

    def __call__(self, run: Run) -> Output:
        """Return (output, last state)."""
        weights = held_weights(run)
        with torch.no_grad(), lent_weights(weights):
            short = replace(run, readout="last")
            state = choose(short)(short)[1]
        if not torch.is_grad_enabled() or not _wanted(run):
            return state, state
        leaf = _fine(state).detach().requires_grad_()
        stepped = _one_step(run, leaf, weights)
        self._check_there(stepped, leaf, state.dtype, run.steps)

        def adjoint(gradient: Tensor) -> Tensor:
            def transposed(v: Tensor) -> Tensor:
                return torch.autograd.grad(stepped, leaf, v, retain_graph=True)[0]

            return self._solved(transposed, gradient.to(leaf.dtype))

        last: Tensor = _Implicit.apply(stepped, run.start, state, adjoint)  # type: ignore[no-untyped-call]
        return last, last

    def _check_there(self, stepped: Tensor, leaf: Tensor, dtype: torch.dtype, steps: int) -> None:
        """Check that every image's state is at its fixed point.

        Raises
        ------
        ArgumentError
            If it is not, or none is found.
        """
        if not len(leaf):
            return
        tolerance, lost = self.tolerance, 0.0
        if tolerance is None:
            tolerance, lost = max(_FINE, _COARSE * torch.finfo(dtype).eps), torch.finfo(leaf.dtype).eps
        step, size = (stepped - leaf).detach(), _sizes(stepped.detach())
        # a state that dies away gets smaller by the same share at every step: it is there once it is lost in rounding
        size = size.maximum(torch.finfo(size.dtype).eps * size.max())
        moving = ~(_sizes(step) <= lost * size)
        if not bool(moving.any()):
            return
        step = torch.where(moving.view(-1, *(1 for _ in step.shape[1:])), step, 0.0)
        way, left = solved(_jacobian(stepped, leaf), step, tolerance=_ROUGH, products=self.products)
        if not left <= _ROUGH:
            raise ArgumentError(
                f"got a state z that moves after {steps} steps, (I - J) d = f(z) - z solved to {left:.2g} after "
                f"{self.products} products with J, expected {_ROUGH:.2g}: there may be no fixed point near it; give "
                "more products, or another loop"
            )
        far = _sizes(way)
        ratio = float(torch.where(far == 0, 0.0, far / size).max())
        if not ratio <= tolerance:
            raise ArgumentError(
                f"got a state z that is still on its way after {steps} steps, d to the fixed point with "
                f"||d|| / ||f(z)|| = {ratio:.2g}, expected at most {tolerance:.2g}: no implicit gradient before it is "
                "there; give more steps, or another loop"
            )

    def _solved(self, transposed: Callable[[Tensor], Tensor], gradient: Tensor) -> Tensor:
        """Return v = g + J^T v.

        Raises
        ------
        ArgumentError
            If it is not found: J may have an eigenvalue of 1, where the fixed point is not one by itself.
        """
        v, left = solved(transposed, gradient, tolerance=self.adjoint_tolerance, products=self.products)
        if not left <= self.adjoint_tolerance:
            raise ArgumentError(
                f"got an adjoint equation solved to {left:.2g} after {self.products} products with J^T, expected "
                f"{self.adjoint_tolerance:.2g}: the fixed point may not be a single one; give more products, or "
                "another loop"
            )
        return v


class _Implicit(torch.autograd.Function):
    """(one step from the state, state at the start) -> the state; the gradient goes to the step through its adjoint."""

    @staticmethod
    def forward(ctx: Any, stepped: Tensor, start: Tensor, state: Tensor, adjoint: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.adjoint, ctx.start = adjoint, (start.shape, start.dtype)
        return state.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if must_be_found_by_torch([gradient]):
            # torch's once_differentiable would let autograd.grad(create_graph=True) through, with wrong results
            raise ArgumentError(
                "got a gradient that is to have gradients, or many at once, expected a single one: they are not found "
                "at a fixed point; give another loop"
            )
        to_start = gradient.new_zeros(ctx.start[0]) if ctx.needs_input_grad[1] else None
        return (ctx.adjoint(gradient) if ctx.needs_input_grad[0] else None), to_start, None, None


def _jacobian(stepped: Tensor, leaf: Tensor) -> Callable[[Tensor], Tensor]:
    """Return v -> J v: the derivative with respect to u of J^T u, which autograd knows, times v."""
    with torch.enable_grad():
        u = torch.zeros_like(leaf, requires_grad=True)
        back = torch.autograd.grad(stepped, leaf, u, create_graph=True)[0]

    def product(v: Tensor) -> Tensor:
        return torch.autograd.grad(back, u, v, retain_graph=True)[0]

    return product


def _sizes(states: Tensor) -> Tensor:
    """Return the norm of each image's state, (batch,); squares of the smallest numbers are not to vanish."""
    flat = states.flatten(1)
    largest = flat.abs().amax(dim=1, keepdim=True)
    scale = torch.where(largest.isfinite() & (largest > 0), largest, 1.0)
    found: Tensor = (flat / scale).norm(dim=1) * scale[:, 0]
    return found


def _fine(tensor: Tensor) -> Tensor:
    """Return a tensor in single precision where it is coarser: the adjoint equation needs it."""
    return tensor if torch.finfo(tensor.dtype).bits >= 32 else tensor.float()


def _one_step(run: Run, leaf: Tensor, weights: Held) -> Tensor:
    """Return the state after one more step from `leaf`, in its precision."""
    block, drive = cast("Block", run.shared), run.drive
    index = run.at(run.first_step + run.steps - 1)[1]
    if leaf.dtype == run.start.dtype:
        with lent_weights(weights):
            return cast("Tensor", block(leaf, drive, index))
    own = {name: _fine(value) if value.is_floating_point() else value for name, value in _tensors(block)}
    fine = {key: None if value is None else _fine(value) for key, value in weights.items()}
    with lent_weights(fine):
        arguments = (leaf, None if drive is None else _fine(drive), index)
        return cast("Tensor", torch.func.functional_call(block, own, arguments))


def _tensors(block: Block) -> list[tuple[str, Tensor]]:
    return [*block.named_parameters(), *block.named_buffers()]


def _wanted(run: Run) -> bool:
    """Return whether anything of a run needs a gradient."""
    tensors = (run.start, run.drive, *cast("Block", run.shared).parameters())
    return any(tensor is not None and tensor.requires_grad for tensor in tensors)


def _why_told(run: Run) -> str | None:
    """Return which part of the block does another thing at each step; None if none does."""
    block = cast("Block", run.shared)
    norms = [module for module in block.modules() if isinstance(module, StepNorm)]
    if any(len(rows) > 1 for norm in norms for rows in (*norm.parameters(), *norm.buffers())):
        return "normalisation with parameters or statistics for each step"
    transform = block.transform
    if type(transform).__module__.partition(".")[0] != "cortexres":
        return f"the transform {type(transform).__name__}, which may do another thing at each step"
    return None
