"""What can be typed: the parser of the `cortexres` command, without any heavy import."""

from __future__ import annotations

import argparse
import difflib
import json
import math
import re
import sys
from pathlib import Path
from typing import NoReturn

from cortexres import __version__

FOLDER_SIZE = 16  # pixels that images of a folder get where nothing asks for more
STIMULI = 40  # how many images are made or taken where nothing is said
MAX_MS = 1e6
PRECISIONS = ("float32", "bfloat16", "float16")
SCHEDULES = ("constant", "cosine", "step_decay")
TARGETS = ("auto", "cpp_standalone", "cython", "numpy")


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, with the near names."""

    def error(self, message: str) -> NoReturn:
        """Print one line and exit 2."""
        print(f"cortexres: error: {message}{self._hint(message)}; see `{self.prog} --help`", file=sys.stderr)
        raise SystemExit(2)

    def _hint(self, message: str) -> str:
        unknown = re.search(r"invalid choice: '([^']*)'|unrecognized arguments: (\S+)", message)
        if unknown is None:
            return ""
        word = unknown.group(1) or unknown.group(2) or ""
        known = [name for name in self._known_words() if name.startswith("-") == word.startswith("-")]
        near = difflib.get_close_matches(word, known, n=3)
        return f", did you mean {' or '.join(map(repr, near))}?" if near else ""

    def _known_words(self) -> list[str]:
        words: list[str] = []
        for action in self._actions:
            words += action.option_strings
            words += [str(choice) for choice in action.choices or ()]
            if isinstance(action, argparse._SubParsersAction):
                # Unknown options of a sub-command are reported by the main parser.
                words += [word for sub in action.choices.values() for word in sub._option_string_actions]
        return sorted(set(words))


def build_parser() -> Parser:
    """The parser of all commands; the result has `command` and the options of that command."""
    parser = Parser(
        prog="cortexres",
        allow_abbrev=False,
        description="Is a cortical area a residual network unrolled in time? Simulate the one, derive the other, "
        "compare.",
    )
    parser.add_argument("--version", action="version", version=f"cortexres {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    _add_demo(commands.add_parser("demo", help="the whole story on real images, in minutes", allow_abbrev=False))
    commands.add_parser("models", help="what circuits and networks there are, and from where", allow_abbrev=False)
    _add_verify(
        commands.add_parser("verify", help="rerun a circuit's targets: measured beside published", allow_abbrev=False)
    )
    _add_simulate(commands.add_parser("simulate", help="circuit -> brain.nc", allow_abbrev=False))
    _add_record(
        commands.add_parser("record", help="the network of a circuit, or one by name -> network.nc", allow_abbrev=False)
    )
    _add_train(
        commands.add_parser("train", help="a network, on images -> weights, history", allow_abbrev=False)
    )
    _add_compare(commands.add_parser("compare", help="-> scores.nc, figures, report.html", allow_abbrev=False))
    _add_claims(
        commands.add_parser("claims", help="rerun published claims: measured beside published", allow_abbrev=False)
    )
    return parser


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="16 images x 8 trials instead of 40 x 20")
    parser.add_argument("--name", default="demo", help="results go to OUT/NAME (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("results"), help="default: %(default)s")
    parser.add_argument("--circuit", default="ei_assemblies", help="a name of `cortexres models`, or a .toml file")
    parser.add_argument("--trials", type=positive, help="repeats of each image (default: 20, quick: 8)")
    _add_images(parser)
    _add_engine(parser)


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", help="a name of `cortexres models`, NAME:VARIANT for one variant, or a .toml file"
    )
    parser.add_argument("--quick", action="store_true", help="leave out what takes more than about ten seconds")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="data that some circuits need and you supply")
    _add_target(parser)
    _add_seed(parser)


def _add_simulate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", help="a name of `cortexres models`, NAME:VARIANT of one, or a .toml file"
    )
    parser.add_argument("--trials", type=positive, default=20, help="repeats of each image (default: %(default)s)")
    parser.add_argument("--duration", type=positive_ms, default=200.0, metavar="MS", help="default: %(default)s")
    parser.add_argument(
        "--settle", type=natural_ms, default=150.0, metavar="MS", help="before the stimulus (default: %(default)s)"
    )
    parser.add_argument("--bin", type=positive_ms, default=5.0, metavar="MS", help="of time (default: %(default)s)")
    parser.add_argument(
        "--set",
        type=parameter,
        action="append",
        default=[],
        metavar="PATH=VALUE",
        help="another value of a parameter, as in 'projections.I->E.weight=-0.6 mV'; may be repeated",
    )
    parser.add_argument(
        "--scale",
        type=share,
        default=1.0,
        metavar="F",
        help="this share of cells and synapses, with the mean and variance of their input kept (default: all)",
    )
    parser.add_argument(
        "--spikes", action="store_true", help="write every single spike, to spikes.nc, in place of rates and inputs"
    )
    parser.add_argument("--out", type=Path, help="default: brain.nc, with --spikes spikes.nc")
    _add_images(parser, optional=True)
    _add_engine(parser)
    parser.add_argument("--connectivity-seed", type=natural, metavar="SEED", help="of the synapses (default: SEED's)")


def _add_record(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model",
        metavar="MODEL|FILE",
        help="a name of `cortexres models`, the .toml file of a circuit, or weights that `cortexres train` wrote",
    )
    parser.add_argument(
        "--dt", type=positive_ms, default=5.0, metavar="MS", help="of a block, for a circuit (default: %(default)s)"
    )
    parser.add_argument(
        "--duration", type=positive_ms, default=200.0, metavar="MS", help="for a circuit (default: %(default)s)"
    )
    parser.add_argument(
        "--batch-size", type=positive, default=64, help="images in memory at a time (default: %(default)s)"
    )
    parser.add_argument("--device", default="cpu", help="of a network by name: cpu, cuda (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("network.nc"), help="default: %(default)s")
    _add_images(parser)
    _add_seed(parser)


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="NAME|FILE", help="a network of `models/networks`, or a .toml file")
    parser.add_argument(
        "--images",
        default="digits",
        metavar="digits|FOLDER",
        help="a folder has train and, to test on, test, each with one subfolder per class; or the classes themselves "
        "(default: %(default)s)",
    )
    parser.add_argument("--stimuli", type=positive, metavar="N", help="at most N images to train on (default: all)")
    parser.add_argument("--size", type=positive, metavar="PIXELS", help="side that images get (default: their own)")
    parser.add_argument("--epochs", type=positive, default=40, help="default: %(default)s")
    parser.add_argument("--batch-size", type=positive, default=128, help="default: %(default)s")
    parser.add_argument("--learning-rate", type=positive_rate, default=0.1, help="default: %(default)s")
    parser.add_argument("--schedule", choices=SCHEDULES, default="cosine", help="default: %(default)s")
    parser.add_argument("--augment", action="store_true", help="cut and mirror the images at random")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32", help="default: %(default)s")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1 (default: %(default)s)")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="go on from here, and keep the state here")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("weights.safetensors"),
        help="weights.history.nc lies beside (default: %(default)s)",
    )
    _add_seed(parser)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("brain", type=Path, metavar="brain.nc")
    parser.add_argument("network", type=Path, metavar="network.nc")
    parser.add_argument(
        "--out", type=Path, default=Path("results/compare"), help="folder to write to (default: %(default)s)"
    )
    parser.add_argument("--stage", metavar="NAME", help="which one, of a network.nc that holds several, as in stage_0")
    parser.add_argument("--permutations", type=positive, default=500, help="of the stimuli (default: %(default)s)")
    _add_seed(parser)


def _add_claims(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="claims of simulations/claims, as in veit_2016 (default: all)"
    )
    parser.add_argument("--list", action="store_true", help="print the names and what is recorded of them, run nothing")
    parser.add_argument("--out", type=Path, default=Path("results/claims"), help="default: %(default)s")
    parser.add_argument(
        "--setting",
        choices=("auto", "quick", "large"),
        help="how large; auto: large where torch has a GPU (default: auto, quick where no NAME is given)",
    )
    parser.add_argument("--seeds", type=positive, metavar="N", help="of each (default: each claim's own number)")
    parser.add_argument("--jobs", type=positive, help="claims at once, a core each (default: one per core)")
    parser.add_argument(
        "--record", action="store_true", help="write docs/claims.md and its figures from all outcomes in OUT"
    )


def _add_images(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """What is shown; where it is `optional`, it may also be nothing."""
    default = "digits, for a circuit without a front end none" if optional else "digits"
    parser.add_argument(
        "--images",
        default=None if optional else "digits",
        metavar="digits|patterns|FOLDER|FILE.nc" + ("|none" if optional else ""),
        help=f"what is shown; a folder holds one subfolder per class (default: {default})",
    )
    parser.add_argument(
        "--stimuli",
        type=positive,
        metavar="N",
        help="how many images: of a FOLDER at most N, of a FILE.nc the first N, or all of it where N is not given "
        f"(default: {STIMULI}, demo --quick: 16)",
    )


def _add_engine(parser: argparse.ArgumentParser) -> None:
    _add_target(parser)
    parser.add_argument("--jobs", type=positive, help="simulations at once (default: one per core)")
    _add_seed(parser)


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", choices=TARGETS, default="auto", help="how Brian2 runs (default: %(default)s)")


def _add_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=natural, default=0, help="of all randomness (default: %(default)s)")


def positive(text: str) -> int:
    """The whole number above 0 that `text` says."""
    return _number(text, least=1)


def natural(text: str) -> int:
    """The whole number from 0 that `text` says."""
    return _number(text, least=0)


def positive_ms(text: str) -> float:
    """The time above 0 and below `MAX_MS` that `text` says."""
    value = _float(text)
    if not 0.0 < value < MAX_MS:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a time in ms above 0 and below {MAX_MS:g}")
    return value


def natural_ms(text: str) -> float:
    """The time from 0 and below `MAX_MS` that `text` says."""
    value = _float(text)
    if not 0.0 <= value < MAX_MS:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a time in ms from 0 and below {MAX_MS:g}")
    return value


def positive_rate(text: str) -> float:
    """The finite number above 0 that `text` says."""
    value = _float(text)
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number above 0")
    return value


def share(text: str) -> float:
    """The number above 0 and up to 1 that `text` says."""
    value = _float(text)
    if not 0.0 < value <= 1.0:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number above 0 and up to 1")
    return value


def parameter(text: str) -> tuple[str, float | int | str | bool]:
    """The path of a parameter and its value: ``dt_ms=0.2``, or ``dt=0.2 ms`` with the unit beside the number."""
    from cortexres.definitions.quantities import any_quantity

    path, equals, value = (part.strip() for part in text.partition("="))
    if not (path and equals and value):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected PATH=VALUE, as in 'synapses.ampa.tau=2 ms'")
    quantity = any_quantity(value)
    if quantity is not None:
        return f"{path}_{quantity[1]}", quantity[0]
    try:
        plain = json.loads(value)
    except ValueError:
        return path, value
    return path, plain if isinstance(plain, bool | int | float) else value


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _number(text: str, *, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number from {least}")
    return value
