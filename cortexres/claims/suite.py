"""Many claims at once: their scripts as processes, and how what they found differs from what is recorded."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import cortexres
from cortexres.claims.outcome import FILE, Outcome, from_json
from cortexres.errors import ArgumentError

MISTAKE = 2  # exit code of a script that was asked for what it cannot do
LOG = "log.txt"
PATIENCE_S = 5.0  # for a script that is asked to end


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A script that ended: with an outcome, or with what it said last where it failed.

    Parameters
    ----------
    name : str
        Of the claim.
    outcome : Outcome or None
        None where the script failed; an older one of its may still lie in its folder.
    message : str
        What it said last.
    mistake : bool
        Whether it was asked for what it cannot do, such as the large setting without a GPU.
    """

    name: str
    outcome: Outcome | None
    message: str = ""
    mistake: bool = False


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
) -> Generator[Ended]:
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
    running: set[subprocess.Popen[bytes]] = set()
    with ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(_run_one, running, path, out / name, setting, seeds) for name, path in chosen.items()]
        try:
            for future in as_completed(waiting):
                yield future.result()
        finally:  # also where the reader of this generator stops: no script is left behind
            pool.shutdown(wait=False, cancel_futures=True)
            _end(running)


def _end(running: Iterable[subprocess.Popen[bytes]]) -> None:
    """End what still runs, by force where asking does not help."""
    left = [process for process in tuple(running) if process.poll() is None]
    for process in left:
        process.terminate()
    for process in left:
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()


def _run_one(
    running: set[subprocess.Popen[bytes]], path: Path, folder: Path, setting: str, seeds: int | None
) -> Ended:
    wanted = [] if seeds is None else ["--seeds", str(seeds)]
    command = [sys.executable, str(path), "--out", str(folder.parent), "--setting", setting, *wanted]
    one_core = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    folder.mkdir(parents=True, exist_ok=True)
    place, log = folder / FILE, folder / LOG
    before = _identity(place)
    with log.open("wb") as said:
        environment = os.environ | one_core | {"PYTHONIOENCODING": "utf-8"}
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=subprocess.STDOUT)
        running.add(process)
        code = process.wait()
        running.discard(process)
    # An older outcome stays where a script fails, and must not stand for it.
    if code in (0, 1) and _identity(place) not in (None, before):
        return Ended(name=path.stem, outcome=from_json(place.read_text(encoding="utf-8")))
    last = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    message = last[-1].removeprefix(f"{path.stem}: error: ") if last else f"exit code {code}"
    return Ended(name=path.stem, outcome=None, message=f"{message} (all it said: {log})", mistake=code == MISTAKE)


def _identity(place: Path) -> tuple[int, int] | None:
    """What changes when a file is written anew; None where there is none."""
    if not place.exists():
        return None
    found = place.stat()
    return found.st_ino, found.st_mtime_ns


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
