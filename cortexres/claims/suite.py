"""Many claims at once: their scripts as processes, and how what they found differs from what is recorded."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import cortexres
from cortexres.claims.outcome import FILE, Outcome, from_json
from cortexres.errors import ArgumentError

TAIL = 2000  # characters of a failed script's messages that are looked at


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A script that ended: with an outcome, or with what it said last where it failed."""

    name: str
    outcome: Outcome | None
    message: str = ""


def checkout() -> Path:
    """Return the folder of the checkout, which has the scripts of the claims.

    Raises
    ------
    ArgumentError
        If the package is not run from one.
    """
    folder = Path(cortexres.__file__).resolve().parent.parent
    if not (folder / "simulations" / "claims").is_dir():
        raise ArgumentError(
            f"got a package without simulations/claims beside it ({folder}), expected a checkout: clone the "
            "repository and install it with `pip install -e .`"
        )
    return folder


def scripts(names: Sequence[str] = ()) -> dict[str, Path]:
    """Return the scripts of the claims by name; all of them where no names are given.

    Raises
    ------
    ArgumentError
        If there is no checkout, or no claim of a name.
    """
    folder = checkout() / "simulations" / "claims"
    known = {path.stem: path for path in sorted(folder.glob("*.py"))}
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ArgumentError(f"got {', '.join(unknown)}, expected claims of this list: {', '.join(known)}")
    return {name: path for name, path in known.items() if not names or name in names}


def run(
    chosen: Mapping[str, Path], *, out: Path, setting: str, seeds: int | None, jobs: int
) -> Iterator[Ended]:
    """Yield what each script gave, as they end; each runs in a process of its own, on one core.

    Parameters
    ----------
    chosen : mapping of str to Path
        Scripts by the names of their claims, in the order in which they are started.
    out : Path
        Their results go to ``out / name``.
    setting : str
        ``"auto"``, ``"quick"`` or ``"large"``.
    seeds : int, optional
        Each claim's own number where it is left out.
    jobs : int
        Scripts at once.
    """
    with ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(_run_one, name, path, out, setting, seeds) for name, path in chosen.items()]
        try:
            for future in as_completed(waiting):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _run_one(name: str, path: Path, out: Path, setting: str, seeds: int | None) -> Ended:
    place = out / name / FILE
    place.unlink(missing_ok=True)  # an older outcome must not stand for a script that fails
    wanted = [] if seeds is None else ["--seeds", str(seeds)]
    command = [sys.executable, str(path), "--out", str(out), "--setting", setting, *wanted]
    one_core = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, env=os.environ | one_core, capture_output=True, text=True, check=False)
    if done.returncode in (0, 1) and place.exists():
        return Ended(name=name, outcome=from_json(place.read_text(encoding="utf-8")))
    said = [line for line in done.stderr[-TAIL:].splitlines() if line.strip()]
    return Ended(name=name, outcome=None, message=said[-1] if said else f"exit code {done.returncode}")


def differences(outcomes: Sequence[Outcome], recorded: Mapping[str, bool]) -> list[str]:
    """Return a sentence for each claim whose outcome is not the recorded one, or is recorded and was not run."""
    found = {outcome.name: outcome.holds for outcome in outcomes}
    said = {True: "holds", False: "does not hold"}
    texts = []
    for name in sorted(found.keys() | recorded.keys()):
        if name not in recorded:
            texts.append(f"{name} {said[found[name]]}; docs/claims.md has no outcome of it")
        elif name not in found:
            texts.append(f"{name} gave no outcome; recorded: {said[recorded[name]]}")
        elif found[name] != recorded[name]:
            texts.append(f"{name} {said[found[name]]}; recorded: {said[recorded[name]]}")
    return texts
