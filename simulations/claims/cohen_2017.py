"""One exchange of channels between dilated networks raises the exponent of the rank of what they compute. Cohen et al.

::

    python simulations/claims/cohen_2017.py
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from itertools import count

import numpy as np
import torch
from scipy.linalg import hadamard
from torch import nn

from cortexres.claims import Check, Claim, Outcome, Published, Sample, Setting, main
from cortexres.diagnostics import grid_tensor, matricisation_rank, matricised, mode_tree
from cortexres.nn import MixedDilated
from cortexres.nn.initial import generator_from
from cortexres.plots import Figure, style

WIDTHS, WIDTHS_LARGE, GROUPS = (2, 3, 4, 5), (2, 3, 4, 5, 6), (2, 3, 4)
FLAT = 4  # width of the function that is hard to approximate: Hadamard matrices have such sizes
GAPS = {k: f"gap, {2 ** (k + 1)} inputs, dilations of {k} layers reversed" for k in GROUPS}
ABOVE = "rank over the bound of a single network (theorem 1), largest over widths and inputs"
BELOW = "rank over width ** 4, 8 inputs, smallest over widths"
NEEDED = "channels that one network needs for the rank of two of 5 channels, 16 inputs"
ERROR = "least error of one network of 8 channels for a function of two of 4, 16 inputs (%)"
APART, ONE = "no exchange", "one network"


def exponent(k: int) -> float:
    """Return the published exponent: as how high a power of the width the ranks of one network must be made up for."""
    return 2 / (1 + 2 ** (1 - k))


CLAIM = Claim(
    name="cohen_2017",
    title="One exchange between dilated networks raises the exponent of the rank",
    source="Cohen, Tamari & Shashua 2017, arXiv:1703.06846",
    statement="Dilated convolutional networks with dilations in different order combine their inputs in different "
    "trees. Two of them that exchange channels after one intermediate layer represent functions for which either alone "
    "would need almost the square of its width. Here: arithmetic circuits with random weights, 8 to 32 inputs; ranks "
    "of their exact tensors between two halves of the inputs. The gap is log rank, interconnected, over log rank, "
    "alone; in these few layers it is 1.33 to 1.78, and only without limit on depth does it go to 2.",
    published=Published(
        "direction: an almost quadratic gap (abstract); width (r/2)^(2 / (1 + 2^(1-k))), corollary 1, was not read"
    ),
    checks=(
        *(
            Check(
                figure=GAPS[k],
                at_least=exponent(k) - 0.005,
                control=APART,
                published=Published(f"{exponent(k):.4g} (corollary 1)", confirmed=False),
            )
            for k in (3, 2, 4)  # on whole tensors first
        ),
        Check(
            figure=ABOVE, at_most=1.0, control="interconnected",
            published=Published("1 or less (theorem 1)", confirmed=False),
        ),
        Check(figure=BELOW, at_least=1.0, control=APART),
        Check(
            figure=NEEDED, at_least=11.0, control=APART,
            published=Published("5 or more: (5/2)^1.6 = 4.3", confirmed=False),
        ),
        Check(figure=ERROR, at_least=50.0, control=ONE),
    ),
    remarks="Ranks of random weights are the same at every seed, so that seeds cannot differ in a check. Dilations of "
    "groups of k layers are swapped by reversing them. Weights are random orthogonal matrices: with normal ones "
    "double precision loses the smallest singular values from 16 inputs on, as exact arithmetic does not; and no "
    "weights give a single network more than its bound, which is reached here. With 32 inputs the tensor is too "
    "large: the last layer multiplies what the network found in either half, and ranks multiply; two networks that "
    "are summed without exchange have at most the sum of their ranks there, which is what that control is given. One "
    "network has the most that theorem 1 allows it. The gap is one of exponents, and with few channels far from a "
    "square of the width (14 channels for two networks of 5): only from 9, 4 and 3 channels on (8, 16, 32 inputs) has"
    " one network with the channels of both the lower rank. Rank is of exact representation: where weights are "
    "normal, hardly anything of the function is lost with a lower rank (last figure); the last check has weights "
    "chosen so that all singular values are equal. Rectifiers, and the gain in accuracy that the source finds on "
    "TIMIT, are not looked at.",
)  # fmt: skip


def dilations(k: int) -> tuple[list[int], list[int]]:
    """Return 1, 2, 4, ... of k layers, and the same reversed."""
    chain = [2**layer for layer in range(k)]
    return chain, chain[::-1]


def rows(k: int) -> list[int]:
    """Return the inputs of the one side: the first half is one node of the one tree, the second of the other."""
    half = 2**k
    return [*range(half // 2), *range(half, 2 * half, 2)]


def rotated(network: MixedDilated, rng: np.random.Generator) -> MixedDilated:
    """Return the network with random orthogonal weights: ranks stay visible in double precision."""
    draw = generator_from(rng)
    for own in network.weights:
        for weight in own.data.flatten(0, 1):
            weight.copy_(nn.init.orthogonal_(torch.empty(weight.shape, dtype=weight.dtype), generator=draw))
    return network


def whole(width: int, k: int, *, rng: np.random.Generator, device: str) -> dict[str, int]:
    """Return the rank of the first output of networks of k + 1 layers."""
    (one, other), last, number = dilations(k), [2**k], {"rng": 0, "device": device, "dtype": torch.float64}
    made = {
        "mixed": MixedDilated(width, one + last, other + last, exchange=[k], **number),
        "apart": MixedDilated(width, one + last, other + last, **number),
        "one": MixedDilated(width, one + last, **number),
        "other": MixedDilated(width, other + last, **number),
    }
    basis = torch.eye(width, dtype=torch.float64, device=device)
    return {
        name: matricisation_rank(grid_tensor(rotated(network, rng), basis, 2 ** (k + 1))[0], rows(k))
        for name, network in made.items()
    }


def halves(network: MixedDilated, k: int, weights: np.ndarray, *, which: int = 0) -> list[np.ndarray]:
    """Return the singular values of what the last layer of one network multiplies: one factor for each half."""
    basis = torch.eye(network.width, dtype=torch.float64, device=network.weights[0].device)
    tensor = grid_tensor(lambda inputs: network.streams(inputs)[which], basis, 2**k)
    return [
        np.linalg.svd(matricised(np.tensordot(weight, tensor, 1), side), compute_uv=False)
        for weight, side in zip(weights, (range(2 ** (k - 1)), range(0, 2**k, 2)), strict=True)
    ]


def product_rank(width: int, k: int, *, exchange: bool, rng: np.random.Generator, device: str) -> int:
    """Return a rank in k + 1 layers, with random weights: of the first of two networks, or the most of their sum.

    The first is among the functions of the two that exchange; without exchange, the rank of a sum is no more than the
    sum of both ranks, which is returned.
    """
    place = [k] if exchange else []
    network = MixedDilated(width, *dilations(k), exchange=place, rng=0, device=device, dtype=torch.float64)
    network = rotated(network, rng)
    found = []
    for which in (0,) if exchange else (0, 1):
        singular = halves(network, k, rng.normal(size=(2, width)), which=which)
        epsilon = len(singular[0]) * np.finfo(np.float64).eps
        found.append(math.prod(int((values > epsilon * values[0]).sum()) for values in singular))
    return sum(found)


def bound(width: int, k: int) -> int:
    """Return the most that the rank of one network of k + 1 layers can be, whichever its dilations (theorem 1)."""
    return max(mode_tree([*chain, 2**k]).rank_bounds(rows(k), width)[1] for chain in dilations(k))


def least_error(singular: Sequence[np.ndarray], width: int, tiles: int) -> float:
    """Return the least relative error of rank ``width ** tiles`` (Eckart & Young), in percent."""
    energy = np.sort(np.multiply.outer(*singular).ravel() ** 2)[::-1]
    return 100 * float(np.sqrt(energy[width**tiles :].sum() / energy.sum()))


def even(*, exchange: bool, device: str) -> list[np.ndarray]:
    """Return the singular values of a function made so that they are equal: the halves in trees that do not fit."""
    network = MixedDilated(FLAT, *dilations(3), exchange=[3] if exchange else [], device=device, dtype=torch.float64)
    weights = torch.eye(FLAT, dtype=torch.float64).repeat(3, 2, 1, 1)
    weights[1] = torch.as_tensor(hadamard(FLAT) / FLAT**0.5)
    for own in network.weights:
        own.data.copy_(weights)
    return halves(network, 3, np.eye(FLAT)[[0, -1]])  # the first channel came from the other network, the last not


def measure(seed: int, setting: Setting) -> Sample:
    """Return ranks of networks with random weights, interconnected and alone."""
    rng, widths = np.random.default_rng(seed), WIDTHS_LARGE if setting.large else WIDTHS
    found = {(k, r): whole(r, k, rng=rng, device=setting.device) for k, r in [*((2, r) for r in widths), (3, 2)]}
    products = {
        (k, r): {
            name: product_rank(r, k, exchange=exchange, rng=rng, device=setting.device)
            for name, exchange in (("mixed", True), ("apart", False))
        }
        for k, r in ((3, 5), (4, 2))
    }

    def figures(name: str) -> dict[str, float]:
        ranks = {2: (found[2, widths[-1]], (2, widths[-1])), 3: (found[3, 2], (3, 2)), 4: (products[4, 2], (4, 2))}
        gaps = {GAPS[k]: math.log(rank[name]) / math.log(bound(place[1], k)) for k, (rank, place) in ranks.items()}
        return gaps | {
            BELOW: min(found[2, r][name] / r**4 for r in widths),
            NEEDED: next(width for width in count(1) if bound(width, 3) >= products[3, 5][name]),
        }

    def above(*names: str) -> float:
        return max(found[k, r][name] / bound(r, k) for k, r in found for name in names)

    network = MixedDilated(FLAT, *dilations(3), exchange=[3], rng=rng, device=setting.device, dtype=torch.float64)
    random = halves(network, 3, rng.normal(size=(2, FLAT)))
    main_figures = figures("mixed") | {
        ABOVE: above("one", "other"),
        ERROR: least_error(even(exchange=True, device=setting.device), 2 * FLAT, 5),
        "the same error where the weights are random (%)": least_error(random, 2 * FLAT, 5),
    }
    controls = {
        APART: figures("apart"),
        "interconnected": {ABOVE: above("mixed")},
        ONE: {ERROR: least_error(even(exchange=False, device=setting.device), 2 * FLAT, 5)},
    }
    return Sample(figures=main_figures, controls=controls, curves={"widths": widths, "ranks": found})


def draw(outcome: Outcome, samples: Sequence[Sample]) -> Figure:
    """Return the ranks over width with 8 inputs, and the gap over the depth of the groups."""
    figure = style.blank(height=4.2, title="One exchange of channels raises the exponent of the rank")
    left, right = figure.subplots(1, 2)
    names = (
        ("mixed", "two networks, one exchange", style.BLUE),
        ("apart", "two networks, summed", style.GREEN),
        ("one", "one network", style.VERMILION),
    )
    for key, name, colour in names:
        for k, sample in enumerate(samples):
            ranks = [sample.curves["ranks"][2, width][key] for width in sample.curves["widths"]]
            left.loglog(sample.curves["widths"], ranks, "o-", color=colour, label=name if k == 0 else None)
    left.set_xticks(samples[0].curves["widths"], [str(width) for width in samples[0].curves["widths"]])
    left.minorticks_off()
    left.set_xlabel("channels r of each network")
    left.set_ylabel("rank, 8 inputs")
    left.legend(frameon=False)
    ks = np.linspace(2, 8, 61)
    right.plot(ks, [exponent(k) for k in ks], color=style.BLACK, lw=1, label="corollary 1")
    right.axhline(2, color=style.GREY, ls=":")
    for k, sample in enumerate(samples):
        for label, found, colour in (
            ("one exchange", sample.figures, style.BLUE), ("no exchange", sample.controls[APART], style.GREEN),
        ):  # fmt: skip
            gaps = [found[GAPS[group]] for group in GROUPS]
            right.plot(GROUPS, gaps, "o", color=colour, label=label if k == 0 else None)
    right.set_xlabel("layers k before the exchange")
    right.set_ylabel("log rank / log rank of one network")
    right.legend(frameon=False)
    for axes in (left, right):
        style.tidy(axes)
    return figure


if __name__ == "__main__":
    sys.exit(main(CLAIM, measure, draw))
