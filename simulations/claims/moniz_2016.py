"""A memory that reads every block: convolutional residual memory. A claim of Moniz and Pal, at small scale.

::

    python simulations/claims/moniz_2016.py
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from torch import Tensor

from cortexres import nn
from cortexres.claims import Check, Claim, Outcome, Published, Sample, Setting, digits, main
from cortexres.plots import Figure, style

UNITS = 32
RESIDUAL, PLAIN = 1, 6  # blocks in each of three stages, with shortcuts and without
DIFFERENCE = "error, with a memory minus without (points)"
DEEP = "error without shortcuts, 38 layers, with a memory (%)"
FORGETFUL = "memory of the last block alone"

CLAIM = Claim(
    name="moniz_2016",
    title="A memory that reads every block helps to classify",
    source="Moniz & Pal 2016, arXiv:1606.05262",
    statement="An LSTM that is stepped along depth and reads the mean of every block's output helps a residual network "
    "to classify, so that shallower ones do as well as deep ones. Here, on digits: 3 residual blocks of 8 channels with "
    "and without a memory of 32 units; and 18 blocks without shortcuts, whose first layers learn through the memory.",
    published=Published("direction: state of the art on CIFAR-100 with much less depth and computation"),
    checks=(
        Check(figure=DIFFERENCE, at_most=0.0, of="mean", control=FORGETFUL),
        Check(figure=DEEP, at_most=20.0, control=FORGETFUL),
    ),
    seeds=6,
    remarks="The control is the same LSTM with the same parameters, which reads the last block only. Without shortcuts "
    "the memory is the path by which the early layers are read and learn; with them, the state itself is such a path.",
)


class Forgetful(nn.ResidualMemory):
    """A network whose memory reads its last block alone."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (batch, class)."""
        last = self.trunk.states(images)[-1]
        rest = last.new_zeros(len(images), self.memory.hidden_size)
        read, _ = self.memory(self._written(last), (rest, rest))
        logits: Tensor = self.trunk.head(last) + self.readout(read)
        return logits


def trunk(blocks: int, shortcut: str, *, seed: int) -> nn.StagedNetwork:
    """Return a network without a memory."""
    made = nn.create(
        "resnet20",
        rng=seed,
        channels=1,
        size=8,
        stem={"kind": "convolution", "width": 8, "stride": 2},
        shortcut=shortcut,
        widths=[8] * 3,
        strides=[1] * 3,
        blocks=[blocks] * 3,
    )
    assert isinstance(made, nn.StagedNetwork)
    return made


def error(kind: type[nn.ResidualMemory] | None, blocks: int, shortcut: str, *, seed: int, setting: Setting) -> float:
    """Return the error of a network with a memory of a kind, or without one, in percent."""
    base = trunk(blocks, shortcut, seed=seed)
    network = base if kind is None else kind(base, hidden_size=UNITS, classes=10, rng=seed)
    epochs = 60 if setting.large else 10
    digits.trained(network, rng=seed, epochs=epochs, learning_rate=0.05, device=setting.device)
    return digits.error(network)


def measure(seed: int, setting: Setting) -> Sample:
    """Return what a memory gains, with shortcuts and without, and what one gains that reads the last block."""
    kinds = {"none": None, "every block": nn.ResidualMemory, "last block": Forgetful}
    residual = {name: error(kind, RESIDUAL, "identity", seed=seed, setting=setting) for name, kind in kinds.items()}
    plain = {name: error(kind, PLAIN, "none", seed=seed, setting=setting) for name, kind in kinds.items()}
    found, control = (
        {DIFFERENCE: residual[name] - residual["none"], DEEP: plain[name]} for name in ("every block", "last block")
    )
    without = {
        "error, residual, no memory (%)": residual["none"],
        "error without shortcuts, no memory (%)": plain["none"],
    }
    return Sample(figures={**found, **without}, controls={FORGETFUL: control}, curves={"with": residual, "out": plain})


def draw(outcome: Outcome, samples: Sequence[Sample]) -> Figure:
    """Return the errors by what the memory reads, with shortcuts and without."""
    figure = style.blank(height=4.2, title="A memory along depth reaches layers that nothing else reaches")
    for axes, key, title in zip(
        figure.subplots(1, 2),
        ("with", "out"),
        ("3 residual blocks", "18 blocks without shortcuts"),
        strict=True,
    ):
        for sample in samples:
            axes.plot(list(sample.curves[key]), list(sample.curves[key].values()), "o-", color=style.BLUE, alpha=0.7)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("what the memory reads")
        axes.set_ylabel("error on other digits (%)")
        axes.set_title(title, loc="left")
        style.tidy(axes)
    return figure


if __name__ == "__main__":
    sys.exit(main(CLAIM, measure, draw))
