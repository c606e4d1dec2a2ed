"""What a claim's script does when it is started: seeds, table, figure, exit code."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cortexres import io
from cortexres.claims.claim import Claim, Sample, Setting
from cortexres.claims.outcome import FIGURE, FILE, Outcome, digest, judge
from cortexres.claims.table import claim_text
from cortexres.errors import ArgumentError, CortexresError

if TYPE_CHECKING:
    from cortexres.plots import Figure

Measure = Callable[[int, Setting], Sample]
Draw = Callable[[Outcome, Sequence[Sample]], "Figure"]
OUT = Path("results") / "claims"
SETTINGS = ("auto", "quick", "large")


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
        outcome = _run(claim, measure, draw, options)
    except CortexresError as error:
        return _said(claim, str(error), 2)
    except OSError as error:
        return _said(claim, f"{error.filename or ''}: {error.strerror or error}", 2)
    except KeyboardInterrupt:
        return _said(claim, "interrupted; what was written before stays", 130)
    return 0 if outcome.holds else 1


def _run(claim: Claim, measure: Measure, draw: Draw, options: argparse.Namespace) -> Outcome:
    """Measure, judge, write, draw and print, in this order: what is measured is kept whatever happens after it."""
    _check_seeds(claim, options.seeds)
    setting = _setting(options.setting)
    folder = options.out / claim.name
    io.check_writable(folder / FILE)
    start, script = time.perf_counter(), digest(Path(measure.__code__.co_filename))
    samples = [_sample(measure, seed, setting, options.seeds) for seed in range(options.seeds)]
    minutes = (time.perf_counter() - start) / 60
    name = "large" if setting.large else "quick"
    outcome = judge(claim, samples, minutes=minutes, setting=name, script=script)
    write(outcome, folder)
    io.write_bytes(folder / FIGURE, _png(draw(outcome, samples)))
    _print(claim_text(outcome))
    return outcome


def _print(text: str) -> None:
    """Print; a terminal of another alphabet gets question marks, not an error after minutes of work."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(text.encode(encoding, errors="replace").decode(encoding), flush=True)
    except BrokenPipeError:  # a reader such as `| head` has what it wanted; nor is the pipe to be flushed at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write(outcome: Outcome, folder: Path) -> None:
    """Write ``outcome.json`` into the folder, whole or not at all; the figure of an older one goes."""
    (folder / FIGURE).unlink(missing_ok=True)
    io.write_text(folder / FILE, outcome.to_json())


def _png(figure: Figure) -> bytes:
    from cortexres import plots

    return plots.png(figure, width_px=1000)


def _said(claim: Claim, message: str, code: int) -> int:
    print(f"{claim.name}: error: {' '.join(message.split())}", file=sys.stderr)
    return code


def _sample(measure: Measure, seed: int, setting: Setting, seeds: int) -> Sample:
    print(f"seed {seed + 1} of {seeds} ...", file=sys.stderr, flush=True)
    return measure(seed, setting)


def _parser(claim: Claim) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"{claim.name}.py", description=claim.title, allow_abbrev=False)
    parser.add_argument("--seeds", type=_seeds, default=claim.seeds, metavar="N", help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=OUT, help="results go to OUT/NAME (default: %(default)s)")
    parser.add_argument(
        "--setting",
        choices=SETTINGS,
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
