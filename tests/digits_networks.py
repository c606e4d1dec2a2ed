"""The digits networks of the reference figures: 18 or 54 blocks of two layers of 64 units, in pre-activation order."""

from __future__ import annotations

from typing import Literal

import torch
import xarray as xr
from torch import Tensor, nn

from cortexres.nn import Block, Chain, Norm, NoShortcut, Recurrent, train
from cortexres.nn.initial import Rng, empty_linear, kaiming_, stream, zero_
from cortexres.nn.recipes import cosine, sgd
from cortexres.stimuli import digits

WIDTH = 64
Kind = Literal["untied", "tied", "tied_shared", "plain"]


class PreActivation(nn.Module):
    """Two layers, each norm - relu - linear, as in the second ResNet paper."""

    state_dims = stride = 1
    takes_drive = False

    def __init__(self, norm: Norm, rng: Rng) -> None:
        super().__init__()
        self.in_channels = self.out_channels = WIDTH
        self.norms = nn.ModuleList(norm.build(WIDTH) for _ in range(2))
        self.layers = nn.ModuleList(_he(WIDTH, rng, bias=False) for _ in range(2))

    def forward(self, state: Tensor, drive: Tensor | None = None, step: int = 0) -> Tensor:
        for norm, layer in zip(self.norms, self.layers, strict=True):
            state = layer(torch.relu(norm(state, step)))
        return state

    def initial_state(self, drive: Tensor) -> Tensor:
        return torch.zeros_like(drive)


class DigitsNetwork(nn.Module):
    """Linear stem, blocks, and a linear readout of the normalised last state."""

    def __init__(self, kind: Kind, blocks: int = 18, *, rng: Rng = None) -> None:
        super().__init__()
        tied, shared, draw = kind.startswith("tied"), kind == "tied_shared", stream(rng)
        rows = {"statistics": "shared", "affine": "shared"} if shared else {}
        norm = Norm("batch", steps=blocks if tied else 1, **rows)
        shortcut = NoShortcut() if kind == "plain" else None
        made = [Block(PreActivation(norm, draw), shortcut) for _ in range(1 if tied else blocks)]
        self.stem = _he(64, draw)
        self.recurrent = Recurrent(made[0] if tied else made, steps=blocks, injection="first", readout="last")
        self.norm = Norm("batch").build(WIDTH)
        self.head = _he(10, draw)
        self.name = f"{kind}{blocks}"

    def forward(self, images: Tensor) -> Tensor:
        return self._read(self.recurrent(self._stem(images))[1])

    def chain(self) -> Chain:
        steps = self.recurrent.chain_steps(stage=0, name="blocks")
        return Chain(lambda images: self.recurrent.entered(self._stem(images)), steps, self._read)

    def _stem(self, images: Tensor) -> Tensor:
        return self.stem(images.flatten(1))

    def _read(self, state: Tensor) -> Tensor:
        return self.head(torch.relu(self.norm(state)))


def _he(n_outputs: int, rng: Rng, *, bias: bool = True) -> nn.Linear:
    layer = empty_linear(WIDTH, n_outputs, bias=bias)
    kaiming_(layer.weight, rng)
    zero_(layer.bias)
    return layer


def train_and_test_digits() -> tuple[xr.Dataset, xr.Dataset]:
    """Return 1,297 digits to train on and the other 500, the same for all seeds."""
    training = digits(1297, rng=0)
    return training, digits(500, rng=1, exclude=training["stimulus"])


def trained(kind: Kind, blocks: int = 18, *, seed: int, epochs: int = 40) -> DigitsNetwork:
    """Return a network that has learned the digits, in evaluation mode; seconds on one core."""
    network = DigitsNetwork(kind, blocks, rng=seed)
    train(
        network,
        train_and_test_digits()[0],
        epochs=epochs,
        learning_rate=0.1,
        batch_size=100,
        optimizer=sgd,
        schedule=cosine,
        max_gradient_norm=None,
        rng=seed,
        progress=False,
    )
    return network.eval()
