"""A residual network as an Euler path: small steps, lesions, training from coarse to fine. Claims of Chang et al.

::

    python simulations/claims/chang_2018.py
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy import stats

from cortexres import diagnostics, nn
from cortexres.claims import Check, Claim, Outcome, Published, Sample, Setting, digits, main
from cortexres.nn import growth
from cortexres.nn.device import clock
from cortexres.plots import Figure, style

DEPTHS, EPOCHS = (4, 8, 16, 32), 32  # of a cycle, of 5 minibatches each
EQUAL_EPOCHS = EPOCHS * (4 + 8 + 16) // 16  # of 16 blocks, for as many passes through blocks as three cycles take
PLAIN_BLOCKS = 8  # 16 of them erred on 40 % of the digits with all blocks in place: little to lose
STEPS, TIMES = 8, (1, 2, 4, 8)  # of the tied network, and how many times as many
WORSE = "error, trained in three cycles minus from the start (points)"
SAVED = "time saved by cycles of 4, 8 and 16 blocks, measured (%)"
FINER = "error added by (T, dt) -> (2T, dt/2), tied, no training (points)"
ORDER = "order of convergence of the tied network's end, log2"
NORM = "exponent of |F|/|h| over depth, median block"
LESION = "error added by deleting one of 16 blocks, median (points)"
INTACT = "error with all blocks, of the networks that lose one (%)"
EQUAL, SHALLOW = "16 blocks from the start, as much compute as the cycles", "4 blocks, never refined"
KEPT, PLAIN, FRESH = "dt kept", f"plain network of {PLAIN_BLOCKS} blocks", "untrained"
START = "error of 16 blocks from the start (%)"

CLAIM = Claim(
    name="chang_2018",
    title="Residual networks as Euler paths, trained from coarse to fine",
    source="Chang, Meng, Haber, Tung & Begert 2018, ICLR, arXiv:1710.10348",
    statement="A residual network is a discretised differential equation: of d blocks, each takes a step of T/d, which "
    "is why a deleted block is hardly missed. So it can be trained coarsely first: each cycle ends by copying every "
    "block right after itself and halving the step. Here: dense blocks learn 300 digits, 4, 8 and 16 blocks for "
    f"{EPOCHS} epochs each against 16 blocks for {3 * EPOCHS}; and a tied network, for which refinement is a change of "
    "two numbers, without training. That copying is what helps would show in 16 blocks from the start being worse with "
    "the compute of the cycles, and 4 blocks being worse however long they learn.",
    published=Published("more than 40 % less training time, accuracy superior or on par (abstract)"),
    checks=(
        Check(figure=WORSE, at_most=1.0, of="mean", control=EQUAL, published=Published("superior or on par")),
        Check(figure=WORSE, at_most=1.0, of="mean", control=SHALLOW, published=Published("superior or on par")),
        Check(figure=FINER, at_most=2.0, control=KEPT),
        Check(figure=ORDER, at_least=0.7, at_most=1.3, control=KEPT),
        Check(figure=NORM, at_most=-0.8, control=FRESH, published=Published("-1, for steps of T/d")),
        Check(figure=LESION, at_most=8.0, control=PLAIN),
    ),
    seeds=5,
    remarks="Does not hold. What cycles lose against three times the epochs is not shown to be under 1 point at 5 "
    "seeds (interval -1 to 1.6), and neither control tells it from what is there without them: 16 blocks from the "
    "start with the compute of the cycles are not shown to be worse (-0.6, -2.1 to 0.9), and 4 blocks that are never "
    "refined are better (by 0.9, 0.1 to 1.7), for digits need no depth. So what cycles save here is what training "
    "less, or a smaller network, saves. Nor does a block's share |F|/|h| fall as a step of T/d: the exponent is near "
    "-0.6, not -1; |F| is as large at any depth and |h| grows as the root of the number of blocks, and so it is "
    "before training, from normalisation alone. Deletion costs little, and a tied network is refined as Euler's "
    f"method is. The plain control of deletion has {PLAIN_BLOCKS} blocks, and three times the epochs, to work as well "
    "while whole. Time saved is not checked, for it is arithmetic: 1 - 28 / 48 = 41.7 % in passes through blocks. An "
    "earlier form of this claim, with 1297 digits and 8 epochs, had passed with the last cycle alone, a third of the "
    "epochs, as its control, and a bound of -0.3 on the exponent, which what is untrained meets.",
)


def network(blocks: int, *, seed: int, setting: Setting, **changes: Any) -> Any:
    """Return an untied network of so many blocks, with what shall be otherwise."""
    width = 256 if setting.large else 64
    options = {"blocks": [blocks], "widths": [width], "stem": {"kind": "linear", "width": width}} | changes
    return nn.create("digits_untied", rng=seed, device=setting.device, **options)


def trained(made: Any, *, epochs: int, seed: int, setting: Setting, order: int = 0) -> Any:
    """Return the network after so many epochs of the digits of the seed; a multiple of them in the large setting."""
    times, data = 5 if setting.large else 1, digits.few(seed)[0]
    return digits.trained(made, rng=100 * order + seed, data=data, epochs=times * epochs, device=setting.device)


def error(made: Any, seed: int) -> float:
    """Return the error on the digits that the seed does not train on."""
    return digits.error(made, digits.few(seed)[1])


def in_cycles(first: Any, *, seed: int, setting: Setting) -> list[float]:
    """Return the errors of a trained network of 4 blocks on each step of the way to one of 16."""
    errors = [error(first, seed)]
    for cycle in (1, 2):
        first = growth.refine(first)
        errors.append(error(first, seed))
        trained(first, epochs=EPOCHS, seed=seed, setting=setting, order=cycle)
        errors.append(error(first, seed))
    return errors


def time_saved(seed: int, setting: Setting) -> float:
    """Return how much less time three cycles of equal length take, in percent, from the least time of four epochs."""
    taken = dict.fromkeys((4, 8, 16), math.inf)
    for _ in range(3):  # in turn, and the least of three: other jobs on the machine cost the same
        for blocks in taken:
            made, start = network(blocks, seed=seed, setting=setting), clock(setting.device)
            trained(made, epochs=4, seed=seed, setting=setting)
            taken[blocks] = min(taken[blocks], clock(setting.device) - start)
    return 100 * (1 - sum(taken.values()) / (3 * taken[16]))


def multilevel(seed: int, setting: Setting) -> tuple[dict[str, float], dict[str, float], dict[int, Any], list[float]]:
    """Return figures, the error against training from the start of each control, one cycle's networks, and the way."""
    whole, equal, small = (
        error(trained(network(blocks, seed=seed, setting=setting), epochs=epochs, seed=seed, setting=setting), seed)
        for blocks, epochs in ((16, 3 * EPOCHS), (16, EQUAL_EPOCHS), (4, 3 * EPOCHS))
    )
    alone = {n: network(n, seed=seed, setting=setting) for n in DEPTHS}
    for one in alone.values():
        trained(one, epochs=EPOCHS, seed=seed, setting=setting)
    errors = in_cycles(alone[4], seed=seed, setting=setting)
    figures = {
        WORSE: errors[-1] - whole,
        SAVED: time_saved(seed, setting),
        START: whole,
        "error of the last cycle alone (%)": error(alone[16], seed),
        "error of untied blocks just copied, 8 to 16 (%)": errors[-2],
    }
    return figures, {EQUAL: equal - whole, SHALLOW: small - whole}, alone, errors


def tied_refinement(seed: int, setting: Setting) -> tuple[dict[str, float], dict[str, float], dict[str, list[float]]]:
    """Return what more steps do to a tied network without norms, as dt falls, and as it is kept; and the errors."""
    step = {"kind": "scaled", "scale": 1 / STEPS}
    made = network(STEPS, seed=seed, setting=setting, shortcut=step, tied=True, norm="none")
    trained(made, epochs=48, seed=seed, setting=setting)
    finer = [made, *(growth.refine(made, times) for times in TIMES[1:])]
    _, others = digits.few(seed)
    with torch.no_grad():
        first = made.stem(nn.inputs_of(made, others))
        falls = [one.stages[0](first) for one in finer]
        kept = [made.stages[0](first, steps=STEPS * times) for times in TIMES]
        errors = {
            name: [digits.error_of(made.head(end), others) for end in ends]
            for name, ends in (("falls", falls), ("kept", kept))
        }
    base = {"error of the tied network before refinement (%)": errors["falls"][0]}
    return _figures(falls, errors["falls"]) | base, _figures(kept, errors["kept"]), errors


def _figures(ends: Sequence[torch.Tensor], errors: Sequence[float]) -> dict[str, float]:
    """The error that twice the steps add, and how fast the last states come together: at order 1 in Euler's way."""
    changes = [float((after - before).double().norm()) for before, after in pairwise(ends)]
    return {FINER: errors[1] - errors[0], ORDER: float(np.log2(changes[-2] / changes[-1]))}


def norms(networks: dict[int, Any], seed: int) -> tuple[dict[int, float], dict[int, float]]:
    """Return by depth: |F| / |h| of the median block, and the mean |F|."""
    _, others = digits.few(seed)
    found = {depth: diagnostics.residual_norms(one.eval(), others) for depth, one in networks.items()}
    ratio = {depth: float(each["ratio"].median()) for depth, each in found.items()}
    return ratio, {depth: float(each["added"].mean()) for depth, each in found.items()}


def exponent(values: dict[int, float]) -> float:
    """Return the slope of log values over log depth."""
    return float(np.polyfit(np.log(list(values)), np.log(list(values.values())), 1)[0])


def untrained(seed: int, setting: Setting, **changes: Any) -> dict[int, Any]:
    """Return networks by depth that have seen the digits, so that they normalise by them, and learned nothing."""
    fresh = {n: network(n, seed=seed, setting=setting, **changes) for n in DEPTHS}
    for one in fresh.values():
        data, _ = digits.few(seed)
        digits.trained(one, rng=seed, data=data, epochs=8, learning_rate=1e-9, device=setting.device)
    return fresh


def lesioned(made: Any, seed: int, leaves: Any = "carried") -> tuple[dict[str, float], Any]:
    """Return the error that deleting the median block adds, and that of the whole network; and all of `lesion`."""
    found = diagnostics.lesion(made, digits.few(seed)[1], leaves=leaves)
    intact = 100 * float(found["intact_error"])
    return {LESION: 100 * float(found["error"].median()) - intact, INTACT: intact}, found


def measure(seed: int, setting: Setting) -> Sample:
    """Return the figures of the cycles, of the tied network, of norms over depth and of lesions."""
    figures, without, alone, way = multilevel(seed, setting)
    finer, kept, errors = tied_refinement(seed, setting)
    fresh, _ = norms(untrained(seed, setting), seed)
    free, _ = norms({n: network(n, seed=seed, setting=setting, norm="none") for n in DEPTHS}, seed)
    ratio, added = norms(alone, seed)
    lost, lesion = lesioned(alone[16], seed)
    plain = network(PLAIN_BLOCKS, seed=seed, setting=setting, shortcut="none")
    trained(plain, epochs=3 * EPOCHS, seed=seed, setting=setting)
    share = diagnostics.residual_norms(alone[16], digits.few(seed)[1])["ratio"]
    figures |= finer | lost | {
        NORM: exponent(ratio),
        "exponent of |F|/|h| over depth, untrained, no normalisation": exponent(free),
        "exponent of |F| over depth, mean over blocks": exponent(added),
        "rank correlation of |F|/|h| and the loss without the block": float(stats.spearmanr(share, lesion["loss"])[0]),
    }
    controls = {
        EQUAL: {WORSE: without[EQUAL]},
        SHALLOW: {WORSE: without[SHALLOW]},
        KEPT: kept,
        FRESH: {NORM: exponent(fresh)},
        PLAIN: lesioned(plain, seed, "state")[0],
    }
    return Sample(figures=figures, controls=controls, curves={"way": way, "ratio": ratio, "fresh": fresh, **errors})


def draw(outcome: Outcome, samples: Sequence[Sample]) -> Figure:
    """Return errors on the way through the cycles, errors of finer tied networks, and norms over depth."""
    figure = style.blank(height=4.2, title="Trained from coarse to fine; refined without training; steps over depth")
    cycles, refined, by_depth = figure.subplots(1, 3)
    for k, sample in enumerate(samples):
        curves, named = sample.curves, k == 0
        least = sample.figures[START]
        cycles.plot(curves["way"], "o-", color=style.BLUE, label="in cycles" if named else None)
        for at, value, kind, colour, name in (
            (4.3, least, "D", style.BLACK, "16 blocks, from the start"),
            (4.6, least + sample.controls[EQUAL][WORSE], "s", style.VERMILION, "the same, equal compute"),
            (4.9, least + sample.controls[SHALLOW][WORSE], "^", style.GREEN, "4 blocks throughout"),
        ):
            cycles.plot(at, value, kind, color=colour, label=name if named else None)
        for axes, x, one, other, names in (
            (refined, [STEPS * times for times in TIMES], "falls", "kept", ("dt falls", "dt kept")),
            (by_depth, DEPTHS, "ratio", "fresh", ("trained", "untrained")),
        ):
            for curve, name, colour in ((one, names[0], style.BLUE), (other, names[1], style.VERMILION)):
                values = curves[curve]
                shown = list(values.values()) if isinstance(values, dict) else values
                axes.plot(x, shown, "o-", color=colour, label=name if named else None)
    first = float(np.mean([sample.curves["ratio"][DEPTHS[0]] for sample in samples]))
    line = [first * DEPTHS[0] / depth for depth in DEPTHS]
    by_depth.plot(DEPTHS, line, "--", color=style.GREY, label="steps of T / d")
    cycles.set_xticks(range(5), ["4", "copied\nto 8", "8", "copied\nto 16", "16"])
    cycles.set_ylim(top=1.3 * cycles.get_ylim()[1])
    for axes, what, title in (
        (cycles, "blocks", "Untied, each cycle learns"),
        (refined, "steps", "Tied, no training"),
        (by_depth, "blocks", "|F| / |h|, median block"),
    ):
        axes.set(xlabel=what, title=title, ylabel="" if axes is by_depth else "error on other digits (%)")
        axes.legend(frameon=False, fontsize=10)
        style.tidy(axes)
    for axes, ticks in ((refined, [STEPS * times for times in TIMES]), (by_depth, DEPTHS)):
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
    by_depth.set_yscale("log")
    by_depth.set_yticks([0.1, 0.2, 0.5, 1.0], ["0.1", "0.2", "0.5", "1"], minor=False)
    by_depth.minorticks_off()
    return figure


if __name__ == "__main__":
    sys.exit(main(CLAIM, measure, draw))
