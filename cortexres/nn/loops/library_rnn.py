"""The steps of an Elman network by the kernels of `torch.nn.RNN`, which are cuDNN's on a GPU."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cortexres.nn.block import Block
from cortexres.nn.loops.leaky_form import activation_name, why_not_leaky
from cortexres.nn.loops.run import Output, Run
from cortexres.nn.shortcuts import NoShortcut, SoftAssignment
from cortexres.nn.transforms.dense import Dense


@dataclass(frozen=True)
class LibraryRNN:
    """A dense network with tanh or ReLU that carries nothing beside its activation, by torch's own kernels.

    The weights are the block's own, not copies; those that are constrained stay so. A drive that stays the same is
    repeated for the library, and where it has no weights of its own, it goes through the identity. On a GPU, cuDNN has
    no gradients of gradients, and float32 is refused as long as cuDNN may round it to TF32, as it does by default:
    set ``torch.backends.cudnn.allow_tf32 = False``.
    """

    def refusal(self, run: Run) -> str | None:
        """Return what of a run it cannot do; None where it can do all."""
        why = why_not_leaky(run)
        if why is not None or run.shared is None:
            return why
        why = why_not_elman(run.shared)
        if why is not None:
            return why
        if not len(run.start):
            return "an empty batch"
        if run.start.is_cuda and run.start.dtype == torch.float32 and _may_round():
            return "float32 that cuDNN may round to TF32 (torch.backends.cudnn.allow_tf32)"
        return None

    def __call__(self, run: Run) -> Output:
        """Return (output, last state)."""
        run.check_reached()
        assert run.shared is not None  # refusal
        dense = run.shared.transform
        assert isinstance(dense, Dense)
        states, last = _rnn(dense, run)
        if run.readout == "last":
            return last, last
        return (states if run.readout == "all" else states[:, run.readout - 1]).contiguous(), last


def why_not_elman(block: Block) -> str | None:
    """Return what `torch.nn.RNN` does not have of a block; None where it has all."""
    shortcut = block.shortcut
    if isinstance(shortcut, SoftAssignment) and shortcut.leaks:
        return f"a leak, SoftAssignment({shortcut.extra_repr()})"
    if not isinstance(shortcut, NoShortcut | SoftAssignment):
        return f"a skip, {type(shortcut).__name__}"
    if block.activation is not None:
        return "an activation after the sum"
    dense = block.transform
    if not isinstance(dense, Dense):
        return f"the transform {type(dense).__name__}"
    if len(dense.layers) > 1:
        return f"a transform of {len(dense.layers)} layers"
    if len(dense.norms):
        return "normalisation"
    if not dense.final_activation or activation_name(dense.activation) is None:
        return "an activation other than tanh or relu"
    return None


def _may_round() -> bool:
    return bool(torch.backends.cudnn.rnn.fp32_precision == "tf32")  # type: ignore[attr-defined]


def _rnn(dense: Dense, run: Run) -> tuple[Tensor, Tensor]:
    """Return all states, (batch, time, unit), and the last."""
    layer = dense.layers[0]
    assert isinstance(layer, nn.Linear)
    weight, bias = layer.weight, layer.bias  # one reading: a constrained weight is computed
    frames, entry = _input(run, weight, dense.input)
    biases = [] if bias is None else [bias, torch.zeros_like(bias)]
    steps: Any = torch._VF.rnn_tanh if activation_name(dense.activation) == "tanh" else torch._VF.rnn_relu
    with warnings.catch_warnings():
        # of weights that do not lie one behind the other: cuDNN then has copies made, once a run
        warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous chunk")
        states, last = steps(
            frames,
            run.start[None].contiguous(),
            [entry, weight, *biases],
            bool(biases),
            1,  # layer
            0.0,  # dropout
            torch.is_grad_enabled(),  # cuDNN keeps what its backward pass needs where it is told to train
            False,  # bidirectional
            True,  # batch first
        )
    return states, last[0]


def _input(run: Run, weight: Tensor, own: nn.Module | None) -> tuple[Tensor, Tensor]:
    """Return the input of every step, (batch, time, input), and its weights, (unit, input)."""
    drive = run.drive
    if drive is None:  # of width 1, since no library has an input of width 0
        return run.start.new_zeros(len(run.start), run.steps, 1), weight.new_zeros(len(weight), 1)
    frames = drive[:, : run.steps] if run.movie else drive[:, None].expand(-1, run.steps, -1)
    if isinstance(own, nn.Linear):
        return frames, own.weight
    return frames, torch.eye(len(weight), dtype=weight.dtype, device=weight.device)
