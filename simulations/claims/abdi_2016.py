"""Several residual functions side by side beat one beyond a depth. A claim of Abdi and Nahavandi, at small scale.

::

    python simulations/claims/abdi_2016.py
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import torch

from cortexres import diagnostics, nn
from cortexres.claims import Check, Claim, Outcome, Published, Sample, Setting, digits, main
from cortexres.plots import Figure, style

EPOCHS, LEARNING_RATE = 15, 0.1  # at 0.02 the deepest network is not trained through, and all that is shallower gains
UNITS = 16  # few, so that there is an error to lower
DEPTHS, LARGE_DEPTHS = (2, 6, 18), (6, 18, 54)
COUNTED, BASE = 5, 128  # blocks whose paths are counted, and a number above all counts; 257^5 is exact in float64

DEEP = "error of one function minus of two, deep network (points)"
EQUAL = "error of one function in twice the blocks minus of two, deep network (points)"
BEYOND = "gain by a second function, deep minus shallow network (points)"
PATHS = "lengths for which the paths of a network are not C(n, r) k^r"
TWICE, HALF, SINGLE = "one function twice", "one function in as many blocks", "one function per block"

CLAIM = Claim(
    name="abdi_2016",
    title="Several residual functions per block help beyond a depth",
    source="Abdi & Nahavandi 2016, arXiv:1609.05672",
    statement="Blocks that add k residual functions side by side make networks of (k + 1)^n paths, which are more "
    "accurate than those of one function where the network is deeper than a threshold, also where both have equally "
    "many functions, wider and not deeper. Here: functions of two layers of 16 units on digits; the deep network has "
    "18 blocks, the shallow one 2.",
    published=Published("gain beyond a threshold of depth; 3.73 % error on CIFAR-10, 19.45 % on CIFAR-100"),
    seeds=6,
    checks=(
        Check(figure=DEEP, at_least=0.0, of="mean", control=TWICE),
        Check(figure=EQUAL, at_least=0.0, of="mean", control=HALF),
        Check(figure=BEYOND, at_least=0.0, of="mean", control=TWICE),
        Check(figure=PATHS, at_most=0.0, control=SINGLE, published=Published("(k + 1)^n paths")),
    ),
    remarks="The paths are as many as published; the gain is not found. In 18 blocks a second function changes the "
    "error no more than counting the first one twice, which adds no function but doubles the update. It is "
    "ahead of as many functions in twice the blocks, but so are 18 blocks of one function, with half the "
    "parameters: here it is the depth of 36 blocks that costs. Digits may need too little for a second "
    "function to help; the published gains are of convolutional networks on CIFAR, after many more steps. At "
    "a learning rate of 0.02 (eight seeds) the errors of the deep networks, not trained through, were larger, "
    "and nothing else was other.",
)


def network(blocks: int, functions: int, *, rng: int, scale: float = 1.0) -> nn.StagedNetwork:
    """Return a dense network whose blocks add so many functions, or so many times one of them."""
    draw, norm = np.random.default_rng(rng), nn.Norm("batch")

    def block() -> nn.Block:
        branches = [nn.PreactivatedDense(UNITS, norm=norm, rng=draw) for _ in range(functions)]
        return nn.Block(nn.MultiResidual(branches), nn.Scaled(scale))

    stem = nn.LinearStem(64, UNITS, rng=draw)
    trunk = nn.Recurrent([block() for _ in range(blocks)], injection="first", readout="last")
    head = nn.PooledHead(UNITS, 10, norm=norm, activation=torch.relu, rng=draw)
    return nn.StagedNetwork(stem, [nn.Stage(None, trunk)], head)


def error(blocks: int, functions: int, seed: int, setting: Setting, *, scale: float = 1.0) -> float:
    """Return the error of a trained network on digits that it has not seen, in percent."""
    made = network(blocks, functions, rng=seed, scale=scale)
    options = {"epochs": EPOCHS, "learning_rate": LEARNING_RATE, "device": setting.device}
    return digits.error(digits.trained(made, rng=seed, **options))


def paths_counted(functions: int) -> list[int]:
    """Return the number of paths by length of a network that multiplies by BASE in every function.

    A path through r functions multiplies by BASE ** r: the output, written to that base, has the counts as digits.
    """
    branch = nn.Dense(1, activation=torch.nn.Identity(), dtype=torch.float64)
    torch.nn.init.constant_(branch.layers[0].weight, BASE)
    blocks = [nn.Block(nn.MultiResidual([branch] * functions)) for _ in range(COUNTED)]
    output, _ = nn.Recurrent(blocks, injection="first", readout="last")(torch.ones(1, 1, dtype=torch.float64))
    return [int(output) // BASE**length % BASE for length in range(COUNTED + 1)]


def miscounted(functions: int) -> float:
    """Return for how many lengths the paths of a network are not those of two functions per block."""
    expected = diagnostics.path_counts(COUNTED, multiplicity=2)
    return float(sum(a != b for a, b in zip(paths_counted(functions), expected, strict=True)))


def measure(seed: int, setting: Setting) -> Sample:
    """Return what a second function gains over depth, against the same function twice and against more blocks."""
    depths = LARGE_DEPTHS if setting.large else DEPTHS
    shallow, deep = depths[0], depths[-1]
    errors = {(n, k): error(n, k, seed, setting) for n in depths for k in (1, 2)}
    twice = {n: error(n, 1, seed, setting, scale=2.0) for n in (shallow, deep)}
    deeper = errors[2 * deep, 1] = error(2 * deep, 1, seed, setting)
    gain = {n: errors[n, 1] - errors[n, 2] for n in depths}
    gain_twice = {n: errors[n, 1] - twice[n] for n in twice}
    figures = {
        DEEP: gain[deep],
        EQUAL: deeper - errors[deep, 2],
        BEYOND: gain[deep] - gain[shallow],
        PATHS: miscounted(2),
        "gain by a second function, shallow network (points)": gain[shallow],
        "error of two functions, deep network (%)": errors[deep, 2],
        "error of one function, deep network (%)": errors[deep, 1],
        "error of one function, twice as deep (%)": deeper,
    }
    controls = {
        TWICE: {DEEP: gain_twice[deep], BEYOND: gain_twice[deep] - gain_twice[shallow]},
        HALF: {EQUAL: deeper - errors[deep, 1]},
        SINGLE: {PATHS: miscounted(1)},
    }
    curves = {"depths": depths, "errors": errors, "twice": twice}
    return Sample(figures=figures, controls=controls, curves=curves)


def draw(outcome: Outcome, samples: Sequence[Sample]) -> Figure:
    """Return errors over depth, mean and standard error over seeds, and the gains at every seed with their controls."""
    figure = style.blank(height=4.2, title="A second residual function per block, over depth")
    left, right = figure.subplots(1, 2)
    depths = list(samples[0].curves["depths"])
    for k, colour in ((1, style.VERMILION), (2, style.BLUE)):
        shown = [*depths, 2 * depths[-1]] if k == 1 else depths
        rows = np.array([[sample.curves["errors"][n, k] for n in shown] for sample in samples])
        stderr = rows.std(axis=0) / np.sqrt(max(1, len(rows) - 1))
        name = "one function per block" if k == 1 else "two"
        left.errorbar(shown, rows.mean(axis=0), stderr, color=colour, marker="o", capsize=3, label=name)
    gains = ((DEEP, TWICE, "deep"), (EQUAL, HALF, "deep, equal\nparameters"), (BEYOND, TWICE, "deep minus\nshallow"))
    for place, (name, control, _) in enumerate(gains):
        values = [sample.figures[name] for sample in samples]
        others = [sample.controls[control][name] for sample in samples]
        for shift, found, colour, label in (
            (-0.12, values, style.BLUE, "gain"),
            (0.12, others, style.GREY, "control"),
        ):
            at = np.full(len(found), place + shift)
            right.plot(at, found, "o", color=colour, alpha=0.5, label=None if place else label)
            right.plot(at[0], np.mean(found), "_", color=colour, markersize=22, markeredgewidth=3)
    right.axhline(0, color=style.BLACK, linewidth=0.8)
    right.set_xticks(range(len(gains)), [label for _, _, label in gains])
    right.set_ylabel("gain by a second function (points)")
    left.set(xscale="log", xlabel="blocks", ylabel="error on other digits (%)", ylim=(0, None))
    left.set_xticks([*depths, 2 * depths[-1]], [str(n) for n in (*depths, 2 * depths[-1])])
    left.minorticks_off()
    for axes in (left, right):
        axes.legend(frameon=False)
        style.tidy(axes)
    return figure


if __name__ == "__main__":
    sys.exit(main(CLAIM, measure, draw))
