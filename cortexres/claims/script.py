"""What a claim's script does when it is started: seeds, table, figure, exit code."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from cortexres import io, plots
from cortexres.claims.claim import Claim, Sample, Setting
from cortexres.claims.outcome import FILE, Outcome, judge
from cortexres.claims.table import claim_text
from cortexres.errors import ArgumentError, CortexresError
from cortexres.plots import Figure

Measure = Callable[[int, Setting], Sample]
Draw = Callable[[Outcome, Sequence[Sample]], Figure]
OUT = Path("results") / "claims"


def main(claim: Claim, measure: Measure, draw: Draw, argv: Sequence[str] | None = None) -> int:
    """Run a claim and return the exit code: 0 where it holds, 1 where it does not, 2 for a mistake of the user.

    Parameters
    ----------
    claim : Claim
        What is claimed, and what must be found.
    measure : callable
        (seed, setting) -> Sample: the experiment, and its controls, with one seed.
    draw : callable
        (outcome, samples) -> Figure.
    argv : sequence of str, optional
        Of the command line where it is left out.
    """
    options = _parser(claim).parse_args(argv)
    try:
        _check_seeds(claim, options.seeds)
        setting = _setting(options.setting)
        folder = options.out / claim.name
        io.check_writable(folder / FILE)
        start = time.perf_counter()
        samples = [_sample(measure, seed, setting, options.seeds) for seed in range(options.seeds)]
        minutes = (time.perf_counter() - start) / 60
        outcome = judge(claim, samples, minutes=minutes, setting="large" if setting.large else "quick")
    except CortexresError as error:
        print(f"{claim.name}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(claim_text(outcome))
    write(outcome, draw(outcome, samples), folder)
    return 0 if outcome.holds else 1


def write(outcome: Outcome, figure: Figure, folder: Path) -> None:
    """Write ``figure.png`` and ``outcome.json`` into the folder; each is there whole or not at all."""
    io.write_bytes(folder / "figure.png", plots.png(figure, width_px=1000))
    io.write_text(folder / FILE, outcome.to_json())


def _sample(measure: Measure, seed: int, setting: Setting, seeds: int) -> Sample:
    print(f"seed {seed + 1} of {seeds} ...", file=sys.stderr, flush=True)
    return measure(seed, setting)


def _parser(claim: Claim) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"{claim.name}.py", description=claim.title, allow_abbrev=False)
    parser.add_argument("--seeds", type=_seeds, default=claim.seeds, metavar="N", help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=OUT, help="results go to OUT/NAME (default: %(default)s)")
    parser.add_argument(
        "--setting",
        choices=("auto", "quick", "large"),
        default="auto",
        help="how large the experiment is; auto: large where torch has a GPU (default: %(default)s)",
    )
    return parser


def _seeds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number from 1")
    return int(text)


def _check_seeds(claim: Claim, seeds: int) -> None:
    """Nothing where the checks can be judged with so many seeds, asked before minutes are spent on them.

    Raises
    ------
    ArgumentError
        If one cannot.
    """
    for check in claim.checks:
        if seeds < check.least_seeds:
            raise ArgumentError(
                f"got seeds={seeds}, expected {check.least_seeds} or more: the mean of {check.figure!r} is judged by "
                "its spread over seeds"
            )


def _setting(name: str) -> Setting:
    """The setting of a name.

    Raises
    ------
    ArgumentError
        If the large setting is asked for where there is no GPU.
    """
    if name == "quick":
        return Setting()
    from cortexres.nn.device import usable_device

    try:
        usable_device("cuda")
    except ArgumentError:
        if name == "large":
            raise
        return Setting()
    return Setting(large=True, device="cuda")
