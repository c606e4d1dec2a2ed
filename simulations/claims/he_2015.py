"""Residual networks train where plain ones degrade, by shortcuts that carry all. Claims of He et al., at small scale.

::

    python simulations/claims/he_2015.py
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from cortexres import nn
from cortexres.claims import Check, Claim, Outcome, Published, Sample, Setting, digits, main
from cortexres.plots import Figure, style


@dataclass(frozen=True)
class Errors:
    """Errors in percent, on the digits that a network has learned and on others."""

    learned: float
    other: float


Found = Mapping[str, Mapping[int, Errors]]  # by what is compared, then by layers

EPOCHS, EPOCHS_OF_MAPS, FIRST_EPOCHS = 8, 6, 5
SHALLOW, MIDDLE, DEEP, DEEPEST = 8, 20, 44, 110  # dense layers: one before and one after the blocks of two
FEW_MAPS, MANY_MAPS = 6, 30  # the same, of convolutions; half of the blocks see 8 x 8 pixels, half 4 x 4
SHORTCUTS: Mapping[str, object] = {
    "half of both": {"kind": "soft_assignment", "gamma": 0.5},
    "gate, bias 0": {"kind": "highway", "bias": 0.0},
    "gate, bias -6": {"kind": "highway", "bias": -6.0},
    "1x1 projection": "projection",
}
OPTIONS: Mapping[str, Mapping[str, str]] = {
    "A": {"transition": "zero_padding"},
    "B": {"transition": "projection"},
    "C": {"transition": "projection", "shortcut": "projection"},
    "plain": {"transition": "none", "shortcut": "none"},
}
PLAIN, FEW = "plain network", "few layers"
COST = "cost of depth: training error at 44 layers less that at 8 (points)"
ERROR = "error at 44 layers (%)"
PLAIN_MAPS = "error of plain convolutions, 30 layers (%)"
GAIN = "gain over plain, worst of options A, B, C, 30 layers, 6 epochs (points)"
EARLY = "training error of post- less that of pre-activation, 110 layers, 5 epochs (points)"


def cost_of(shortcut: str) -> str:
    """Return the name of the figure of a shortcut that is not the identity."""
    return f"{shortcut} in place of the identity, 44 layers, 8 epochs, one rate (points of error)"


CLAIM = Claim(
    name="he_2015",
    title="Residual networks train where plain ones degrade",
    source="He, Zhang, Ren & Sun 2015, arXiv:1512.03385, and 2016, arXiv:1603.05027",
    statement="Deeper plain networks have higher training errors; with shortcuts that carry each state on, depth does "
    "far less harm than without, by any of three ways of changing its shape (A: zeros for new channels, B: "
    "projections there, C: projections everywhere). Within 8 epochs at one learning rate, scaling, gating or "
    "projecting every shortcut does harm in deep networks, and the deepest learn faster if normalisation and "
    "activation come before the weights. Here: dense layers of 64 units, and convolutions for the three ways, all "
    "with batch normalisation, on digits, for 5 to 8 epochs.",
    published=Published("ImageNet, 18 -> 34 layers: plain 27.94 -> 28.54 %, residual 27.88 -> 25.03 % (2015, table 2)"),
    checks=(
        Check(
            figure=COST,
            at_most=5.0,
            control=PLAIN,
            published=Published("CIFAR-10, 20 to 56 layers: up for plain, down for residual (2015, figure 6)"),
        ),
        Check(figure=ERROR, at_most=10.0, control=PLAIN, published=Published("CIFAR-10: 7.17 % (2015, table 6)")),
        Check(
            figure=GAIN,
            at_least=3.5,
            control=FEW,
            published=Published("A, ImageNet: 3.51 points at 34 layers, 0.06 at 18 (2015, table 2)"),
        ),
        Check(
            figure=cost_of("half of both"),
            at_least=5.7,
            control=FEW,
            published=Published("trained to the end, CIFAR-10, 110 layers: 12.35 against 6.61 % (2016, table 1)"),
        ),
        Check(
            figure=cost_of("gate, bias 0"),
            at_least=13.4,
            control=FEW,
            published=Published("the same, bias 0 to -5: above 20 % ('fail') against 6.61 % (2016, table 1)"),
        ),
        Check(
            figure=cost_of("1x1 projection"),
            at_least=5.6,
            control=FEW,
            published=Published("the same: 12.22 against 6.61 % (2016, table 1); no harm at 34 layers (2015, table 3)"),
        ),
        Check(
            figure=EARLY,
            at_least=2.7,
            control=FEW,
            published=Published("trained, 1001 layers: 7.61 less 4.92 %; 110: 6.61 less 6.37 % (2016, table 3)"),
        ),
    ),
    remarks="Not seen here: a gain from depth, since 8 layers solve this task; the training error of residual networks "
    "rises with depth too, by about a point. Networks are trained for 5 to 8 epochs, and shortcuts at one learning "
    "rate (0.02) that was searched for none of them: differences of 50 points and more say that they do not train "
    "yet, and are not to be compared with those of the source, of networks trained to the end, which are 5.6 to 13.4 "
    "points and set the bounds. Gates on the shortcut alone (12.86 and 6.91 %; 2016, table 1) and dropout on it are "
    "not run. A gate of bias -6 lags behind the identity (published: 8.70 against 6.61 %), but more so with 8 layers, "
    "and not at all in trials with 56 layers and 10 or 25 epochs: no check is made of it. Option C, with which the "
    "paper of 2015 had its best result at 34 layers (table 3), was worse than plain at 30 in a first seed (47 against "
    "31 %), A and B were not (4 and 5 %); the paper of 2016 has C at 110 layers far behind the identity. Two settings "
    "had been changed after a first seed that missed the bounds, to 38 layers on maps of 4 x 4 and 2 x 2 pixels for "
    "the options and to 164 for the order; those that were planned first are back, 30 layers on 8 x 8 and 4 x 4, and "
    "110. In trials with one seed, 40 epochs left a "
    "plain network of 56 layers at 74 %, and learning rates of 0.005 and 0.1 in place of 0.02 helped it no more; but "
    "16 epochs brought plain convolutions of 22 layers to 2 %. The bounds on depth, 5 points and 10 %, are our own. "
    "Published figures were read in texts that quote the tables.",
)


def dense(
    layers: int,
    *,
    seed: int,
    setting: Setting,
    order: str = "post",
    shortcut: object = "identity",
    epochs: int = EPOCHS,
) -> Errors:
    """Return the errors of dense blocks of two layers, in the order of 2015 (post) or of 2016 (pre)."""
    width = 256 if setting.large else 64
    network = nn.create(
        "digits_untied",
        rng=seed,
        blocks=[(layers - 2) // 2],
        widths=[width],
        stem={"kind": "linear", "width": width},
        transform={"kind": "dense", "layers": 2, "final_activation": False},
        order=order,
        shortcut=shortcut,
    )
    return errors(network, epochs=epochs, seed=seed, setting=setting)


def maps(layers: int, *, option: str, seed: int, setting: Setting) -> Errors:
    """Return the errors of a network of convolutions in two stages; the second one halves the positions."""
    width, blocks = 32 if setting.large else 8, (layers - 2) // 4
    network = nn.create(
        "resnet20",
        rng=seed,
        channels=1,
        size=8,
        blocks=[blocks, blocks],
        widths=[width, 2 * width],
        strides=[1, 2],
        stem={"kind": "convolution", "width": width},
        **OPTIONS[option],
    )
    return errors(network, epochs=EPOCHS_OF_MAPS, seed=seed, setting=setting)


def errors(network: nn.StagedNetwork, *, epochs: int, seed: int, setting: Setting) -> Errors:
    """Return the errors of a network, once trained, on the digits that it has learned and on others."""
    digits.trained(network, rng=seed, epochs=epochs, device=setting.device)
    return Errors(learned=digits.error(network, digits.images()), other=digits.error(network))


def measure(seed: int, setting: Setting) -> Sample:
    """Return the errors of plain and residual networks over depth, and by shortcut, option and order."""
    options = {"seed": seed, "setting": setting}
    plain = {layers: dense(layers, shortcut="none", **options) for layers in (SHALLOW, MIDDLE, DEEP)}
    residual = {layers: dense(layers, **options) for layers in (SHALLOW, MIDDLE, DEEP)}
    by_shortcut = {"identity": residual} | {
        name: {layers: dense(layers, shortcut=shortcut, **options) for layers in (SHALLOW, DEEP)}
        for name, shortcut in SHORTCUTS.items()
    }
    by_option = {
        name: {layers: maps(layers, option=name, **options) for layers in (FEW_MAPS, MANY_MAPS)} for name in OPTIONS
    }
    by_order = {
        order: {
            layers: dense(layers, order=order, epochs=FIRST_EPOCHS, **options) for layers in (SHALLOW, DEEPEST)
        }
        for order in ("post", "pre")
    }
    many = compared(by_shortcut, DEEP) | gained(by_option, MANY_MAPS) | early(by_order, DEEPEST)
    few = compared(by_shortcut, SHALLOW) | gained(by_option, FEW_MAPS) | early(by_order, SHALLOW)
    curves = {"plain": plain, "residual": residual, "shortcut": by_shortcut, "option": by_option, "order": by_order}
    return Sample(figures=over_depth(residual) | many, controls={PLAIN: over_depth(plain), FEW: few}, curves=curves)


def over_depth(found: Mapping[int, Errors]) -> dict[str, float]:
    """Return what depth does to networks of one kind."""
    tested = {f"error at {layers} layers (%)": found[layers].other for layers in (SHALLOW, MIDDLE, DEEP)}
    learned = {f"error in training at {layers} layers (%)": found[layers].learned for layers in (SHALLOW, MIDDLE, DEEP)}
    return {COST: found[DEEP].learned - found[SHALLOW].learned} | tested | learned


def compared(found: Found, layers: int) -> dict[str, float]:
    """Return what each shortcut costs, in place of the identity, in networks of so many layers."""
    identity = found["identity"][layers].other
    return {cost_of(name): found[name][layers].other - identity for name in SHORTCUTS}


def gained(found: Found, layers: int) -> dict[str, float]:
    """Return what the options gain over the plain network; errors by option beside."""
    worst = max(found[name][layers].other for name in "ABC")
    each = {f"error with option {name}, 30 layers (%)": found[name][layers].other for name in "ABC"}
    return {GAIN: found["plain"][layers].other - worst} | each | {PLAIN_MAPS: found["plain"][layers].other}


def early(found: Found, layers: int) -> dict[str, float]:
    """Return how much more of what it learns a network of post-activation gets wrong after a few epochs."""
    return {EARLY: found["post"][layers].learned - found["pre"][layers].learned}


def draw(outcome: Outcome, samples: Sequence[Sample]) -> Figure:
    """Return the error over depth, and that of each shortcut, option and order in shallow and deep networks."""
    figure = style.blank(height=7.5, title="Shortcuts that carry all let deep networks learn, in few epochs")
    depth, shortcut, option, order = figure.subplots(2, 2).flat
    for k, sample in enumerate(samples):
        for name, colour in (("plain", style.VERMILION), ("residual", style.BLUE)):
            found = sample.curves[name]
            label = name if k == 0 else None
            depth.plot(list(found), [found[n].other for n in found], "o-", color=colour, label=label)
    depth.set(title="Depth: error on other digits", xlabel="layers", ylabel="error (%)", xticks=[SHALLOW, MIDDLE, DEEP])
    depth.legend(frameon=False)
    style.tidy(depth)
    beside(shortcut, samples, "shortcut", "other", title=f"Shortcut of every block, {EPOCHS} epochs")
    beside(option, samples, "option", "other", title=f"Where the shape changes, {EPOCHS_OF_MAPS} epochs")
    beside(order, samples, "order", "learned", title=f"Order, error in training, {FIRST_EPOCHS} epochs")
    return figure


def beside(axes: Axes, samples: Sequence[Sample], part: str, kind: str, *, title: str) -> None:
    """Draw the errors of what is compared, one dot per seed, few layers in grey and many in blue."""
    names = list(samples[0].curves[part])
    depths = sorted({layers for layers in samples[0].curves[part][names[-1]]})
    for side, (layers, colour) in enumerate(zip(depths, (style.GREY, style.BLUE), strict=True)):
        values = np.array([[getattr(s.curves[part][name][layers], kind) for name in names] for s in samples])
        places = np.arange(len(names)) + 0.34 * (side - 0.5)
        axes.bar(places, values.mean(axis=0), width=0.3, color=colour, alpha=0.45, label=f"{layers} layers")
        axes.plot(np.broadcast_to(places, values.shape), values, "o", color=colour, markersize=4)
    axes.set_xticks(range(len(names)), [name.replace(", ", "\n").replace(" of ", " of\n") for name in names])
    axes.set(title=title, ylabel="error (%)")
    axes.legend(frameon=False)
    style.tidy(axes)


if __name__ == "__main__":
    sys.exit(main(CLAIM, measure, draw))
