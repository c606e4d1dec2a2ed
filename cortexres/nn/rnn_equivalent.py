"""Recurrent networks as `torch.nn.RNN`, which runs on cuDNN, and back, wherever both compute the same."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils import parametrize

from cortexres.errors import ArgumentError
from cortexres.nn.block import Block
from cortexres.nn.loops.leaky_form import activation_name
from cortexres.nn.loops.library_rnn import why_not_elman
from cortexres.nn.recurrent import Recurrent
from cortexres.nn.shortcuts import NoShortcut
from cortexres.nn.transforms.dense import Dense

_ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu}


def to_rnn(recurrent: Recurrent) -> nn.RNN:
    """Return the `torch.nn.RNN` (batch_first) that computes the same as a tied network without memory beside its state.

    Its output is that of the network for a movie (batch, time, ...). A drive that stays the same is repeated for it,
    ``x[:, None].expand(-1, steps, -1)``; its states have a dim more, (1, batch, unit). Where the drive has no weights
    of its own, ``weight_ih`` is the identity, which training may change. Of torch's two biases, which are added, the
    second is 0. Weights are copies.

    Parameters
    ----------
    recurrent : Recurrent
        Tied, of a `Dense` transform of one layer with tanh or ReLU, with `NoShortcut` or ``SoftAssignment(1)``.

    Raises
    ------
    ArgumentError
        If torch's RNN cannot compute the same, with the reason. A weight under a constraint, such as Dale's law, is
        refused too: the RNN would start equal, and lose the constraint at the first step of training. To lose it on
        purpose, take it off with `torch.nn.utils.parametrize.remove_parametrizations`.
    """
    reason = _why_not(recurrent)
    if reason is not None:
        raise ArgumentError(f"got {reason}, which torch.nn.RNN does not have: keep the Recurrent network")
    dense: Dense = recurrent.block.transform  # type: ignore[assignment]
    own = dense.state_dict()
    weight, bias = own["layers.0.weight"], own.get("layers.0.bias")
    entry = own.get("input.weight", torch.eye(len(weight)))
    rnn = nn.RNN(
        entry.shape[1],
        len(weight),
        nonlinearity=activation_name(dense.activation) or "",
        bias=bias is not None,
        batch_first=True,
        device="meta",  # nothing is drawn
        dtype=weight.dtype,
    ).to_empty(device=weight.device)
    weights = {"weight_hh_l0": weight, "weight_ih_l0": entry}
    if bias is not None:
        weights |= {"bias_ih_l0": bias, "bias_hh_l0": torch.zeros_like(bias)}
    rnn.load_state_dict(weights)
    return rnn.train(recurrent.training)


def from_rnn(rnn: nn.RNN, *, steps: int = 1) -> Recurrent:
    """Return the tied network, a `Dense` transform with `NoShortcut`, that computes the same as a `torch.nn.RNN`.

    It takes movies (batch, time, input), whatever the RNN's `batch_first`, and states without their first dim,
    (batch, unit). Its one bias is the sum of torch's two. Weights are copies; `to_rnn` is the inverse.

    Parameters
    ----------
    rnn : torch.nn.RNN
        Of one layer and one direction.
    steps : int
        Number of steps for an input that stays the same; a movie has one per frame.

    Raises
    ------
    ArgumentError
        If `rnn` is not an RNN, has several layers or both directions, or weights under a constraint.
    """
    if not isinstance(rnn, nn.RNN):
        raise ArgumentError(f"got {type(rnn).__name__}, expected a torch.nn.RNN: gates have no equal here")
    if rnn.num_layers > 1:
        between = f" with dropout {rnn.dropout:g} between them" if rnn.dropout else ""
        raise ArgumentError(f"got an RNN of {rnn.num_layers} layers{between}, expected one: a block has one state")
    if rnn.bidirectional:
        raise ArgumentError("got a bidirectional RNN, expected one direction: steps go forward in time")
    if parametrize.is_parametrized(rnn):
        raise ArgumentError("got an RNN whose weights are parametrized, expected plain ones: the copy would lose that")
    own = {name.removesuffix("_l0"): value.detach().clone() for name, value in rnn.named_parameters()}
    dense = Dense(
        rnn.hidden_size,
        input_size=rnn.input_size,
        activation=_ACTIVATIONS[rnn.nonlinearity],
        bias=rnn.bias,
        device="meta",  # nothing is drawn
    )
    weights = {"layers.0.weight": own["weight_hh"], "input.weight": own["weight_ih"]}
    if rnn.bias:
        weights["layers.0.bias"] = own["bias_ih"] + own["bias_hh"]
    dense.load_state_dict(weights, assign=True)
    return Recurrent(Block(dense, NoShortcut()), steps=steps).train(rnn.training)


def _why_not(recurrent: Recurrent) -> str | None:
    """Return what `torch.nn.RNN` does not have of a network; None where it has all."""
    if not recurrent.tied:
        return "an untied network (Recurrent.from_untied ties it)"
    if recurrent.injection != "every":
        return "an input that enters at the first step only"
    if recurrent.readout != "all":
        return f"readout={recurrent.readout!r}"
    if recurrent.noise:
        return "noise"
    if any(parametrize.is_parametrized(module) for module in recurrent.block.modules()):
        return "a constrained weight, such as one under Dale's law"
    return why_not_elman(recurrent.block)
