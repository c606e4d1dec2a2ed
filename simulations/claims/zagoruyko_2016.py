"""Wide and shallow residual networks beat thin and deep ones of as many weights. A claim of Zagoruyko and Komodakis.

::

    python simulations/claims/zagoruyko_2016.py
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cache

import xarray as xr

from cortexres import nn
from cortexres.claims import Check, Claim, Outcome, Published, Sample, Setting, digits, main
from cortexres.nn.device import clock
from cortexres.plots import Figure, style

# width and blocks in each of three stages; width * width * blocks is the same for the first two
NETWORKS = {"thin, 110 layers": (8, 18), "wide, 14 layers": (24, 2), "thin, 14 layers": (8, 2)}
THIN, WIDE, SMALL = NETWORKS
DIFFERENCE = "error, shallow and wide minus deep and thin (points)"
LEARNING_RATES, CHOSEN_WITH, CHOSEN_FROM = (0.03, 0.1, 0.3), 1000, 1000  # seed, and digits to train on, in choosing
SIZE = "parameters, shallow and wide over deep and thin (ratio)"
TIME = "time of training, deep and thin over shallow and wide (ratio)"
NOT_WIDENED = "as shallow, but thin"

CLAIM = Claim(
    name="zagoruyko_2016",
    title="Width in place of depth: less error from as many weights, in less time",
    source="Zagoruyko & Komodakis 2016, arXiv:1605.07146",
    statement="Residual networks that are wide and shallow have a lower error than thin and deep ones of as many "
    "parameters, and train several times faster. Here: 14 layers of 24 channels against 110 layers of 8, with blocks "
    "of two convolutions (pre-activation), on digits, six epochs for each. The learning rate of each network is the "
    "best of 0.03, 0.1 and 0.3, chosen with another seed on 297 digits apart from those to test on.",
    published=Published("direction: 16 wide layers outperform networks of a thousand; WRN-28-10: 4.00 % on CIFAR-10"),
    checks=(
        Check(
            figure=DIFFERENCE,
            at_most=0.0,
            of="mean",
            control=NOT_WIDENED,
            published=Published("WRN-40-4 4.53 %, ResNet-1001 4.92 % on CIFAR-10 (table 5)"),
        ),
        Check(figure=SIZE, at_least=0.95, at_most=1.0, control=NOT_WIDENED),
        Check(figure=TIME, at_least=2.0, published=Published("WRN-40-4 is 8 times faster than ResNet-1001")),
    ),
    seeds=5,
    remarks="As many weights err less in width than in depth, and train about four times as fast. But a network as "
    "shallow that is not widened, with a ninth of the weights, errs less than the deep one too, its interval also "
    "below 0: the first check would be met without any width, and the claim is not shown. It is not that width does "
    "nothing: the wide network is ahead of the thin one as shallow, by 1 to 3 points. After six epochs (126 steps) "
    "the network of 110 layers has probably not learned what it could, and may gain more from longer training. All "
    "three chose the largest of the rates. The time is that of one processor core, on which small layers cost more "
    "per weight than large ones.",
)


def measure(seed: int, setting: Setting) -> Sample:
    """Return error, size and time of training of the three networks, compared."""
    found = {name: tested(name, seed=seed, setting=setting) for name in NETWORKS}
    errors = {f"error, {name} (%)": each["error"] for name, each in found.items()}
    rates = {f"learning rate chosen, {name}": each["learning rate"] for name, each in found.items()}
    return Sample(
        figures={**compared(found[WIDE], found[THIN]), **errors, **rates},
        controls={NOT_WIDENED: compared(found[SMALL], found[THIN])},
        curves=found,
    )


def tested(name: str, *, seed: int, setting: Setting) -> dict[str, float]:
    """Return error in percent, learning rate, number of parameters, and time of training in seconds."""
    learning_rate = best_rate(name, setting)
    shown, others = digits.images(), digits.others()  # read before the clock starts
    made = network(name, seed)
    start = clock(setting.device)
    trained(made, shown, learning_rate, seed=seed, setting=setting)
    seconds = clock(setting.device) - start
    size = nn.parameter_count(made)
    error = digits.error(made, others)
    return {"error": error, "learning rate": learning_rate, "parameters": float(size), "seconds": seconds}


@cache
def best_rate(name: str, setting: Setting) -> float:
    """Return the learning rate with the lowest error of a network on digits neither trained on nor tested on."""
    shown, apart = (digits.images().isel(stimulus=part) for part in (slice(CHOSEN_FROM), slice(CHOSEN_FROM, None)))

    def error(rate: float) -> float:
        made = network(name, CHOSEN_WITH)
        return digits.error(trained(made, shown, rate, seed=CHOSEN_WITH, setting=setting), apart)

    return min(LEARNING_RATES, key=error)


def network(name: str, seed: int) -> nn.StagedNetwork:
    """Return one of the three networks, not trained."""
    width, blocks = NETWORKS[name]
    made = nn.create(
        "wrn16_4",
        rng=seed,
        channels=1,
        size=8,
        stem={"kind": "convolution", "width": width, "stride": 2},
        widths=[width] * 3,
        strides=[1] * 3,
        blocks=[blocks] * 3,
    )
    assert isinstance(made, nn.StagedNetwork)
    return made


def trained(
    network: nn.StagedNetwork, shown: xr.Dataset, rate: float, *, seed: int, setting: Setting
) -> nn.StagedNetwork:
    """Return the network, trained in place."""
    epochs = 60 if setting.large else 6
    return digits.trained(network, data=shown, rng=seed, epochs=epochs, learning_rate=rate, device=setting.device)


def compared(shallow: Mapping[str, float], deep: Mapping[str, float]) -> dict[str, float]:
    """Return the figures of a shallow network against the deep one."""
    return {
        DIFFERENCE: shallow["error"] - deep["error"],
        SIZE: shallow["parameters"] / deep["parameters"],
        TIME: deep["seconds"] / shallow["seconds"],
    }


def draw(outcome: Outcome, samples: Sequence[Sample]) -> Figure:
    """Return error against time of training, a point per network and seed."""
    figure = style.blank(height=4.2, title="As many weights, spent on width or on depth: error and time")
    axes = figure.subplots()
    for name, colour in zip(NETWORKS, (style.VERMILION, style.BLUE, style.GREY), strict=True):
        found = [sample.curves[name] for sample in samples]
        label = f"{name}, {found[0]['parameters'] / 1000:.0f} thousand parameters"
        seconds, errors = [each["seconds"] for each in found], [each["error"] for each in found]
        axes.plot(seconds, errors, "o", color=colour, ms=8, alpha=0.8, label=label)
    axes.set_xscale("log")
    axes.set_xticks([0.5, 1, 2, 5, 10, 20], ["0.5", "1", "2", "5", "10", "20"])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("time of training (s)")
    axes.set_ylabel("error on other digits (%)")
    axes.legend(frameon=False)
    style.tidy(axes)
    return figure


if __name__ == "__main__":
    sys.exit(main(CLAIM, measure, draw))
