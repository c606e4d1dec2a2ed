"""A residual network as an Euler path: small steps, lesions, training from coarse to fine. Claims of Chang et al.

::

    python simulations/claims/chang_2018.py
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy import stats

from cortexres import diagnostics, nn
from cortexres.claims import Check, Claim, Outcome, Published, Sample, Setting, digits, main
from cortexres.nn import growth
from cortexres.plots import Figure, style

DEPTHS, EPOCHS = (4, 8, 16, 32), 8  # of a cycle; from the start the network of 16 blocks learns for three
STEPS, TIMES = 8, (1, 2, 4, 8)  # of the tied network, and how many times as many
WORSE = "error, trained in three cycles minus from the start (points)"
SAVED = "CPU time saved by cycles of 4, 8 and 16 blocks (%)"
FINER = "error added by (T, dt) -> (2T, dt/2), tied, no training (points)"
ORDER = "order of convergence of the tied network's end, log2"
NORM = "exponent of |F|/|h| over depth, median block"
LESION = "error without one of 16 blocks, median (%)"
LAST, KEPT, PLAIN, FREE = "last cycle alone", "dt kept", "plain network", "no normalisation, untrained"

CLAIM = Claim(
    name="chang_2018",
    title="Residual networks as Euler paths, trained from coarse to fine",
    source="Chang, Meng, Haber, Tung & Begert 2018, ICLR, arXiv:1710.10348",
    statement="A residual network is a discretised differential equation: the deeper, the smaller each block's step, "
    "which is why a deleted block is hardly missed. So it can be trained coarsely first: each cycle ends by copying "
    "every block right after itself and halving the step. Here: dense blocks on digits, 4, 8 and 16 blocks for "
    f"{EPOCHS} epochs each against 16 blocks for {3 * EPOCHS}; and a tied network, for which refinement is a change of "
    "two numbers, without training.",
    published=Published("more than 40 % less training time, accuracy superior or on par (abstract)"),
    checks=(
        Check(figure=WORSE, at_most=1.0, of="mean", control=LAST, published=Published("superior or on par")),
        Check(figure=SAVED, at_least=30.0, published=Published("more than 40")),
        Check(figure=FINER, at_most=2.0, control=KEPT),
        Check(figure=ORDER, at_least=0.7, at_most=1.3, control=KEPT),
        Check(figure=NORM, at_most=-0.3, control=FREE),
        Check(figure=LESION, at_most=10.0, control=PLAIN),
    ),
    seeds=5,
    remarks="The share that a block adds falls about as depth to the power -0.5, not -1 as a step of T/d does: updates "
    "are as large at any depth, and the state grows as the root of their number, as a sum of unrelated terms. The same "
    "law is there before training, from normalisation alone. A deleted block costs what its share says, but the share "
    "falls with the block's place, so that the correlation cannot tell one from the other. Digits are easy: 4 blocks, "
    "trained as long, are printed beside. Time is the least of three epochs at each depth, times their number; counted "
    "in passes through blocks, cycles of 4, 8 and 16 blocks save 41.7 %.",
)


def network(blocks: int, *, seed: int, setting: Setting, **changes: Any) -> Any:
    """Return an untied network of so many blocks, with what shall be otherwise."""
    width = 256 if setting.large else 64
    options = {"blocks": [blocks], "widths": [width], "stem": {"kind": "linear", "width": width}} | changes
    return nn.create("digits_untied", rng=seed, device=setting.device, **options)


def trained(made: Any, *, epochs: int, seed: int, setting: Setting) -> Any:
    """Return the network after so many epochs, or a multiple of them in the large setting."""
    return digits.trained(made, rng=seed, epochs=epochs * (5 if setting.large else 1), device=setting.device)


def in_cycles(first: Any, *, seed: int, setting: Setting) -> tuple[Any, list[float]]:
    """Return the network of 16 blocks that a trained one of 4 becomes, and its errors after each step of the way."""
    errors = [digits.error(first)]
    for cycle in (1, 2):
        first = growth.refine(first)
        errors.append(digits.error(first))
        trained(first, epochs=EPOCHS, seed=100 * cycle + seed, setting=setting)
        errors.append(digits.error(first))
    return first, errors


def time_saved(seed: int, setting: Setting) -> float:
    """Return how much less time three cycles of equal length take, in percent, from the least time of an epoch."""
    taken = dict.fromkeys((4, 8, 16), math.inf)
    for _ in range(3):  # in turn, and the least of three: other jobs on the machine cost the same
        for blocks in taken:
            made, start = network(blocks, seed=seed, setting=setting), time.process_time()
            digits.trained(made, rng=seed, epochs=1, device=setting.device)
            taken[blocks] = min(taken[blocks], time.process_time() - start)
    return 100 * (1 - sum(taken.values()) / (3 * taken[16]))


def multilevel(seed: int, setting: Setting) -> tuple[dict[str, float], dict[int, Any], list[float]]:
    """Return error and time against training from the start, the networks of one cycle, and the errors of the way."""
    shallow = trained(network(4, seed=seed, setting=setting), epochs=EPOCHS, seed=seed, setting=setting)
    _, errors = in_cycles(shallow, seed=seed, setting=setting)
    whole = trained(network(16, seed=seed, setting=setting), epochs=3 * EPOCHS, seed=seed, setting=setting)
    small = trained(network(4, seed=seed, setting=setting), epochs=3 * EPOCHS, seed=seed, setting=setting)
    alone = {n: network(n, seed=seed, setting=setting) for n in DEPTHS[1:]}
    for one in alone.values():
        trained(one, epochs=EPOCHS, seed=seed, setting=setting)
    least = digits.error(whole)
    figures = {
        WORSE: errors[-1] - least,
        SAVED: time_saved(seed, setting),
        LAST: digits.error(alone[16]) - least,
        "error of 16 blocks from the start (%)": least,
        "error of 4 blocks from the start, as many epochs (%)": digits.error(small),
        "error of untied blocks just copied, 8 to 16 (%)": errors[-2],
    }
    return figures, {4: shallow, **alone}, errors


def tied_refinement(seed: int, setting: Setting) -> tuple[dict[str, float], dict[str, float], dict[str, list[float]]]:
    """Return what more steps do to a tied network without norms, as dt falls, and as it is kept; and the errors."""
    step = {"kind": "scaled", "scale": 1 / STEPS}
    made = network(STEPS, seed=seed, setting=setting, shortcut=step, tied=True, norm="none")
    trained(made, epochs=12, seed=seed, setting=setting)
    finer = [made, *(growth.refine(made, times) for times in TIMES[1:])]
    with torch.no_grad():
        first = made.stem(nn.inputs_of(made, digits.others()))
        falls = [one.stages[0](first) for one in finer]
        kept = [made.stages[0](first, steps=STEPS * times) for times in TIMES]
        errors = {name: [_error(made.head(end)) for end in ends] for name, ends in (("falls", falls), ("kept", kept))}
    return _figures(falls, errors["falls"]), _figures(kept, errors["kept"]), errors


def _error(logits: torch.Tensor) -> float:
    chosen = logits.argmax(dim=1).cpu().numpy()
    return 100.0 * float((chosen != digits.others()["label"].to_numpy()).mean())


def _figures(ends: Sequence[torch.Tensor], errors: Sequence[float]) -> dict[str, float]:
    """The error that twice the steps add, and how fast the last states come together: at order 1 in Euler's way."""
    changes = [float((after - before).double().norm()) for before, after in pairwise(ends)]
    return {FINER: errors[1] - errors[0], ORDER: float(np.log2(changes[-2] / changes[-1]))}


def norms(networks: dict[int, Any]) -> tuple[dict[int, float], dict[int, float]]:
    """Return by depth: |F| / |h| of the median block, and the mean |F|."""
    found = {depth: diagnostics.residual_norms(one.eval(), digits.others()) for depth, one in networks.items()}
    ratio = {depth: float(each["ratio"].median()) for depth, each in found.items()}
    return ratio, {depth: float(each["added"].mean()) for depth, each in found.items()}


def exponent(values: dict[int, float]) -> float:
    """Return the slope of log values over log depth."""
    return float(np.polyfit(np.log(list(values)), np.log(list(values.values())), 1)[0])


def measure(seed: int, setting: Setting) -> Sample:
    """Return the figures of the cycles, of the tied network, of norms over depth and of lesions."""
    figures, alone, way = multilevel(seed, setting)
    finer, kept, errors = tied_refinement(seed, setting)
    ratio, added = norms(alone)
    free, _ = norms({n: network(n, seed=seed, setting=setting, norm="none") for n in DEPTHS})
    fresh = {n: network(n, seed=seed, setting=setting) for n in DEPTHS}
    for one in fresh.values():  # sets the batch statistics alone
        digits.trained(one, rng=seed, epochs=2, learning_rate=1e-9, device=setting.device)
    lesion = diagnostics.lesion(alone[16], digits.others())
    plain = network(16, seed=seed, setting=setting, shortcut="none")
    trained(plain, epochs=EPOCHS, seed=seed, setting=setting)
    without = diagnostics.lesion(plain, digits.others(), leaves="state")["error"]
    share = diagnostics.residual_norms(alone[16], digits.others())["ratio"]
    figures |= finer | {
        NORM: exponent(ratio),
        LESION: 100 * float(lesion["error"].median()),
        "exponent of |F|/|h| over depth, untrained, with normalisation": exponent(norms(fresh)[0]),
        "exponent of |F| over depth, mean over blocks": exponent(added),
        "rank correlation of |F|/|h| and the loss without the block": float(stats.spearmanr(share, lesion["loss"])[0]),
    }
    controls = {
        LAST: {WORSE: figures.pop(LAST)},
        KEPT: kept,
        FREE: {NORM: exponent(free)},
        PLAIN: {LESION: 100 * float(without.median())},
    }
    return Sample(figures=figures, controls=controls, curves={"way": way, "ratio": ratio, "free": free, **errors})


def draw(outcome: Outcome, samples: Sequence[Sample]) -> Figure:
    """Return errors on the way through the cycles, errors of finer tied networks, and norms over depth."""
    figure = style.blank(height=4.2, title="Trained from coarse to fine; refined without training; smaller steps")
    cycles, refined, by_depth = figure.subplots(1, 3)
    for k, sample in enumerate(samples):
        curves, named = sample.curves, k == 0
        least = sample.figures["error of 16 blocks from the start (%)"]
        cycles.plot(curves["way"], "o-", color=style.BLUE, label="in cycles" if named else None)
        cycles.plot(4.3, least, "D", color=style.BLACK, label="from the start" if named else None)
        alone = least + sample.controls[LAST][WORSE]
        cycles.plot(4.3, alone, "s", color=style.VERMILION, label=LAST if named else None)
        for axes, x, one, other, names in (
            (refined, [STEPS * times for times in TIMES], "falls", "kept", ("dt falls", "dt kept")),
            (by_depth, DEPTHS, "ratio", "free", ("trained", "untrained, no norm")),
        ):
            for curve, name, colour in ((one, names[0], style.BLUE), (other, names[1], style.VERMILION)):
                values = curves[curve]
                shown = list(values.values()) if isinstance(values, dict) else values
                axes.plot(x, shown, "o-", color=colour, label=name if named else None)
    cycles.set_xticks(range(5), ["4", "copied\nto 8", "8", "copied\nto 16", "16"])
    for axes, what, title in (
        (cycles, "blocks", "Untied, each cycle learns"),
        (refined, "steps", "Tied, no training"),
        (by_depth, "blocks", "|F| / |h|, median block"),
    ):
        axes.set(xlabel=what, title=title, ylabel="" if axes is by_depth else "error on other digits (%)")
        axes.legend(frameon=False)
        style.tidy(axes)
    for axes, ticks in ((refined, [STEPS * times for times in TIMES]), (by_depth, DEPTHS)):
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
    by_depth.set_yscale("log")
    by_depth.set_yticks([0.2, 0.5, 1.0], ["0.2", "0.5", "1"], minor=False)
    by_depth.minorticks_off()
    return figure


if __name__ == "__main__":
    sys.exit(main(CLAIM, measure, draw))
