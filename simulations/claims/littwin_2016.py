"""Does the ensemble of paths deepen in training, by the scale of normalisation? Littwin and Wolf, at small scale.

::

    python simulations/claims/littwin_2016.py
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from scipy import stats

from cortexres import diagnostics, nn
from cortexres.claims import Check, Claim, Outcome, Published, Sample, Setting, digits, main
from cortexres.nn.norms import StepNorm
from cortexres.nn.training import recipes
from cortexres.plots import Figure, style

LOOKS, LARGE_LOOKS = (0, 1, 2, 4, 8, 16, 30), (0, 1, 2, 5, 10, 30, 100)  # after so many epochs
BLOCKS, LARGE_BLOCKS = 18, 54
SHOWN, DRAWS = 200, 2  # images, and paths of each length for each of them
SMALL = 0.1  # scale to start from in a variant

DEEPENS = "effective depth at the end minus at the start (blocks)"
START = "effective depth at the start, share of all blocks"
FOLLOWS = "rank correlation of effective depth and mean scale over epochs"
CAUSES = "effective depth with branches twice minus half as large, trained network (blocks)"
FROZEN, LOUD, BEFORE = "scales held at 1", "scales that start at 4", "scales in front of another normalisation"
LABELS = {
    "learned": "scales learned",
    FROZEN: FROZEN,
    "pre-activation": "scales learned, pre-activation",
    "from 0.1": "scales learned, from 0.1",
}

CLAIM = Claim(
    name="littwin_2016",
    title="The ensemble deepens in training, by the normalisation's scale",
    source="Littwin & Wolf 2016, arXiv:1611.02525",
    statement="A residual network is an ensemble of paths whose depth is not fixed: paths of fewer than half of the "
    "blocks dominate at first, longer ones gain weight in training, and what drives this is the learned scale of "
    "normalisation. Here: 18 blocks of two layers of 64 units on digits, each branch ending in batch normalisation. "
    "The effective depth is the mean length of paths, each weighted by its gradient.",
    published=Published("direction: dominated by less than half the depth at first, then deeper and deeper"),
    checks=(
        Check(figure=DEEPENS, at_least=0.0, of="mean", control=FROZEN, published=Published("deeper in training")),
        Check(figure=START, at_most=0.5, control=LOUD, published=Published("below half the depth")),
        Check(figure=FOLLOWS, at_least=0.5, control=FROZEN, published=Published("driven by the scale")),
        Check(figure=CAUSES, at_least=1.0, control=BEFORE, published=Published("controlled by the scale")),
    ),
    remarks="At the start paths are shorter than half of the blocks, as published, but so they are where the scales "
    "start at 4 (0.44 of the depth in place of 0.41): that check tells nothing of the scale. In training paths get "
    "shorter, most of it in the first epoch, and as much where the scales are held at 1: the learned ones fall by "
    "about a hundredth. Depth and scale then fall together, and the rank correlation is high, but as high with the "
    "depths of the network without scales, so that it says nothing of a cause. That a scale can move the depth is "
    "seen only where it is set: branches twice instead of half as large lead through longer paths at every seed, by "
    "less than the block that was asked for at some. The source has convolutional networks on CIFAR, trained for many "
    "more steps. Momentum starts anew after each look.",
)


def network(seed: int, setting: Setting, **changes: object) -> nn.StagedNetwork:
    """Return the network of He et al. (2015), dense: two layers, each with its norm, and ReLU after the sum."""
    blocks = [LARGE_BLOCKS if setting.large else BLOCKS]
    transform = {"kind": "dense", "layers": 2}
    made = nn.create("digits_untied", rng=seed, blocks=blocks, **({"order": "post", "transform": transform} | changes))
    assert isinstance(made, nn.StagedNetwork)
    return made.to(setting.device)


def norms(network: nn.StagedNetwork, layer: int) -> list[StepNorm]:
    """Return the normalisations of one layer, first or second, of all blocks."""
    return [block.transform.norms[layer] for block in network.stages[0].recurrent.blocks]


@torch.no_grad()
def scaled(network: nn.StagedNetwork, factor: float, *, layer: int) -> nn.StagedNetwork:
    """Return a copy whose normalisations of a layer return so many times what they did."""
    own = copy.deepcopy(network)
    for norm in norms(own, layer):
        norm.weight *= factor
        norm.bias *= factor
    return own


def depth(network: nn.StagedNetwork) -> float:
    """Return the effective depth in blocks, batch statistics being those of all images to learn."""
    own = copy.deepcopy(network).train()
    for module in own.modules():
        if isinstance(module, StepNorm):
            module.recipe = replace(module.recipe, momentum=1.0)
    with torch.no_grad():
        own(nn.inputs_of(own, digits.images()))
    shown = digits.others().isel(stimulus=slice(SHOWN))
    return float(diagnostics.effective_depth(own.eval(), shown, draws=DRAWS, rng=0)["mean_length"])


def mean_scale(network: nn.StagedNetwork) -> float:
    """Return the mean magnitude of the scales that end the branches; 1 where they are not learned."""
    scales = [1.0 if norm.weight is None else float(norm.weight.detach().abs().mean()) for norm in norms(network, 1)]
    return float(np.mean(scales))


def course(network: nn.StagedNetwork, seed: int, setting: Setting) -> np.ndarray:
    """Return (effective depth, mean scale) at each look at a network that is trained on the way, (look, 2)."""
    looks = LARGE_LOOKS if setting.large else LOOKS
    rows = [(depth(network), mean_scale(network))]
    for k, (start, stop) in enumerate(pairwise(looks)):
        schedule = partial(part_of_cosine, start=start / looks[-1], stop=stop / looks[-1])
        digits.trained(network, rng=len(looks) * seed + k, epochs=stop - start, schedule=schedule)
        rows.append((depth(network), mean_scale(network)))
    return np.array(rows)


def change(course: np.ndarray) -> float:
    """Return by how many blocks the effective depth changed over a course."""
    return float(course[-1, 0] - course[0, 0])


def part_of_cosine(done: float, *, start: float, stop: float) -> float:
    """Return the factor of the learning rate in a training that is part of a longer one; both from 0 to 1."""
    return recipes.cosine(start + done * (stop - start))


def loud(seed: int, setting: Setting) -> float:
    """Return the share of the blocks on the mean path at the start, where the last scales are 4 and not 1."""
    made = scaled(network(seed, setting), 4.0, layer=1)
    return depth(made) / made.steps[0]


def measure(seed: int, setting: Setting) -> Sample:
    """Return how effective depth and scale go together over the training, and what a scale does to the depth."""
    trained = network(seed, setting)
    small = scaled(trained, SMALL, layer=1)
    frozen = network(seed, setting, norm={"kind": "batch", "affine": "none"})
    preactivated = network(seed, setting, order="pre")
    names = {"learned": trained, FROZEN: frozen, "pre-activation": preactivated, "from 0.1": small}
    courses = {name: course(made, seed, setting) for name, made in names.items()}
    own, held = courses["learned"], courses[FROZEN]
    reach = [depth(scaled(trained, 2.0, layer=k)) - depth(scaled(trained, 0.5, layer=k)) for k in (0, 1)]
    figures = {
        DEEPENS: change(own),
        START: own[0, 0] / trained.steps[0],
        FOLLOWS: float(stats.spearmanr(own[:, 0], own[:, 1]).statistic),
        CAUSES: reach[1],
        "mean scale at the end (1 at the start)": own[-1, 1],
        "the same with pre-activation (blocks)": change(courses["pre-activation"]),
        f"the same with scales from {SMALL} (blocks)": change(courses["from 0.1"]),
        "error (%)": digits.error(trained),
    }
    controls = {
        FROZEN: {
            DEEPENS: change(held),
            FOLLOWS: float(stats.spearmanr(held[:, 0], own[:, 1]).statistic),
            "error (%)": digits.error(frozen),
        },
        LOUD: {START: loud(seed, setting)},
        BEFORE: {CAUSES: reach[0]},
    }
    return Sample(figures=figures, controls=controls, curves={"courses": courses})


def draw(outcome: Outcome, samples: Sequence[Sample]) -> Figure:
    """Return effective depth and mean scale over the training, a line per seed."""
    figure = style.blank(height=4.2, title="Effective depth over training: it falls, with learned scales and without")
    left, right = figure.subplots(1, 2)
    colours = {"learned": style.BLUE, FROZEN: style.GREY, "pre-activation": style.GREEN, "from 0.1": style.ORANGE}
    looks = LARGE_LOOKS if outcome.setting == "large" else LOOKS
    places = range(len(looks))
    for k, sample in enumerate(samples):
        for name, course in sample.curves["courses"].items():
            label = None if k else LABELS[name]
            left.plot(places, course[:, 0], "o-", color=colours[name], label=label)
            if name in ("learned", FROZEN):
                right.plot(places, course[:, 1], "o-", color=colours[name], label=label)
    half = (LARGE_BLOCKS if outcome.setting == "large" else BLOCKS) / 2
    left.axhline(half, color=style.BLACK, linewidth=0.8, linestyle=":", label="half of the blocks")
    left.set(ylabel="effective depth (blocks)", ylim=(0, None))
    right.set(ylabel="mean scale at the end of a branch")
    for axes in (left, right):
        axes.set_xticks(places, [str(look) for look in looks])
        axes.set_xlabel("epochs")
        axes.legend(frameon=False, loc="lower left", ncols=2 if axes is left else 1, fontsize=9)
        style.tidy(axes)
    return figure


if __name__ == "__main__":
    sys.exit(main(CLAIM, measure, draw))
