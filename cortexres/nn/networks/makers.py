"""The parts of a defined network into modules: each kind has its maker here, and nothing else knows the kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cortexres.definitions import Network
from cortexres.nn import shortcuts, transforms
from cortexres.nn.block import Block
from cortexres.nn.networks.heads import PooledHead
from cortexres.nn.networks.stems import ConvolutionalStem, LinearStem
from cortexres.nn.norms import Norm
from cortexres.nn.transforms.excitatory_inhibitory import ExcitatoryInhibitory
from cortexres.nn.transforms.preactivated_dense import PreactivatedDense


@dataclass(frozen=True)
class Making:
    """A definition, and where and how its modules are made: what every maker is given.

    Parameters
    ----------
    network : Network
        The definition.
    rng : numpy Generator, optional
        Where initial weights come from; torch's global generator where it is None.
    device, dtype : optional
        Of the parameters.
    """

    network: Network
    rng: np.random.Generator | None
    device: torch.device | str | None
    dtype: torch.dtype | None

    @property
    def place(self) -> dict[str, Any]:
        """Return the keywords of every constructor that makes parameters."""
        return {"rng": self.rng, "device": self.device, "dtype": self.dtype}

    @property
    def activation(self) -> Callable[[Tensor], Tensor]:
        """Return the elementwise function of the network."""
        return ACTIVATIONS[self.network.activation]

    def norm(self, steps: int = 1) -> Norm | None:
        """Return the recipe of the normalisation of something that is applied so many times."""
        if self.network.norm.kind == "none":
            return None
        options: dict[str, Any] = {**self.network.norm.options, "kind": self.network.norm.kind, "steps": steps}
        return Norm(**options)

    def around(self, *, order: str, steps: int = 1) -> dict[str, Any]:
        """Return normalisation and activation of what stands outside of F in networks of one order only."""
        if self.network.order != order:
            return {"norm": None, "activation": None}
        return {"norm": self.norm(steps), "activation": self.activation}


@dataclass(frozen=True)
class Shape:
    """What a block is to do: from so many channels to so many, at a stride, in so many steps."""

    before: int
    after: int
    stride: int = 1
    steps: int = 1

    @property
    def changes(self) -> bool:
        """Return whether the state after has another shape than the state before."""
        return self.before != self.after or self.stride != 1


def stem(making: Making) -> nn.Module:
    """Return the stem; in pre-activation networks the first block normalises and activates."""
    network = making.network
    options: dict[str, Any] = {**network.stem.options, **making.around(order="post"), **making.place}
    return _STEMS[network.stem.kind](network.channels, options.pop("width"), **options)


def head(making: Making) -> nn.Module:
    """Return the readout; in pre-activation networks it normalises and activates."""
    network = making.network
    return PooledHead(network.widths[-1], network.classes, **making.around(order="pre"), **making.place)


def block(making: Making, shape: Shape) -> Block:
    """Return a block: F, what goes past it, and in networks of post order the activation of the sum.

    An F that is a rate, its last layer's activation, has been through it: a gated or leaky sum of rates stays one.
    """
    network = making.network
    transform = _TRANSFORMS[network.transform.kind](making, shape)
    kind = network.transition if shape.changes else network.shortcut.kind
    shortcut = _SHORTCUTS[kind](making, shape)
    rate = network.transform.options.get("final_activation", network.transform.kind == "excitatory_inhibitory")
    return Block(transform, shortcut, activation=None if rate else making.around(order="post")["activation"])


# Transforms


def _of_maps(making: Making, shape: Shape) -> dict[str, Any]:
    """Return what all transforms of maps take."""
    return {
        "channels": shape.before,
        "out_channels": shape.after,
        "stride": shape.stride,
        "order": making.network.order,
        "norm": making.norm(shape.steps),
        "activation": making.activation,
        **making.place,
    }


def _options(making: Making) -> dict[str, Any]:
    return dict(making.network.transform.options)


def _dense(making: Making, shape: Shape) -> nn.Module:
    norm, options = making.norm(shape.steps), _options(making)
    common = {"norm": norm, "activation": making.activation, "layers": options["layers"], **making.place}
    if making.network.order == "pre":
        return PreactivatedDense(shape.after, **common)
    return transforms.Dense(
        shape.after, bias=norm is None, final_activation=options["final_activation"], **common
    )


def _excitatory_inhibitory(making: Making, shape: Shape) -> nn.Module:
    options = _options(making)
    inhibitory = round(options["inhibitory"] * shape.after)
    return ExcitatoryInhibitory(
        shape.after - inhibitory,
        inhibitory,
        kernel_size=None if making.network.flat else 3,
        activation=making.activation,
        norm=making.norm(shape.steps),
        **making.place,
    )


def _basic(making: Making, shape: Shape) -> nn.Module:
    return transforms.Convolutional(**_of_maps(making, shape), **_options(making))


def _bottleneck(making: Making, shape: Shape) -> nn.Module:
    width = shape.after // _options(making)["expansion"]
    return transforms.Bottleneck(**_of_maps(making, shape), width=width)


def _grouped(making: Making, shape: Shape) -> nn.Module:
    options = _options(making)
    # branches widen as the stages do
    base_width = options["base_width"] * shape.after // making.network.widths[0]
    return transforms.Grouped(
        **_of_maps(making, shape), cardinality=options["cardinality"], base_width=base_width
    )


def _multi_residual(making: Making, shape: Shape) -> nn.Module:
    return transforms.MultiResidual(
        [transforms.Convolutional(**_of_maps(making, shape)) for _ in range(_options(making)["branches"])]
    )


def _squeeze_excitation(making: Making, shape: Shape) -> nn.Module:
    inner = transforms.Convolutional(**_of_maps(making, shape))
    return transforms.SqueezeExcitation(inner, **_options(making), **making.place)


def _dilated(making: Making, shape: Shape) -> nn.Module:
    return transforms.Dilated(**_of_maps(making, shape))


def _inception(making: Making, shape: Shape) -> nn.Module:
    return transforms.Inception(**_of_maps(making, shape), width=shape.after // _options(making)["share"])


# Shortcuts


def _state_dims(making: Making) -> int:
    return 1 if making.network.flat else 3


def _zero_padding(making: Making, shape: Shape) -> nn.Module:
    return shortcuts.ZeroPadding(shape.before, shape.after, stride=shape.stride)


def _projection(making: Making, shape: Shape) -> nn.Module:
    return shortcuts.Projection(
        shape.before,
        shape.after,
        stride=shape.stride,
        state_dims=_state_dims(making),
        # in pre-activation networks nothing but a linear map stands between a state and the next
        norm=making.around(order="post", steps=shape.steps)["norm"],
        **making.place,
    )


def _linear(making: Making, shape: Shape) -> nn.Module:
    return shortcuts.Linear(
        shape.after, state_dims=_state_dims(making), device=making.device, dtype=making.dtype
    )


def _highway(making: Making, shape: Shape) -> nn.Module:
    options: dict[str, Any] = dict(making.network.shortcut.options)
    return shortcuts.Highway(shape.after, state_dims=_state_dims(making), **options, **making.place)


def _scaled(making: Making, shape: Shape) -> nn.Module:
    return shortcuts.Scaled(float(making.network.shortcut.options["scale"]))


def _soft_assignment(making: Making, shape: Shape) -> nn.Module:
    return shortcuts.SoftAssignment(float(making.network.shortcut.options["gamma"]))


def _learned_scale(making: Making, shape: Shape) -> nn.Module:
    return shortcuts.LearnedScale(shape.after, device=making.device, dtype=making.dtype)


def unchanged(values: Tensor) -> Tensor:
    """Return the values: no activation."""
    return values


ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "softplus": functional.softplus,
    "identity": unchanged,
}

_STEMS: Mapping[str, Callable[..., nn.Module]] = {"convolution": ConvolutionalStem, "linear": LinearStem}

_Maker = Callable[[Making, Shape], nn.Module]

_TRANSFORMS: Mapping[str, _Maker] = {
    "dense": _dense,
    "basic": _basic,
    "bottleneck": _bottleneck,
    "grouped": _grouped,
    "multi_residual": _multi_residual,
    "squeeze_excitation": _squeeze_excitation,
    "dilated": _dilated,
    "inception": _inception,
    "excitatory_inhibitory": _excitatory_inhibitory,
}

# of blocks that keep the shape, and of those that change it
_SHORTCUTS: Mapping[str, _Maker] = {
    "identity": lambda making, shape: shortcuts.Identity(),
    "none": lambda making, shape: shortcuts.NoShortcut(),
    "zero_padding": _zero_padding,
    "projection": _projection,
    "linear": _linear,
    "highway": _highway,
    "scaled": _scaled,
    "soft_assignment": _soft_assignment,
    "learned_scale": _learned_scale,
}
