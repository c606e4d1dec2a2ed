"""At weights 0, shortcuts over two layers have a Hessian whose condition depth does not change. A claim of Li et al.

::

    python simulations/claims/li_2016.py
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from cortexres import diagnostics
from cortexres.claims import Check, Claim, Outcome, Published, Sample, Setting, main
from cortexres.nn import Block, Dense, Recurrent
from cortexres.nn.networks.makers import unchanged
from cortexres.plots import Figure, style

UNITS, INPUTS = 3, 64
DEPTHS, DEPTHS_LARGE = (1, 2, 4, 8, 12), (1, 2, 4, 8, 16, 32)
STARTS, BLOCKS, RATE, PATIENCE = (0.03, 0.003), 4, 0.05, 20_000  # of gradient descent
ONE, TWO, THREE = "shortcuts over 1 layer", "shortcuts over 2 layers", "shortcuts over 3 layers"
CONDITION = "spread of the condition number over depth (largest / smallest)"
EXPLOSION = "condition number of the deepest network over that of one block, shortcuts over 1 layer"
GROWTH = "exponent of the largest eigenvalue in depth, from 4 blocks, shortcuts over 1 layer"
FLAT = "largest modulus of an eigenvalue, deepest network, shortcuts over 3 layers"
SHARED = "largest eigenvalue with shared weights, over that of one block times the depth"
SHARED_CONDITION = "spread of the condition number over depth with shared weights (largest / smallest)"
BENT = "spread of the condition number over depth with tanh(2 h) between the layers (largest / smallest)"
ESCAPE = "steps of gradient descent to half the loss, from weights of 0.003 over those from 0.03"

CLAIM = Claim(
    name="li_2016",
    title="Shortcuts of depth two keep the Hessian's condition at any depth",
    source="Li, Jiao, Han & Weissman 2016, arXiv:1611.01186",
    statement="At weights 0, a residual network with shortcuts over two layers has a Hessian whose condition number "
    "does not depend on depth; with shortcuts over one layer it explodes, and over three or more the point is flat, "
    "and hard to leave. Here: exact Hessians of linear networks of 3 units, 1 to 12 blocks, a random linear map as "
    "the target; the same with tanh(2 h) between the layers, with one block shared by all steps, and gradient descent.",
    published=Published("direction: independent of depth for 2; explodes for 1; extremely flat for 3 (abstract)"),
    checks=(
        Check(figure=CONDITION, at_least=1.0, at_most=1 + 1e-9, control=ONE, published=Published("1: depth-invariant")),
        Check(figure=BENT, at_least=1.0, at_most=1 + 1e-9, control=ONE, published=Published("1: depth-invariant")),
        Check(figure=EXPLOSION, at_least=10.0, control=TWO, published=Published("explodes to infinity with depth")),
        Check(figure=GROWTH, at_least=0.8, at_most=1.3, control=TWO),
        Check(figure=FLAT, at_most=1e-12, control=TWO, published=Published("direction: extremely flat")),
        Check(figure=SHARED, at_least=1 - 1e-9, at_most=1 + 1e-9, control="untied"),
        Check(figure=SHARED_CONDITION, at_least=1.0, at_most=1 + 1e-9, control=ONE),
        Check(figure=ESCAPE, at_most=3.0, control=THREE, published=Published("direction: hard to leave for 3")),
    ),
    remarks="With two layers the eigenvalues are ± the singular values of the loss's gradient in the network's map. "
    "Between the layers the Hessian at weights 0 sees no more of a nonlinearity that is 0 at 0 than its slope there: "
    "that of tanh(2 h) doubles the eigenvalues and leaves their ratio, and nothing is shown of what saturates. "
    "With one, the condition number need not grow from each depth to the next. That a shared block multiplies the "
    "spectrum by the depth, and leaves its condition alone, is not in the source: the learning rate of a recurrent "
    "network must fall as 1 / steps. Gradient descent (4 blocks, one learning rate) leaves a saddle in a time that "
    "grows as the logarithm of how near it starts, and a flat point of third order as the reciprocal, tenfold here: "
    "that is what the last check tells apart. No network of more than 3 units is looked at, and none after training.",
)


class Whole(nn.Module):
    """A recurrent network whose output is its last state."""

    def __init__(self, recurrent: Recurrent) -> None:
        super().__init__()
        self.recurrent = recurrent

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the last state, (batch, unit)."""
        state: Tensor = self.recurrent(inputs)[1]
        return state


def half_square(output: Tensor, wanted: Tensor) -> Tensor:
    """Return half the mean squared distance."""
    return ((output - wanted) ** 2).sum(dim=1).mean() / 2


def network(
    depth: int,
    layers: int,
    *,
    tied: bool = False,
    between: Callable[[Tensor], Tensor] = unchanged,
    scale: float = 0.0,
    rng: np.random.Generator | None = None,
) -> Whole:
    """Return h + W ... W h, so many times, its weights normal of this scale."""
    draw = np.random.default_rng(0) if rng is None else rng
    options = {"activation": between, "final_activation": False, "bias": False, "rng": draw, "dtype": torch.float64}
    made = [Block(Dense(UNITS, layers=layers, **options)) for _ in range(1 if tied else depth)]
    whole = Whole(Recurrent(made[0] if tied else made, steps=depth, injection="first", readout="last"))
    with torch.no_grad():
        for parameter in whole.parameters():
            parameter.mul_(scale * UNITS**0.5)  # they came with a standard deviation of 1 / sqrt(units)
    return whole


def steps_to_half(layers: int, start: float, inputs: Tensor, wanted: Tensor, seed: int) -> float:
    """Return how many steps of gradient descent halve the loss; not a number where it takes too many."""
    whole = network(BLOCKS, layers, scale=start, rng=np.random.default_rng(seed)).to(inputs.device)
    optimizer = torch.optim.SGD(whole.parameters(), lr=RATE)
    first = half_square(whole(inputs), wanted).item()
    for step in range(PATIENCE):
        loss = half_square(whole(inputs), wanted)
        if loss.item() < first / 2:
            return float(step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float("nan")


def measure(seed: int, setting: Setting) -> Sample:
    """Return how the spectrum at weights 0 depends on depth, for one random target."""
    rng = np.random.default_rng(seed)
    inputs = torch.as_tensor(rng.normal(size=(INPUTS, UNITS)), device=setting.device)
    wanted = inputs @ torch.as_tensor(rng.normal(size=(UNITS, UNITS)), device=setting.device)
    depths = DEPTHS_LARGE if setting.large else DEPTHS

    def spectra(layers: int, **options: object) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Largest modulus, largest eigenvalue and condition number by depth."""
        rows = []
        for depth in depths:
            whole = network(depth, layers, **options).to(setting.device)
            found = diagnostics.hessian_spectrum(whole, inputs, wanted, loss=half_square, method="exact")
            rows.append((np.abs(found["eigenvalue"]).max(), found["lambda_max"], found["condition_number"]))
        return tuple(np.array(rows, dtype=float).T)

    one, two, three = spectra(1), spectra(2), spectra(3)
    tied, bent = spectra(2, tied=True), spectra(2, between=lambda values: torch.tanh(2 * values))
    tied_one = spectra(1, tied=True)
    late = [depth >= 4 for depth in depths]

    def spread(rows: tuple[np.ndarray, ...]) -> float:
        return float(rows[2].max() / rows[2].min())

    def escape(layers: int) -> float:
        far, near = (steps_to_half(layers, start, inputs, wanted, seed) for start in STARTS)
        return near / far

    def growth(largest: np.ndarray) -> float:
        return float(np.polyfit(np.log(depths)[late], np.log(largest[late]), 1)[0])

    figures = {
        CONDITION: spread(two),
        BENT: spread(bent),
        EXPLOSION: one[2][-1] / one[2][0],
        GROWTH: growth(one[1]),
        FLAT: three[0][-1],
        SHARED: tied[1][-1] / (two[1][0] * depths[-1]),
        SHARED_CONDITION: spread(tied),
        ESCAPE: escape(2),
        "condition number, shortcuts over 2 layers": two[2][-1],
        "largest eigenvalue with tanh(2 h) over that of the linear network": bent[1][-1] / two[1][-1],
    }
    controls = {
        ONE: {CONDITION: spread(one), BENT: spread(one), SHARED_CONDITION: spread(tied_one)},
        TWO: {EXPLOSION: two[2][-1] / two[2][0], GROWTH: growth(two[1]), FLAT: two[0][-1]},
        "untied": {SHARED: two[1][-1] / (two[1][0] * depths[-1])},
        THREE: {ESCAPE: escape(3)},
    }
    curves = {"depths": depths, "one": one, "two": two, "tied": tied, "three": three}
    return Sample(figures=figures, controls=controls, curves=curves)


def draw(outcome: Outcome, samples: Sequence[Sample]) -> Figure:
    """Return condition number and largest eigenvalue over depth, a line per seed."""
    figure = style.blank(height=4.2, title="At weights 0, shortcuts over two layers keep the condition at any depth")
    lines = (
        ("over 1 layer", "one", style.VERMILION, "o-"),
        ("over 2 layers", "two", style.BLUE, "s-"),
        ("over 2, weights shared", "tied", style.GREEN, "^--"),
    )
    for axes, row, label in zip(
        figure.subplots(1, 2), (2, 1), ("condition number of the Hessian", "largest eigenvalue"), strict=True
    ):
        for name, key, colour, mark in lines:
            for k, sample in enumerate(samples):
                axes.plot(
                    sample.curves["depths"], sample.curves[key][row], mark, color=colour, alpha=0.8, markersize=5,
                    label=name if k == 0 else None,
                )  # fmt: skip
        axes.set_yscale("log")
        axes.set_xlabel("blocks")
        axes.set_ylabel(label)
        style.tidy(axes)
        if row == 1:
            axes.legend(frameon=False, title="shortcuts")
    note = "a line per random target; green lies on blue; over 3 layers: all 0"
    figure.axes[0].set_title(note, loc="left", fontsize=10)
    return figure


if __name__ == "__main__":
    sys.exit(main(CLAIM, measure, draw))
