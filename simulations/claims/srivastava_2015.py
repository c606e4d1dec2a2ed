"""Highway networks train at 100 layers, where plain networks hardly do. A claim of Srivastava et al., at small scale.

::

    python simulations/claims/srivastava_2015.py
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cortexres import nn
from cortexres.claims import Check, Claim, Outcome, Published, Sample, Setting, digits, main
from cortexres.errors import DivergedError
from cortexres.nn.initial import fill_
from cortexres.plots import Figure, style

DEPTHS = (10, 50, 100)
EPOCHS = 15
BIAS = -4.0  # of the gates, and how fast highway networks learn
RATE = 0.2
OPEN_RATES = (0.2, 0.05, 0.02)  # of those whose gates start half open, the best at each seed and depth
How = tuple[str, float, float]  # activation, gain of the weights, learning rate
SEARCH: Mapping[int, tuple[How, ...]] = {  # the best for plain networks of 5 tried at 10 layers, 15 at 50, 7 at 100
    10: (("tanh", 1.2, 0.02), ("relu", math.sqrt(2.0), 0.02)),
    50: (("tanh", 1.2, 0.005), ("tanh", 1.2, 0.002)),
    100: (("tanh", 1.2, 0.002), ("relu", math.sqrt(2.0), 0.002)),
}
PLAIN, OPEN, SHALLOW = "plain network", "gates half open", "10 layers"
CHANCE, CHANCE_ERROR = math.log(10.0), 90.0  # of a guess: loss in nat, error in %
RATIO = "training loss at 100 layers, plain over highway (ratio)"


def cost(depth: int) -> str:
    """Return the name of the figure that says what depth costs."""
    return f"error at {depth} layers less that at 10 (points)"


CLAIM = Claim(
    name="srivastava_2015",
    title="Highway networks train at depth",
    source="Srivastava, Greff & Schmidhuber 2015, arXiv:1505.00387 and arXiv:1507.06228",
    statement="A gate that starts nearly closed carries each layer's input on, so that gradient descent trains "
    "networks of 50 and 100 layers about as well as those of 10, while networks without gates get worse with depth. "
    "Found here: at 100 layers highway networks do, and plain ones hardly learn; at 50 layers plain networks whose "
    "settings were searched for learn too, so that the contrast at 50 is with gates that start half open, not with "
    "plain networks. "
    "Here: digits in place of MNIST, 50 units a layer, as in the paper, and 71 for plain networks, which makes the "
    "parameters as many; no normalisation.",
    published=Published("50 and 100 layers perform like 10 and 20; over 2 orders better than plain at 100 (3.1)"),
    checks=(
        Check(figure=cost(50), at_most=3.0, control=PLAIN, published=Published("50 perform like 10 (section 3.1)")),
        Check(figure=cost(100), at_most=3.0, control=PLAIN, published=Published("100 perform like 20 (section 3.1)")),
        Check(figure=cost(50), at_most=3.0, control=OPEN),
        Check(
            figure=RATIO,
            at_least=10.0,
            control=SHALLOW,
            published=Published("more than 2 orders of magnitude better (section 3.1)"),
        ),
    ),
    remarks="At each seed and depth plain networks are given the better of two settings by their loss in training; "
    "these two were the best of 5 at 10 layers, of 15 at 50 and of 7 at 100 (activation, gain of the weights, "
    "learning rate; one seed each), highway networks one setting for all depths, and half-open gates (bias 0) the "
    "best of three rates. So searched, plain networks of 50 layers do learn, only worse: that they do not train at "
    "50 is not what is found. The check of it had been dropped after a first seed at which the plain network met its "
    "bound of 3 points; it is back, as the first. A training whose loss stops being finite counts as guessing. A bias "
    "of -2, the paper's for MNIST, was not enough at 50 layers here, for rates from 0.02 to 0.2 and one seed each; the "
    "bias is -4 at all depths. Figures of the source are of section 3.1 of arXiv:1505.00387, as quoted in full by "
    "others: MNIST, each network trained to its end, losses of plain ones below 1e-4 at 10 and 20 layers. These are "
    "trained for 15 epochs: in a trial with seed 0, plain networks of 50 layers had losses of 0.22 and 0.31 nat after "
    "15 epochs, and 0.20 and 0.06 after 40 (errors 5.4 and 6.2, then 6.6 and 3.4 %; learning rates 0.005 and 0.002). "
    "The published factor of 100 in the loss is therefore not expected. The bounds, 3 points and a factor of 10, are "
    "our own.",
)


@dataclass(frozen=True)
class Learned:
    """What a network has learned: cross-entropy in training in nat, error on other digits in percent; its size."""

    loss: float
    error: float
    parameters: int


def highway(depth: int, *, bias: float, rates: Sequence[float], seed: int, setting: Setting) -> Learned:
    """Return what a highway network learns whose gates start with the bias, at the best of the rates."""
    hows = [("relu", math.sqrt(2.0), rate) for rate in rates]
    return best(depth, shortcut={"kind": "highway", "bias": bias}, width=50, hows=hows, seed=seed, setting=setting)


def plain(depth: int, *, seed: int, setting: Setting) -> Learned:
    """Return what the best of the searched plain networks learns."""
    return best(depth, shortcut="none", width=71, hows=SEARCH[depth], seed=seed, setting=setting)


def best(
    depth: int, *, shortcut: object, width: int, hows: Sequence[How], seed: int, setting: Setting
) -> Learned:
    """Return what a network learns in the best of several ways, by its loss in training."""
    tried = [learned(depth, shortcut=shortcut, width=width, how=how, seed=seed, setting=setting) for how in hows]
    return min(tried, key=lambda found: found.loss)


def learned(depth: int, *, shortcut: object, width: int, how: How, seed: int, setting: Setting) -> Learned:
    """Return what a network learns; a guess where its loss stops being finite."""
    activation, gain, learning_rate = how
    stem, draw = {"kind": "linear", "width": width}, np.random.default_rng(seed)
    changes = {"blocks": [depth], "widths": [width], "stem": stem, "shortcut": shortcut, "activation": activation}
    network = nn.create("highway_mlp", rng=draw, **changes)
    for step in network.chain().steps:
        fill_(step.block.transform.layers[0], draw, gain=gain)
    epochs = 4 * EPOCHS if setting.large else EPOCHS
    parameters = nn.parameter_count(network)
    try:
        digits.trained(network, rng=seed, epochs=epochs, learning_rate=learning_rate, device=setting.device)
    except DivergedError:
        return Learned(loss=CHANCE, error=CHANCE_ERROR, parameters=parameters)
    return Learned(loss=loss(network), error=digits.error(network), parameters=parameters)


def loss(network: nn.StagedNetwork) -> float:
    """Return the mean cross-entropy of the digits that were learned, in nat."""
    labels = torch.as_tensor(digits.images()["label"].to_numpy())
    with torch.no_grad():
        logits = network(nn.inputs_of(network, digits.images())).cpu()
    return float(torch.nn.functional.cross_entropy(logits, labels))


def measure(seed: int, setting: Setting) -> Sample:
    """Return what highway and plain networks learn over depth, and what highways do whose gates start half open."""
    options = {"seed": seed, "setting": setting}
    closed = {depth: highway(depth, bias=BIAS, rates=(RATE,), **options) for depth in DEPTHS}
    half = {depth: highway(depth, bias=0.0, rates=OPEN_RATES, **options) for depth in DEPTHS[:2]}
    without = {depth: plain(depth, **options) for depth in DEPTHS}
    ratio = {depth: without[depth].loss / closed[depth].loss for depth in DEPTHS}
    controls = {PLAIN: figures(without), OPEN: figures(half), SHALLOW: {RATIO: ratio[10]}}
    curves = {"highway": closed, PLAIN: without, OPEN: half}
    return Sample(figures=figures(closed) | {RATIO: ratio[100]}, controls=controls, curves=curves)


def figures(found: Mapping[int, Learned]) -> dict[str, float]:
    """Return what depth costs networks of one kind, their errors and their losses."""
    costs = {cost(depth): found[depth].error - found[10].error for depth in found if depth > 10}
    errors = {f"error at {depth} layers (%)": each.error for depth, each in found.items()}
    losses = {f"training loss at {depth} layers (nat)": each.loss for depth, each in found.items()}
    return costs | errors | losses | {f"parameters at {depth} layers": each.parameters for depth, each in found.items()}


def draw(outcome: Outcome, samples: Sequence[Sample]) -> Figure:
    """Return error and loss in training over depth, a line per seed."""
    figure = style.blank(height=4.2, title="Gates that start closed carry the input through 100 layers")
    for axes, what in zip(figure.subplots(1, 2), ("error", "loss"), strict=True):
        for k, sample in enumerate(samples):
            for name, colour in (("highway", style.BLUE), (OPEN, style.ORANGE), (PLAIN, style.VERMILION)):
                found = sample.curves[name]
                values = [getattr(each, what) for each in found.values()]
                axes.plot(list(found), values, "o-", color=colour, label=name if k == 0 else None)
        axes.set(xlabel="layers", xticks=DEPTHS)
        style.tidy(axes)
    errors, losses = figure.axes
    errors.set(ylabel="error on other digits (%)", ylim=(0, 100))
    errors.legend(frameon=False, loc="upper right")
    losses.axhline(CHANCE, color=style.GREY, linestyle=":")
    losses.set(ylabel="cross-entropy in training (nat); dotted: guess", yscale="log")
    return figure


if __name__ == "__main__":
    sys.exit(main(CLAIM, measure, draw))
