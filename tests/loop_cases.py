"""Networks, inputs and readouts for the loops, and how what a loop gives is held against the plain loop."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cortexres import nn
from cortexres.nn import loops
from cortexres.nn.norms import Norm

UNITS, INPUTS, BATCH, STEPS, SIDE = 6, 3, 5, 9, 5
DTYPES = (torch.float64, torch.float32, torch.bfloat16)

# called with rng, dtype and options of Recurrent
Made = Callable[..., nn.Recurrent]


def dense(shortcut: Callable[[], torch.nn.Module] = lambda: nn.SoftAssignment(0.2), **transform: Any) -> Made:
    """Return what makes a recurrent network of one dense layer."""

    def made(*, rng: int, dtype: torch.dtype, device: str = "cpu", **options: Any) -> nn.Recurrent:
        own = nn.Dense(UNITS, rng=rng, dtype=dtype, device=device, **transform)
        return _network(own, shortcut(), rng, options)

    return made


def excitatory_inhibitory(**transform: Any) -> Made:
    """Return what makes a recurrent network under Dale's law, leaky with a gamma of its own for each unit."""

    def made(*, rng: int, dtype: torch.dtype, device: str = "cpu", **options: Any) -> nn.Recurrent:
        own = nn.ExcitatoryInhibitory(4, UNITS - 4, rng=rng, dtype=dtype, device=device, **transform)
        return _network(own, nn.SoftAssignment(torch.linspace(0.1, 0.6, UNITS)).to(device), rng, options)

    return made


def convolutional(norm: Norm | None = None, **transform: Any) -> Made:
    """Return what makes a recurrent network of two convolutions."""

    def made(*, rng: int, dtype: torch.dtype, device: str = "cpu", **options: Any) -> nn.Recurrent:
        own = nn.Convolutional(UNITS, norm=norm, rng=rng, dtype=dtype, device=device, **transform)
        return _network(own, nn.Scaled(0.2), rng, options)

    return made


def _network(transform: torch.nn.Module, shortcut: torch.nn.Module, rng: int, options: Any) -> nn.Recurrent:
    block = nn.Block(transform, shortcut)
    draw = torch.Generator().manual_seed(rng)
    with torch.no_grad():
        for name, parameter in block.named_parameters():
            if name.endswith("bias"):  # zeros hide where a bias enters
                parameter.copy_(torch.randn(parameter.shape, generator=draw))
    return nn.Recurrent(block, **{"steps": STEPS, **options})


def per_step(kind: Any) -> Norm:
    """Return a normalisation with parameters of its own for each step."""
    return Norm(kind, steps=STEPS, groups=2)


NETWORKS: dict[str, Made] = {
    "leaky": dense(),
    "leaky, ReLU, no bias": dense(activation=torch.relu, bias=False),
    "leaky, modules": dense(activation=torch.nn.Tanh()),
    "leaky, linear": dense(final_activation=False),
    "leaky, own weights of the input": dense(input_size=INPUTS),
    "leaky, each unit": dense(lambda: nn.SoftAssignment(torch.linspace(0.1, 1.0, UNITS))),
    "leaky, one gamma in a tensor": dense(lambda: nn.SoftAssignment(torch.tensor(0.2, dtype=torch.float64))),
    "residual": dense(nn.Identity),
    "residual, scaled": dense(lambda: nn.Scaled(0.3), activation=torch.relu),
    "Elman": dense(nn.NoShortcut, input_size=INPUTS),
    "Elman, ReLU": dense(nn.NoShortcut, activation=torch.relu),
    "excitatory-inhibitory": excitatory_inhibitory(),
    "excitatory-inhibitory, tanh": excitatory_inhibitory(activation=torch.tanh, bias=False),
    "excitatory-inhibitory, current": excitatory_inhibitory(final_activation=False, input_size=INPUTS),
    "excitatory-inhibitory, softplus": excitatory_inhibitory(activation=torch.nn.functional.softplus),
    "excitatory-inhibitory maps": excitatory_inhibitory(kernel_size=3),
    "two layers": dense(layers=2),
    "dense, norm": dense(norm=per_step("layer")),
    "maps": convolutional(),
    "maps, batch norm": convolutional(per_step("batch")),
    "maps, group norm": convolutional(per_step("group")),
    "maps, layer norm, pre": convolutional(per_step("layer"), order="pre"),
}
MAPS = tuple(name for name in NETWORKS if "maps" in name)
LEAKY = tuple(name for name in NETWORKS if name not in (*MAPS, "two layers", "dense, norm") and "softplus" not in name)


@dataclass(frozen=True)
class Case:
    """A network, how it is driven, and what is read."""

    network: str
    movie: bool = False
    injection: str = "every"
    readout: str | int = "all"
    dtype: torch.dtype = torch.float64
    training: bool = False
    start: str = "zeros"  # or "given", without a gradient, or "learned"
    first_step: int = 0

    def made(self, rng: int, *, device: str = "cpu") -> nn.Recurrent:
        """Return the network."""
        options = {"injection": self.injection, "readout": self.readout}
        return NETWORKS[self.network](rng=rng, dtype=self.dtype, device=device, **options).train(self.training)

    def inputs(self, rng: int, *, device: str = "cpu") -> tuple[Tensor, Tensor | None]:
        """Return (input that needs a gradient, state to start from)."""
        draw = torch.Generator().manual_seed(rng + 1)
        own_weights = "own weights" in self.network or self.network in ("Elman", "excitatory-inhibitory, current")
        width = INPUTS if own_weights and self.injection == "every" else UNITS
        positions = (SIDE, SIDE) if self.network in MAPS else ()
        shape = (BATCH, *((STEPS,) if self.movie else ()), width, *positions)
        x = torch.randn(shape, generator=draw, dtype=torch.float64).to(device, self.dtype).requires_grad_()
        if self.start == "zeros":
            return x, None
        h_0 = torch.randn(BATCH, UNITS, *positions, generator=draw, dtype=torch.float64).to(device, self.dtype)
        return x, h_0.requires_grad_(self.start == "learned")


def cases(network: str) -> Iterator[Case]:
    """Return the ways to run a network."""
    yield Case(network)
    yield Case(network, movie=True, start="learned")
    yield Case(network, injection="first", readout="last")
    yield Case(network, readout="last", start="given")
    yield Case(network, movie=True, readout=4, start="given")
    yield Case(network, readout=STEPS, start="learned")
    for dtype in DTYPES[1:]:
        yield Case(network, dtype=dtype)
        yield Case(network, movie=True, readout="last", dtype=dtype)


@dataclass(frozen=True)
class Found:
    """What a run gives: states and gradients, as float64."""

    output: Tensor
    last: Tensor
    gradients: dict[str, Tensor | None]


def fresh() -> int:
    """Return a seed that nobody has tuned anything on; failures print it."""
    return secrets.randbelow(2**31)


def found(case: Case, loop: loops.Loop | None, rng: int, *, device: str = "cpu", double: bool = False) -> Found:
    """Return what a loop gives for a case: outputs, and gradients of an uneven sum of them.

    Parameters
    ----------
    double : bool
        Whether the numbers, drawn and rounded in the precision of the case, are computed with in float64.
    """
    network = case.made(rng, device=device)
    x, h_0 = case.inputs(rng, device=device)
    if double:
        network = network.double()
        x = x.detach().double().requires_grad_()
        h_0 = None if h_0 is None else h_0.detach().double().requires_grad_(h_0.requires_grad)
    network.loop = loop
    output, last = network(x, h_0, first_step=case.first_step)
    of = {"x": x, **({"h_0": h_0} if h_0 is not None and h_0.requires_grad else {}), **dict(network.named_parameters())}
    total = (_uneven(output) * output).sum() + (_uneven(last).flip(0) * last).sum()
    gradients = torch.autograd.grad(total, list(of.values()), allow_unused=True)
    kept = {name: None if g is None else g.detach().cpu().double() for name, g in zip(of, gradients, strict=True)}
    return Found(output.detach().cpu().double(), last.detach().cpu().double(), kept)


def _uneven(states: Tensor) -> Tensor:
    """Return weights for a sum in which no error of one state is hidden by another."""
    return torch.linspace(-1, 1, states.numel(), dtype=states.dtype, device=states.device).view_as(states)


def check_equal(case: Case, loop: loops.Loop, rng: int, *, device: str = "cpu", factor: float = 4.0) -> None:
    """Check a loop against the plain one: in float64 to rounding; in others, no further from float64 than that is.

    A rounding that falls on the other side of 0 before a ReLU, in one loop and not in the other, makes any of them
    the worse by chance, about once in a thousand cases: so in lower precision two other inputs decide.

    Parameters
    ----------
    factor : float
        How much further from the exact result than the plain loop a loop of lower precision may be, at worst.
    """
    wrong = _further(case, loop, rng, device, factor)
    if wrong and case.dtype != torch.float64:
        wrong = _further(case, loop, rng + 1, device, factor) or _further(case, loop, rng + 2, device, factor)
    assert not wrong, (case, rng, wrong)


def _further(case: Case, loop: loops.Loop, rng: int, device: str, factor: float) -> list[str]:
    """Return what of a run, outputs and gradients, a loop does not give as exactly as it should."""
    exact = found(case, loops.Plain(), rng, device=device, double=True)
    plain = found(case, loops.Plain(), rng, device=device)
    own = found(case, loop, rng, device=device)
    assert own.gradients.keys() == exact.gradients.keys(), (case, rng)
    pairs = [("output", exact.output, plain.output, own.output), ("last", exact.last, plain.last, own.last)]
    pairs += [(name, exact.gradients[name], plain.gradients[name], own.gradients[name]) for name in exact.gradients]
    wrong = []
    for name, right, usual, got in pairs:
        if right is None or got is None:
            assert right is got, (case, rng, name)
            continue
        assert got.shape == right.shape, (case, rng, name)
        size = float(right.abs().max())
        allowed = 1e-12 * (1 + size) if case.dtype == torch.float64 else factor * float((usual - right).abs().max())
        allowed += 8 * torch.finfo(case.dtype).eps * size  # the plain loop may be lucky
        if not float((got - right).abs().max()) <= allowed:
            wrong.append(name)
    return wrong
