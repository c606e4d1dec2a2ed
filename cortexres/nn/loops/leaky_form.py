"""The step of a dense leaky network, h' = c h + a f(W g(h) + b + u), recognised in a block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, cast

import torch
from torch import Tensor, nn

from cortexres.nn.block import Block
from cortexres.nn.loops.overseen import why_not_shared_steps, why_steps_must_be_called
from cortexres.nn.loops.run import Readout, Run
from cortexres.nn.loops.shares import Share, shares, why_not_shares
from cortexres.nn.transforms.dense import Dense
from cortexres.nn.transforms.excitatory_inhibitory import ExcitatoryInhibitory

Function = Literal["tanh", "relu", "identity"]
_FUNCTIONS: dict[Callable[[Tensor], Tensor], Function] = {
    torch.tanh: "tanh",
    nn.functional.tanh: "tanh",
    torch.relu: "relu",
    nn.functional.relu: "relu",
}
_MODULES: dict[type[nn.Module], Function] = {nn.Tanh: "tanh", nn.ReLU: "relu"}


@dataclass(frozen=True, kw_only=True)
class LeakyForm:
    """The numbers of a dense leaky step.

    Parameters
    ----------
    weight : Tensor of shape (unit, unit)
        W, (postsynaptic, presynaptic), with its constraints applied.
    bias : Tensor of shape (unit,), optional
        b.
    drive : Tensor of shape (batch, unit) or (batch, time, unit), optional
        u, through the weights of the input.
    function : {"tanh", "relu", "identity"}
        f.
    rectified : bool
        Whether g is a ReLU, so that units send their rates; else g(h) = h.
    carried : float, Tensor of shape (unit,) or None
        c; None where nothing is carried.
    added : float or Tensor of shape (unit,)
        a.
    """

    weight: Tensor
    bias: Tensor | None
    drive: Tensor | None
    function: Function
    rectified: bool
    carried: Share | None
    added: Share

    def bare(self) -> LeakyForm:
        """Return the numbers without the tensors that are given apart, so that these can be freed."""
        return replace(self, weight=self.weight.new_empty(0), bias=None, drive=None)


def why_not_leaky(run: Run) -> str | None:
    """Return what of a run is not that of a dense leaky network, or needs the block to be called; None if nothing."""
    block = run.shared
    why = why_not_shared_steps(run)
    if block is None or why is not None:
        return why
    return _why_not_block(block) or why_steps_must_be_called(run, *block.parameters()) or _why_not_shapes(run, block)


def leaky_form(run: Run) -> LeakyForm:
    """Return the numbers of a run that `why_not_leaky` says nothing against; weights are constrained here, once."""
    block = run.shared
    assert block is not None  # why_not_leaky
    transform = block.transform
    assert isinstance(transform, Dense | ExcitatoryInhibitory)
    layer = _recurrent(transform)
    drive = run.drive
    if drive is not None and transform.input is not None:
        drive = transform.input(drive)
    function = activation_name(transform.activation) if transform.final_activation else "identity"
    assert function is not None
    carried, added = shares(block.shortcut, run.start)
    return LeakyForm(
        weight=layer.weight,
        bias=layer.bias if isinstance(transform, Dense) else transform.bias,
        drive=drive,
        function=function,
        rectified=isinstance(transform, ExcitatoryInhibitory),
        carried=carried,
        added=added,
    )


def plain_steps(
    form: LeakyForm, inputs: list[Tensor | None], steps: int, readout: Readout
) -> tuple[Tensor | None, Tensor]:
    """Return (wanted states, last state) by operations that autograd knows: for second gradients, and to check."""
    weight, bias, drive, start = inputs
    state, states = cast("Tensor", start), []
    for k in range(steps):
        current = (torch.relu(state) if form.rectified else state) @ cast("Tensor", weight).t()
        for more in (bias, drive[:, k] if drive is not None and drive.ndim == 3 else drive):
            current = current if more is None else current + more
        rate = current if form.function == "identity" else getattr(torch, form.function)(current)
        state = form.added * rate if form.carried is None else form.carried * state + form.added * rate
        states.append(state)
    if readout == "all":
        return torch.stack(states, dim=1), state
    return (None if readout == "last" else states[readout - 1]), state


def activation_name(activation: object) -> Function | None:
    """Return the name of an activation, a function or a module; None where it is another."""
    if isinstance(activation, nn.Module):
        return _MODULES.get(type(activation))
    # by identity: not every callable has a hash
    return next((name for function, name in _FUNCTIONS.items() if function is activation), None)


def is_linear(layer: nn.Module) -> bool:
    """Return whether a layer computes W x + b, whatever constrains its W."""
    return isinstance(layer, nn.Linear) and type(layer).forward is nn.Linear.forward


def _recurrent(transform: Dense | ExcitatoryInhibitory) -> nn.Linear:
    layer = transform.layers[0] if isinstance(transform, Dense) else transform.recurrent
    assert isinstance(layer, nn.Linear)
    return layer


def _why_not_block(block: Block) -> str | None:
    if type(block) is not Block:
        return f"a {type(block).__name__}"
    if block.activation is not None:
        return "an activation after the sum"
    why = why_not_shares(block.shortcut)
    if why is not None:
        return why
    transform = block.transform
    if type(transform) not in (Dense, ExcitatoryInhibitory):
        return f"the transform {type(transform).__name__}"
    assert isinstance(transform, Dense | ExcitatoryInhibitory)
    return _why_not_transform(transform)


def _why_not_transform(transform: Dense | ExcitatoryInhibitory) -> str | None:
    if transform.state_dims != 1:
        return "a convolution"
    layers = list(transform.layers) if isinstance(transform, Dense) else [transform.recurrent]
    if len(layers) > 1:
        return f"a transform of {len(layers)} layers"
    if len(transform.norms) if isinstance(transform, Dense) else transform.norm is not None:
        return "normalisation"
    if not all(is_linear(layer) for layer in (*layers, transform.input) if layer is not None):
        return "a layer that is not torch's Linear"
    if transform.final_activation and activation_name(transform.activation) is None:
        return "an activation other than tanh or ReLU"
    return None


def _why_not_shapes(run: Run, block: Block) -> str | None:
    """Return what shape is wrong; the plain loop raises the error."""
    transform = block.transform
    assert isinstance(transform, Dense | ExcitatoryInhibitory)
    units, inputs = transform.in_channels, transform.input
    if run.start.ndim != 2 or run.start.shape[1] != units:
        return f"a state of shape {tuple(run.start.shape)}"
    if not run.start.is_contiguous():
        return "a first state that is not contiguous"  # all states would be laid out, and rounded, as it is
    if run.drive is not None:
        width = units if inputs is None else inputs.in_features
        if run.drive.shape[0] != len(run.start) or run.drive.shape[-1] != width:
            return f"a drive of shape {tuple(run.drive.shape)}"
    return None
