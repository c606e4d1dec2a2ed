"""The step of convolutional blocks, a chain of operations on maps beside what is carried, recognised in a block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from cortexres.nn.block import Block
from cortexres.nn.loops.leaky_form import activation_name
from cortexres.nn.loops.map_operations import Activation, Bias, Convolution, Entering, Normalisation, Operation
from cortexres.nn.loops.overseen import why_not_shared_steps, why_steps_must_be_called
from cortexres.nn.loops.run import Run
from cortexres.nn.loops.shares import Share, shares, why_not_shares
from cortexres.nn.norms import StepNorm
from cortexres.nn.transforms.convolutional import Convolutional
from cortexres.nn.transforms.excitatory_inhibitory import ExcitatoryInhibitory
from cortexres.nn.transforms.layer import Layer


@dataclass(frozen=True, kw_only=True, eq=False)
class MapForm:
    """``h' = finish(c h + a u + a F(h))``, or with u inside F.

    Parameters
    ----------
    operations : tuple of Operation
        F, in order; a convolution comes first or after an activation.
    carried : float, Tensor of shape (channel, 1, 1) or None
        c; None where nothing is carried.
    added : float or Tensor of shape (channel, 1, 1)
        a.
    beside : bool
        Whether the drive enters beside F, not inside.
    finish : Activation, optional
        Of the sum.
    """

    operations: tuple[Operation, ...]
    carried: Share | None
    added: Share
    beside: bool
    finish: Activation | None


def why_not_maps(run: Run) -> str | None:
    """Return what of a run is not a shared block of convolutions, or needs it to be called; None if nothing."""
    block = run.shared
    why = why_not_shared_steps(run)
    if block is None or why is not None:
        return why
    if run.start.ndim != 4 or not run.start.numel():
        return f"a state of shape {tuple(run.start.shape)}"
    return (
        _why_not_block(block, run) or why_steps_must_be_called(run, *block.parameters()) or _why_not_shapes(run, block)
    )


def map_form(run: Run) -> tuple[MapForm, list[Tensor | None], Tensor | None]:
    """Return (form, parameters, drive) of a run that `why_not_maps` says nothing against.

    Weights are constrained here, once; the drive has gone through the weights of the input.
    """
    block = run.shared
    assert block is not None  # why_not_maps
    transform, chain, drive = block.transform, _Chain(), run.drive
    if isinstance(transform, ExcitatoryInhibitory):
        drive = _entered(transform.input, run)
        chain.of_excitatory_inhibitory(transform, driven=drive is not None)
    else:
        assert isinstance(transform, Convolutional)
        for layer in transform.layers:
            assert isinstance(layer, Layer)
            chain.of_layer(layer)
    carried, added = map(_over_positions, shares(block.shortcut, run.start))
    assert added is not None  # something always is
    form = MapForm(
        operations=tuple(chain.operations),
        carried=carried,
        added=added,
        beside=drive is not None and not transform.takes_drive,
        finish=None if block.activation is None else _activation(block.activation),
    )
    return form, chain.values, drive


@dataclass
class _Chain:
    """Operations in order, and the parameters that they find by position."""

    operations: list[Operation] = field(default_factory=list)
    values: list[Tensor | None] = field(default_factory=list)

    def of_layer(self, layer: Layer) -> None:
        """Add what a layer does."""
        if layer.order == "post":
            self._convolution(layer.convolution)
        self._norm(layer.norm)
        if layer.activation is not None:
            self.operations.append(_activation(layer.activation))
        if layer.order == "pre":
            self._convolution(layer.convolution)

    def of_excitatory_inhibitory(self, transform: ExcitatoryInhibitory, *, driven: bool) -> None:
        """Add what a layer of excitatory and inhibitory maps does."""
        self.operations.append(Activation("relu"))
        self._convolution(transform.recurrent)
        if driven:
            self.operations.append(Entering())
        self._norm(transform.norm)
        if transform.bias is not None:
            self.operations.append(Bias(self._value(transform.bias)))
        if transform.final_activation:
            self.operations.append(_activation(transform.activation))

    def _convolution(self, layer: nn.Module) -> None:
        assert isinstance(layer, nn.Conv2d)
        assert isinstance(layer.padding, tuple)
        bias = None if layer.bias is None else self._value(layer.bias)
        self.operations.append(Convolution(self._value(layer.weight), bias, (layer.padding[0], layer.padding[1])))

    def _norm(self, norm: nn.Module | None) -> None:
        if norm is not None:
            assert isinstance(norm, StepNorm)
            own = [None if value is None else self._value(value) for value in (norm.weight, norm.bias)]
            self.operations.append(Normalisation(norm, *own))

    def _value(self, value: Tensor) -> int:
        self.values.append(value)
        return len(self.values) - 1


def _entered(layer: nn.Module | None, run: Run) -> Tensor | None:
    """Return the drive through the weights of the input.

    Frames go through one by one: torch takes another way for larger batches, which rounds otherwise.
    """
    drive = run.drive
    if drive is None or layer is None:
        return drive
    if run.movie:
        return torch.stack([layer(frame) for frame in drive[:, : run.steps].unbind(1)], dim=1)
    entered: Tensor = layer(drive)
    return entered


def _activation(activation: object) -> Activation:
    name = activation_name(activation)
    assert name is not None
    return Activation(name)


def _over_positions(share: Share | None) -> Share | None:
    """Return a share with a number for each channel as it is multiplied with maps."""
    return share.view(-1, 1, 1) if isinstance(share, Tensor) else share


def _why_not_block(block: Block, run: Run) -> str | None:
    if type(block) is not Block:
        return f"a {type(block).__name__}"
    if block.activation is not None and activation_name(block.activation) is None:
        return "an activation after the sum other than tanh or ReLU"
    why = why_not_shares(block.shortcut)
    if why is not None:
        return why
    transform = block.transform
    if isinstance(transform, ExcitatoryInhibitory) and type(transform) is ExcitatoryInhibitory:
        return _why_not_maps_under_dale(transform, run)
    if isinstance(transform, Convolutional) and type(transform) is Convolutional:
        return _why_not_two_convolutions(transform, run)
    return f"the transform {type(transform).__name__}"


def _why_not_maps_under_dale(transform: ExcitatoryInhibitory, run: Run) -> str | None:
    if transform.state_dims != 3:
        return "a transform of dense states"
    if transform.final_activation and activation_name(transform.activation) is None:
        return "an activation other than tanh or ReLU"
    layers = [layer for layer in (transform.recurrent, transform.input) if layer is not None]
    return _why_not_layers(layers, [transform.norm], run)


def _why_not_two_convolutions(transform: Convolutional, run: Run) -> str | None:
    if transform.stride != 1 or transform.out_channels != transform.in_channels:
        return "a block that changes the shape of the state"
    layers = list(transform.layers)
    if not all(type(layer) is Layer for layer in layers):
        return "layers of another class"
    own = [layer for layer in layers if isinstance(layer, Layer)]
    if any(layer.activation is not None and activation_name(layer.activation) is None for layer in own):
        return "an activation other than tanh or ReLU"
    if any(layer.activation is None for layer in own[:-1]):
        return "a layer without activation before another"
    return _why_not_layers([layer.convolution for layer in own], [layer.norm for layer in own], run)


def _why_not_layers(layers: Sequence[nn.Module], norms: Sequence[nn.Module | None], run: Run) -> str | None:
    if not all(_is_plain_convolution(layer) for layer in layers):
        return "a layer that is not torch's Conv2d of stride 1, in one group, with zeros around"
    return next((why for norm in norms if norm is not None and (why := _why_not_norm(norm, run))), None)


def _is_plain_convolution(layer: nn.Module) -> bool:
    return (
        isinstance(layer, nn.Conv2d)
        and type(layer).forward is nn.Conv2d.forward
        and layer.padding_mode == "zeros"
        and isinstance(layer.padding, tuple)
        and layer.stride == layer.dilation == (1, 1)
        and layer.groups == 1
    )


def _why_not_norm(norm: nn.Module, run: Run) -> str | None:
    """Return what of a norm is not done here, or is an error that the norm itself raises in words."""
    if type(norm) is not StepNorm:
        return f"the norm {type(norm).__name__}"
    recipe, until = norm.recipe, run.first_step + run.steps
    if recipe.kind == "rms":
        return "a norm of kind 'rms'"
    batch = recipe.kind == "batch"
    per_step = recipe.affine == "per_step" or (batch and recipe.statistics == "per_step")
    if per_step and until > recipe.steps and recipe.beyond == "raise":
        return f"{until} steps with a norm of {recipe.steps}"
    if batch and not norm.training and recipe.statistics == "shared" and recipe.shared_in_eval != "allow":
        return "batch statistics that steps share"
    if batch and norm.training and len(run.start) * run.start[0, 0].numel() == 1:
        return "batch statistics of one number"
    return None


def _why_not_shapes(run: Run, block: Block) -> str | None:
    """Return what shape is wrong; the plain loop raises the error."""
    transform, state, drive = block.transform, run.start, run.drive
    channels = transform.in_channels
    if state.shape[1] != channels:
        return f"a state of shape {tuple(state.shape)}"
    if drive is not None:
        own = getattr(transform, "input", None)
        wanted = (len(state), channels if own is None else own.in_channels, *state.shape[2:])
        if (drive.shape[0], *drive.shape[-3:]) != wanted:
            return f"a drive of shape {tuple(drive.shape)}"
    return None
