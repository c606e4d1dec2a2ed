"""More branches for as many weights: cardinality. A claim of Xie et al., at small scale, and an identity.

::

    python simulations/claims/xie_2017.py
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence

import torch
from torch import Tensor

from cortexres import nn
from cortexres.claims import Check, Claim, Outcome, Published, Sample, Setting, digits, main
from cortexres.plots import Figure, style

CHANNELS = 64
BRANCHES = {1: 16, 2: 10, 4: 6}  # channels of each branch, by the number of branches: as many weights for all
MANY = max(BRANCHES)
DIFFERENCE = f"error, {MANY} branches minus 1 (points)"
IDENTITY = "grouped convolution minus the sum of its branches (share of the largest value)"
SIZE = f"parameters, {MANY} branches over 1 (ratio)"
CUT, MULTIPLIED = "branches cut from one that is not grouped", "branches added without narrowing them"

CLAIM = Claim(
    name="xie_2017",
    title="More branches for as many weights: cardinality",
    source="Xie, Girshick, Dollar, Tu & He 2017, doi:10.1109/CVPR.2017.634, arXiv:1611.05431",
    statement="A block is the sum of C narrow bottlenecks, which one grouped convolution computes exactly. With "
    "as many weights, more branches give less error than fewer and wider ones. Here: 6 blocks of 64 channels, each of "
    "1, 2 or 4 branches of 16, 10 or 6 channels, trained on 300 digits, drawn anew for each seed, for 30 epochs.",
    published=Published("direction: at the same complexity, more branches improve accuracy on ImageNet"),
    checks=(
        Check(
            figure=DIFFERENCE,
            at_most=0.0,
            of="mean",
            published=Published("ImageNet: 23.9 % with 1 x 64d, 22.2 % with 32 x 4d", confirmed=False),
        ),
        Check(figure=IDENTITY, at_most=1e-12, control=CUT),
        Check(figure=SIZE, at_least=0.98, at_most=1.02, control=MULTIPLIED),
    ),
    seeds=10,
    remarks="The task was changed for power before its result was known: from 1297 digits all networks erred in 1 to 3 "
    "%, and six seeds found no gain; from 300 they err in 7 to 9 %. Bound and networks are as before, 30 "
    "epochs are 150 steps in place of 210. Against the claim, four branches err 1.2 points more, with an "
    "interval of 0.2 to 2.2. Its half width of 1.0 is the least gain that these seeds could have shown; the "
    "published gain, a fourteenth of the error (not confirmed), would be 0.5. At this size four branches have "
    "24 channels in place of 16, where the published 32 have 128 in place of 64; branches as narrow as these "
    "may lose what their number gains, which says little about the claim at its own scale. The identity is "
    "exact, with the weights and the states of the trained network.",
)


def network(branches: int, width: int, *, seed: int, setting: Setting) -> nn.StagedNetwork:
    """Return a network whose blocks have so many branches of so many channels."""
    made = nn.create(
        "resnext29_32x4d",
        rng=seed,
        channels=1,
        size=8,
        stem={"kind": "convolution", "width": CHANNELS, "stride": 2},
        transform={"kind": "grouped", "cardinality": branches, "base_width": width},
        widths=[CHANNELS] * 3,
        strides=[1] * 3,
        blocks=[6 if setting.large else 2] * 3,
    )
    assert isinstance(made, nn.StagedNetwork)
    return made


def measure(seed: int, setting: Setting) -> Sample:
    """Return errors over the number of branches, and how far a trained block is from the sum of its branches."""
    networks = {branches: network(branches, width, seed=seed, setting=setting) for branches, width in BRANCHES.items()}
    shown, others = digits.few(seed)
    epochs = 240 if setting.large else 30
    for each in networks.values():
        digits.trained(each, data=shown, rng=seed, epochs=epochs, learning_rate=0.05, device=setting.device)
    errors = {branches: digits.error(each, others) for branches, each in networks.items()}
    whole, many = (last_block(networks[branches]) for branches in (1, MANY))
    wider = nn.parameter_count(network(MANY, BRANCHES[1], seed=seed, setting=setting))
    return Sample(
        figures={
            DIFFERENCE: errors[MANY] - errors[1],
            IDENTITY: distance(many[0], many[0].split(), many[1]),
            SIZE: nn.parameter_count(networks[MANY]) / nn.parameter_count(networks[1]),
            **{f"error, {branches} x {BRANCHES[branches]} channels (%)": found for branches, found in errors.items()},
        },
        controls={
            CUT: {IDENTITY: distance(whole[0], cut(whole[0]).split(), whole[1])},
            MULTIPLIED: {SIZE: wider / nn.parameter_count(networks[1])},
        },
        curves={"error": errors},
    )


def last_block(made: nn.StagedNetwork) -> tuple[nn.Grouped, Tensor]:
    """Return F of the last block and the states that digits bring it, (stimulus, channel, y, x), in float64."""
    chain = made.chain()
    with torch.no_grad():
        states = chain.states(nn.inputs_of(made, digits.others()))
    transform = copy.deepcopy(chain.steps[-1].block.transform).double()
    assert isinstance(transform, nn.Grouped)
    return transform, states[-2].double()


def cut(whole: nn.Grouped) -> nn.Grouped:
    """Return branches with the weights of one bottleneck, but for those that would join one branch to another."""
    width = whole.base_width // MANY
    made = nn.Grouped(
        whole.in_channels, cardinality=MANY, base_width=width, norm=whole.norm, dtype=torch.float64, rng=0
    )
    weights = dict(whole.state_dict())
    key = "layers.1.convolution.weight"
    parts = weights[key].split(width)
    weights[key] = torch.cat([part[:, k * width : (k + 1) * width] for k, part in enumerate(parts)])
    made.load_state_dict(weights)
    return made.to(parts[0].device).eval()


@torch.no_grad()
def distance(one: torch.nn.Module, other: torch.nn.Module, states: Tensor) -> float:
    """Return the largest difference between the updates of two transforms, as a share of the largest update."""
    updates = one(states)
    return float((updates - other(states)).abs().max() / updates.abs().max())


def draw(outcome: Outcome, samples: Sequence[Sample]) -> Figure:
    """Return the error over the number of branches, a line per seed."""
    figure = style.blank(height=4.0, title="Error over the number of branches, with as many weights")
    axes = figure.subplots()
    names = [f"{branches} x {width} channels" for branches, width in BRANCHES.items()]
    for k, sample in enumerate(samples):
        errors = list(sample.curves["error"].values())
        axes.plot(names, errors, "o-", color=style.SKY, label="a seed" if k == 0 else None)
    means = [sum(sample.curves["error"][each] for sample in samples) / len(samples) for each in BRANCHES]
    axes.plot(names, means, "s-", color=style.BLUE, lw=2.5, label="mean")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("branches of each block")
    axes.set_ylabel("error on other digits (%)")
    axes.legend(frameon=False)
    style.tidy(axes)
    return figure


if __name__ == "__main__":
    sys.exit(main(CLAIM, measure, draw))
