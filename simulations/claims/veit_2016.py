"""Residual networks behave like ensembles of shallow paths. The claims of Veit et al., at small scale.

::

    python simulations/claims/veit_2016.py
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from matplotlib.axes import Axes
from scipy import stats

from cortexres import diagnostics, nn
from cortexres.claims import Check, Claim, Outcome, Published, Sample, Setting, digits, main
from cortexres.diagnostics import later_blocks
from cortexres.plots import Figure, style

Figures = dict[str, float]
SHALLOW, DEEP = 18, 54
LEARNED = 8  # blocks with which a plain network learns as well; with 18 half its answers are wrong, with 54 nearly all
TAUS = ((0.8, 1.0), (0.6, 0.8), (0.4, 0.6), (0.2, 0.4), (0.0, 0.2))
DELETED = 0.8  # of the blocks, at most, in steps of an 18th of them or of one block
PLAIN, LOUD, INTACT = "plain network", "residual functions x 10", "no block deleted"
SINGLE, TWICE = "one residual function per block", "two residual functions per block"
ONE = "cost of deleting one block, median over 18 (points of error)"
ONE_DEEP = "cost of deleting one block, median over 54 (points of error)"
BELOW = "error of a plain network without one block, less that of a residual one (points)"
WORST_DEEP = "largest cost of deleting one block but the first, of 54 (points of error)"
WORST = "largest cost of deleting one block but the first, of 18 (points of error)"
DEAR = "blocks but the first that cost more than 5 points of error, of 53"
STEP = "largest rise of the error by deleting 1/18 of the blocks more, or one of few (share of the whole rise)"
SHUFFLED = "cost of a shuffle that keeps Kendall's tau above 0.8 (points of error)"
TREND = "rank correlation of a shuffle's error with its Kendall's tau"
SLOPE = "gradient per block of a path (decades)"
UPPER = "longest of the paths that 95 % of the gradient comes by (blocks of 54)"
SHARE = "share of all paths that are as long as those (%)"
MIDDLE = "exact, no seeds: share of all paths that pass 19 to 35 of 54 blocks (%)"
EFFECTIVE = "exact, no seeds: share of all paths that pass 5 to 17 of 54 blocks (%)"
MULTIPLE = "exact, no seeds: paths of 18 blocks with two residual functions each (share of 3^18)"

REMARKS = (
    "The first block is an exception throughout: like a block that changes the shape of the state, it does what no "
    "other does (its update is larger than its input), and deleting it costs most of what was learned. It is not the "
    "only one: the second costs 8 to 16 points of 54 blocks, of which all but the first few cost nothing, so that "
    "'any but the first' does not hold here. The bound of 5 points for the largest cost is our own. For several "
    "blocks and for shuffles the first stays in its place. That was chosen after both had been seen; the figures with "
    "it are given beside. The plain control has 8 blocks, with which it learns nearly as well as residual networks: "
    "of 18 it errs in half of the digits when intact, so that its costs were at the ceiling, and of 54 it does not "
    "learn. Of its 8 blocks one is the finest step, coarser than an 18th. The control of the paths keeps the trained "
    "blocks and multiplies what each adds by ten: then gradient grows with length. The exact figures are binomial "
    "sums and one count by running a network; they say nothing of trained networks and are the same for all seeds. "
    "Training on the effective paths alone is not run."
)

CLAIM = Claim(
    name="veit_2016",
    title="Ensembles of shallow paths",
    source="Veit, Wilber & Belongie 2016, arXiv:1605.06431",
    statement="A residual network of n blocks is a sum over 2^n paths, most of them about n / 2 blocks long. They "
    "depend little on each other: any one block but the first can be deleted, and error rises smoothly as more of the "
    "later ones are deleted or shuffled. And they are shallow: gradient falls exponentially with a path's length, and "
    "nearly all of it comes by few short paths. The first block is an exception: without it half of the answers or "
    "more are wrong. Here: dense blocks of 64 units on digits, 54 blocks as in the paper and 18, held to a plain "
    "network of 8 that learns.",
    published=Published("110 layers: deleting any one block hardly matters; gradient by paths of 5 to 17 of 54 blocks"),
    checks=(
        Check(figure=ONE, at_most=1.0, control=PLAIN, published=Published("hardly any; VGG collapses")),
        Check(figure=BELOW, at_least=80.0, control=INTACT),
        Check(figure=ONE_DEEP, at_most=1.0, control=PLAIN),
        Check(figure=WORST_DEEP, at_most=5.0, control=PLAIN, published=Published("hardly any")),
        Check(figure=STEP, at_most=1 / 3, control=PLAIN, published=Published("rises smoothly")),
        Check(figure=SHUFFLED, at_most=5.0, control=PLAIN),
        Check(figure=TREND, at_most=-0.7, control=PLAIN, published=Published("rises smoothly as tau falls")),
        Check(figure=SLOPE, at_most=-0.2, control=LOUD, published=Published("falls exponentially")),
        Check(figure=UPPER, at_most=0.4 * DEEP, control=LOUD, published=Published("17")),
        Check(figure=MIDDLE, at_least=95.0, control=TWICE, published=Published("> 95")),
        Check(figure=EFFECTIVE, at_least=0.445, at_most=0.455, control=TWICE, published=Published("0.45")),
        Check(figure=MULTIPLE, at_least=1.0, at_most=1.0, control=SINGLE, published=Published("all of 2^n with one")),
    ),
    remarks=REMARKS,
)


def network(name: str, *, blocks: int, seed: int, setting: Setting, epochs: int = 20) -> nn.StagedNetwork:
    """Return a network trained on the digits; wider, and trained for longer, in the large setting."""
    wide = {"widths": [256], "stem": {"kind": "linear", "width": 256}} if setting.large else {}
    made = nn.create(name, rng=seed, blocks=[blocks], **wide)
    return digits.trained(made, rng=seed, epochs=4 * epochs if setting.large else epochs, device=setting.device)


def single(own: nn.StagedNetwork) -> xr.DataArray:
    """Return the error without each block (%), and the whole network's as an attribute."""
    found = diagnostics.lesion(own, digits.others(), leaves="state")
    return (100 * found["error"]).assign_attrs(intact=100 * float(found["intact_error"]))


def cost(errors: xr.DataArray) -> float:
    """Return what deleting a block costs, median over blocks, in points of error."""
    return float(errors.median()) - errors.attrs["intact"]


def worst_later(errors: xr.DataArray) -> float:
    """Return the largest cost of deleting a block other than the first, in points of error."""
    return float(errors[1:].max()) - errors.attrs["intact"]


def several(own: nn.StagedNetwork, *, whole: bool = False, seed: int, draws: int) -> tuple[Figures, dict[str, Any]]:
    """Return what becomes of a network without several blocks, or with its blocks in another order, and curves."""
    chain = own.chain() if whole else later_blocks(own)
    given = nn.inputs_of(own, digits.others()), torch.as_tensor(digits.others()["label"].to_numpy())
    grain = max(1, round(len(chain.steps) / SHALLOW))
    counts = list(range(grain, int(DELETED * len(chain.steps)) + 1, grain))
    deleted = diagnostics.lesion_random(chain, *given, counts=counts, draws=draws, leaves="state", rng=seed)
    shuffled = diagnostics.reorder(chain, *given, tau=TAUS, draws=2 * draws, rng=seed)
    intact = 100 * float(deleted["intact_error"])
    error = 100 * np.append(deleted["intact_error"], deleted["error"].mean("draw"))
    by_tau = 100 * shuffled["error"].mean("draw").to_numpy()
    figures = {
        STEP: float(np.diff(error).max() / (error[-1] - error[0])),
        SHUFFLED: by_tau[0] - intact,
        TREND: float(stats.spearmanr(shuffled["tau"].to_numpy().ravel(), shuffled["error"].to_numpy().ravel())[0]),
    }
    curves = {"share": np.array([0, *counts]) / len(chain.steps), "deleted": error}
    return figures, curves | {"tau": shuffled["tau"].mean("draw").to_numpy(), "shuffled": by_tau}


def gradient(own: nn.StagedNetwork, *, seed: int, stimuli: int) -> tuple[Figures, xr.Dataset]:
    """Return by which paths the gradient comes."""
    spectrum = diagnostics.path_spectrum(own, digits.others().isel(stimulus=slice(0, stimuli)), draws=2, rng=seed)
    low, high = int(spectrum["lower"]), int(spectrum["upper"])
    return {SLOPE: float(spectrum["slope"]), UPPER: high, SHARE: paths_between(low, high)}, spectrum


def louder(own: nn.StagedNetwork, scale: float) -> nn.StagedNetwork:
    """Return a copy of the network whose residual functions are so many times as large."""
    changed = copy.deepcopy(own)
    for block in changed.chain().blocks:
        block.shortcut = nn.Scaled(scale)
    return changed


def paths_between(low: int, high: int, *, multiplicity: int = 1) -> float:
    """Return the percentage of all paths that pass so many of 54 blocks."""
    counts = diagnostics.path_counts(DEEP, multiplicity=multiplicity)
    return 100 * sum(counts[low : high + 1]) / sum(counts)


def paths(*, functions: int = 1) -> float:
    """Return the number of paths of 18 blocks, counted by running them: a 1 goes in, and every F is the identity."""
    branches = [nn.Dense(1, activation=torch.nn.Identity(), dtype=torch.float64) for _ in range(functions)]
    for branch in branches:
        torch.nn.init.ones_(branch.layers[0].weight)
    block = nn.Block(nn.MultiResidual(branches))
    state = torch.ones(1, 1, dtype=torch.float64)
    with torch.no_grad():
        for _ in range(SHALLOW):
            carried, added = block.parts(state)
            state = carried + added
    return float(state)


def counted() -> tuple[Figures, dict[str, Figures]]:
    """Return what can be said of paths without training, and the same where the effect is removed."""
    figures = {
        MIDDLE: paths_between(19, 35),
        EFFECTIVE: paths_between(5, 17),
        MULTIPLE: paths(functions=2) / 3**SHALLOW,
    }
    twice = {MIDDLE: paths_between(19, 35, multiplicity=2), EFFECTIVE: paths_between(5, 17, multiplicity=2)}
    return figures, {TWICE: twice, SINGLE: {MULTIPLE: paths() / 3**SHALLOW}}


def measure(seed: int, setting: Setting) -> Sample:
    """Return lesions, shuffles and paths of residual networks, and the same of a plain one."""
    draws = 100 if setting.large else 10
    shallow = network("digits_untied", blocks=SHALLOW, seed=seed, setting=setting, epochs=30)
    deep = network("digits_untied", blocks=DEEP, seed=seed, setting=setting)
    plain = network("digits_plain", blocks=LEARNED, seed=seed, setting=setting)
    without = {name: single(own) for name, own in (("shallow", shallow), ("deep", deep), ("plain", plain))}
    several_deep, curves = several(deep, seed=seed, draws=draws)
    several_plain, curves_plain = several(plain, seed=seed, draws=draws)
    several_whole, _ = several(deep, whole=True, seed=seed, draws=draws // 2)
    by_path, spectrum = gradient(deep, seed=seed, stimuli=500 if setting.large else 250)
    by_loud_path, _ = gradient(louder(deep, 10.0), seed=seed, stimuli=50)
    exact, exact_controls = counted()
    intact = {name: errors.attrs["intact"] for name, errors in without.items()}
    figures = {
        ONE: cost(without["shallow"]),
        BELOW: float(without["plain"].median() - without["shallow"].median()),
        ONE_DEEP: cost(without["deep"]),
        WORST_DEEP: worst_later(without["deep"]),
        WORST: worst_later(without["shallow"]),
        DEAR: float((without["deep"][1:] - without["deep"].attrs["intact"] > 5).sum()),
        "error of 18 blocks (%)": intact["shallow"],
        "error of 54 blocks (%)": intact["deep"],
        "error of the plain network (%)": intact["plain"],
        "error without the first block, of 18 (%)": float(without["shallow"][0]),
        "error without the first block, of 54 (%)": float(without["deep"][0]),
        "mean length of the paths that the gradient comes by (blocks of 54)": float(spectrum["mean_length"]),
        **{f"{name}, first block too": several_whole[name] for name in (STEP, SHUFFLED, TREND)},
    }
    costs = {name: cost(without["plain"]) for name in (ONE, ONE_DEEP)}
    costs |= {name: worst_later(without["plain"]) for name in (WORST, WORST_DEEP)}
    controls = {
        PLAIN: costs | several_plain,
        INTACT: {BELOW: intact["plain"] - intact["shallow"]},
        LOUD: by_loud_path,
        **exact_controls,
    }
    drawn = {"without": without, "several": curves, "several_plain": curves_plain, "spectrum": spectrum}
    return Sample(figures=figures | several_deep | by_path | exact, controls=controls, curves=drawn)


def draw(outcome: Outcome, samples: Sequence[Sample]) -> Figure:
    """Return lesions, shuffles and path lengths, a line per seed."""
    figure = style.blank(height=6.6, title="Residual networks bear lesions and shuffles, and learn by shallow paths")
    (one, many), (order, length) = figure.subplots(2, 2)
    for k, sample in enumerate(samples):
        curves = sample.curves
        for kind, colour in (("shallow", style.BLUE), ("plain", style.VERMILION)):
            errors, label = curves["without"][kind], {"shallow": "residual", "plain": "plain"}[kind]
            one.plot(errors["block"], errors, "o-", ms=3, lw=1, color=colour, label=None if k else label)
        for kind, colour in (("several", style.BLUE), ("several_plain", style.VERMILION)):
            found = curves[kind]
            many.plot(100 * found["share"], found["deleted"], "o-", ms=3, lw=1, color=colour)
            order.plot(found["tau"], found["shuffled"], "o-", ms=3, lw=1, color=colour)
        lengths = curves["spectrum"]["length"]
        length.plot(lengths, curves["spectrum"]["share"], color=style.BLUE, lw=1, label=None if k else "gradient")
    counts = np.array([float(count) for count in diagnostics.path_counts(DEEP)])
    length.plot(np.arange(DEEP + 1), counts / counts.sum(), color=style.GREY, lw=1, label="paths")
    length.axvspan(5, 17, color=style.UNDEFINED, alpha=0.5, lw=0, label="published: 5 to 17")
    _name(one, "one block deleted: residual 18, plain 8", "block")
    _name(many, "several deleted: residual 54, plain 8", "blocks deleted (%)")
    _name(order, "shuffled: residual 54, plain 8", "Kendall's tau with the own order")
    order.invert_xaxis()
    _name(length, "where the gradient comes by", "length of a path (blocks of 54)", "share")
    for axes in (one, length):
        style.whole_numbers(axes.xaxis)
    one.legend(frameon=False)
    length.legend(frameon=False)
    return figure


def _name(axes: Axes, title: str, below: str, beside: str = "error (%)") -> None:
    axes.set_title(title, loc="left")
    axes.set_xlabel(below)
    axes.set_ylabel(beside)
    style.tidy(axes)


if __name__ == "__main__":
    sys.exit(main(CLAIM, measure, draw))
