"""Wide and shallow residual networks beat thin and deep ones of as many weights. A claim of Zagoruyko and Komodakis.

::

    python simulations/claims/zagoruyko_2016.py
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence

from cortexres import nn
from cortexres.claims import Check, Claim, Outcome, Published, Sample, Setting, digits, main
from cortexres.plots import Figure, style

# width and blocks in each of three stages; width * width * blocks is the same for the first two
NETWORKS = {"thin, 110 layers": (8, 18), "wide, 14 layers": (24, 2), "thin, 14 layers": (8, 2)}
THIN, WIDE, SMALL = NETWORKS
DIFFERENCE = "error, shallow and wide minus deep and thin (points)"
SIZE = "parameters, shallow and wide over deep and thin (ratio)"
TIME = "time of training, deep and thin over shallow and wide (ratio)"
NOT_WIDENED = "as shallow, but thin"

CLAIM = Claim(
    name="zagoruyko_2016",
    title="Width in place of depth: less error from as many weights, in less time",
    source="Zagoruyko & Komodakis 2016, arXiv:1605.07146",
    statement="Residual networks that are wide and shallow have a lower error than thin and deep ones of as many "
    "parameters, and train several times faster. Here: 14 layers of 24 channels against 110 layers of 8, with blocks "
    "of two convolutions (pre-activation), on digits, the paper's learning rate of 0.1, ten epochs for each.",
    published=Published("direction: 16 wide layers outperform networks of a thousand; WRN-28-10: 4.00 % on CIFAR-10"),
    checks=(
        Check(
            figure=DIFFERENCE,
            at_most=0.0,
            of="mean",
            control=NOT_WIDENED,
            published=Published("WRN-40-4 4.53 %, ResNet-1001 4.92 % on CIFAR-10", confirmed=False),
        ),
        Check(figure=SIZE, at_least=0.95, at_most=1.0, control=NOT_WIDENED),
        Check(figure=TIME, at_least=2.0, published=Published("several times faster")),
    ),
    seeds=5,
    remarks="Both have the same number of epochs and the same learning rate; deep networks may gain more from longer "
    "training. The time is that of one processor core, on which small layers cost more per weight than large ones. The "
    "shallow network that is not widened shows that it is the width which lowers the error.",
)


def measure(seed: int, setting: Setting) -> Sample:
    """Return error, size and time of training of the three networks, compared."""
    found = {name: trained(*sizes, seed=seed, setting=setting) for name, sizes in NETWORKS.items()}
    errors = {f"error, {name} (%)": each["error"] for name, each in found.items()}
    return Sample(
        figures={**compared(found[WIDE], found[THIN]), **errors},
        controls={NOT_WIDENED: compared(found[SMALL], found[THIN])},
        curves=found,
    )


def trained(width: int, blocks: int, *, seed: int, setting: Setting) -> dict[str, float]:
    """Return error in percent, number of parameters, and time of training in seconds of the processor."""
    network = nn.create(
        "wrn16_4",
        rng=seed,
        channels=1,
        size=8,
        stem={"kind": "convolution", "width": width, "stride": 2},
        widths=[width] * 3,
        strides=[1] * 3,
        blocks=[blocks] * 3,
    )
    digits.images()  # read before the clock starts
    start = time.process_time()
    epochs = 60 if setting.large else 10
    digits.trained(network, rng=seed, epochs=epochs, learning_rate=0.1, device=setting.device)
    error = digits.error(network)
    size = sum(parameter.numel() for parameter in network.parameters())
    return {"error": error, "parameters": float(size), "seconds": time.process_time() - start}


def compared(shallow: Mapping[str, float], deep: Mapping[str, float]) -> dict[str, float]:
    """Return the figures of a shallow network against the deep one."""
    return {
        DIFFERENCE: shallow["error"] - deep["error"],
        SIZE: shallow["parameters"] / deep["parameters"],
        TIME: deep["seconds"] / shallow["seconds"],
    }


def draw(outcome: Outcome, samples: Sequence[Sample]) -> Figure:
    """Return error against time of training, a point per network and seed."""
    figure = style.blank(height=4.2, title="As many weights, spent on width: less error in less time")
    axes = figure.subplots()
    for name, colour in zip(NETWORKS, (style.VERMILION, style.BLUE, style.GREY), strict=True):
        found = [sample.curves[name] for sample in samples]
        label = f"{name}, {found[0]['parameters'] / 1000:.0f} thousand parameters"
        seconds, errors = [each["seconds"] for each in found], [each["error"] for each in found]
        axes.plot(seconds, errors, "o", color=colour, ms=8, alpha=0.8, label=label)
    axes.set_xscale("log")
    axes.set_xticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("time of training (s)")
    axes.set_ylabel("error on other digits (%)")
    axes.legend(frameon=False)
    style.tidy(axes)
    return figure


if __name__ == "__main__":
    sys.exit(main(CLAIM, measure, draw))
