"""What weight sharing costs and saves: tied against untied, and the shared loop against other ways to compute it.

    python benchmarks/networks.py [--device cuda] [--only shared|loops|digits] [--quick] [--out FILE.json]

prints tables of ratios within this run, writes them to `--out`, and exits 1 if a target is missed. torchdiffeq and
torchdeq are timed where they are installed. ``--quick`` shrinks everything, to see that it works.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import networks_contenders as contenders
import numpy as np
import torch
import xarray as xr
from circuits_tables import Verdict, table, verdicts
from networks_cost import Contender, Cost, costs

from cortexres import io, nn, provenance, stimuli
from cortexres.definitions import load_network
from cortexres.nn.training.recipes import cosine, sgd

RESULTS = Path(__file__).parent / "results" / "networks.json"
PAIRS = (("digits_untied", "digits_tied"), ("resnet20", "resnet20_tied"), ("resnet110", "resnet110_tied"))
DIGITS = ("digits_untied", "digits_tied", "digits_plain")
LOOPS = {
    "Elman network on a movie": contenders.elman,
    "leaky network, Euler": contenders.leaky,
    "fixed point": contenders.equilibrium,
}
SAME = 1e-4  # float32, some tens of steps


class Size(NamedTuple):
    """How much of everything is run."""

    rounds: int
    batch: int
    units: int
    steps: int
    seeds: int
    epochs: int


FULL = Size(rounds=15, batch=64, units=256, steps=50, seeds=3, epochs=40)
QUICK = Size(rounds=3, batch=4, units=32, steps=30, seeds=1, epochs=2)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 0 where every target is met."""
    options = _options(argv)
    size, device = QUICK if options.quick else FULL, torch.device(options.device)
    torch.set_num_threads(1)
    parts: dict[str, Callable[[Size, torch.device], tuple[str, list[Verdict], dict[str, Any]]]] = {
        "shared": shared,
        "loops": loops,
        "digits": digits,
    }
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    print(f"torch {torch.__version__} on {name}" + (" (quick: the figures mean nothing)" if options.quick else ""))
    judged: list[Verdict] = []
    found: dict[str, Any] = {}
    for key in [options.only] if options.only else parts:
        text, verdict, found[key] = parts[key](size, device)
        print(f"\n{text}", flush=True)
        judged += verdict
    print(f"\n{verdicts(judged)}")
    missed = [verdict.name for verdict in judged if not verdict.met]
    record = {"device": name, "torch": torch.__version__, "size": size._asdict(), "quick": options.quick}
    io.write_text(
        options.out, provenance.provenance(made_by="benchmarks/networks.py", **record, **found, missed=missed) + "\n"
    )
    return int(bool(missed))


def shared(size: Size, device: torch.device) -> tuple[str, list[Verdict], dict[str, Any]]:
    """Tied against untied: parameters, checkpoint, memory and time of a training step."""
    rows: list[list[str]] = []
    judged: list[Verdict] = []
    facts: dict[str, Any] = {}
    for untied_name, tied_name in PAIRS:
        pair = [nn.create(name, rng=0, device=device) for name in (untied_name, tied_name)]
        counts = [nn.parameter_count(network) for network in pair]
        inputs = _inputs(tied_name, size.batch, device)
        ways = [_training(name, n, inputs) for name, n in zip((untied_name, tied_name), pair, strict=True)]
        cost = costs(ways, rounds=size.rounds if counts[0] < 4e5 else 3, device=device)
        untied, tied = cost.values()
        rows.append(
            [
                f"{tied_name} / {untied_name}",
                f"{counts[1]:,} / {counts[0]:,}",
                f"{counts[0] / counts[1]:.2f}",
                f"{tied.saved_MB / untied.saved_MB:.2f}",
                f"{tied.forward_ratio:.2f}",
                f"{tied.step_ratio:.2f}",
            ]
        )
        facts[tied_name] = {"parameters": counts, "untied": untied._asdict(), "tied": tied._asdict()}
        if tied_name == "digits_tied":
            judged.append(Verdict("digits: parameters of untied / tied", counts[0] / counts[1], 8.0))
    head = ["tied / untied", "parameters", "x fewer", "memory for backward", "forward", "forward and backward"]
    return f"One training step, batch {size.batch}; ratios tied / untied\n\n{table(head, rows)}", judged, facts


def loops(size: Size, device: torch.device) -> tuple[str, list[Verdict], dict[str, Any]]:
    """The same recurrence in several ways: time and memory relative to the first, and whether they agree."""
    rows: list[list[str]] = []
    judged: list[Verdict] = []
    facts: dict[str, Any] = {}
    for title, make in LOOPS.items():
        ways, apart = make(units=size.units, steps=size.steps, batch=size.batch, device=device)
        found = costs(ways, rounds=size.rounds, device=device)
        rows += [[title, name, *_cells(cost)] for name, cost in found.items()]
        judged.append(Verdict(f"{title}: largest difference of the outputs", apart, SAME, at_most=True))
        facts[title] = {"apart": apart, **{name: cost._asdict() for name, cost in found.items()}}
    head = ["", "", "forward, ms", "x", "forward and backward, ms", "x", "saved for backward, MB"]
    title = f"{size.units} units, batch {size.batch}, {size.steps} steps; x: relative to the first of its kind"
    return f"{title}\n\n{table(head, rows)}", judged, facts


def digits(size: Size, device: torch.device) -> tuple[str, list[Verdict], dict[str, Any]]:
    """Error on held-out digits of the networks trained from several seeds."""
    training, testing = _digits()
    errors = {
        name: [_error(name, seed, size, training, testing, device) for seed in range(size.seeds)] for name in DIGITS
    }
    counts = {name: nn.parameter_count(nn.create(name, device="meta")) for name in DIGITS}
    rows = [
        [name, f"{counts[name]:,}", f"{np.mean(values):.2f}", f"{min(values):.2f} - {max(values):.2f}"]
        for name, values in errors.items()
    ]
    text = f"Digits, {size.epochs} epochs, seeds 0-{size.seeds - 1}\n\n"
    gap = float(np.mean(errors["digits_tied"]) - np.mean(errors["digits_untied"]))
    # two epochs teach nobody anything
    judged = [Verdict("digits: error of tied minus untied, points", gap, 1.5, at_most=True)] if size == FULL else []
    return text + table(["network", "parameters", "test error, %", "range"], rows), judged, {"error_percent": errors}


def _error(name: str, seed: int, size: Size, training: xr.Dataset, testing: xr.Dataset, device: torch.device) -> float:
    network = nn.create(name, rng=seed, device=device)
    history = nn.train(
        network,
        training,
        epochs=size.epochs,
        learning_rate=0.02,
        batch_size=64,
        optimizer=partial(sgd, weight_decay=0.0),
        schedule=cosine,
        max_gradient_norm=None,
        held_out=testing,
        rng=seed,
        progress=False,
    )
    return 100.0 * (1.0 - float(history["held_out_accuracy"][-1]))


def _digits() -> tuple[xr.Dataset, xr.Dataset]:
    """1,297 digits to train on, and the other 500."""
    training = stimuli.digits(1297, rng=0)
    return training, stimuli.digits(500, rng=1, exclude=training["stimulus"])


def _training(name: str, network: torch.nn.Module, inputs: torch.Tensor) -> Contender:
    return Contender(name, lambda: network(inputs).square().mean(), list(network.parameters()))


def _cells(cost: Cost) -> list[str]:
    return [
        f"{cost.forward_ms:.2f}",
        f"{cost.forward_ratio:.2f}",
        f"{cost.step_ms:.2f}",
        f"{cost.step_ratio:.2f}",
        f"{cost.saved_MB:.2f}",
    ]


def _inputs(name: str, batch: int, device: torch.device) -> torch.Tensor:
    """Noise of the shape that a network takes, (batch, channel, y, x)."""
    network = load_network(name)
    channels = 1 if network.flat else network.channels
    return torch.randn(batch, channels, network.size, network.size, device=device)


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Tied against untied networks, and the shared loop against others.")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--only", choices=("shared", "loops", "digits"), help="one part alone")
    parser.add_argument("--quick", action="store_true", help="shrink everything; the figures mean nothing")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
