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
from cortexres.claims.claim import interval
from cortexres.plots import Figure, style

EPOCHS, LEARNING_RATES = 20, (0.1, 0.3)
APART = 500  # digits to choose the learning rate on; the test is on the 997 beyond
UNITS = 16  # few, so that there is an error to lower
DEPTHS, LARGE_DEPTHS = (2, 6, 18), (6, 18, 54)
COUNTED, BASE = 5, 512  # blocks whose paths are counted, and a number above all counts; 1537^5 is exact in float64

DEEP = "error of one function minus of two, deep network (points)"
FOUR = "error of one function minus of four, deep network (points)"
EQUAL = "error of one function in twice the blocks minus of two, deep network (points)"
BEYOND = "gain by a second function, deep minus shallow network (points)"
PATHS = "lengths for which the paths of a network, k of 2 and 3, are not C(n, r) k^r"
TWICE, FOURFOLD = "one function twice", "one function four times"
HALF, SINGLE = "one function in as many blocks", "one function per block"

CLAIM = Claim(
    name="abdi_2016",
    title="Several residual functions per block help beyond a depth",
    source="Abdi & Nahavandi 2016, arXiv:1609.05672",
    statement="Blocks that add k residual functions side by side make networks of (k + 1)^n paths, which are more "
    "accurate than those of one function where the network is deeper than a threshold, also where both have equally "
    "many functions, wider and not deeper. Here: functions of two layers of 16 units, 300 digits to learn; the deep "
    "network has 18 blocks, the shallow one 2. Each network has the better of two learning rates, 0.1 and 0.3, chosen "
    "on 500 other digits, and is tested on the 997 left.",
    published=Published("gain beyond a threshold of depth; 3.73 % error on CIFAR-10, 19.45 % on CIFAR-100"),
    seeds=6,
    checks=(
        Check(figure=DEEP, at_least=0.0, of="mean", control=TWICE),
        Check(figure=FOUR, at_least=0.0, of="mean", control=FOURFOLD),
        Check(figure=EQUAL, at_least=0.0, of="mean", control=HALF),
        Check(figure=BEYOND, at_least=0.0, of="mean", control=TWICE),
        Check(figure=PATHS, at_most=0.0, control=SINGLE, published=Published("(k + 1)^n paths")),
    ),
    remarks="The paths are as many as published; no gain is found, and no small one can be excluded. In 18 blocks of "
    "one function the error is 8.7 %, so that there is room, and two functions change it by -0.6 points, four by "
    "-0.4: what the 95 % intervals exclude are gains of more than 2.0 and 1.6 points. A gain that grows from 2 blocks "
    "to 18 by more than 2.8 points is excluded as well. Neither is told from counting one function twice or four "
    "times, which adds none but enlarges the update. Two functions are ahead of as many in twice the blocks by 1.2 "
    "points, not beyond doubt, but 18 blocks of one function are by 1.8, with half the parameters: it is the depth of "
    "36 blocks that costs. Most networks chose the larger of the two rates, so that a larger still might suit them "
    "better. The published gains are of convolutional networks on CIFAR, after many more steps than the 100 taken "
    "here.",
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


def result(blocks: int, functions: int, seed: int, setting: Setting, *, scale: float = 1.0) -> dict[str, float]:
    """Return the errors of the better of two trained networks, in percent, and the learning rate that made it better.

    It errs less on the digits to choose on, ``chosen``; ``error`` is that on digits that nothing was chosen by.
    """
    shown, others = digits.few(seed)
    apart, tested = (others.isel(stimulus=part) for part in (slice(APART), slice(APART, None)))
    found = []
    for rate in LEARNING_RATES:
        made = network(blocks, functions, rng=seed, scale=scale)
        options = {"epochs": EPOCHS, "learning_rate": rate, "device": setting.device}
        digits.trained(made, data=shown, rng=seed, **options)
        errors = {"error": tested, "chosen": apart, "learned": shown}
        found.append({name: digits.error(made, data) for name, data in errors.items()} | {"learning rate": rate})
    return min(found, key=lambda each: each["chosen"])


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
    """Return for how many lengths the paths of a network are not those of so many functions per block."""
    return differing(paths_counted(functions), functions)


def differing(counted: Sequence[int], functions: int) -> float:
    """Return how many counts of paths are not those expected of so many functions per block."""
    expected = diagnostics.path_counts(COUNTED, multiplicity=functions)
    return float(sum(a != b for a, b in zip(counted, expected, strict=True)))


def measure(seed: int, setting: Setting) -> Sample:
    """Return what further functions gain over depth, against the same one repeated and against more blocks."""
    depths = LARGE_DEPTHS if setting.large else DEPTHS
    shallow, deep = depths[0], depths[-1]
    arms = [*((n, k) for n in depths for k in (1, 2)), (shallow, 4), (deep, 4), (2 * deep, 1)]
    found = {arm: result(*arm, seed, setting) for arm in arms}
    errors = {arm: each["error"] for arm, each in found.items()}
    twice = {n: result(n, 1, seed, setting, scale=2.0)["error"] for n in (shallow, deep)}
    fourfold = result(deep, 1, seed, setting, scale=4.0)["error"]
    gain = {n: errors[n, 1] - errors[n, 2] for n in depths}
    gain_twice = {n: errors[n, 1] - twice[n] for n in twice}
    figures = {
        DEEP: gain[deep],
        FOUR: errors[deep, 1] - errors[deep, 4],
        EQUAL: errors[2 * deep, 1] - errors[deep, 2],
        BEYOND: gain[deep] - gain[shallow],
        PATHS: miscounted(2) + miscounted(3),
        "gain by a second function, shallow network (points)": gain[shallow],
        "gain by four functions, shallow network (points)": errors[shallow, 1] - errors[shallow, 4],
        **{f"error, {n} blocks, k = {k} (%)": error for (n, k), error in errors.items()},
        "error on digits learned, deep network, k = 1 (%)": found[deep, 1]["learned"],
        **{f"learning rate chosen, {n} blocks, k = {k}": each["learning rate"] for (n, k), each in found.items()},
    }
    single = paths_counted(1)
    controls = {
        TWICE: {DEEP: gain_twice[deep], BEYOND: gain_twice[deep] - gain_twice[shallow]},
        FOURFOLD: {FOUR: errors[deep, 1] - fourfold},
        HALF: {EQUAL: errors[2 * deep, 1] - errors[deep, 1]},
        SINGLE: {PATHS: differing(single, 2) + differing(single, 3)},
    }
    return Sample(figures=figures, controls=controls, curves={"depths": depths, "errors": errors})


def draw(outcome: Outcome, samples: Sequence[Sample]) -> Figure:
    """Return errors over depth, mean and standard error over seeds, and the gains with their 95 % intervals."""
    figure = style.blank(height=4.2, title="Further residual functions per block, over depth")
    left, right = figure.subplots(1, 2, width_ratios=(2, 3))
    errors = [sample.curves["errors"] for sample in samples]
    for k, colour in ((1, style.VERMILION), (2, style.BLUE), (4, style.GREEN)):
        shown = sorted(blocks for blocks, functions in errors[0] if functions == k)
        rows = np.array([[each[n, k] for n in shown] for each in errors])
        stderr = rows.std(axis=0) / np.sqrt(max(1, len(rows) - 1))
        left.errorbar(shown, rows.mean(axis=0), stderr, color=colour, marker="o", capsize=3, label=f"k = {k}")
    gains = (
        (DEEP, TWICE, "deep,\nk = 2"),
        (FOUR, FOURFOLD, "deep,\nk = 4"),
        (EQUAL, HALF, "deep, k = 2,\nequal size"),
        (BEYOND, TWICE, "deep minus\nshallow, k = 2"),
    )
    for place, (name, control, _) in enumerate(gains):
        values = np.array([sample.figures[name] for sample in samples])
        others = np.array([sample.controls[control][name] for sample in samples])
        for shift, found, colour, label in (
            (-0.15, values, style.BLUE, "gain"),
            (0.15, others, style.GREY, "control"),
        ):
            at, (low, high) = place + shift, interval(found)
            right.plot(np.full(len(found), at), found, "o", color=colour, alpha=0.4, label=None if place else label)
            right.errorbar(at, (low + high) / 2, (high - low) / 2, color=colour, capsize=5, marker="_", markersize=14)
        high = interval(values)[1]
        right.annotate(f"< {high:.1f}", (place - 0.2, high), ha="right", fontsize=9)
    right.axhline(0, color=style.BLACK, linewidth=0.8)
    right.set_xticks(range(len(gains)), [label for _, _, label in gains])
    right.set_xlim(-0.7, len(gains) - 0.5)
    right.set_ylabel("gain, 95 % interval (points)")
    left.set(xscale="log", xlabel="blocks", ylabel="error on other digits (%)", ylim=(0, None))
    ticks = sorted({blocks for blocks, _ in errors[0]})
    left.set_xticks(ticks, [str(n) for n in ticks])
    left.minorticks_off()
    for axes in (left, right):
        axes.legend(frameon=False)
        style.tidy(axes)
    return figure


if __name__ == "__main__":
    sys.exit(main(CLAIM, measure, draw))
