"""Blocks of a stage refine one estimate, in highway as in residual networks. Claims of Greff et al., at small scale.

::

    python simulations/claims/greff_2017.py
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes

from cortexres import diagnostics, nn
from cortexres.claims import Check, Claim, Outcome, Published, Sample, Setting, digits, main
from cortexres.diagnostics import later_blocks
from cortexres.errors import ArgumentError
from cortexres.plots import Figure, style

Figures = dict[str, float]
SHORTCUTS = {"residual": "identity", "highway": {"kind": "highway", "bias": -2.0}}
COLOURS = {"residual": style.BLUE, "highway": style.GREEN, "plain network": style.VERMILION}
RATES = (0.1, 0.01, 0.003)  # without normalisation; a finer search had the best of residual and of highway among them
PLAIN, UNTRAINED, NORMALISED, BARE = "plain network", "untrained network", "with normalisation", "no normalisation"
NEWER = "residual, activation first"
HALF = "error of the readout after half of the blocks (%)"
SPREAD = "spread of the estimate before the last block, of that after the first"
BIAS = "bias of the estimate, of its spread, mean over blocks"
ONE = "cost of deleting one block, median (points of error)"
SHUFFLED = "cost of a shuffle that keeps Kendall's tau above 0.8 (points of error)"
AGAINST = "blocks that add against the gradient of the loss (%)"
SAME = "distance between the errors of highway and residual networks (points)"
WINS = "error of residual networks less that of highway networks (points)"


def checks(kind: str) -> tuple[Check, ...]:
    """Return what must be found in residual, and as well in highway networks."""
    return (
        Check(figure=f"{kind}: {HALF}", at_most=50.0, control=PLAIN),
        Check(figure=f"{kind}: {SPREAD}", at_most=0.35, control=PLAIN, published=Published("falls", confirmed=False)),
        Check(figure=f"{kind}: {BIAS}", at_most=1 / 3, control=UNTRAINED, published=Published("0", confirmed=False)),
        Check(figure=f"{kind}: {ONE}", at_most=1.0, control=PLAIN),
        Check(figure=f"{kind}: {SHUFFLED}", at_most=5.0, control=PLAIN),
    )


CLAIM = Claim(
    name="greff_2017",
    title="Unrolled iterative estimation",
    source="Greff, Srivastava & Schmidhuber 2017, arXiv:1612.07771",
    statement="The blocks of a stage do not compute new features one after another: each refines an estimate of the "
    "same features, without bias and with less and less spread, so that blocks can be deleted and shuffled. So do "
    "highway networks, whose gates mix old and new estimates, and residual ones, and the two differ little where both "
    "train. Here: 18 dense blocks of 64 units on digits, the activation after the sum, as in networks of 2015.",
    published=Published("direction only: successive layers iteratively refine their estimates of the same features"),
    checks=(
        *checks("residual"),
        *checks("highway"),
        Check(figure=SAME, at_most=2.0, control=BARE, published=Published("about equal", confirmed=False)),
        Check(figure=f"{NEWER}: {AGAINST}", at_least=90.0, control=PLAIN),
        Check(figure=WINS, at_least=1.0, of="mean", control=NORMALISED),
    ),
    remarks="The plain network has 8 blocks, with which it learns as well; of 18 it does not. The last state stands "
    "for what is estimated, so that errors must vanish towards it: spread falls about as it would if blocks "
    "added independent amounts (to 0.24). What plain networks lack is that the readout, which only ever saw "
    "the last state, can read those before. Bias is small beside spread, not zero: 500 stimuli alone would "
    "give 0.04. Alone it says little, since normalised plain layers, which share no estimate, have less of it "
    "(0.07). And it is small with the activation after the sum only; where it comes first, each block begins "
    "with a normalisation that takes constants away, and bias is half the spread. That blocks add against the "
    "gradient of the loss was asked of such networks too, by Jastrzebski et al. (2018); with the activation "
    "after the sum it is true of gated blocks only. Shuffles leave the first block in its place, as in "
    "veit_2016. Without normalisation gates win, but a learned scale that starts at zero wins as well: it is "
    "the closed start rather than the gate that helps. The comparisons of the paper itself, on larger tasks, "
    "are not run.",
)


def network(
    shortcut: object, *, seed: int, setting: Setting, rate: float = 0.02, epochs: int = 20, **changes: object
) -> nn.StagedNetwork:
    """Return a trained network, wider in the large setting."""
    wide = {"widths": [256], "stem": {"kind": "linear", "width": 256}} if setting.large else {}
    made = nn.create("digits_untied", rng=seed, shortcut=shortcut, **{"order": "post", **wide, **changes})
    return digits.trained(made, rng=seed, epochs=epochs, learning_rate=rate, device=setting.device)


def estimates(own: nn.StagedNetwork) -> dict[str, np.ndarray]:
    """Return bias and spread of the state after each block as an estimate of the last, and the readout's error (%)."""
    found = diagnostics.estimation_error(own, digits.others())
    readout = diagnostics.early_readout(own, digits.others())["error"].to_numpy()
    return {"bias": found["bias"].to_numpy(), "spread": found["spread"].to_numpy(), "readout": 100 * readout}


def shuffled(own: nn.StagedNetwork, *, seed: int, draws: int) -> float:
    """Return the mean error (%) of slight shuffles in which the first block stays in its place."""
    given = nn.inputs_of(own, digits.others()), torch.as_tensor(digits.others()["label"].to_numpy())
    found = diagnostics.reorder(later_blocks(own), *given, tau=((0.8, 1.0),), draws=draws, rng=seed)
    return 100 * float(found["error"].mean())


def figures_of(own: nn.StagedNetwork, by_block: dict[str, np.ndarray], *, seed: int, draws: int) -> Figures:
    """Return what the claim says of one network."""
    bias, spread = by_block["bias"][1:-1], by_block["spread"][1:-1]  # after the first block, to before the last
    deleted = diagnostics.lesion(own, digits.others(), leaves="state")
    cosine = diagnostics.refinement_cosine(own, digits.others())["cosine"]
    intact = 100 * float(deleted["intact_error"])
    return {
        HALF: float(by_block["readout"][len(bias) // 2 + 1]),
        SPREAD: float(spread[-1] / spread[0]),
        BIAS: float(np.mean(bias / spread)),
        ONE: 100 * float(deleted["error"].median()) - intact,
        SHUFFLED: shuffled(own, seed=seed, draws=draws) - intact,
        "error (%)": intact,
        AGAINST: 100 * float((cosine < 0).mean()),
    }


def bare(shortcut: object, *, seed: int, setting: Setting) -> float:
    """Return the error (%) of a network without normalisation, the least over learning rates; NaN where none trains."""
    errors = []
    for rate in RATES:
        try:
            made = network(shortcut, seed=seed, setting=setting, rate=rate, norm="none", epochs=12)
        except ArgumentError as error:
            if "finite" not in str(error):  # of the loss
                raise
            continue
        errors.append(digits.error(made))
    return min(errors, default=math.nan)


def measure(seed: int, setting: Setting) -> Sample:
    """Return estimates, lesions and errors of residual and highway networks, and of plain and untrained ones."""
    networks = {kind: network(shortcut, seed=seed, setting=setting) for kind, shortcut in SHORTCUTS.items()}
    networks[PLAIN] = network("none", seed=seed, setting=setting, blocks=[8])
    untrained = {
        kind: network(shortcut, seed=seed, setting=setting, rate=1e-9, epochs=2)  # the norms' statistics, no more
        for kind, shortcut in SHORTCUTS.items()
    }
    curves = {kind: estimates(own) for kind, own in networks.items()}
    draws = 100 if setting.large else 20
    found = {kind: figures_of(own, curves[kind], seed=seed, draws=draws) for kind, own in networks.items()}
    never = {kind: figures_of(own, estimates(own), seed=seed, draws=1) for kind, own in untrained.items()}
    errors = {kind: found[kind]["error (%)"] for kind in SHORTCUTS}
    without = {kind: bare(shortcut, seed=seed, setting=setting) for kind, shortcut in SHORTCUTS.items()}
    figures = {f"{kind}: {name}": value for kind in SHORTCUTS for name, value in found[kind].items()}
    figures |= {f"{kind}: error without normalisation (%)": value for kind, value in without.items()}
    newer = network("identity", seed=seed, setting=setting, order="pre")
    before = figures_of(newer, estimates(newer), seed=seed, draws=draws)
    figures |= {f"{NEWER}: {name}": before[name] for name in (BIAS, AGAINST)}
    figures |= {
        SAME: abs(errors["residual"] - errors["highway"]),
        WINS: without["residual"] - without["highway"],
        "no gate, but a learned scale from 0: error without normalisation (%)": bare(
            "learned_scale", seed=seed, setting=setting
        ),
    }
    controls = {
        PLAIN: {f"{kind}: {name}": value for kind in (*SHORTCUTS, NEWER) for name, value in found[PLAIN].items()},
        UNTRAINED: {f"{kind}: {name}": value for kind in SHORTCUTS for name, value in never[kind].items()},
        BARE: {SAME: abs(without["residual"] - without["highway"])},
        NORMALISED: {WINS: errors["residual"] - errors["highway"]},
    }
    return Sample(figures=figures, controls=controls, curves=curves)


def draw(outcome: Outcome, samples: Sequence[Sample]) -> Figure:
    """Return readout, spread and bias over blocks, a line per seed."""
    figure = style.blank(height=4.0, title="Each block refines one estimate; plain layers replace it")
    for axes, key, label in zip(
        figure.subplots(1, 3),
        ("readout", "spread", "bias"),
        ("error of the readout (%)", "spread (of that after block 1)", "bias (of the spread)"),
        strict=True,
    ):
        for k, sample in enumerate(samples):
            for kind, colour in COLOURS.items():
                _line(axes, sample.curves[kind], key, color=colour, label=None if k else kind)
        axes.set_xlabel("blocks (share of all)")
        axes.set_ylabel(label)
        style.tidy(axes)
        if key == "bias":
            axes.legend(frameon=False, loc="upper right")
    return figure


def _line(axes: Axes, found: dict[str, np.ndarray], key: str, **how: str | None) -> None:
    """Draw one quantity over the blocks."""
    blocks = np.linspace(0, 1, len(found[key]))
    if key == "readout":
        axes.plot(blocks, found[key], lw=1, **how)
    elif key == "spread":
        axes.plot(blocks[1:], found[key][1:] / found[key][1], lw=1, **how)
    else:
        axes.plot(blocks[1:-1], found["bias"][1:-1] / found["spread"][1:-1], lw=1, **how)


if __name__ == "__main__":
    sys.exit(main(CLAIM, measure, draw))
