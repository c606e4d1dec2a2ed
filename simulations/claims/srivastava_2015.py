"""Highway networks train at depths at which plain networks do not. A claim of Srivastava et al., at small scale.

::

    python simulations/claims/srivastava_2015.py
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cortexres import nn
from cortexres.claims import Check, Claim, Outcome, Published, Sample, Setting, digits, main
from cortexres.plots import Figure, style

DEPTHS = (4, 16, 50)
ERROR = "error at 50 layers (%)"
PLAIN = "plain network"

CLAIM = Claim(
    name="srivastava_2015",
    title="Highway networks train at depth",
    source="Srivastava, Greff & Schmidhuber 2015, arXiv:1505.00387",
    statement="A gate that starts nearly closed carries each layer's input on, so that networks of 50 layers learn by "
    "plain gradient descent where networks without gates do not. Here: layers of 64 units on digits, no "
    "normalisation.",
    published=Published("direction only: highway networks optimise at 100 layers, plain ones degrade"),
    checks=(
        Check(figure=ERROR, at_most=15.0, control=PLAIN),
        Check(figure="error at 4 layers (%)", at_most=15.0),
    ),
)


def network(depth: int, *, gated: bool, rng: int) -> nn.StagedNetwork:
    """Return a dense network of so many layers of one ReLU each; gates start closed, at a bias of -2."""
    shortcut = {"kind": "highway", "bias": -2.0} if gated else "none"
    transform = {"kind": "dense", "layers": 1, "final_activation": True}
    return nn.create(
        "digits_plain", rng=rng, blocks=[depth], norm="none", order="post", transform=transform, shortcut=shortcut
    )


def error(depth: int, *, gated: bool, seed: int) -> float:
    """Return the error of a trained network on digits that it has not seen, in percent."""
    return digits.error(digits.trained(network(depth, gated=gated, rng=seed), rng=seed))


def measure(seed: int, setting: Setting) -> Sample:
    """Return the errors of highway and plain networks over depth."""
    found = {
        gated: {f"error at {depth} layers (%)": error(depth, gated=gated, seed=seed) for depth in DEPTHS}
        for gated in (True, False)
    }
    return Sample(figures=found[True], controls={PLAIN: found[False]})


def draw(outcome: Outcome, samples: Sequence[Sample]) -> Figure:
    """Return the error over depth, a line per seed."""
    figure = style.blank(height=4.0, title="Error over depth: gates carry the input on")
    axes = figure.subplots()
    for k, sample in enumerate(samples):
        for name, colour, found in (
            ("highway", style.BLUE, sample.figures),
            ("plain", style.VERMILION, sample.controls[PLAIN]),
        ):
            axes.plot(DEPTHS, list(found.values()), "o-", color=colour, label=name if k == 0 else None)
    axes.set_xlabel("layers")
    axes.set_ylabel("error on other digits (%)")
    axes.legend(frameon=False)
    style.tidy(axes)
    return figure


if __name__ == "__main__":
    sys.exit(main(CLAIM, measure, draw))
