"""Small shares of the residual keep wide networks stable in training. A claim of Szegedy et al., at small scale.

::

    python simulations/claims/szegedy_2016.py
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from cortexres import nn
from cortexres.claims import Check, Claim, Outcome, Published, Sample, Setting, digits, main
from cortexres.errors import DivergedError
from cortexres.plots import Figure, style

WIDTHS = (64, 1024)
# by scale, half-decades around the largest rate that trains; a third is shown at one rate only
LEARNING_RATES = {1.0: (1e-3, 3e-3, 1e-2, 3e-2, 1e-1), 0.3: (1e-1,), 0.1: (1e-1, 3e-1, 1.0)}
SCALES, SHOWN = tuple(LEARNING_RATES), tuple(sorted({rate for rates in LEARNING_RATES.values() for rate in rates}))
NARROW, WIDE = WIDTHS
TRAINS, CHANCE = 50.0, 90.0  # errors, in percent
THRESHOLD = f"learning rates at which {NARROW} units train unscaled and {WIDE} do not (of 5)"
DEAD = f"lowest error of {WIDE} units unscaled, learning rates of 0.001 to 0.1 (%)"
NORMALISED = f"error of {WIDE} units unscaled but normalised, learning rate of 0.1 (%)"
BEST = f"lowest error of {WIDE} units, learning rates of 0.1 to 1, unscaled 0.001 to 0.1 (%)"
EDGE = f"largest learning rate at which {WIDE} units train"
THIRD = f"{EDGE}, scale 0.3, not above 0.1"
FAST = f"error of {WIDE} units at a learning rate of 0.1 (%)"
UNSCALED, SCALED = "residuals not scaled", "residuals scaled by 0.1, not normalised"

CLAIM = Claim(
    name="szegedy_2016",
    title="Above 1000 filters residual networks die unless residuals are scaled",
    source="Szegedy, Ioffe, Vanhoucke & Alemi 2017, arXiv:1602.07261, section 3.3",
    statement="Residual networks of more than 1000 filters died early in training, which neither a lower learning rate "
    "nor more batch normalisation prevented; adding 0.1 to 0.3 of each residual did. Here: 8 dense blocks of 64 or "
    "1024 units, three epochs of digits, without normalisation but for one; a network trains where its error falls "
    "below 50 %. The first three checks are on what dies, the others on what scaling does. The scale is dt / tau of an "
    "Euler step.",
    published=Published("direction only: above 1000 filters, only scales of 0.1 to 0.3 keep networks from dying"),
    checks=(
        Check(figure=THRESHOLD, at_least=1.0, control=SCALED, published=Published("dead above 1000 filters")),
        Check(figure=DEAD, at_least=TRAINS, control=SCALED, published=Published("lower rates do not help")),
        Check(figure=NORMALISED, at_least=TRAINS, control=SCALED, published=Published("normalisation does not help")),
        Check(figure=BEST, at_most=15.0, control=UNSCALED),
        Check(figure=EDGE, at_least=0.1, control=UNSCALED, published=Published("scaling stabilises")),
        Check(figure=THIRD, at_least=0.1, control=UNSCALED, published=Published("scaling stabilises")),
        Check(figure=FAST, at_most=20.0, control=UNSCALED, published=Published("scaling stabilises")),
    ),
    remarks="What is special to the source fails here. Unscaled, 1024 units train at lower rates, to errors of 4 to 5 "
    "%; with batch normalisation inside the branches they train unscaled at 0.1 as well; and 64 units do not train "
    "where 1024 fail but at one rate of one seed: both stop at 0.01 or 0.03. What does reproduce is that scaling "
    "widens the range of rates at which networks without normalisation train, at either width: with a scale of 0.1 "
    "both train up to 1, the largest rate tried. A scale of s also multiplies what a step of training does to the sum "
    "by s * s, which by itself moves that range. The lowest error over rates is that of each network over its own, "
    "half-decades around the largest that trains; rates below 0.1, not tried for the scaled one, could only lower "
    "its. The published networks are normalised and fail after ten thousands of steps; these take 63.",
)


def error(
    width: int, scale: float, learning_rate: float, *, seed: int, setting: Setting, norm: str = "none"
) -> float:
    """Return the error after training, in percent; that of guessing where the loss stops being finite."""
    network = nn.create(
        "digits_untied",
        rng=seed,
        norm=norm,
        blocks=[30 if setting.large else 8],
        widths=[width],
        stem={"kind": "linear", "width": width},
        transform={"kind": "dense", "layers": 1},
        shortcut={"kind": "scaled", "scale": scale},
    )
    epochs = 5 if setting.large else 3
    try:
        digits.trained(network, rng=seed, epochs=epochs, learning_rate=learning_rate, device=setting.device)
    except DivergedError:
        return CHANCE
    return digits.error(network)


def edge(errors: Mapping[float, float]) -> float:
    """Return the largest learning rate that trains; 0 where none does."""
    return max((rate for rate, found in errors.items() if found < TRAINS), default=0.0)


def measure(seed: int, setting: Setting) -> Sample:
    """Return where training works, over width, learning rate and scale."""
    found = {
        (scale, width): {rate: error(width, scale, rate, seed=seed, setting=setting) for rate in rates}
        for scale, rates in LEARNING_RATES.items()
        for width in WIDTHS
    }
    unscaled, third, tenth = (found[scale, WIDE] for scale in SCALES)
    died = {scale: float(only_narrow(found[scale, NARROW], found[scale, WIDE])) for scale in SCALES}
    normalised = error(WIDE, 1.0, 0.1, seed=seed, setting=setting, norm="batch")
    lowest, lowest_tenth = min(unscaled.values()), min(tenth.values())
    return Sample(
        figures={
            THRESHOLD: died[1.0],
            DEAD: lowest,
            NORMALISED: normalised,
            BEST: lowest_tenth,
            EDGE: edge(tenth),
            THIRD: edge(third),
            FAST: tenth[0.1],
            f"largest learning rate at which {NARROW} units train, unscaled": edge(found[1.0, NARROW]),
            f"largest learning rate at which {NARROW} units train, scale 0.1": edge(found[0.1, NARROW]),
            f"lowest error of {NARROW} units unscaled, learning rates of 0.001 to 0.1 (%)": min(
                found[1.0, NARROW].values()
            ),
        },
        controls={
            UNSCALED: {BEST: lowest, EDGE: edge(unscaled), THIRD: edge(unscaled), FAST: unscaled[0.1]},
            SCALED: {THRESHOLD: died[0.1], DEAD: lowest_tenth, NORMALISED: tenth[0.1]},
        },
        curves={"error": found},
    )


def only_narrow(narrow: Mapping[float, float], wide: Mapping[float, float]) -> int:
    """Return the number of learning rates at which the narrow network trains and the wide one does not."""
    return sum(narrow[rate] < TRAINS <= wide[rate] for rate in narrow)


def draw(outcome: Outcome, samples: Sequence[Sample]) -> Figure:
    """Return a map of the error over width and learning rate for each scale, the mean over seeds."""
    figure = style.blank(height=3.4, title="Error by width, learning rate and scale")
    panels = figure.subplots(1, len(SCALES), sharey=True)
    for axes, scale in zip(panels, SCALES, strict=True):
        values = np.full((len(WIDTHS), len(SHOWN)), np.nan)
        for (row, width), (column, rate) in product(enumerate(WIDTHS), enumerate(SHOWN)):
            if rate in LEARNING_RATES[scale]:
                values[row, column] = np.mean([sample.curves["error"][scale, width][rate] for sample in samples])
        image = axes.imshow(values, vmin=0, vmax=CHANCE, origin="lower", aspect="auto", cmap="viridis_r")
        for (row, column), value in np.ndenumerate(values):
            colour = "white" if value > TRAINS else "black"
            text = "" if np.isnan(value) else f"{value:.0f}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=11)
        axes.set_xticks(range(len(SHOWN)), [f"{rate:g}".removeprefix("0") for rate in SHOWN], fontsize=9)
        axes.set_yticks(range(len(WIDTHS)), [str(width) for width in WIDTHS])
        axes.set_title(f"scale {scale:g}" if scale < 1 else "unscaled")
        axes.set_xlabel("learning rate")
        style.tidy(axes)
    panels[0].set_ylabel("units")
    style.colour_bar(panels[-1], image, label="error on other digits (%)")
    return figure


if __name__ == "__main__":
    sys.exit(main(CLAIM, measure, draw))
