"""The networks whose loop is timed, each with its step written in bare torch on the same weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from cortexres import nn
from cortexres.nn.norms import Norm

GAIN = 0.7  # spectral radius of dense weights: below 1, so that a fixed point is reached and no state grows
GAMMA, SCALE, GROUPS = 0.1, 0.2, 4
MAPS = ("residual maps", "residual maps, group norm", "excitatory-inhibitory maps")
DENSE = ("leaky", "leaky movie", "Elman", "fixed point")
MOVIES = ("leaky movie", "Elman")  # a frame enters per step, and all states are returned


class Case(NamedTuple):
    """A network, how large it is, how long it runs, and what is asked of it."""

    kind: str
    units: int  # channels, of maps
    batch: int
    steps: int
    side: int = 0  # of maps
    dtype: torch.dtype = torch.float32
    readout: int = 0  # the step that is read instead of the last or all
    input_only: bool = False  # whether the input needs a gradient, and the parameters need none

    @property
    def until(self) -> int:
        """How many steps the gradient goes back through."""
        return self.readout or self.steps

    @property
    def name(self) -> str:
        """What it is called in tables."""
        size = f"C={self.units} {self.side}x{self.side}" if self.side else f"N={self.units}"
        kind = self.kind if self.dtype == torch.float32 else f"{self.kind}, {str(self.dtype).removeprefix('torch.')}"
        asked = f", read at step {self.readout}" if self.readout else ""
        asked += ", gradient of the input alone" if self.input_only else ""
        return f"{kind}, {size}, B={self.batch}, T={self.steps}{asked}"


class Made(NamedTuple):
    """A case on a device.

    ``step(state, what enters, weights)`` is one step in bare torch, ``weights()`` what it takes (made of the
    parameters once per run), ``entering()`` what enters: the same at every step or, for a movie, a list.
    """

    block: nn.Block
    x: Tensor
    parameters: list[Tensor]
    step: Callable[[Tensor, Tensor, tuple[Tensor, ...]], Tensor]
    weights: Callable[[], tuple[Tensor, ...]]
    entering: Callable[[], Tensor]
    movie: bool

    def network(self, case: Case, loop: nn.loops.Loop | None) -> nn.Recurrent:
        """Return the network, on these very weights, with a loop."""
        readout = case.readout or ("all" if self.movie else "last")
        return nn.Recurrent(self.block, steps=case.steps, readout=readout, loop=loop)


def made(case: Case, device: torch.device) -> Made:
    """Return the network of a case with its input, the same for everyone."""
    make = _maps if case.side else _dense
    found = make(case, device, {"rng": 0, "device": device, "dtype": case.dtype})
    if not case.input_only:
        return found
    found.block.requires_grad_(False)
    return found._replace(parameters=[found.x.requires_grad_()])


def _dense(case: Case, device: torch.device, options: dict[str, Any]) -> Made:
    movie, weighted, leaky = case.kind in MOVIES, case.kind == "Elman", case.kind.startswith("leaky")
    shortcut = nn.SoftAssignment(GAMMA) if leaky else nn.NoShortcut()
    transform = nn.Dense(case.units, input_size=case.units if weighted else None, **options)
    own = dict(transform.named_parameters())
    weight, bias = own["layers.0.weight"], own["layers.0.bias"]
    with torch.no_grad():
        weight.copy_(GAIN / case.units**0.5 * torch.randn(case.units, case.units, generator=_draw()))
    x = _noise((case.batch, case.steps, case.units) if movie else (case.batch, case.units), case, device)
    entering = (lambda: functional.linear(x, own["input.weight"])) if weighted else (lambda: x)
    return Made(
        nn.Block(transform, shortcut),
        x,
        [weight, bias, own["input.weight"]] if weighted else [weight, bias],
        _leaky if leaky else _elman,
        lambda: (weight, bias),
        entering,
        movie,
    )


def _leaky(h: Tensor, u: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
    return h + GAMMA * (torch.tanh(functional.linear(h, *weights) + u) - h)


def _elman(h: Tensor, u: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
    return torch.tanh(functional.linear(h, *weights) + u)


def _maps(case: Case, device: torch.device, options: dict[str, Any]) -> Made:
    x = _noise((case.batch, case.units, case.side, case.side), case, device)
    if case.kind == "excitatory-inhibitory maps":
        excitatory = max(1, round(0.8 * case.units))
        own = nn.ExcitatoryInhibitory(excitatory, case.units - excitatory, kernel_size=3, **options)
        assert own.bias is not None
        raw, bias = list(own.recurrent.parameters()), own.bias
        block = nn.Block(own, nn.SoftAssignment(GAMMA))
        return Made(
            block, x, [*raw, bias], _rate_maps, lambda: (own.recurrent.weight, bias), lambda: x, movie=False
        )
    grouped = "group norm" in case.kind
    # groups without a scale of their own, so that the bare step needs no more than the kernels
    norm = Norm("group", groups=GROUPS, affine="none") if grouped else None
    transform = nn.Convolutional(case.units, norm=norm, **options)
    parameters: list[Tensor] = list(transform.parameters())
    return Made(
        nn.Block(transform, nn.Scaled(SCALE)),
        x,
        parameters,
        _grouped_maps if grouped else _residual_maps,
        lambda: tuple(parameters),
        lambda: x,
        movie=False,
    )


_convolved = partial(functional.conv2d, padding=1)


def _residual_maps(h: Tensor, u: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
    between = torch.relu(_convolved(h, weights[0], weights[1]))
    return h + SCALE * (_convolved(between, weights[2], weights[3]) + u)


def _grouped_maps(h: Tensor, u: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
    between = torch.relu(functional.group_norm(_convolved(h, weights[0]), GROUPS))
    return h + SCALE * (functional.group_norm(_convolved(between, weights[1]), GROUPS) + u)


def _rate_maps(h: Tensor, u: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
    return h + GAMMA * (torch.relu(_convolved(torch.relu(h), *weights) + u) - h)


def _noise(shape: tuple[int, ...], case: Case, device: torch.device) -> Tensor:
    return torch.randn(shape, generator=_draw()).to(device, case.dtype)


def _draw() -> torch.Generator:
    return torch.Generator().manual_seed(0)
