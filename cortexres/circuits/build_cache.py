"""The folder of compiled circuits: where it is, how a build gets there whole, and what is removed again.

Several processes may use it at once, so builds appear and disappear by a rename, and none is removed while it is used.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import tempfile
from pathlib import Path

UNFINISHED = "build-"  # how the names of folders begin in which something is made or removed
UNFINISHED_S = 24 * 3600  # age at which their process counts as killed
UNUSED_S = 30 * 24 * 3600  # time without use after which a build goes


def folder() -> Path:
    """The folder of builds: in ``CORTEXRES_CACHE``, or in the user's cache."""
    chosen = os.environ.get("CORTEXRES_CACHE")
    if chosen:
        return Path(chosen) / "builds"
    shared = os.environ.get("XDG_CACHE_HOME")
    try:
        base = Path(shared) if shared else Path.home() / ".cache"
    except RuntimeError:  # an account without a home, as in some containers
        base = Path(tempfile.gettempdir()) / f"cache-{os.getuid()}"
    return base / "cortexres" / "builds"


def use(place: Path) -> bool:
    """Whether a complete build is at `place`; it then counts as used now."""
    if not _complete(place):
        return False
    with contextlib.suppress(OSError):  # a cache of somebody else, that we may only read
        os.utime(place)
    return True


def keep(made: Path, place: Path) -> None:
    """Move what a run needs from the folder `made` to `place`, the rest goes; another process may have been faster."""
    kept = made / "kept"
    kept.mkdir()
    layout = json.loads((made / "code" / "layout.json").read_text(encoding="utf-8"))
    for files in (*layout["synapses"], *layout["replay"].values()):  # each simulation or run writes its own
        for name in files:
            (made / "code" / "static_arrays" / name).unlink()
    for name in ("main", "layout.json", "static_arrays"):
        shutil.move(made / "code" / name, kept / name)
    if place.exists() and not _complete(place):  # something cleaned the cache, but not all of it
        _put_aside(place, made / "incomplete")
    try:
        os.replace(kept, place)
    except OSError:
        if not _complete(place):
            raise


def tidy(cache: Path, *, now: float) -> None:
    """Remove what killed processes left in `cache` and builds that nobody used for long; what cannot go stays."""
    with contextlib.suppress(OSError):
        for path in list(cache.iterdir()):
            _remove_if_old(path, now)


def _put_aside(place: Path, aside: Path) -> None:
    """Rename `place`, or leave it where another process has completed it since it was looked at."""
    with contextlib.suppress(OSError):
        os.rename(place, aside)
        if _complete(aside):
            os.rename(aside, place)


def _remove_if_old(path: Path, now: float) -> None:
    with contextlib.suppress(OSError):
        unused_s = now - path.stat().st_mtime
        if path.name.startswith(UNFINISHED) and unused_s > UNFINISHED_S:
            shutil.rmtree(path, ignore_errors=True)
        elif re.fullmatch("[0-9a-f]{32}", path.name) and unused_s > UNUSED_S:
            # Renamed first: half a build must never be met, and is removed later where this process is killed.
            aside = path.with_name(f"{UNFINISHED}{secrets.token_hex(4)}")
            os.rename(path, aside)
            shutil.rmtree(aside, ignore_errors=True)


def _complete(place: Path) -> bool:
    return (place / "layout.json").exists() and (place / "main").exists()
