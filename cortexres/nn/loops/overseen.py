"""Whether something looks into the steps of a run, and would miss what a fast loop does without calling the block."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.utils._device import DeviceContext

from cortexres.nn.loops.run import Run

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_EVERYWHERE = (
    "_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks", "_global_backward_pre_hooks",
)


def why_steps_must_be_called(run: Run, *tensors: Tensor | None) -> str | None:
    """Return why a run must go through calls of its block, under the eyes of torch; None where it need not.

    Parameters
    ----------
    run : Run
        Of a shared block.
    *tensors
        The weights that the loop would read, None for those that there are not; the state and the drive are looked at
        in any case.

    Returns
    -------
    str or None
        Tracing, transforms of functions (`torch.func`, forward-mode derivatives), modes that see every operation,
        autocast, hooks on modules, tensors of other classes, types or devices than the state.
    """
    why = why_transformed()
    if why is not None:
        return why
    if torch._C._len_torch_dispatch_stack() or _sees_functions():
        return "a mode of torch that sees every operation"
    if torch.is_autocast_enabled(run.start.device.type):
        return "autocast"
    if hooked(run):
        return "hooks on modules"
    return _unlike(run.start, run.drive, *tensors)


def why_transformed() -> str | None:
    """Return what makes another program of the steps than one that runs now; None if nothing."""
    if torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None:
        return "a run that is compiled, exported or traced"
    if torch._C._are_functorch_transforms_active() or torch.autograd.forward_ad._current_level >= 0:
        return "a transform of torch.func or a forward-mode derivative"
    return None


def why_not_shared_steps(run: Run) -> str | None:
    """Return why a run is not one of steps that share a block and draw nothing; None where it is."""
    if run.shared is None:
        return "blocks of their own (an untied network)"
    if not run.steps:
        return "no steps"
    return "noise" if run.noise else None


def _sees_functions() -> bool:
    """Return whether a mode sees every function of torch; one that only says where new tensors go does not count."""
    modes = (torch._C._get_function_stack_at(k) for k in range(torch._C._len_torch_function_stack()))
    return any(not isinstance(mode, DeviceContext) for mode in modes)


def hooked(run: Run) -> bool:
    """Return whether something is called with a module of the run, or with any, or in place of one's `forward`."""
    return any(getattr(torch_module, name) for name in _EVERYWHERE) or any(
        _hooked(module) for block in run.blocks() for module in block.modules()
    )


def _hooked(module: nn.Module) -> bool:
    """Return whether something is called with a module, or in place of its `forward`."""
    own = module.__dict__
    return "forward" in own or any(own.get(name) for name in _HOOKS)


def _unlike(state: Tensor, *others: Tensor | None) -> str | None:
    """Return how tensors differ in kind from the state."""
    for tensor in (state, *others):
        if tensor is None:
            continue
        if type(tensor) not in (Tensor, nn.Parameter):
            return f"a tensor of class {type(tensor).__name__}"
        if tensor.dtype != state.dtype or tensor.device != state.device:
            return f"{tensor.dtype} on {tensor.device} beside a state of {state.dtype} on {state.device}"
        if not tensor.is_floating_point():
            return f"numbers of {tensor.dtype}"
    return None
