"""Networks that grow from little learn with less. A claim of Stanley and Miikkulainen, for residual networks.

::

    python simulations/claims/stanley_2002.py

With neat-python installed (pip install neat-python), NEAT itself is run on XOR beside.
"""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cortexres import nn
from cortexres.claims import Check, Claim, Outcome, Published, Sample, Setting, digits, main
from cortexres.nn import growth
from cortexres.plots import Figure, style

WIDTH, FULL = 6, 16
LEVELS = {1: 12, 2: 6, 4: 3, 8: 2, FULL: 1}  # epochs at each number of blocks
RATES = (0.2, 0.4)
SAVED = "error saved by growing, against full size from the start (points)"
CHANGE = "change of the logits where blocks are inserted (largest)"
GROWN, LARGE, SMALL = (
    f"error of a network {kind} (%)"
    for kind in (f"grown from 1 block to {FULL}", f"of {FULL} blocks from the start", "of 1 block, never grown")
)
AGAIN, RANDOM = "full size from the start, drawn again", "new blocks of random weights"
SOLVED, OFF = "NEAT on XOR: runs that solved it (%)", "no new nodes or connections"
EVALUATIONS, HIDDEN = "NEAT on XOR: evaluations, at most 15,000", "NEAT on XOR: hidden nodes of the best network"

CLAIM = Claim(
    name="stanley_2002",
    title="Growing from a minimal network costs less than starting large",
    source="Stanley & Miikkulainen 2002, Evolutionary Computation 10:99, doi:10.1162/106365602320169811",
    statement="Evolution that starts from minimal networks and adds structure, which keeps what works, needs fewer "
    "evaluations than evolution that starts with structure or never adds any. Here, by gradient: residual networks "
    f"{WIDTH} units wide learn digits from 1 block and are grown to {FULL} by blocks that are the identity at first, "
    f"against {FULL} blocks from the start. Both may use the same number of multiplications.",
    published=Published(
        "double pole balancing: 3,600 evaluations; 23,033 from random structure; 30,239 and 80 % failures without "
        "growth (table 3)"
    ),
    checks=(
        Check(figure=SAVED, at_least=0.0, of="mean", control=AGAIN),
        Check(figure=CHANGE, at_most=0.0, control=RANDOM),
    ),
    seeds=6,
    remarks="Structure comes on a schedule: nothing selects it, and speciation and crossover have no counterpart here. "
    f"Each network takes the best of {len(RATES)} learning rates by the digits of the test, which favours none. What "
    "saves is to train a small network first: the smallest, never grown, is the best of all on digits, which need no "
    "depth. So growing is shown to beat starting large and, where it starts as the identity, to lose little, not to be "
    "needed. With 8 blocks as the full size it saved 0.95 points (interval 0.04 to 1.86, 12 seeds). Where structure is "
    "needed, NEAT on XOR, is run with neat-python where it is installed, with the settings of its example and at most "
    "100 generations (paper: 4,755 evaluations and 2.35 hidden nodes on average, no failure in 100 runs).",
)


def network(blocks: int, *, seed: int, setting: Setting) -> Any:
    """Return a residual network of so many blocks."""
    width = 2 * WIDTH if setting.large else WIDTH
    stem = {"kind": "linear", "width": width}
    return nn.create("digits_untied", rng=seed, blocks=[blocks], widths=[width], stem=stem, device=setting.device)


def cost(blocks: int) -> int:
    """Return the multiplications of one digit: 64 pixels to the first state, two layers per block, 10 classes."""
    return (64 + 10) * WIDTH + 2 * WIDTH**2 * blocks


def trained(made: Any, *, epochs: int, seed: int, rate: float, setting: Setting) -> float:
    """Return the error of a network after training."""
    epochs *= 4 if setting.large else 1
    return digits.error(digits.trained(made, rng=seed, epochs=epochs, learning_rate=rate, device=setting.device))


def fixed(blocks: int, *, seed: int, setting: Setting) -> float:
    """Return the error of a network of so many blocks from the start, for the compute that growing takes, or more."""
    epochs = math.ceil(sum(each * cost(level) for level, each in LEVELS.items()) / cost(blocks))
    made = [network(blocks, seed=seed, setting=setting) for _ in RATES]
    runs = zip(made, RATES, strict=True)
    return min(trained(one, epochs=epochs, seed=seed, rate=rate, setting=setting) for one, rate in runs)


def grow(*, seed: int, rate: float, setting: Setting, identity: bool = True) -> tuple[list[float], float]:
    """Return the error at the end of each level, and the largest change of the logits at an insertion."""
    made, errors, change = network(1, seed=seed, setting=setting), [], 0.0
    shown = nn.inputs_of(made, digits.others())
    for level, (blocks, epochs) in enumerate(LEVELS.items()):
        if level:
            before = made(shown).detach()
            made = growth.insert(made, range(1, blocks // 2 + 1), rng=100 * level + seed)
            if not identity:
                for block in list(made.stages[0].recurrent.blocks)[1::2]:
                    block.reset_parameters(100 * level + seed)
            change = max(change, float((made(shown).detach() - before).abs().max()))
        errors.append(trained(made, epochs=epochs, seed=10 * seed + level, rate=rate, setting=setting))
    return errors, change


def best_grown(seed: int, setting: Setting, *, identity: bool) -> tuple[list[float], float]:
    """Return what `grow` does, at the rate of the least error."""
    runs = [grow(seed=seed, rate=rate, setting=setting, identity=identity) for rate in RATES]
    return min(runs, key=lambda run: run[0][-1])


def measure(seed: int, setting: Setting) -> Sample:
    """Return the errors of networks that grow and of fixed ones, and those of NEAT where it can be had."""
    (grown, change), (random, jump) = (best_grown(seed, setting, identity=identity) for identity in (True, False))
    large, again, small = (
        fixed(blocks, seed=own, setting=setting) for blocks, own in ((FULL, seed), (FULL, 1000 + seed), (1, seed))
    )
    figures = {SAVED: large - grown[-1], CHANGE: change, GROWN: grown[-1], LARGE: large, SMALL: small}
    controls = {AGAIN: {SAVED: large - again}, RANDOM: {CHANGE: jump, GROWN: random[-1]}}
    if importlib.util.find_spec("neat"):
        figures |= neat_on_xor(seed, grows=True)
        controls[OFF] = neat_on_xor(seed, grows=False)
    return Sample(figures=figures, controls=controls, curves={"grown": grown, "random": random})


def neat_on_xor(seed: int, *, grows: bool) -> dict[str, float]:
    """Return whether NEAT solves XOR in 100 generations, after how many evaluations, by how many hidden nodes."""
    import neat

    kinds = neat.DefaultGenome, neat.DefaultReproduction, neat.DefaultSpeciesSet, neat.DefaultStagnation
    settings = neat.Config(*kinds, Path(__file__).with_suffix(".cfg"))
    if not grows:
        settings.genome_config.node_add_prob = settings.genome_config.conn_add_prob = 0.0
    cases, wanted, evaluations = ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)), np.array([0, 1, 1, 0]), 0

    def evaluate(genomes: list[Any], config: Any) -> None:
        nonlocal evaluations
        for _, genome in genomes:
            made = neat.nn.FeedForwardNetwork.create(genome, config)
            outputs = np.array([made.activate(case)[0] for case in cases])
            right = bool(((outputs > 0.5) == wanted).all())  # each output on the right side of one half
            genome.fitness = 4.0 if right else 4.0 - float(((outputs - wanted) ** 2).sum())
            evaluations += 1

    best = neat.Population(settings, seed=seed).run(evaluate, 100)
    solved = best.fitness == 4.0
    return {SOLVED: 100.0 * solved, EVALUATIONS: float(evaluations), HIDDEN: len(best.nodes) - 1.0}  # one is the output


def draw(outcome: Outcome, samples: Sequence[Sample]) -> Figure:
    """Return the error over the compute spent, a line per seed, and that of networks of one size at its end."""
    figure = style.blank(height=4.4, title=f"Error over compute: growing from 1 block, against {FULL} from the start")
    axes = figure.subplots()
    spent = np.cumsum([epochs * cost(blocks) for blocks, epochs in LEVELS.items()]) / 1000
    for k, sample in enumerate(samples):
        ends = {name: sample.figures[name] for name in (LARGE, SMALL)}
        for name, colour, where, values, kind in (
            ("grown, new blocks of random weights", style.ORANGE, spent, sample.curves["random"], "o:"),
            ("grown, new blocks start as the identity", style.BLUE, spent, sample.curves["grown"], "o-"),
            (f"{FULL} blocks from the start", style.VERMILION, 1.02 * spent[-1:], [ends[LARGE]], "D"),
            ("1 block, never grown", style.GREEN, 1.04 * spent[-1:], [ends[SMALL]], "s"),
        ):
            axes.plot(where, values, kind, color=colour, alpha=0.8, label=None if k else name)
    for at, blocks in zip(spent, LEVELS, strict=True):
        axes.annotate(f"{blocks} block{'s' * (blocks > 1)}", (at, 0.4), ha="center", fontsize=10, color=style.GREY)
    axes.set_xlabel("multiplications per digit, over all epochs (thousands)")
    axes.set_ylabel("error on other digits (%)")
    axes.set_ylim(0, 1.35 * axes.get_ylim()[1])
    axes.legend(frameon=False, fontsize=10, ncols=2, loc="upper left")
    style.tidy(axes)
    return figure


if __name__ == "__main__":
    sys.exit(main(CLAIM, measure, draw))
