"""Small shares of the residual keep wide networks stable in training. A claim of Szegedy et al., at small scale.

::

    python simulations/claims/szegedy_2016.py
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import numpy as np

from cortexres import nn
from cortexres.claims import Check, Claim, Outcome, Published, Sample, Setting, digits, main
from cortexres.errors import ArgumentError
from cortexres.plots import Figure, style

WIDTHS, SCALES = (64, 256, 1024), (1.0, 0.3, 0.1)
LEARNING_RATES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
WIDE = WIDTHS[-1]
TRAINS, CHANCE = 50.0, 90.0  # errors, in percent
EDGE = f"largest learning rate at which {WIDE} units train"
BEST = f"lowest error of {WIDE} units over all learning rates (%)"
NARROW = f"largest learning rate at which {WIDTHS[0]} units train"
NORMALISED = f"error of {WIDE} units at a learning rate of 0.1, unscaled but normalised (%)"
FAST = f"error of {WIDE} units at a learning rate of 0.1 (%)"
THIRD = f"{EDGE}, scale 0.3"
UNSCALED = "residuals not scaled"

CLAIM = Claim(
    name="szegedy_2016",
    title="Scaling residuals by 0.1 to 0.3 stabilises wide networks",
    source="Szegedy, Ioffe, Vanhoucke & Alemi 2017, arXiv:1602.07261, section 3.3",
    statement="Residual networks of more than 1000 filters died early in training, at lower learning rates too; adding "
    "0.1 to 0.3 of each residual made them train. Here: 8 dense blocks of up to 1024 units, without normalisation, "
    "one epoch of digits; a network trains where its error falls below 50 %. The scale is dt / tau of an Euler step.",
    published=Published("direction only: scales of 0.1 to 0.3 stabilise networks of more than 1000 filters"),
    checks=(
        Check(figure=BEST, at_most=15.0, control=UNSCALED),
        Check(figure=EDGE, at_least=0.1, control=UNSCALED),
        Check(figure=THIRD, at_least=0.1, control=UNSCALED),
        Check(figure=FAST, at_most=20.0, control=UNSCALED),
    ),
    remarks="The published networks have normalisation inside their branches and fail after ten thousands of steps; "
    "these have none and fail within twenty. Scaling by s also multiplies what a step of training does to the "
    "sum by s * s, which by itself moves the learning rates that train; that the lowest error over all of "
    "them falls is beyond this (a check added after the map was seen). Low rates train the unscaled network "
    "too, though worse in one epoch, where the source found that lowering them did not help. No threshold "
    "near 1000 units was seen: unscaled, the network of 64 units did not train in one epoch at any rate, for "
    "the sum grows with depth whatever the width. With normalisation inside the branches, the wide network "
    "trained unscaled as well.",
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
    epochs = 5 if setting.large else 1
    try:
        digits.trained(network, rng=seed, epochs=epochs, learning_rate=learning_rate, device=setting.device)
    except ArgumentError as error:
        if "got a loss of" not in str(error):
            raise
        return CHANCE
    return digits.error(network)


def edge(errors: np.ndarray) -> float:
    """Return the largest learning rate that trains; 0 where none does."""
    return max((rate for rate, found in zip(LEARNING_RATES, errors, strict=True) if found < TRAINS), default=0.0)


def measure(seed: int, setting: Setting) -> Sample:
    """Return where training works, over width, learning rate and scale."""
    found = np.array(
        [
            [[error(width, scale, rate, seed=seed, setting=setting) for rate in LEARNING_RATES] for width in WIDTHS]
            for scale in SCALES
        ]
    )
    unscaled, third, tenth = (_figures(errors) for errors in found)
    normalised = error(WIDE, 1.0, 0.1, seed=seed, setting=setting, norm="batch")
    return Sample(
        figures={**tenth, THIRD: third[EDGE], NORMALISED: normalised},
        controls={UNSCALED: {**unscaled, THIRD: unscaled[EDGE]}},
        curves={"error": found},
    )


def _figures(errors: np.ndarray) -> Mapping[str, float]:
    """The figures of one scale, from its errors (width, learning rate)."""
    narrow, wide = errors[0], errors[-1]
    fast = float(wide[LEARNING_RATES.index(0.1)])
    return {EDGE: edge(wide), FAST: fast, BEST: float(wide.min()), NARROW: edge(narrow)}


def draw(outcome: Outcome, samples: Sequence[Sample]) -> Figure:
    """Return a map of the error over width and learning rate for each scale, the mean over seeds."""
    found = "Unscaled, wide networks fail at large learning rates, and train worse at small ones"
    figure = style.blank(height=3.8, title=found)
    error = np.mean([sample.curves["error"] for sample in samples], axis=0)
    panels = figure.subplots(1, len(SCALES), sharey=True)
    for axes, scale, values in zip(panels, SCALES, error, strict=True):
        image = axes.imshow(values, vmin=0, vmax=CHANCE, origin="lower", aspect="auto", cmap="viridis_r")
        for (row, column), value in np.ndenumerate(values):
            colour = "white" if value > TRAINS else "black"
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=colour, fontsize=11)
        axes.set_xticks(range(len(LEARNING_RATES)), [f"{rate:g}" for rate in LEARNING_RATES])
        axes.set_yticks(range(len(WIDTHS)), [str(width) for width in WIDTHS])
        axes.set_title(f"scale {scale:g}" if scale < 1 else "unscaled")
        axes.set_xlabel("learning rate")
        style.tidy(axes)
    panels[0].set_ylabel("units")
    style.colour_bar(panels[-1], image, label="error on other digits (%)")
    return figure


if __name__ == "__main__":
    sys.exit(main(CLAIM, measure, draw))
