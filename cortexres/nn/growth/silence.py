"""Residual functions that add nothing yet: their last layer is zero, and learns first."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from cortexres.errors import ArgumentError
from cortexres.nn import transforms
from cortexres.nn.norms import StepNorm
from cortexres.nn.transforms.layer import Layer


@torch.no_grad()
def silence_(transform: nn.Module) -> nn.Module:
    """Set what comes last in a residual function to zero in place, so that F(h) = 0 for every h, and return it.

    Last is the normalisation where one follows the last layer (its scale and shift), else the last layer; in a sum
    of branches, that of every branch. The other weights stay as they are: the gradient reaches the zeros at once, and
    the other layers as soon as these have moved.

    Parameters
    ----------
    transform : Module
        One of `cortexres.nn.transforms`.

    Raises
    ------
    ArgumentError
        If the residual function is not of this package, its last normalisation has no scale, or it ends in an
        activation that is not 0 at 0, or flat there (relu: no gradient would reach the zeros).

    References
    ----------
    Goyal et al. (2017), Accurate, large minibatch SGD, arXiv:1706.02677, section 5.1
    Zhang, Dauphin & Ma (2019), Fixup initialization, arXiv:1901.09321
    """
    for part in _last(transform):
        if isinstance(part, StepNorm):
            _silence_norm(part)
        else:
            _silence_layer(part)
    return transform


def _last(transform: nn.Module) -> list[nn.Module]:
    """The modules whose zeros make a residual function zero."""
    match transform:
        case transforms.MultiResidual():
            branches = [part for branch in transform.branches for part in _last(branch)]
            return branches if transform.norm is None else [transform.norm]
        case transforms.SqueezeExcitation():
            return _last(transform.transform)
        case transforms.Dense():
            _check_rest(transform.activation, used=transform.final_activation)
            return [transform.norms[-1] if len(transform.norms) else transform.layers[-1]]
        case transforms.ExcitatoryInhibitory():
            _check_rest(transform.activation, used=transform.final_activation)
            return [transform.norm] if transform.norm is not None else [transform]
        case transforms.PreactivatedDense():
            return [transform.layers[-1]]
        case transforms.LooksLinear():
            return [transform.layer]
        case transforms.Inception():
            return [transform.join]
        case transforms.Dilated():
            return [_of_layer(transform.last)]
        case transforms.Convolutional() | transforms.Bottleneck() | transforms.Grouped():
            return [_of_layer(cast("Layer", transform.layers[-1]))]
        case _:
            raise ArgumentError(
                f"got the residual function {type(transform).__name__}, expected one of cortexres.nn.transforms: which "
                "layer of it comes last is not known; insert it with by='scale'"
            )


def _of_layer(layer: Layer) -> nn.Module:
    return layer.norm if layer.order == "post" and layer.norm is not None else layer.convolution


def _check_rest(activation: Callable[[Tensor], Tensor], *, used: bool) -> None:
    """Raise where a residual function ends in an activation that zeros do not silence, or silence for good."""
    if not used:
        return
    with torch.enable_grad():
        rest = torch.zeros(1, requires_grad=True)
        (slope,) = torch.autograd.grad((value := activation(rest)).sum(), rest)
    if bool(value != 0) or bool(slope == 0):
        raise ArgumentError(
            f"got a residual function that ends in an activation of value {float(value.detach()):g} and slope "
            f"{float(slope):g} at 0, expected value 0 and a slope, as of tanh: zeros would not silence it, or never "
            "learn; insert it with by='scale'"
        )


def _silence_norm(norm: StepNorm) -> None:
    if norm.weight is None:
        raise ArgumentError(
            "got a residual function whose last normalisation has no scale, expected affine='per_step' or 'shared': "
            "nothing silences it; insert it with by='scale'"
        )
    norm.weight.zero_()
    if norm.bias is not None:
        norm.bias.zero_()


def _silence_layer(layer: nn.Module) -> None:
    """Set the weight and the bias of a layer to 0; constrained weights are assigned, as their raw values say less."""
    if isinstance(layer, transforms.ExcitatoryInhibitory):
        weighted: nn.Module = layer.recurrent
    else:
        weighted = layer
    if parametrize.is_parametrized(weighted, "weight"):
        weighted.weight = torch.zeros_like(cast("Tensor", weighted.weight))
    else:
        weighted.get_parameter("weight").zero_()
    if layer.bias is not None:
        layer.get_parameter("bias").zero_()
