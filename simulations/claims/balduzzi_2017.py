"""Gradients shatter with depth in plain networks, and resist it in residual ones. A claim of Balduzzi et al.

::

    python simulations/claims/balduzzi_2017.py
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import product

import numpy as np
import torch
from torch import Tensor, nn

from cortexres import diagnostics
from cortexres.claims import Check, Claim, Outcome, Published, Sample, Setting, digits, main
from cortexres.errors import DivergedError
from cortexres.nn import (
    Block,
    LinearStem,
    LooksLinear,
    Norm,
    NoShortcut,
    PooledHead,
    PreactivatedDense,
    Recurrent,
    Scaled,
    Stage,
    StagedNetwork,
    inputs_of,
)
from cortexres.nn.initial import kaiming_, linear
from cortexres.plots import Figure, style

UNITS, BATCH, DRAWS, DRAWS_LARGE = 100, 64, 8, 20  # of the laws; networks drawn per seed, thrice as many plain ones
DEPTHS = {"plain": (1, 2, 4, 8), "residual": (1, 2, 4, 8, 16), "gated": (1, 2, 4, 8, 16)}
DEPTHS |= {"normalised": (4, 8, 16, 32, 50), "scaled": (4, 16, 50)}
OUTPUTS = {"plain": 20, "gated": 20, "residual": 4, "normalised": 4, "scaled": 2}  # many where it is small
LAYERS, WIDTH, EPOCHS, EPOCHS_LARGE = 200, 32, 5, 20  # of the networks that are trained
RATES, CLIPS = (0.005, 0.002, 0.0005), (None, 1.0)  # the same grid for all three
SEARCH_EPOCHS, SEARCH_SEED = 3, 1000
GUESSED = 90.0

PLAIN = "slope of log2 correlation per plain layer, 1 to 8 layers"
RESIDUAL = "correlation through 2 residual blocks without normalisation, over (3/4)^2"
RESIDUAL_8 = "correlation through 8 residual blocks without normalisation, over (3/4)^8"
GATED = "correlation through 16 residual blocks whose gates are drawn at random, over (3/4)^16"
NORMALISED = "exponent of the correlation in depth, residual blocks with batch normalisation, 4 to 50"
SCALED = "correlation through 50 residual blocks with batch normalisation, updates scaled by 0.1"
DEEP = f"correlation of gradients at normal inputs through {LAYERS} looks-linear layers"
SHOWN = f"correlation of gradients at digits through {LAYERS} looks-linear layers"
BEST = "learning rate that was chosen"
ERROR = f"error of a looks-linear network of {LAYERS} layers without shortcuts (%)"
FROM_PLAIN, UNSCALED, FROM_RESIDUAL, NORMED, HE, BATCH_NORM = (
    "plain network", "updates not scaled", "residual network", "with batch normalisation",
    "the same with He's initial weights", "rectifiers with batch normalisation",
)  # fmt: skip

CLAIM = Claim(
    name="balduzzi_2017",
    title="Gradients shatter in plain networks, less in residual ones, not in looks-linear ones",
    source="Balduzzi, Frean, Leary, Lewis, Ma & McWilliams 2017, arXiv:1702.08591",
    statement="At initialisation, the correlation between the gradients at two inputs falls as 2^-L over L plain "
    "rectifier layers, as (3/4)^L over residual blocks without normalisation, and only as a power of L, about "
    "1 / (beta sqrt(L)), with batch normalisation and updates scaled by beta. Rectifiers in pairs with mirrored "
    "weights (looks-linear) start out linear, so that networks of 200 layers train without shortcuts. Here: dense "
    f"layers of {UNITS} units and normal inputs; then {LAYERS} layers of {WIDTH} units on digits, {EPOCHS} epochs.",
    published=Published("direction: exponential in plain, sublinear in residual; looks-linear trains deep (abstract)"),
    checks=(
        Check(
            figure=PLAIN, at_least=-1.06, at_most=-0.94, control=FROM_RESIDUAL,
            published=Published("-1 (theorem)", confirmed=False),
        ),
        Check(
            figure=NORMALISED, at_least=-0.75, at_most=-0.45, control=FROM_PLAIN,
            published=Published("-0.5 (theorem)", confirmed=False),
        ),
        Check(figure=SCALED, at_least=0.75, control=UNSCALED),
        Check(
            figure=RESIDUAL, at_least=0.9, at_most=1.1, control=FROM_PLAIN,
            published=Published("1 (theorem)", confirmed=False),
        ),
        Check(
            figure=RESIDUAL_8, at_least=0.9, at_most=1.1, control=NORMED,
            published=Published("1 (theorem)", confirmed=False),
        ),
        Check(
            figure=GATED, at_least=0.8, at_most=1.2, control="rectifiers' own gates",
            published=Published("1 (theorem)", confirmed=False),
        ),
        Check(figure=DEEP, at_least=0.95, control=HE, published=Published("direction: prevents shattering (abstract)")),
        Check(figure=ERROR, at_most=10.0, control=HE, published=Published("direction: trains very deep (abstract)")),
        Check(figure=ERROR, at_most=10.0, control=BATCH_NORM),
    ),
    remarks="The law without normalisation takes which units are active to be independent between inputs. In the "
    "networks themselves states become alike with depth, and the law does not hold: gradients are twice as alike as "
    "(3/4)^L at 8 blocks, and ten times at 16. At 2 blocks it does, but there blocks with batch normalisation "
    "are as near to it. With gates drawn at random in place of the rectifiers' own, it holds at 16 blocks. The "
    "exponent of normalised blocks is not the -0.5 of the theorem either, which lies outside what was measured, "
    "though inside the range that was set: they lose more. Where updates are scaled, the law drawn is "
    "(1 + beta^2 L)^-0.5, as 1 / (beta sqrt(L)) is above 1. Statistics of the batch are held constant on the way back. "
    "The network with He's weights is the same function of the same parameters. Each kind of trained network, the "
    f"looks-linear one as well, has the best of the learning rates {', '.join(f'{rate:g}' for rate in RATES)}, with "
    f"gradients clipped at a norm of 1 or not, in {SEARCH_EPOCHS} epochs at one seed apart, by the error that is "
    "reported; a loss that is not finite counts as guessing.",
)  # fmt: skip


class Gates(nn.Module):
    """What a rectifier does, but for gates that are drawn once for each input and unit, half of them open."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__()
        self.register_buffer("open", torch.as_tensor(rng.integers(2, size=(BATCH, UNITS)), dtype=torch.float32))

    def forward(self, values: Tensor) -> Tensor:
        """Return the values (batch, unit) whose gates are open, and 0 elsewhere."""
        return values * self.get_buffer("open")


def chained(blocks: Sequence[Block], stem: nn.Module, head: nn.Module) -> StagedNetwork:
    """Return a network of these blocks, one after the other."""
    return StagedNetwork(stem, [Stage(None, Recurrent(blocks, injection="first", readout="last"))], head)


BLOCKS: Mapping[str, Callable[[np.random.Generator], Block]] = {
    "plain": lambda rng: Block(rectified(rng, norm=Norm("batch")), NoShortcut()),
    "residual": lambda rng: Block(rectified(rng)),
    "normalised": lambda rng: Block(rectified(rng, norm=Norm("batch"))),
    "scaled": lambda rng: Block(rectified(rng, norm=Norm("batch")), Scaled(0.1)),
    "gated": lambda rng: Block(PreactivatedDense(UNITS, layers=1, activation=Gates(rng), rng=rng)),
}


def rectified(rng: np.random.Generator, *, norm: Norm | None = None, width: int = UNITS) -> nn.Module:
    """Return ``W relu(norm(h))`` with He's weights."""
    return PreactivatedDense(width, layers=1, norm=norm, rng=rng)


def correlations(kind: str, depths: Sequence[int], rng: np.random.Generator, draws: int, device: str) -> np.ndarray:
    """Return the correlation of the gradient at the inputs of networks of these depths, mean over draws."""
    found = np.zeros((draws, len(depths)))
    for draw in range(draws):
        inputs = torch.as_tensor(rng.normal(size=(BATCH, UNITS)), dtype=torch.float32, device=device)
        for k, depth in enumerate(depths):
            head = linear(UNITS, OUTPUTS[kind], bias=False, rng=rng)
            network = chained([BLOCKS[kind](rng) for _ in range(depth)], nn.Identity(), head).to(device)
            found[draw, k] = diagnostics.gradient_correlation(network, inputs)["correlation"].sel(block=0).mean()
    mean: np.ndarray = found.mean(axis=0)
    return mean


def exponent(depths: Sequence[int], found: np.ndarray) -> float:
    """Return the slope of the logarithm over that of the depth; what is lost in noise counts as 1e-4."""
    return float(np.polyfit(np.log(depths), np.log(np.maximum(found, 1e-4)), 1)[0])


def slope(depths: Sequence[int], found: np.ndarray) -> float:
    """Return the slope of log2 over depth."""
    return float(np.polyfit(depths, np.log2(np.maximum(found, 1e-4)), 1)[0])


def deep(kind: str, seed: int) -> StagedNetwork:
    """Return a deep network without shortcuts for digits."""
    rng = np.random.default_rng(seed)
    if kind == "batch_norm":
        blocks = [Block(rectified(rng, norm=Norm("batch"), width=WIDTH), NoShortcut()) for _ in range(LAYERS)]
    else:
        made = [LooksLinear(WIDTH, rng=rng) for _ in range(LAYERS)]
        if kind == "he":
            for transform in made:
                kaiming_(transform.layer.weight, rng)
        blocks = [Block(transform, NoShortcut()) for transform in made]
    return chained(blocks, LinearStem(64, WIDTH, rng=rng), PooledHead(WIDTH, 10, rng=rng))


def error(kind: str, rate: float, clip: float | None, seed: int, *, epochs: int, device: str) -> float:
    """Return the error on other digits in percent; gradients have the norm `clip` at most."""
    options = {"device": device, "max_gradient_norm": clip, "epochs": epochs, "learning_rate": rate}
    try:
        return digits.error(digits.trained(deep(kind, seed), rng=seed, **options))
    except DivergedError:
        return GUESSED


@cache
def chosen(kind: str, device: str) -> tuple[float, float | None]:
    """Return the learning rate and the clipping with which this kind of network learns best in a short training."""
    grid = list(product(RATES, CLIPS))
    errors = [error(kind, *options, SEARCH_SEED, epochs=SEARCH_EPOCHS, device=device) for options in grid]
    return grid[int(np.argmin(errors))]


def through(kind: str, seed: int, images: Tensor) -> float:
    """Return the correlation of the gradients at the first layer of the deep network, before it is trained."""
    network = deep(kind, seed).to(images.device)
    return float(diagnostics.gradient_correlation(network, images)["correlation"].sel(block=0).mean())


def measure(seed: int, setting: Setting) -> Sample:
    """Return how the correlation of gradients falls with depth, and what looks-linear networks learn."""
    rng, draws = np.random.default_rng(seed), DRAWS_LARGE if setting.large else DRAWS

    def measured(kind: str, depths: Sequence[int], times: int) -> np.ndarray:
        return correlations(kind, depths, rng, times, setting.device)

    found = {kind: measured(kind, depths, 3 * draws if kind == "plain" else draws) for kind, depths in DEPTHS.items()}
    two, eight, many = *(DEPTHS["residual"].index(depth) for depth in (2, 8)), DEPTHS["normalised"]
    normed = measured("normalised", DEPTHS["plain"], draws)  # at the same depths
    normal = torch.as_tensor(rng.normal(size=(BATCH, 64)), dtype=torch.float32, device=setting.device)
    images = inputs_of(None, digits.images()).flatten(1)[:BATCH].to(setting.device)

    def learned(kind: str) -> float:
        epochs = EPOCHS_LARGE if setting.large else EPOCHS
        options = chosen(kind, setting.device)
        return error(kind, *options, seed, epochs=epochs, device=setting.device)

    figures = {
        PLAIN: slope(DEPTHS["plain"], found["plain"]),
        NORMALISED: exponent(many, found["normalised"]),
        SCALED: found["scaled"][-1],
        RESIDUAL: found["residual"][two] / 0.75**2,
        GATED: found["gated"][-1] / 0.75**16,
        RESIDUAL_8: found["residual"][eight] / 0.75**8,
        DEEP: through("looks_linear", seed, normal),
        ERROR: learned("looks_linear"),
        SHOWN: through("looks_linear", seed, images),
        BEST: chosen("looks_linear", setting.device)[0],
        "correlation through 2 residual blocks with batch normalisation, over (3/4)^2": normed[two] / 0.75**2,
        "correlation through 16 residual blocks without normalisation, over (3/4)^16": found["residual"][4] / 0.75**16,
    }
    controls = {
        FROM_RESIDUAL: {PLAIN: slope(DEPTHS["plain"], normed)},
        NORMED: {RESIDUAL_8: normed[eight] / 0.75**8},
        FROM_PLAIN: {
            NORMALISED: exponent(many, measured("plain", many, 1)),
            RESIDUAL: found["plain"][DEPTHS["plain"].index(2)] / 0.75**2,
        },
        UNSCALED: {SCALED: found["normalised"][-1]},
        "rectifiers' own gates": {GATED: found["residual"][4] / 0.75**16},
        HE: {
            ERROR: learned("he"),
            DEEP: through("he", seed, normal),
            SHOWN: through("he", seed, images),
            BEST: chosen("he", setting.device)[0],
        },
        BATCH_NORM: {ERROR: learned("batch_norm")},
    }
    return Sample(figures=figures, controls=controls, curves=found)


def draw(outcome: Outcome, samples: Sequence[Sample]) -> Figure:
    """Return the correlation over depth with its laws, and the errors of the deep networks."""
    figure = style.blank(height=4.4, title="Gradients shatter with depth, less with shortcuts, not when looks-linear")
    left, right = figure.subplots(1, 2, width_ratios=(1.7, 1))
    lines = (
        ("scaled", "residual, batch norm, updates x 0.1", style.SKY, lambda x: (1 + 0.01 * x) ** -0.5),
        ("normalised", "residual, batch norm", style.BLUE, lambda x: (1 + x) ** -0.5),
        ("residual", "residual, no norm", style.GREEN, lambda x: 0.75**x),
        ("gated", "the same, random gates", style.PURPLE, lambda x: 0.75**x),
        ("plain", "plain", style.VERMILION, lambda x: 0.5**x),
    )
    for kind, name, colour, law in lines:
        for k, sample in enumerate(samples):
            left.plot(DEPTHS[kind], sample.curves[kind], "o", color=colour, label=name if k == 0 else None)
        x = np.linspace(1, max(DEPTHS[kind]), 100)
        left.plot(x, law(x), color=colour, lw=1)
    left.set_xscale("log", base=2)
    left.set_yscale("log")
    left.set_xticks([1, 2, 4, 8, 16, 32], ["1", "2", "4", "8", "16", "32"])
    left.set_xlabel("blocks")
    left.set_ylabel("correlation of gradients")
    left.set_title("lines: 2^-L, (3/4)^L, (1 + beta² L)^-1/2", loc="left")
    left.set_ylim(3e-4, 1.3)
    left.legend(frameon=False, fontsize=9, loc="lower left")
    groups = [("looks-linear", [sample.figures[ERROR] for sample in samples], style.BLUE)]
    for name, key in (("He's weights", HE), ("batch norm", BATCH_NORM)):
        groups.append((name, [sample.controls[key][ERROR] for sample in samples], style.VERMILION))
    for place, (_, values, colour) in enumerate(groups):
        right.plot([place] * len(values), values, "o", color=colour)
    right.axhline(GUESSED, color=style.GREY, ls=":")
    right.set_xticks(range(len(groups)), [name for name, *_ in groups])
    right.set_xlim(-0.5, len(groups) - 0.5)
    right.set_ylim(0, 100)
    right.set_ylabel("error on other digits (%)")
    right.set_title(f"{LAYERS} layers without shortcuts", loc="left")
    for axes in (left, right):
        style.tidy(axes)
    return figure


if __name__ == "__main__":
    sys.exit(main(CLAIM, measure, draw))
